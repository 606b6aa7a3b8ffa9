#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Snapshots, bitmaps, resizing, commit, rebase and amend over a matrix of images
# that another program made; that program judges each result.
set -e
command -v qemu-img >/dev/null && command -v qemu-io >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

die() {
	echo "$shape: $*"
	exit 1
}

# clean IMAGE: nobody finds anything wrong
clean() {
	qemu-img check -q -f qcow2 "$1" || die "$1: qemu-img check: $?"
	qcow-tool check -q -f qcow2 "$1" || die "$1: check: $?"
}

# same IMAGE MODEL: both read as the raw file does
same() {
	clean "$1"
	qemu-img compare -q -f qcow2 -F raw "$1" "$2" || die "$1: contents"
	[ "$(qemu-img info -U --output=json "$1" |
		sed -n 's/^    "virtual-size": \([0-9]*\).*/\1/p')" = \
		"$(stat -c %s "$2")" ] || die "$1: size"
}

# compressed IMAGE: some of its clusters are
compressed() {
	qcow-tool check --output json "$1" | grep -q '"compressed-clusters"'
}

# both IMAGE MODEL COMMAND...: the same change to both
both() {
	local image=$1 model=$2 args=() c
	shift 2
	for c; do
		args+=(-c "$c")
	done
	qemu-io -f qcow2 "${args[@]}" "$image" >/dev/null
	qemu-io -f raw "${args[@]}" "$model" >/dev/null
}

fails() {
	local pattern=$1
	shift
	if "$@" >out 2>err; then
		die "$* succeeded"
	fi
	grep -q -- "$pattern" err || die "$*: not '$pattern' but $(cat err)"
}

snapshots() {
	both a.qcow2 a.raw 'write -P 1 0 100k' 'write -P 2 3000k 200k'
	cp a.raw one.raw
	qcow-tool snapshot -c one a.qcow2
	same a.qcow2 a.raw
	both a.qcow2 a.raw 'write -P 3 50k 100k' 'write -z 3000k 64k'
	cp a.raw two.raw
	qcow-tool snapshot -c two a.qcow2
	same a.qcow2 a.raw
	both a.qcow2 a.raw 'write -P 4 60k 10k' 'write -P 5 5000k 10k'
	same a.qcow2 a.raw
	diff <(qcow-tool snapshot -l a.qcow2) <(qemu-img snapshot -l a.qcow2)
	qcow-tool snapshot -a one a.qcow2
	same a.qcow2 one.raw
	qemu-img convert -f qcow2 -O raw -l two a.qcow2 x.raw
	cmp x.raw two.raw
	both a.qcow2 one.raw 'write -P 6 70k 300k'
	same a.qcow2 one.raw
	qcow-tool snapshot -a two a.qcow2
	same a.qcow2 two.raw
	qcow-tool snapshot -d 1 a.qcow2
	same a.qcow2 two.raw
	both a.qcow2 two.raw 'write -P 7 0 400k'
	qcow-tool snapshot -d two a.qcow2
	same a.qcow2 two.raw
	[ -z "$(qcow-tool snapshot a.qcow2)" ]
	fails "snapshot 'two': not there" qcow-tool snapshot -d two a.qcow2
	cp two.raw a.raw
}

# Through old data behind the end, down and up again.
sizes() {
	local size
	for size in 6291456 6300160 1024000 9437184 512 8388608; do
		fails "data would be lost" qcow-tool resize a.qcow2 0
		qcow-tool resize -q --shrink a.qcow2 $size
		truncate -s $size a.raw
		same a.qcow2 a.raw
		both a.qcow2 a.raw "write -P 8 $((size - 512)) 512"
	done
	qcow-tool resize a.qcow2 +1M | grep -qx 'Image resized.'
	qcow-tool resize -q --shrink a.qcow2 -512k
	truncate -s 8912896 a.raw
	same a.qcow2 a.raw
	for mode in metadata falloc full; do
		qcow-tool resize -q --preallocation $mode a.qcow2 +300k
		truncate -s +300k a.raw
		same a.qcow2 a.raw
	done
}

