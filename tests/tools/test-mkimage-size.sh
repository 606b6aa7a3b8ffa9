#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Sizes, what other tools do with the image, and what a guest does.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck resize2fs tune2fs dumpe2fs debugfs tar mke2fs

"$gentar" >a.tar <<'X'
dir d
repeat 3000
file d/file-# size=5000
file big size=20000000
pax SCHILY.xattr.user.long 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
file attr size=3
end
X

# auto: a GiB to live in, and inodes
build a.tar
judge=${VMMKIT_JUDGE-}
VMMKIT_JUDGE= # the same content from here on
[ "$(super image.raw 'Free blocks')" -ge 262144 ] || fail "less than 1 GiB free"
[ "$(super image.raw 'Free inodes')" -ge 60000 ] || fail "too few inodes"
[ "$(du -m image.raw | cut -f1)" -le 45 ] || fail "the image is not sparse"
for f in has_journal ext_attr resize_inode dir_index filetype extent 64bit \
	flex_bg sparse_super large_file huge_file dir_nlink extra_isize \
	metadata_csum; do
	super image.raw 'Filesystem features' | grep -qw $f || fail "no $f"
done
# all of it is there for the kernel: nothing is left to initialise
dumpe2fs image.raw 2>/dev/null | grep '^Group [0-9]' | grep -v ITABLE_ZEROED &&
	fail "inode tables to be zeroed"
# nor to count: the kernel would write it to all copies of the superblock
for o in '' '--size exact' '--size 129M --journal-size 0' '--size 20G' \
	'--size 5G --fs-option quota,inode-ratio=8k'; do
	can_mount || break
	# shellcheck disable=SC2086 # a list
	build $o a.tar
	before=$(super image.raw 'Overhead clusters')
	# a kernel without quotas writes to nothing that has them
	mount -o loop image.raw "$mnt" 2>mount.err || case $o in
	*quota*) continue ;;
	*) fail "$o: $(cat mount.err)" ;;
	esac
	umount "$mnt"
	[ -n "$before" ] &&
		[ "$before" = "$(super image.raw 'Overhead clusters')" ] ||
		fail "$o: another overhead: $before"
done
# just that much free, and the journal that mke2fs makes for that size
for free in 0 1 10M 100M 300M 2G; do
	build --size +$free a.tar
	[ "$(super image.raw 'Free blocks')" -eq \
		$((($(numfmt --from=iec $free) + 4095) / 4096)) ] ||
		fail "+$free: $(super image.raw 'Free blocks') blocks free"
	truncate -s "$(stat -c %s image.raw)" peer.raw
	mke2fs -q -F -t ext4 -b 4096 peer.raw
	[ "$(super image.raw 'Total journal size')" = \
		"$(super peer.raw 'Total journal size')" ] ||
		fail "+$free: a journal of $(super image.raw 'Total journal size')"
done
rm peer.raw
VMMKIT_JUDGE=$judge
build --size 20G a.tar
VMMKIT_JUDGE=
for size in 64M 100M 129M 257M 1G 3G 20G 300G 2T 15T; do
	build --size $size --journal-size 4M a.tar
	[ "$(stat -c %s image.raw)" -eq \
		"$(numfmt --from=iec $size)" ] || fail "$size: another size"
done
mkimage -q --force -o image.qcow2 --size 20G a.tar
report=$(mkimage --force --json -o image.raw a.tar)
for k in '"format": "raw"' '"entries": 3003' '"nr-warnings": 0' '"uuid": "'; do
	echo "$report" | grep -qF "$k" || fail "no $k in the report: $report"
done

# grown a hundredfold, shrunk to the least, another identity
build --size 100M a.tar
mkdir dump1 dump2
debugfs -R "rdump / dump1" image.raw 2>/dev/null
resize2fs -f image.raw 10G >resize.log 2>&1 || fail "$(cat resize.log)"
clean image.raw
resize2fs -fM image.raw >resize.log 2>&1 || fail "$(cat resize.log)"
clean image.raw
tune2fs -U random image.raw >tune.log 2>&1 || fail "$(cat tune.log)"
e2fsck -fy image.raw >fsck.log 2>&1 || fail "$(cat fsck.log)"
clean image.raw
debugfs -R "rdump / dump2" image.raw 2>/dev/null
diff -r dump1 dump2 || fail "resizing changed the files"
build a.tar
resize2fs -fM image.raw >resize.log 2>&1 || fail "$(cat resize.log)"
clean image.raw
build a.tar
cp image.raw dir.raw
e2fsck -fyD dir.raw >fsck.log 2>&1 || [ $? -le 1 ] || fail "$(cat fsck.log)"
clean dir.raw

can_mount || exit 0
# a guest writes: many names into the index, much data, then takes it away
build a.tar
mount -o loop image.raw "$mnt"
(
	cd "$mnt"
	seq -f 'd/new-%g' 5000 | xargs touch
	seq -f 'd/file-%g' 0 2 2999 | xargs rm
	mkdir new
	head -c 100000000 /dev/zero | tr '\0' z >new/data
	setfattr -n user.x -v y attr d/file-1 2>/dev/null || :
	chmod 600 big
)
sync -f "$mnt/new/data"
# the machine goes away: the journal brings the image back
cp --sparse=always image.raw crashed.raw
umount "$mnt"
clean image.raw
super crashed.raw 'Filesystem features' | grep -q needs_recovery ||
	fail "the copy has nothing to recover"
e2fsck -fy crashed.raw >fsck.log 2>&1 || [ $? -le 1 ] || fail "$(cat fsck.log)"
clean crashed.raw
has 'stat /d/new-5000' 'Type: regular'
# and a running kernel can grow it
build --size 100M a.tar
truncate -s 2G image.raw
mount -o loop image.raw "$mnt"
if resize2fs "$(findmnt -no SOURCE "$mnt")" >resize.log 2>&1; then
	umount "$mnt"
	clean image.raw
	[ "$(super image.raw 'Block count')" -eq 524288 ] || fail "did not grow"
else
	# needs CAP_SYS_RESOURCE, which a container may lack
	grep -q 'Permission denied' resize.log || fail "$(cat resize.log)"
	umount "$mnt"
fi
