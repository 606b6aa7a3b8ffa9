#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Debian with OpenRC under QEMU, for its network: mkimage's files make OpenRC start
# the agent, and again when it is gone; ifupdown asks for an address; the fstab makes
# the root file system writable. The agent answers through `vmm device vsock`.
. "$top_srcdir/tests/e2e/qemu.sh"
. "$top_srcdir/tests/lib/rootfs.sh"
need qemu-system-x86_64 e2fsck debugfs
debian_rootfs openrc --variant=minbase \
	--include=openrc,sysvinit-core,ifupdown,isc-dhcp-client || exit 77
kernel=$("$testbed" kernel) &&
	"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" \
		--init "$(command -v vmm-init)" -o "$dir/initrd" || exit 1
mkimage --agent --network dhcp --hostname openrc.example --fstab --label machine \
	"$rootfs" -o "$dir/disk.qcow2" >"$dir/mkimage.txt" ||
	fail "mkimage"
grep -q 'agent started by openrc' "$dir/mkimage.txt" || fail "the agent's starter"

vmm device vsock --socket "$dir/vsock.sock" --cid 42 --listen "$dir/clients" \
	>"$dir/vsock.txt" 2>&1 &
pids+=($!)
wait_for 10 "the device does not listen" \
	test -S "$dir/vsock.sock" -a -S "$dir/clients"
start_guest guest "root=LABEL=machine ro mitigations=off" -smp 1 \
	-drive if=none,id=d,format=qcow2,file="$dir/disk.qcow2" \
	-device virtio-blk-pci,drive=d \
	-netdev user,id=n -device virtio-net-pci,netdev=n \
	-chardev socket,id=v,path="$dir/vsock.sock" \
	-device vhost-user-vsock-pci,chardev=v

guest() {
	vmm exec --wait 150 --vsock "$dir/clients" -- sh -c "$1" \
		</dev/null >"$dir/said.txt" 2>&1 || fail "in the guest: $1"
}
says() {
	grep -qxE -- "$1" "$dir/said.txt" || fail "not said: $1"
}
guest '
	echo "init: $(cat /proc/1/comm), $(rc-status --runlevel)"
	rc-status default | tr -s " "
	echo "name: $(hostname -f)"
	echo "root: $(sed -n "s/^[^ ]* \/ \([^ ]*\) \(rw\).*/\1 \2/p" /proc/mounts)"
	echo "address: $(hostname -I)"
	for p in /proc/[0-9]*; do
		[ "$(cat $p/comm 2>/dev/null)" = vmm-agent ] && echo "agent: ${p#/proc/}"
	done
	mkdir /written && seq 1000 >/written/file && sync && echo written'
cat "$dir/said.txt"
says 'init: init, default'
says ' vmm-agent \[ started .*'
says 'name: openrc\.example'
says 'root: ext4 rw'
says 'address: 10\.0\.2\.15 .*'
says 'written'

# one that is gone comes back
agent=$(sed -n 's/^agent: //p' "$dir/said.txt" | head -n 1)
vmm exec --vsock "$dir/clients" -- sh -c "kill -9 $agent" </dev/null >"$dir/kill.txt" 2>&1
guest '
	for p in /proc/[0-9]*; do
		[ "$(cat $p/comm 2>/dev/null)" = vmm-agent ] && echo "agent: ${p#/proc/}"
	done
	rc-service vmm-agent status && poweroff'
! grep -qx "agent: $agent" "$dir/said.txt" || fail "the agent was not killed"
wait "$qemu" || fail "QEMU: status $?"
tr -d '\r' <"$dir/guest.txt" | grep -q 'Power down' || fail "no power off"

qcow-tool check -q "$dir/disk.qcow2" || fail "qcow-tool check"
qcow-tool convert -O raw "$dir/disk.qcow2" "$dir/disk.raw"
e2fsck -fn "$dir/disk.raw" >"$dir/fsck.txt" 2>&1 || fail "e2fsck"
debugfs -R 'cat /written/file' "$dir/disk.raw" 2>/dev/null >"$dir/file"
seq 1000 | cmp - "$dir/file" || fail "not what the guest wrote"
