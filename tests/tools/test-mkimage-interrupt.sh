#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A signal, a full disk or an error of the medium at chosen moments: at the first
# write, in the middle, at the last one (which is in the conversion to a container
# or in the partition table), while the size is set, while the report is told,
# while the output gets its name. One line, exit status 1 and no output; or, when
# all was done before, the whole output.
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
	[ -z "$(ls -A out)" ] || fail "$kind: $1: left: $(find out)"
}

EIO=5 ENOSPC=28 INT=2 TERM=15
for k in $kinds; do
	run "$k" "count:$work/count"
	[ $rc -eq 0 ] || fail "$k: $(cat err.log)"
	rm -r out
	mkdir out
	nr=$(cat count)
	[ "$nr" -gt 2 ] || fail "$k: $nr writes"
	for m in 1 $((nr / 2 + 1)) "$nr"; do
		run "$k" signal:$INT:$m
		nothing "SIGINT at write $m of $nr" \
			'interrupted by SIGINT: no output is left$'
	done
	run "$k" signal:$TERM:"$nr"
	nothing "SIGTERM at the last write" \
		'interrupted by SIGTERM: no output is left$'
	run "$k" error:$EIO:$((nr / 2 + 1))
	nothing "errors from the middle on" '.*Input/output error$'
	run "$k" once:$EIO:$((nr / 2 + 1))
	nothing "one error in the middle" '.*Input/output error$'
	run "$k" once:$ENOSPC:"$nr"
	nothing "a full disk at the last write" '.*No space left on device$'
done

# the folder for the kernel goes, but not one that was there
mkdir out/boot
run x.qcow2:--extract-boot=boot error:$EIO:1
rmdir out/boot || fail "a folder that was there is gone"
nothing "a folder that was there" '.*Input/output error$'

# who cannot be told what the image is does not get it
for k in $kinds; do
	for report in --json ''; do
		kind="$k $report"
		rc=0
		# shellcheck disable=SC2046,SC2086
		(cd out && mkimage $report -o $(echo "$k" | tr ':' ' ') \
			../a.tar) >/dev/full 2>err.log || rc=$?
		nothing "a full disk for the report" \
			'standard output: write: No space left on device$'
	done
done
for report in --json ''; do
	kind="x.raw $report"
	(
		cd out
		rc=0
		sleep 0.2
		mkimage --size 40M $report -o x.raw - 2>../err.log || rc=$?
		echo $rc >../status
	) <a.tar | : # has gone long before
	rc=$(cat status)
	nothing "nobody reads the report" 'standard output: write: Broken pipe$'
done
# nor is it told into the image
mkimage -q --size 40M -o want.raw a.tar
for close in '>&-' '<&- >&-' '<&- >&- 2>&-'; do
	eval "mkimage --size 40M -o out/x.raw a.tar $close" ||
		fail "$close: not made"
	cmp out/x.raw want.raw || fail "$close: another image"
	rm out/x.raw
done

# the medium, the names: the last of several cannot be had
export WRITE_SHIM_CALLS=sync
run x.raw:--sync error:$EIO:1
nothing "fsync" "'x.raw': write: Input/output error"
run x.raw:--sync:--extract-boot=boot error:$EIO:1
nothing "fsync of the kernel" "'boot/vmlinuz': write: Input/output error"
run x.raw:--sync once:$EIO:2
nothing "fsync of the folder" "'x.raw': write: Input/output error"
run x.raw:--sync:--extract-boot=boot once:$EIO:7
nothing "fsync of the last folder" "'x.raw': write: Input/output error"
export WRITE_SHIM_CALLS=link
run x.qcow2:--extract-boot=boot once:$EIO:3
nothing "no name" "'x.qcow2': create: Input/output error"
# with --force, what was there is there again
mkdir out/boot
for f in boot/vmlinuz boot/initrd x.raw; do
	echo "old $f" >out/$f
done
cp -r out was
run x.raw:--force:--extract-boot=boot once:$EIO:6
[ $rc -eq 1 ] || fail "--force: status $rc"
diff -r was out || fail "--force: not what was there"
export WRITE_SHIM_CALLS=sync
run x.raw:--force:--sync:--extract-boot=boot once:$EIO:5
[ $rc -eq 1 ] || fail "--force --sync: status $rc"
diff -r was out || fail "--force --sync: not what was there"
# what is replaced is kept until the new one is on the medium; what is new is
# not waited for
for at in 1 2 3; do
	run x.raw:--force:--extract-boot=boot once:$EIO:$at
	[ $rc -eq 1 ] || fail "--force: fsync $at: status $rc"
	grep -q "': write: Input/output error$" err.log || fail "$(cat err.log)"
	diff -r was out || fail "--force: fsync $at: not what was there"
done
rm -r was out
mkdir out
run x.raw:--force error:$EIO:1
[ $rc -eq 0 ] || fail "a new image was waited for: $(cat err.log)"
rm -r out
mkdir out
export WRITE_SHIM_CALLS=link
# what was told meanwhile is taken back
for report in --json ''; do
	kind="x.raw $report"
	rc=0
	# shellcheck disable=SC2086
	(cd out && shimmed once:$EIO:1 mkimage --size 40M $report -o x.raw \
		../a.tar) >out.log 2>err.log || rc=$?
	grep -q x.raw out.log || fail "$kind: not told before"
	nothing "no name" "what was reported is not there: 'x.raw': create: "
done
# a signal that comes meanwhile comes too late
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
