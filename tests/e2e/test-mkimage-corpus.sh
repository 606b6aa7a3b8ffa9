#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every image that the tests of mkimage make is mounted by a guest's kernel, read and
# written to; those that differ most, and what other tools make of them, are the root
# of a guest that boots from them and writes to them. e2fsck has nothing to say
# afterwards, and what was written is there.
#
# With BOOT=all each of them, as it is, is the root of a guest in place of that, under
# QEMU and with what it runs from the initramfs: that takes some minutes more.
. "$top_srcdir/tests/e2e/lib.sh"
for p in e2fsck debugfs dumpe2fs resize2fs setfattr sfdisk jq; do
	command -v "$p" >/dev/null || { echo "SKIP: no $p"; exit 77; }
done
guest_image
dir=$(mktemp -d "${TMPDIR:-/tmp}/mkimage-corpus.XXXXXX")
mnt=$dir/mnt
trap '! mountpoint -q "$mnt" || umount "$mnt"; rm -rf "$dir"' EXIT
fail() {
	echo "FAIL: $*"
	exit 1
}
clean() {
	e2fsck -fn "$1" >"$dir/fsck.log" 2>&1 || {
		cat "$dir/fsck.log"
		fail "${1##*/}: e2fsck is not content"
	}
}
export MKIMAGE_CORPUS=$dir/corpus
unset VMMKIT_JUDGE # which takes longer than all of this
mkdir "$MKIMAGE_CORPUS" "$mnt"

# --- the images of the tests; those left out are slow, and make the same at other
# sizes
tests="tree oci disk agent ext4 formats guest interop manifest meta sources tar"
# shellcheck disable=SC2016,SC2086 # for the other shell; a list
printf '%s\n' $tests | xargs -P 2 -I % sh -c '
	"$top_srcdir/tests/tools/test-mkimage-$1.sh" >"$2/$1.log" 2>&1 || {
		tail -n 20 "$2/$1.log"
		exit 1
	}' - % "$dir" || fail "a test of mkimage"
cd "$MKIMAGE_CORPUS"
for f in *.raw; do
	# those with much in them are there for their size
	[ "$(du -k "$f" | cut -f 1)" -lt 100000 ] || { rm "$f"; continue; }
	dumpe2fs -h "$f" 2>/dev/null | awk -v f="$f" '
		/^Free blocks:/ { blocks = $3 }
		/^Free inodes:/ { inodes = $3 }
		END { print f, (blocks >= 80 && inodes >= 6 ? "room" : "full") }'
done >"$dir/images"
[ "$(wc -l <"$dir/images")" -ge 130 ] || fail "$(wc -l <"$dir/images") images only"

clean_and_written() { # FILE room|full
	clean "$1"
	debugfs -R 'stat /' "$1" 2>/dev/null | grep -q ' mtime: 0x3b9aca00' ||
		fail "${1##*/}: not written to"
	[ "$2" = room ] || return 0
	debugfs -R 'cat /by-the-guest/linked' "$1" 2>/dev/null >"$dir/file"
	seq 20000 | cmp - "$dir/file" || fail "${1##*/}: not what was written"
}

