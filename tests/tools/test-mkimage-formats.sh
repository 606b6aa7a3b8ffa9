#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Archives in every dialect. Where each case is tested: here, under the heading
# that stands beside it, or in another file (N: test-mkimage-names.sh, C:
# -cut.sh, P: -programs.sh, T: -tar.sh, R: -refuses.sh, L: -large.sh, I:
# -interop.sh, M: -meta.sh, O: -oci.sh).
#
#	v7, ustar with a prefix			dialects (N, P)
#	GNU: L, K				GNU's own types (P)
#	GNU: S in several headers		dialects
#	GNU: base 256 (size, uid: M), mtime	GNU's own types (P)
#	GNU: D, V, M				GNU's own types
#	pax: x, each of its records		pax
#	pax: g					pax, a global one
#	pax: empty value			pax, lines no-...
#	pax: NUL in a value			pax
#	pax: GNU.sparse 0.0, 0.1, 1.0		dialects (P)
#	Solaris X (A: N), star			others
#	headers across pieces of the input	others
#	cpio in seven dialects, sockets, doors	cpio
#	what is neither tar nor cpio		archives of other kinds
#	concatenated: tar -A, cat		several archives
#	gzip, xz, zstd of several parts, skippable frames	C
#	trailing garbage, no end, truncated, empty, 0 bytes	C
#	names, the root, lost+found, paths over 4096		N
#	order, duplicates, links, attacks			N
#	more than 65,000 links			R
#	100,000 directories in one, names by the hundred thousand	L
#	1000 deep (2048 deep: N)		T
#	devices, fifo, socket, contiguous, unknown, whiteouts	N, here, O
#	by GNU tar, bsdtar, busybox, pax, Python, cpio		P
#	by programs in Go			I
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs tar cpio gzip zstd
image_size=+3M

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
rm -rf snapshot
for format in gnu posix; do
	# V: a label
	tar -C d --format=$format -V 'a label' -cf v.tar file
	build --strict v.tar
	debugfs -R 'ls /' image.raw 2>&1 | grep -q label &&
		fail "$format: the label is a file"
	has 'cat /file' '^text$'
	# D: incremental, a folder with a list of what is in it
	rm -f snapshot
	tar -C d --format=$format -g snapshot -cf g.tar .
	tar -tvf g.tar >/dev/null
	build --strict g.tar
	has 'stat /dir' 'Type: directory'
	has 'cat /file' '^text$'
	debugfs -R 'cat /dir' image.raw 2>&1 | grep -aq Ysub &&
		fail "$format: the list is in the folder"
	# M: several volumes
	head -c 30000 /dev/zero | tr '\0' x >d/big
	tar -C d --format=$format -M -L 10 -cf m1.tar -f m2.tar -f m3.tar \
		-f m4.tar big </dev/null 2>/dev/null || :
	rm d/big
	refuses "entry 'big': " 1 m1.tar
	for v in m2.tar m3.tar m4.tar; do
		refuses 'it goes on from an earlier volume' 1 $v
		grep -q "^mkimage: $v: entry '.*big" err.log ||
			fail "$(cat err.log)"
	done
