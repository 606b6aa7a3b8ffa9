#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Compressed archives by the programs of each kind, and archives of which a part
# is missing, wrong, or too much: plain and of each kind.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs gzip bzip2 xz zstd lz4
image_size=+3M

# only for those that are there: the kinds that few programs write
kinds='gzip bzip2 xz zstd lz4 lzma'
for k in lzip compress; do
	if command -v $k >/dev/null; then
		kinds="$kinds $k"
	elif command -v bsdtar >/dev/null; then
		kinds="$kinds bsdtar-$k"
	fi
done
pack() { # KIND FILE
	case $1 in
	lzma) xz --format=lzma -c "$2" ;;
	bsdtar-*) bsdtar -cf - --"${1#bsdtar-}" @"$2" ;;
	*) $1 -c "$2" 2>/dev/null ;;
	esac
}

# entries at 0, 512, 3072 (with what is before it), 7168, 7680; end mark at 9216
"$gentar" >a.tar <<'X'
dir d
pax SCHILY.xattr.user.x value
file d/one size=700
symlink three one
fifo four
file five size=1100
end
X
size=$(stat -c %s a.tar)
build --strict a.tar
cp image.raw first.raw

# --- cut off ------------------------------------------------------------------
# where an entry ends there may be no more of them; a lone block of zeroes is the
# end mark
edges=
at=0
for blocks in 1 5 1 1 4; do
	at=$((at + blocks * 512))
	edges="$edges $at "
done
[ $at -eq $((size - 1024)) ] || fail "the edges are not where they were"
at=0
while [ $at -lt $((size - 1024)) ]; do
	for cut in $at $((at + 1 + at % 510)); do
		[ $cut -gt 0 ] || continue
		head -c $cut a.tar >cut.tar
		case $edges in
		*" $cut "*)
			refuses 'no end-of-archive mark' 1 --strict cut.tar
			mkimage --force -o image.raw cut.tar >/dev/null 2>err.log ||
				fail "$cut: $(cat err.log)"
			grep -q 'no end-of-archive mark' err.log ||
				fail "$cut: no warning"
			;;
		*)
			refuses 'cut.tar: ' 1 cut.tar
			head -c $cut a.tar | refuses 'standard input: ' 1 -
			;;
		esac
	done
	at=$((at + 512))
done
for cut in 0 512 1024; do
	head -c $((size - cut)) a.tar >cut.tar
	[ $cut -lt 1024 ] || continue
	build --strict cut.tar
	cmp image.raw first.raw || fail "an end mark less $cut: another image"
done
head -c $((size - 2124)) a.tar >cut.tar
refuses "entry 'five': read: Truncated tar archive" 1 cut.tar
# the last contents are zeroes: those are no end mark
printf 'file a text=1\nfile z zeroes=1024\n' | "$gentar" >z.tar
refuses 'no end-of-archive mark' 1 --strict z.tar
# nothing tells a cut there from an archive without a mark, but for the end of
# what it is compressed with: compress has none
build z.tar 2>/dev/null
cp image.raw first.raw
for k in $kinds; do
	pack "$k" z.tar >z.c
	case $k in
	bsdtar-*) continue ;; # it makes another archive
	compress)
		refuses 'it may have been cut off, after 2 entries' 1 \
			--strict z.c
		;;
	*)
		build --strict z.c
		cmp image.raw first.raw || fail "$k, no end mark: another image"
		head -c $(($(stat -c %s z.c) - 1)) z.c >cut.c
		refuses 'cut.c: ' 1 cut.c
		;;
	esac
done
build --strict a.tar
cp image.raw first.raw
# nothing, and nothing but an end mark
: >empty
refuses 'empty: it is empty' 1 empty
refuses 'standard input: it is empty' 1 - <empty
for n in 512 1024 10240; do
	head -c $n /dev/zero >nothing
	build --strict nothing
	has 'stat /lost+found' 'Inode: 11 '
	[ "$(debugfs -R 'ls -p /' image.raw 2>/dev/null | grep -c '^/')" -eq 3 ] ||
		fail "something in an empty image"
done
# what never ends
refuses 'more than 64 MiB behind its end' 1 --source-type tar /dev/zero
cat a.tar /dev/zero 2>/dev/null | refuses 'more than 64 MiB behind its end' 1 -

