# SPDX-License-Identifier: BSD-3-Clause
# Shared by the tests that boot what mkimage made as a whole machine under QEMU, for
# its firmware and its network. A machine tells what it finds on its second serial
# port, and goes.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need qemu-system-x86_64 mmdebstrap sfdisk sgdisk jq
testbed=$top_srcdir/tests/lib/testbed
accel=$("$testbed" accel) # which says why
wants=/etc/systemd/system/multi-user.target.wants

# A Debian with systemd, its own kernel, that kernel's usual initrd and one of dracut
# with systemd in it, and all that can ask for an address.
systemd_rootfs() {
	# shellcheck disable=SC2016
	debian_rootfs whole --variant=minbase \
		--include=systemd-sysv,udev,iproute2,linux-image-cloud-amd64 \
		--include=initramfs-tools,dracut-core,ifupdown,isc-dhcp-client \
		--include=dhcpcd,network-manager \
		--customize-hook='chroot "$1" sh -c "dracut --quiet \
			--no-hostonly --gzip --add systemd --add-drivers \
			\"virtio_pci virtio_blk ext4 vfat efivarfs\" \
			/boot/dracut.img \$(ls /lib/modules)"' ||
		fail "no Debian"
}

# probe: standard input is what such a machine runs when it is up
probe() {
	{
		echo '#!/bin/sh'
		echo 'exec </dev/null >/dev/ttyS1 2>&1'
		cat
		echo 'echo END; sync; poweroff -f'
	} >probe
	chmod 755 probe
	cat >probe.service <<-'X'
		[Unit]
		Description=What the test looks at
		[Service]
		ExecStart=/usr/local/sbin/probe
	X
}
# what starts it, for mkimage
with_probe="--add probe:/usr/local/sbin/probe
	--add probe.service:/etc/systemd/system/probe.service
	--symlink ../probe.service:$wants/probe.service
	--symlink /dev/null:/etc/systemd/system/serial-getty@ttyS0.service
	--symlink /dev/null:/etc/systemd/system/getty.target
	--symlink /dev/null:/etc/systemd/system/timers.target
	--symlink /dev/null:/etc/systemd/system/e2scrub_reap.service"

# machine DISK OPTION...: boot it and wait for its end; what it said is in said
machine() {
	disk=$1
	shift
	: >said
	timeout -k 5 300 qemu-system-x86_64 -M q35 -accel $accel -m 768 -nodefaults \
		-no-user-config -display none -no-reboot \
		-drive "if=none,id=d,format=${disk##*.},file=$disk" \
		-device virtio-blk-pci,drive=d,bootindex=1 \
		-netdev user,id=n -device virtio-net-pci,netdev=n,romfile= \
		-device virtio-rng-pci -serial file:console -serial file:said \
		"$@" </dev/null >qemu.log 2>&1 || {
		cat qemu.log
		tail -n 40 console
		fail "the machine: QEMU: status $?"
	}
	tr -d '\r' <said >said.txt
	cat said.txt
	grep -qx END said.txt || {
		tail -n 40 console
		fail "the machine did not say all"
	}
}
says() {
	grep -qxE -- "$1" said.txt || fail "not said: $1"
}

# parts FILTER: of table.json, what sfdisk tells of the disk
parts() {
	jq -r ".partitiontable.partitions[] | $1" table.json
}
# part DISK NAME FILE: a partition of a raw disk
part() {
	set -- "$1" "$3" "$(parts "select(.name == \"$2\") | .start")" \
		"$(parts "select(.name == \"$2\") | .size")"
	rm -f "$2"
	dd if="$1" of="$2" bs=1M skip=$(($3 / 2048)) count=$(($4 / 2048)) \
		conv=sparse status=none
	truncate -s $(($4 * 512)) "$2"
}
