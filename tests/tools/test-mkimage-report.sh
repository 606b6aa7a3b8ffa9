#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What is told of an image, as text and as JSON, is what other programs find:
# sizes, counts, warnings, the digest of the output, for every kind of output. (How
# far it is, on a terminal and nowhere else: test-mkimage-containers.sh.)
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck dumpe2fs jq tar qemu-img sha256sum mandoc col

{
	echo 'repeat 40'
	echo 'file d/f# size=5000'
	echo 'link again d/f1'
	echo 'symlink s d/f1'
	echo 'file hole zeroes=4000000'
	for i in 1 2 3; do
		echo "pax SCHILY.xattr.odd$i v"
		echo "file odd$i text=1"
	done
	echo 'file boot/vmlinuz-6.1 text=kernel'
	echo 'file boot/initrd.img-6.1 text=initrd'
	echo end
} | "$gentar" >a.tar
entries=$(tar -tf a.tar | wc -l)

get() {
	jq -r ".[\"$1\"]" report.json
}
# says KEY WANT
says() {
	[ "$(get "$1")" = "$2" ] ||
		fail "$kind: $1 is $(get "$1"), not $2: $(cat report.json)"
}

for kind in x.raw x.qcow2 x.qcow2:-czlib x.img.zst x.simg x.squashfs x.cpio \
	x.cpio.gz p.raw:--partition q.qcow2:-tsquashfs \
	x.raw:--extract-boot=boot:--agent-binary=agent:--init-binary=agent; do
	rm -rf x.* p.* q.* boot
	printf '\177ELF' >agent
	out=${kind%%:*}
	size='--size 40M'
	case $kind in
	*squashfs | *cpio*) size= ;;
	esac
	# shellcheck disable=SC2046,SC2086
	mkimage --json $size -o $(echo "$kind" | tr ':' ' ') a.tar >report.json \
		2>err.log || fail "$kind: $(cat err.log)"
	says output "$out"
	says entries "$entries"
	says sha256 "$(sha256sum <"$out" | cut -d ' ' -f 1)"
	says file-size "$(stat -c %s "$out")"
	# what was said on standard error, word for word
	sed -n 's/^mkimage: warning: //p' err.log >warned
	jq -r '.warnings[]' report.json | cmp - warned ||
		fail "$kind: other warnings: $(cat warned report.json)"
	says nr-warnings "$(grep -c . warned)"
	[ "$(grep -c . warned)" -ge 3 ] || fail "$kind: $(cat err.log)"
	[ "$(get used)" -gt 0 ] && [ "$(get used)" -le "$(get size)" ] ||
		fail "$kind: $(cat report.json)"
	case $out in
	*.qcow2) says format qcow2 ;;
	*.zst) says format zstd ;;
	*.simg) says format android-sparse ;;
	*) says format raw ;;
	esac
	case $kind in
	*squashfs) says file-system squashfs ;;
	*cpio*) says file-system cpio ;;
	*) says file-system ext4 ;;
	esac
	case $out in
	*.raw | *.squashfs | *.cpio*) says disk-size "$(stat -c %s "$out")" ;;
	*.qcow2) says disk-size "$(qemu-img info --output json "$out" |
		jq '.["virtual-size"]')" ;;
	esac
	case $kind in
	x.raw*) # what dumpe2fs finds
		says size "$(stat -c %s x.raw)"
		says free "$(($(super x.raw 'Free blocks') * 4096))"
		says used "$(($(get size) - $(get free)))"
		says inodes "$(super x.raw 'Inode count')"
		says free-inodes "$(super x.raw 'Free inodes')"
		says uuid "$(super x.raw 'Filesystem UUID')"
		# 40 of two blocks, 3 and 2 and perhaps an agent of one
		[ "$(get agent)" = null ] && files=5 || files=7
		says data $(((80 + files) * 4096))
		;;
	*squashfs | *cpio*) says uuid null ;;
	esac
	case $kind in
	*boot*)
		says kernel /boot/vmlinuz-6.1
		says initrd /boot/initrd.img-6.1
		says agent vmm-init
		;;
	*) says kernel null && says initrd null && says agent null ;;
	esac
	# each key is in the page
	mandoc -T ascii "$top_srcdir/man/mkimage.1" | col -b |
		sed -n '/^   The report/,/^ENVIRONMENT/p' >page
	[ -s page ] || fail "no such section"
	for key in $(jq -r 'keys[]' report.json); do
		grep -qw -e "$key" page || fail "$key is not in mkimage(1)"
	done
