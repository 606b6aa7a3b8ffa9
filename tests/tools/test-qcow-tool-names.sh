#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Names that images and users give: which file is meant is the same for every
# command and for qemu-img, what is written is never what is read, and what an
# image names is not touched without leave.
set -eu
command -v qemu-img >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

die() { echo "FAIL: $*"; exit 1; }
# fails TEXT COMMAND...: exit status 1 and one line with TEXT in it
fails() {
	local text=$1 status=0
	shift
	"$@" 2>err >out || status=$?
	[ $status = 1 ] || die "$*: status $status"
	[ "$(wc -l <err)" = 1 ] && grep -qF -- "$text" err ||
		die "$*: $(cat err)"
}
sums() { find . -type f ! -name err ! -name out ! -name sums \
	-exec sha256sum {} + | sort; }

# a ':' behind a '/' is part of a file name, not of a protocol's
mkdir images
(
	cd images
	qemu-img create -q -f qcow2 ./b:1.qcow2 1M
	qemu-img create -q -f qcow2 -b ./b:1.qcow2 -F qcow2 top.qcow2
	qemu-io -c 'write -P 0x77 0 64k' top.qcow2 >io
	qcow-tool create -q -f qcow2 -b ./b:1.qcow2 -F qcow2 new.qcow2
)
qcow-tool create -q -f qcow2 -b ./b:1.qcow2 -F qcow2 images/other.qcow2
cp images/b:1.qcow2 .
cp images/b:1.qcow2 before
qcow-tool info --output=json --backing-chain images/top.qcow2 |
	grep -q '"full-backing-filename": "images/./b:1.qcow2"' ||
	die "info names another file"
qcow-tool map --allow-backing images/top.qcow2 >/dev/null
qcow-tool commit -q images/top.qcow2
cmp -s b:1.qcow2 before || die "commit wrote to another file"
qemu-io -r -c 'read -P 0x77 0 64k' images/top.qcow2 >io
qemu-io -r -c 'read -P 0x77 0 64k' images/b:1.qcow2 >io
for name in json:x nbd://h/x b:1.qcow2; do
	fails "not a file name" \
		qcow-tool create -f qcow2 -b "$name" -F raw n.qcow2 1M
	[ ! -e n.qcow2 ] || die "$name: made all the same"
done

# the new image is never what it is made of
rm -rf ./*
seq 100000 >s.raw
qcow-tool create -q -f qcow2 s.qcow2 4M
ln s.qcow2 link.qcow2
mkdir d
truncate -s 1M part part.header
sums >sums
fails "is the new image itself" qcow-tool create -f qcow2 \
	-b s.qcow2 -F qcow2 s.qcow2
fails "is the new image itself" qcow-tool create -f qcow2 \
	-b link.qcow2 -F qcow2 d/../s.qcow2
fails "is the new image itself" qcow-tool convert -O qcow2 \
	-B s.qcow2 -F qcow2 s.raw s.qcow2
fails "is the new image itself" qcow-tool create -f qcow2 \
	-o data_file=n.qcow2 n.qcow2 1M
fails "is the new image itself" qcow-tool create -f qcow2 \
	-o data_file=../d/n.qcow2 d/n.qcow2 1M
fails "is a partition of the new disk" \
	qcow-tool composite create --force part x:part
fails "is a partition of the new disk" \
	qcow-tool composite create --force part x:part.header
sums | cmp - sums || die "a refused command changed something"

# what an image of somebody else names is neither read nor written
rm -rf ./*
seq 20000 >victim
qemu-img create -q -f qcow2 -o data_file=other1,data_file_raw=on e.qcow2 64k
sed -i 's/other1/victim/' e.qcow2
sums >sums
fails "external data file, which is not allowed here" \
	qcow-tool resize e.qcow2 1M
fails "external data file, which is not allowed here" \
	qcow-tool resize --shrink e.qcow2 512
fails "external data file, which is not allowed here" \
	qcow-tool amend -o size=1M e.qcow2
qemu-img create -q -f qcow2 -b victim -F raw o.qcow2 64k
fails "backing file, which is not allowed here" qcow-tool resize o.qcow2 1M
rm o.qcow2
sums | cmp - sums || die "a refused command changed something"
qcow-tool resize -q --allow-backing e.qcow2 1M
[ "$(stat -c %s victim)" = 1048576 ] || die "--allow-backing does not allow"

# one line says what is wrong and with which file, also where the image is at
# fault and several programs' words would do
rm -rf ./*
qcow-tool create -q -f qcow2 ok.qcow2 1M
qemu-img create -q -f qcow2 bad.qcow2 1M
qemu-io -c 'write 0 64k' bad.qcow2 >io
l1=$(od -An -tu8 --endian=big -j 40 -N 8 bad.qcow2 | tr -d ' ')
l2=$(($(od -An -tu8 --endian=big -j "$l1" -N 8 bad.qcow2 | tr -d ' ') &
	0xfffffffffffe00))
printf '\200\0\0\0\0\1\043\105' |
	dd of=bad.qcow2 bs=1 seek=$l2 conv=notrunc status=none
why="'bad.qcow2': image is corrupt: L2 entry for 0: 0x8000000000012345"
fails "$why" qcow-tool convert -O raw bad.qcow2 x
fails "$why" qcow-tool map bad.qcow2
fails "$why" qcow-tool rebase -b ok.qcow2 -F qcow2 bad.qcow2
mkdir folder
fails "qcow-tool: 'folder': replace: not a regular file" \
	qcow-tool convert -O raw ok.qcow2 folder
fails "qcow-tool: 'ok.qcow2': snapshot 'nope': not there" \
	qcow-tool snapshot -d nope ok.qcow2
fails "which resize --shrink allows" qcow-tool resize ok.qcow2 512k
