#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# No image takes more memory than 48 MiB and 250 bytes for each entry, and never
# its contents. tests/bench/large.sh has a million entries, and 10 GiB.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
command -v time >/dev/null || [ -x /usr/bin/time ] || skip "no time"
# it makes the C library write to memory that nobody uses
unset MALLOC_PERTURB_
entries=100000 data=$((300 << 20))
# what such a build takes says nothing
bar=yes
! grep -q __asan_init "$(command -v mkimage)" || {
	bar=
	entries=1000 data=$((8 << 20))
}

# peak ENTRIES OPTION...: of the archive on standard input; sets $kib
peak() {
	nr=$1
	shift
	command time -o rss -f %M mkimage -q --force -o image.raw "$@" - ||
		fail "mkimage $*"
	kib=$(tail -n 1 rss)
	echo "$kib KiB, $nr entries: $*"
	[ -z "$bar" ] || [ "$kib" -le $((48 * 1024 + nr * 250 / 1024)) ] ||
		fail "$kib KiB for $nr entries: $*"
}

# different NR: as many files in 10 folders, no two with the same contents
different() {
	text=$(printf '%01000d' 0)
	for dir in 0 1 2 3 4 5 6 7 8 9; do
		echo "repeat $(($1 / 10))"
		echo "file $dir/some-file-# text=$dir-#-$text"
	done | { cat; echo end; } | "$gentar"
}

different $((entries / 10)) >few.tar
different $entries >many.tar
for fs in ext4 cpio; do
	peak $((entries / 10)) --fs $fs <few.tar
	few=$kib
	peak $entries --fs $fs <many.tar
	# what one takes, not only what there is room for
	[ -z "$bar" ] ||
		[ $(((kib - few) * 1024 / (entries * 9 / 10))) -le 250 ] ||
		fail "$fs: $few KiB, and $kib for ten times the entries"
done
# the library that packs it takes its time, and its memory in steps: of what it
# keeps to find contents again it has as much as it will ever have
wide() {
	printf 'repeat %d\nfile some-file-# text=#\nend\n' "$1" | "$gentar"
}
peak $((entries / 10)) --fs squashfs <few.tar
# twice as many: the same step of a table
few=$((entries * 27 / 10))
wide $few >wide.tar
peak $few --fs squashfs <wide.tar
few_kib=$kib
wide $((few * 2)) >wide.tar
peak $((few * 2)) --fs squashfs <wide.tar
[ -z "$bar" ] || [ $(((kib - few_kib) * 1024 / few)) -le 250 ] ||
	fail "squashfs: $few_kib KiB, and $kib for twice the entries"
rm wide.tar

# the map of a sparse file, which counts as one entry: as many runs as it may
# have, and one that says there are more
sparse() { # RUNS
	seq 0 8192 $(($1 * 8192 - 8192)) | sed 's/$/\n1/' | {
		echo "$1"
		cat
	} >map
	pad=$((-$(stat -c %s map) & 511))
	{
		echo 'pax GNU.sparse.major 1'
		echo 'pax GNU.sparse.minor 0'
		echo 'pax GNU.sparse.name f'
		echo "pax GNU.sparse.realsize $(($1 * 8192))"
		echo "file x declared=$(($(stat -c %s map) + pad + $1))"
	} | "$gentar"
	cat map
	head -c $pad /dev/zero
	head -c "$1" /dev/zero | tr '\0' x
	head -c $((-$1 & 511)) /dev/zero
	printf 'end\n' | "$gentar"
}
sparse 131072 >sparse.tar
for opts in '--fs ext4' '--fs cpio' '--fs squashfs'; do
	# shellcheck disable=SC2086
	peak 1 $opts <sparse.tar
	# shellcheck disable=SC2086
	gzip -1 <sparse.tar | peak 1 $opts
done
sparse 1000000 >sparse.tar
! command time -o rss -f %M mkimage -q --force -o image.raw sparse.tar \
	2>err.log || fail "a map of a million runs"
grep -q 'more than 131072 runs' err.log || fail "$(cat err.log)"
kib=$(tail -n 1 rss)
[ -z "$bar" ] || [ "$kib" -le $((48 * 1024)) ] || fail "$kib KiB for a map"
rm sparse.tar map

printf 'file big size=%d\nend\n' $data | "$gentar" >big.tar
for opts in '--fs ext4' '--fs ext4 --format qcow2' \
	'--fs ext4 --format qcow2 --compress zstd' '--fs squashfs' '--fs cpio'; do
	# shellcheck disable=SC2086
	peak 1 $opts <big.tar
done
gzip -1 <big.tar | peak 1 --fs ext4
