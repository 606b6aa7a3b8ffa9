#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# zstd, Android sparse and composite images, judged by the programs of others.
for tool in qemu-img zstd simg2img img2simg sgdisk sfdisk jq; do
	command -v $tool >/dev/null || {
		echo "no $tool"
		exit 77
	}
done
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir sub

fail() {
	echo "$*"
	exit 1
}
same() { # A B
	qemu-img compare -q -f raw -F raw "$1" "$2" ||
		fail "$1 and $2 differ"
}
put() { # OFFSET LENGTH
	head -c "$2" /dev/urandom |
		dd of=src.raw bs=65536 seek="$1" oflag=seek_bytes conv=notrunc \
			iflag=fullblock status=none
}

# data, holes, written zeroes and words that repeat, not in step with frames
truncate -s 9M src.raw
put 0 5000
put 1000000 700000
put 9436672 512
dd if=/dev/zero of=src.raw bs=64k seek=60 count=10 conv=notrunc status=none
yes abc | tr -d '\n' | head -c 400000 |
	dd of=src.raw bs=4096 seek=1500 conv=notrunc status=none
qcow-tool convert -O qcow2 src.raw src.qcow2

# --- zstd: every way to write it, read by zstd and by this ------------------
for o in checksums=on checksums=off compression_level=9; do
	for from in src.raw src.qcow2; do
		for threads in 1 4; do
			qcow-tool convert -m $threads -O zstd -o $o $from z
			zstd -q -d -c z >z.raw || fail "zstd: $o"
			same z.raw src.raw
			qcow-tool check -q z
			qcow-tool convert z z.raw
			same z.raw src.raw
			rm z z.raw
		done
	done
done
qcow-tool convert -O zstd src.raw z
[ "$(stat -c %s z)" -lt 1000000 ] || fail "zstd: not compressed"
[ "$(qcow-tool map --output=json z | jq '[.[] | select(.zero)] | length')" \
	-ge 3 ] || fail "zstd: holes are not seen"
qcow-tool map --output=json z | jq -e '.[0] | .data and .compressed' >/dev/null ||
	fail "zstd: not mapped as compressed"
[ "$(qcow-tool info --output=json z | jq -r .format,.\"virtual-size\" |
	tr '\n' ' ')" = "zstd 9437184 " ] || fail "zstd: info"
qcow-tool convert z back.raw
[ "$(stat -c %b back.raw)" -le "$(($(stat -c %b src.raw) + 64))" ] ||
	fail "zstd: holes are not kept"
# the same bytes each time, whatever the number of threads
qcow-tool convert -m 1 -O zstd src.raw z1
cmp z z1 || fail "zstd: not the same each time"
printf 'xyz' | dd of=z bs=1 seek=300 conv=notrunc status=none
st=0
qcow-tool check -q z >/dev/null 2>&1 || st=$?
[ $st = 2 ] || fail "zstd: check of a broken one: $st"
zstd -q src.raw -o plain.zst
qcow-tool info plain.zst 2>err && fail "zstd: plain one was taken"
grep -q 'not a seekable file' err

# --- Android sparse: libsparse reads it, and writes for us ---------------------
for o in checksums=on checksums=off block_size=512 block_size=64k; do
	qcow-tool convert -O android-sparse -o $o src.raw s
	simg2img s s.raw || fail "simg2img: $o"
	same s.raw src.raw
	qcow-tool check -q s
	qcow-tool convert s s.raw
	same s.raw src.raw
	rm s s.raw
done
img2simg src.raw theirs
qcow-tool convert theirs theirs.raw
same theirs.raw src.raw
qcow-tool convert -O android-sparse src.raw s
# written zeroes are a fill, holes are not
simg_dump s | grep -q 'output blocks' || fail "simg_dump"
[ "$(qcow-tool map --output=json s | jq '[.[] | select(.zero)] | length')" \
	-ge 3 ] || fail "sparse: holes are not seen"
qcow-tool convert s back.raw
[ "$(stat -c %b back.raw)" -le "$(($(stat -c %b src.raw) + 64))" ] ||
	fail "sparse: holes are not kept"