# --- each of them as a root, which brings nothing to run: what there is to do comes
# from the initramfs, in a file system of the memory
boot_each() {
	cat >"$dir/init" <<'X'
#!/bin/sh
mount -t devtmpfs dev /dev
while read -r module; do
	insmod "$module"
done </etc/modules-load
mkdir /mnt
mount -t ext4 /dev/vda /mnt
mount -t tmpfs guest /mnt/lost+found
cp /bin/busybox /run-in-root /mnt/lost+found/
cp -a /dev/vda /dev/console /mnt/lost+found/
exec switch_root -c /lost+found/console /mnt /lost+found/busybox sh \
	/lost+found/run-in-root
X
	cat >"$dir/run-in-root" <<'X'
b=/lost+found/busybox
if $b mkdir /by-the-guest; then
	$b seq 20000 >/by-the-guest/file
	$b ln /by-the-guest/file /by-the-guest/linked
fi
$b touch -d @1000000000 /
$b sync
$b mount -t ext4 -o remount,ro /lost+found/vda / && echo "WRITTEN BY PROCESS $$"
$b poweroff -f
X
	"$testbed" initrd -o "$dir/initrd" --init "$dir/init" \
		--module virtio_pci --module virtio_blk --module crc32c_generic \
		--module ext4 --module quota_v2 \
		--add "$dir/run-in-root:/run-in-root"
	accel=tcg
	[ "$("$testbed" how)" = tcg ] || accel=kvm
	while read -r name room; do
		timeout 300 qemu-system-x86_64 -accel $accel -m 192 -nodefaults \
			-display none -no-reboot -kernel "$kernel" \
			-initrd "$dir/initrd" -append "console=ttyS0 quiet \
panic=-1 mitigations=off" -drive if=none,id=d,format=raw,file="$name" \
			-device virtio-blk-pci,drive=d -serial stdio \
			</dev/null >"$dir/console" 2>&1 || fail "$name: QEMU"
		grep -q 'WRITTEN BY PROCESS 1' "$dir/console" || {
			cat "$dir/console"
			fail "$name: no guest that writes"
		}
		clean_and_written "$name" "$room"
	done <"$dir/images"
	echo "$(wc -l <"$dir/images") images booted, written to and clean"
}
if [ -n "${BOOT-}" ]; then
	boot_each
	exit
fi

# --- those to boot in any case: a tree with all there is, in every kind of image
many() {
	head -c "$1" /dev/zero | tr '\0' n
}
{
	echo 'repeat 4000'
	echo 'file many/a-name-in-an-indexed-directory-# text=n#'
	printf 'pax GNU.sparse.name holes\npax GNU.sparse.size 16384000\n'
	printf 'pax GNU.sparse.map 0,1'
	for ((i = 1; i < 2000; i++)); do
		printf ',%d,1' $((i * 8192))
	done
	printf '\nfile x size=2000\n'
	echo "pax SCHILY.xattr.security.selinux $(many 200)"
	echo "pax SCHILY.xattr.user.large $(many 3000)"
	echo 'pax SCHILY.acl.access user::rw-,user:7:r--,group::r--,mask::r--,other::---'
	echo 'file labelled text=labelled mode=640 uid=70000'
	echo 'link linked labelled'
	echo "symlink long /$(many 80)"
	echo end
} | "$top_builddir/tests/tools/gentar" >"$dir/rich.tar"
make() { # NAME OPTION...
	mkimage -q --agent "$e2e/rootfs.tar" "$dir/rich.tar" -o "$@"
}
make auto.raw
make small.raw --size +4M
make exact.raw --size exact
make features.raw \
	--fs-option casefold,verity,project,quota,ea-inode
make disk.qcow2 --compress zstd --partition --partition=data,size=1M \
	--journal-size 0 --fs-option inode-ratio=64k,reserved=5%
cp --sparse=always small.raw grown.raw
resize2fs -f grown.raw $(($(stat -c %s small.raw) * 100 / 4096)) \
	>"$dir/log" 2>&1 || fail "resize2fs: $(cat "$dir/log")"
mv small.raw shrunk.raw
resize2fs -fM shrunk.raw >"$dir/log" 2>&1 ||
	fail "resize2fs: $(cat "$dir/log")"
qcow-tool convert -O raw disk.qcow2 "$dir/disk.raw"
partuuid=$(sfdisk -J "$dir/disk.raw" | jq -r \
	'.partitiontable.partitions[] | select(.name == "root").uuid')
cat >"$dir/boots" <<-X
	auto.raw room /dev/vda
	exact.raw full /dev/vda
	features.raw room /dev/vda
	grown.raw room /dev/vda
	shrunk.raw full /dev/vda
	disk.qcow2 room PARTUUID=$partuuid
X
"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" --module loop \
	--module quota_v2 --init "$(command -v vmm-init)" -o "$dir/initrd"

cat >"$dir/mount-all" <<'X'
cd /corpus
while read -r name room; do
	mount -t ext4 -o loop "$name" /mnt || {
		echo "FAIL: $name: mount"
		continue
	}
	{
		find /mnt -xdev -maxdepth 20 -exec true {} + &&
			{ [ "$room" = full ] || {
				mkdir /mnt/by-the-guest &&
					seq 20000 >/mnt/by-the-guest/file &&
					ln /mnt/by-the-guest/file \
						/mnt/by-the-guest/linked
			}; } &&
			touch -d @1000000000 /mnt
	} || echo "FAIL: $name: write"
	umount /mnt || echo "FAIL: $name: unmount"
