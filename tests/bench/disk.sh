# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Rows of tests/bench/run about disk images; sourced by it.
#   convert   raw -> qcow2 and back, on disk and in memory
#   reflink   the same where the file system shares blocks (XFS, btrfs)
#   compress  raw -> qcow2 -c, for each of BENCH_CODECS (zlib zstd)
#   formats   raw <-> zstd and Android sparse; composite -> qcow2
#   sparse    compare, check and map of 1 TiB with 1 % allocated
#   footprint memory for images of up to 1 EiB
#   random    4 KiB at a time, 32 at a time, in a qcow2 image and a raw file
# shellcheck disable=SC2154 # work, build, runs are run's
codecs=${BENCH_CODECS:-zlib zstd}
qcow_tool=$build/qcow-tool/qcow-tool

# mixed FILE MIB: data of this system and holes, half and half
mixed() {
	local file=$1 size=$(($2 << 20)) tar
	truncate -s $size "$file"
	exec {tar}< <(tar -C / -c usr/bin usr/lib usr/share 2>/dev/null)
	awk -v size=$size 'BEGIN {
		srand(7)
		for (pos = 0; pos < size; pos += n) {
			n = 65536 * 4 ^ int(rand() * 5)
			if (pos + n > size) n = size - pos
			if (rand() < .5) print pos, n
		}
	}' | while read -r pos n; do
		head -c "$n" <&$tar | dd of="$file" bs=1M seek="$pos" \
			oflag=seek_bytes conv=notrunc iflag=fullblock status=none
	done
	exec {tar}<&-
	sync "$file"
	cat "$file" >/dev/null
}

# timed NAME OUTPUT COMMAND...: seconds to NAME, KiB of memory to NAME-rss
timed() {
	local name=$1 output=$2 out
	shift 2
	rm -f "$output"
	sync -f "$(dirname "$output")"
	out=$({ command time -f '%e %M' "$@" >/dev/null; } 2>&1 | tail -n 1)
	echo "${out% *}" >>"$work/$name"
	echo "$((${out#* } / 1024))" >>"$work/$name-rss"
}

# in_turn NAME OUTPUT OURS... -- PEER...: both write OUTPUT, one after the other.
# Each takes the memory that the file before it gave back, which was not written
# to the disk yet, so that nobody waits for that: a virtual machine gives memory
# that is free for two seconds back to its host, and it is slow when it is touched
# again. Hence one output, nothing else in between, and the first round does
# not count.
in_turn() {
	local name=$1 output=$2 ours=() i
	shift 2
	while [ "$1" != -- ]; do
		ours+=("$1")
		shift
	done
	shift
	for ((i = 0; i <= runs; i++)); do
		[ "$i" != 1 ] || rm -f "$work/$name"-{ours,peer}*
		timed "$name-ours" "$output" "${ours[@]}"
		timed "$name-peer" "$output" "$@"
	done
	rm -f "$output"
}

# convert_pair DIR NAME: both directions
convert_pair() {
	in_turn "$2-to" "$1/o" "$qcow_tool" convert -O qcow2 "$1/mix" "$1/o" -- \
		qemu-img convert -W -m 16 -O qcow2 "$1/mix" "$1/o"
	qemu-img convert -W -m 16 -O qcow2 "$1/mix" "$1/p"
	in_turn "$2-from" "$1/o" "$qcow_tool" convert "$1/p" "$1/o" -- \
		qemu-img convert -W -m 16 -O raw "$1/p" "$1/o"
	rm "$1/p"
}

bench_convert() {
	mixed "$work/mix" 2048
	convert_pair "$work" disk
	shm=$(mktemp -d /dev/shm/vmmkit-bench.XXXXXX)
	cp --sparse=always "$work/mix" "$shm/mix"
	convert_pair "$shm" memory
	rm -rf "$shm"
}

bench_reflink() {
	local fs used i
	[ -e "$work/mix" ] || mixed "$work/mix" 2048
	for fs in xfs btrfs; do
		command -v mkfs.$fs >/dev/null || continue
		truncate -s 8G "$work/$fs.img"
		mkfs.$fs -q "$work/$fs.img" >/dev/null
		mkdir "$work/$fs"
		mount -o loop "$work/$fs.img" "$work/$fs"
		cp --sparse=always --reflink=never "$work/mix" "$work/$fs/mix"
		sync -f "$work/$fs"
		used=$(df --output=used -m "$work/$fs" | tail -n 1)
		"$qcow_tool" convert -O qcow2 "$work/$fs/mix" "$work/$fs/x"
		sync -f "$work/$fs"
		echo $(($(df --output=used -m "$work/$fs" | tail -n 1) - used)) \
			>"$work/$fs-space"
		rm "$work/$fs/x"
		convert_pair "$work/$fs" $fs
		umount "$work/$fs"
		rm "$work/$fs.img"
	done
}

