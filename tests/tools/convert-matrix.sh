#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Images of every shape that the options can name, there and back, against
# qemu-img: its check finds nothing, its compare no difference, and an image of
# the same shape that it makes reads the same here.
#
#   convert-matrix.sh all | NUMBER     how many shapes: all, or a sample
#
# The sample is the same each time, and has each value of each option in it.
set -eu
want=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# data, holes and written zeroes, not in step with clusters; runs that compress
# and runs that do not; a last sector alone
truncate -s $((6 * 1024 * 1024 + 512)) src.raw
put() { # OFFSET LENGTH
	head -c "$2" /dev/urandom | tr '\0' x |
		dd of=src.raw bs=65536 seek="$1" oflag=seek_bytes conv=notrunc \
			iflag=fullblock status=none
}
put 0 5000
put 65536 65536
put 1000000 300000
put 2621439 3
put 6291456 512
yes 'this compresses' | head -c 700000 |
	dd of=src.raw bs=65536 seek=3145728 oflag=seek_bytes conv=notrunc status=none
dd if=/dev/zero of=src.raw bs=64k seek=80 count=8 conv=notrunc status=none

shapes() { # every shape that is allowed, a line each
	local cluster bits compat comp ext data lazy
	for cluster in 512 1k 4k 16k 64k 256k 2M; do
		for bits in 1 2 4 8 16 32 64; do
			for compat in 0.10 1.1; do
				for comp in none zlib zstd; do
					for ext in off on; do
						for data in no yes raw; do
							for lazy in off on; do
								shape
							done
						done
					done
				done
			done
		done
	done
	local format
	for format in raw zstd android-sparse; do
		echo "$format -"
	done
}
shape() {
	if [ $compat = 0.10 ]; then
		[ $bits = 16 ] && [ $comp != zstd ] && [ $ext = off ] &&
			[ $data = no ] && [ $lazy = off ] || return 0
	fi
	[ $ext = off ] || case $cluster in 512 | 1k | 4k) return 0 ;; esac
	[ $data = no ] || [ $comp = none ] || return 0
	local opts=cluster_size=$cluster,refcount_bits=$bits,compat=$compat
	[ $comp != zstd ] || opts+=,compression_type=zstd
	[ $ext = off ] || opts+=,extended_l2=on
	[ $lazy = off ] || opts+=,lazy_refcounts=on
	[ $data = no ] || opts+=,data_file=DATA
	[ $data != raw ] || opts+=,data_file_raw=on
	echo "qcow2 $opts $([ $comp = none ] || echo -c)"
}

fail() {
	echo "$*"
	exit 1
}
same() { # A B
	qemu-img compare -q "$1" "$2" || fail "$1 and $2 differ"
}
clean() { # IMAGE
	qemu-img check -q "$1" || fail "qemu-img check $1"
	qcow-tool check -q "$1" || fail "qcow-tool check $1"
}

qcow2() { # OPTS [-c]
	local opts=$1 c=${2-}
	qcow-tool convert $c -O qcow2 -o "${opts/DATA/ours.data}" src.raw \
		ours.qcow2
	clean ours.qcow2
	same src.raw ours.qcow2
	qcow-tool convert --allow-backing ours.qcow2 back.raw
	cmp src.raw back.raw
	qemu-img convert $c -O qcow2 -o "${opts/DATA/theirs.data}" src.raw \
		theirs.qcow2
	qcow-tool compare -q --allow-backing theirs.qcow2 ours.qcow2 ||
		fail "qcow-tool compare"
	# what another program writes into ours stays right
	qemu-io -f qcow2 -c 'write -P 7 3M 100k' -c 'write -z 1M 64k' \
		ours.qcow2 >/dev/null
	clean ours.qcow2
}

simple() { # FORMAT: of the source's bytes and nothing else
	qcow-tool convert -O "$1" src.raw "ours.$1"
	case $1 in
	raw) cmp src.raw ours.raw ;;
	zstd) zstd -dc <ours.zstd | cmp - src.raw ;;
	android-sparse)
		! command -v simg2img >/dev/null || {
			simg2img ours.android-sparse flat.raw
			# whole blocks
			cmp -n "$(stat -c %s src.raw)" src.raw flat.raw
		} ;;
	esac
	qcow-tool convert -O qcow2 "ours.$1" back.qcow2
	clean back.qcow2
	qcow-tool compare -q back.qcow2 src.raw || fail "back from $1"
}

shapes >all
if [ "$want" = all ]; then
	cp all chosen
else
	# a fixed order, then: whatever has a value not seen, and the first ones
	cksum_order() {
		while read -r line; do
			echo "$(echo "$line" | cksum | cut -d' ' -f1) $line"
		done | sort -n | cut -d' ' -f2-
	}
	cksum_order <all | awk -v want="$want" '
		{
			new = 0
			n = split($2 "," $1 "," $3, v, ",")
			for (i = 1; i <= n; i++)
				if (!(v[i] in seen)) new = 1
			if (new || taken < want) {
				taken++
				print
				for (i = 1; i <= n; i++) seen[v[i]] = 1
			}
		}' >chosen
fi
while read -r format opts c; do
	echo "--- $format $opts $c"
	rm -f ours.* theirs.* back.* flat.*
	case $format in
	qcow2) qcow2 "$opts" $c ;;
	*) simple "$format" ;;
	esac
done <chosen
echo "$(wc -l <chosen) of $(wc -l <all) shapes"
