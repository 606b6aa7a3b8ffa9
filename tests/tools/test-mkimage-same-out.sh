#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The same input makes the same bytes of every kind of output: whatever the
# host's name, the day, the file system it is written to or read from, the order
# of names there, the user, the locale, the zone, the mask, the number of
# processors.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need tar mke2fs setfacl

mkdir src esp
head -c 400000 /dev/urandom >src/random
seq 50000 >src/numbers
cp src/random src/again
truncate -s 3M src/hole
for i in $(seq 100); do
	echo "$i" >"src/file-$i"
done
ln src/random src/hard
mkdir src/names
seq -f 'src/names/%g' 300 | xargs touch
echo efi >esp/boot.efi
echo long >'esp/A name that is long.txt'
tar -C src --sort=name --mtime=@1600000000 -cf a.tar .
# the order in which a folder lists its names is the host's
mkdir esp2
cp 'esp/A name that is long.txt' esp/boot.efi esp2/
tar -C src --sort=name --mtime=@1700000000 -cf later.tar .
chmod 711 . && chmod -R a+rX .

kinds='x.raw x.qcow2 y.qcow2:-czlib z.qcow2:-czstd x.img.zst x.simg
	x.squashfs g.squashfs:-cgzip x.cpio x.cpio.gz x.cpio.zst
	p.raw:--partition:--esp=ESP q.qcow2:--esp=ESP:-tsquashfs'

# make DIR ESP COMMAND...: every kind, into DIR
make_all() {
	dir=$1 esp=$2
	shift 2
	for kind in $kinds; do
		opts=$(echo "$kind" | tr ':' ' ' | sed "s|ESP|$work/$esp|")
		case $kind in
		*.squashfs* | *.cpio* | *squashfs) ;;
		*partition*) opts="$opts --size 90M" ;;
		*) opts="$opts --size 20M" ;;
		esac
		# shellcheck disable=SC2086
		(cd "$dir" && "$@" mkimage -q -o $opts - <"$work/$archive") ||
			fail "$kind in $dir: $*"
	done
}