bench_compress() {
	local type i
	mixed "$work/small" 1024
	for type in $codecs; do
		for ((i = 0; i < runs; i++)); do
			timed "$type-ours" "$work/o" "$qcow_tool" convert -c \
				-O qcow2 -o compression_type=$type "$work/small" "$work/o"
			timed "$type-one" "$work/p" qemu-img convert -c \
				-O qcow2 -o compression_type=$type "$work/small" "$work/p"
			timed "$type-many" "$work/p" qemu-img convert -c -W -m 16 \
				-O qcow2 -o compression_type=$type "$work/small" "$work/p"
		done
		stat -c %s "$work/o" >"$work/$type-size-ours"
		stat -c %s "$work/p" >"$work/$type-size-peer"
	done
	rm -f "$work/small" "$work"/[op]
}

# Formats that qemu-img does not know, beside who does. zstd makes one frame of
# it all, ours one for each 128 KiB. A composite disk is beside its parts, given
# to qemu-img one after the other.
bench_formats() {
	local q=$qcow_tool in=$work/small o=$work/o
	mixed "$in" 1024
	"$q" convert -O zstd "$in" "$work/z"
	zstd -q -T2 -3 "$in" -o "$work/z2"
	"$q" convert -O android-sparse "$in" "$work/s"
	cp --sparse=always "$in" "$work/small2"
	"$q" composite create -q "$work/disk" "one:$in" "two:$work/small2"
	in_turn zstd-to "$o" "$q" convert -O zstd "$in" "$o" -- \
		zstd -q -T2 -3 "$in" -o "$o"
	in_turn zstd-from "$o" "$q" convert "$work/z" "$o" -- \
		zstd -q -d --sparse "$work/z2" -o "$o"
	in_turn simg-to "$o" "$q" convert -O android-sparse "$in" "$o" -- \
		img2simg "$in" "$o"
	in_turn simg-from "$o" "$q" convert "$work/s" "$o" -- \
		simg2img "$work/s" "$o"
	in_turn composite "$o" "$q" convert --allow-backing -O qcow2 \
		"$work/disk" "$o" -- qemu-img convert -W -m 16 -O qcow2 \
		"$in" "$work/small2" "$o"
	rm -f "$work"/{small,small2,disk,o,s,z,z2} "$work"/disk.*
}

# The peak of each command on each image.
bench_footprint() {
	PATH=$build/qcow-tool:$PATH MEMORY_FULL=1 \
		"$src/tests/tools/test-qcow-tool-memory.sh" >"$work/footprint"
}

# One cluster in a hundred. The data is as preallocation=falloc leaves it, hence
# is made in no time. That is fair: to both programs these are clusters with
# data, in the order of the disk, which compare must read and look at byte by
# byte; neither looks for holes inside of the file (qemu-img does where much of
# it is not allocated, which is why it is). Both read it from the page cache:
# the first round, which puts it there, does not count. That takes 21 GiB of
# memory; with less, both wait for the same pages again each time.
bench_sparse() {
	local i tool
	"$build/tests/bench/disk-sparse" "$work/tera" $((1 << 40)) 100
	"$build/tests/bench/disk-sparse" "$work/tera2" $((1 << 40)) 100
	for ((i = 0; i <= runs; i++)); do
		[ "$i" != 1 ] || rm -f "$work"/{compare,check,map}-*
		for tool in ours=$qcow_tool peer=qemu-img; do
			timed compare-${tool%%=*} "$work/none" "${tool#*=}" compare \
				"$work/tera" "$work/tera2"
			timed check-${tool%%=*} "$work/none" "${tool#*=}" check \
				"$work/tera"
			timed map-${tool%%=*} "$work/none" "${tool#*=}" map \
				--output=json "$work/tera"
		done
	done
	rm "$work/tera" "$work/tera2"
}

# random_fio FILE read|write: microseconds a request
random_fio() {
	local field=8
	[ "$2" = read ] || field=49
	fio --name=random --filename="$1" --ioengine=io_uring --rw="rand$2" \
		--bs=4k --iodepth=32 --runtime=2 --time_based --size=512m \
		--invalidate=0 --output-format=terse --terse-version=3 |
		awk -F';' -v field=$field '{ print 1e6 / $field }'
}

