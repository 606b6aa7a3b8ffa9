#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Bad input, bad usage, a full disk, a signal: one line, the right status, no
# output file. What there is, and where:
#
#	truncated, corrupt				cut off
#	lying: sizes, maps, numbers			lies, numbers
#	.., write through a link (absolute names: T)	names
#	names over 255, paths over 64 KiB, too deep	names
#	hard links to nothing, to a directory, itself	links
#	more than 65,000 links, before and behind	links
#	attributes that fit nowhere			attributes
#	bombs						small archives
#	an output that is there, or cannot be		an output
#	too small a size, a full disk			too small, a full disk
#	SIGINT, SIGTERM, SIGHUP in the middle		a signal
#
# (T: test-mkimage-tar.sh; more of attributes, owners, outputs:
# test-mkimage-meta.sh; of container images: test-mkimage-oci.sh.)
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar gzip xz zstd cpio

# made OPTION...: to image.raw; for small things that are looked at here alone
made() {
	mkimage -q --force -o image.raw "$@" || fail "mkimage $*"
	e2fsck -fn image.raw >fsck.log 2>&1 || fail "$(cat fsck.log)"
}

# usage
refuses 'no input' 2
refuses 'unknown' 2 --nonsense a.tar
refuses '--size' 2 --size nothing a.tar
refuses '--size' 2 --size 17T a.tar
refuses '--uuid' 2 --uuid 1234 a.tar
refuses '--label' 2 --label 12345678901234567 a.tar
refuses '--journal-size' 2 --journal-size 1M a.tar
refuses '--format' 2 --format vdi a.tar
rc=0
mkimage -o name-without-an-end a.tar 2>err.log || rc=$?
[ $rc -eq 2 ] && grep -q -e --format err.log || fail "format by name"

# no archive
refuses 'No such file' 1 missing.tar
refuses 'Is a directory' 1 --source-type tar .
: >empty
refuses 'empty' 1 empty
refuses 'empty' 1 - <empty
head -c 100000 /dev/urandom >random
refuses random 1 random
echo text >text
refuses text 1 text
# one line, and no word to the terminal, whatever its name is
odd=$(printf 'a\nb\033[31mc')
echo text >"$odd"
refuses 'a\x0ab\x1b[31mc: ' 1 "$odd"
rm "$odd"
refuses 'a\x0ab\x1b[31mc: open: No such file' 1 "$odd"
SOURCE_DATE_EPOCH=soon refuses 'SOURCE_DATE_EPOCH' 2 text

# cut off: everywhere but at the end mark
gen <<'X'
dir d
pax SCHILY.xattr.user.x value
file d/one size=3000
file two size=100000
end
X
for at in 1 100 511 513 600 1000 1500 2000 2100 3000 6000 50000 105000; do
	head -c $at a.tar >cut.tar
	refuses cut.tar 1 cut.tar
done
# in contents: whose
head -c 3000 a.tar >cut.tar
refuses "entry 'd/one': " 1 cut.tar
head -c 50000 a.tar >cut.tar
refuses "entry 'two': " 1 cut.tar
head -c 50000 a.tar | refuses "entry 'two': " 1 -
for c in gzip xz zstd; do
	$c -c a.tar >a.tar.c
	size=$(stat -c %s a.tar.c)
	for less in 1 5 20; do
		head -c $((size - less)) a.tar.c >cut
		refuses cut 1 cut
	done
	# one wrong byte
	cp a.tar.c bad
	printf '\125' | dd of=bad bs=1 seek=$((size / 2)) conv=notrunc \
		status=none
	cmp -s bad a.tar.c || refuses bad 1 bad
done

# a bit of a header: of the name, mode, size, checksum
gen <<'X'
file first text=1
file second size=700
file third text=1
end
X
for at in 3 101 134 150 156 257; do
	for bit in 1 16; do
		flip a.tar bad $((1024 + at)) "$bit"
		refuses "after entry 1 'first': " 1 bad
	done
