#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Nothing is left to initialise when an image is first mounted, as its tables are all
# there: the thread that would do so, ext4lazyinit, is not started, and when the file
# system has been mounted for a while nothing has changed but the superblock and the
# journal. An image of mke2fs that does leave that to the kernel is seen to be changed.
. "$top_srcdir/tests/e2e/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
need mke2fs debugfs dumpe2fs qemu-system-x86_64
dir=$(mktemp -d "${TMPDIR:-/tmp}/mkimage-first-mount.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() {
	echo "FAIL: $*"
	[ ! -e "$dir/console" ] || cat "$dir/console"
	exit 1
}
cd "$dir"

# --- images: of one group and of many, with and without room; the last is mke2fs's
{
	echo 'repeat 3000'
	echo 'file d/file-# size=5000'
	echo 'end'
} | "$top_builddir/tests/tools/gentar" >a.tar
mkimage -q -o auto.raw a.tar
mkimage -q --size exact -o exact.raw a.tar
mkimage -q --size 300G -o large.raw a.tar
mkimage -q --fs-option casefold,verity,project,quota,ea-inode \
	--fs-option inode-ratio=8k --size 3G -o features.raw a.tar
# on what was another thing before, so that the zeroes are seen
tr '\0' x </dev/zero | head -c 512M >lazy.raw
mke2fs -q -F -t ext4 -b 4096 -i 8192 -E lazy_itable_init=1,nodiscard lazy.raw
cp --sparse=always large.raw default.raw
images="auto exact large features lazy default"

# --- a guest that mounts them, one after the other, and lets the kernel do what it
# wants to: it begins after 5 s at most. The thread has another task, which is to read
# bitmaps in advance: what is mounted with that is not looked at for it.
cat >init <<'X'
#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read -r module; do
	insmod "$module"
done </etc/modules-load
thread() {
	ps | grep -q '[e]xt4lazyinit' && echo "THREAD: $1"
}
for d in a b c d e; do
	[ $d != e ] || sleep 8
	thread "before vd$d"
	mkdir /$d
	mount -t ext4 -o no_prefetch_block_bitmaps /dev/vd$d /$d &&
		echo "MOUNTED: vd$d"
	thread "vd$d"
done
mkdir /f
mount -t ext4 /dev/vdf /f && echo "MOUNTED: vdf"
sleep 15
sync
for d in a b c d e f; do
	umount /$d && echo "UNMOUNTED: vd$d"
done
poweroff -f
X
"$testbed" initrd -o initrd --init init --module virtio_pci --module virtio_blk \
	--module crc32c_generic --module ext4 --module quota_v2
accel=$("$testbed" accel) # which says why
set --
for name in $images; do
	cp --sparse=always "$name.raw" "$name.was"
	set -- "$@" -device "virtio-blk-pci,drive=$name" -drive \
		"if=none,id=$name,format=raw,cache=unsafe,file=$name.raw"
done
timeout 200 qemu-system-x86_64 -accel $accel -m 256 -nodefaults -no-user-config \
	-display none -no-reboot -kernel "$kernel" -initrd initrd -append \
	"console=ttyS0 quiet panic=-1 mitigations=off" -serial stdio "$@" \
	</dev/null >console 2>&1 || fail "QEMU"
tr -d '\r' <console | grep -E '^(THREAD|MOUNTED|UNMOUNTED): ' >said || :
diff - said <<'X' || fail "not what the guest should have seen"
MOUNTED: vda
MOUNTED: vdb
MOUNTED: vdc
MOUNTED: vdd
MOUNTED: vde
THREAD: vde
MOUNTED: vdf
UNMOUNTED: vda
UNMOUNTED: vdb
UNMOUNTED: vdc
UNMOUNTED: vdd
UNMOUNTED: vde
UNMOUNTED: vdf
X

# --- what has changed, in blocks of 4096 bytes that are neither the first, with the
# superblock, nor of the journal
changed() { # NAME, to $NAME.changed
	debugfs -R 'blocks <8>' "$1.was" 2>/dev/null | tr ' ' '\n' |
		grep . | sort >journal
	[ "$(wc -l <journal)" -ge 1024 ] || fail "$1: no journal"
	"$top_srcdir/tests/tools/changed.py" "$1.was" "$1.raw" | sort >blocks
	grep -qx 0 blocks || fail "$1: it was not mounted"
	grep -vx 0 blocks | comm -23 - journal >"$1.changed" || :
}
for name in $images; do
	changed "$name"
	e2fsck -fn "$name.raw" >fsck.log 2>&1 || fail "$name: $(cat fsck.log)"
	case $name in
	lazy)
		# the descriptors, and a table at least
		[ "$(wc -l <lazy.changed)" -gt 100 ] ||
			fail "what mke2fs has left to do is not seen"
		;;
	*)
		[ ! -s "$name.changed" ] ||
			fail "$name: changed: $(head -5 "$name.changed")"
		;;
	esac
done
echo "$(wc -l <lazy.changed) blocks of mke2fs's image initialised behind the" \
	"mount's back, none of ours"
