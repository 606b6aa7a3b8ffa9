#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Archives in every dialect, and where each case is tested (here, if nothing is
# said; T: test-mkimage-tar.sh, R: test-mkimage-refuses.sh, L:
# test-mkimage-large.sh, O: test-mkimage-oci.sh, E: test-mkimage-tree.sh).
#
#	v7 (T), ustar with a prefix		dialects, names
#	GNU: L (T), K, base 256 (T: uid, gid)	long names, numbers
#	GNU: S in several headers		dialects (--sparse)
#	GNU: D, V, M				GNU's own types
#	pax: x, g; path, size, uid, mtime (T)	pax
#	pax: gid, uname, linkpath, atime, ctime	pax
#	pax: hdrcharset, comment, SCHILY.*	pax
#	pax: SCHILY.fflags, selinux (T)		pax
#	pax: LIBARCHIVE.creationtime		pax
#	pax: empty value, NUL in a value	pax
#	pax: GNU.sparse 0.0, 0.1, 1.0		dialects
#	Solaris X, star				others
#	cpio in four dialects			cpio
#	concatenated: tar -A, cat		several archives
#	gzip, xz, bzip2, zstd of several (T)	several archives
#	zstd skippable frames			several archives
#	trailing garbage (T), no end (T)	several archives
#	truncated (R), empty (T), 0 bytes (R)
#	names of 100 bytes (T), 255, 256 (R)	names (links)
#	paths over 4096, over the limit (R)	names
#	not UTF-8, newline, backslash		names
#	./ / // a/./b a/ (T), .. (R), "." (E)	names
#	lost+found (T, R), no name
#	child before parent, no parent (T)
#	duplicates of every kind (T), through links (R)
#	hard links of every kind (T, R), >65000 (R)
#	100,000 directories and 1,000,000 names in one (L), 1000 deep (T)
#	devices with large numbers (T), too large (R)
#	fifo, contiguous (T), unknown types	types
#	whiteouts (O)
#	by bsdtar, busybox			other programs
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs tar cpio gzip zstd
image_size=+4M

gen() {
	"$gentar" >a.tar || fail gentar
}
long=$(printf '%0120d' 0)

# --- dialects, by tar: each gives the same image as the first --------------
mkdir -p d/dir/sub
echo text >d/file
ln d/file d/hard
ln -s file d/symlink
mkfifo d/fifo
: >d/empty
truncate -s 3M d/sparse
# enough pieces for extended headers
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 \
	27 28 29 30; do
	printf 'piece %d' $i | dd of=d/sparse bs=1 seek=$((i * 100000)) \
		conv=notrunc status=none
done
truncate -s 1M d/hole
find d -exec touch -h -d @1000000000 {} +
pack() {
	tar -C d --sort=name --owner=0 --group=0 --numeric-owner -cf d.tar \
		"$@" .
}
pack --format=ustar
build d.tar
cp image.raw first.raw
for opts in --format=v7 --format=oldgnu --format=gnu \
	'--format=oldgnu --sparse' '--format=gnu --sparse' \
	'--format=posix --sparse --sparse-version=0.0' \
	'--format=posix --sparse --sparse-version=0.1' \
	'--format=posix --sparse --sparse-version=1.0'; do
	case $opts in
	*v7) rm d/fifo ;; # it has none
	esac
	# atime and ctime are in a pax archive unless told otherwise
	case $opts in
	*posix*) opts="$opts --pax-option=delete=atime,delete=ctime" ;;
	esac
	# shellcheck disable=SC2086
	pack $opts
	case $opts in
	*v7)
		build d.tar
		has 'cat /file' '^text$'
		has 'stat /hard' 'Links: 2'
		mkfifo d/fifo
		touch -d @1000000000 d/fifo d
		continue
		;;
	esac
	build d.tar
	cmp image.raw first.raw || fail "$opts: another image"
done

