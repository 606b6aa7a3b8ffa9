#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# --size exact: the least there can be, by our own word and by resize2fs; and
# --seed, which makes an identity that the content does not change.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck dumpe2fs resize2fs jq tar

field() {
	dumpe2fs -h "$1" 2>/dev/null | sed -n "s/^$2: *//p"
}

# exact ARCHIVE OPTION...
exact() {
	mkimage --force --json --size exact -o image.raw "$@" >report.json
	clean image.raw
	size=$(jq .size report.json)
	[ "$(stat -c %s image.raw)" -eq "$size" ] || fail "$*: not its size"
	[ "$(($(jq .used report.json) + $(jq .free report.json)))" -eq \
		"$size" ] || fail "$*: used and free are not all"
	[ "$(($(field image.raw 'Free blocks') * 4096))" -eq \
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
	grep -q 'it needs a size of' err.log || fail "$(cat err.log)"
	[ ! -e given.raw ] || fail "an output is left"
	# nor can resize2fs find any more to take away
	resize2fs -fM image.raw >resize.log 2>&1 || fail "$(cat resize.log)"
	clean image.raw
	[ "$(field image.raw 'Block count')" -le $((size / 4096)) ] ||
		fail "$*: it grew"
	[ "$(field image.raw 'Block count')" -ge $((size / 4096 - 64)) ] ||
		fail "$*: resize2fs saves $((size / 4096 - $(field image.raw \
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
for a in small many large; do
	exact $a.tar
	exact $a.tar --journal-size 0
done
exact many.tar --journal-size 8M
mkimage -q --size exact -o exact.qcow2 many.tar
mkimage -q --force --size exact -o image.raw many.tar
if command -v qemu-img >/dev/null; then
	qemu-img compare -q exact.qcow2 image.raw || fail "qcow2: another"
fi
mkimage --json --partition --size exact -o disk.raw many.tar >report.json
[ "$(jq '.["disk-size"] - .size' report.json)" -le $((3 << 20)) ] ||
	fail "the disk around it is larger than it must be"

# more than can be chosen: how much is said
rc=0
mkimage -q --size +3T -o x.raw small.tar 2>err.log || rc=$?
[ $rc -eq 1 ] && grep -q 'it needs a --size of 3145[0-9]*M' err.log ||
	fail "+3T: status $rc: $(cat err.log)"
[ ! -e x.raw ] || fail "an output is left"

uuid() {
	field "$1" 'Filesystem UUID'
}
mkimage -q --size exact --seed me -o s1.raw small.tar
mkimage -q --size exact --seed me -o s2.raw many.tar
mkimage -q --size exact --seed you -o s3.raw small.tar
[ "$(uuid s1.raw)" = "$(uuid s2.raw)" ] || fail "one seed, two identities"
[ "$(uuid s1.raw)" != "$(uuid s3.raw)" ] || fail "two seeds, one identity"
