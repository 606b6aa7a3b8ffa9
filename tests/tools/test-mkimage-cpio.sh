#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# cpio: the tree as tar extracts it, to cpio(1) and to what reads an initramfs.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need tar cpio gzip zstd
[ "$(id -u)" -eq 0 ] || skip "must be root to make devices"

mkdir src
cd src
for n in 0 1 2 3 4 4095 100000; do
	head -c $n /dev/urandom >size-$n
done
printf data | dd of=hole bs=1 seek=500000 conv=notrunc status=none
truncate -s 2M hole
truncate -s 3M hole-all
mkdir sub
ln size-4095 hard-1
ln size-4095 sub/hard-2
ln size-0 hard-0
ln -s target short
ln -s "$(printf '%04095d' 0)" long
mknod null c 1 3
mknod big b 259 1048575
ln null hard-null
mkfifo fifo
touch "$(printf '%0255d' 0)" 'with space' "$(printf 'not-utf8-\377\376')"
chmod 4755 size-1
chmod 1777 sub
chown 65536:65537 size-4095
chown 4294967294:4294967294 size-2
cd ..
tar -C src --sort=name --numeric-owner --mtime=@1600000000 --sparse -cf a.tar .
mkdir ref
tar -C ref --numeric-owner -xpf a.tar

same() {
	rm -rf out
	mkdir out
	(cd out && cpio --quiet -idm --no-absolute-filenames) <"$1" ||
		fail "cpio -i $1"
	# cpio sets no times of links, and those of directories too early
	for d in ref out; do
		tree $d | awk -F '|' -v OFS='|' '
			$2 == "dir" || $2 == "symlink" { $5 = "" } { print }' \
			>$d.tree
	done
	diff ref.tree out.tree >diff.log || {
		head -20 diff.log
		fail "$1: not the tree that tar extracts"
	}
}
mkimage -q --strict -o a.cpio a.tar
same a.cpio
[ $(($(stat -c %s a.cpio) % 512)) -eq 0 ] || fail "not whole blocks"
# what is there once is stored once
[ "$(cpio -itv <a.cpio 2>/dev/null | awk '/ (hard-1|sub.hard-2|size-4095)$/ \
	{ n += $5 } END { print n }')" -eq 4095 ] || fail "hard links as copies"
mkimage -q -o a.cpio.gz a.tar
gzip -dc a.cpio.gz | cmp - a.cpio || fail "gzip"
mkimage -q -o a.cpio.zst a.tar
zstd -qdc a.cpio.zst | cmp - a.cpio || fail "zstd"
mkimage -q -t cpio -c gzip:1 -o b.img a.tar
gzip -dc b.img | cmp - a.cpio || fail "gzip, by its options"
[ "$(stat -c %s b.img)" -ge "$(stat -c %s a.cpio.gz)" ] || fail "not level 1"

# an early cpio of another kind in front, as for microcode: still one stream
cat a.cpio a.cpio >twice.cpio
(mkdir again && cd again && cpio --quiet -idm) <twice.cpio || fail "concatenated"

# the entries that replaced others, and only these
mkdir one
echo first >one/f
tar -C one -cf one.tar f
echo second >one/f
tar -C one -rf one.tar f
mkimage -q -o one.cpio one.tar
grep -q first one.cpio && fail "what was replaced is in the archive"
[ "$(cpio -it <one.cpio 2>/dev/null | grep -c '^f$')" -eq 1 ] || fail "twice"

# what cpio cannot have
setfattr -n user.x -v y src/size-1
tar -C src --xattrs --mtime=@1600000000 -cf attr.tar size-1 size-2
mkimage -o c.cpio attr.tar >out.log 2>err.log
grep -q "entry 'size-1' and 0 more: attributes left out" err.log ||
	fail "no word of the attribute: $(cat err.log)"
# times before 1970, after 2106 (the root has the latest), and within a second
"$gentar" >times.tar <<'X'
pax mtime -1
file before text=1
pax mtime 4294967296
file after text=1
pax mtime 5.5
file within text=1
file root mtime=4294967295 text=1
end
X
mkimage --force -o c.cpio times.tar >out.log 2>err.log
grep -q '3 times before 1970 or after 2106 changed' err.log || fail "$(cat err.log)"
grep -q '1 times cut to whole seconds' err.log || fail "$(cat err.log)"
TZ=UTC cpio -itv <c.cpio 2>/dev/null >list
for line in 'Jan  1  1970 before' 'Feb  7  2106 after' 'Jan  1  1970 within' \
	'Feb  7  2106 root'; do
	grep -q "$line\$" list || fail "no $line: $(cat list)"