bench_random() {
	local i x
	"$qcow_tool" create -q -f raw -o preallocation=full "$work/r.raw" 512M
	"$qcow_tool" create -q -f qcow2 -o preallocation=full "$work/r.qcow2" 512M
	for ((i = 0; i < runs; i++)); do
		for x in read write; do
			sync -f "$work"
			"$build/tests/bench/disk-io" $x qcow2 "$work/r.qcow2" 2 \
				>"$work/out"
			awk 'NR == 1 { print 1e6 / $1 }' "$work/out" \
				>>"$work/random-$x-ours"
			awk 'NR == 2 { print $1 / 1024 }' "$work/out" \
				>>"$work/random-rss"
			sync -f "$work"
			random_fio "$work/r.raw" $x >>"$work/random-$x-peer"
		done
	done
	rm -f "$work"/r.{raw,qcow2}
}

# disk_rows ROW: print what was measured
disk_rows() {
	local x to from
	case $1 in
	convert)
		for x in disk memory; do
			row "raw -> qcow2, $x, s" "$work/$x-to-ours" \
				"$work/$x-to-peer" 0.8 'qemu-img -W -m 16'
			row "qcow2 -> raw, $x, s" "$work/$x-from-ours" \
				"$work/$x-from-peer" 0.8 'qemu-img -W -m 16'
		done
		limit 'raw -> qcow2, MiB of memory' "$work/disk-to-ours-rss" 64 MiB
		;;
	reflink)
		for x in xfs btrfs; do
			[ -e "$work/$x-space" ] || continue
			row "raw -> qcow2, $x, s" "$work/$x-to-ours" \
				"$work/$x-to-peer" 0.1 'qemu-img -W -m 16'
			row "qcow2 -> raw, $x, s" "$work/$x-from-ours" \
				"$work/$x-from-peer" 0.1 'qemu-img -W -m 16'
			limit "raw -> qcow2, $x, new MiB" "$work/$x-space" 8 MiB
		done
		;;
	compress)
		for x in $codecs; do
			row "raw -> qcow2 -c $x, s" "$work/$x-ours" \
				"$work/$x-one" 0.55 'qemu-img -c'
			row "raw -> qcow2 -c $x, s" "$work/$x-ours" \
				"$work/$x-many" 0.95 'qemu-img -c -W -m 16'
			row "raw -> qcow2 -c $x, bytes" "$work/$x-size-ours" \
				"$work/$x-size-peer" 1.01 'qemu-img -c'
			limit "-c $x, MiB of memory" "$work/$x-ours-rss" 64 MiB
		done
		;;
	formats)
		for x in zstd:'zstd -T2 -3':'zstd -d' \
			simg:img2simg:simg2img; do
			IFS=: read -r x to from <<<"$x"
			row "raw -> $x, s" "$work/$x-to-ours" "$work/$x-to-peer" \
				1.0 "$to"
			row "$x -> raw, s" "$work/$x-from-ours" \
				"$work/$x-from-peer" 1.0 "$from"
			limit "raw -> $x, MiB of memory" "$work/$x-to-ours-rss" 64 MiB
		done
		row 'composite -> qcow2, s' "$work/composite-ours" \
			"$work/composite-peer" 0.8 'qemu-img -W -m 16 of the parts'
		;;
	footprint)
		for x in info check map measure compare convert resize; do
			awk -v x=$x '$2 == x && $1 > max { max = $1 }
				END { printf "%.1f\n", max / 1024 }' \
				"$work/footprint" >"$work/footprint-$x"
			limit "$x of huge images, MiB" "$work/footprint-$x" 64 MiB
		done
		;;
	random)
		# 0.9 of the requests: 1.11 of the time for each
		for x in read write; do
			row "random $x in qcow2, us" "$work/random-$x-ours" \
				"$work/random-$x-peer" 1.11 'fio, raw file'
		done
		limit 'random, MiB of memory' "$work/random-rss" 64 MiB
		;;
	sparse)
		for x in compare check map; do
			row "$x 1 TiB, 1 % allocated, s" "$work/$x-ours" \
				"$work/$x-peer" 0.8 qemu-img
			limit "$x, MiB of memory" "$work/$x-ours-rss" 64 MiB
		done
		;;
	esac
}
