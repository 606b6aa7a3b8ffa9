#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What an ext4 is for the rest of its life: features that tune2fs switches, copies of
# the superblock from which e2fsck mends it, ways in which the kernel mounts it.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tune2fs e2image dumpe2fs debugfs

{
	echo 'repeat 2000'
	echo 'file many/a-name-in-an-indexed-directory-# text=n#'
	file_of_runs 800 6553600
	echo "pax SCHILY.xattr.user.large $(many 3000)"
	echo 'file attributed text=x uid=70000 mode=640'
	echo 'file big size=3000000'
	echo "symlink long /$(many 80)"
	echo end
} | "$gentar" >a.tar
mkimage -q --size 1G -o made.raw a.tar
clean made.raw
again() {
	cp --sparse=always made.raw image.raw
}
again
tree=
if can_mount; then
	mounted ro || fail "$(cat mount.err)"
	tree "$mnt" >made.tree
	umount "$mnt"
	tree=made.tree
fi
# sound WHAT: nothing for e2fsck to say of image.raw, which is no longer mkimage's
sound() {
	e2fsck -fn image.raw >fsck.log 2>&1 || fail "$1: $(cat fsck.log)"
}
# unchanged WHAT: and what is in it is as it was
unchanged() {
	sound "$1"
	[ -n "$tree" ] || return 0
	mounted ro || fail "$1: $(cat mount.err)"
	tree "$mnt" >now.tree
	umount "$mnt"
	cmp made.tree now.tree || fail "$1: another tree"
}

# --- features, off and on again: checksums and the rest are written anew -----------

for list in ^has_journal,has_journal ^metadata_csum,metadata_csum \
	^dir_index,dir_index ^huge_file,huge_file ^resize_inode \
	^dir_nlink,dir_nlink ^extra_isize,extra_isize metadata_csum_seed \
	orphan_file,^orphan_file quota,^quota project ea_inode large_dir \
	stable_inodes fast_commit,^fast_commit; do
	again
	for feature in $(echo $list | tr ',' ' '); do
		tune2fs -O "$feature" image.raw >tune.log 2>&1 ||
			fail "$feature: $(cat tune.log)"
		# some are for it to complete
		if grep -q 'run e2fsck' tune.log; then
			e2fsck -fy image.raw >fsck.log 2>&1 || [ $? -eq 1 ] ||
				fail "$feature: $(cat fsck.log)"
		fi
	done
	unchanged "$list"
done
for opts in '-L other' '-m 7' '-r 5' '-e remount-ro' '-c 5 -i 7d' \
	'-o acl,user_xattr,journal_data' '-E mount_opts=nodelalloc' \
	'-E hash_alg=tea'; do
	again
	# shellcheck disable=SC2086
	tune2fs $opts image.raw >tune.log 2>&1 || fail "$opts: $(cat tune.log)"
	unchanged "tune2fs $opts"
done

# --- from each copy of the superblock, where the first group lost all it had ----------

dumpe2fs made.raw 2>/dev/null |
	sed -n 's/.*Backup superblock at \([0-9]*\),.*/\1/p' >backups
[ "$(tr '\n' ' ' <backups)" = '32768 98304 163840 229376 ' ] ||
	fail "copies: $(cat backups)"
while read -r at; do
	again
	# its superblock and descriptors
	dd if=/dev/zero of=image.raw bs=4096 count=2 conv=notrunc status=none
	if e2fsck -fn image.raw >fsck.log 2>&1; then
		fail "nothing is lost"
	fi
	e2fsck -fy -b "$at" -B 4096 image.raw >fsck.log 2>&1 || [ $? -eq 1 ] ||
		fail "the copy at $at: $(cat fsck.log)"
	unchanged "the copy at $at"
done <backups

# --- directories built anew, a copy of the metadata ----------------------------------

again
e2fsck -fyD image.raw >fsck.log 2>&1 || [ $? -eq 1 ] || fail "$(cat fsck.log)"
unchanged "other directories"
e2image -ra made.raw image.raw 2>image.log || fail "$(cat image.log)"
unchanged "a copy by e2image"

# --- mounted in each way -----------------------------------------------------------------

can_mount || exit 0
for opts in ro,noload data=journal data=ordered data=writeback nodelalloc \
	journal_checksum data=writeback,journal_async_commit nobarrier \
	discard max_batch_time=0 commit=1 noauto_da_alloc dioread_nolock \
	stripe=16 ro,sb=131072 usrjquota=,grpjquota= i_version lazytime \
	init_itable=0 block_validity nombcache; do
	again
	mounted "$opts" || fail "$opts: $(cat mount.err)"
	tree "$mnt" >now.tree
	cmp made.tree now.tree || fail "$opts: another tree"
	case $opts in
	ro,*)
		umount "$mnt"
		unchanged "$opts"
		continue
		;;
	esac
	cp "$mnt/big" "$mnt/many/copy"
	rm "$mnt/big"
	fstrim "$mnt" 2>trim.log || fail "$opts: $(cat trim.log)"
	umount "$mnt"
	sound "$opts"
	has 'stat /many/copy' 'Size: 3000000'
done
