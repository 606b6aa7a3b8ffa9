# SPDX-License-Identifier: BSD-3-Clause
# Sourced by run: images of very many files and of a very large one. Each is
# measured once, beside the peers in the same run; a peer that takes longer than
# BENCH_PATIENCE seconds counts as having taken just that. BENCH_ENTRIES and
# BENCH_HUGE_BYTES make it smaller, to try it out.
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

# large NAME ENTRIES SIZE: the description of the archive is on standard input
large() {
	local tar=$work/large.tar start
	"$build/tests/tools/gentar" >"$tar"
	cat "$tar" >/dev/null
	/usr/bin/time -f '%e %M' -o "$work/time" "$build/mkimage/mkimage" -q \
		"$tar" -o "$work/a.qcow2"
	cut -d' ' -f1 "$work/time" >>"$work/large-$1-ours"
	# of all memory, in MiB, what 48 MiB and 250 bytes an entry allow is 1
	awk -v n="$2" '{ printf "%.3f\n", $2 * 1024 / (50331648 + 250 * n) }' \
		"$work/time" >>"$work/large-$1-memory"
	start=$(now)
	export -f peers
	export work
	timeout "$patience" bash -ec 'peers "$@"' - "$tar" "$2" "$3" || :
	elapsed "$start" >>"$work/large-$1-peer"
	rm -rf "$work/tree" "$work"/[ab].* "$tar"
}

bench_large() {
	{
		for ((i = 0; i < 1000; i++)); do
			echo "repeat $((entries / 1000))"
			echo "file d$i/f# size=1024"
		done
		echo end
	} | large many "$entries" 10G
	{
		for ((i = 0; i < 1000; i++)); do
			echo "repeat $((entries / 10000))"
			echo "file d$i/f# size=1024"
		done
		echo end
	} | large tenth "$((entries / 10))" 4G
	printf 'repeat %d\nfile d/f# size=1024\nend\n' "$entries" |
		large wide "$entries" 10G
	printf 'file huge size=%d\nend\n' "$huge_bytes" | large huge 1 \
		$((huge_bytes + huge_bytes / 10 + 200000000))
}

large_rows() {
	local n what peer='tar x + mke2fs -d + qemu-img convert'
	for n in many:"$entries files of 1 KiB" wide:"as many in one folder" \
		huge:"one file of $((huge_bytes >> 20)) MiB"; do
		what=${n#*:} n=${n%%:*}
		row "$what, s" "$work/large-$n-ours" "$work/large-$n-peer" \
			0.25 "$peer"
		limit '  its memory, of what it may' \
			"$work/large-$n-memory" 1 \
			'of 48 MiB + 250 B an entry'
	done
	# ten times the entries in not much more than ten times the time
	awk '{ print $1 * 10 }' "$work/large-tenth-ours" >"$work/large-linear"
	row 'a tenth of the files, 10 x' "$work/large-many-ours" \
		"$work/large-linear" 1.5 'itself, with a tenth'
}
