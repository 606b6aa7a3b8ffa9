#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# GRUB 2.06 reads an ext4 of mkimage: an index, a tree of extents, links, holes,
# inodes with attributes in a block, files beyond 4 GiB. That it boots from one as well
# is seen end to end.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need grub-fstest e2fsck debugfs

gib=$((1 << 30))
grub() {
	timeout 60 grub-fstest "$@"
}
{
	echo 'repeat 5000'
	echo 'file boot/many/a-name-in-an-indexed-directory-# text=n#'
	echo 'file boot/vmlinuz size=3000000'
	echo 'symlink vmlinuz boot/vmlinuz'
	echo "symlink long-link $(printf '%080d' 0 | sed 's/00/.\//g')boot/vmlinuz"
	echo "pax SCHILY.xattr.security.selinux $(many 200)"
	echo 'file boot/labelled text=labelled'
	# a block of attributes: of a file alone and shared by two, of a folder, of
	# links whose target is in the inode and in a block
	for e in 'file boot/alone size=100000' 'file boot/one text=one' \
		'file boot/two text=two' 'dir boot/dir' \
		'symlink short boot/alone' \
		"symlink long $(printf '%080d' 0 | sed 's/00/.\//g')boot/alone"; do
		value=1
		[ "$e" != 'file boot/alone size=100000' ] || value=2
		echo "pax SCHILY.xattr.trusted.big $value$(many 3000)"
		echo "$e"
	done
	echo 'file boot/dir/in text=in-a-folder'
	file_of_runs 1000 8192000
	# something on both sides of 4 GiB, and at the end
	printf 'pax GNU.sparse.name large\npax GNU.sparse.size %d\n' \
		$((5 * gib + 3))
	printf 'pax GNU.sparse.map 0,3,%d,7,%d,5\n' $((4 * gib - 3)) \
		$((5 * gib - 2))
	echo 'file y text=onefour-gbtheen'
	echo end
} | "$gentar" >grub.tar
build grub.tar
for f in boot/alone boot/one boot/two boot/dir short long; do
	has "stat /$f" 'File ACL: [1-9]'
done
[ "$(grub image.raw cat '(loop0)/boot/many/a-name-in-an-indexed-directory-4321')" = \
	n4321 ] || fail "indexed directory"
for f in boot/vmlinuz vmlinuz long-link; do
	[ "$(grub image.raw cat "(loop0)/$f" | md5sum)" = \
		"$(many 3000000 x | md5sum)" ] || fail "$f"
done
[ "$(grub image.raw cat '(loop0)/boot/labelled')" = labelled ] || fail "label"
for f in boot/alone short long; do
	[ "$(grub image.raw cat "(loop0)/$f" | md5sum)" = \
		"$(many 100000 x | md5sum)" ] || fail "attributes: $f"
done
for f in one two; do
	[ "$(grub image.raw cat "(loop0)/boot/$f")" = $f ] || fail "attributes: $f"
done
[ "$(grub image.raw cat '(loop0)/boot/dir/in')" = in-a-folder ] ||
	fail "attributes: a folder"
debugfs -R 'dump /holes holes' image.raw 2>/dev/null
[ "$(grub image.raw cat '(loop0)/holes' | md5sum)" = "$(md5sum <holes)" ] ||
	fail "holes"

# large SKIP LENGTH: that much of it, with . for a zero
large() {
	grub -s "$1" -n "$2" image.raw cat '(loop0)/large' | tr '\0' .
}
[ "$(large 0 8)" = one..... ] || fail "large: begin: $(large 0 8)"
[ "$(large $((4 * gib - 6)) 12)" = ...four-gb.. ] ||
	fail "large: at 4 GiB: $(large $((4 * gib - 6)) 12)"
[ "$(large $((5 * gib - 4)) 7)" = ..theen ] ||
	fail "large: end: $(large $((5 * gib - 4)) 7)"
[ -z "$(large $((5 * gib + 3)) 1)" ] || fail "large: behind its end"
