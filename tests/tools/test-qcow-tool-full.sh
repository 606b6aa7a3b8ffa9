#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A full disk, a file size limit and signals while an output is written: one
# line, exit status 1, nothing left behind, and the old file kept.
set -e
dir=$(mktemp -d)
mnt=$dir/mnt
cleanup() {
	umount "$mnt" 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
mkdir mnt
head -c 30000000 /dev/urandom >src.raw
truncate -s 30000128 src.raw

# fails DIR COMMAND...: status 1, one line, DIR is as it was
fails() {
	ls -lA "$1" >before
	where=$1
	shift
	status=0
	"$@" 2>err || status=$?
	ls -lA "$where" >after
	if [ $status != 1 ] || [ "$(wc -l <err)" != 1 ]; then
		echo "$*: status $status"
		cat err
		exit 1
	fi
	diff before after
}

for format in raw qcow2; do
	echo "--- $format: file size limit"
	mkdir "out-$format"
	fails "out-$format" sh -c "ulimit -f 20000
		exec qcow-tool convert -O $format src.raw out-$format/x"
	grep -Eq "out-$format/x'.*: (No space left|File too large)" err
done

if mount -t tmpfs -o size=10M none "$mnt" 2>/dev/null; then
	echo old >"$mnt/keep"
	for format in raw qcow2; do
		echo "--- $format: full disk"
		fails "$mnt" qcow-tool convert -O $format src.raw "$mnt/x"
		grep -q 'No space left on device' err
		fails "$mnt" qcow-tool convert -O $format src.raw \
			"$mnt/keep"
		[ "$(cat "$mnt/keep")" = old ]
	done
	truncate -s 0 "$mnt/keep"
	# what is there is given back at once
	[ "$(df --output=used "$mnt" | tail -n 1)" -lt 100 ]
else
	echo "--- no mounts here: a full disk is not tried"
fi

for sig in INT TERM HUP KILL; do
	echo "--- SIG$sig"
	mkdir "sig-$sig"
	env --default-signal=INT qcow-tool convert -S 0 -t writeback -O qcow2 \
		src.raw "sig-$sig/x" 2>err &
	pid=$!
	# not before it has begun
	while kill -0 $pid 2>/dev/null &&
		! ls -l /proc/$pid/fd 2>/dev/null | grep -q "/sig-$sig/"; do
		:
	done
	kill -$sig $pid 2>/dev/null || :
	wait $pid && status=0 || status=$?
	if [ "$status" = 0 ]; then
		[ -e "sig-$sig/x" ] # it was faster
	else
		[ -z "$(ls -A "sig-$sig")" ]
		[ $sig = KILL ] || {
			[ "$status" = 1 ]
			[ "$(cat err)" = "qcow-tool: interrupted by SIG$sig: \
no output is left" ]
		}
	fi
done