bitmaps() {
	qcow-tool bitmap --add a.qcow2 b0
	qcow-tool bitmap --add --disable -g 4k a.qcow2 b1
	clean a.qcow2
	qemu-io -f qcow2 -c 'write -P 9 1M 70000' a.qcow2 >/dev/null
	qemu-io -f raw -c 'write -P 9 1M 70000' a.raw >/dev/null
	qcow-tool bitmap --merge b0 a.qcow2 b1
	clean a.qcow2
	fails "'b1': already there" qcow-tool bitmap --add a.qcow2 b1
	fails "'b2': not there" qcow-tool bitmap --clear a.qcow2 b2
	fails "compat=0.10: the image has" \
		qcow-tool amend -o compat=0.10 a.qcow2
	qcow-tool info --output json a.qcow2 >info
	grep -q '"name": "b1"' info && grep -q '"granularity": 4096' info
	qcow-tool resize -q a.qcow2 +1M
	truncate -s +1M a.raw
	same a.qcow2 a.raw
	# another image takes them over, by way of the other program
	qemu-img create -q -f qcow2 other.qcow2 "$(stat -c %s a.raw)"
	qcow-tool bitmap --add --merge b1 -b a.qcow2 -F qcow2 other.qcow2 new
	clean other.qcow2
	qemu-img bitmap --merge b1 -b a.qcow2 -F qcow2 other.qcow2 new
	qcow-tool bitmap --enable a.qcow2 b1
	qcow-tool bitmap --clear --remove a.qcow2 b0
	qcow-tool bitmap --remove a.qcow2 b1
	same a.qcow2 a.raw
	! qemu-img info a.qcow2 | grep -q granularity
}

chains() {
	qemu-img create -q -f raw base.raw 4M
	qemu-io -f raw -c 'write -P 1 0 3M' base.raw >/dev/null
	qemu-img create -q -f qcow2 -o "$shape" -b base.raw -F raw mid.qcow2 6M
	cp base.raw m.raw
	truncate -s 6M m.raw
	both mid.qcow2 m.raw 'write -P 2 1M 100k' 'write -P 3 5M 64k' \
		'write -z 2M 128k'
	qemu-img create -q -f qcow2 -o "$shape" -b mid.qcow2 -F qcow2 top.qcow2
	both top.qcow2 m.raw 'write -P 4 1030k 10k' 'write -z 5M 4k'
	same top.qcow2 m.raw
	cp top.qcow2 packed.qcow2
	# to a backing file that lacks what the old one has, and back, and to none
	cp base.raw other.raw
	qemu-io -f raw -c 'write -P 7 512k 1M' other.raw >/dev/null
	qcow-tool rebase -b other.raw -F raw top.qcow2
	same top.qcow2 m.raw
	qcow-tool rebase -b mid.qcow2 -F qcow2 top.qcow2
	same top.qcow2 m.raw
	cp top.qcow2 alone.qcow2
	qcow-tool rebase -b '' alone.qcow2
	qcow-tool info alone.qcow2 >info
	! grep -q backing info
	same alone.qcow2 m.raw
	# what has to move is compressed, where the image can have that
	qcow-tool rebase -c -b '' packed.qcow2
	same packed.qcow2 m.raw
	compressed packed.qcow2 || die "rebase -c: nothing is compressed"
	! compressed alone.qcow2 || die "rebase: something is compressed"
	[ "$(du -B1 packed.qcow2 | cut -f1)" -lt \
		"$(du -B1 alone.qcow2 | cut -f1)" ] || die "rebase -c: no smaller"
	fails "needs its format" qcow-tool rebase -b mid.qcow2 top.qcow2
	qcow-tool rebase -u -b mid.qcow2 -F qcow2 top.qcow2
	qcow-tool commit -q top.qcow2
	same top.qcow2 m.raw
	same mid.qcow2 m.raw
	[ "$(qemu-img map --output=json top.qcow2 | grep -c '"depth": 0')" = 0 ]
	both top.qcow2 m.raw 'write -P 5 0 10k'
	qcow-tool commit -q -p -b base.raw top.qcow2 >out
	grep -q '100.00/100%' out
	qemu-img compare -q -f raw -F raw base.raw m.raw
	same top.qcow2 m.raw
	fails "not in its backing chain" \
		qcow-tool commit -b other.raw top.qcow2
}

