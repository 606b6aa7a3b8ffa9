#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Two processes on one image: whoever writes is alone with it, those who read may
# be many. The other process is ours, one of QEMU's, or one that takes the lock
# that crosvm does, whole-file flock(2); each has the image first and comes second.
set -eu
for c in qemu-io flock; do
	command -v $c >/dev/null || exit 77
done
dir=$(mktemp -d)
holder=
cleanup() {
	[ -z "$holder" ] || kill -9 "$holder" 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

fail() {
	echo "FAIL: $*"
	cat err 2>/dev/null || :
	exit 1
}

# hold WHO: have the image open, in a process $holder
hold() {
	mkfifo pipe
	case $1 in
	our-writer)
		vmm device blk --disable-sandbox --socket sock \
			--disk "path=i,format=$format" 2>/dev/null &
		;;
	our-reader)
		vmm device blk --disable-sandbox --socket sock \
			--disk "path=i,format=$format,ro" 2>/dev/null &
		;;
	qemu-writer) qemu-io -f $format i <pipe >/dev/null 2>&1 & ;;
	qemu-reader) qemu-io -r -f $format i <pipe >/dev/null 2>&1 & ;;
	flock-writer) flock -xn i sh -c 'read -r x <pipe' & ;;
	flock-reader) flock -sn i sh -c 'read -r x <pipe' & ;;
	esac
	holder=$!
	exec 9<>pipe
}

# try WHO: open the image second; the status says whether it could
try() {
	case $1 in
	our-writer)
		if [ $format = raw ]; then
			qcow-tool resize -q -f raw i 2M 2>err
		else
			qcow-tool bitmap --add i b$((n = n + 1)) 2>err
		fi
		;;
	our-reader) qcow-tool compare -q -f $format -F $format i i 2>err ;;
	qemu-writer) qemu-io -f $format -c 'write 0 512' i >/dev/null 2>err ;;
	qemu-reader) qemu-io -r -f $format -c 'read 0 512' i >/dev/null 2>err ;;
	flock-writer) flock -xn i true ;;
	flock-reader) flock -sn i true ;;
	esac
}

# may FIRST SECOND: is that so with ours among them?
may() {
	case $1/$2 in
	*-reader/*-reader) return 0 ;;
	*) return 1 ;;
	esac
}

release() {
	kill -9 $holder 2>/dev/null
	wait $holder 2>/dev/null || :
	holder=
	exec 9>&-
	rm -f pipe sock
}
n=0

# The kernel tells who locks: trying would be in the way of the holder.
wait_for_lock() {
	tries=0
	until grep -q ":$(stat -c %i i) " /proc/locks; do
		tries=$((tries + 1))
		[ $tries -lt 200 ] || fail "$format: $first has no lock"
		sleep 0.02
	done
	sleep 0.05 # there may be more than one
}

for format in raw qcow2; do
	rm -f i
	qcow-tool create -q -f $format i 2M
	for first in our-writer our-reader qemu-writer qemu-reader \
		flock-writer flock-reader; do
		hold $first
		wait_for_lock
		for second in our-writer our-reader qemu-writer qemu-reader \
			flock-writer flock-reader; do
			# theirs and theirs: none of ours
			case $first/$second in
			our-* | */our-*) ;;
			*) continue ;;
			esac
			if may $first $second; then
				try $second ||
					fail "$format: $second after $first"
				continue
			fi
			if try $second; then
				fail "$format: $second beside $first"
			fi
			case $second in
			our-*) grep -q 'lock: in use by another process' err ||
				fail "$format: $second after $first" ;;
			esac
		done
		# a lock ends with the process, however that ends
		release
		tries=0
		until try our-writer; do
			tries=$((tries + 1))
			[ $tries -lt 200 ] || fail "$format: after $first"
			sleep 0.02
		done
	done
done
