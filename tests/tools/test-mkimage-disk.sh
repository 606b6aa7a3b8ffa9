#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Whole disks: the table, the ESP, further partitions, the root file system in
# its own; kernels copied out.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar sgdisk sfdisk partx fsck.vfat mdir jq
MTOOLS_SKIP_CHECK=1
export MTOOLS_SKIP_CHECK

mkdir -p src/boot src/lib/modules/6.12.1 esp/EFI/BOOT esp/loader/entries
for v in 6.1.0-9-amd64 6.1.0-10-amd64 6.1.0-10~rc1-amd64; do
	echo "kernel $v" >src/boot/vmlinuz-$v
	echo "initrd $v" >src/boot/initrd.img-$v
done
head -c 300000 /dev/urandom >src/boot/initrd.img-6.1.0-10-amd64
printf tail | dd of=src/boot/initrd.img-6.1.0-10-amd64 bs=1 seek=500000 \
	conv=notrunc status=none
tar -C src -cf a.tar .
head -c 700001 /dev/urandom >esp/EFI/BOOT/BOOTX64.EFI
: >esp/empty
echo short >esp/SHORT.TXT
for i in $(seq 40); do
	echo "entry $i" >"esp/loader/entries/a long name of an entry, number $i.conf"
done
name=$(printf 'gr\303\274n.conf')
echo utf8 >"esp/$name"
echo alias >esp/longname-1.text
echo alias >esp/longname-2.text
echo grub >grub.cfg
head -c 3000000 /dev/urandom >data.img

start() { # of partition $2 of disk $1, and its size: in sectors
	sfdisk -J "$1" 2>/dev/null |
		jq -r ".partitiontable.partitions[$(($2 - 1))] | \"\(.start) \(.size)\""
}

part() { # to file $3
	set -- "$1" "$2" "$3" $(start "$1" "$2")
	dd if="$1" of="$3" bs=1M skip=$(($4 / 2048)) \
		count=$((($5 + 2047) / 2048)) conv=sparse status=none
	truncate -s $(($5 * 512)) "$3"
}

# table DISK: sound, and its partitions at whole MiB
table() {
	sgdisk -v "$1" >sgdisk.log 2>&1
	grep -q 'No problems found' sgdisk.log ||
		fail "sgdisk -v $1: $(cat sgdisk.log)"
	sfdisk --verify "$1" >sfdisk.log 2>&1 || fail "sfdisk: $(cat sfdisk.log)"
	sfdisk -d "$1" | grep -q '^label: gpt' || fail "$1: no GPT"
	# protective MBR: one partition of type ee
	[ "$(od -An -tx1 -j450 -N1 "$1" | tr -d ' ')" = ee ] ||
		fail "$1: no protective MBR"
	if sfdisk -d "$1" | awk -F'start= *' '/start=/ { split($2, a, ",")
		if (a[1] % 2048) bad = 1 } END { exit !bad }'; then
		fail "$1: not on whole MiB"
	fi
}

# same_esp FILE DIR: what mtools reads is what is in DIR
same_esp() {
	fsck.vfat -n "$1" >fsck.log 2>&1 || fail "fsck.vfat: $(cat fsck.log)"
	! grep -qiE 'differ|dirty|wrong|free cluster|orphan|bad' fsck.log ||
		fail "fsck.vfat: $(cat fsck.log)"
	rm -rf back
	mkdir back
	LC_ALL=C.UTF-8 mcopy -s -Q -i "$1" ::/ back/ 2>mcopy.log ||
		fail "mcopy: $(cat mcopy.log)"
	diff -r "$2" back || fail "$1: not what is in $2"
}

# root alone
mkimage -q --partition --size 100M -o a.raw a.tar
table a.raw
sfdisk -d a.raw | grep -q 'type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709.*name="root"' ||
	fail "root: $(sfdisk -d a.raw)"
part a.raw 1 image.raw
made a.tar
debugfs -R 'cat /boot/vmlinuz-6.1.0-9-amd64' image.raw 2>/dev/null |
	grep -q '^kernel 6.1.0-9' || fail "not the root file system"

