#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every image that the tests of mkimage make is, as it is, the root of a guest that
# runs an init from it and writes to it. e2fsck has nothing to say afterwards, and
# what was written is there. One image of each kind, and what other tools make of
# them, is then more booted by vmm run, with the programs that mkimage put in.
#
# Some hundred starts of a kernel would take most of an hour of the processor, and
# be the same each time up to where it looks for its disk. So the machine is started
# once, saved as it waits for a word to load the driver of the disk, and each image
# has a machine of its own that goes on from there: it finds the disk, mounts it,
# makes it its root and runs the init.
. "$top_srcdir/tests/e2e/lib.sh"
. "$top_srcdir/tests/tools/gentar.sh"
need e2fsck debugfs dumpe2fs resize2fs setfattr sfdisk jq qemu-system-x86_64
dir=$(mktemp -d "${TMPDIR:-/tmp}/mkimage-corpus.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() {
	echo "FAIL: $*"
	exit 1
}
# some of the tests that make the images want it: where there is none, theirs are
# missing, and all others are booted
can_mount() {
	truncate -s 8M "$dir/probe"
	mke2fs -q -t ext4 "$dir/probe"
	mkdir "$dir/mnt"
	mount -o loop "$dir/probe" "$dir/mnt" 2>/dev/null && umount "$dir/mnt"
}
may_skip=none least=300
can_mount || may_skip=77 least=200
guest_image
export MKIMAGE_CORPUS=$dir/corpus
unset VMMKIT_JUDGE # which takes longer than all of this
mkdir "$MKIMAGE_CORPUS"

# --- the images of the tests, those of every test that makes one for e2fsck to look
# at: of all of them, but for those that look at something else
first="size same programs disk debian large" # the longest
without="cpio interrupt limits memory report same-out squashfs tune"
# shellcheck disable=SC2086 # lists
{
	printf '%s\n' $first
	for f in "$top_srcdir"/tests/tools/test-mkimage-*.sh; do
		f=${f##*/test-mkimage-}
		echo "${f%.sh}"
	done | grep -vxF "$(printf '%s\n' $first $without)"
} >"$dir/tests"
# shellcheck disable=SC2016 # for the other shell
xargs -P 2 -I % sh -c '
	status=0
	"$top_srcdir/tests/tools/test-mkimage-$1.sh" >"$2/$1.log" 2>&1 || status=$?
	case $status in
	0) ;;
	$3) echo "LEFT OUT: images of test-mkimage-$1.sh: $(tail -n 1 "$2/$1.log")" ;;
	*)
		tail -n 20 "$2/$1.log"
		exit 255
	esac' - % "$dir" "$may_skip" <"$dir/tests" || fail "a test of mkimage"
sort -u "$MKIMAGE_CORPUS/list" | cut -d ' ' -f 2 | sort | uniq -c

# What there is room for: for the init and a file, for a file, or for neither.
cd "$MKIMAGE_CORPUS"
init=$(($(stat -c %s "$(command -v busybox)") / 4096 + 20))
for f in *.raw; do
	dumpe2fs -h "$f" 2>/dev/null | awk -v f="$f" -v init=$init '
		/^Free blocks:/ { blocks = $3 }
		/^Reserved block count:/ { blocks -= $4 }
		/^Free inodes:/ { inodes = $3 }
		END {
			how = "init"
			if (blocks < 80 + init)
				how = "room"
			if (blocks < 80 || inodes < 6)
				how = "full"
			print f, how
		}'
done >"$dir/images"
[ "$(wc -l <"$dir/images")" -ge $least ] || fail "$(wc -l <"$dir/images") images only"

clean_and_written() { # FILE HOW
	e2fsck -fn "$1" >"$1.log" 2>&1 || {
		cat "$1.log"
		fail "${1##*/}: e2fsck is not content"
	}
	debugfs -R 'stat /' "$1" 2>/dev/null | grep -q ' mtime: 0x3b9aca00' ||
		fail "${1##*/}: not written to"
	[ "$2" = full ] ||
		debugfs -R 'cat /by-the-guest/linked' "$1" 2>/dev/null |
		cmp - "$dir/numbers" || fail "${1##*/}: not what was written"
	rm "$1.log"
}
seq 20000 >"$dir/numbers"

# --- each of them as a root. What its init is to do comes from the initramfs, in a
# file system of the memory; so does the init itself where there is no room for it.
cat >"$dir/init" <<'X'
#!/bin/sh
mount -t devtmpfs dev /dev
while read -r module; do
	[ "${module##*/}" = virtio_blk.ko ] || insmod "$module"
done </etc/modules-load
mkdir /mnt /guest
mount -t tmpfs guest /guest
cp /bin/busybox /run-in-root /guest
cp -a /dev/console /guest
echo SAVE
# the first letters are lost in a machine that is not there yet
while read -r how; do
	case $how in full | room | init) break ;; esac
done
insmod /lib/modules/virtio_blk.ko
mount -t ext4 /dev/vda /mnt
mount --move /guest /mnt/lost+found
cp -a /dev/vda /mnt/lost+found
init=/lost+found/busybox
if [ $how = init ]; then
	mkdir /mnt/by-the-guest
	init=/by-the-guest/busybox
	cp /bin/busybox /mnt$init