done
# cpio passes over what is no header
mkdir c
echo one >c/one
echo two >c/two
printf '%s\n' one two | (cd c && cpio -o -H newc --quiet) >c.cpio
flip c.cpio bad $((120 + 3)) 1
refuses "after entry 1 'one': " 1 bad
# of an archive of a container image
gen <<'X'
file oci-layout text=1
file index.json text=1
end
X
flip a.tar bad $((1024 + 101)) 1
refuses 'Damaged' 1 bad

# small archives that would take much memory: what an entry cannot have is
# refused at the entry, not when all of them have been kept
many 20000 >long
{
	echo "pax SCHILY.xattr.user.x $(cat long)"
	echo 'file first text=1'
	echo 'file second declared=99999999'
} | gen
refuses "entry 'first': its attributes are larger than ext4 has room" 1 a.tar
{
	printf 'pax SCHILY.acl.access user::rwx,group::r--,other::r--'
	for i in $(seq 600); do printf ',user:n%d:r--' $i; done
	echo
	echo 'file first text=1'
	echo end
} | gen
refuses "entry 'first': ACL with more than 512 entries" 1 a.tar
{
	printf 'pax SCHILY.acl.access user::rwx,group::r--,other::r--'
	for i in $(seq 500); do printf ',user:%s%d:r--' "$(many 300)" $i; done
	echo
	echo 'file first text=1'
} | gen
for i in $(seq 9); do
	cat a.tar a.tar >b.tar
	mv b.tar a.tar
done
refuses 'the ACLs so far name too many accounts' 1 a.tar
rm a.tar
# headers without end: the map of a sparse file, a name of cpio
{
	echo 'pax GNU.sparse.major 1'
	echo 'pax GNU.sparse.minor 0'
	echo 'pax GNU.sparse.name f'
	echo 'pax GNU.sparse.realsize 9'
	echo 'file x declared=99999744'
} | gen
{
	cat a.tar
	echo 99999999
	yes 0 | head -c 20000000
} >b.tar
refuses 'the map of a sparse file has more than 131072 runs' 1 b.tar
{
	cat a.tar
	echo 99999999
	yes 00000000000000000000 | head -c 20000000
} >b.tar
refuses 'headers of one entry take more than 4 MiB' 1 b.tar
{
	printf 070701%08X%08X 1 $((0100644))
	printf '%08X' 0 0 1 0 0 0 0 0 0 $((0xe0000000)) 0
	yes name | head -c 20000000
} >c.cpio
refuses 'headers of one entry take more than 4 MiB' 1 c.cpio
# a map that has more than there is, or is none; a pax header that is damaged
runs() {
	printf 'pax GNU.sparse.name h\npax GNU.sparse.size 9000\n'
	printf '%s\n' "$@" end
}
runs 'pax GNU.sparse.map 0,3,4096,2' 'file x size=5' | gen
made --strict a.tar
runs 'pax GNU.sparse.map 0,3,4096,2' 'file x size=3' | gen
refuses "entry 'h': less contents than the map of a sparse file has" 1 a.tar
runs 'pax GNU.sparse.map 0,9000' 'file x size=3' | gen
refuses "entry 'h': less contents than the map of a sparse file has" 1 a.tar
for map in 0,x -5,3 0,3,4096 , 0,,3 0,3, x; do
	runs "pax GNU.sparse.map $map" 'file x size=3' | gen
	refuses "entry 'h': its 'GNU.sparse.map' is no map of a sparse" 1 a.tar
done
for n in x 1,2; do
	runs "pax GNU.sparse.offset $n" 'pax GNU.sparse.numbytes 3' \
		'file x size=3' | gen
	refuses "its 'GNU.sparse.offset' is no map of a sparse file" 1 a.tar
done
runs 'pax GNU.sparse.map 9223372036854775807,3' 'file x size=3' | gen
refuses "entry 'h': read: Malformed sparse map" 1 a.tar
runs 'pax GNU.sparse.major 1' 'pax GNU.sparse.minor 1' 'file x size=3' | gen
refuses "entry 'h': read: Unrecognized GNU sparse file format" 1 a.tar
runs 'pax GNU.sparse.major 1' 'pax GNU.sparse.minor 0' 'file x text=x\x0a' |
	sed '/^pax GNU.sparse.size/d' | gen