# a name that ends in '/' is a folder to put it into, as with --add
mkdir -p one
echo one >one/a.efi
mkimage --force -q --esp one/a.efi:EFI/x/ --esp one/a.efi:/ --esp one/:EFI/y/ \
	--esp one:EFI/z -o into.raw src
part into.raw 1 into.img
mkdir -p want/EFI/x want/EFI/y/one want/EFI/z
for f in a.efi EFI/x/a.efi EFI/y/one/a.efi EFI/z/a.efi; do
	cp one/a.efi want/$f
done
same_esp into.img want

# the root's type is that of the processor its programs are for, with the names
# that sfdisk has for them
mkdir -p programs/bin
elf 1 1 '\3\0' >programs/bin/other
sfdisk -T --label gpt >types
while read -r class order machine word name; do
	elf "$class" "$order" "$machine" >programs/bin/one
	elf "$class" "$order" "$machine" >programs/bin/two
	type=$(sed -n "s/^\([-0-9A-F]*\)  Linux root ($name)\$/\1/p" types)
	[ -n "$type" ] || fail "sfdisk has no $name"
	mkimage --force --json --partition -o m.raw programs >m.json
	[ "$(jq -r .machine m.json)" = "$word" ] || fail "$word: $(cat m.json)"
	sfdisk -d m.raw | grep -q "type=$type.*name=\"root\"" ||
		fail "$word: not $type: $(sfdisk -d m.raw)"
done <<'X'
2 1 \076\0 x86-64 x86-64
2 1 \267\0 arm64 ARM-64
2 1 \363\0 riscv64 RISC-V-64
1 1 \003\0 x86 x86
1 1 \050\0 arm ARM
2 1 \002\1 loongarch64 LoongArch-64
2 1 \025\0 ppc64-le PPC64LE
2 2 \0\026 s390x S390X
X
mkimage --force -q --partition=root,type=root-riscv64 -o m.raw programs
sfdisk -d m.raw | grep -qi 'type=72EC70A6.*name="root"' ||
	fail "a type that was asked for: $(sfdisk -d m.raw)"

# each type that has a name is what sfdisk knows under its own
cat >types <<'X'
root-x86-64	Linux root (x86-64)
root-arm64	Linux root (ARM-64)
root-riscv64	Linux root (RISC-V-64)
root-x86	Linux root (x86)
root-arm	Linux root (ARM)
root-loongarch64	Linux root (LoongArch-64)
root-ppc64-le	Linux root (PPC64LE)
root-s390x	Linux root (S390X)
usr-x86-64	Linux /usr (x86-64)
usr-arm64	Linux /usr (ARM-64)
usr-riscv64	Linux /usr (RISC-V-64)
home	Linux home
srv	Linux server data
var	Linux variable data
tmp	Linux temporary data
swap	Linux swap
esp	EFI System
xbootldr	Linux extended boot
linux	Linux filesystem
bios-boot	BIOS boot
X
# shellcheck disable=SC2046
mkimage --force -q -o m.raw $(sed 's/\(.*\)	.*/--partition=p-\1,size=1M,type=\1/' types) \
	a.tar
sfdisk -d m.raw | sed -n 's/.*type=\([^,]*\),.*name="p-\([^"]*\)".*/\2 \1/p' >have
[ "$(wc -l <have)" -eq 20 ] || fail "not 20 partitions: $(cat have)"
sfdisk --label gpt -T >known
while read -r name guid; do
	grep -qxF "$guid  $(sed -n "s/^$name	//p" types)" known ||
		fail "$name is $(grep "^$guid" known)"
done <have

# all there can be
all="--esp esp --esp grub.cfg:EFI/debian/grub.cfg
	--partition=name=data,file=data.img
	--size 220M --partition=home,type=home,size=20M
	--partition=swap,type=swap,size=5M,guid=01234567-89ab-cdef-0123-456789abcdef"
# shellcheck disable=SC2086
mkimage --json $all -o b.raw a.tar >b.json
table b.raw
sfdisk -d b.raw >b.dump
for p in 'type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B.*name="esp"' \
	'type=0FC63DAF-8483-4772-8E79-3D69D8477DE4.*name="data"' \
	'size= *40960, type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915.*name="home"' \
	'type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=01234567-89AB' \
	'type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709.*name="root"'; do
	grep -q "$p" b.dump || fail "no $p in $(cat b.dump)"