qcow-tool convert -O android-sparse -o checksums=on src.raw s
printf 'xyz' | dd of=s bs=1 seek=300 conv=notrunc status=none
st=0
qcow-tool check -q s >/dev/null 2>&1 || st=$?
[ $st = 2 ] || fail "sparse: check of a broken one: $st"
qcow-tool convert s broken.raw 2>err && fail "sparse: broken one was read"
grep -q checksum err
[ ! -e broken.raw ] || fail "sparse: something is left"

# --- a writer that is killed leaves no image ------------------------------------
truncate -s 1G large.raw
head -c 60M /dev/urandom | dd of=large.raw conv=notrunc status=none
for f in zstd android-sparse; do
	qcow-tool convert -O $f large.raw killed &
	sleep 0.05
	kill -9 $! 2>/dev/null || :
	wait $! 2>/dev/null || :
	[ ! -e killed ] || qcow-tool check -q killed || fail "$f: killed: broken"
	rm -f killed
done
rm large.raw

# --- composite ---------------------------------------------------------------------
head -c 5000 /dev/urandom >sub/boot.img
head -c 1048576 /dev/urandom >root.img
qcow-tool composite create -q disk boot:sub/boot.img \
	root:root.img:writable:11111111-2222-4333-8444-555555555555 \
	label=efi,path=src.qcow2,type=esp
qcow-tool convert --allow-backing disk disk.raw
sgdisk -v disk.raw >log
grep -q 'No problems found' log || fail "sgdisk: $(cat log)"
sfdisk -q --verify disk.raw || fail "sfdisk"
# the copy at the end is one to recover from
cp disk.raw broken.img
dd if=/dev/zero of=broken.img bs=512 seek=1 count=33 conv=notrunc status=none
sgdisk -p broken.img 2>&1 | grep -q '8300  root' || fail "backup table"
sgdisk -i 2 disk.raw >log
grep -q 11111111-2222-4333-8444-555555555555 log || fail "GUID: $(cat log)"
sgdisk -i 3 disk.raw | grep -q 'EFI system' || fail "type"
dd if=disk.raw bs=4096 skip=5 count=2 status=none | head -c 5000 |
	cmp - sub/boot.img
dd if=disk.raw bs=4096 skip=7 count=256 status=none | cmp - root.img
dd if=disk.raw bs=4096 skip=263 count=2304 status=none >part.raw
same part.raw src.raw
qcow-tool convert --allow-backing -O qcow2 disk disk.qcow2
qemu-img compare -q disk.qcow2 disk.raw || fail "composite to qcow2"
# nothing is opened that nobody allowed, and info never does
qcow-tool convert disk x.raw 2>err && fail "composite: opened unasked"
grep -q 'may not be opened' err
mv root.img away.img
qcow-tool info disk >/dev/null
qcow-tool composite info disk | grep -q 'writable *root.img' || fail "info"
qcow-tool composite info --open disk >/dev/null 2>&1 &&
	fail "info --open: found what is not there"
mv away.img root.img
qcow-tool composite info --open --output=json disk |
	jq -e '.components | length == 6 and .[5].format == "raw" and
		.[4].format == "qcow2"' >/dev/null || fail "info --open"
# the list is found from anywhere, and its folder may move
qcow-tool composite create -q sub/disk boot:sub/boot.img
(cd / && qcow-tool convert --allow-backing "$dir/sub/disk" "$dir/sub.raw")
mv sub moved
qcow-tool convert --allow-backing moved/disk sub.raw
# twice the same, if asked for
qcow-tool composite create -q --deterministic a root:root.img
qcow-tool composite create -q --deterministic b root:root.img
cmp a.header b.header
cmp a.footer b.footer
qcow-tool composite create -q --force a root:root.img
cmp -s a.header b.header && fail "composite: the GUIDs are not new"
# what makes no disk leaves nothing
for spec in 'x' 'x:' ':root.img' 'x:root.img:rw' 'x:root.img::12' \
	'x:root.img::11111111-2222-4333-8444-555555555555:y' \
	'x:moved/boot.img:writable' 'x:nowhere' 'label=x' 'label=x,path=root.img,type=z'; do
	qcow-tool composite create new "$spec" 2>err && fail "'$spec' was taken"
	[ -s err ] && [ ! -e new ] && [ ! -e new.header ] ||
		fail "'$spec': $(cat err)"
done
qcow-tool composite create new x:root.img x:root.img 2>err &&
	fail "two of one label"
grep -q 'label: that of partition 1' err
