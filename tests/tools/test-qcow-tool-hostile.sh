#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What other programs were broken with, each with the error that it gets here:
# one line, exit status 1, in little time and memory, and no file is made.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# a sanitizer opens files of its own, and cannot look for leaks under strace
is_sanitized=
! grep -q __asan_init "$(command -v qcow-tool)" || is_sanitized=1
# what a sanitizer maps is no measure
[ -n "$is_sanitized" ] || ulimit -v $((256 * 1024))

die() {
	echo "$*"
	exit 1
}

word() { # FILE OFFSET BYTES
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# refused TEXT COMMAND...
refused() {
	local text=$1 got=0
	shift
	rm -f out
	timeout 20 "$@" >stdout 2>err || got=$?
	# check has a status of its own for what is not supported
	[ $got = 1 ] || [ "$2:$got" = check:63 ] || die "$what: $*: status $got: $(cat err)"
	grep -q -- "$text" err || die "$what: $*: not '$text' but: $(cat err)"
	[ "$(grep -cv '^Try ' err)" = 1 ] || die "$what: $*: $(cat err)"
	[ ! -e out ] || die "$what: $*: made a file"
}

qcow-tool create -q -f qcow2 whole.qcow2 8M
qcow-tool create -q -f qcow2 snap.qcow2 8M
qcow-tool snapshot -c s snap.qcow2
table=$(od -An -tu8 --endian=big -j 64 -N 8 snap.qcow2 | tr -d ' ')

echo "--- header fields"
while read -r what offset bytes text; do
	cp whole.qcow2 t
	word t "$offset" "$bytes"
	for command in "info t" "check t" "map t" "convert t out" \
		"resize t 16M" "snapshot -l t" "amend -o compat=1.1 t"; do
		refused "$text" qcow-tool $command
	done
done <<-'EOF2'
	CVE-2014-0143:refcounts 56 \377\377\377\377 refcount_table_clusters
	CVE-2014-0143:snapshots 60 \377\377\377\377 nb_snapshots
	CVE-2014-0143:L1 36 \377\377\377\377 l1_size
	CVE-2014-0143:size 24 \200\0\0\0\0\0\0\0 size
	CVE-2014-0144:cluster-8 20 \0\0\0\10 cluster_bits
	CVE-2014-0144:cluster-22 20 \0\0\0\26 cluster_bits
	CVE-2014-0144:cluster-64 20 \0\0\0\100 cluster_bits
	CVE-2014-0144:refcount_order 96 \0\0\0\100 refcount_order
	CVE-2014-0144:header_length 100 \377\377\377\370 header_length
	CVE-2014-0144:backing_size 8 \0\0\0\0\0\0\1\0\0\0\377\377 backing_file_size
	CVE-2014-0145:extension 116 \377\377\377\377 extension
	CVE-2014-0146:snapshots_offset 60 \0\0\0\1\0\0\0\0\0\0\0\0 snapshots_offset
	CVE-2014-0222:version-1 4 \0\0\0\1 version.1
	CVE-2014-0223:L1-too-small 36 \0\0\0\0 l1_size
	CVE-2018-10908:L1-32M 36 \0\100\0\0 l1_table
	overlap:L1-in-refcounts 40 \0\0\0\0\0\1\0\0 inside.the.refcount.table
	overlap:L1-in-header 40 \0\0\0\0\0\0\0\0 l1_table_offset
	overlap:refcounts-in-L1 48 \0\0\0\0\0\3\0\0 refcount.table
EOF2

what=format:foreign
cp whole.qcow2 t
word t 0 KDMV
refused "not a qcow2 image" qcow-tool info -f qcow2 t
refused "unknown format" qcow-tool info -f vmdk t

echo "--- fields of snapshots"
while read -r what offset bytes text; do
	cp snap.qcow2 t
	word t $((table + offset)) "$bytes"
	for command in "snapshot -l t" "snapshot -a s t" "snapshot -d s t" \
		"convert -l s t out" "info t"; do
		refused "$text" qcow-tool $command
	done
done <<-'EOF2'
	CVE-2014-0145:L1-size 8 \177\377\377\377 L1.size
	CVE-2014-0147:L1-offset 0 \0\0\0\7\0\0\0\0 L1.offset
	CVE-2014-0146:extra 36 \377\377\377\377 extra.data
EOF2

echo "--- files that an image names"
head -c 1M /dev/zero >secret
for name in secret /etc/passwd /proc/self/environ /dev/zero nothere \
	'json:{"driver":"raw"}' nbd://host/x; do
	what="CVE-2015-1851, CVE-2015-5163: $name"
	qcow-tool create -q -u -f qcow2 -b "$name" -F raw b.qcow2 1M
	refused "has a backing file" qcow-tool convert b.qcow2 out
	refused "has a backing file" qcow-tool measure -O qcow2 b.qcow2
	what="CVE-2024-4467, CVE-2024-32498: $name"
	qcow-tool create -q -f qcow2 -o data_file=data d.qcow2 1M
	qcow-tool amend -o data_file="$name" d.qcow2
	refused "has an external data file" qcow-tool convert d.qcow2 out
	refused "has an external data file" qcow-tool dd if=d.qcow2 of=out
	# these look at the image and at nothing else
	for image in b d; do
		for command in info check map; do
			if [ -z "$is_sanitized" ] &&
				command -v strace >/dev/null; then
				strace -f -qq -e trace=open,openat,openat2 \
					-o trace qcow-tool $command \
					$image.qcow2 >stdout
				! grep -qF "\"$name\"" trace ||
					die "$what: $command opens it"
			else
				qcow-tool $command $image.qcow2 >stdout
			fi
		done
	done
	case $name in
	secret | /etc/passwd) ;;
	*)
		refused "backing file '" \
			qcow-tool convert --allow-backing b.qcow2 out
		refused "external data file '" \
			qcow-tool convert --allow-backing d.qcow2 out
		;;
	esac
done

what="CVE-2008-2004: a backing file is not probed"
qcow-tool create -q -u -f qcow2 -b secret -F raw b.qcow2 1M
word b.qcow2 112 '\0\0\0\0'
refused "does not say its format" \
	qcow-tool convert --allow-backing b.qcow2 out
refused "unknown format" qcow-tool commit b.qcow2

echo "--- a raw disk on which a guest has written a header"
what="CVE-2026-24708"
qcow-tool create -q -u -f qcow2 -b /etc/passwd -F raw evil 1M
truncate -s 1M evil
cp evil raw

qcow-tool resize -q -f raw raw 2M
[ "$(stat -c %s raw)" = 2097152 ] || die "$what: not resized as raw"
cmp -n 1048576 raw evil || die "$what: its bytes have changed"
qcow-tool convert -f raw raw out
cmp raw out || die "$what: not copied as raw"
rm out
qcow-tool info -f raw raw | grep -q '^file format: raw$' || die "$what: info"
refused "has a backing file" qcow-tool convert raw out

echo "--- chains"
for i in 0 1 2; do
	qcow-tool create -q -u -f qcow2 -b "$(((i + 1) % 3)).qcow2" -F qcow2 \
		$i.qcow2 1M
done
what=loop
refused "or a loop" qcow-tool convert --allow-backing 0.qcow2 out
refused "or a loop" qcow-tool info --backing-chain 0.qcow2
refused "deeper" qcow-tool commit 0.qcow2
