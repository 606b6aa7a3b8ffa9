#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# compare, map, measure and dd, beside qemu-img where it has it right.
command -v qemu-img >/dev/null || {
	echo "no qemu-img"
	exit 77
}
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

is() { # STATUS COMMAND...
	want=$1
	shift
	got=0
	"$@" >out 2>err || got=$?
	[ "$got" = "$want" ] || {
		echo "$*: status $got, wanted $want"
		cat out err
		exit 1
	}
}
prints() { # TEXT STATUS COMMAND...
	text=$1
	shift
	is "$@"
	grep -qFx -- "$text" out || {
		echo "'$text' is not in:"
		cat out err
		exit 1
	}
}

head -c 3145728 /dev/urandom | tr '\0' x >a.raw
truncate -s 10M a.raw
qemu-img convert -O qcow2 a.raw a.qcow2
qemu-img convert -c -O qcow2 a.raw c.qcow2
qemu-img create -q -f qcow2 -F qcow2 -b a.qcow2 over.qcow2 12M
qemu-io -f qcow2 -c 'write -z 9M 64k' -c 'write 0 64k' over.qcow2 >/dev/null
qemu-img snapshot -c one a.qcow2

echo "--- compare"
prints 'Images are identical.' 0 qcow-tool compare a.raw a.qcow2
prints 'Strict mode: Offset 3145728 block status mismatch!' 1 \
	qcow-tool compare -s a.raw a.qcow2
qemu-img compare -s a.raw a.qcow2 >theirs || :
cmp -s theirs out
# strict: whether there is something, zeroes or nothing
for w in 'write -z 0 64k' 'write -P 0 0 64k' 'write -P 7 0 64k' \
	'write -c -P 7 0 64k' 'read 0 64k'; do
	for v in 'write -z 0 64k' 'write -P 0 0 64k' \
		'write -P 7 0 64k' 'write -c -P 7 0 64k' 'read 0 64k'; do
		qemu-img create -q -f qcow2 s1.qcow2 1M
		qemu-img create -q -f qcow2 s2.qcow2 1M
		qemu-io -c "$w" s1.qcow2 >/dev/null
		qemu-io -c "$v" s2.qcow2 >/dev/null
		want=0 got=0
		qemu-img compare -q -s s1.qcow2 s2.qcow2 || want=$?
		qcow-tool compare -q -s s1.qcow2 s2.qcow2 || got=$?
		[ $want = $got ] || {
			echo "compare -s: $w, $v: $got, not $want"
			exit 1
		}
	done
done
is 0 qcow-tool compare -q a.raw a.qcow2
[ ! -s out ]
for at in 0 1 511 512 100000 3145727 3145728 5000003 10485759; do
	cp --sparse=always a.raw b.raw
	printf '\0' | dd of=b.raw bs=1 seek=$at conv=notrunc status=none
	[ $at -lt 3145728 ] ||
		printf '\1' | dd of=b.raw bs=1 seek=$at conv=notrunc status=none
	prints "Content mismatch at offset $at!" 1 qcow-tool compare a.qcow2 b.raw
	prints "Content mismatch at offset $at!" 1 qcow-tool compare b.raw a.raw
done
# the lowest of several, whichever thread finds it
for at in 3000000 2000001 1500000; do
	printf '\0' | dd of=b.raw bs=1 seek=$at conv=notrunc status=none
done
prints "Content mismatch at offset 1500000!" 1 \
	qcow-tool compare --threads 4 a.raw b.raw
cp --sparse=always a.raw long.raw
truncate -s 12M long.raw
prints 'Images are identical.' 0 qcow-tool compare a.qcow2 long.raw
grep -qx 'Warning: Image size mismatch!' out
prints 'Strict mode: Image size mismatch!' 1 qcow-tool compare -s a.raw long.raw
printf x | dd of=long.raw bs=1 seek=11000000 conv=notrunc status=none
prints 'Content mismatch at offset 11000000!' 1 qcow-tool compare a.raw long.raw
prints 'Content mismatch at offset 11000000!' 1 qcow-tool compare long.raw a.raw
cp --sparse=always a.raw zero.raw
dd if=/dev/zero of=zero.raw bs=64k seek=64 count=1 conv=notrunc status=none
is 0 qcow-tool compare a.raw zero.raw
prints 'Strict mode: Offset 4194304 block status mismatch!' 1 \
	qcow-tool compare -s a.raw zero.raw
is 2 qcow-tool compare a.raw nothere
is 2 qcow-tool compare -f qcow2 a.raw a.raw
is 2 qcow-tool compare a.qcow2 over.qcow2 # has a backing file
is 1 qcow-tool compare a.raw
is 1 qcow-tool compare --allow-backing a.qcow2 over.qcow2
# an L2 entry that points outside; a cut file in the middle of its data
l2=$((0x$(dd if=a.qcow2 bs=1 skip=$((0x30000)) count=8 status=none |
	od -An -tx1 | tr -d ' \n' | cut -c3-)))