done
# a machine would mount them when it finds them, and there is nothing in them
[ "$(sfdisk -d b.raw | grep -c 'attrs="GUID:63"')" -eq 2 ] &&
	sfdisk -d b.raw | grep -q 'name="home", attrs="GUID:63"' &&
	sfdisk -d b.raw | grep -q 'name="swap", attrs="GUID:63"' ||
	fail "not to be mounted: $(cat b.dump)"
[ "$(sha256sum <b.raw | cut -d' ' -f1)" = "$(jq -r .sha256 b.json)" ] ||
	fail "not the digest of the output"
[ "$(stat -c %s b.raw)" -eq "$(jq -r '.["disk-size"]' b.json)" ] ||
	fail "not the size of the disk"
part b.raw 1 esp.img
cp -r esp whole
mkdir whole/EFI/debian
cp grub.cfg whole/EFI/debian/
same_esp esp.img whole
LC_ALL=C.UTF-8 mdir -i esp.img -/ :: | grep -q 'LONGNA~2 TEX' ||
	fail "no alias for the second of two long names"
part b.raw 2 data.back
cmp -n 3000000 data.img data.back || fail "another file in its partition"
part b.raw 5 image.raw
made a.tar
if can_mount && grep -qw vfat /proc/filesystems; then
	mount -t vfat -o loop,ro,utf8 esp.img "$mnt"
	diff -r whole "$mnt" >diff.log || { umount "$mnt"; fail "$(cat diff.log)"; }
	umount "$mnt"
fi

# as libblkid sees the partitions
for n in 1 2 3 4 5; do
	partx -gb -o START,SECTORS -n $n b.raw | tr -s ' ' >partx.log
	[ "$(sed 's/^ //' partx.log)" = "$(start b.raw $n)" ] ||
		fail "partx: $(cat partx.log), not $(start b.raw $n)"
done

