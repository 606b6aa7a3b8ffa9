#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `vmm device blk --socket`, in its jail, under QEMU's vhost-user-blk-pci with
# a stock Linux guest: what the guest writes is what the host finds, a second
# frontend is served after the first has gone, and nothing is left behind.
set -u

command -v qemu-system-x86_64 >/dev/null || {
	echo "no qemu-system-x86_64"
	exit 77
}
testbed=$top_srcdir/tests/lib/testbed
dir=$(mktemp -d "${TMPDIR:-/tmp}/vhost-user-qemu.XXXXXX")
pid=
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 143' INT TERM HUP

fail() {
	echo "FAIL: $*"
	cat "$dir"/*.txt
	exit 1
}

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

# boot NAME WORDS: run the guest, its console in NAME.txt
boot() {
	timeout 300 qemu-system-x86_64 -M q35 -accel tcg -smp 2 -m 256 \
		-nodefaults -display none -serial stdio -no-reboot \
		-object memory-backend-memfd,id=mem,size=256M,share=on \
		-numa node,memdev=mem \
		-chardev socket,id=c,path="$dir/blk.sock" \
		-device vhost-user-blk-pci,chardev=c,num-queues=2 \
		-kernel "$kernel" -initrd "$dir/initrd" \
		-append "console=ttyS0 quiet panic=-1 $2" \
		</dev/null >"$dir/$1.txt" 2>&1 || fail "QEMU: status $?"
	tr -d '\r' <"$dir/$1.txt" >"$dir/$1"
	grep -q '^DONE$' "$dir/$1" || fail "$1: the guest did not finish"
}

start_device() { # DISK OPTIONS
	vmm device blk --socket "$dir/blk.sock" --disk "$1" \
		>"$dir/device.txt" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		[ -S "$dir/blk.sock" ] && return
		sleep 0.1
	done
	fail "the device does not listen"
}

stop_device() {
	kill "$pid"
	wait "$pid" || fail "the device: status $?"
	pid=
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
command -v qemu-img >/dev/null || exit 0
qemu-img create -q -f qcow2 "$dir/disk.qcow2" 64M
start_device "path=$dir/disk.qcow2,num-queues=2"
boot qcow2 phase=write
stop_device
qemu-img check -q -f qcow2 "$dir/disk.qcow2" || fail "qcow2: qemu-img check"
qemu-img compare -q -f qcow2 -F raw "$dir/disk.qcow2" "$dir/disk" ||
	fail "qcow2: other contents than raw"
