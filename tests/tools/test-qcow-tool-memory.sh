#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# However large an image is, no command takes more than 64 MiB: images of as many
# bytes as their format can have, with the largest tables and a few clusters of
# data here and there. Prints a line "KIB COMMAND IMAGE" for each.
#
# With MEMORY_FULL set (tests/bench/run does) also those that take longer.
for tool in qemu-img qemu-io; do
	command -v $tool >/dev/null || {
		echo "no $tool"
		exit 77
	}
done
set -e
bar=65536
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# it makes the C library write to memory that nobody uses
unset MALLOC_PERTURB_
# what such a build takes says nothing
! grep -q __asan_init "$(command -v qcow-tool)" || bar=

# peak IMAGE COMMAND...: it succeeds, within the bar
peak() {
	image=$1
	shift
	if ! command time -o rss -f %M qcow-tool "$@" >out 2>err; then
		echo "qcow-tool $*: failed"
		cat err
		exit 1
	fi
	kib=$(tail -n 1 rss)
	echo "$kib $1 $image"
	if [ -n "$bar" ] && [ "$kib" -gt $bar ]; then
		echo "qcow-tool $*: $kib KiB"
		exit 1
	fi
}

# image NAME BYTES OPTIONS: in 24 places there is data
image() {
	qcow-tool create -q -f qcow2 -o "$3" "$1" "$2"
	awk -v size="$2" 'BEGIN {
		srand(5)
		for (i = 0; i < 24; i++)
			printf "write -q -P %d %.0f 4k\n", i + 1,
				int(rand() * (size / 65536 - 1)) * 65536
	}' | qemu-io -f qcow2 -t unsafe "$1" >/dev/null
}

snapshots() { # IMAGE
	peak "$1" snapshot -c first copy
	qemu-io -f qcow2 -t unsafe -c 'write -q -P 9 1M 4k' copy
	peak "$1" snapshot -a first copy
	peak "$1" snapshot -d first copy
	qemu-img compare -q "$1" copy
}

commands() { # IMAGE CLUSTER
	cp --sparse=always "$1" copy
	peak "$1" info "$1"
	peak "$1" check "$1"
	peak "$1" map --output=json "$1"
	peak "$1" measure -O qcow2 -o cluster_size=2M "$1"
	peak "$1" compare "$1" copy
	peak "$1" convert -O qcow2 -o cluster_size="$2" "$1" new
	peak "$1 to it" compare "$1" new
	qemu-img check -q new
	peak "$1 -c" convert --force -c -O qcow2 \
		-o cluster_size=2M,compression_type=zstd "$1" new
	peak "$1, compressed" compare "$1" new
	[ "$1" = 2-PiB ] || snapshots "$1" # a refcount of one bit
	peak "$1" resize -q --shrink copy 1G
	rm -f copy new
}

# the L1 tables of the first three have 32 MiB, the most there may be
image 2-PiB $((1 << 51)) cluster_size=64k,refcount_bits=1
commands 2-PiB 64k
image 128-GiB $((1 << 37)) cluster_size=512,refcount_bits=64
commands 128-GiB 512
if [ -n "$MEMORY_FULL" ]; then
	image 1-EiB $((1 << 60)) cluster_size=2M
	commands 1-EiB 2M
	image 16-TiB $((1 << 44)) cluster_size=16k,extended_l2=on
	commands 16-TiB 16k
fi

# a chain of them, which is not looked through again for each piece of data
i=1
below=
while [ $i -le 12 ]; do
	# shellcheck disable=SC2086
	qcow-tool create -q -f qcow2 -o cluster_size=512 $below $i 128G
	qemu-io -f qcow2 -t unsafe -c "write -q -P $i ${i}G 4k" $i
	below="-b $i -F qcow2"
	i=$((i + 1))
done
for command in 'map 12' 'convert -O qcow2 12 new' 'compare 12 new'; do
	# shellcheck disable=SC2086
	(ulimit -t 20 && set -- $command && name=$1 && shift &&
		peak "chain of 12" "$name" --allow-backing "$@")
done
rm -f [0-9] 1[0-2] new

# holes as far as a file of this file system goes
truncate -s 8T raw
printf x | dd of=raw bs=1 seek=5555555555555 conv=notrunc status=none
peak 8-TiB-raw convert -O qcow2 raw new
peak 8-TiB-raw compare raw new
peak 8-TiB-raw convert --force new raw2
peak 8-TiB-raw compare raw raw2
rm -f raw raw2 new

# zstd: 8 Mi frames in the end
truncate -s 64M raw
[ -z "$MEMORY_FULL" ] || truncate -s 1T raw
printf x | dd of=raw bs=1 seek=5555555 conv=notrunc status=none
peak zstd convert -O zstd raw new
peak zstd info new
peak zstd compare raw new
rm -f raw new

# le32 N: the bytes of a number, for printf
le32() {
	printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) \
		$(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# Android sparse: chunks of a word each
bits=16
[ -z "$MEMORY_FULL" ] || bits=22
printf '%b' '\0301\0312\0000\0000\0001\0000\0000\0000\0020\0000\0000\0000abcd' >x
printf '%b' '\0302\0312\0000\0000\0001\0000\0000\0000\0020\0000\0000\0000efgh' >>x
i=1
while [ $i -lt $bits ]; do
	cat x x >y
	mv y x
	i=$((i + 1))
done
{
	# shellcheck disable=SC2059
	printf '\072\377\046\355\001\000\000\000\034\000\014\000'
	# shellcheck disable=SC2059
	printf "$(le32 4)$(le32 $((1 << bits)))$(le32 $((1 << bits)))$(le32 0)"
	cat x
} >sparse
peak android-sparse info sparse
peak android-sparse map --output=json sparse
peak android-sparse convert sparse new
# twice 4 bytes for each of the pairs
[ "$(head -c 16 new)" = abcdefghabcdefgh ]
[ "$(stat -c %s new)" = $((4 << bits)) ]