# An image that stands on nothing is put on a file that has data: what it never
# had must not begin to show that.
rebases_from_nothing() {
	local options
	for options in compat=0.10 compat=1.1 cluster_size=4k,compat=0.10 \
		extended_l2=on data_file=t.data compat=crosvm; do
		shape="rebase from nothing: $options"
		rm -f t.data t.qcow2
		qcow-tool create -q -f qcow2 -o "$options" t.qcow2 10M
		qemu-img create -q -f raw t.raw 10M
		both t.qcow2 t.raw 'write -P 1 1M 64k' 'write -P 3 9M 3k' \
			'write -z 5M 100k'
		# a longer one, a shorter one, and one with holes
		qemu-img create -q -f qcow2 n.qcow2 12M
		qemu-io -f qcow2 -c 'write -P 2 0 3M' -c 'write -P 2 5M 7M' \
			n.qcow2 >/dev/null
		cp t.qcow2 c.qcow2
		[ ! -e t.data ] || cp t.data c.data
		qcow-tool rebase -b n.qcow2 -F qcow2 t.qcow2
		same t.qcow2 t.raw
		mv c.qcow2 t.qcow2
		[ ! -e t.data ] || mv c.data t.data
		head -c 1000000 /dev/zero | tr '\0' x >s.raw
		truncate -s 1000448 s.raw
		qcow-tool rebase -b s.raw -F raw t.qcow2
		same t.qcow2 t.raw
	done
}

amends() {
	local bits
	case $shape in
	*0.10*)
		qcow-tool amend -o compat=1.1,lazy_refcounts=on a.qcow2
		same a.qcow2 a.raw
		;;
	esac
	for bits in 1 64 8 16; do
		qcow-tool amend -o refcount_bits=$bits a.qcow2
		same a.qcow2 a.raw
		[ "$(qemu-img info a.qcow2 | sed -n 's/.*refcount bits: //p')" \
			= $bits ] || die "refcount_bits=$bits"
	done
	qcow-tool amend -o lazy_refcounts=on a.qcow2
	qemu-img info a.qcow2 | grep -q 'lazy refcounts: true'
	qcow-tool amend -o lazy_refcounts=off,size=20M a.qcow2
	truncate -s 20M a.raw
	same a.qcow2 a.raw
	both a.qcow2 a.raw 'write -z 10M 1M'
	case $shape in
	*extended* | *zstd*)
		fails "compat=0.10" qcow-tool amend -o compat=0.10 a.qcow2
		;;
	*)
		qcow-tool amend -o compat=0.10 a.qcow2
		qemu-img info a.qcow2 | grep -q 'compat: 0.10'
		;;
	esac
	same a.qcow2 a.raw
	qemu-img create -q -f raw base.raw 20M
	qcow-tool amend -o backing_file=base.raw,backing_fmt=raw a.qcow2
	qemu-img info a.qcow2 | grep -q 'backing file: base.raw'
	clean a.qcow2
	qcow-tool amend -o backing_file= a.qcow2
}