# --- GNU's own types --------------------------------------------------------
tar -C d --format=gnu -V 'a label' -cf v.tar file
build v.tar
debugfs -R 'ls /' image.raw 2>&1 | grep -q label && fail "the label is a file"
has 'cat /file' '^text$'
tar -C d --format=gnu -g snapshot -cf g.tar .
build g.tar
has 'stat /dir' 'Type: directory'
has 'cat /file' '^text$'
head -c 30000 /dev/zero | tr '\0' x >d/big
tar -C d --format=gnu -M -L 10 -cf m1.tar -f m2.tar -f m3.tar -f m4.tar big \
	</dev/null 2>/dev/null || :
rm d/big
refuses m1.tar 1 m1.tar
refuses "entry 'big': it goes on from an earlier volume" 1 m2.tar
gen <<'X'
gnu-long K target-of-a-link-0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
symlink k cut format=gnu
file old format=gnu mtime=-1000
file new format=gnu mtime=8589934592
end
X
build a.tar
has 'stat /k' 'Type: symlink .*'
has 'stat /k' 'Size: 117'
has 'cat /k' '^target-of-a-link-0123'
has 'stat /old' 'mtime: 0xfffffc18'
has 'stat /new' 'mtime: 0x00000000:00000002'

# --- pax --------------------------------------------------------------------
gen <<'X'
pax comment of-a-program
global
file x text=1
end
X
build --strict a.tar
gen <<'X'
pax comment of-a-program
pax uid 7
global
file x text=1
end
X
build a.tar
refuses "'uid' of a global pax header left out" 1 --strict a.tar
gen <<'X'
pax uid 8
file own text=1
pax gid 2147483648
pax uname somebody
pax gname nobody
pax atime 100.25
pax ctime 200.5
pax comment whatever
pax SCHILY.dev 5
pax SCHILY.ino 6
pax SCHILY.nlink 7
pax LIBARCHIVE.creationtime 300
pax SCHILY.fflags nodump,noatime
pax VENDOR.unknown x
file many text=1
pax SCHILY.devmajor 9
pax SCHILY.devminor 70000
char dev 1 2
pax linkpath a/target/in/a/record
symlink l x
pax linkpath own
link hard x
pax hdrcharset BINARY
pax path b\xffy\x80te
file x text=1
pax path one
pax path two
file x text=1
end
X
build a.tar
has 'stat /own' 'User: +8 '
has 'stat /many' 'Group: -2147483648'
has 'stat /many' 'atime: 0x00000064:3b9aca00'
has 'stat /many' 'ctime: 0x000000c8:77359400'
has 'stat /many' 'Flags: 0x800c0'
has 'stat /l' 'a/target/in/a/record'
has 'stat /hard' 'Links: 2'
has 'cat /two' '^1$'
has 'stat /dev' 'Type: character special'
debugfs -R 'ls -p /' image.raw 2>/dev/null | grep -aq "$(printf 'b\377y\200te')" ||
	fail "bytes of a name are lost"
# an empty value: the header's own counts
gen <<'X'
pax uid
pax mtime
pax path
file x uid=9 text=1
pax SCHILY.xattr.user.empty
file y uid=9 text=1
end
X
build a.tar
has 'stat /x' 'User: +9 '
has 'stat /x' 'mtime: 0x3b9aca00'
has 'ea_list /y' 'user.empty \(0\)'
# a NUL in a value: of an attribute it is a byte, in a name it is refused
gen <<'X'
pax SCHILY.xattr.user.nul a\x01b
file x text=1
end
X
tr '\001' '\000' <a.tar >b.tar
build b.tar
has 'ea_get -x /x user.nul' '61 00 62'
gen <<'X'
pax path ok\x01/../../escape
file x text=1
end
X
tr '\001' '\000' <a.tar >b.tar
refuses "its 'path' has a NUL" 1 b.tar
# archive/tar of Go has no target in the header when it is in a record
gen <<'X'
pax path \xe6\x97\xa5
file x text=1
pax linkpath \xe6\x97\xa5
link hard \x00
pax linkpath \xe6\x97\xa5
symlink soft \x00
end
X
build --strict a.tar
has 'stat /hard' 'Links: 2'
has 'stat /soft' 'Type: symlink'
has 'stat /soft' 'Size: 3$'

