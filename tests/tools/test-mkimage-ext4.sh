#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What the ext4 writer puts on the disk, option by option: e2fsck, dumpe2fs,
# GRUB and the kernel are the judges.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs dumpe2fs mke2fs resize2fs

field() {
	super image.raw "$1"
}
features() {
	field 'Filesystem features'
}

# options: those it does not know by name, and values out of range
"$gentar" >a.tar <<'X'
file a text=1
end
X
refuses "unknown key 'nonsense'" 2 --fs-option nonsense a.tar
refuses "unknown key 'nonsense'" 2 --fs-option nonsense=1 a.tar
refuses "unknown key 'e'" 2 --fs-option e a.tar
refuses 'inode-ratio' 2 --fs-option inode-ratio=1k a.tar
refuses 'reserved' 2 --fs-option reserved=51% a.tar
refuses 'journal-block-size' 2 --fs-option journal-block-size=1k a.tar
refuses 'journal-size' 2 --fs-option journal-size=1M a.tar
refuses 'label' 2 --fs-option label=12345678901234567 a.tar
refuses 'uuid' 2 --fs-option uuid=1 a.tar
refuses 'project-id' 2 --fs-option project-id=4294967295 a.tar
refuses 'casefold' 2 --fs-option casefold=5 a.tar
refuses "unknown key 'quota'" 2 --fs squashfs --fs-option quota a.tar
refuses 'block-size: needs a value' 2 --fs squashfs --fs-option block-size a.tar
refuses 'cpio has none' 2 --fs cpio --fs-option quota a.tar

# nothing is on that was not asked for, and each is on when it was
build a.tar
for f in casefold verity project quota ea_inode orphan_file metadata_csum_seed \
	inline_data encrypt; do
	features | grep -qw "$f" && fail "$f is on"
done
[ "$(field 'Reserved block count')" -eq 0 ] || fail "blocks are reserved"
# room to live in; and a size that is no number of blocks is rounded up
[ "$(field 'Free blocks')" -ge 262144 ] || fail "less than 1 GiB free"
build --size 20000001 a.tar
[ "$(field 'Block count')" -eq 4883 ] || fail "$(field 'Block count') blocks"
[ "$(stat -c %s image.raw)" -eq $((4883 * 4096)) ] || fail "not 4883 blocks"
for f in casefold verity project quota ea_inode; do
	build --fs-option "$f" a.tar
	features | grep -qw "$f" || fail "$f is not on"
	build --fs-option "$f=false" a.tar
	features | grep -qw "$f" && fail "$f=false: it is on"
done
build --fs-option casefold a.tar
[ "$(field 'Character encoding')" = utf8-12.1 ] || fail "casefold: encoding"
build --fs-option reserved=5% --size 1G a.tar
[ "$(field 'Reserved block count')" -eq $((262144 * 5 / 100)) ] ||
	fail "not 5% reserved"
build --fs-option reserved=200M --size +100M a.tar
[ "$(field 'Reserved block count')" -eq 51200 ] || fail "not 200M reserved"
[ "$(field 'Free blocks')" -ge 76800 ] || fail "no room beside the reserved"
build --fs-option reserved=20M --size +100M a.tar
[ "$(field 'Free blocks')" -eq 30720 ] || fail "$(field 'Free blocks') free"
refuses 'reserved: more than half' 2 --fs-option reserved=600M --size 1G a.tar
refuses 'reserved: more than half' 2 --fs-option reserved=600M --size exact a.tar
build --size 1G --fs-option inode-ratio=64k,label=by-option a.tar
[ "$(field 'Inode count')" -eq 16384 ] || fail "not an inode to 64 KiB"
[ "$(field 'Filesystem volume name')" = by-option ] || fail "label"
build --size 1G --fs-option inode-ratio=4k a.tar
[ "$(field 'Inode count')" -eq 262144 ] || fail "not an inode to a block"
build --fs-option uuid=01234567-89ab-cdef-0123-456789abcdef a.tar
[ "$(field 'Filesystem UUID')" = 01234567-89ab-cdef-0123-456789abcdef ] ||
	fail "uuid"
