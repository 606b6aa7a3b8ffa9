#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# --network in machines with a network: with each of what can bring it up there is an
# address with dhcp, one that somebody gave, and a route; with none no card is touched,
# though all of it is in the image and started. The others that ask for an address are
# in test-mkimage-machine.sh, systemd-networkd, and ifupdown in test-mkimage-grub.sh
# under systemd and in test-mkimage-openrc.sh.
set -eu
. "$top_srcdir/tests/e2e/whole.sh"
init="--include=udev,iproute2,ifupdown,isc-dhcp-client,dhcpcd,sysvinit-core"
debian_rootfs net-openrc --variant=minbase "$init,openrc" || fail "no Debian"
openrc=$rootfs
debian_rootfs net-sysv --variant=minbase "$init" || fail "no Debian"
sysv=$rootfs
systemd_rootfs
systemd=$rootfs
kernel=$("$testbed" kernel)
"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" \
	--init "$(command -v vmm-init)" -o initrd

probe <<'X'
cards() {
	ip -o -4 addr show scope global | awk '{ printf "%s %s ", $2, $4 }'
}
case $(cat /proc/cmdline) in
*wants=dhcp*)
	i=0
	until [ -n "$(cards)" ] || [ $i -ge 60 ]; do
		i=$((i + 1))
		sleep 2
	done ;;
*) # it would have one by now
	if [ -d /run/systemd/system ]; then
		timeout 60 systemctl is-system-running --wait >/dev/null
		echo "failed: $(systemctl list-units --failed --plain --no-legend)"
	fi
	sleep 4 ;;
esac
echo "pid 1: $(cat /proc/1/comm)$([ ! -e /run/openrc ] || echo ' openrc')"
echo "lo: $(ip -o -4 addr show dev lo | awk '{ print $4 }')"
echo "addresses: $(cards)"
echo "route: $(ip -4 route show default | cut -d ' ' -f 1-3)"
echo "up: $(ip -o link | sed -n 's/^[0-9]*: \([^l][^:]*\): <.*[<,]UP[,>].*/\1/p')"
for p in /proc/[0-9]*; do
	case $(cat "$p/comm" 2>/dev/null) in
	NetworkManager | systemd-network* | dhclient | dhcpcd)
		echo "by: $(cat "$p/comm")" ;;
	esac
done | sort -u
X

# try dhcp|none WHAT ROOTFS OPTION...: such a machine
try() {
	echo "== $1: $2"
	wanted=$1 rootfs=$3
	shift 3
	case $rootfs in
	"$systemd") start=$with_probe ;;
	*)
		tar -xOf "$rootfs" ./etc/inittab >inittab
		echo 'pr:2:once:/usr/local/sbin/probe' >>inittab
		start="--add probe:/usr/local/sbin/probe --add inittab:/etc/inittab" ;;
	esac
	# shellcheck disable=SC2086
	mkimage -q --force --strict --label net --fstab --network "$wanted" "$@" $start \
		"$rootfs" -o disk.qcow2
	machine disk.qcow2 -kernel "$kernel" -initrd initrd -append "root=LABEL=net \
ro quiet console=ttyS0 mitigations=off wants=$wanted" -m 512
	[ "$rootfs$wanted" != "${systemd}none" ] || says 'failed: '
}
got_one() { # BY [PID-1]
	says "by: $1"
	says "addresses: e[^ ]* 10\.0\.2\.15/24 "
	says 'route: default via 10\.0\.2\.2'
}
got_none() {
	says 'lo: 127.0.0.1/8'
	says 'addresses: '
	says 'route: '
	says 'up: '
}

# shellcheck disable=SC2086
try dhcp "NetworkManager under systemd" "$systemd" \
	--remove $wants/dhcpcd.service --remove $wants/networking.service
got_one NetworkManager
unit=systemd-networkd.service
try none "all four under systemd" "$systemd" \
	--symlink /lib/systemd/system/$unit:$wants/$unit
got_none
says 'by: NetworkManager'
says 'by: systemd-network'

# (nothing in this one brings up the loopback device)
try dhcp "dhcpcd under OpenRC" "$openrc" --remove /sbin/ifup \
	--remove /etc/init.d/networking --remove /etc/runlevels/sysinit/networking \
	--remove /etc/runlevels/default/dhcpcd
got_one dhcpcd
says 'pid 1: init openrc'
try none "both under OpenRC" "$openrc"
got_none

try dhcp "ifupdown under sysvinit" "$sysv"
got_one dhclient
says 'pid 1: init'
