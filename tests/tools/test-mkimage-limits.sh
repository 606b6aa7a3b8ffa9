#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Where the host has a limit for files, memory or processes: the same image, or one
# line, exit status 1 and no output. Nothing waits for what there cannot be.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
. "$top_srcdir/tests/tools/mkimage-oci.sh"
need prlimit timeout gzip zstd

# more than is read at once, so that threads have something to do
"$gentar" >a.tar <<'X'
file big size=9000000
repeat 500
file many/file-# text=n#
end
X
gzip -1 <a.tar >a.tar.gz
zstd -q a.tar
mkdir src out
tar -C src -xf a.tar
start
layer zstd <<'X'
file big size=9000000
file small text=1
end
X
finish
cat >kinds <<'X'
x.raw --size 64M a.tar
x.raw --size 64M a.tar.gz
x.raw --size 64M a.tar.zst
x.raw --size 64M --owner 0:0 src
x.raw --size 64M l
x.raw --size 128M --partition --esp a.tar:EFI/a a.tar
x.qcow2 --size 64M a.tar
x.qcow2 --size 64M -c zstd a.tar
x.img --format zstd --size 64M a.tar
x.img --format android-sparse --size 64M a.tar
x.sqfs -t squashfs a.tar
x.cpio -t cpio a.tar.gz
X

# make COMMAND...: mkimage $opts by that, in out/. Sets $rc.
make() {
	rm -rf out/*
	rc=0
	# shellcheck disable=SC2086
	timeout 100 "$@" mkimage -q -o out/$opts >said 2>&1 || rc=$?
}
# limited WHAT COMMAND...: all or nothing
limited() {
	what="$opts: $1"
	shift
	make "$@"
	if [ $rc -eq 0 ]; then
		cmp "out/${opts%% *}" want || fail "$what: another image"
		return 0
	fi
	# it may not even start
	[ $rc -eq 127 ] && grep -q 'error while loading' said ||
		[ $rc -eq 1 ] && [ "$(grep -c . said)" -eq 1 ] &&
		grep -q '^mkimage: ' said || fail "$what: status $rc: $(cat said)"
	[ -z "$(ls -A out)" ] || fail "$what: left: $(ls -A out)"
}
# enough WHAT COMMAND...: all
enough() {
	limited "$@"
	[ $rc -eq 0 ] || fail "$what should do: $(cat said)"
}

# somebody who has no other process
user=61357
chmod -R a+rwX "$work"
nobody=
! setpriv --reuid $user --regid $user --clear-groups \
	"$(command -v mkimage)" --version >/dev/null 2>&1 || nobody=yes
# a sanitizer wants all addresses there are, and a process to look for leaks
sanitized=
! grep -q __asan_init "$(command -v mkimage)" || {
	sanitized=yes
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
}
while read -r opts; do
	make env
	[ $rc -eq 0 ] || fail "$opts: $(cat said)"
	mv "out/${opts%% *}" want
	for n in 3 5 6 7 8 9 10 12; do
		limited "$n files" prlimit --nofile=$n
	done
	enough "32 files" prlimit --nofile=32
	if [ -z "$sanitized" ]; then
		for n in 5 20 40 60 90 130; do
			limited "$n MB of addresses" prlimit --as=${n}000000
		done
		enough "1 GB of addresses" prlimit --as=1000000000
	fi
	[ -n "$nobody" ] || continue
	for n in 1 2 3 4; do
		limited "$n processes" setpriv --reuid $user --regid $user \
			--clear-groups prlimit --nproc=$n
	done
done <kinds
[ -n "$nobody" ] || left_out "not root: no limit of processes"
