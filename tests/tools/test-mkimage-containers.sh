#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The same disk in every container, for other programs to read; and no output,
# nor anything else, after a full disk or a signal. (Both, and errors of the medium,
# at chosen moments: test-mkimage-interrupt.sh.)
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar qemu-img zstd simg2img

mkdir src
head -c 3000000 /dev/urandom >src/random
seq 300000 >src/numbers
for i in $(seq 200); do
	echo "$i" >"src/file-$i"
done
tar -C src -cf a.tar .

# same FILE: what is in it is image.raw, to other programs and to ours
same() {
	case $1 in
	*.qcow2)
		qemu-img check -q "$1" || fail "qemu-img check $1"
		qemu-img compare -q "$1" image.raw || fail "$1 is another disk"
		;;
	*.zst)
		zstd -qdcf "$1" | cmp - image.raw || fail "$1 is another disk"
		;;
	*.simg)
		simg2img "$1" simg.raw || fail "simg2img $1"
		cmp simg.raw image.raw || fail "$1 is another disk"
		;;
	esac
}

build --size 40M a.tar
for out in a.qcow2 'z.qcow2 -c zlib' 's.qcow2 -c zstd:9' a.img.zst \
	'b.raw.zst -c zstd:19' a.simg; do
	# shellcheck disable=SC2086
	mkimage -q --size 40M -o $out a.tar || fail "$out"
	same "${out%% *}"
done
[ "$(stat -c %s z.qcow2)" -lt $(($(stat -c %s a.qcow2) * 3 / 4)) ] ||
	fail "zlib: not smaller"
[ "$(stat -c %s b.raw.zst)" -lt "$(stat -c %s a.img.zst)" ] ||
	fail "another level, the same size"
qemu-img info s.qcow2 | grep -q 'compression type: zstd' || fail "not zstd"
# however many processors there are
for out in 'z.qcow2 -c zlib' 's.qcow2 -c zstd:9' a.img.zst a.simg; do
	cp "${out%% *}" before
	# shellcheck disable=SC2086
	taskset -c 0 mkimage -q --force --size 40M -o $out a.tar
	cmp "${out%% *}" before || fail "$out: another file on one processor"
done

# what no container has, and what there is none of
while read -r want opts; do
	rc=0
	# shellcheck disable=SC2086
	mkimage $opts a.tar >out.log 2>err.log || rc=$?
	[ $rc -eq 2 ] || fail "$opts: status $rc"
	grep -qF -- "$(echo "$want" | tr _ ' ')" err.log ||
		fail "$opts: $(cat err.log)"
done <<'X'
no_--output_given --size 1G
must_be_a_file -o -
--format_is_needed -o no
--format_is_needed -o no.tar
--format:_none_of -o no.raw -f vmdk
--fs:_none_of -o no.raw -t xfs
an_image_in_raw_has_none -o no.raw -c zstd
an_image_in_android-sparse_has_none -o no.simg -c zstd
none,_zlib_or_zstd -o no.qcow2 -c lzma
--compress -o no.qcow2 -c zstd:23
--compress -o no.qcow2 -c zstd:x
more_than_16T -o no.raw --size +17T
more_than_16T -o no.raw --size 17T
more_than_16T -o no.raw --size 0
--size -o no.raw --size 1X
has_the_size_of_its_content -o no.sqfs --size 1G
has_the_size_of_its_content -o no.cpio --size +1G
--label:_squashfs_has_none -o no.sqfs -L x
--uuid:_cpio_has_none -o no.cpio -U 01234567-89ab-cdef-0123-456789abcdef
--journal-size:_squashfs_has_none -o no.sqfs --journal-size 4M
--journal-size:_cpio_has_none -o no.cpio --journal-size 0
squashfs_is_compressed_in_any_case -o no.sqfs -c none
zstd_is_compressed_in_any_case -o no.img.zst -c none
none_has_no_level -o no.qcow2 -c none:5
neither_auto,_tar -o no.raw --source-type zip
more_than_3_numbers -o no.raw --map-uid 1:2:3:4
HOST:GUEST:COUNT -o no.raw --map-uid 1:2
HOST:GUEST:COUNT -o no.raw --map-gid 1:2:0
past_the_last_id -o no.raw --map-uid 4294967294:0:2
past_the_last_id -o no.raw --map-gid 0:4294967294:2
--map-uid -o no.raw --map-uid 4294967295:0:1
not_a_number -o no.raw --map-gid 00000000000000000000000000000001:0:1
UID:GID -o no.raw --owner 1
--owner -o no.raw --owner 0:4294967295
not_of_the_form_OS -o no.raw --platform linux/
not_of_the_form_OS -o no.raw --platform /amd64
not_of_the_form_OS -o no.raw --platform amd64
X
for c in none zstd:3; do
	mkimage -q -o "c.$c.qcow2" -c $c --size 40M a.tar
	qemu-img check -q "./c.$c.qcow2"
