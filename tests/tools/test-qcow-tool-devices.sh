#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Images on block devices that are full of something else: what is written there
# is what qemu-img reads, over the options that decide what is zeroed. A device
# that is too small or mounted is refused.
set -eu
command -v qemu-img >/dev/null || exit 77
dir=$(mktemp -d)
device=
cleanup() {
	! mountpoint -q "$dir/m" || umount "$dir/m"
	[ -z "$device" ] || losetup -d "$device"
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
head -c 40M /dev/urandom >junk
cp junk file
device=$(losetup -f --show file 2>err) || {
	echo "no loop devices: $(cat err)"
	exit 77
}

die() { echo "FAIL: $*"; exit 1; }
fails() {
	local text=$1
	shift
	! "$@" 2>err || die "$*: did not fail"
	grep -qF -- "$text" err || die "$*: $(cat err)"
}
# is FORMAT: the device has what src has
is() {
	qemu-img check -q "$device"
	qemu-img compare -q -f raw -F qcow2 src "$device" || die "$*"
	qcow-tool check -q "$device"
}

seq 1 2000000 | head -c 5M >src
truncate -s 9M src
qcow-tool create -q -f qcow2 "$device" 1G
qemu-io -c 'write -P 3 1M 70000' -c 'read -P 0 0 1M' \
	-c 'read -P 0 1118576 1M' "$device" >io
! grep -q failed io || die "$(cat io)"
qemu-img check -q "$device"
for options in cluster_size=64k cluster_size=512 compat=0.10 \
	extended_l2=on preallocation=metadata preallocation=falloc \
	preallocation=full; do
	dd if=junk of="$device" bs=1M conv=fsync status=none
	qcow-tool convert -O qcow2 -o $options src "$device"
	is "$options"
done
dd if=junk of="$device" bs=1M conv=fsync status=none
qcow-tool convert -c -O qcow2 src "$device"
is compressed
qcow-tool dd -O qcow2 if=src of="$device" bs=1M
is dd
for to in convert dd; do
	dd if=junk of="$device" bs=1M conv=fsync status=none
	case $to in
	convert) qcow-tool convert -O raw src "$device" ;;
	dd) qcow-tool dd if=src of="$device" bs=1M ;;
	esac
	cmp -n 9437184 src "$device" || die "$to to a raw device"
done
for raw in off on; do
	dd if=junk of="$device" bs=1M conv=fsync status=none
	qcow-tool convert -O qcow2 \
		-o data_file="$device",data_file_raw=$raw src a.qcow2
	qemu-img compare -q -f raw -F qcow2 src a.qcow2 || die "data file $raw"
done

fails "No space left" qcow-tool create -q -f raw "$device" 41M
fails "No space left" qcow-tool create -q -f qcow2 \
	-o preallocation=metadata "$device" 40M
fails "of this format there are only files" \
	qcow-tool convert -O zstd src "$device"
fails "File exists" qcow-tool create -q --no-replace -f qcow2 "$device" 1M
mke2fs -q -F "$device"
mkdir m
mount "$device" m
fails "busy" qcow-tool create -q -f qcow2 "$device" 1M
