#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# --size exact: the least there can be, by our own word and by resize2fs; and
# --seed, which makes an identity that the content does not change.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
. "$top_srcdir/tests/tools/mkimage-oci.sh"
need e2fsck dumpe2fs resize2fs jq tar

# exact ARCHIVE OPTION...
exact() {
	mkimage --force --json --size exact -o image.raw "$@" >report.json
	made "$@"
	size=$(jq .size report.json)
	[ "$(stat -c %s image.raw)" -eq "$size" ] || fail "$*: not its size"
	[ "$(($(jq .used report.json) + $(jq .free report.json)))" -eq \
		"$size" ] || fail "$*: used and free are not all"
	[ "$(($(super image.raw 'Free blocks') * 4096))" -eq \
		"$(jq .free report.json)" ] || fail "$*: not what is free"
	# what is left is less than the smallest thing there is to place
	[ "$(jq .free report.json)" -le $((64 * 4096)) ] ||
		fail "$*: $(jq .free report.json) bytes are free"
	# it holds when it is given, as the same image; a block less does not
	mkimage -q --force --size "$size" -o given.raw "$@" ||
		fail "$*: $size does not hold"
	cmp image.raw given.raw || fail "$*: another image of the same size"
	rm given.raw
	! mkimage -q --size $((size - 4096)) -o given.raw "$@" 2>err.log ||
		fail "$*: a block less holds"
	[ ! -e given.raw ] || fail "an output is left"
	# the message is right
	need=$(sed -n 's/.* it needs a size of \([0-9]*M\)$/\1/p' err.log)
	mkimage -q --size "${need:-0}" -o given.raw "$@" ||
		fail "$*: $(cat err.log): it does not hold"
	rm given.raw
	# nor can resize2fs find any more to take away
	resize2fs -fM image.raw >resize.log 2>&1 || fail "$(cat resize.log)"
	clean image.raw
	[ "$(super image.raw 'Block count')" -le $((size / 4096)) ] ||
		fail "$*: it grew"
	[ "$(super image.raw 'Block count')" -ge $((size / 4096 - 64)) ] ||
		fail "$*: resize2fs saves $((size / 4096 - $(super image.raw \
			'Block count'))) blocks"
}

"$gentar" >small.tar <<'X'
file one size=1
end
X
"$gentar" >many.tar <<'X'
dir d
repeat 3000
file d/file-# size=3000
file big size=30000000
end
X
"$gentar" >large.tar <<'X'
file large size=200000000
end
X
echo end | "$gentar" >empty.tar
# Nothing is left over of a tree that fits in one group, and all there is has its
# reason: superblock, descriptors, room for more of them, the root, lost+found
# (4), the block of the resize inode, two bitmaps, inodes; and of the file.
for t in empty:12 small:13; do
	mkimage --force --size exact --json -o image.raw ${t%:*}.tar >report.json
	made ${t%:*}.tar
	[ "$(jq .free report.json)" -eq 0 ] || fail "${t%:*}: a block is left"
	[ "$(jq .size report.json)" -eq $((${t#*:} * 4096)) ] ||
		fail "${t%:*}: $(jq .size report.json) bytes"
done
# so a small size that is given holds what can be in it
for s in 200K 1M; do
	mkimage -q --force --size $s -o image.raw small.tar || fail "$s"
	made small.tar
	[ "$(super image.raw 'Free blocks')" -ge \
		$(($(numfmt --from=iec $s) / 4096 - 16)) ] ||
		fail "$s: $(super image.raw 'Free blocks') blocks free"
done
for a in small many large; do
	exact $a.tar
	exact $a.tar --journal-size 0
done
exact many.tar --journal-size 8M
# what later sources replace takes no space, wherever it was; nor does a size
# have to hold it
"$gentar" >base.tar <<'X'
file keep-1 size=3000000
file big size=50000000
file keep-2 size=4000000
repeat 300
file k-# size=9000
end
X
"$gentar" >app.tar <<'X'
file big size=5000
file new size=700000
end
X
mkdir want
tar -C want -xf base.tar
tar -C want -xf app.tar
tar -C want --sort=name -cf flat.tar .
exact flat.tar
flat=$size
exact base.tar app.tar
[ "$size" -eq "$flat" ] || fail "layers take $size bytes, their sum $flat"
mkimage -q --force --size exact -o image.raw base.tar app.tar
mkimage -q --force --size exact -o exact.qcow2 base.tar app.tar
if have_tool qemu-img; then
	qemu-img compare -q exact.qcow2 image.raw || fail "qcow2: another"
fi
if can_mount; then
	mount -o loop,ro image.raw "$mnt"
	diff -r -x lost+found want "$mnt" || fail "not what is in the sources"
	umount "$mnt"
fi
# the same as layers of a container image, which also take names away
start
layer <<'X'
file keep-1 size=3000000
file big size=50000000
dir opaque
file opaque/old size=7000000
dir gone
repeat 100
file gone/# size=20000
file keep-2 size=4000000
file last size=12345678
end
X
layer gzip <<'X'
file big size=5000
file .wh.gone
file opaque/.wh..wh..opq
file opaque/new size=900000
file .wh.last
end
X
layer <<'X'
file keep-2 size=2000000
file gone size=1
end
X
finish
rm -rf want
mkdir want
printf 'file keep-1 size=3000000\nfile big size=5000\ndir opaque
file opaque/new size=900000\nfile keep-2 size=2000000\nfile gone size=1\nend\n' |
	"$gentar" | tar -C want -xf -
tar -C want --sort=name -cf flat.tar .
exact flat.tar
flat=$size
exact l
[ "$size" -eq "$flat" ] || fail "an image takes $size bytes, its sum $flat"
mkimage -q --force --size exact -o image.raw l
if can_mount; then
	same_tree want
fi
# room to live in, and none of what was replaced in it
printf 'file s text=%s\nfile z size=9000\nend\n' secret-that-is-replaced |
	"$gentar" >base.tar
printf 'file s text=other\nend\n' | "$gentar" >app.tar
mkimage -q --force -o image.raw base.tar app.tar
made base.tar app.tar
! grep -q secret-that-is image.raw || fail "what was replaced is in the image"
rm exact.qcow2

mkimage -q --size exact -o exact.qcow2 many.tar
mkimage -q --force --size exact -o image.raw many.tar
if have_tool qemu-img; then
	qemu-img compare -q exact.qcow2 image.raw || fail "qcow2: another"
fi
mkimage --json --partition --size exact -o disk.raw many.tar >report.json
[ "$(jq '.["disk-size"] - .size' report.json)" -le $((3 << 20)) ] ||
	fail "the disk around it is larger than it must be"

# more than the descriptors a size begins with are for
mkimage -q --force --size +3T -o image.raw small.tar
[ "$(super image.raw 'Free blocks')" -ge $((3 << 28)) ] || fail "+3T: less is free"
clean image.raw # to judge it takes minutes
mkimage -q --force --size +3T -o image.qcow2 small.tar
rm image.qcow2
refuses 'do not fit in the 16 TiB of ext4' 1 --size +16T small.tar

uuid() {
	super "$1" 'Filesystem UUID'
}
mkimage -q --size exact --seed me -o s1.raw small.tar
mkimage -q --size exact --seed me -o s2.raw many.tar
mkimage -q --size exact --seed you -o s3.raw small.tar
[ "$(uuid s1.raw)" = "$(uuid s2.raw)" ] || fail "one seed, two identities"
[ "$(uuid s1.raw)" != "$(uuid s3.raw)" ] || fail "two seeds, one identity"