refuses 'read: a header that is not understood' 1 a.tar
# as old GNU tar: LENGTH in octal
old_sparse() {
	printf 'type S h size=512 format=gnu at=386,00000000000\\x00%s\\x00' "$1"
	many 73 | sed 's/n/\\x00/g'
	printf '00000001000\\x00\nend\n'
}
old_sparse 00000001000 | gen
made --strict a.tar
old_sparse 00000002000 | sed 's/00000001000\\x00$/00000002000\\x00/' | gen
refuses "entry 'h': " 1 a.tar
printf 'pax mtime 5\nfile a\nfile b\nend\n' | gen
sed 's/11 mtime=5/99 mtime=5/' a.tar >bad.tar
refuses "entry 'a': read: Ignoring malformed pax" 1 bad.tar
# contents of what is passed over are none
{
	echo 'file oci-layout zeroes=20000000'
	echo 'file index.json text=1'
	echo end
} | gen
refuses "'oci-layout'" 1 a.tar
deep=$(printf '%02000d' 0 | sed 's,0,d/,g')
for i in $(seq 40); do
	echo "pax path $i/${deep}f"
	echo 'file x'
done | gen
refuses 'directories that have no entry of their own' 1 a.tar

# what is no number in a header with the right checksum, in an entry that is not
# the first: libarchive takes the digits there are
while read -r name at; do
	for value in 'x234567\x00' '12x\x00\x00\x00\x00\x00' '  18  \x00\x00'; do
		echo "$value" >value
		printf 'file a\nchar b 1 2 at=%d,%s\nend\n' "$at" \
			"$(sed 's/ /\\x20/g' value)" | gen
		refuses "entry 'b': the '$name' of its header is no number" \
			1 a.tar
	done
	# of none, and of blanks around them, it is one
	for value in '\x00' '     5 \x00' '       5' '\x80\x00\x00\x00\x00\x00\x00\x05'; do
		echo "$value" >value
		printf 'file a\nchar b 1 2 at=%d,%s\nend\n' "$at" \
			"$(sed 's/ /\\x20/g' value)" | gen
		[ "$name" = mode ] || [ "$at" -ge 124 ] || made --strict a.tar
	done
done <<'X'
mode 100
uid 108
gid 116
size 124
mtime 136
devmajor 329
devminor 337
X
# of what is no device, nobody looks at its number
printf 'file a\nfile b at=329,nonsense\nend\n' | gen
made --strict a.tar
printf 'file a\nlink b \\x00\nend\n' | gen
refuses "entry 'b': hard link to nothing" 1 a.tar

# what libarchive would pass over or change: see pax.c
printf 'pax path good\\x00name\nfile x text=1\nend\n' | gen
refuses "its 'path' has a NUL" 1 a.tar
printf 'pax linkpath good\\x00name\nsymlink x y\nend\n' | gen
refuses "entry 'x': its 'linkpath' has a NUL" 1 a.tar
for acl in 'user::rwx,user:5:rwz,group::r--,mask::r--,other::r--' \
	'user::rwx,nonsense' 'user::rwx,group::r--,other::r--,user:5' \
	'user::rwx,group::r--,other:x:r--' \
	'user::rwx,user:a:r--:1x,group::r--,other::r--'; do
	printf 'pax SCHILY.acl.access %s\nfile x text=1\nend\n' "$acl" | gen
	refuses "entry 'x': ACL that cannot be read" 1 a.tar
done
for id in 2147483647 2147483648 4294967294 99999999999999999999; do
	for acl in "user:$id:r--" "group:name:r--:$id"; do
		echo "pax SCHILY.acl.access user::rwx,$acl,group::r--,mask::r--,other::r--"
		echo 'file x text=1'
		echo end
	done | gen
	refuses "entry 'x': ACL with an id of more than" 1 a.tar