build --fs-option journal-size=8191k,journal-block-size=4k a.tar
[ "$(field 'Total journal size')" = 8M ] || fail "journal-size"

# what e2fsck puts right without a word, or does not look at
{
	echo 'repeat 300'
	echo 'file d#/f#'
	echo end
} | "$gentar" >groups.tar
build --size 600M groups.tar
[ "$(features)" = "has_journal ext_attr resize_inode dir_index filetype extent \
64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum" ] ||
	fail "features: $(features)"
for what in 'Default mount options=user_xattr acl' 'Filesystem state=clean' \
	'Errors behavior=Continue' 'Maximum mount count=-1' 'Mount count=0' \
	'Check interval=0 (<none>)' 'Filesystem flags=signed_directory_hash ' \
	'Default directory hash=half_md4' 'First inode=11' 'Inode size= 256' \
	'Required extra isize=32' 'Desired extra isize=32' 'Block size=4096' \
	'Flex block group size=16' 'Journal inode=8' 'Journal backup=inode blocks' \
	'Journal sequence=0x00000001' 'Journal start=0'; do
	[ "$(field "${what%%=*}" | tr '\t' ' ' | tr -s ' ')" = "${what#*=}" ] ||
		fail "${what%%=*}: $(field "${what%%=*}")"
done
dumpe2fs image.raw 2>/dev/null >dump
sum() { # WHAT: of all groups
	sed -n "s/.*[ ,]\([0-9]*\) $1.*/+ \1/p" dump | tr '\n' ' '
}
for what in blocks inodes; do
	[ "$(field "Free $what")" -eq "$(($(sum "free $what")))" ] ||
		fail "free $what: $(field "Free $what"), not $(sum "free $what")"
done
# what is not in use is not looked at, and nothing is left to be done later
flags=$(sed -n 's/^Group.*\(\[.*\]\)/\1/p' dump | tr -d ' \n')
rest='[INODE_UNINIT,ITABLE_ZEROED]'
[ "$flags" = "[ITABLE_ZEROED]${rest}[INODE_UNINIT,BLOCK_UNINIT,ITABLE_ZEROED]$rest$rest" ] ||
	fail "flags of the groups: $flags"
[ "$(($(sum 'unused inodes')))" -eq "$(field 'Free inodes')" ] ||
	fail "unused inodes: $(sum 'unused inodes')"
# each copy of the superblock says where it is
for g in 1 3; do
	[ "$(od -An -tu2 -j $((g * 32768 * 4096 + 90)) -N 2 image.raw)" -eq $g ] ||
		fail "superblock of group $g"
done

# names tell the kind of what they are of, which nobody else misses
"$gentar" >a.tar <<'X'
file d/file
dir d/dir
char d/char 1 3
block d/block 1 3
fifo d/fifo
symlink d/link file
end
X
build a.tar
debugfs -R 'ls -l /d' image.raw 2>/dev/null | tr -s ' ' |
	sed -n 's/^ [0-9]* [0-9]* (\([0-9]\)) .* \([a-z]*\) *$/\2 \1/p' | sort >kinds
printf '%s\n' 'block 4' 'char 3' 'dir 2' 'fifo 5' 'file 1' 'link 7' |
	cmp - kinds || fail "kinds: $(debugfs -R 'ls -l /d' image.raw)"

# half as many inodes again as there are files, where the ratio gives less
printf 'repeat 8000\nfile n#\nend\n' | "$gentar" >a.tar
build --size 64M a.tar
[ "$(field 'Inode count')" -ge 12000 ] || fail "$(field 'Inode count') inodes"

