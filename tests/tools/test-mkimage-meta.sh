#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What an entry says of its inode, what is in it, and what the host is like:
# each case, and where it is tested (here, if nothing is said; E:
# test-mkimage-tree.sh, T: test-mkimage-tar.sh, F: test-mkimage-formats.sh, L:
# test-mkimage-large.sh, R: test-mkimage-refuses.sh, S: test-mkimage-same.sh
# and -same-out.sh, X: test-mkimage-ext4.sh, O: test-mkimage-oci.sh, C:
# test-mkimage-containers.sh, I: test-mkimage-interrupt.sh, U:
# tests/unit/base/test_outfile.c).
#
#	setuid, setgid, sticky (E)		modes
#	a mode with the bits of a type		modes
#	uid, gid >= 65536 (E, T), 2^32-1	owners
#	names of accounts nobody has		owners
#	mtime 0, -1, 2^31, 2^33, 2446, ns (E)	times
#	mtime -1.5 (T), -0.5			times
#	mtime out of range			times
#	xattr: SCHILY, LIBARCHIVE (T)		attributes: the same image
#	xattr: NUL and newline, empty (F)	attributes
#	xattr: 64 KiB				attributes (X)
#	xattr: 300				attributes
#	xattr: other namespaces (R)		attributes
#	xattr: trusted.overlay.*		attributes
#	security.capability v1, v2 (E), v3	attributes
#	security.ima, security.evm		attributes
#	ACL, both kinds (E, T), both encodings	ACLs: the same image
#	0, 1, 4095, 4096, 4097 bytes (E)	contents
#	more than 4 GiB (L), than 8 GiB		large (of random data: bench)
#	size in base 256, in a pax record	contents, large
#	holes: head, middle, tail, all (E)	holes
#	a hole of 1 TiB				large
#	pieces that are not whole blocks	holes
#	incompressible (E, C), zeroes (E)	contents
#	full disk, file that is there, SIGTERM, SIGINT (R, I, U)
#	EIO of the source, of the output (I); file size limit	host
#	a pipe, a device, standard output	host
#	umask (S: of the image)			host
#	O_TMPFILE and rename (U); root or not, hosts, locales, threads (S)
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs tar zstd
image_size=+3M

# value FILE NAME BYTES-AS-PRINTF
value() {
	debugfs -R "ea_get -f value $1 $2" image.raw >/dev/null 2>&1
	# shellcheck disable=SC2059
	printf "$3" | cmp - value || fail "$1: another value of $2"
	rm value
}
# warns TEXT: a.tar gives one warning, which --strict makes an error
warns() {
	refuses "$1" 1 --strict a.tar
	mkimage --force --size $image_size -o image.raw a.tar >/dev/null \
		2>err.log || fail "$(cat err.log)"
	[ "$(grep -c "^mkimage: warning: .*$1" err.log)" -eq 1 ] ||
		fail "no warning '$1': $(cat err.log)"
	made a.tar
}
# content FILE: as it is in the image
content() {
	debugfs -R "dump $1 content" image.raw 2>/dev/null
	cat content
}

# --- modes, owners, times ---------------------------------------------------
gen <<'X'
file suid mode=4755 text=1
dir sgid mode=2770
dir sticky mode=1777
file all mode=7777 text=1
file none mode=0 text=1
file typed mode=104755 text=1
dir typed-dir mode=42755
symlink typed-link x mode=120777
file id16 uid=65536 gid=65537 text=1
file id32 uid=4294967294 gid=4294967294 text=1
file id31 uid=2147483648 gid=2147483647 base256=1 text=1
pax uid 4294967294
pax gid 65536
file idpax uid=1 gid=2 text=1
pax uname root
pax gname daemon
file uname uid=1234 gid=1235 text=1
pax uname nobody-has-this-name
pax gname nor-this
file noname uid=1236 gid=1237 text=1
file t0 mtime=0 text=1
file t-1 mtime=-1 text=1
file t31 mtime=2147483648 text=1
file t33 mtime=8589934592 text=1
file t256 mtime=5 base256=1 text=1
pax mtime 15032385535.999999999
file tlast text=1
pax mtime -2147483648
file tfirst text=1
pax mtime 5.000000001
pax atime 0
pax ctime -1
file tns text=1
pax mtime -1.5
file t-1.5 text=1
pax mtime 0.5
file t0.5 text=1
pax mtime -0.5
pax atime -.25
file t-0.5 text=1
end
X
odd tlast build --strict a.tar
while read -r f want; do
	has "stat /$f" "$want"