done
for key in mtime atime ctime uid gid; do
	for value in nan 12x 1e5 . - 0x10; do
		printf 'pax %s %s\nfile x text=1\nend\n' $key $value | gen
		refuses "entry 'x': its '$key' is no number: '$value'" 1 \
			--strict a.tar
	done
done
printf 'pax SCHILY.fflags nodump,nonsense\nfile x text=1\nend\n' | gen
refuses "entry 'x': unknown flag left out: 'nonsense'" 1 --strict a.tar
printf 'pax SCHILY.fflags one,nodump,two\nfile x text=1\nend\n' | gen
mkimage --force -o flags.raw a.tar >/dev/null 2>err.log
for flag in one two; do
	grep -q "entry 'x': unknown flag left out: '$flag'$" err.log ||
		fail "$(cat err.log)"
done
rm flags.raw
# an ACL where Linux has none, as a text and as an attribute
acl='user::rw-,user:5:r--:5,group::r--,mask::r--,other::---'
wire='\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x05\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff'
for key in "SCHILY.acl.default $acl" \
	"SCHILY.xattr.system.posix_acl_default $wire"; do
	for kind in 'file x text=1' 'fifo x' 'symlink x y'; do
		printf '%s\n' "pax $key" "$kind" end | gen
		refuses "entry 'x': default ACL left out: only a directory" 1 \
			--strict a.tar
		made a.tar
		! debugfs -R 'ea_list /x' image.raw 2>&1 | grep posix_acl ||
			fail "a default ACL of no directory"
	done
	printf '%s\n' "pax $key" 'dir x' end | gen
	made --strict a.tar
	has 'ea_list /x' 'system.posix_acl_default \(28\)'
done
for key in "SCHILY.acl.access $acl" \
	"SCHILY.xattr.system.posix_acl_access $wire"; do
	printf '%s\n' "pax $key" 'symlink x y' end | gen
	refuses "entry 'x': ACL left out: a symbolic link has none" 1 \
		--strict a.tar
	printf '%s\n' "pax $key" 'fifo x' end | gen
	made --strict a.tar
	has 'ea_list /x' 'system.posix_acl_access \(28\)'
done
printf 'pax SCHILY.fflags nodump,compress\nfile x text=1\nend\n' | gen
refuses "entry 'x': flags 0x4 left out" 1 --strict a.tar
for value in x '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00'; do
	printf 'pax SCHILY.xattr.security.capability %s\nfile x text=1\nend\n' \
		"$value" | gen
	refuses "'security.capability' left out: not what Linux takes" 1 \
		--strict a.tar
done

# names
gen <<'X'
file ok text=1
file a/../../escape text=1
X
refuses "entry 'a/../../escape': its name has a '..'" 1 a.tar
gen <<'X'
symlink a /etc
file a/passwd text=1
end
X
refuses "entry 'a/passwd': 'a' on its way is a symbolic link out of" 1 a.tar
gen <<'X'
symlink a ../..
file a/passwd text=1
end
X
refuses "entry 'a/passwd':" 1 a.tar
gen <<'X'
symlink a b
symlink b a
file a/passwd text=1
end
X
refuses "entry 'a/passwd':" 1 a.tar
gen <<'X'
file a text=1
file a/b text=1
end
X
refuses "entry 'a/b':" 1 a.tar
{
	echo "pax path $(many 256)"
	echo 'file x text=1'
} | gen
refuses 'longer than 255' 1 a.tar
grep -q "^mkimage: a.tar: entry 'nnnnnn" err.log || fail "$(cat err.log)"
printf 'pax path a/%s/c\nfile x text=1\n' "$(many 256)" | gen
refuses 'longer than 255' 1 a.tar
grep -q "^mkimage: a.tar: entry 'a/nnnnnn" err.log || fail "$(cat err.log)"
{
	echo "pax path $(many 255)"
	echo 'file x text=1'
	echo end
} | gen
build a.tar
{
	printf 'pax path '
	for i in $(seq 40000); do printf 'd/'; done
	echo f
	echo 'file x text=1'
	echo end
} | gen
refuses 'longer than' 1 a.tar
{
	printf 'pax path '
	for i in $(seq 3000); do printf 'd/'; done
	echo f
	echo 'file x text=1'
	echo end
} | gen
refuses 'directories deep' 1 a.tar
gen <<'X'
file lost+found text=1
end
X
refuses 'lost+found' 1 a.tar
gen <<'X'
file . text=1
end
X
refuses 'root' 1 a.tar