# compare DIR WHAT
compare() {
	for kind in $kinds; do
		cmp "one/${kind%%:*}" "$1/${kind%%:*}" ||
			fail "$kind: another file $2"
	done
	rm -f "$1"/*.*
}

# elsewhere COMMAND...: another host, another day, one processor
host= day=
[ "$(id -u)" -ne 0 ] || ! unshare -u true || host=yes
[ "$(faketime -f '@2037-01-02 03:04:05' date +%Y 2>&1)" != 2037 ] || day=yes
elsewhere() {
	set -- taskset -c 0 "$@"
	[ ! "$day" ] || set -- faketime -f '@2037-01-02 03:04:05' "$@"
	# shellcheck disable=SC2016
	[ ! "$host" ] || set -- unshare -u \
		sh -c 'hostname elsewhere.example; exec "$@"' sh "$@"
	ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 "$@"
}

archive=a.tar
mkdir one two
make_all one esp
sleep 1
(
	umask 077
	TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LC_ALL=C.UTF-8
	export TZ LANG LC_ALL
	make_all two esp2 elsewhere
)
compare two 'elsewhere, on one processor'

# nothing is later than SOURCE_DATE_EPOCH, so when it all was made is not in there
all=$kinds
kinds='x.raw y.qcow2:-czlib x.squashfs x.cpio p.raw:--partition:--esp=ESP'
mkdir epoch
mv one all
mkdir one
touch -d @1700000000 esp2/*
touch -d @1600000000 esp/*
export SOURCE_DATE_EPOCH=1500000000
make_all one esp
archive=later.tar
make_all epoch esp2
compare epoch 'of later times, with SOURCE_DATE_EPOCH'
unset SOURCE_DATE_EPOCH
make_all epoch esp
for k in $kinds; do
	! cmp -s "one/${k%%:*}" "epoch/${k%%:*}" || fail "$k: has no times"
done
archive=a.tar
rm -r one epoch
mv all one
kinds=$all
[ "$(id -u)" -eq 0 ] || {
	left_out "other users and file systems need root"
	exit 0
}
if setpriv --reuid 65534 --regid 65534 --clear-groups \
	test -x "$(command -v mkimage)"; then
	chmod 777 two
	make_all two esp setpriv --reuid 65534 --regid 65534 --clear-groups
	compare two 'as another user'
fi
# thrifty FS: space taken ahead is given back, and not having it does no harm
thrifty() {
	for f in raw qcow2; do
		mkimage -q --size exact big.tar -o "$mnt/b.$f" || fail "$f on $1"
		used=$(($(stat -c '%b * 512' "$mnt/b.$f")))
		[ $used -ge 12000000 ] && [ $used -le 15000000 ] ||
			fail "$f on $1: 12 MB take $used bytes"
		free=$(($(stat -f -c '%a * %S' "$mnt")))
		fallocate -l $((free - 25000000)) "$mnt/fill"
		mkimage -q --size exact --format $f big.tar -o "$mnt/again" ||
			fail "$f on $1: with 25 MB left"
		rm "$mnt/fill"
		cmp "$mnt/b.$f" "$mnt/again" || fail "$f on $1: differs"
		rm "$mnt/b.$f" "$mnt/again"
	done
}

printf 'file big size=12000000\nend\n' | "$gentar" >big.tar
# a folder, with ACLs, that lies on another file system
mkdir folder
cp -a src esp folder
chown -R 0:0 folder
setfacl -m u:1000:r folder/src/random
setfacl -d -m g:7:rx folder/src
find folder -exec touch -h -d @1600000000.123456789 {} +
mkimage -q --strict --size 20M -o folder.raw folder
# of somebody who is not root, in another order of names: what is his is root's
if setpriv --reuid 65534 --regid 65534 --clear-groups \
	test -x "$(command -v mkimage)"; then
	mkdir his
	cp -a folder/esp his/
	mkdir -p his/src/names
	seq -f 'his/src/names/%g' 300 -1 1 | xargs touch
	cp -a folder/src his/
	find his -exec touch -h -d @1600000000.123456789 {} +
	chown -hR 65534:65534 his
	setfacl -m u:1000:r his/src/random
	cd two
	for opts in '--owner 0:0' '--map-uid 65534:0:1 --map-uid 1000:1000:1
		--map-gid 65534:0:1 --map-gid 7:7:1'; do
		# shellcheck disable=SC2086
		setpriv --reuid 65534 --regid 65534 --clear-groups \
			mkimage -q --strict --size 20M $opts -o his.raw ../his
		cmp ../folder.raw his.raw || fail "a folder of his, $opts"
		rm his.raw
	done
	cd ..
fi
mkdir -p "$mnt"
for fs in tmpfs ext4 xfs btrfs; do
	rm -f fs.img
	truncate -s 600M fs.img
	case $fs in
	tmpfs) mount -t tmpfs -o size=600M tmpfs "$mnt" ;;
	*)
		have_tool mkfs.$fs || continue
		mkfs.$fs -q fs.img >mkfs.log 2>&1 || fail "$(cat mkfs.log)"
		mount -o loop fs.img "$mnt"
		;;
	esac || {
		left_out "no $fs can be mounted"
		continue
	}
	mkdir "$mnt/d"
	make_all "$mnt/d" esp
	compare "$mnt/d" "on $fs"
	rm -r "$mnt/d"
	# (btrfs tells less than exactly what is free)
	[ $fs = btrfs ] || thrifty $fs
	mkdir "$mnt/folder"
	# the other way round
	find folder -mindepth 1 -type d | sort -r | sed "s|^|$mnt/|" |
		xargs mkdir -p
	cp -a folder "$mnt"
	mkimage -q --strict --size 20M -o folder2.raw "$mnt/folder"
	cmp folder.raw folder2.raw || fail "a folder on $fs: another image"
	rm folder2.raw
	umount "$mnt"
done
