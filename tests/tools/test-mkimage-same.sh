#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The same input makes the same bytes: whatever the day, zone, locale, folder,
# mask, user, file system, or the way the input comes.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck tar gzip

mkdir src
for i in $(seq 500); do
	head -c $((i * 97)) /dev/urandom >"src/file-$i"
done
ln src/file-1 src/again
ln -s file-2 src/symbolic
tar -C src -cf a.tar .
gzip -k a.tar

for f in raw qcow2; do
	mkimage -q -f $f -o one.$f a.tar
	sleep 1
	mkdir -p other
	(
		cd other
		umask 077
		TZ=Asia/Tokyo LC_ALL=C.UTF-8 LANG=tr_TR.UTF-8 \
			mkimage -q -f $f -o ../two.$f - <../a.tar
	)
	cmp one.$f two.$f || fail "$f: another image from a pipe elsewhere"
	mkimage -q --force -f $f -o two.$f a.tar.gz
	cmp one.$f two.$f || fail "$f: another image from compressed input"
	if [ -w /dev/shm ]; then
		shm=$(mktemp -d /dev/shm/mkimage-test.XXXXXX)
		rc=0
		mkimage -q -f $f -o "$shm/two" a.tar && cmp one.$f "$shm/two" ||
			rc=1
		rm -rf "$shm"
		[ $rc -eq 0 ] || fail "$f: another image on another fs"
	fi
	if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
		chmod 755 . && mkdir -p user && chmod 777 user
		if setpriv --reuid 65534 --regid 65534 --clear-groups \
			test -x "$(command -v mkimage)"; then
			setpriv --reuid 65534 --regid 65534 --clear-groups \
				mkimage -q -f $f -o user/two.$f - <a.tar
			cmp one.$f user/two.$f || fail "$f: as another user"
		fi
	fi
	for i in 1 2 3 4 5; do
		mkimage -q --force -f $f -o two.$f a.tar
		cmp one.$f two.$f || fail "$f: another image at run $i"
	done
done

uuid() {
	super "$1" 'Filesystem UUID'
}
# other content, another identity
echo more >>src/file-3
tar -C src -cf b.tar .
mkimage -q -o b.raw b.tar
[ "$(uuid one.raw)" != "$(uuid b.raw)" ] || fail "the same UUID"
[ -n "$(uuid b.raw)" ] || fail "no UUID"

# the least difference makes another file system of it
{
	cat <<'X'
file f text=1
file g text=1
file f text=2
file f text=11
file f text=1\\x00
file f mtime=5\nfile later mtime=9
file f mtime=6\nfile later mtime=9
file f text=1 mode=600
file f text=1 uid=1
file f text=1 gid=1
file f text=1 mtime=1
file f text=1\nfile f text=1
pax mtime 1000000000.5\nfile f text=1
pax atime 1\nfile f text=1
pax ctime 1\nfile f text=1
pax LIBARCHIVE.creationtime 1\nfile f text=1
pax SCHILY.xattr.user.a 1\nfile f text=1
pax SCHILY.xattr.user.b 1\nfile f text=1
pax SCHILY.xattr.user.a 2\nfile f text=1
pax SCHILY.fflags nodump\nfile f text=1
file f text=1\nlink g f
fifo f
dir f
symlink f 1
symlink f 2
char f 1 2
char f 1 3
char f 2 2
block f 1 2
X
} >kinds
: >uuids
while read -r kind; do
	printf '%b\nend\n' "$kind" | "$gentar" >c.tar
	mkimage -q --force --size 8M -o c.raw c.tar || fail "$kind"
	uuid c.raw >>uuids
done <kinds
for opts in '--label a' '--label b' '--seed a' '--seed b'; do
	# shellcheck disable=SC2086
	mkimage -q --force --size 8M $opts -o c.raw c.tar
	uuid c.raw >>uuids
done
SOURCE_DATE_EPOCH=5 mkimage -q --force --size 8M -o c.raw c.tar
uuid c.raw >>uuids
[ "$(wc -l <uuids)" -eq 34 ] || fail "not every one has a UUID"
# but for a file that is there twice, of which the last counts
[ "$(sort -u uuids | wc -l)" -eq 33 ] ||
	fail "the same UUID: $(sort uuids | uniq -d)"
# of version 8, in the usual variant
grep -vE '^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-' uuids &&
	fail "not a UUID of version 8"

# no time is later than SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=1000000000 mkimage -q --force -o image.raw a.tar
clean image.raw
has 'stat /file-1' 'mtime: 0x3b9aca00:00000000'
has 'stat /lost+found' 'mtime: 0x3b9aca00'
dumpe2fs -h image.raw 2>/dev/null | grep -q 'created: *Sun Sep  9' ||
	fail "file system made at another time"
uuid=01234567-89ab-cdef-0123-456789abcdef
build --uuid $uuid --label vmmkit a.tar
[ "$(uuid image.raw)" = $uuid ] || fail "not the UUID asked for"
dumpe2fs -h image.raw 2>/dev/null | grep -q 'volume name: *vmmkit$' ||
	fail "not the label asked for"