# --- of each kind ---------------------------------------------------------------
junk() { # what follows FILE
	cat "$1"
	echo garbage
}
for k in $kinds; do
	pack "$k" a.tar >a.c
	c=$(stat -c %s a.c)
	build --strict a.c
	cmp image.raw first.raw || fail "$k: another image"
	mkimage -q --force --strict --size $image_size -o image.raw - <a.c
	cmp image.raw first.raw || fail "$k, from a pipe: another image"
	# several, cut within an entry
	head -c 1000 a.tar >1.part
	tail -c +1001 a.tar >2.part
	for part in 1 2; do
		pack "$k" $part.part >$part.c 2>/dev/null || :
	done
	cat 1.c 2.c >b.c
	case $k in
	bsdtar-*) ;; # it packs whole archives only
	compress) refuses 'b.c: decompress: ' 1 b.c ;;
	lzma) refuses 'b.c: ' 1 b.c ;;
	*)
		build --strict b.c
		cmp image.raw first.raw || fail "$k, two: another image"
		;;
	esac
	# zeroes behind it
	{
		cat a.c
		head -c 3000 /dev/zero
	} >b.c
	if [ $k = zstd ]; then
		refuses 'b.c: decompress: ' 1 b.c
	else
		build --strict b.c
		cmp image.raw first.raw || fail "$k, zeroes: another image"
	fi
	case $k in
	gzip | xz | lz4) # each has its own reader
		{
			cat a.c
			cat /dev/zero
		} 2>/dev/null | refuses 'more than 64 MiB ' 1 -
		;;
	esac
	# anything else is refused, or told and an error of --strict
	junk a.c >b.c
	case $k in
	xz | zstd)
		refuses 'b.c: decompress: ' 1 b.c
		;;
	*)
		why='what follows the compressed data is left out'
		case $k in
		*compress) why='what follows the end-of-archive mark is left' ;;
		esac
		refuses "$why" 1 --strict b.c
		mkimage --force --size $image_size -o image.raw b.c >/dev/null \
			2>err.log || fail "$(cat err.log)"
		[ "$(grep -c "warning: .*$why" err.log)" -eq 1 ] ||
			fail "$k: $(cat err.log)"
		cmp image.raw first.raw || fail "$k, garbage: another image"
		;;
	esac
	# cut off: of compress, which has no end, the archive is
	less='1 2 5 9 13'
	case $k in
	*compress) less= ;;
	esac
	for cut in 1 3 11 $((c / 3)) $((c * 2 / 3)) \
		$(for n in $less; do echo $((c - n)); done); do
		head -c "$cut" a.c >cut.c
		refuses 'cut.c: ' 1 cut.c
	done
	head -c $((c * 2 / 3)) a.c | refuses 'standard input: ' 1 -
	# wrong: a bit of the data, and of the sum behind it; compress has none
	case $k in
	*compress) continue ;;
	esac
	for at in $((c / 3)) $((c / 2)) $((c - 3)); do
		flip a.c bad.c "$at" 4
		rc=0
		mkimage -q --force --size $image_size -o image.raw bad.c \
			2>err.log || rc=$?
		if [ $rc -eq 0 ]; then
			# some bits mean nothing: the program must agree
			cmp image.raw first.raw || fail "$k: bit of $at"
			[ "$at" -ne $((c - 3)) ] || fail "$k: a wrong sum"
		fi
	done
	# nothing in it
	: >empty
	case $k in
	bsdtar-*) ;;
	*)
		pack "$k" empty >e.c
		refuses 'e.c: it is empty' 1 e.c
		;;
	esac
done
# a skippable frame before, between and behind
printf 'P*M\030\004\000\000\000junk' >skip
zstd -qc 1.part >1.zst
zstd -qc 2.part >2.zst
cat skip 1.zst skip skip 2.zst skip >s.zst
build --strict s.zst
cmp image.raw first.raw || fail "skippable frames: another image"
head -c $(($(stat -c %s s.zst) - 2)) s.zst >cut.c
refuses 'cut.c: decompress: it is cut off' 1 cut.c
# a frame that does not say its size, and one with a sum
zstd -qc --no-check <a.tar >s.zst
build --strict s.zst
cmp image.raw first.raw || fail "a frame without a sum: another image"