# links
gen <<'X'
link d/e/a nothing
end
X
refuses "entry 'd/e/a': hard link to 'nothing', which is not there" 1 a.tar
gen <<'X'
link a a
end
X
refuses "entry 'a': hard link to 'a'" 1 a.tar
gen <<'X'
link a b
link b a
end
X
refuses 'hard link to' 1 a.tar
gen <<'X'
dir d
link a d
end
X
refuses "hard link to 'd', which is a directory" 1 a.tar
gen <<'X'
file x text=1
repeat 65000
link l# x
end
X
refuses "entry 'l64999': 'x' has more than 65000 hard links" 1 a.tar
# those before it are counted when it is there
gen <<'X'
repeat 65000
link l# x
file x text=1
end
X
refuses "entry 'l64999': " 1 a.tar
grep -q 'more than 65000 hard links' err.log || fail "$(cat err.log)"
gen <<'X'
file x text=1
link a/b x
link c/d c/e
link f/g c/d
end
X
refuses "hard link to 'c/e', which is not there" 1 a.tar
grep -q "entry 'c/d': \|entry 'f/g': " err.log || fail "$(cat err.log)"
gen <<'X'
symlink away /etc
link x away/passwd
end
X
refuses "entry 'x': hard link to 'away/passwd'" 1 a.tar
gen <<'X'
link x ../../etc/passwd
end
X
refuses "entry 'x': hard link to '../../etc/passwd'" 1 a.tar
gen <<'X'
file x text=1
repeat 64999
link l# x
end
X
build a.tar
{
	echo "pax linkpath $(many 4096)"
	echo 'symlink l x'
	echo end
} | gen
refuses 'longer than 4095' 1 a.tar

# numbers
gen <<'X'
pax uid 4294967295
file x text=1
end
X
refuses "owner 4294967295 is out of range" 1 a.tar
gen <<'X'
char c 4096 0
end
X
refuses 'device number' 1 a.tar
gen <<'X'
pax GNU.sparse.name huge
pax GNU.sparse.size 17592186044416
pax GNU.sparse.numblocks 1
pax GNU.sparse.map 0,1
file x text=1
end
X
refuses '16 TiB' 1 a.tar

gen <<'X'
pax GNU.sparse.name s
pax GNU.sparse.size 100000
pax GNU.sparse.numblocks 2
pax GNU.sparse.map 50000,10,4096,20
file x size=30
end
X
refuses "entry 's': contents out of order" 1 a.tar

# attributes
{
	echo "pax SCHILY.xattr.user.x $(many 5000)"
	echo 'file x text=1'
	echo end
} | gen
refuses "entry 'x': its attributes are larger" 1 a.tar
gen <<'X'
pax SCHILY.xattr.system.posix_acl_access garbage
file x text=1
end
X
refuses 'ACL' 1 a.tar
gen <<'X'
pax SCHILY.xattr.com.apple.x y
file x text=1
end
X
refuses "attribute 'com.apple.x' left out" 1 --strict a.tar
mkimage --force -o image.raw a.tar 2>err.log || fail "$(cat err.log)"
grep -q "^mkimage: warning: entry 'x': attribute" err.log || fail "no warning"
made a.tar

# an output that is there, or cannot be
gen <<'X'
file x size=3000000
end
X
echo precious >there.raw
rc=0
mkimage -o there.raw a.tar 2>err.log || rc=$?
[ $rc -eq 1 ] && [ "$(cat there.raw)" = precious ] || fail "overwrote a file"
mkimage -q --force --size 12M -o there.raw a.tar
clean there.raw
cp there.raw before.raw
head -c 5000 a.tar >cut.tar
rc=0
mkimage --force -o there.raw cut.tar 2>err.log || rc=$?
[ $rc -eq 1 ] && cmp there.raw before.raw || fail "lost what was there"
rc=0
mkimage -o no/such/folder.raw a.tar 2>err.log || rc=$?
[ $rc -eq 1 ] && [ "$(grep -c . err.log)" -eq 1 ] || fail "no folder"