for shape in cluster_size=64k cluster_size=512,refcount_bits=64 \
	cluster_size=4k,compat=0.10 cluster_size=16k,extended_l2=on \
	cluster_size=2M,refcount_bits=8,compression_type=zstd; do
	rm -f ./*
	qemu-img create -q -f qcow2 -o "$shape" a.qcow2 7M
	qemu-img create -q -f raw a.raw 7M
	snapshots
	sizes
	case $shape in
	*0.10*) fails "need version 3" qcow-tool bitmap --add a.qcow2 b ;;
	*) bitmaps ;;
	esac
	amends
	chains
done
rm -f ./*
rebases_from_nothing

# The size of an image whose data is elsewhere is that of the data file, too.
shape=data-file
for raw in off on; do
	rm -f ./*
	qemu-img create -q -f qcow2 -o data_file=d,data_file_raw=$raw a.qcow2 3M
	qemu-img create -q -f raw a.raw 3M
	both a.qcow2 a.raw 'write -P 1 0 100k' 'write -P 2 2900k 172k'
	same a.qcow2 a.raw
	sum=$(sha256sum <d)
	fails "data would be lost" qcow-tool resize a.qcow2 1M
	[ "$(sha256sum <d)" = "$sum" ] || die "a refused resize changed it"
	for size in 2999808 1M 6M +1M; do
		qcow-tool resize -q --allow-backing --shrink a.qcow2 $size
		truncate -s $size a.raw
		same a.qcow2 a.raw
		[ "$(stat -c %s d)" = "$(stat -c %s a.raw)" ] ||
			die "$size: the data file has $(stat -c %s d)"
	done
	# what was cut off does not come back
	both a.qcow2 a.raw 'write -P 3 3000k 100k'
	for mode in metadata falloc full; do
		qcow-tool resize -q --allow-backing --preallocation $mode a.qcow2 +300k
		truncate -s +300k a.raw
		same a.qcow2 a.raw
		[ "$(stat -c %s d)" = "$(stat -c %s a.raw)" ] ||
			die "$mode: the data file has $(stat -c %s d)"
	done
	both a.qcow2 a.raw 'write -P 4 7200k 100k'
	same a.qcow2 a.raw
	if [ $raw = on ]; then
		cmp d a.raw || die "the data file is no raw image"
	fi
	# one that is not there
	mv d e
	fails "external data file" qcow-tool resize --allow-backing \
		a.qcow2 +1M
	mv e d
	same a.qcow2 a.raw
done

# What check says and mends, with the exit statuses that scripts know.
shape=repair
status() {
	local want=$1 got=0
	shift
	"$@" >out 2>err || got=$?
	[ $got = "$want" ] || die "$*: $got, not $want: $(cat err)"
}
word() { # FILE OFFSET BYTES
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
rm -f ./*
qemu-img create -q -f qcow2 r.qcow2 4M
qemu-io -c 'write -P 5 0 128k' r.qcow2 >/dev/null
status 0 qcow-tool check r.qcow2
word r.qcow2 $((0x20000 + 40)) '\0\1'
status 3 qcow-tool check r.qcow2
grep -q 'Leaked cluster 20 refcount=1 reference=0: refcount block 0x20000' err
status 0 qcow-tool check -r leaks --output json r.qcow2
grep -q '"leaks-fixed": 1' out
status 0 qemu-img check r.qcow2
table=$(qemu-img map --output=json r.qcow2 | sed -n '1s/.*"offset": \([0-9]*\).*/\1/p')
l1=$(od -An -tu8 --endian=big -j 40 -N 8 r.qcow2 | tr -d ' ')
l2=$(($(od -An -tu8 --endian=big -j "$l1" -N 8 r.qcow2 | tr -d ' ') &
	0xfffffffffffe00))
[ "$table" -gt 0 ]
word r.qcow2 $((l2 + 8)) '\200\0\0\0\0\4\2\0'
status 2 qcow-tool check r.qcow2
grep -q "L2 table $(printf %#x $l2) entry 1 (guest offset 0x10000)" err
status 2 qcow-tool check -r leaks r.qcow2
status 0 qcow-tool check -r all r.qcow2
grep -q 'inconsistencies were found and repaired' out
status 0 qemu-img check r.qcow2
qemu-io -c 'read -P 5 0 64k' r.qcow2 >out
! grep -q 'verification failed' out
truncate -s 1M r.raw
status 63 qcow-tool check r.raw
status 1 qcow-tool check nothere
status 1 qcow-tool check -r some r.qcow2