done
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
# A table: what | records | entry | what debugfs is asked | what it says. An
# entry is called x; here it gets the name of its line, so that all of them are
# in one image.
table() { # FILE [OPTION]...
	from=$1
	shift
	awk -F ' *[|] *' '{
		n = split($2, r, " *; *")
		for (i = 1; i <= n; i++) if (r[i] != "") print "pax " r[i]
		sub(" x( |$)", " " $1 " ", $3)
		print $3
	} END { print "end" }' "$from" | gen
	# others take a number back for zero, and labels without their NUL
	odd 'SUN\.devmajor|no-.*|selinux' build "$@" a.tar
	while IFS='|' read -r name _ _ ask want; do
		name=$(echo $name) want=$(echo "$want" | sed 's/^ *//;s/ *$//')
		has "$(echo $ask | sed "s,/x,/$name,")" "$want"
	done <"$from"
}
cat >pax.table <<'X'
path | path to/path | file x text=1 | cat /to/path | ^1$
path-twice | path first ; path to/second | file x text=1 | cat /to/second | ^1$
linkpath-sym | linkpath a/target/of/a/record | symlink x y | stat /x | Fast link dest: "a/target/of/a/record"
linkpath-hard | linkpath to/path | link x y | stat /x | Links: 2
size | size 5 | file x declared=0 text=hello | cat /x | ^hello$
uid | uid 3000000000 | file x uid=1 | stat /x | User: +-1294967296
gid | gid 2147483648 | file x gid=1 | stat /x | Group: +-2147483648
uname | uname daemon ; gname daemon | file x uid=7 gid=8 | stat /x | User: +7 +Group: +8
mtime | mtime 5.000000001 | file x | stat /x | mtime: 0x00000005:00000004
mtime-negative | mtime -1.5 | file x | stat /x | mtime: 0xfffffffe:77359400
mtime-part | mtime -0.5 | file x | stat /x | mtime: 0xffffffff:77359400
atime | atime 100.25 | file x | stat /x | atime: 0x00000064:3b9aca00
atime-negative | atime -.25 | file x | stat /x | atime: 0xffffffff:b2d05e00
ctime | ctime 200.5 | file x | stat /x | ctime: 0x000000c8:77359400
ctime-negative | ctime -7 | file x | stat /x | ctime: 0xfffffff9:00000000
creationtime | LIBARCHIVE.creationtime 300.5 | file x | stat /x | crtime: 0x0000012c:77359400
hdrcharset | hdrcharset BINARY ; path to/b\xffyte | file x text=1 | ls -p /to | b.yte
comment | comment whatever | file x uid=5 | stat /x | User: +5
SCHILY.dev | SCHILY.dev 5 ; SCHILY.ino 6 | file x | stat /x | Links: 1
SCHILY.nlink | SCHILY.nlink 7 | file x | stat /x | Links: 1
SCHILY.devmajor | SCHILY.devmajor 9 ; SCHILY.devminor 70000 | char x 1 2 | stat /x | number: 0*9:70000 
SUN.devmajor | SUN.devmajor 9 ; SUN.devminor 70000 | block x 1 2 | stat /x | number: 0*9:70000 
SCHILY.fflags | SCHILY.fflags nodump,noatime | file x | stat /x | Flags: 0x800c0
SCHILY.xattr | SCHILY.xattr.user.a value | file x | ea_get /x user.a | = "value"
SCHILY.xattr-empty | SCHILY.xattr.user.a | file x | ea_list /x | user.a \(0\)
SCHILY.xattr-twice | SCHILY.xattr.user.a old ; SCHILY.xattr.user.a new | file x | ea_get /x user.a | = "new"
LIBARCHIVE.xattr | LIBARCHIVE.xattr.user.a AAECAw | file x | ea_list /x | user.a \(4\) = 00 01 02 03
LIBARCHIVE.xattr-padded | LIBARCHIVE.xattr.user.a AAECAw== | file x | ea_list /x | user.a \(4\) = 00 01 02 03
LIBARCHIVE.xattr-once | LIBARCHIVE.xattr.user.p%2525q dg== | file x | ea_get /x user.p%25q | = "v"
SCHILY.xattr-once | SCHILY.xattr.user.p%252525q v | file x | ea_get /x user.p%2525q | = "v"
SCHILY.xattr-plain | SCHILY.xattr.user.p%41q v | file x | ea_get /x user.p%41q | = "v"
selinux | RHT.security.selinux u:r:t:s0 | file x | ea_get -x /x security.selinux | 75 3a 72 3a 74 3a 73 30 00 *$
selinux-both | RHT.security.selinux u:r:t:s0 ; SCHILY.xattr.security.selinux u:r:t:s0\x00 | file x | ea_list /x | security.selinux \(9\)
acl | SCHILY.acl.access user::rw-,user:7:r--,group::r--,mask::r--,other::--- | file x | stat /x | Mode: +0640
no-size | size | file x text= | stat /x | Size: 0
no-uid | uid | file x uid=9 | stat /x | User: +9 
no-uid-256 | uid 5 ; uid | file x uid=3000000000 | stat /x | User: +-1294967296
no-gid | gid 5 ; gid | file x gid=9 base256=1 | stat /x | Group: +9 
no-mtime | mtime 5 ; mtime | file x mtime=77 | stat /x | mtime: 0x0000004d:00000000
no-mtime-256 | mtime | file x mtime=-5 | stat /x | mtime: 0xfffffffb:00000000
no-atime | mtime 5 ; atime | file x | stat /x | atime: 0x00000005
no-ctime | mtime 5 ; ctime | file x | stat /x | ctime: 0x00000005
no-creationtime | LIBARCHIVE.creationtime | file x | stat /x | crtime: 0x3b9aca00
no-path | path | file x text=1 | cat /x | ^1$
no-linkpath | linkpath | symlink x t | stat /x | Fast link dest: "t"
no-devmajor | SCHILY.devmajor 1 ; SCHILY.devmajor | char x 5 6 | stat /x | number: 0*5:0*6 
no-devminor | SCHILY.devminor | char x 5 6 | stat /x | number: 0*5:0*6 
no-fflags | SCHILY.fflags | file x | stat /x | Flags: 0x80000$
no-acl | SCHILY.acl.access | file x mode=751 | stat /x | Mode: +0751
no-selinux | RHT.security.selinux | file x | stat /x | Links: 1
X
table pax.table --strict
debugfs -R 'ls -p /to' image.raw 2>/dev/null |
	grep -aq "$(printf 'b\377yte')" || fail "bytes of a name are lost"