# --- others -----------------------------------------------------------------
gen <<'X'
pax path solaris-name
pax uid 77
solaris
file x text=1
file star format=star prefix=of/star text=1
file in-a-prefix prefix=a/long/way text=1
end
X
build a.tar
has 'cat /solaris-name' '^1$'
has 'stat /solaris-name' 'User: +77 '
has 'cat /of/star/star' '^1$'
has 'cat /a/long/way/in-a-prefix' '^1$'
has 'stat /of/star/star' 'atime: 0x499602d2'
has 'stat /of/star/star' 'ctime: 0x499602d3'
# headers that go on in the next piece of what is read, and in the one after it
for piece in 262144 524288; do
	for before in 512 1024 1536; do
		printf 'file pad size=%d\npax mtime -0.5\nfile x text=1\nend\n' \
			$((piece - 512 - before)) | "$gentar" >a.tar
		build --strict a.tar
		has 'stat /x' 'mtime: 0xffffffff:77359400'
		build --strict - <a.tar
		has 'stat /x' 'mtime: 0xffffffff:77359400'
	done
done
{
	printf 'file pad size=200000\npax comment '
	head -c 600000 /dev/zero | tr '\0' c
	printf '\npax mtime -0.5\nfile x text=1\nend\n'
} | "$gentar" >a.tar
build a.tar
has 'stat /x' 'mtime: 0xffffffff:77359400'

# --- cpio -------------------------------------------------------------------
mkdir c
echo one >c/one
ln c/one c/two
ln -s one c/link
mkdir c/dir
mkfifo c/fifo
for format in newc crc odc bin; do
	(cd c && find . | sort | cpio -o -H $format --quiet) >c.cpio
	build --strict c.cpio
	has 'cat /one' '^one$'
	has 'stat /two' 'Links: 2'
	has 'stat /link' 'Fast link dest: "one"'
	has 'stat /dir' 'Type: directory'
	has 'stat /fifo' 'Type: FIFO'
	gzip -c c.cpio | cat | mkimage -q --force -o image.raw -
	clean image.raw
	head -c 100 c.cpio >cut
	refuses cut 1 cut
done

# --- several archives -------------------------------------------------------
gen <<'X'
file a text=1
file both text=first
end
X
cp a.tar 1.tar
gen <<'X'
file b text=2
file both text=second
end
X
cat 1.tar a.tar >cat.tar
build --strict cat.tar
has 'cat /a' '^1$'
has 'cat /b' '^2$'
has 'cat /both' '^second$'
cp image.raw first.raw
# with more zeroes between them, as tar's own records have
head -c 10240 /dev/zero | cat 1.tar - a.tar >cat.tar
build --strict cat.tar
cmp image.raw first.raw || fail "zeroes between archives: another image"
cp 1.tar A.tar
tar -A -f A.tar a.tar
build A.tar
cmp image.raw first.raw || fail "tar -A: another image"
gzip -c 1.tar >cat.c
gzip -c a.tar >>cat.c
build --strict cat.c
cmp image.raw first.raw || fail "two gzip archives: another image"
cat 1.tar a.tar | cat | mkimage -q --size $image_size --force -o image.raw -
cmp image.raw first.raw || fail "two archives from a pipe: another image"
cat 1.tar a.tar | head -c 2000 >cut.tar
refuses cut.tar 1 cut.tar
# the second is not read as a part of the first's last file
gen <<'X'
file c text=3
end
text trailing-garbage
X
cat 1.tar a.tar >cat.tar
mkimage --force -o image.raw cat.tar >/dev/null 2>err.log
grep -q 'what follows the end-of-archive mark is left out' err.log ||
	fail "$(cat err.log)"
has 'cat /c' '^3$'
refuses 'what follows the end-of-archive' 1 --strict cat.tar
# a skippable frame before, between and behind
zstd -qc 1.tar >1.zst
printf 'P*M\030\004\000\000\000junk' >skip
cat skip 1.zst skip >s.zst
build --strict s.zst
has 'cat /a' '^1$'
split -b 1000 1.tar part.
{
	for p in part.*; do
		zstd -qc "$p"
		cat skip
	done
} >s.zst
build --strict s.zst
has 'cat /both' '^first$'
# garbage behind compressed data never changes what is in it
for c in gzip xz zstd bzip2; do
	$c -c 1.tar >g.c
	echo garbage >>g.c
	rc=0
	mkimage -q --size $image_size --force -o image.raw g.c 2>err.log || rc=$?
	[ $rc -eq 1 ] || {
		clean image.raw
		has 'cat /both' '^first$'
	}