# a table: for each kind of bad input and each kind of output one line, this one;
# exit status 1; nothing new in the folder of the output or that of temporary
# files; what was there is as it was
mkdir -p table/tmp
bad() { # LINE OUTPUTS SOURCE OPTION...
	says=$1 into=$2
	shift 2
	for out in $into; do
		echo precious >table/there
		rm -f "table/$out"
		ls -lAR table >before.ls
		rc=0
		TMPDIR=$PWD/table/tmp mkimage -o "table/$out" "$@" >out.log \
			2>err.log || rc=$?
		[ $rc -eq 1 ] || fail "$out: status $rc: $says"
		[ "$(cat err.log)" = "mkimage: $says" ] ||
			fail "$out: not '$says' but: $(cat err.log)"
		[ ! -s out.log ] || fail "$out: $(cat out.log)"
		ls -lAR table | cmp -s - before.ls ||
			fail "$out: left behind: $(ls -AR table)"
	done
}
all='x.raw x.squashfs x.cpio.gz'
every="$all x.qcow2 x.simg x.img.zst x.cpio"
ext4='x.raw x.qcow2 x.simg x.img.zst'
while IFS='|' read -r entries outputs line; do
	printf '%s\n' "$entries" | sed 's/ *; */\n/g' | gen
	case $outputs in
	all) outputs=$all ;;
	every) outputs=$every ;;
	ext4) outputs=$ext4 ;;
	esac
	# what its first files had is in the output already
	head -c 3000000 /dev/urandom >padding
	tar -b 1 -cf b.tar padding
	head -c -1024 b.tar | cat - a.tar >c.tar
	cp a.tar bad.tar
	bad "bad.tar: $line" "$outputs" bad.tar
	cp c.tar bad.tar
	bad "bad.tar: $(echo "$line" | sed 's/after entry 1/after entry 2/')" \
		"${outputs%% *}" bad.tar
done <<X
file d/cut size=5000 declared=50000|every|entry 'd/cut': read: Truncated tar archive
file d/more declared=3 text=$(many 600 x) ; end|all|after entry 1 'd/more': read: Damaged tar archive
file d/up/../../x ; end|all|entry 'd/up/../../x': its name has a '..' component
symlink a /etc ; file a/passwd ; end|all|entry 'a/passwd': 'a' on its way is a symbolic link out of the tree, to '/etc'
link d/l nothing ; end|all|entry 'd/l': hard link to 'nothing', which is not there
link d/l ../x ; end|all|entry 'd/l': hard link to '../x': its name has a '..' component
dir d ; link l d ; end|all|entry 'l': hard link to 'd', which is a directory
pax GNU.sparse.name d/s ; pax GNU.sparse.size 100000 ; pax GNU.sparse.numblocks 2 ; pax GNU.sparse.map 50000,10,4096,20 ; file x size=30 ; end|all|entry 'd/s': contents out of order
pax SCHILY.xattr.user.big $(many 65000) ; file d/x ; end|ext4|entry 'd/x': its attributes are larger than ext4 has room for without --fs-option ea-inode
pax SCHILY.acl.access user::rwx,nonsense ; file d/x ; end|all|entry 'd/x': ACL that cannot be read: 'nonsense'
char d/c 4096 0 ; end|all|entry 'd/c': device number 4096:0 is too large
file d/u uid=4294967295 ; end|all|entry 'd/u': owner 4294967295 is out of range
symlink d/s \x00 ; end|all|entry 'd/s': symbolic link to nothing
X
printf 'pax path d/%s\nfile x\nend\n' "$(many 256)" | gen
bad "a.tar: entry 'd/$(many 37)...$(many 101)': a component of its name is longer than 255 bytes" \
	"$all" a.tar