debugfs -R 'ea_list /no-selinux' image.raw 2>&1 | grep -q selinux &&
	fail "an empty label"
# what is no record that can be taken back, or understood
while IFS='|' read -r record entry want; do
	printf 'pax %s\nfile before text=1\npax %s\n%s\nfile z text=1\nend\n' \
		'comment c' "$record" "$entry" | gen
	# shellcheck disable=SC2086
	refuses "$(echo $want)" 1 --strict a.tar
done <<'X'
size|file x text=hello|entry 'x': its 'size' is empty
LIBARCHIVE.xattr.user.a A*==|file x|entry 'x': attribute 'user.a': not in base64
VENDOR.unknown y|file x|entry 'x': pax record of unknown kind left out: 'VENDOR.unknown'
GNU.sparse.major 9|file x|entry 'x':
X
printf 'pax a\001b c\nfile x\nend\n' | "$gentar" | tr '\001' '\000' >a.tar
refuses "entry 'x': the name of a pax record has a NUL" 1 -q a.tar
printf 'pax VENDOR.unknown y\nfile x text=1\nend\n' | gen
mkimage --force --size $image_size -o image.raw a.tar 2>err.log
[ "$(grep -c "warning: .*'VENDOR.unknown'" err.log)" -eq 1 ] ||
	fail "$(cat err.log)"
made a.tar
has 'cat /x' '^1$'
# two of them before one entry
printf 'pax uid 5\ntype x h zeroes=0\nfile x text=1\nend\n' | gen
refuses "entry 'x': it has more than one pax header" 1 a.tar

# a global one: for all behind it, until it is taken back
gen <<'X'
file before uid=1 mtime=5
pax uid 7
pax gid 8
pax mtime -0.5
pax atime 9
pax comment of-a-program
pax uname nobody
pax SCHILY.archtype exustar
pax GNU.volume.label l
global
file all uid=1 gid=2 mtime=5
pax uid 9
pax mtime 6
file own uid=1 mtime=5
pax uid
file back uid=1
pax uid
global
file less uid=1 gid=2
end
X
odd 'back|less' build --strict a.tar
while read -r f want; do
	has "stat /$f" "$want"
done <<'X'
before User: +1 
before mtime: 0x00000005:00000000
all User: +7 +Group: +8 
all mtime: 0xffffffff:77359400
all atime: 0x00000009:00000000
own User: +9 +Group: +8
own mtime: 0x00000006:00000000
back User: +1 +Group: +8
less User: +1 +Group: +8
X
# not for the next archive
cp a.tar b.tar
printf 'file next uid=1 gid=2\nend\n' | "$gentar" >>b.tar
odd 'back|less|next' build --strict b.tar
has 'stat /next' 'Group: +2 '
# and as tar has it
tar -C d --format=posix --pax-option=uid=71,gid=72 --owner=5 --group=6 \
	-cf a.tar file
build --strict a.tar
tar --numeric-owner -tvf a.tar | grep -q ' 71/72 ' || fail "tar: no global ids"
has 'stat /file' 'User: +71 +Group: +72'
# the rest is told
for key in path linkpath size SCHILY.xattr.user.x VENDOR.unknown; do
	printf 'pax %s 5\nglobal\nfile x text=1\nend\n' $key | gen
	refuses "'$key' of a global pax header left out" 1 --strict a.tar
done
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
for format in newc crc odc bin hpodc hpbin; do
	(cd c && find . | sort | cpio -o -H $format --quiet) >c.cpio
	build --strict c.cpio
	has 'cat /one' '^one$'
	has 'stat /two' 'Links: 2'
	has 'stat /link' 'Fast link dest: "one"'
	has 'stat /dir' 'Type: directory'
	has 'stat /fifo' 'Type: FIFO'
	gzip -c c.cpio | cat | mkimage -q --force -o image.raw -
	made c.cpio
	head -c 100 c.cpio >cut
	refuses cut 1 cut
done
# old binary headers of the other byte order
(cd c && printf 'one\n' | cpio -o -H bin --quiet) |
	dd conv=swab of=c.cpio status=none
