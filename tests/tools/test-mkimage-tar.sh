#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Archives in every shape, in orders and with contents that tar itself rarely
# writes.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs tar gzip bzip2 xz zstd
image_size=+3M # there is much to compare


# compression, by several members as well
gen <<'X'
file one text=first
dir d
file d/two size=70000
end
X
build a.tar
cp image.raw plain.raw
for c in gzip bzip2 xz zstd; do
	$c -c a.tar >a.tar.c
	build a.tar.c
	cmp image.raw plain.raw || fail "$c: another image"
	head -c 40000 a.tar | $c -c >b.tar.c
	tail -c +40001 a.tar | $c -c >>b.tar.c
	build b.tar.c
	cmp image.raw plain.raw || fail "$c, two members: another image"
	mkimage -q --force --size $image_size -o image.raw - <b.tar.c
	cmp image.raw plain.raw || fail "$c, from a pipe: another image"
done

# dialects
gen <<'X'
file v7 format=v7 text=v7
file gnu format=gnu text=gnu
pax path a/name/that/is/in/a/pax/record
pax mtime -1.5
pax uid 3000000000
file short text=pax
gnu-long L long-name-of-gnu-tar-0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
file cut format=gnu text=long
file bignum format=gnu uid=4000000000 gid=2147483648 text=b
contig contiguous text=c
pax mtime 1234567890.987654321
pax SCHILY.xattr.user.pax value
pax LIBARCHIVE.xattr.user.base64 AAECAw
pax RHT.security.selinux system_u:object_r:etc_t:s0
file attributes text=x
char dev/tty 5 0
symlink l0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 t
end
X
odd attributes build a.tar # label without its NUL
has 'cat /v7' '^v7$'
has 'cat /gnu' '^gnu$'
has 'cat /a/name/that/is/in/a/pax/record' '^pax$'
has 'stat /a/name/that/is/in/a/pax/record' 'User: -1294967296' # it prints 32 bits as signed
has 'stat /a/name/that/is/in/a/pax/record' 'mtime: 0xfffffffe:77359400'
has 'ls /' 'long-name-of-gnu-tar'
has 'stat /bignum' 'User: -294967296 +Group: -2147483648'
has 'cat /contiguous' '^c$'
has 'stat /attributes' 'mtime: 0x499602d2:eb79a2c4'
has 'ea_list /attributes' 'user.pax \(5\)'
has 'ea_list /attributes' 'user.base64 \(4\) = 00 01 02 03'
has 'ea_list /attributes' 'security.selinux'
has 'stat /dev/tty' 'Type: character special'

# names
gen <<'X'
file ./dot text=1
file /absolute text=2
file a//b/./c text=3
dir trailing///
dir ./
dir .
file 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 text=100
end
X
rm -f image.raw
mkimage -o image.raw a.tar 2>err.log
[ "$(grep -c warning err.log)" -eq 1 ] || fail "$(cat err.log)"
made a.tar
has 'cat /absolute' '^2$'
has 'cat /a/b/c' '^3$'
has 'stat /trailing' 'Type: directory'
has 'ls /' '0123456789 '

# order, replacement, parents nobody spoke of
gen <<'X'
file late/child text=1
dir late mode=700 uid=5 mtime=99
file twice text=old
file twice text=new
file becomes-dir text=x
dir becomes-dir
file becomes-dir/in text=y
dir becomes-file
file becomes-file/in text=z
dir becomes-file/deep
file becomes-file/deep/er size=9000
file becomes-file text=flat
symlink link-to-dir late
dir link-to-dir
dir replaced-by-link
symlink replaced-by-link late
dir usr/lib
symlink lib usr/lib
file lib/through text=merged
symlink run usr/../run-target
file never/spoken/of text=n
end
X
rm -f image.raw
mkimage -o image.raw a.tar 2>err.log
grep -q "entry 'becomes-file' replaces a directory" err.log ||
	fail "$(cat err.log)"
odd 'becomes-file.*' made a.tar
has 'stat /late' 'Mode: +0700'
has 'stat /late' 'mtime: 0x00000063'
has 'cat /late/child' '^1$'
has 'cat /twice' '^new$'
has 'cat /becomes-dir/in' '^y$'
has 'cat /becomes-file' '^flat$'
has 'stat /link-to-dir' 'Type: directory'
has 'stat /replaced-by-link' 'Type: symlink'
has 'cat /usr/lib/through' '^merged$'
has 'stat /never/spoken' 'Mode: +0755'
# the replaced contents are not in the image
gen <<'X'
file secret text=KEEP-THIS-OUT-OF-IT
file secret text=public
end
X
build a.tar
grep -q KEEP-THIS-OUT image.raw && fail "replaced contents are left"

# hard links, also to what comes later, in chains, with contents
gen <<'X'
link early later
link chain-1 chain-2
link chain-2 chain-3
file later text=here
link chain-3 later
link later later
file moved text=one
link keeps moved
file moved text=two
symlink s later
link hard-to-symlink s
fifo pipe
link hard-to-pipe pipe
pax size 3
link with-data later declared=3
text abc
zeroes 509
end
X
odd 'chain-.|early|later|with-data|keeps|moved|hard-to-.*' build a.tar
for n in early chain-1 chain-2 chain-3 later with-data; do
	has "stat /$n" 'Links: 6'
	has "cat /$n" '^abc$'
done
has 'cat /keeps' '^one$'
has 'cat /moved' '^two$'
has 'stat /hard-to-symlink' 'Type: symlink'
has 'stat /hard-to-pipe' 'Links: 2'

# lost+found of the archive's own; devices; no entries at all
gen <<'X'
dir lost+found mode=755
file lost+found/found text=1
char big 4095 1048575
end
X
build a.tar
has 'stat /lost+found' 'Inode: 11 '
has 'cat /lost+found/found' '^1$'
has 'stat /big' '4095:1048575'
gen <<'X'
end
X
build a.tar
has 'stat /lost+found' 'Inode: 11 '
# no end mark, something after it: said, not refused
gen <<'X'
file a text=1
X
mkimage --force -o image.raw a.tar 2>err.log
grep -q 'warning: no end-of-archive mark' err.log || fail "$(cat err.log)"
gen <<'X'
file a text=1
end
text more
zeroes 508
end
X
mkimage --force -o image.raw a.tar 2>err.log
grep -q 'warning: what follows the end-of-archive' err.log ||
	fail "$(cat err.log)"

# accounts in ACLs are the image's own
gen <<'X'
file etc/passwd text=root:x:0:0::/:\x0ajoe:x:1234:1::/:\x0a
pax SCHILY.acl.access user::rw-,user:joe:r--,group::r--,mask::r--,other::---
file acl text=1
pax SCHILY.acl.access user::rw-,user:nobody-here:r--,group::r--,mask::r--,other::---
file acl2 text=1
pax SCHILY.acl.default user::rwx,user:7:r-x,group::r-x,mask::r-x,other::---
dir acl-dir
end
X
rm -f image.raw
mkimage -o image.raw a.tar 2>err.log
grep -q "ACL entry for 'nobody-here' left out" err.log || fail "$(cat err.log)"
# which neither sets then
odd 'acl2?' made a.tar
has 'ea_get -V -x /acl system.posix_acl_access' 'd2 04 00 00'
has 'stat /acl' 'Mode: +0640'
has 'ea_get -V -x /acl-dir system.posix_acl_default' '02 00 05 00 07 00 00 00'
