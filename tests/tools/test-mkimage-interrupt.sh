#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A signal, a full disk or an error of the medium at chosen moments: at the first
# write, in the middle, at the last one (which is in the conversion to a container
# or in the partition table), while the size is set, while the output gets its
# name. One line, exit status 1 and no output; or, when all was done before, the
# whole output.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar strace
strace -o /dev/null true 2>/dev/null || skip "no ptrace(2) here"
# no leak detection under strace
ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
export ASAN_OPTIONS

mkdir -p src/boot src/lib out
head -c 1500000 /dev/urandom >src/boot/vmlinuz-6.1
head -c 900000 /dev/urandom >src/boot/initrd.img-6.1
seq 50000 >src/numbers
tar -C src -cf a.tar .

kinds='x.raw x.qcow2 x.qcow2:-czlib x.qcow2:-czstd x.img.zst x.simg x.squashfs
	x.cpio x.cpio.gz x.raw:--partition=home,size=1M:--esp=../src/lib
	x.qcow2:-tsquashfs x.qcow2:--extract-boot=boot x.raw:--sync'
writes=pwrite64,pwritev,pwritev2,ftruncate

# run KIND STRACE-OPTION...: mkimage, in out/, by the one way to write that strace
# can see
run() {
	opts=$(echo "$1" | tr ':' ' ')
	kind=$1
	case $kind in
	*squashfs | *.cpio*) ;;
	*--esp*) opts="$opts --size 90M" ;;
	*) opts="$opts --size 40M" ;;
	esac
	shift
	rc=0
	# shellcheck disable=SC2086
	(cd out && exec strace -f -qq -o ../strace.log \
		-e inject=io_uring_setup:error=ENOSYS "$@" \
		mkimage -q -o $opts ../a.tar) 2>err.log || rc=$?
}

# nothing WHAT LINE: it has failed, said LINE, and left nothing
nothing() {
	[ $rc -eq 1 ] || fail "$kind: $1: status $rc: $(cat err.log)"
	[ "$(grep -c . err.log)" -eq 1 ] || fail "$kind: $1: $(cat err.log)"
	grep -qE "^mkimage: $2" err.log || fail "$kind: $1: $(cat err.log)"
	[ -z "$(find out -type f)" ] || fail "$kind: $1: left: $(find out)"
	# a signal leaves the folder for the kernel
	[ ! -d out/boot ] || [ "$2" = "$is_signal" ] ||
		fail "$kind: $1: left: $(find out)"
	rm -rf out/boot
}

# moment NR: the write on line NR of the log, as strace's name and number of it:
# it counts each call, and each thread, by itself
moment() {
	awk -v nr="$1" '
	{ split($2, name, "("); count[$1 name[1]]++ }
	NR == nr { print name[1] ":@:when=" count[$1 name[1]]; exit }' log
}
at() { # NR WHAT: the option to do it there
	moment "$1" | sed "s/@/$2/"
}

is_signal='interrupted by SIGTERM: no output is left$'
for k in $kinds; do
	run "$k" -e trace=$writes,io_uring_setup
	[ $rc -eq 0 ] || fail "$k: $(cat err.log)"
	rm -r out
	mkdir out
	grep -v 'resumed\|io_uring' strace.log >log
	nr=$(grep -c . log)
	[ "$nr" -gt 2 ] || fail "$k: $nr writes"
	for m in 1 $((nr / 2 + 1)) "$nr"; do
		run "$k" -e inject="$(at $m signal=TERM)"
		nothing "SIGTERM at write $m of $nr" "$is_signal"
	done
	run "$k" -e inject="$(at $((nr / 2 + 1)) error=EIO)+"
	nothing "errors from the middle on" '.*Input/output error$'
	run "$k" -e inject="$(at "$nr" error=ENOSPC)"
	nothing "a full disk at the last write" '.*No space left on device$'
done

# the name: the last of several cannot be had, a signal comes meanwhile
run x.qcow2:--extract-boot=boot -e inject=linkat:error=EIO:when=3
nothing "no name" "'x.qcow2': create: Input/output error"
run x.raw:--sync -e inject=fsync:error=EIO
nothing "fsync" "'x.raw': write: Input/output error"
for at in 1 3; do
	run x.qcow2:--extract-boot=boot -e inject=linkat:signal=TERM:when=$at
	[ $rc -eq 0 ] || fail "a signal that came too late: status $rc"
	for f in x.qcow2 boot/vmlinuz boot/initrd; do
		[ -s out/$f ] || fail "a signal that came too late: no $f"
	done
	cmp out/boot/vmlinuz src/boot/vmlinuz-6.1
	rm -r out
	mkdir out
done