done <<'X'
suid Type: regular +Mode: +04755
sgid Type: directory +Mode: +02770
sticky Type: directory +Mode: +01777
all Mode: +07777
none Mode: +0000
typed Type: regular +Mode: +04755
typed-dir Type: directory +Mode: +02755
typed-link Type: symlink +Mode: +0777
id16 User: 65536 +Group: 65537
id32 User: +-2 +Group: +-2
id31 User: -2147483648 +Group: 2147483647
idpax User: +-2 +Group: 65536
uname User: +1234 +Group: +1235
noname User: +1236 +Group: +1237
t0 mtime: 0x00000000:00000000
t-1 mtime: 0xffffffff:00000000
t31 mtime: 0x80000000:00000001
t33 mtime: 0x00000000:00000002
t256 mtime: 0x00000005:00000000
tlast mtime: 0x7fffffff:ee6b27ff
tfirst mtime: 0x80000000:00000000
tns mtime: 0x00000005:00000004
tns atime: 0x00000000:00000000
tns ctime: 0xffffffff:00000000
t-1.5 mtime: 0xfffffffe:77359400
t0.5 mtime: 0x00000000:77359400
t-0.5 mtime: 0xffffffff:77359400
t-0.5 atime: 0xffffffff:b2d05e00
X
# as the kernel tells them
if can_mount; then
	mount -o loop,ro image.raw "$mnt"
	(cd "$mnt" && stat -c '%n %.9Y' t*) >have
	(cd "$mnt" && stat -c '%n %.9X %.9Z' tns) >>have
	(cd "$mnt" && stat -c '%n %f %u %g' all typed typed-dir id32) >>have
	umount "$mnt"
	cat >want <<'X'
t-0.5 -0.500000000
t-1 -1.000000000
t-1.5 -1.500000000
t0 0.000000000
t0.5 0.500000000
t256 5.000000000
t31 2147483648.000000000
t33 8589934592.000000000
tfirst -2147483648.000000000
tlast 15032385535.999999999
tns 5.000000001
typed 1000000000.000000000
typed-dir 1000000000.000000000
typed-link 1000000000.000000000
tns 0.000000000 -1.000000000
all 8fff 0 0
typed 89ed 0 0
typed-dir 45ed 0 0
id32 81a4 4294967294 4294967294
X
	diff want have || fail "to the kernel"
fi
for id in uid gid; do
	printf 'pax %s 4294967295\nfile d/f text=1\nend\n' $id | gen
	refuses "entry 'd/f': " 1 a.tar
	grep -q '4294967295 is out of range' err.log || fail "$(cat err.log)"
	printf 'file d/f %s=4294967295 text=1\nend\n' $id | gen
	refuses "entry 'd/f': " 1 a.tar
	printf 'file d/f %s=4294967296 text=1\nend\n' $id | gen
	refuses "entry 'd/f': " 1 a.tar
done
printf 'pax mtime 15032385536\nfile late text=1\nend\n' | gen
warns "entry 'late': time 15032385536 changed to the last"
has 'stat /late' 'mtime: 0x7fffffff:00000003'
printf 'file late mtime=20000000000 text=1\nend\n' | gen
warns "entry 'late': time 20000000000 changed to the last"
printf 'pax mtime -2147483649\nfile early text=1\nend\n' | gen
warns "entry 'early': time -2147483649 changed to the first"
has 'stat /early' 'mtime: 0x80000000:00000000'

