#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Folders, several sources, what is left out.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
image_size=+3M # there is much to compare
need e2fsck debugfs tar setfattr getfattr setfacl getfacl


# a folder with one of everything
mkdir -p d/sub/deep d/empty
echo one >d/one
ln d/one d/sub/again
ln -s one d/link
ln -s /nowhere d/dangling
ln -s sub d/to-dir
truncate -s 1M d/hole
printf x | dd of=d/hole bs=1 seek=700000 conv=notrunc status=none
: >d/nothing
chmod 4711 d/one
chmod 1777 d/empty
mkfifo d/pipe
touch -d '1999-01-02 03:04:05.678901234' d/nothing
touch -h -d '2001-01-01 00:00:00.5' d/link
setfattr -n user.x -v y d/sub || skip "no user attributes here"
setfacl -m u:1000:r d/one
if [ "$(id -u)" -eq 0 ]; then
	mknod d/null c 1 3
	mknod d/disk b 259 70000
	chown 1000:1001 d/sub/deep
	chown -h 7:8 d/link
	setfattr -h -n trusted.x -v y d/link ||
		left_out "no trusted attributes here"
	setcap cap_net_raw+ep d/nothing || left_out "no capabilities here"
fi
touch -d '2005-05-05' d/sub
build d
[ "$(debugfs -R 'stat /hole' image.raw 2>/dev/null |
	sed -n 's/.*Blockcount: //p')" -eq 8 ] || fail "the hole was filled"
if can_mount; then
	same_tree d
fi
cp image.raw first.raw

# another order in the folder, other times of access, other holes: the same
mkdir e
find d -mindepth 1 -printf '%P\0' | sort -rz |
	tar -C d --xattrs --xattrs-include='*' --acls --no-recursion --null \
		-T - -cf a.tar
tar -C e --xattrs --xattrs-include='*' --acls -xpf a.tar
cp --sparse=never -p e/hole e/hole2
mv e/hole2 e/hole
touch -r d e
touch -r d/sub e/sub
cat e/one >/dev/null
build e
cmp image.raw first.raw || fail "a copy of the folder: another image"
# a link to the folder is the folder
ln -s d to-d
build to-d
cmp image.raw first.raw || fail "through a link: another image"

# sockets
python3 -c 'import socket
socket.socket(socket.AF_UNIX).bind("d/socket")' 2>/dev/null ||
	socat -u /dev/null UNIX-LISTEN:d/socket,unlink-close=0 2>/dev/null &
sleep 0.3
kill $! 2>/dev/null || :
if [ -S d/socket ]; then
	mkimage --size $image_size --force -o image.raw d 2>err.log
	grep -q "warning: entry 'socket' left out: a socket" err.log ||
		fail "$(cat err.log)"
	refuses "entry 'socket' left out: a socket (--strict)" 1 --strict d
	rm d/socket
fi

# the root has a name in what is said of it
mkdir -p n/a
refuses "entry '/': owner" 1 --map-uid 4000000000:0:1 n

# owners
if [ "$(id -u)" -eq 0 ]; then
	build --owner 5:6 d
	has 'stat /sub/deep' 'User: +5 +Group: +6'
	has 'stat /one' 'User: +5 +Group: +6'
	build --map-uid 1000:0:10 --map-gid 1001:50:1 --owner 0:0 d
	has 'stat /sub/deep' 'User: +0 +Group: +50'
	has 'ea_get -V -x /one system.posix_acl_access' '00 00 00 00'
	refuses "owner 0: no map names it" 1 --map-uid 1000:0:10 d
	build --map-uid 0:100000:65536 --map-gid 0:200000:65536 d
	has 'stat /sub/deep' 'User: 101000 +Group: 201001'