done <images
cd /
dmesg | grep -E 'EXT4-fs.*(error|warning)' && echo 'FAIL: the kernel'
umount /corpus || echo 'FAIL: the corpus'
X
cp "$dir/images" "$dir/boots" .
mkimage -q --size +1G . -o "$dir/corpus.raw"
cd "$dir"
rm -rf "$MKIMAGE_CORPUS"

in_testbed corpus.script --timeout 400 --mem 2048 --module ext4 \
	--disk "$dir/corpus.raw" --add "$dir/initrd:/vm/loop-initrd" \
	--add "$dir/mount-all:/vm/mount-all" \
	<<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
# on a host with KVM it would stay
trap 'umount "$tmp/corpus" 2>/dev/null || :' EXIT
boot() { # PARAMS DISK...
	params=$1
	shift
	: >"$tmp/console"
	vmm run --mem 256 --initrd "$vm/loop-initrd" --params "quiet $params" \
		"$@" --socket "$sock" \
		--serial "type=file,path=$tmp/console,console" \
		"$vm/vmlinuz" </dev/null 2>"$tmp/stderr" &
	vmm=$!
	guest true || fail "$params $*: no agent"
}
stop() {
	vmm stop "$sock" || fail "vmm stop"
	end_vm
	[ "$status" = 0 ] || fail "exit status $status"
}
mkdir "$tmp/corpus"
loop=
[ -b "$TESTBED_DISK0" ] || loop=-oloop
# shellcheck disable=SC2086 # an option or none
mount -t ext4 $loop "$TESTBED_DISK0" "$tmp/corpus"
# not from standard input, which vmm exec reads
while read -r name room root <&3; do
	boot "root=$root rw" --block "$tmp/corpus/$name"
	[ "$room" = full ] || guest sh -ec '
		mkdir /by-the-guest
		seq 20000 >/by-the-guest/file
		ln /by-the-guest/file /by-the-guest/linked' ||
		fail "$name: it cannot be written to"
	guest sh -ec 'touch -d @1000000000 / && sync' || fail "$name: write"
	if [ "$name" = auto.raw ]; then
		# cut off, with what was written last in the journal
		kill -9 "$vmm"
		wait "$vmm" || :
		boot "root=$root rw" --block "$tmp/corpus/$name"
		guest dmesg | grep 'EXT4-fs.*recovery complete' ||
			fail "$name: no journal to replay"
	fi
	stop
	echo "booted: $name"
done 3<"$tmp/corpus/boots"
umount "$tmp/corpus"

boot '' --block "$tmp/fs.qcow2,root" --block "$TESTBED_DISK0"
guest mkdir -p /corpus /mnt
guest mount /dev/vdb /corpus
guest sh -c "$(cat "$vm/mount-all")" >"$tmp/said" 2>&1
stop
cat "$tmp/said"
! grep -q FAIL "$tmp/said" || exit 1
E2E

# --- looked at from here
mount -o loop "$dir/corpus.raw" "$mnt" || { echo "SKIP: no loop mount"; exit 77; }
while read -r name room _; do
	f=$mnt/$name
	if [ "$name" = disk.qcow2 ]; then
		qcow-tool check -q "$f" || fail "qcow-tool check"
		qcow-tool convert -O raw "$f" "$dir/disk.raw"
		start=$(sfdisk -J "$dir/disk.raw" |
			jq '.partitiontable.partitions[] |
				select(.name == "root").start')
		f=$dir/root.raw
		dd if="$dir/disk.raw" of="$f" bs=1M skip=$((start / 2048)) \
			conv=sparse status=none
	fi
	clean_and_written "$f" "$room"
done < <(cat "$mnt/images" "$mnt/boots")
echo "$(wc -l <"$mnt/images") images mounted, $(wc -l <"$mnt/boots") booted:" \
	"written to and clean"