# Snapshots whose table cannot be read go with -r all alone; one that has lost
# its L1 table can be deleted then.
shape=snapshot-table
rm -f ./*
qcow-tool create -q -f qcow2 whole.qcow2 2M
for name in one two; do
	qemu-io -c 'write -P 1 0 128k' whole.qcow2 >/dev/null
	qcow-tool snapshot -c $name whole.qcow2
done
at=$(od -An -tu8 --endian=big -j 64 -N 8 whole.qcow2 | tr -d ' ')
extra=$(od -An -tu4 --endian=big -j $((at + 36)) -N 4 whole.qcow2 | tr -d ' ')
second=$(((at + 40 + extra + 4 + 7) / 8 * 8)) # behind "1" and "one"
# what is damaged, check, -r leaks, snapshots left by -r all, what it says
while read -r offset bytes checked leaks left text; do
	cp whole.qcow2 r.qcow2
	word r.qcow2 "$offset" "$bytes"
	cp r.qcow2 before.qcow2
	status "$checked" qcow-tool check r.qcow2
	grep -q "$text" err || die "check: $(cat err)"
	status "$leaks" qcow-tool check -r leaks r.qcow2
	cmp r.qcow2 before.qcow2 || die "-r leaks changed it"
	status 0 qcow-tool check -r all r.qcow2
	grep -q "$text" err || die "-r all: $(cat err)"
	clean r.qcow2
	[ "$(qcow-tool snapshot -l r.qcow2 | grep -c ' [0-9]* B ')" = "$left" ] ||
		die "$text: $(qcow-tool snapshot -l r.qcow2)"
	qemu-io -c 'read -P 1 0 128k' r.qcow2 >out
	! grep -q 'verification failed' out || die "$text: data"
	[ "$left" = 0 ] || qcow-tool snapshot -d one r.qcow2
	clean r.qcow2
done <<-EOF
	$at \\0\\0\\0\\0\\0\\0\\22\\64 2 1 2 snapshot.0:.*L1.offset.0x1234
	$((at + 8)) \\177 2 1 2 snapshot.0:.*L1.size
	$((at + 36)) \\177 1 1 0 snapshot.0:.*extra.data.size
	$((second + 36)) \\177 1 1 1 snapshot.1:.*extra.data.size
EOF

# An image in use is left alone, whoever uses it.
shape=locks
qcow-tool create -q -f qcow2 l.qcow2 1M
qcow-tool create -q -f qcow2 -b l.qcow2 -F qcow2 o.qcow2
mkfifo pipe
# a shared lock that a writer of the other kind has
qemu-io -f qcow2 l.qcow2 <pipe >/dev/null &
exec 9>pipe
tries=0
# without a lock of our own, which would keep the other program out
until grep -q ":$(stat -c %i l.qcow2) " /proc/locks || [ $tries = 60 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
fails "in use" qcow-tool check l.qcow2
fails "in use" qcow-tool check -r all l.qcow2
fails "in use" qcow-tool snapshot -c x l.qcow2
fails "in use" qcow-tool snapshot -l l.qcow2
fails "in use" qcow-tool bitmap --add l.qcow2 x
fails "in use" qcow-tool resize l.qcow2 2M
fails "in use" qcow-tool amend -o lazy_refcounts=on l.qcow2
fails "in use" qcow-tool rebase -u -b '' l.qcow2
fails "in use" qcow-tool commit o.qcow2
fails "in use" qcow-tool rebase -b '' o.qcow2
qcow-tool check -q -U l.qcow2
qcow-tool snapshot -l -U l.qcow2
exec 9>&-
wait
qcow-tool check -q l.qcow2