fi
# ids in ACLs, of users and of groups, and in the third kind of capabilities, which
# are of a user namespace: each by its own map, from the first id of it to the last
if [ "$(id -u)" -eq 0 ]; then
	mkdir ids
	: >ids/f
	setfacl -m u:1000:r,u:1009:w,g:1000:x,g:1009:rw ids/f
	setfacl -d -m u:1001:r,g:1001:x ids
	map='--map-uid 1000:50:10 --map-gid 1000:70:10 --owner 0:0'
	# attribute FILE NAME HEX
	attribute() {
		has "ea_get -V -x $1 $2" "^$3 *\$"
	}
	# shellcheck disable=SC2086
	build $map ids
	attribute /f system.posix_acl_access "02 00 00 00 \
01 00 06 00 00 00 00 00 02 00 04 00 32 00 00 00 02 00 02 00 3b 00 00 00 \
04 00 04 00 00 00 00 00 08 00 01 00 46 00 00 00 08 00 06 00 4f 00 00 00 \
10 00 07 00 00 00 00 00 20 00 04 00 00 00 00 00"
	attribute / system.posix_acl_default "02 00 00 00 \
01 00 07 00 00 00 00 00 02 00 04 00 33 00 00 00 \
04 00 05 00 00 00 00 00 08 00 01 00 47 00 00 00 \
10 00 05 00 00 00 00 00 20 00 05 00 00 00 00 00"
	refuses "entry 'f': ACL for 1009: no map names it" 1 \
		--map-uid 1000:50:9 --map-gid 1000:70:10 --owner 0:0 ids
	refuses "entry 'f': ACL for 1009: no map names it" 1 \
		--map-uid 1000:50:10 --map-gid 1000:70:9 --owner 0:0 ids
	# root of the namespace is user 1004, here 0x3ec, there 0x36
	cap=0100000300200000000000000000000000000000
	if setfattr -n security.capability -v 0x${cap}ec030000 ids/f; then
		cap=$(echo $cap | sed 's/../& /g')
		# shellcheck disable=SC2086
		build $map ids
		attribute /f security.capability "${cap}36 00 00 00"
		# without a map it is everybody's owner that changes, not the ids
		build --owner 0:0 ids
		attribute /f security.capability "${cap}ec 03 00 00"
		setfacl -b -k ids ids/f
		refuses "entry 'f': capabilities for the root 1004: no map names it" \
			1 --map-uid 1000:50:4 --owner 0:0 ids
	else
		left_out "no capabilities of a namespace here"
	fi
fi
# options for another kind of source do nothing, which is told; one of several is
# enough, and so is what --add brings
printf 'file f mode=600\nend\n' | "$gentar" >plain.tar
for opts in '--owner 5:6' '--map-uid 0:5:9' '--map-gid 0:5:9' -x; do
	# shellcheck disable=SC2086
	refuses 'are for folders, and no source is one (--strict)' 1 \
		--strict $opts plain.tar
done
for opts in '--platform linux/amd64' '--image x'; do
	# shellcheck disable=SC2086
	refuses 'are for container images, and no source is one (--strict)' 1 \
		--strict $opts plain.tar
done
mkimage --size $image_size --force -o image.raw --owner 5:6 plain.tar 2>err.log ||
	fail "$(cat err.log)"
grep -q '^mkimage: warning: --owner, .* for folders' err.log ||
	fail "no warning: $(cat err.log)"
build --strict --owner 5:6 --add plain.tar:/added plain.tar
has 'stat /f' 'User: +0 +Group: +0'
has 'stat /added' 'User: +5 +Group: +6'
mkdir empty
build --strict --owner 5:6 empty plain.tar
has 'stat /f' 'User: +0 +Group: +0'
refuses 'HOST:GUEST:COUNT' 2 --map-uid 1:2 d
refuses 'past the last id' 2 --map-uid 1:4294967290:10 d
for second in 10:0:1 19:50:10 5:0:6 0:0:4294967294 10:5:10; do
	refuses '--map-gid: ids that an earlier range has' 2 \
		--map-gid 10:5:10 --map-gid $second d