# a last group that has no more room than for its tables and 50 blocks is left out,
# as mke2fs and resize2fs do it: with a superblock copy, and without one
printf 'repeat 3000\nfile n#\nend\n' | "$gentar" >a.tar
# last BLOCKS: the number of them, by us and by mke2fs
last() {
	build --size $(($1 * 4096)) --fs-option inode-ratio=64M a.tar
	rm -f other.img
	mke2fs -q -F -t ext4 -b 4096 -O 64bit,^has_journal -N "$(field 'Inode count')" \
		-E resize=$((64 * 32768 * ($(field 'Reserved GDT blocks') + 1))) \
		other.img "$1" 2>mke2fs.log || fail "$(cat mke2fs.log)"
	[ "$(field 'Block count')" -eq "$(super other.img 'Block count')" ] ||
		fail "$1 blocks: $(field 'Block count'), of mke2fs $(super \
			other.img 'Block count')"
	[ "$(stat -c %s image.raw)" -eq $(($1 * 4096)) ] ||
		fail "$1 blocks: a disk of another size"
}
for group in 1 2; do
	end=$((group * 32768))
	last $((end + 2000))
	least=$((2 + $(field 'Inode blocks per group') + 50))
	[ $group -ne 1 ] ||
		least=$((least + 2 + $(field 'Reserved GDT blocks')))
	[ "$(field 'Block count')" -eq $((end + 2000)) ] || fail "not all"
	last $((end + least))
	[ "$(field 'Block count')" -eq $((end + least)) ] ||
		fail "group $group of $least blocks is left out"
	last $((end + least - 1))
	[ "$(field 'Block count')" -eq $end ] ||
		fail "group $group of $((least - 1)) blocks is kept"
done
# 2: it has more of the inodes when there is one group less
least=$((2 + $(field 'Inode blocks per group') + 50))
for blocks in $((end + least - 1)) $((end + least)); do
	resize2fs -f image.raw "$blocks" >resize.log 2>&1 ||
		fail "$(cat resize.log)"
	clean image.raw
	[ "$(field 'Block count')" -eq $((blocks < end + least ? end : blocks)) ] ||
		fail "resize2fs: $(cat resize.log)"
done

# where the attributes of an inode have just room, and where they share a block
{
	echo "pax SCHILY.xattr.user.a $(many 68)"
	echo 'file in text=1'
	echo "pax SCHILY.xattr.user.a $(many 69)"
	echo 'file out text=1'
	echo 'repeat 2230'
	echo 'file many/name#'
	echo end
} | "$gentar" >room.tar
build room.tar
has 'stat /in' 'File ACL: 0$'
has 'stat /out' 'File ACL: [1-9]'
has 'stat /lost+found' 'Size: 16384'
# leaves of an index an eighth empty: ten of them
has 'stat /many' 'Size: 45056'

# names that have the same hash, of which the second begins a leaf: its entry of
# the index says that the hash goes on; and one whose hash would be that of the
# end, which the kernel looks for under the one before
long=$(many 224)
{
	# 12 names before the two, 12 behind them: two leaves of 13
	for i in 38 8 26 1 39 14 19 33 13 34 6 30 29300 72700 9 2 3 7 23 17 27 \
		29 32 21 11 5; do
		printf '%s%031d\n' "$long" $i
	done
	echo "${long}the-last-hash-there-is-aikhpehd"
} >hashed
{
	while read -r name; do
		printf 'pax path d/%s\nfile x text=%s\n' "$name" "$name"
	done <hashed
	echo end
} | "$gentar" >hashed.tar
build --seed htree hashed.tar
[ "$(field 'Directory Hash Seed')" = 758e63b3-9da2-9216-7022-43518bd65c5a ] ||
	fail "another hash seed: $(field 'Directory Hash Seed')"
has 'htree_dump /d' 'Entry #1: Hash 0x58b3b99b, block 2$'
has 'htree_dump /d' 'Entry #2: Hash 0xfffffffc, block 3$'
cp --sparse=always image.raw hashed.raw

# quota: e2fsck counts again; many ids, spread over the whole tree of a file
{
	echo 'repeat 300'
	echo 'file d/u# size=5000 uid=# gid=#0000000'
	echo 'file far uid=4000000000 gid=4294967294 size=1'
	echo "pax SCHILY.xattr.user.x $(many 200)"
	echo 'file attr size=9 uid=7'
	echo "symlink long $(many 90)"
	echo end
} | "$gentar" >a.tar
for o in quota quota,project quota,project-id=77; do
	build --fs-option $o a.tar
	e2fsck -fn image.raw 2>&1 | grep -i quota && fail "$o: usage"