# (and its name and contents back)
printf 'one\0' | dd of=c.cpio bs=1 seek=26 conv=notrunc status=none
printf 'one\n' | dd of=c.cpio bs=1 seek=30 conv=notrunc status=none
printf 'TRAILER!!!\0\0' | dd of=c.cpio bs=1 seek=60 conv=notrunc status=none
odd one build --strict c.cpio
has 'cat /one' '^one$'
# "crc": a sum of the contents
(cd c && printf '%s\n' one two dir | cpio -o -H crc --quiet) >c.cpio
build --strict c.cpio
at=$(grep -abo '^one$\|one$' c.cpio | tail -1 | cut -d : -f 1)
flip c.cpio bad.cpio "$at" 1
refuses "entry 'two': its contents have another checksum" 1 bad.cpio
# no trailer
(cd c && printf '%s\n' one dir | cpio -o -H newc --quiet) >c.cpio
head -c $(($(grep -abo 'TRAILER!!!' c.cpio | cut -d : -f 1) - 110)) c.cpio >cut
refuses "after entry 2 'one': read: it is cut off" 1 cut
# several, as boot loaders take them, and with tar among them
(cd c && echo one | cpio -o -H newc --quiet) >1.cpio
(cd c && echo dir | cpio -o -H odc --quiet) >2.cpio
tar -C c --format=gnu -cf 3.tar link
cat 1.cpio 2.cpio 3.tar 1.cpio >c.cpio
odd 'one|dir|link' build --strict c.cpio
has 'cat /one' '^one$'
has 'stat /dir' 'Type: directory'
has 'stat /link' 'Type: symlink'
echo garbage >>c.cpio
refuses 'what follows the end-of-archive mark is left out' 1 --strict c.cpio
# kinds of files that tar has no letter for
newc() { # NAME MODE
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' \
		1 $(($2)) 5 6 1 1000000000 0 0 0 0 0 $((${#1} + 1)) 0
	printf '%s\0' "$1"
	head -c $(((4 - (110 + ${#1} + 1) % 4) % 4)) /dev/zero
}
{
	newc socket 0140755
	newc TRAILER!!! 0
} >c.cpio
odd socket build --strict c.cpio
has 'stat /socket' 'Type: socket +Mode: +0755'
has 'stat /socket' 'User: +5 +Group: +6'
for kind in door:0150644 whiteout:0160644 nothing:0000644; do
	{
		newc before 0100644
		newc "${kind%:*}" "${kind#*:}"
		newc after 0100644
		newc TRAILER!!! 0
	} >c.cpio
	refuses "entry '${kind%:*}' left out: unknown kind of file" 1 --strict \
		c.cpio
	mkimage --json --force --size $image_size -o image.raw c.cpio \
		>json 2>err.log || fail "$(cat err.log)"
	[ "$(grep -c warning: err.log)" -eq 1 ] || fail "$(cat err.log)"
	grep -q "entry '${kind%:*}' left out" json || fail "$(cat json)"
	made c.cpio
	has 'stat /after' 'Type: regular'
	has "stat /${kind%:*}" 'File not found'
done

# --- archives of other kinds, which libarchive could read -----------------------
if have_tool bsdtar; then
	for format in zip 7zip iso9660 ar arbsd mtree shar warc xar; do
		bsdtar -C d --format=$format -cf other file 2>/dev/null ||
			continue
		why='Unrecognized archive format'
		[ $format != iso9660 ] || why='nothing but zeroes where'
		refuses "other: open: $why" 1 other
		gzip -c other >other.gz
		refuses "other.gz: open: $why" 1 other.gz
	done
fi
# nor of what begins as an empty archive does
{
	head -c 10240 /dev/zero
	echo something
} >other
refuses 'other: open: nothing but zeroes where an archive begins' 1 other

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
odd 'b|both' build --strict cat.tar
has 'cat /a' '^1$'
has 'cat /b' '^2$'
has 'cat /both' '^second$'
cp image.raw first.raw
# with more zeroes between them, as tar's own records have
head -c 10240 /dev/zero | cat 1.tar - a.tar >cat.tar
odd 'b|both' build --strict cat.tar
cmp image.raw first.raw || fail "zeroes between archives: another image"
# the second's first header has its sum of signed bytes
printf 'file b\\xff signed=1 text=2\nend\n' | "$gentar" | cat 1.tar - >cat.tar
odd 'b.*' build --strict cat.tar
debugfs -R 'ls -p /' image.raw 2>/dev/null | grep -aq "$(printf 'b\377')" ||
	fail "a checksum of signed bytes"
cp first.raw image.raw
cp 1.tar A.tar
tar -A -f A.tar a.tar
build A.tar
cmp image.raw first.raw || fail "tar -A: another image"
gzip -c 1.tar >cat.c
gzip -c a.tar >>cat.c
odd 'b|both' build --strict cat.c
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
odd 'b|both|c' made cat.tar
has 'cat /c' '^3$'
refuses 'what follows the end-of-archive' 1 --strict cat.tar