done
# an image in the folder it is made of is not in the next one
mkdir self
echo 1 >self/file
mkimage -q -o self/out.raw --size $image_size --owner 0:0 self
touch -d @1000000000 self self/file
mkimage --force -o self/out.raw --size $image_size self 2>err.log
grep -q "warning: entry 'out.raw' left out: it is the output$" err.log ||
	fail "$(cat err.log)"
cp self/out.raw second.raw
touch -d @1000000000 self
mkimage -q --force -o self/out.raw --size $image_size self
cmp self/out.raw second.raw || fail "the output is in the output"
touch -d @1000000000 self
refuses "entry 'out.raw' left out: it is the output (--strict)" 1 --strict \
	--force -o self/out.raw self
mkdir none
mkimage -q --owner 0:0 --map-gid 10:5:10 --map-gid 9:5:1 --map-gid 20:5:1 \
	--map-uid 10:5:10 -o ranges.cpio none || fail "ranges side by side"
refuses 'UID:GID' 2 --owner 1 d
refuses '--owner' 2 --owner root:root d

# what changes while it is read
if have_tool strace && { strace -o /dev/null true 2>/dev/null ||
	! left_out "strace may not trace"; }; then
	mkdir -p c/a
	head -c 3000000 /dev/urandom >c/a/file
	: >c/a/zzz
	# during CHANGE: mkimage while it waits before the second read
	during() {
		strace -f -o /dev/null -P c/a/file -e trace=pread64 \
			-e inject=pread64:delay_enter=1000000:when=2 \
			mkimage -o changed.raw c 2>err.log &
		sleep 0.6
		eval "$1"
		rc=0
		wait $! || rc=$?
		[ $rc -eq 1 ] && [ ! -e changed.raw ] || fail "$1: status $rc"
		grep -q "$2" err.log || fail "$1: $(cat err.log)"
	}
	during 'printf x >>c/a/file' "entry 'a/file': changed while"
	during 'rm c/a/zzz' "entry 'a/zzz': changed while"
	during ': >c/a/new' "entry 'a': changed while"
fi

# deep, and too deep
mkdir deep
(
	cd deep
	for i in $(seq 100); do
		mkdir -p d/d/d/d/d/d/d/d/d/d
		cd d/d/d/d/d/d/d/d/d/d
	done
	: >bottom
)
build deep
printf 'stat /%sbottom\n' "$(for i in $(seq 1000); do printf d/; done)" |
	debugfs -f - image.raw 2>&1 | grep -q 'Type: regular' || fail "1000 deep"

# several sources: later over earlier, of all kinds
gen <<'X'
dir etc mode=755
file etc/a text=base
file etc/b text=base
symlink lib usr/lib
dir usr/lib
file usr/lib/x text=base
end
X
cp a.tar base.tar
mkdir -p over/etc over/lib
echo folder >over/etc/b
echo folder >over/etc/c
gen <<'X'
file etc/c text=app
link etc/d etc/a
end
X
mkimage --size $image_size --force -o image.raw base.tar over a.tar 2>err.log
made base.tar over a.tar
grep -q "warning: entry 'lib', a directory, replaces a symbolic link" err.log ||
	grep -c . err.log | grep -q '^[01]$' || fail "$(cat err.log)"
has 'cat /etc/a' '^base$'
has 'cat /etc/b' '^folder$'
has 'cat /etc/c' '^app$'
has 'stat /etc/d' 'Links: 2'
gen <<'X'
dir lib
file lib/y text=1
end
X
mkimage --size $image_size --force -o image.raw base.tar a.tar 2>err.log
grep -q "warning: entry 'lib', a directory, replaces a symbolic link" err.log ||
	fail "$(cat err.log)"
refuses 'replaces a symbolic link of an earlier source (--strict)' 1 --strict \
	base.tar a.tar