# --- attributes --------------------------------------------------------------
# one value in each encoding, names with what has to be escaped
gen <<'X'
pax SCHILY.xattr.user.v a\x00\x0ab=\xff
pax SCHILY.xattr.user.p%q v
file x text=1
end
X
build --strict a.tar
value /x user.v 'a\000\nb=\377'
value /x user.p%q v
cp image.raw first.raw
gen <<'X'
pax LIBARCHIVE.xattr.user.v YQAKYj3/
pax LIBARCHIVE.xattr.user.p%25q dg==
file x text=1
end
X
build --strict a.tar
cmp image.raw first.raw || fail "LIBARCHIVE.xattr: another image"
gen <<'X'
pax SCHILY.xattr.user.v a\x00\x0ab=\xff
pax LIBARCHIVE.xattr.user.v YQAKYj3/
pax SCHILY.xattr.user.p%q v
pax LIBARCHIVE.xattr.user.p%25q dg
file x text=1
end
X
build --strict a.tar
cmp image.raw first.raw || fail "both at once: another image"
# as tar and libarchive write names with a '%' or '='
gen <<'X'
pax SCHILY.xattr.user.p%25q%3Dr v
pax SCHILY.xattr.user.%2525%3d%41 w
file x text=1
pax LIBARCHIVE.xattr.user.p%25q%3Dr dg
pax SCHILY.xattr.user.p%25q%3Dr v
file y text=1
end
X
odd x build --strict a.tar
value /x user.p%q=r v
value /x user.%25=%41 w
value /y user.p%q=r v
has 'ea_list /y' 'user.p'
[ "$(grep -c user debugfs.log)" -eq 1 ] || fail "$(cat debugfs.log)"

cap1='\001\000\000\001\000\040\000\000\000\000\000\000'
cap2='\001\000\000\002\000\040\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
cap3='\001\000\000\003\000\040\000\000\000\000\000\000\000\000\000\000\000\000\000\000\240\206\001\000'
ima='\003\002\004\000\012\377\000'
hex() {
	# shellcheck disable=SC2059
	printf "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g'
}
{
	echo "pax SCHILY.xattr.security.capability $(hex "$cap1")"
	echo 'file cap1 text=1'
	echo "pax SCHILY.xattr.security.capability $(hex "$cap2")"
	echo 'file cap2 text=1'
	echo "pax SCHILY.xattr.security.capability $(hex "$cap3")"
	echo 'file cap3 text=1'
	echo "pax SCHILY.xattr.security.ima $(hex "$ima")"
	echo "pax SCHILY.xattr.security.evm $(hex "$ima")"
	echo 'file ima text=1'
	echo 'pax SCHILY.xattr.trusted.overlay.opaque y'
	echo 'dir opaque'
	echo 'pax SCHILY.xattr.trusted.overlay.redirect /a/b'
	echo 'pax SCHILY.xattr.trusted.overlay.metacopy'
	echo 'dir redirect'
	echo 'pax SCHILY.xattr.user.empty'
	echo "pax SCHILY.xattr.user.$(many 249) longest"
	echo 'file names text=1'
	i=0
	while [ $i -lt 150 ]; do
		echo "pax SCHILY.xattr.user.a$i $i"
		i=$((i + 1))
	done
	echo 'file many text=1'
	echo end
} | gen
odd cap1 build --strict a.tar
value /cap1 security.capability "$cap1"
value /cap2 security.capability "$cap2"
value /cap3 security.capability "$cap3"
value /ima security.ima "$ima"
value /ima security.evm "$ima"
value /opaque trusted.overlay.opaque y
value /redirect trusted.overlay.redirect /a/b
has 'ea_list /redirect' 'trusted.overlay.metacopy \(0\)'
has 'ea_list /names' 'user.empty \(0\)'
value /names "user.$(many 249)" longest
for i in 0 99 149; do
	value /many user.a$i $i
done
# those with no room, or no place, by name
{
	i=0
	while [ $i -lt 300 ]; do
		echo "pax SCHILY.xattr.user.attribute-$i $i"
		i=$((i + 1))
	done
	echo 'file d/three-hundred text=1'
	echo end
} | gen
refuses "entry 'd/three-hundred': its attributes are larger" 1 a.tar
mkimage -q -o many.squashfs --strict a.tar || fail "squashfs: 300 attributes"
# by the kernel, or where the host's file system has room for so many
: >have
if can_mount && mount -o loop,ro many.squashfs "$mnt" 2>/dev/null; then
	(cd "$mnt" && getfattr -d d/three-hundred) >have
	umount "$mnt"