done
has 'stat /d' 'Project: +77 '
has 'stat /d' 'Flags: 0x20080000'
has 'stat /far' 'Project: +77 '
has 'stat <3>' 'Type: regular +Mode: +0600'
debugfs -R 'list_quota user' image.raw >quota.log 2>&1
grep -qE '^ *4000000000 +4096 .* 1 ' quota.log || {
	cat quota.log
	fail "usage of user 4000000000"
}
# a wrong one would be seen
debugfs -w -R 'set_inode_field /far uid 5' image.raw 2>/dev/null
e2fsck -fn image.raw >fsck.log 2>&1 || :
grep -qi 'quota' fsck.log || fail "e2fsck does not check quotas"

# attributes larger than a block: refused by name, or in inodes of their own
{
	for f in one two; do
		echo "pax SCHILY.xattr.user.big $(many 5000)"
		echo "file $f text=1 uid=5"
	done
	echo "pax SCHILY.xattr.user.huge $(many 65536)"
	echo "pax SCHILY.xattr.user.a $(many 4000)"
	echo "pax SCHILY.xattr.user.b $(many 3000)"
	echo "pax SCHILY.xattr.user.small x"
	echo 'file d/three text=1 gid=70000'
	echo end
} | "$gentar" >big.tar
refuses "entry 'one': its attributes are larger than ext4 has room for without \
--fs-option ea-inode" 1 big.tar
for entry in 'file one text=1' 'dir .'; do
	echo "pax SCHILY.xattr.user.big $(many 4200)
$entry
end" | "$gentar" >most.tar
	what="entry 'one'"
	[ "$entry" != 'dir .' ] || what='the root'
	refuses "$what: its attributes are larger" 1 most.tar
	build --fs-option ea-inode most.tar
done
build --fs-option ea-inode big.tar
has 'ea_list /d/three' 'user.huge \(65536\)'
[ "$(debugfs -R 'ea_get -f value /d/three user.huge' image.raw 2>&1 | grep -c .)" \
	-le 1 ] && [ "$(md5sum <value)" = "$(many 65536 | md5sum)" ] ||
	fail "the value is another"
build --fs-option ea-inode,quota,project big.tar
{
	for i in $(seq 400); do
		echo "pax SCHILY.xattr.user.a-name-of-an-attribute-$i v"
	done
	echo 'file x text=1'
	echo end
} | "$gentar" >many.tar
refuses "entry 'x': its attributes are larger" 1 --fs-option ea-inode many.tar
echo "pax SCHILY.xattr.user.big $(many 65537)
file x text=1
end" | "$gentar" >many.tar
refuses "entry 'x'" 1 --fs-option ea-inode many.tar

can_mount || exit 0
mount -o loop,ro hashed.raw "$mnt"
while read -r name; do
	[ "$(cat "$mnt/d/$name")" = "$name" ] || fail "no name is $name"
done <hashed
umount "$mnt"
build --fs-option ea-inode big.tar
mount -o loop image.raw "$mnt" || fail "the kernel does not mount ea_inode"
[ "$(getfattr -n user.huge --only-values "$mnt/d/three" 2>/dev/null | md5sum)" = \
	"$(many 65536 | md5sum)" ] || fail "the kernel reads another value"
rm "$mnt/two"
setfattr -x user.a "$mnt/d/three"
umount "$mnt"
clean image.raw

# which the kernel finds by its hash, to share it with more of them
build room.tar
has 'stat /out' 'File ACL'
block=$(sed -n 's/.*File ACL: //p' debugfs.log)
mount -o loop image.raw "$mnt"
getfattr -n user.a "$mnt/out" >/dev/null
touch "$mnt/new"
setfattr -n user.a -v "$(many 69)" "$mnt/new"
umount "$mnt"
clean image.raw
has 'stat /new' "File ACL: $block\$"