done

# more warnings than are kept: all are counted
kind=many
{
	i=0
	while [ $i -lt 150 ]; do
		echo "pax SCHILY.xattr.odd v"
		echo "file f$i text=1"
		i=$((i + 1))
	done
	echo end
} | "$gentar" >many.tar
mkimage --json --force --size 20M -o x.raw many.tar >report.json 2>err.log
says nr-warnings 150
[ "$(grep -c warning err.log)" -eq 101 ] || fail "$(cat err.log)"
tail -n 1 err.log | grep -q 'there is more of this: only counted from here on' ||
	fail "$(tail -n 1 err.log)"
[ "$(jq '.warnings | length' report.json)" -eq 100 ] || fail "$(cat report.json)"
# quiet: in the report alone
mkimage --json -q --size 20M --force -o x.raw many.tar >report.json 2>err.log
[ ! -s err.log ] || fail "not quiet: $(cat err.log)"
says nr-warnings 150
mkimage -q --size 20M --force -o x.raw many.tar >out.log 2>&1
[ ! -s out.log ] || fail "not quiet: $(cat out.log)"

# the text has the same numbers
kind=text
mkimage --json -o t.raw --size 100M a.tar >report.json 2>err.log
mkimage --force -o t.raw --size 100M a.tar >out.log 2>err.log
mib() {
	awk -v n="$(get "$1")" 'BEGIN { printf "%.3g MiB", n / 1048576 }'
}
[ "$(cat out.log)" = "t.raw: $entries entries, ext4 of 100 MiB: $(mib used) used, $(
	mib free) free" ] || fail "$(cat out.log report.json)"

# --verbose: every entry, in its order
mkimage -v --force -o t.raw --size 100M a.tar 2>err.log >out.log
tar -tf a.tar | sed 's|/$||' >want
sed -n 's/^mkimage: entry: //p' err.log | sed 's|/$||' | cmp - want ||
	fail "not every entry: $(cat err.log)"

# who reads the report goes away before it comes
mkfifo reader
: <reader &
rc=0
(sleep 0.2 && exec mkimage -o unread.raw a.tar) >reader 2>err.log || rc=$?
wait
[ $rc -eq 1 ] && grep -q 'Broken pipe' err.log && [ ! -e unread.raw ] ||
	fail "nobody reads: status $rc: $(cat err.log)"
# on the medium before it has its name, if that is wanted
if have_tool strace && { strace -o /dev/null true 2>/dev/null ||
	! left_out "strace may not trace"; }; then
	for o in '' --sync; do
		# leaks cannot be looked for under strace
		# shellcheck disable=SC2086
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -f -o trace -e trace=fsync,fdatasync,rename,renameat,renameat2,linkat \
			mkimage -q --force $o -o synced.raw a.tar
		sed -n 's/^[0-9]* *\(f[a-z]*sync\|rename\|link\).*= 0$/\1/p' trace |
			tr '\n' ' ' >have
		case "$o $(cat have)" in
		' '*sync* | '--sync rename'* | '--sync link'*)
			fail "$o: $(cat trace)"
			;;
		'--sync f'*sync' '*) ;;
		--sync*) fail "$o: $(cat trace)" ;;
		esac
	done
	# so are kernel and initrd; then the names, of a new folder too: of each the
	# folder that it is in
	mkdir of
	"$gentar" <<'X' >a.tar
file boot/vmlinuz-6.1 text=kernel
file boot/initrd.img-6.1 text=initrd
end
X
	# synced FILES FOLDERS: so many files, then the folders, without $work
	synced() {
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -f -y \
			-o trace -e trace=fsync,linkat,renameat2 \
			mkimage -q --force --size 40M --sync -o synced.raw \
			--extract-boot of/boot a.tar
		here=$(readlink -f "$work")
		sed -n "s|.*fsync([0-9]*<$here\(/*[^>]*\)>.*= 0\$|\1|p
			s/^[0-9]* *\(linkat\|renameat2\)(.*= 0\$/name/p" trace |
			sed 's|/[.#][^/]*$|/file|' | uniq >have
		printf '%s\n' "$@" | diff - have ||
			fail "kernel and initrd, --sync: $(cat trace)"
	}
	synced /of/boot/file /file name /of /of/boot ''
	synced /of/boot/file /file name /of/boot ''
fi