elif have_tool unsquashfs; then
	if unsquashfs -q -n -xattrs -d many many.squashfs >un.log 2>&1; then
		getfattr -d many/d/three-hundred >have
	else
		grep -q 'no extended attribute space remaining' un.log ||
			fail "$(cat un.log)"
	fi
fi
if [ -s have ]; then
	for i in 0 1 150 299; do
		grep -qx "user.attribute-$i=\"$i\"" have || fail "attribute $i"
	done
	[ "$(grep -c '^user' have)" -eq 300 ] || fail "$(cat have)"
fi
{
	echo "pax SCHILY.xattr.user.big $(many 65536)"
	echo 'file d/big text=1'
	echo end
} | gen
refuses "entry 'd/big': its attributes are larger" 1 a.tar
build --strict --fs-option ea-inode a.tar
value /d/big user.big "$(many 65536)"
printf 'pax SCHILY.xattr.user.%s v\nfile d/long text=1\nend\n' "$(many 251)" |
	gen
refuses "entry 'd/long': " 1 a.tar
for a in nodot user. system.posix_acl_other osx.finder security. trustedx.a; do
	printf 'pax SCHILY.xattr.%s v\nfile d/x text=1\nend\n' $a | gen
	warns "entry 'd/x': attribute '$a' left out"
done

# of two of a name the last counts, whichever way each is written
gen <<'X'
pax SCHILY.xattr.user.a one
pax SCHILY.xattr.user.b same
pax LIBARCHIVE.xattr.user.a dHdv
file f text=1
pax LIBARCHIVE.xattr.user.a dHdv
pax SCHILY.xattr.user.a one
file g text=1
end
X
mkimage -q --force --size $image_size -o image.raw a.tar
made a.tar
has 'ea_list /f' 'user.a \(3\) = "two"'
has 'ea_list /f' 'user.b \(4\) = "same"'
has 'ea_list /g' 'user.a \(3\) = "one"'

# --- ACLs ----------------------------------------------------------------------
# what cannot be one
while IFS='|' read -r want value; do
	printf 'pax SCHILY.xattr.system.posix_acl_access %s\nfile f\nend\n' \
		"$value" | gen
	refuses "entry 'f': attribute 'system.posix_acl_access': $want" 1 a.tar
done <<'X'
ACL without a mask|\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x07\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff
ACL without owner, group or other|\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff
ACL with an entry twice|\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff
ACL in an unknown form|\x01\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff
ACL in an unknown form|\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff\x00
ACL with an unknown kind of entry|\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x40\x00\x00\x00\xff\xff\xff\xff
X
gen <<'X'
pax SCHILY.acl.ace user:7:rwxpdDaARWcCos:-------:allow
file f text=1
end
X
refuses "entry 'f': NFSv4 ACL left out" 1 --strict a.tar

gen <<'X'
pax SCHILY.acl.access user::rw-,user:7:r--,user:70000:-w-,group::r--,group:8:--x,mask::rwx,other::---
file a mode=670 text=1
pax SCHILY.acl.access user::rwx,group::r-x,group:8:rwx,mask::r-x,other::--x
pax SCHILY.acl.default user::rwx,user:9:r-x,group::r-x,mask::r-x,other::---
dir d mode=751
end
X
build --strict a.tar
has 'stat /a' 'Mode: +0670'
has 'stat /d' 'Mode: +0751'
cp image.raw first.raw
gen <<'X'
pax SCHILY.xattr.system.posix_acl_access \x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x07\x00\x00\x00\x02\x00\x02\x00\x70\x11\x01\x00\x04\x00\x04\x00\xff\xff\xff\xff\x08\x00\x01\x00\x08\x00\x00\x00\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff
file a mode=670 text=1
pax SCHILY.xattr.system.posix_acl_access \x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x08\x00\x07\x00\x08\x00\x00\x00\x10\x00\x05\x00\xff\xff\xff\xff\x20\x00\x01\x00\xff\xff\xff\xff
pax SCHILY.xattr.system.posix_acl_default \x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x05\x00\x09\x00\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x05\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff
dir d mode=751
end
X
build --strict a.tar
cmp image.raw first.raw || fail "ACLs as attributes: another image"
# the number at the end of an entry counts, not the name
gen <<'X'
pax SCHILY.acl.access user::rw-,user:somebody:r--:77,group::r--,mask::r--,other::---
file a text=1
end
X
build --strict a.tar
has 'ea_get -V -x /a system.posix_acl_access' '02 00 04 00 4d 00 00 00'