cp a.qcow2 bad.qcow2
printf '\200\0\1\0\0\0\0\0' |
	dd of=bad.qcow2 bs=1 seek=$((l2 + 80)) conv=notrunc status=none
is 3 qcow-tool compare a.raw bad.qcow2

echo "--- map"
for image in a.raw a.qcow2 over.qcow2; do
	qemu-img map "$image" >theirs
	qcow-tool map --allow-backing "$image" >ours
	cmp ours theirs
	qemu-img map --output=json "$image" >theirs
	qcow-tool map --output=json --allow-backing "$image" |
		sed 's/, "compressed": [a-z]*//' >ours
	cmp ours theirs
	qemu-img map --output=json -s 1M -l 5M "$image" >theirs
	qcow-tool map --output=json --allow-backing -s 1M -l 5M "$image" |
		sed 's/, "compressed": [a-z]*//' >ours
	cmp ours theirs
done
is 0 qcow-tool map --output=json c.qcow2
grep -q '"data": true, "compressed": true}' out || grep -q '"offset"' out
# no file that the image names is opened
mv a.qcow2 elsewhere
is 0 qcow-tool map --output=json over.qcow2
grep -q '"present": false' out
is 1 qcow-tool map --allow-backing over.qcow2
mv elsewhere a.qcow2

echo "--- measure"
for opts in "-O raw" "-O qcow2" "-O qcow2 -o cluster_size=4k" \
	"-O qcow2 -o refcount_bits=64" "-O qcow2 -o cluster_size=2M" \
	"-O qcow2 -o cluster_size=512" "-O qcow2 -o refcount_bits=1"; do
	for what in a.qcow2 a.raw "--size 10G" "--size 1M" "--size 0"; do
		qemu-img measure $opts $what >theirs
		qcow-tool measure $opts $what >ours
		cmp ours theirs || {
			echo "measure $opts $what"
			exit 1
		}
	done
done
cp a.qcow2 marked.qcow2
qemu-img bitmap --add marked.qcow2 b0
qemu-io -f qcow2 -c 'write -P 3 9M 64k' marked.qcow2 >/dev/null
qemu-img measure -O qcow2 marked.qcow2 >theirs
qcow-tool measure -O qcow2 marked.qcow2 >ours
cmp ours theirs
qcow-tool convert --bitmaps -O qcow2 marked.qcow2 bits.qcow2
qemu-img check -q bits.qcow2
qemu-img info --output=json bits.qcow2 | grep -q '"name": "b0"'
qcow-tool measure --output=json -O qcow2 a.raw | grep -q '"required": 3473408'
is 1 qcow-tool measure
is 1 qcow-tool measure --size 1M a.raw
yes 'a text that compresses well' | head -c 8388608 >text.raw
is 0 qcow-tool measure -c -O qcow2 text.raw
said=$(sed -n 's/^required size: //p' out)
qemu-img convert -c -O qcow2 text.raw packed.qcow2
real=$(stat -c %s packed.qcow2)
[ "$said" -ge "$real" ] && [ "$said" -lt $((real + 300000)) ]

echo "--- dd"
for args in "bs=1M skip=2 count=3" "bs=512 skip=1 count=7" "bs=64k" \
	"bs=1000 skip=3 count=1024" "bs=1M skip=9" "bs=4k count=0" \
	"bs=1M skip=11" "bs=64k skip=40 count=1000"; do
	rm -f part.raw
	dd if=a.raw of=want.raw $args status=none
	qcow-tool dd $args if=a.qcow2 of=part.raw
	# a disk has whole sectors
	truncate -s $((($(stat -c %s want.raw) + 511) / 512 * 512)) want.raw
	case $args in
	bs=1000*) # and past the part, zeroes
		truncate -s "$(stat -c %s want.raw)" part.raw ;;
	esac
	cmp want.raw part.raw || {
		echo "dd $args"
		exit 1
	}
done
qcow-tool dd -O qcow2 bs=1M skip=2 if=a.raw of=part.qcow2
qemu-img check -q part.qcow2
dd if=a.raw of=want.raw bs=1M skip=2 status=none
qemu-img compare -q want.raw part.qcow2
is 1 qcow-tool dd --no-replace if=a.raw of=part.qcow2
is 1 qcow-tool dd if=a.raw
is 1 qcow-tool dd if=a.raw of=x bs=0
is 1 qcow-tool dd if=a.raw of=x seek=1
[ ! -e x ]
