#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Compressed archives: each kind gives the image of the archive as it is; a bit
# that is wrong, an end that is missing is refused; what follows is told; the
# decoder's memory has a limit.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs gzip xz zstd bzip2 lz4
image_size=+3M

"$gentar" >a.tar <<'X'
dir d
file d/one size=3000
file two size=200000
end
X
# without patterns, so that the middle of the file is compressed data
head -c 150000 /dev/urandom >d.rnd
mkdir tree
mv d.rnd tree/random
cp a.tar tree/archive
tar -C tree --sort=name --mtime=@1000000000 --owner=0 --group=0 -cf b.tar .
build --strict b.tar
mv image.raw want.raw

pack() {
	case $1 in
	gzip) gzip -nc ;;
	xz) xz -c ;;
	lzma) xz --format=lzma -c ;;
	xz-crc32) xz --check=crc32 -c ;;
	zstd) zstd -qc --check ;;
	bzip2) bzip2 -c ;;
	lz4) lz4 -qc ;;
	esac
}

for c in gzip xz xz-crc32 lzma zstd bzip2 lz4; do
	pack $c <b.tar >b.c
	build --strict b.c
	cmp image.raw want.raw || fail "$c: another image"
	mkimage -q --strict --force --size $image_size -o image.raw - <b.c
	cmp image.raw want.raw || fail "$c from a pipe: another image"
	# two of them
	head -c 100000 b.tar | pack $c >2.c
	tail -c +100001 b.tar | pack $c >>2.c
	[ $c = lzma ] || {
		build --strict 2.c
		cmp image.raw want.raw || fail "two of $c: another image"
	}
	size=$(stat -c %s b.c)
	for less in 1 4 9 20 $((size / 2)); do
		head -c $((size - less)) b.c >cut
		[ $c:$less = lzma:1 ] || refuses cut 1 cut
	done
	# lzma has no checksum
	[ $c != lzma ] || continue
	for at in $((size / 4)) $((size / 2)) $((size * 3 / 4)) \
		$((size - 3)) $((size - 7)); do
		case $c:$((size - at)) in
		xz*:3) continue ;; # see below
		esac
		flip b.c bad $at 4
		refuses bad 1 bad
	done
	# zeroes behind it are how tapes and partitions end
	{
		cat b.c
		head -c 4096 /dev/zero
	} >rest
	case $c in
	zstd | lz4) ;; # not for their own programs either
	*)
		build --strict rest
		cmp image.raw want.raw || fail "$c and zeroes: another image"
		;;
	esac
	{
		cat b.c
		echo garbage
	} >rest
	case $c in
	xz* | zstd)
		refuses decompress 1 rest
		;;
	*)
		refuses 'what follows the compressed data is left out' 1 \
			--strict rest
		mkimage --force --size $image_size -o image.raw rest \
			>/dev/null 2>err.log || fail "$c and garbage"
		grep -q 'what follows the compressed data' err.log ||
			fail "$c and garbage: nothing is said"
		cmp image.raw want.raw || fail "$c and garbage: another image"
		;;
	esac
done

# a name that begins as lzma's data does
"$gentar" >a.tar <<'X'
file ] text=1
end
X
build --strict a.tar
has 'cat /]' '^1$'

# a second stream too short to be one
bzip2 -c </dev/null >empty.c
bzip2 -c b.tar >2.c
head -c 10 empty.c >>2.c
refuses decompress 1 2.c

# what follows begins where a piece of what is read ends: streams with nothing in
# them fill it up
head -c 250000 /dev/urandom >random
tar --format=ustar -cf b2.tar random
build --strict b2.tar
cp image.raw pieces.raw
bzip2 -c b2.tar >piece.c
bzip2 -c </dev/null >empty.c
size=$(stat -c %s piece.c)
while [ $((size + 14)) -lt 262144 ]; do
	cat empty.c
	size=$((size + 14))
done >>piece.c
head -c 3000 /dev/zero | cat piece.c - >rest
build --strict rest
cmp image.raw pieces.raw || fail "zeroes from piece to piece: another image"
for rest in x 'garbage that is long enough for the next piece'; do
	{
		cat piece.c
		printf %s "$rest"
		head -c 3000 /dev/zero
	} >rest
	refuses 'what follows the compressed data is left out' 1 --strict rest
done
printf BZh9 >>piece.c
head -c 9 /dev/zero >>piece.c
refuses decompress 1 piece.c

# a window that would take more memory than it may
xz -c --lzma2=dict=64MiB b.tar >w.xz
build w.xz
for dict in --lzma2=dict=128MiB --format=lzma\ --lzma1=dict=128MiB; do
	# shellcheck disable=SC2086
	xz -c $dict b.tar >w.xz
	build w.xz
done
xz -c --lzma2=dict=192MiB b.tar >w.xz
refuses 'a window of more than 128 MiB' 1 w.xz
xz -c --format=lzma --lzma1=dict=192MiB b.tar >w.xz
refuses 'a window of more than 128 MiB' 1 w.xz
# from a pipe, as else the window is no larger than the file
zstd -qc --long=27 <b.tar >w.zst
build w.zst
zstd -qc --long=28 <b.tar >w.zst
refuses 'a window of more than 128 MiB' 1 w.zst
# lzip's is in a byte of its own: 128 MiB, and 16 more
if have_tool lzip; then
	lzip -qc b.tar >w.lz
	printf '\033' | dd of=w.lz bs=1 seek=5 conv=notrunc status=none
	build w.lz
	printf '\374' | dd of=w.lz bs=1 seek=5 conv=notrunc status=none
	refuses 'a window of more than 128 MiB' 1 w.lz
fi
