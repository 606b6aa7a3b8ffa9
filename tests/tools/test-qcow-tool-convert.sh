#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Images in every shape, there and back, against qemu-img: its check finds
# nothing, its compare finds no difference, and its images read the same here.
command -v qemu-img >/dev/null || {
	echo "no qemu-img"
	exit 77
}
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# 12 MiB and a bit: data, holes and written zeroes, not in step with clusters
truncate -s $((12 * 1024 * 1024 + 512)) src.raw
put() { # OFFSET LENGTH: bytes that are not zero
	head -c "$2" /dev/urandom | tr '\0' x |
		dd of=src.raw bs=65536 seek="$1" oflag=seek_bytes conv=notrunc \
			iflag=fullblock status=none
}
put 0 5000
put 65536 65536
put 1000000 300000
put 4194304 1048576
put 5242879 3
put 12582912 512
dd if=/dev/zero of=src.raw bs=64k seek=100 count=20 conv=notrunc status=none

same() { # A B
	qemu-img compare -q "$1" "$2" || {
		echo "$1 and $2 differ"
		exit 1
	}
}
clean() { # IMAGE
	qemu-img check -q "$1" || {
		qemu-img check "$1" || :
		echo "$1 is not clean"
		exit 1
	}
	qcow-tool check -q "$1"
}

# a sample of all shapes; make check-matrix tries them all
"$top_srcdir/tests/tools/convert-matrix.sh" 24

echo "--- several sources, one after the other"
head -c 1000 /dev/urandom >odd.raw
qcow-tool convert -O qcow2 src.raw odd.raw src.raw all.qcow2
truncate -s 1024 odd.raw
cat src.raw odd.raw src.raw >all.raw
clean all.qcow2
same all.raw all.qcow2
qcow-tool convert -S 0 src.raw odd.raw src.raw all2.raw
cmp all.raw all2.raw
[ "$(du -k all2.raw | cut -f1)" -ge 24577 ]

echo "--- onto what exists"
qcow-tool create -q -f qcow2 there.qcow2 12583424
qemu-io -f qcow2 -c 'write -P 9 0 12M' there.qcow2 >/dev/null
qcow-tool convert -n -O qcow2 src.raw there.qcow2
clean there.qcow2
same src.raw there.qcow2
cp src.raw exists.raw
if qcow-tool convert --no-replace all.raw exists.raw 2>err; then exit 1; fi
cmp src.raw exists.raw
qcow-tool convert all.raw exists.raw
cmp all.raw exists.raw
if qcow-tool convert -n -O qcow2 all.raw there.qcow2 2>err; then exit 1; fi
grep -q 'smaller than' err

echo "--- wrong together"
for args in "-C -c -O qcow2" "-C -S 4k" "-C --salvage" "--target-is-zero" \
	"--skip-broken-bitmaps" "-m 17" "-m 0" "-B a.qcow2" "-c -O raw" \
	"-c -O qcow2 -o preallocation=full" "-S 3000" "-l nosuch" "-t some"; do
	status=0
	qcow-tool convert $args src.raw no.raw 2>err || status=$?
	[ $status = 1 ] && [ ! -e no.raw ] || {
		echo "convert $args: $status"
		exit 1
	}
done
for args in "-C" "-T none" "-t none" "-t writeback -T unsafe" "-W -m 16 -p" \
	"--salvage" "--threads 1" "--threads 16" "-S 512" "-S 1M" "-r 1G"; do
	rm -f other.raw
	qcow-tool convert $args src.raw other.raw >out
	cmp src.raw other.raw
done

echo "--- holes stay holes"
rm -f ./*.qcow2 back.raw
qcow-tool convert -O qcow2 src.raw a.qcow2
qcow-tool convert a.qcow2 back.raw
[ "$(stat -c %b back.raw)" -le $(($(stat -c %b src.raw))) ]

echo "--- an image over another"
qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 over.qcow2
qemu-io -f qcow2 -c 'write -P 9 2M 100k' over.qcow2 >/dev/null
if qcow-tool convert over.qcow2 no.raw 2>err; then exit 1; fi
grep -q "backing file 'a.qcow2'" err
[ ! -e no.raw ]
qcow-tool convert --allow-backing over.qcow2 flat.raw
same flat.raw over.qcow2
qcow-tool create -q -f qcow2 -b a.qcow2 -F qcow2 over2.qcow2
same over2.qcow2 a.qcow2
qemu-img info --output=json over2.qcow2 | grep -q '"backing-filename-format": "qcow2"'

echo "--- an overlay stays one"
qcow-tool convert --allow-backing -O qcow2 -B a.qcow2 -F qcow2 over.qcow2 \
	over3.qcow2
clean over3.qcow2
same over.qcow2 over3.qcow2
[ "$(stat -c %s over3.qcow2)" -lt 1000000 ]

echo "--- a snapshot is left alone"
qemu-img snapshot -c one a.qcow2
qcow-tool convert -O raw a.qcow2 now.raw
same now.raw a.qcow2
qcow-tool check -q a.qcow2
qemu-io -f qcow2 -c 'write -P 3 0 1M' a.qcow2 >/dev/null
if cmp -s now.raw src.raw; then
	qcow-tool convert -l one a.qcow2 then.raw
	cmp then.raw src.raw
	qcow-tool convert -l snapshot.id=1 -O qcow2 a.qcow2 then.qcow2
	same then.qcow2 src.raw
else
	exit 1
fi
