#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The same input makes the same bytes of every kind of output: whatever the
# file system it is written to, the user, the locale, the zone, the mask, the
# number of processors.
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
echo efi >esp/boot.efi
echo long >'esp/A name that is long.txt'
tar -C src --sort=name --mtime=@1600000000 -cf a.tar .
# the order in which a folder lists its names is the host's
mkdir esp2
cp 'esp/A name that is long.txt' esp/boot.efi esp2/
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
		(cd "$dir" && "$@" mkimage -q -o $opts - <"$work/a.tar") ||
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

mkdir one two
make_all one esp
sleep 1
(
	umask 077
	TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LC_ALL=C.UTF-8
	export TZ LANG LC_ALL
	make_all two esp2 taskset -c 0
)
compare two 'elsewhere, on one processor'
[ "$(id -u)" -eq 0 ] || exit 0
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
cp -a src/random src/hard folder
setfacl -m u:1000:r folder/random
setfacl -d -m g:7:rx folder
touch -d @1600000000 folder
mkimage -q --strict --size 20M -o folder.raw folder
mkdir -p "$mnt"
for fs in tmpfs ext4 xfs; do
	rm -f fs.img
	truncate -s 600M fs.img
	case $fs in
	tmpfs) mount -t tmpfs -o size=600M tmpfs "$mnt" || continue ;;
	*)
		command -v mkfs.$fs >/dev/null || continue
		mkfs.$fs -q fs.img >mkfs.log 2>&1 || continue
		mount -o loop fs.img "$mnt" 2>/dev/null || continue
		;;
	esac
	mkdir "$mnt/d"
	make_all "$mnt/d" esp
	compare "$mnt/d" "on $fs"
	rm -r "$mnt/d"
	thrifty $fs
	cp -a folder "$mnt"
	mkimage -q --strict --size 20M -o folder2.raw "$mnt/folder"
	cmp folder.raw folder2.raw || fail "a folder on $fs: another image"
	rm folder2.raw
	umount "$mnt"
done
