#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `vmm device blk --socket`, in its jail, under QEMU's vhost-user-blk-pci with
# a stock Linux guest: what the guest writes is what the host finds, a second
# frontend is served after the first has gone, and nothing is left behind.
. "$top_srcdir/tests/e2e/qemu.sh"

need qemu-system-x86_64 qemu-img
cat >"$dir/script" <<'EOT'
disk=/dev/vda
echo "SIZE $(cat /sys/block/vda/size)"
echo "SERIAL $(cat /sys/block/vda/serial)"
echo "QUEUES $(ls /sys/block/vda/mq | wc -l)"
case $(cat /proc/cmdline) in
*phase=write*)
	seq 1 1000000 | head -c 4194304 >/tmp/pattern
	dd if=/tmp/pattern of=$disk bs=65536 seek=16 conv=fsync 2>/dev/null
	dd if=/tmp/pattern of=$disk bs=512 seek=3 count=5 conv=fsync 2>/dev/null
	sync
	;;
*phase=readonly*)
	echo "RO $(cat /sys/block/vda/ro)"
	dd if=/tmp/pattern of=$disk count=1 2>/dev/null && echo WROTE
	;;
esac
echo 3 >/proc/sys/vm/drop_caches
echo "SUM $(dd if=$disk bs=65536 skip=16 count=64 2>/dev/null | md5sum)"
echo DONE
EOT
kernel=$("$testbed" kernel) &&
	"$testbed" initrd -o "$dir/initrd" --module virtio_pci \
		--module virtio_blk --script "$dir/script" || exit 1

# boot NAME WORDS: run the guest to its end
boot() {
	start_guest "$1" "$2" -chardev socket,id=c,path="$dir/blk.sock" \
		-device vhost-user-blk-pci,chardev=c,num-queues=2
	wait "$qemu" || fail "QEMU: status $?"
	tr -d '\r' <"$dir/$1.txt" >"$dir/$1"
	grep -q '^DONE$' "$dir/$1" || fail "$1: the guest did not finish"
}

start_device() { # DISK OPTIONS
	vmm device blk --socket "$dir/blk.sock" --disk "$1" \
		>"$dir/device.txt" 2>&1 &
	pids=($!)
	wait_for 10 "the device does not listen" test -S "$dir/blk.sock"
}

stop_device() {
	kill "${pids[0]}"
	wait "${pids[0]}" || fail "the device: status $?"
	pids=()
	[ ! -e "$dir/blk.sock" ] || fail "the socket was left behind"
	[ ! -s "$dir/device.txt" ] || fail "the device complained"
}

pattern() {
	seq 1 1000000 | head -c 4194304
}

truncate -s 64M "$dir/disk"
start_device "path=$dir/disk,format=raw,id=vmmkit-test,num-queues=2"
boot write phase=write
boot again phase=read
stop_device
for run in write again; do
	grep -q '^SIZE 131072$' "$dir/$run" || fail "$run: size"
	grep -q '^SERIAL vmmkit-test$' "$dir/$run" || fail "$run: serial"
	grep -q '^QUEUES 2$' "$dir/$run" || fail "$run: queues"
	grep -q "^SUM $(pattern | md5sum)$" "$dir/$run" || fail "$run: data"
done
# the host sees the same, there and nowhere else
{
	head -c 1536 /dev/zero
	pattern | head -c 2560
	head -c $((65536 * 16 - 4096)) /dev/zero
	pattern
	head -c $((64 * 1048576 - 65536 * 80)) /dev/zero
} | cmp - "$dir/disk" || fail "the disk has other contents"

# read-only: the guest is told, and cannot
start_device "path=$dir/disk,format=raw,ro,num-queues=2"
before=$(md5sum <"$dir/disk")
boot readonly phase=readonly
stop_device
grep -q '^RO 1$' "$dir/readonly" || fail "the guest thinks it may write"
! grep -q '^WROTE$' "$dir/readonly" || fail "the guest could write"
[ "$before" = "$(md5sum <"$dir/disk")" ] || fail "a read-only disk changed"

# the same guest on qcow2, judged by QEMU's own tools
qemu-img create -q -f qcow2 "$dir/disk.qcow2" 64M
start_device "path=$dir/disk.qcow2,num-queues=2"
boot qcow2 phase=write
stop_device
qemu-img check -q -f qcow2 "$dir/disk.qcow2" || fail "qcow2: qemu-img check"
qemu-img compare -q -f qcow2 -F raw "$dir/disk.qcow2" "$dir/disk" ||
	fail "qcow2: other contents than raw"