# the same disk each time, in each container; another with other content
# shellcheck disable=SC2086
(cd esp && umask 077 && touch -d '2001-01-01' EFI/BOOT/* && cd .. &&
	TZ=Asia/Tokyo LANG=tr_TR.UTF-8 mkimage -q $all -o c.qcow2 - <a.tar)
if have_tool qemu-img; then
	qemu-img check -q c.qcow2 || fail "qemu-img check"
	qemu-img compare -q b.raw c.qcow2 || fail "qcow2: another disk"
fi
# shellcheck disable=SC2086
mkimage -q $all -t squashfs -o d.raw a.tar
table d.raw
part d.raw 5 root.squashfs
unsquashfs -s root.squashfs >un.log 2>&1 || fail "$(cat un.log)"
[ "$(sfdisk -d b.raw | grep label-id)" != "$(sfdisk -d d.raw | grep label-id)" ] ||
	fail "another content, the same identity"

# of a seed, whatever the content
ids() {
	mkimage -q --force --seed "$1" --esp grub.cfg:x --size 100M -t "${3-ext4}" \
		-o s.raw "$2"
	sfdisk -d s.raw | grep -o 'uuid=[^,]*\|label-id:.*'
	part s.raw 1 esp.img
	blkid -p -o value -s UUID esp.img
}
ids me a.tar >ids.log
[ "$(grep -c . ids.log)" -eq 4 ] || fail "$(cat ids.log)"
tar -cf seed.tar grub.cfg
ids me seed.tar | diff ids.log - || fail "one seed, other GUIDs"
[ "$(ids you a.tar | sort - ids.log | uniq | grep -c .)" -eq 8 ] ||
	fail "another seed, the same GUIDs"
ids me a.tar squashfs >ids.log
ids me seed.tar squashfs | diff ids.log - || fail "squashfs: other GUIDs"
rm s.raw

# sizes: of the disk, FAT16 and FAT32
for size in 4M 33M 34M 270M; do
	mkimage -q --force --esp grub.cfg:grub.cfg --partition=esp,size=$size \
		--size 330M -o e.raw a.tar
	table e.raw
	[ "$(stat -c %s e.raw)" -eq 346030080 ] || fail "$size: not 330 MiB"
	part e.raw 1 esp.img
	[ "$(stat -c %s esp.img)" -eq "$(numfmt --from=iec $size)" ] ||
		fail "ESP: not $size"
	rm -rf want && mkdir want && cp grub.cfg want
	same_esp esp.img want
	part e.raw 2 image.raw
	made a.tar
done

# clusters of 8 and 16 KiB: what is in use comes first, the rest is a hole
for size in 9 17; do
	mkimage -q --force --esp esp --partition=esp,size=${size}G -o e.raw \
		programs
	table e.raw
	dd if=e.raw of=esp.img bs=1M skip=1 count=64 conv=sparse status=none
	truncate -s ${size}G esp.img
	same_esp esp.img esp
	[ "$(od -An -tu1 -j13 -N1 esp.img)" -eq $((size == 9 ? 16 : 32)) ] ||
		fail "$size GiB: clusters of another size"
done
rm e.raw esp.img

# kernels
mkimage -q --force --extract-boot boot -o k.qcow2 a.tar
cmp boot/vmlinuz src/boot/vmlinuz-6.1.0-10-amd64 || fail "not the newest kernel"
cmp boot/initrd src/boot/initrd.img-6.1.0-10-amd64 || fail "not its initrd"
for fs in squashfs cpio; do
	mkimage -q --force --extract-boot boot -t $fs -o k.img a.tar
	cmp boot/initrd src/boot/initrd.img-6.1.0-10-amd64 || fail "$fs: initrd"
	cmp boot/vmlinuz src/boot/vmlinuz-6.1.0-10-amd64 || fail "$fs: kernel"
done
# names that a terminal would obey, or that JSON cannot have
esc=$(printf '\033[31m')
odd=$(printf 'o\377q')
mkdir -p odd/boot
echo kernel >"odd/boot/vmlinuz-1$esc$odd"
mkimage --force --extract-boot "b$esc" -o "$odd$esc.img" odd >out.log 2>err.log
! grep -qF "$esc" out.log err.log || fail "an escape sequence: $(cat -v out.log)"
grep -q 'kernel /boot/vmlinuz-1.x1b.31mo.xffq, initrd none' out.log ||
	fail "$(cat -v out.log)"
mkimage --force --json --extract-boot odd-boot -o "$odd.img" odd >odd.json \
	2>err.log || fail "--json: $(cat err.log)"
jq -e '.output == "o\\xffq.img" and
	(.kernel | startswith("/boot/vmlinuz-1"))' odd.json >jq.log ||
	fail "$(cat odd.json)"
rm -f "$odd.img" "$odd$esc.img"
# the short option's argument, both ways
for o in -p=swap,type=swap,size=1M -pswap,type=swap,size=1M; do
	mkimage -q --force $o -o k.img odd
	sfdisk -d k.img | grep -q 'name="swap"' || fail "$o: $(sfdisk -d k.img)"
done

echo fedora >src/lib/modules/6.12.1/vmlinuz
echo initramfs >src/boot/initramfs-6.12.1.img
tar -C src -cf f.tar .
report=$(mkimage --force --json --extract-boot boot -o k.img a.tar f.tar)
[ "$(cat boot/vmlinuz boot/initrd)" = "$(printf 'fedora\ninitramfs')" ] ||
	fail "not the kernel among the modules"
[ "$(echo "$report" | jq -r .kernel)" = /lib/modules/6.12.1/vmlinuz ] ||
	fail "not in the report: $report"
mkdir alone
cp -P src/boot/vmlinuz-6.1.0-9-amd64 alone/kernel
ln -s kernel alone/vmlinuz
tar -C alone -cf l.tar .
mkimage --force --extract-boot boot2 -o k.img l.tar >out.log 2>err.log
cmp boot2/vmlinuz alone/kernel || fail "not what /vmlinuz leads to"
grep -q 'no initrd that belongs to' err.log || fail "$(cat err.log)"

no() {
	want=$1
	shift
	rm -f n.raw
	rc=0
	mkimage "$@" -o n.raw >out.log 2>err.log || rc=$?
	[ $rc -ne 0 ] && [ ! -e n.raw ] || fail "not refused: $*"
	grep -qF -- "$want" err.log || fail "no '$want': $(cat err.log)"
	[ -z "$(find . -name '.vmmkit*')" ] || fail "temporary files are left"
}
tar -cf none.tar grub.cfg
no 'no kernel in the image' --extract-boot boot3 none.tar
no 'boot/vmlinuz' --extract-boot boot a.tar
no "'boot/initrd': is of another kernel" --force --extract-boot boot l.tar
no 'nil GUID' --partition=x,size=1M,guid=00000000-0000-0000-0000-000000000000 a.tar
no 'nil UUID' -U 00000000-0000-0000-0000-000000000000 a.tar
no 'label: needs a value' --fs-option label a.tar
no 'neither a size nor a file' --partition=data a.tar
no "type 'nonsense'" --partition=data,type=nonsense,size=1M a.tar
no 'by --size' --partition=root,size=1G a.tar
no "'root' twice" --partition=root --partition=root a.tar
no 'label' --partition=x,size=1M --partition=x,size=1M a.tar
no 'larger than its partition' --partition=x,size=1M,file=data.img a.tar
no 'it needs a size of 1027M' --partition=x,size=1G --size 512M a.tar
no 'do not fit' --esp data.img:a --esp data.img:b --partition=esp,size=4M a.tar
no "'.' or '..'" --esp grub.cfg:../grub.cfg a.tar
no 'there twice' --esp grub.cfg:A --esp grub.cfg:a a.tar
no 'FAT cannot have' --esp 'grub.cfg:what?' a.tar
no 'not UTF-8' --esp "grub.cfg:$(printf '\377')" a.tar
no 'neither a file nor a folder' --esp /dev/null:null a.tar
no 'absent' --esp absent a.tar
no 'is no disk' --partition -t cpio a.tar
no 'not a folder' --esp grub.cfg a.tar
no 'FAT: a size' --partition=esp,size=1M a.tar
mkdir -p many "deep$(printf '/%d' $(seq 33))"
seq -f 'many/a-name-that-is-long-%g' 200 | xargs touch
no 'more names in the root' --esp many --partition=esp,size=4M a.tar
no 'more than 32 folders deep' --esp deep a.tar
no 'more than 32 folders deep' --esp "grub.cfg:$(printf '%d/' $(seq 33))x" a.tar
truncate -s 4G huge
no 'over the 4 GiB' --esp huge:huge a.tar
no 'longer than 255' --esp "grub.cfg:$(printf '%0256d' 0)" a.tar
no 'FAT cannot have' --esp grub.cfg:dot. a.tar
: >empty
no "'empty': empty" --partition=x,file=empty a.tar
no "'many': not a file" --partition=x,file=many a.tar
no "'absent': read" --partition=x,file=absent a.tar
no "file: not for 'root'" --partition=root,file=data.img a.tar
no 'no name' --partition=size=1M a.tar
no 'more than 16T' --partition=x,size=17T a.tar
no 'more than 16T of them' --partition=x,size=9T --partition=y,size=9T a.tar
# names beyond 16 bits, and the day of all files in it
mkimage -q --force --esp "grub.cfg:$(printf '\360\237\230\200').cfg" \
	--esp "grub.cfg:$(printf '%0255d' 0)" -o k.img a.tar
SOURCE_DATE_EPOCH=1000000000 mkimage -q --force --esp many:many -o m.img a.tar
part k.img 1 esp.img
LC_ALL=C.UTF-8 mdir -b -i esp.img :: >names || fail "mdir"
grep -qaP '\x3d\xd8\x00\xde\x2e\x00' esp.img || fail "not two UTF-16 words"
grep -q "$(printf '%0255d' 0)" names || fail "$(cat names)"
part m.img 1 esp.img
[ "$(mdir -i esp.img ::/many | grep -c '2001-09-09')" -eq 202 ] ||
	fail "not of that day: $(mdir -i esp.img ::/many)"
tar -cf data.tar data.img
no 'does not fit' --partition -t squashfs --size 3M data.tar