done

# --- names --------------------------------------------------------------------
gen <<'X'
file new\x0aline text=1
file back\x5cslash text=1
file \xff\xfe text=1
file dir./.x text=1
file ... text=1
file in/the/ustar/prefix/name prefix=of/100 text=1
end
X
build a.tar
for n in 'dir./.x' '...' 'of/100/in/the/ustar/prefix/name'; do
	has "cat /$n" '^1$'
done
debugfs -R 'ls -p /' image.raw >ls.log 2>/dev/null
grep -aq "$(printf '\377\376')" ls.log || fail "bytes of a name are lost"
grep -aqF 'back\slash' ls.log || fail "a backslash is lost"
grep -aq '/new$' ls.log || fail "a newline is lost"
{
	printf 'pax path '
	for i in $(seq 900); do printf 'dir%d/' $i; done
	echo file
	echo 'file x text=1'
	echo end
} | gen
build a.tar
# a link to a name of exactly 100 bytes
gen <<X
file $(printf '%.100s' "$long") text=1
link l $(printf '%.100s' "$long")
end
X
build a.tar
has 'stat /l' 'Links: 2'
printf 'file \\x00 text=1\nend\n' | gen
refuses 'it has no name' 1 a.tar

# --- types ------------------------------------------------------------------
gen <<'X'
type Q strange text=1
type Z other size=3000
file after text=1
end
X
mkimage --force -o image.raw a.tar >/dev/null 2>err.log
[ "$(grep -c "of unknown type '[QZ]', taken for a file" err.log)" -eq 2 ] ||
	fail "$(cat err.log)"
clean image.raw
has 'cat /strange' '^1$'
has 'cat /after' '^1$'
refuses "entry 'strange': of unknown type 'Q'" 1 --strict a.tar

# --- other programs ---------------------------------------------------------
mkdir p
echo text >p/file
ln p/file p/hard
ln -s file p/symlink
mkdir p/dir
mkfifo p/fifo
echo 1 >"p/$(printf 'n\303\244me')"
echo 1 >"p/$long"
chmod 4755 p/file
find p -exec touch -h -d @1000000000 {} +
tar -C p --format=pax --sort=name --owner=0 --group=0 --numeric-owner \
	--pax-option=delete=atime,delete=ctime -cf p.tar .
build --strict p.tar
mv image.raw first.raw
if command -v bsdtar >/dev/null; then
	# in the order tar has them
	(cd p && find . | sort) >p.list
	for format in pax gnutar ustar newc odc; do
		bsdtar -C p --format=$format --uid 0 --gid 0 --uname root \
			--gname root --no-recursion -cf p.tar -T p.list
		build --strict p.tar
		has 'cat /file' '^text$'
		has 'stat /file' 'Links: 2'
		has 'stat /file' 'Mode: +0?4755 '
		has 'stat /file' 'mtime: 0x3b9aca00'
		has 'stat /symlink' 'Fast link dest: "file"'
		has 'stat /fifo' 'Type: FIFO'
		# ustar has no room for it
		[ $format = ustar ] || has "cat /$long" '^1$'
		has "cat /$(printf 'n\303\244me')" '^1$'
	done
	for c in gzip bzip2 xz zstd lz4 lzma; do
		bsdtar -C p --$c --uid 0 --gid 0 -cf p.tar.c . || continue
		build --strict p.tar.c
		has 'cat /file' '^text$'
	done
fi
if command -v busybox >/dev/null; then
	busybox tar -C p -cf p.tar .
	build --strict p.tar
	has 'cat /file' '^text$'
	has 'stat /hard' 'Links: 2'
	has 'stat /file' 'Mode: +0?4755 '
	has 'stat /symlink' 'Fast link dest: "file"'
	has 'stat /fifo' 'Type: FIFO'
	has "cat /$long" '^1$'
	busybox tar -C p -czf p.tar.gz .
	mv image.raw first.raw
	build --strict p.tar.gz
	cmp image.raw first.raw || fail "busybox tar -z: another image"
fi