done
rm c.cpio
! mkimage --strict -o c.cpio attr.tar 2>err.log || fail "not refused"
! mkimage -o c.cpio -f qcow2 a.tar 2>err.log || fail "a cpio in a qcow2"
"$gentar" >large.tar <<'X'
file large size=1 declared=4294967296
end
X
! mkimage -o c.cpio large.tar 2>err.log || fail "4 GiB in cpio"
grep -q "entry 'large': .*4 GiB" err.log || fail "$(cat err.log)"
[ ! -e c.cpio ] || fail "an output is left"
[ -z "$(find . -name '.vmmkit*')" ] || fail "temporary files are left"

# a path of as many bytes as there may be, and one more
name=$(many 255)
long=$(for i in $(seq 255); do printf '%s/' "$name"; done)
for end in "$name" "$(many 253)/of"; do
	printf 'pax path %s\nfile x text=deep\nend\n' "$long$end" | gen
	case $end in
	*/*) refuses ': its path is longer than 65535 bytes' 1 -t cpio a.tar ;;
	*)
		mkimage -q -o deep.cpio a.tar
		[ "$(cpio -it --quiet <deep.cpio | wc -L)" -eq 65535 ] ||
			fail "not the whole path"
		;;
	esac
done
rm deep.cpio
# of those, what the kernel does not unpack is told
long=$(for i in $(seq 15); do printf '%s/' "$name"; done)
printf 'pax path %s\nfile x text=deep\nend\n' "$long$name" | gen
mkimage -q --strict -o deep.cpio a.tar
rm deep.cpio
printf 'pax path %s\nfile x text=deep\nend\n' "$long$(many 253)/of" | gen
refuses ': 1 paths of more than 4095 bytes: as an initramfs, the kernel passes' 1 \
	--strict -t cpio a.tar

# an initrd as distributions have it: microcode in a plain archive, which the
# kernel reads first, and the rest in a compressed one behind it
mkdir -p early/kernel/x86 main/bin main/kernel
image_size=+3M
echo microcode >early/kernel/x86/code.bin
echo 'a program' >main/bin/init
head -c 700000 /dev/urandom >main/kernel/module
pack_cpio() {
	(cd "$1" && find . | sort | cpio -o -H newc --quiet -R 0:0)
}
pack_cpio early >early.cpio
pack_cpio main >main.cpio
cat early.cpio main.cpio >plain.cpio
# tar and bsdtar read the first of the two
of_main='bin|bin/init|kernel/module'
odd "$of_main" build --strict plain.cpio
cp image.raw plain.raw
for c in 'gzip -9' 'xz --check=crc32' 'zstd -q' 'lz4 -l -q' 'xz --format=lzma' \
	bzip2; do
	command -v "${c%% *}" >/dev/null || continue
	$c -c main.cpio >main.c
	# also where its first bytes are in two pieces, of a file and of a pipe
	ats=$((256 * 1024 - 3))
	[ "$c" != 'gzip -9' ] || ats="0 $ats $((512 * 1024 - 1))"
	for at in $ats; do
		size=$(stat -c %s early.cpio)
		pad=0
		[ "$at" -lt "$size" ] || pad=$((at - size))
		{
			cat early.cpio
			head -c $pad /dev/zero
			cat main.c
		} >initrd
		odd "$of_main" build --strict initrd
		cmp image.raw plain.raw || fail "$c at $at: another image"
		mkimage -q --force --strict --size $image_size -o image.raw - \
			<initrd
		cmp image.raw plain.raw || fail "$c at $at, a pipe: another image"
	done
	# cut off, and what is no archive
	head -c $(($(stat -c %s initrd) - 100)) initrd >cut
	refuses 'cut: ' 1 cut
	{
		cat early.cpio
		echo garbage | $c -c
	} >initrd
	refuses 'what follows the end-of-archive mark is left' 1 --strict initrd
	# nor is what is behind the compressed one passed over in silence
	{
		cat early.cpio main.c
		echo garbage
	} >initrd
	why='what follows the compressed data is left out'
	case $c in
	xz*format=lzma) ;;
	xz* | zstd*) why='initrd: decompress: ' ;;
	esac
	refuses "$why" 1 --strict initrd
done
if have_tool unmkinitramfs; then
	{
		cat early.cpio
		gzip -c main.cpio
	} >initrd
	unmkinitramfs initrd unpacked
	cat unpacked/main/bin/init unpacked/early/kernel/x86/code.bin >want
	mkimage -q --force -o all.cpio initrd
	rm -rf all
	mkdir all
	(cd all && cpio -i --quiet <../all.cpio)
	cat all/bin/init all/kernel/x86/code.bin | cmp - want ||
		fail "not what unmkinitramfs finds"
	(cd unpacked && find early/* main/* | sed 's,[a-z]*/,,' | sort -u) >want
	(cd all && find ./* | sed 's,./,,' | sort) | cmp - want ||
		fail "unmkinitramfs finds more or less"
fi
