#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Images in every shape, there and back, against qemu-img: its check finds
# nothing, its compare finds no difference, and its images read the same here.
command -v qemu-img >/dev/null || {
	echo "no qemu-img"
	exit 77
}
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# 12 MiB and a bit: data, holes and written zeroes, not in step with clusters
truncate -s $((12 * 1024 * 1024 + 512)) src.raw
put() { # OFFSET LENGTH: bytes that are not zero
	head -c "$2" /dev/urandom | tr '\0' x |
		dd of=src.raw bs=65536 seek="$1" oflag=seek_bytes conv=notrunc \
			iflag=fullblock status=none
}
put 0 5000
put 65536 65536
put 1000000 300000
put 4194304 1048576
put 5242879 3
put 12582912 512
dd if=/dev/zero of=src.raw bs=64k seek=100 count=20 conv=notrunc status=none

same() { # A B
	qemu-img compare -q "$1" "$2" || {
		echo "$1 and $2 differ"
		exit 1
	}
}
clean() { # IMAGE
	qemu-img check -q "$1" || {
		qemu-img check "$1" || :
		echo "$1 is not clean"
		exit 1
	}
	qcow-tool check -q "$1"
}

for cluster in 512 1k 4k 64k 256k 2M; do
	for rest in refcount_bits=1 refcount_bits=2 refcount_bits=4 \
		refcount_bits=8 refcount_bits=16 refcount_bits=32 \
		refcount_bits=64 compat=0.10; do
		opts=cluster_size=$cluster,$rest
		echo "--- $opts"
		rm -f ./*.qcow2 back.raw
		qcow-tool convert -O qcow2 -o "$opts" src.raw ours.qcow2
		clean ours.qcow2
		same src.raw ours.qcow2
		qemu-img convert -O qcow2 -o "$opts" src.raw theirs.qcow2
		qcow-tool check -q theirs.qcow2
		qcow-tool convert theirs.qcow2 back.raw
		cmp src.raw back.raw
		# what another program writes into ours stays right
		qemu-io -f qcow2 -c 'write -P 7 3M 100k' -c 'write -z 1M 64k' \
			ours.qcow2 >/dev/null
		clean ours.qcow2
		# and an empty one is as it says
		qcow-tool create -q -f qcow2 -o "$opts" new.qcow2 12M
		clean new.qcow2
		qemu-io -f qcow2 -c 'write -P 7 3M 1M' new.qcow2 >/dev/null
		clean new.qcow2
	done
done

echo "--- holes stay holes"
rm -f ./*.qcow2 back.raw
qcow-tool convert -O qcow2 src.raw a.qcow2
qcow-tool convert a.qcow2 back.raw
[ "$(stat -c %b back.raw)" -le $(($(stat -c %b src.raw))) ]

echo "--- an image over another"
qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2
qemu-io -f qcow2 -c 'write -P 9 2M 100k' over.qcow2 >/dev/null
if qcow-tool convert over.qcow2 no.raw 2>err; then exit 1; fi
grep -q "backing file 'a.qcow2'" err
[ ! -e no.raw ]
qcow-tool convert --allow-backing over.qcow2 flat.raw
same flat.raw over.qcow2
qcow-tool create -q -f qcow2 -b a.qcow2 -F qcow2 over2.qcow2
same over2.qcow2 a.qcow2
qemu-img info --output=json over2.qcow2 | grep -q '"backing-filename-format": "qcow2"'

echo "--- a snapshot is left alone"
qemu-img snapshot -c one a.qcow2
qcow-tool convert -O raw a.qcow2 now.raw
same now.raw a.qcow2
qcow-tool check -q a.qcow2