# --- contents ------------------------------------------------------------------
head -c 300000 /dev/urandom >random
{
	for n in 0 1 4095 4096 4097 8192; do
		echo "file s$n size=$n"
		echo "file z$n zeroes=$n"
	done
	echo 'file b256 base256=1 text=hello'
	echo 'pax size 5'
	echo 'file psize declared=0 text=hello'
	echo 'file after size=4097'
} | gen
tar -cf b.tar random
cat b.tar >>a.tar
build --strict a.tar
for n in 0 1 4095 4096 4097 8192; do
	has "stat /s$n" "Size: $n\$"
	has "stat /s$n" "Blockcount: $(((n + 4095) / 4096 * 8))\$"
	content /s$n >have
	many $n x | cmp - have || fail "another content of $n bytes"
	has "stat /z$n" "Size: $n\$"
	has "stat /z$n" 'Blockcount: 0$'
done
[ "$(content /b256)" = hello ] || fail "size in base 256"
[ "$(content /psize)" = hello ] || fail "size in a pax record"
content /after >have
many 4097 x | cmp - have || fail "what follows a size in a pax record"
content /random | cmp - random || fail "random content"

# --- holes ---------------------------------------------------------------------
sparse() { # NAME SIZE MAP BYTES
	echo "pax GNU.sparse.name $1"
	echo "pax GNU.sparse.size $2"
	echo "pax GNU.sparse.map $3"
	echo "file x size=$4"
}
{
	sparse head 12288 8192,4096 4096
	sparse middle 12288 0,4096,8192,4096 8192
	sparse tail 12288 0,4096 4096
	sparse none 12288 0,12288 12288
	sparse all 12288 12288,0 0
	sparse odd 20005 100,700,9000,3,20000,5 708
	sparse joined 9000 10,20,30,40,70,5 65
	echo end
} | gen
build --strict a.tar
while read -r f size blocks; do
	has "stat /$f" "Size: $size\$"
	has "stat /$f" "Blockcount: $blocks\$"
done <<'X'
head 12288 8
middle 12288 16
tail 12288 8
none 12288 24
all 12288 0
odd 20005 24
joined 9000 8
X
zero() {
	head -c "$1" /dev/zero
}
{
	zero 100
	many 700 x
	zero 8200
	many 3 x
	zero 10997
	many 5 x
} >want
content /odd | cmp - want || fail "pieces that are not whole blocks"
{
	zero 10
	many 65 x
	zero 8925
} >want
content /joined | cmp - want || fail "pieces that touch"

# --- large ---------------------------------------------------------------------
tail_of() { # FILE: the last 3 bytes of its block $2
	nr=$(debugfs -R "bmap $1 $2" image.raw 2>/dev/null)
	dd if=image.raw bs=4096 skip="$nr" count=1 2>/dev/null | head -c 3
}
truncate -s 9G huge
printf end >>huge
rm -f random
for opts in --format=oldgnu --format=gnu '--format=posix --sparse-version=0.1' \
	'--format=posix --sparse-version=1.0'; do
	# shellcheck disable=SC2086
	tar --sparse $opts -cf a.tar huge || continue
	build --strict a.tar
	has 'stat /huge' "Size: $((9 * 1073741824 + 3))\$"
	has 'stat /huge' 'Blockcount: 8$'
	[ "$(tail_of /huge 2359296)" = end ] || fail "$opts: 9 GiB: its end"
