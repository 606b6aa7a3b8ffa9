#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Large numbers: of names in a directory, directories in one, files with the
# same attributes, extents of a file, and a file over 4 GiB.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs

# two levels of index; more sub-directories than a link count can tell
"$gentar" >a.tar <<'X'
dir flat
repeat 120000
file flat/a-name-that-takes-some-room-in-a-directory-block-so-that-two-levels-are-needed-# text=x
dir dirs
repeat 100000
dir dirs/#
end
X
build a.tar
has 'htree_dump /flat' 'Indirect levels: 1'
# nodes of the index an eighth empty, but for the last: with 447 of 510 leaves
sed -n '/^Entry #0/,$s/^Number of entries (count): //p' debugfs.log >nodes
[ "$(sed '$d' nodes | sort -u)" = 447 ] && [ "$(grep -c . nodes)" -ge 4 ] &&
	[ "$(tail -n 1 nodes)" -le 447 ] || fail "nodes of $(tr '\n' ' ' <nodes)"
has 'stat /dirs' 'Links: 1 '
has 'stat /dirs/99999' 'Type: directory'

# one block of attributes for a thousand files
{
	i=0
	while [ $i -lt 2500 ]; do
		echo "pax SCHILY.xattr.user.label $(printf '%090d' 7)"
		echo "file f$i text=x"
		i=$((i + 1))
	done
	echo end
} | "$gentar" >a.tar
build a.tar
for f in f0 f1023 f1024 f2499; do
	debugfs -R "stat /$f" image.raw 2>/dev/null |
		sed -n 's/.*File ACL: \([0-9]*\).*/\1/p'
done >acl.log
[ "$(sort -u acl.log | grep -cv '^0$')" -eq 3 ] || fail "$(cat acl.log)"
has 'ea_list /f2499' 'user.label \(90\)'

# a file with more extents than its inode, a leaf, an index node hold
{
	file_of_runs 3000 1000000000
	printf 'pax GNU.sparse.name tail\npax GNU.sparse.size 5000000000\n'
	printf 'pax GNU.sparse.map 4999999990,10\nfile y size=10\nend\n'
} | "$gentar" >a.tar
build a.tar
has 'dump_extents /holes' ' 2/ 2 +340/340 '
has 'stat /tail' 'Size: 5000000000'
[ "$(debugfs -R 'stat /holes' image.raw 2>/dev/null |
	sed -n 's/.*Blockcount: \([0-9]*\).*/\1/p')" -eq $((3010 * 8)) ] ||
	fail "not 3000 blocks and 10 of the map"

# quotas of so many owners, no two of which share a block of the tree's lowest
# level, that the extents of the file do not fit in its inode; e2fsck counts again
{
	echo 'repeat 42000'
	echo 'fifo a# uid=#00000'
	echo 'repeat 410000'
	echo 'fifo b# uid=#500'
	echo 'file far size=5000 uid=4294967294'
	echo 'file near size=9000 uid=1500'
	echo end
} | "$gentar" >a.tar
build --fs-option quota a.tar
debugfs -R 'list_quota user' image.raw 2>/dev/null |
	awk '$1 ~ /^[0-9]+$/ { print $1, $2, $5 }' >quota.log
for want in '4294967294 8192 1' '1500 12288 2' '4199900000 0 1' '409999500 0 1'; do
	grep -qx "$want" quota.log || fail "quota: no $want"
done
# and root's
[ "$(grep -c . quota.log)" -eq 452001 ] ||
	fail "quota: $(grep -c . quota.log) users"
has 'dump_extents <3>' '^ 0/ 1 '

# all of the 16 TiB, which has no bit in the low half of the number of blocks, and
# a file of nothing but a hole before its end, where it can be
if can_mount && mount -t tmpfs -o size=1G tmpfs "$mnt" 2>/dev/null; then
	{
		printf 'pax GNU.sparse.name y\npax GNU.sparse.size 3000000000000\n'
		printf 'pax GNU.sparse.map 2999999999990,10\nfile y size=10\nend\n'
	} | "$gentar" >a.tar
	mkimage -q --size 16T -o "$mnt/x.raw" a.tar
	ln -s "$mnt/x.raw" max.raw
	[ "$(stat -Lc %s max.raw)" -eq $((1 << 44)) ] || fail "not 16 TiB"
	[ "$(blocks max.raw)" -eq $((1 << 32)) ] ||
		fail "$(blocks max.raw) blocks in 16 TiB"
	[ "$(super max.raw 'Free blocks')" -gt $((9 << 28)) ] ||
		fail "$(super max.raw 'Free blocks') free blocks in 16 TiB"
	debugfs -R 'stat /y' max.raw >debugfs.log 2>&1
	for what in ' Size: 3000000000000' ' Blockcount: 8' '(732421874):[0-9]*'; do
		grep -q -- "$what\$" debugfs.log || {
			cat debugfs.log
			fail "a file of 3 TB: no '$what'"
		}
	done
	# the last group has its place in the descriptors and the bitmaps
	debugfs -R "testb $(((1 << 32) - 1))" max.raw 2>&1 | grep -q 'not in use' ||
		fail "the last block is in use"
	umount "$mnt"
else
	left_out "no tmpfs for a file of 16 TiB"
fi

# contents across several superblock copies, through a pipe
"$gentar" <<'X' | tee a.tar | mkimage -q --force -o image.raw -
file big size=700000000
file after text=end
end
X
made a.tar
has 'cat /after' '^end$'