done
mkimage -q -o c.img.zst -c zstd:19 --size 40M a.tar
[ "$(stat -c %s c.img.zst)" -lt "$(stat -c %s a.img.zst)" ] || fail "not level 19"
rm c.*
# an end of a name tells what is wanted, an option more
for k in 'sqfs hsqs' 'squashfs hsqs' 'cpio 0707' 'cpio.gz \037\213' 'simg \072\377'; do
	mkimage -q -o "n.${k%% *}" a.tar
	[ "$(head -c 2 "n.${k%% *}" | od -An -tx1)" = \
		"$(printf "${k#* }" | head -c 2 | od -An -tx1)" ] ||
		fail "$k: it is $(head -c 4 "n.${k%% *}" | od -An -tx1)"
	rm "n.${k%% *}"
done

# on a terminal it tells how far it is, and clears its line; in a file it does not
if have_tool script; then
	script -qec "mkimage -o t.qcow2 -c zstd --size 40M a.tar" /dev/null \
		>tty.log </dev/null || fail "$(cat tty.log)"
	tr '\r' '\n' <tty.log | grep -q '^ *[0-9]*%  [0-9]* entries' ||
		fail "nothing of the reading: $(cat tty.log)"
	tr '\r' '\n' <tty.log | grep -q '^100%  converted' ||
		fail "nothing of the conversion: $(cat tty.log)"
	tr '\r' '\n' <tty.log | grep -A 1 '^100%  converted' | tail -n 1 |
		grep -q "^$(printf '\033')\[Kt.qcow2: " ||
		fail "the line stays: $(cat tty.log)"
	script -qec "mkimage --json -o j.raw --size 40M a.tar" /dev/null \
		>tty.log </dev/null || fail "$(cat tty.log)"
	tr '\r' '\n' <tty.log | grep -q '^100%  digest' ||
		fail "nothing of the digest: $(cat tty.log)"
	# of a pipe nobody knows how much there is
	script -qec "cat a.tar | mkimage --size 40M -o p.raw -" /dev/null \
		>tty.log </dev/null || fail "$(cat tty.log)"
	tr '\r' '\n' <tty.log | grep -q '^[0-9]* MiB  [0-9]* entries' ||
		fail "nothing of a pipe: $(cat tty.log)"
	rm p.raw
	script -qec "mkimage -q -o u.qcow2 -c zstd --size 40M a.tar" /dev/null \
		>tty.log </dev/null
	[ ! -s tty.log ] || fail "not quiet: $(cat tty.log)"
	mkimage -o v.qcow2 -c zstd --size 40M a.tar 2>err.log >out.log
	[ ! -s err.log ] || fail "progress in a file: $(cat err.log)"
fi

# leaves nothing but what was there
nothing_in() {
	[ -z "$(find "$1" -type f)" ] || fail "$2: left: $(ls -lA "$1")"
}
kinds='x.raw x.qcow2 x.qcow2:-czlib x.img.zst x.simg x.squashfs x.cpio
	x.cpio.gz x.raw:--partition:--esp=../src x.qcow2:-tsquashfs'
mkdir out
for kind in $kinds; do
	opts=$(echo "$kind" | tr ':' ' ')
	case $kind in
	*.squashfs | *.cpio* | *squashfs) ;;
	*) opts="$opts --size 140M" ;;
	esac
	# a limit on the size of a file is like a full disk
	rc=0
	# shellcheck disable=SC2086
	(
		cd out
		ulimit -f 4000 # KiB or half of one
		mkimage -q -o $opts - <../a.tar
	) 2>err.log || rc=$?
	if [ $rc -ne 1 ] || [ "$(grep -c . err.log)" -ne 1 ]; then
		# a sparse or compressed file may be below the limit
		[ $rc -eq 0 ] || fail "$kind: status $rc: $(cat err.log)"
	fi
	[ $rc -eq 0 ] || nothing_in out "$kind at a full disk"
	rm -f out/x*
	# a signal in the middle
	for sig in INT TERM; do
		mkfifo pipe
		(head -c 2000000 a.tar && sleep 10) >pipe &
		feeder=$!
		# shellcheck disable=SC2086
		(cd out && exec env --default-signal=INT mkimage -q -o $opts -) \
			<pipe 2>err.log &
		pid=$!
		sleep 0.2
		kill -s $sig $pid
		rc=0
		wait $pid || rc=$?
		kill $feeder 2>/dev/null || : # it may have ended
		wait $feeder 2>/dev/null || :
		rm pipe
		[ $rc -eq 1 ] || fail "$kind: SIG$sig: status $rc"
		grep -qx "mkimage: interrupted by SIG$sig: no output is left" \
			err.log || fail "$kind: SIG$sig: $(cat err.log)"
		nothing_in out "$kind: SIG$sig"
	done
	# what is there stays
	echo mine >"out/${kind%%:*}"
	# shellcheck disable=SC2086
	(cd out && ! mkimage -q -o $opts ../a.tar 2>../err.log) ||
		fail "$kind: replaced"
	grep -q 'not replaced without --force' err.log || fail "$(cat err.log)"
	[ "$(cat out/*)" = mine ] || fail "$kind: replaced"
	rm out/*
done

# where files cannot be large, as on ext2 or FAT: those that an image needs are
# enough, and it is the same
{
	echo 'file a size=3000000'
	echo 'file b size=2000000'
	echo end
} | "$gentar" >limit.tar
for opts in '--size 20M --journal-size 0 -o out/x.img' \
	'--partition --size 20M --journal-size 0 -o out/x.img' \
	'--size 20M -f android-sparse --journal-size 0 -o out/x.img'; do
	# shellcheck disable=SC2086
	mkimage -q $opts limit.tar
	mv out/x.img first.img
	# shellcheck disable=SC2086
	(ulimit -f $((20 * 2048)) && mkimage -q $opts limit.tar) ||
		fail "$opts: not where files are of 20 MiB"
	cmp out/x.img first.img || fail "$opts: another image"
	rm out/x.img
	# shellcheck disable=SC2086
	(ulimit -f $((20 * 2048 - 1)) && ! mkimage -q $opts limit.tar 2>&1) \
		>err.log || fail "$opts: more than a file can have"
	grep -q "^mkimage: 'out/x.img': .*File too large$" err.log ||
		fail "$(cat err.log)"
	nothing_in out "$opts"
done

# a disk that is full
[ "$(id -u)" -eq 0 ] || {
	left_out "a full disk needs root"
	exit 0
}
mkdir -p "$mnt"
mount -t tmpfs -o size=3M tmpfs "$mnt" 2>/dev/null || {
	left_out "no tmpfs can be mounted"
	exit 0
}
mkdir "$mnt/d"
ln -s "$work/src" "$mnt/src"
for kind in $kinds; do
	opts=$(echo "$kind" | tr ':' ' ')
	case $kind in
	*.squashfs | *.cpio* | *squashfs) ;;
	*) opts="$opts --size 140M" ;;
	esac
	rc=0
	# shellcheck disable=SC2086
	(cd "$mnt/d" && mkimage -q -o $opts - <"$work/a.tar") 2>err.log || rc=$?
	[ $rc -eq 1 ] || fail "$kind: status $rc on a full disk"
	grep -q 'No space left' err.log || fail "$kind: $(cat err.log)"
	[ "$(grep -c . err.log)" -eq 1 ] || fail "$kind: $(cat err.log)"
	nothing_in "$mnt/d" "$kind on a full disk"
done
umount "$mnt"