done
rm huge
{
	sparse tib 1099511627776 1099511627773,3 3
	sparse nothing 1099511627776 1099511627776,0 0
	sparse nil 1099511627776 0,0 0
	echo 'file after text=1'
	echo end
} | gen
build --strict a.tar
for f in tib nothing nil; do
	has "stat /$f" 'Size: 1099511627776$'
done
has 'stat /tib' 'Blockcount: 8$'
has 'stat /nothing' 'Blockcount: 0$'
has 'stat /nil' 'Blockcount: 0$'
has 'cat /after' '^1$'
# 8 GiB and more in the archive itself, in base 256 and in a record; of zeroes but
# for the last byte. A compressed archive may be of pieces.
head -c 67108864 /dev/zero | zstd -qc >64M.zst
for size in 'declared=8589934593' 'declared=0'; do
	{
		{
			[ $size != declared=0 ] || echo 'pax size 8589934593'
			echo "file huge $size size=0"
		} | "$gentar" | zstd -qc
		for i in $(seq 128); do
			cat 64M.zst
		done
		printf 'text !\nzeroes 511\nfile after text=after\nend\n' |
			"$gentar" | zstd -qc
	} >a.tar.zst
	build --strict a.tar.zst
	has 'stat /huge' 'Size: 8589934593$'
	has 'stat /huge' 'Blockcount: 8$'
	[ "$(tail_of /huge 2097152 | tr '\0' .)" = '!..' ] ||
		fail "$size: the last byte"
	has 'cat /after' '^after$'
done
# the same cut off
for size in 'declared=8589934593' 'declared=0'; do
	{
		[ $size != declared=0 ] || echo 'pax size 8589934593'
		echo "file d/cut $size size=0"
		echo 'zeroes 20000'
	} | gen
	refuses "entry 'd/cut': " 1 a.tar
done

# --- the host -------------------------------------------------------------------
printf 'file x size=100000\nend\n' | gen
refuses 'it must be a file' 2 -f raw -o - a.tar
[ ! -e ./- ] || fail "a file named '-'"
mkfifo pipe.raw
ln -s pipe.raw link.raw
mkdir folder.raw
outputs='pipe.raw link.raw folder.raw /dev/null'
if [ "$(id -u)" -eq 0 ] && mknod device.raw b 7 255 2>/dev/null; then
	outputs="$outputs device.raw"
fi
for o in $outputs; do
	for force in --sync --force; do
		was=$(stat -c '%F %i' $o)
		rc=0
		timeout 20 mkimage -f raw $force -o $o a.tar 2>err.log || rc=$?
		[ $rc -eq 1 ] || fail "$o: status $rc"
		[ "$(cat err.log)" = \
			"mkimage: '$o': replace: not a regular file" ] ||
			fail "$(cat err.log)"
		[ "$(stat -c '%F %i' $o)" = "$was" ] || fail "$o: changed"
	done
done
for mask in 022 027 077; do
	rm -f mask.raw
	(umask $mask && mkimage -q --size $image_size -o mask.raw a.tar)
	[ "$(stat -c %a mask.raw)" = "$(printf %o $((0666 & ~$mask)))" ] ||
		fail "umask $mask: mode $(stat -c %a mask.raw)"
done
# a limit on the size of a file is like a full disk
rc=0
mkdir limit
(
	ulimit -f 100
	exec mkimage -o limit/x.raw a.tar
) 2>err.log || rc=$?
[ $rc -eq 1 ] && [ "$(grep -c . err.log)" -eq 1 ] ||
	fail "file size limit: status $rc: $(cat err.log)"
grep -q 'File too large' err.log || fail "$(cat err.log)"
[ -z "$(ls -A limit)" ] || fail "left at the limit: $(ls -A limit)"
# a source that cannot be read
if ! head -c 1 /proc/self/mem >/dev/null 2>&1; then
	for s in - /proc/self/mem; do
		refuses 'Input/output error' 1 --source-type tar $s \
			</proc/self/mem
	done
fi

judged times 1