gen <<'X'
file lib/y text=1
end
X
build --strict base.tar a.tar
has 'cat /usr/lib/y' '^1$'
# a hard link is to what its own source and earlier ones have
gen <<'X'
link l later
end
X
echo 1 >over/later
refuses "a.tar: entry 'l': hard link to 'later', which is not there" 1 a.tar \
	over
build over a.tar
has 'stat /l' 'Links: 2'
gen <<'X'
dir d
end
X
cat a.tar | mkimage -q --size $image_size --force -o image.raw over - base.tar
made over a.tar base.tar
has 'stat /d' 'Type: directory'

# a folder says the same of what it takes away, alone or by --add
rm -rf over2
mkdir -p over2/usr over2/lib over2/etc/a
echo file >over2/usr/lib
gen <<'X'
dir usr/lib
file usr/lib/x text=base
symlink lib usr/lib
file etc/a text=base
end
X
for s in over2 '--add over2:.'; do
	# shellcheck disable=SC2086
	mkimage --size $image_size --force -o image.raw a.tar $s 2>err.log
	# shellcheck disable=SC2086
	made a.tar $s
	for w in "usr/lib' replaces a directory and what it had" \
		"lib', a directory, replaces a symbolic link of an earlier" \
		"etc/a', a directory, replaces a file of an earlier source"; do
		grep -q "warning: entry '.*$w" err.log || fail "$w: $(cat err.log)"
	done
	[ "$(grep -c . err.log)" -eq 3 ] || fail "$(cat err.log)"
done
refuses 'of an earlier source (--strict)' 1 --strict a.tar over2
refuses "add: entry '/etc/a', a directory, replaces a file" 1 --strict a.tar \
	--add over2:/etc/a
ln over2/usr/lib over2/usr/twin
rm -rf over2/lib over2/etc
gen <<'X'
file usr/twin/x text=base
end
X
refuses "entry 'usr/twin' replaces a directory" 1 --strict a.tar over2

# how a file system of the host keeps ACLs is its own affair
if [ "$(id -u)" -eq 0 ]; then
	mkdir acls
	echo x >acls/f
	setfacl -m u:1000:r acls/f
	setfacl -d -m g:7:rx acls
	touch -d @1000000000 acls/f acls
	build --strict acls
	cp image.raw plain.raw
	if setfattr -n trusted.SGI_ACL_FILE -v 0x00000004 acls/f 2>/dev/null &&
		setfattr -n trusted.SGI_ACL_DEFAULT -v 0x00000004 acls; then
		build --strict acls
		cmp image.raw plain.raw || fail "ACLs as XFS keeps them"
	fi
fi

# what is left out
gen <<'X'
dir var/cache/apt
file var/cache/apt/x.deb text=1
file var/cache/keep text=1
file usr/a.pyc text=1
file a.pyc text=1
file usr/cache/a text=1
dir doc
file usr/doc/x text=1
end
X
build --exclude /var/cache/apt --exclude '*.pyc' --exclude ./doc/ a.tar
for n in /var/cache/apt /usr/a.pyc /a.pyc /doc; do
	debugfs -R "stat $n" image.raw 2>&1 | grep -q 'not found' ||
		fail "$n is there"
done
has 'stat /var/cache/keep' 'Type: regular'
has 'stat /usr/doc/x' 'Type: regular'
has 'stat /usr/cache/a' 'Type: regular'
build --exclude cache a.tar
debugfs -R 'ls /var' image.raw 2>&1 | grep -q cache && fail "cache is there"
debugfs -R 'ls /usr' image.raw 2>&1 | grep -q cache && fail "cache is there"
mkdir -p x/a x/b
echo 1 >x/a/f
ln x/a/f x/b/f
build --exclude a x
has 'cat /b/f' '^1$'
gen <<'X'
file a text=1
link b a
end
X
refuses "entry 'b': hard link to 'a', which --exclude leaves out" 1 \
	--exclude a a.tar
refuses 'empty pattern' 2 --exclude / a.tar

judged folder 3
judged sources 5
judged exclude 3