gen <<'X'
file x text=1
repeat 65000
link d/l# x
end
X
bad "a.tar: entry 'd/l64999': 'x' has more than 65000 hard links" "$all" a.tar
gen <<'X'
file x size=300000
end
X
for c in gzip xz zstd bzip2 lz4; do
	head -c 200000 /dev/urandom >random
	tar -cf r.tar random
	$c -c r.tar >r.tar.c 2>/dev/null
	head -c 100000 r.tar.c >cut.c
	rc=0
	mkimage -o table/x.raw cut.c 2>err.log || rc=$?
	[ $rc -eq 1 ] && [ "$(grep -c . err.log)" -eq 1 ] &&
		grep -q "^mkimage: cut.c: \(entry 'random': \)\?decompress: " \
			err.log || fail "$c: $(cat err.log)"
	[ ! -e table/x.raw ] || fail "$c: an output is left"
done

# too small, and what it says is enough is enough
gen <<'X'
repeat 2000
file f# size=5000
file big size=30000000
end
X
for opts in '' '--journal-size 0' '--journal-size 8M'; do
	refuses 'it needs a size of' 1 --size 20M $opts a.tar
	need=$(sed -n 's/.*it needs a size of \([0-9]*M\).*/\1/p' err.log)
	build --size "$need" $opts a.tar
	refuses 'it needs a size of' 1 --size $((${need%M} - 1))M $opts a.tar
done
refuses 'does not fit' 1 --size 4k a.tar
# of the whole disk, if it is one: also where it has no room for any root
for opts in --partition '--partition=swap,size=9M,type=swap' '-tsquashfs --partition'; do
	for size in 4096 2097152; do
		refuses "does not fit in $size bytes" 1 --size $size $opts a.tar
	done
	need=$(sed -n 's/.*it needs a size of \([0-9]*\)M.*/\1/p' err.log)
	mkimage -q --force --size ${need}M -o image.raw $opts a.tar ||
		fail "$opts: ${need}M is too little"
	refuses "it needs a size of ${need}M" 1 --size $((need - 1))M $opts a.tar
done

# a full disk
if [ "$(id -u)" -eq 0 ] && mkdir -p "$mnt" &&
	mount -t tmpfs -o size=10M tmpfs "$mnt" 2>/dev/null; then
	for f in raw qcow2 simg img.zst cpio; do
		rc=0
		mkimage -o "$mnt/full.$f" a.tar 2>err.log || rc=$?
		[ $rc -eq 1 ] || fail "full disk: status $rc"
		[ "$(grep -c . err.log)" -eq 1 ] || fail "$(cat err.log)"
		grep -q 'No space left' err.log || fail "$(cat err.log)"
		[ -z "$(ls -A "$mnt")" ] || fail "left on the full disk"
	done
	umount "$mnt"
fi

# a signal in the middle of an entry; the shell ignores SIGINT for what is in
# its background
signal() { # SIGNAL OUTPUT OPTION...
	sig=$1 out=$2
	shift 2
	rm -rf quiet
	mkdir quiet
	echo old >quiet/there.raw
	env --default-signal=$sig \
		mkimage "$@" -o "quiet/$out" - <pipe 2>err.log &
	pid=$!
	exec 3>pipe
	# far more than a pipe holds: it has been reading for a while
	head -c 2000000 a.tar >&3
	kill -$sig $pid
	rc=0
	wait $pid || rc=$?
	exec 3>&-
	[ $rc -eq 1 ] || fail "$out: status $rc after SIG$sig"
	[ "$(ls -A quiet)" = there.raw ] ||
		fail "$out: left after SIG$sig: $(ls -A quiet)"
	[ "$(cat quiet/there.raw)" = old ] || fail "SIG$sig: lost what was there"
	[ "$(cat err.log)" = \
		"mkimage: interrupted by SIG$sig: no output is left" ] ||
		fail "SIG$sig: $(cat err.log)"
}
mkfifo pipe
signal INT x.raw
signal INT there.raw --force
signal INT x.qcow2 -c zstd
signal INT x.squashfs
signal INT x.cpio.gz
signal TERM x.raw
signal HUP x.qcow2
