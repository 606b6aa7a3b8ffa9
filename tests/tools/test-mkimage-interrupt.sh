#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A signal, a full disk or an error of the medium at chosen moments: at the first
# write, in the middle, at the last one (which is in the conversion to a container
# or in the partition table), while the size is set, while the output gets its
# name. One line, exit status 1 and no output; or, when all was done before, the
# whole output.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar

mkdir -p src/boot src/lib out
head -c 1500000 /dev/urandom >src/boot/vmlinuz-6.1
head -c 900000 /dev/urandom >src/boot/initrd.img-6.1
seq 50000 >src/numbers
tar -C src -cf a.tar .

kinds='x.raw x.qcow2 x.qcow2:-czlib x.qcow2:-czstd x.img.zst x.simg x.squashfs
	x.cpio x.cpio.gz x.raw:--partition=home,size=1M:--esp=../src/lib
	x.qcow2:-tsquashfs x.qcow2:--extract-boot=boot x.raw:--sync'

# run KIND FAULT: mkimage, in out/
run() {
	opts=$(echo "$1" | tr ':' ' ')
	kind=$1
	case $kind in
	*squashfs | *.cpio*) ;;
	*--esp*) opts="$opts --size 90M" ;;
	*) opts="$opts --size 40M" ;;
	esac
	rc=0
	# shellcheck disable=SC2086
	(cd out && shimmed "$2" mkimage -q -o $opts ../a.tar) 2>err.log || rc=$?
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

EIO=5 ENOSPC=28 TERM=15
is_signal='interrupted by SIGTERM: no output is left$'
for k in $kinds; do
	run "$k" "count:$work/count"
	[ $rc -eq 0 ] || fail "$k: $(cat err.log)"
	rm -r out
	mkdir out
	nr=$(cat count)
	[ "$nr" -gt 2 ] || fail "$k: $nr writes"
	for m in 1 $((nr / 2 + 1)) "$nr"; do
		run "$k" signal:$TERM:$m
		nothing "SIGTERM at write $m of $nr" "$is_signal"
	done
	run "$k" error:$EIO:$((nr / 2 + 1))
	nothing "errors from the middle on" '.*Input/output error$'
	run "$k" once:$ENOSPC:"$nr"
	nothing "a full disk at the last write" '.*No space left on device$'
done

# the name: the last of several cannot be had, a signal comes meanwhile
export WRITE_SHIM_CALLS=sync
run x.raw:--sync error:$EIO:1
nothing "fsync" "'x.raw': write: Input/output error"
export WRITE_SHIM_CALLS=link
run x.qcow2:--extract-boot=boot once:$EIO:3
nothing "no name" "'x.qcow2': create: Input/output error"
for at in 1 3; do
	run x.qcow2:--extract-boot=boot signal:$TERM:$at
	[ $rc -eq 0 ] || fail "a signal that came too late: status $rc"
	for f in x.qcow2 boot/vmlinuz boot/initrd; do
		[ -s out/$f ] || fail "a signal that came too late: no $f"
	done
	cmp out/boot/vmlinuz src/boot/vmlinuz-6.1
	rm -r out
	mkdir out
done
