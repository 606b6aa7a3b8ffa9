# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by run: images of very many files and of a very large one.
#   large-many    1,000,000 files of 1 KiB, in 1,000 folders
#   large-wide    as many in one folder
#   large-huge    one file of 10 GiB
#   large-linear  how the first two grow from a tenth to all
#   large-memory  what the writers of the other file systems hold of a million
#   large         all of them
#
# The peers take minutes, and are measured once, after ours and in the same run;
# one that takes longer than BENCH_PATIENCE seconds is ended and counts as having
# taken just that: then the ratio is less than what is said. Of the memory that
# may be taken, 48 MiB and 250 bytes an entry, all is 1. BENCH_ENTRIES and
# BENCH_HUGE_BYTES make it smaller, to try it out.
#
# How time grows is measured with the image in memory, all of which was in use
# just before (see in_turn in disk.sh): a file system on a disk holds a writer of
# 4 GiB back that has let one of 400 MiB go, and a virtual machine is slow when it
# touches memory first, whoever writes. So measured on a disk, a million takes
# 1.3 to 1.5 times ten times what a tenth takes. mkimage's own share is a row of
# its own; in instructions (callgrind, one folder), 10,000 files take 172 million,
# 100,000 take 1,707 million.
# shellcheck disable=SC2154 # work, build, runs are run's
entries=${BENCH_ENTRIES:-1000000}
huge_bytes=${BENCH_HUGE_BYTES:-10737418240}
patience=${BENCH_PATIENCE:-900}

# peers ARCHIVE ENTRIES SIZE
peers() {
	mkdir "$work/tree"
	tar -C "$work/tree" -xf "$1"
	truncate -s "$3" "$work/b.raw"
	mke2fs -q -t ext4 -N $(($2 + $2 / 10 + 10000)) -d "$work/tree" \
		"$work/b.raw"
	qemu-img convert -O qcow2 "$work/b.raw" "$work/b.qcow2"
}

# description NAME: of the archive, for gentar
description() {
	local i text
	case $1 in
	many)
		for ((i = 0; i < 1000; i++)); do
			echo "repeat $(($2 / 1000))"
			echo "file d$i/f# size=1024"
		done
		;;
	wide) printf 'repeat %d\nfile d/f# size=1024\n' "$2" ;;
	different) # no two the same
		text=$(printf '%01010d' 0)
		for ((i = 0; i < 1000; i++)); do
			echo "repeat $(($2 / 1000))"
			echo "file d$i/f# text=$i-#-$text"
		done
		;;
	huge) echo "file huge size=$huge_bytes" ;;
	esac
	echo end
}

# large_ours NAME ENTRIES RUNS [OPTION...]: time and memory; leaves the archive
large_ours() {
	local name=$1 n=$2 times=$3 tar=$work/large.tar i
	shift 3
	[ -e "$tar" ] || description "$name" "$n" |
		"$build/tests/tools/gentar" >"$tar"
	cat "$tar" >/dev/null
	for ((i = 0; i < times; i++)); do
		rm -f "$work/a.img"
		/usr/bin/time -f '%e %M' -o "$work/time" \
			"$build/mkimage/mkimage" -q "$@" "$tar" -o "$work/a.img"
		cut -d' ' -f1 "$work/time" >>"$work/large-$name-ours"
		awk -v n="$n" '{ printf "%.3f\n",
			$2 * 1024 / (50331648 + 250 * n) }' \
			"$work/time" >>"$work/large-$name-memory"
	done
	rm -f "$work/a.img"
}

# grow NAME: the time of all and of a tenth of NAME, in memory; and how much of it
# was spent in mkimage itself
grow() {
	local part n i dir=$work tar=$work/large.tar
	# some 5 KiB an entry; else where the rest is
	[ "$(df --output=avail -k /dev/shm | tail -n 1)" -lt $((entries * 6)) ] ||
		dir=$(mktemp -d /dev/shm/vmmkit-bench.XXXXXX)
	for part in all tenth; do
		n=$entries
		[ $part = all ] || n=$((entries / 10))
		description "$1" "$n" | "$build/tests/tools/gentar" >"$tar"
		for ((i = 0; i <= runs; i++)); do
			/usr/bin/time -f '%e %U' -o "$work/time" "$build/mkimage/mkimage" \
				-q --format qcow2 "$tar" -o "$dir/a.img"
			rm "$dir/a.img"
			# the first has touched the memory
			[ "$i" != 0 ] || continue
			cut -d' ' -f1 "$work/time" >>"$work/grow-$1-$part"
			cut -d' ' -f2 "$work/time" >>"$work/grow-$1-$part-user"
		done
		rm "$tar"
	done
	[ "$dir" = "$work" ] || rmdir "$dir"
	awk '{ print $1 * 10 }' "$work/grow-$1-tenth" >"$work/grow-$1-ten"
	awk '{ print $1 * 10 }' "$work/grow-$1-tenth-user" \
		>"$work/grow-$1-ten-user"
}

large_peers() { # NAME ENTRIES SIZE
	local start
	start=$(now)
	export -f peers
	export work
	timeout "$patience" bash -ec 'peers "$@"' - "$work/large.tar" "$2" \
		"$3" || :
	elapsed "$start" >>"$work/large-$1-peer"
	rm -rf "$work/tree" "$work"/b.*
}

large_pair() { # NAME ENTRIES SIZE
	large_ours "$1" "$2" "$runs" --format qcow2
	large_peers "$@"
	rm "$work/large.tar"
}

bench_large() { # ROW
	local n
	case $1 in
	large-many | large-wide) large_pair "${1#*-}" "$entries" 10G ;;
	large-huge)
		large_pair huge 1 $((huge_bytes + huge_bytes / 10 + 200000000))
		;;
	large-linear)
		grow many
		grow wide
		;;
	large-memory)
		description different "$entries" |
			"$build/tests/tools/gentar" >"$work/large.tar"
		large_ours squashfs "$entries" 1 --fs squashfs
		large_ours cpio "$entries" 1 --fs cpio
		large_ours raw "$entries" 1 --format raw
		rm "$work/large.tar"
		;;
	large)
		for n in many wide huge linear memory; do
			bench_large large-$n
		done
		;;
	esac
}

large_memory_row() { # WHAT NAME
	limit "$1" "$work/large-$2-memory" 1 'of 48 MiB + 250 B an entry'
}

large_rows() { # ROW
	local n peer="tar x + mke2fs -d + qemu-img convert, once"
	local -A what=([many]="$entries files of 1 KiB"
		[wide]='as many in one folder'
		[huge]="one file of $((huge_bytes >> 20)) MiB")
	case $1 in
	large-many | large-wide | large-huge)
		n=${1#*-}
		row "${what[$n]}, s" "$work/large-$n-ours" \
			"$work/large-$n-peer" 0.25 "$peer"
		large_memory_row '  its memory, of what it may' "$n"
		;;
	large-linear)
		# not much more than ten times the time of a tenth
		for n in many wide; do
			row "${what[$n]}, s" "$work/grow-$n-all" \
				"$work/grow-$n-ten" 1.25 \
				'in memory; ten times what a tenth takes'
			row '  its own processor time, s' \
				"$work/grow-$n-all-user" \
				"$work/grow-$n-ten-user" 1.25 likewise
		done
		;;
	large-memory)
		for n in squashfs cpio raw; do
			large_memory_row "$entries files, $n, memory" $n
		done
		;;
	large)
		for n in many wide huge linear memory; do
			large_rows large-$n
		done
		;;
	esac
}