fi
exec switch_root -c /lost+found/console /mnt $init sh \
	/lost+found/run-in-root $how $init
X
cat >"$dir/run-in-root" <<'X'
b=$2
if [ $1 != full ]; then
	$b mkdir -p /by-the-guest
	$b seq 20000 >/by-the-guest/file
	$b ln /by-the-guest/file /by-the-guest/linked
fi
$b touch -d @1000000000 /
$b sync
# of a file system of its own, it would not be the root's
[ "$1 $($b stat -c %d $b)" != "init $($b stat -c %d /)" ] || echo "ITS OWN INIT"
$b mount -t ext4 -o remount,ro /lost+found/vda / && echo "WRITTEN BY PROCESS $$"
$b reboot -f
X
cd "$dir"
"$testbed" initrd -o initrd --init init \
	--module virtio_pci --module virtio_blk --module crc32c_generic \
	--module ext4 --module quota_v2 --add run-in-root:/run-in-root
accel=$("$testbed" accel) # which says why
machine() { # FILE OPTION...
	file=$1
	shift
	timeout 120 qemu-system-x86_64 -accel $accel -m 128 -nodefaults \
		-no-user-config -display none -no-reboot \
		-drive "if=none,id=d,format=raw,cache=unsafe,file=$file" \
		-device virtio-blk-pci,drive=d "$@"
}
save() {
	for ((i = 0; i < 1000; i++)); do
		! grep -q SAVE console 2>/dev/null || break
		sleep 0.1
	done
	# the monitor takes no other word before the first is done
	echo 'migrate "exec:cat >saved"'
	echo quit
}
truncate -s 1M none
save | machine none -kernel "$kernel" -initrd initrd -append "console=ttyS0 \
loglevel=5 panic=-1 reboot=t mitigations=off" -serial file:console -monitor stdio \
	>monitor || fail "QEMU: $(cat monitor)"
[ -s saved ] || fail "no machine was saved: $(cat console)"
boot() { # NAME HOW
	printf '%20s\n' '' "$2" | tr ' ' '\n' |
		machine "corpus/$1" -serial stdio -incoming 'exec:cat saved' \
			>"$1.console" 2>&1 || fail "$1: QEMU"
	grep -q 'WRITTEN BY PROCESS 1' "$1.console" || {
		cat "$1.console"
		fail "$1: no guest that writes"
	}
	! grep -E 'EXT4-fs.*(error|warning)' "$1.console" ||
		fail "$1: the kernel"
	[ "$2" != init ] || grep -q 'ITS OWN INIT' "$1.console" ||
		fail "$1: another init"
	clean_and_written "corpus/$1" "$2"
	rm "corpus/$1"
	echo "$1"
}
export -f boot machine clean_and_written fail
export dir accel
# shellcheck disable=SC2016 # for the other shell
xargs -P 2 -L 1 bash -c '(boot "$@") || exit 255' - <images >boot.log ||
	fail "$(cat boot.log)"
grep -xE '[0-9a-f]{16}\.raw' boot.log | sort >booted
cut -d ' ' -f 1 images | diff - booted || fail "not each of them was booted"
echo "$(wc -l <booted) images booted as root, written to and clean:" \
	"$(grep -c ' init$' images) with an init of their own," \
	"$(grep -c ' room$' images) that had no room for one," \
	"$(grep -c ' full$' images) without room for a file; left out:" \
	"$([ $may_skip = none ] && echo none || echo 'what needs a loop mount to make')"

# --- one of each kind, by vmm run: a tree with all there is, in every kind of image
{
	echo 'repeat 4000'
	echo 'file many/a-name-in-an-indexed-directory-# text=n#'
	file_of_runs 2000 16384000
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
"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" \
	--module quota_v2 --init "$(command -v vmm-init)" -o "$dir/vmm-initrd"

# what grows has room to
truncate -s +200M disk.qcow2
disks=()
while read -r name _; do
	disks+=(--disk "$PWD/$name")
done <"$dir/boots"

in_testbed corpus.script --timeout 400 --mem 2048 "${disks[@]}" \
	--add "$dir/vmm-initrd:/vm/corpus-initrd" --add "$dir/boots:/vm/boots" \
	<<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
boot() { # PARAMS DISK...
	params=$1
	shift
	: >"$tmp/console"
	vmm run --mem 256 --initrd "$vm/corpus-initrd" --params "quiet $params" \
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
i=0
# not from standard input, which vmm exec reads
while read -r name room root <&3; do
	eval "disk=\$TESTBED_DISK$i"
	i=$((i + 1))
	boot "root=$root rw" --block "$disk"
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
		boot "root=$root rw" --block "$disk"
		guest dmesg | grep 'EXT4-fs.*recovery complete' ||
			fail "$name: no journal to replay"
	fi
	stop
	echo "booted: $name"
done 3<"$vm/boots"
E2E

# --- looked at from here
while read -r name room _; do
	f=$dir/$name
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
done <"$dir/boots"
echo "$(wc -l <"$dir/boots") more booted by vmm run, written to and clean"
