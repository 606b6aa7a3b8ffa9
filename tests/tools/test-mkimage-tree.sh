#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Everything a file can be arrives in the image as tar extracts it.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck mke2fs tar setfattr getfattr setfacl getfacl
can_mount || skip "a loop mount is needed"

mkdir -p src/etc
cd src
# tar writes the names of accounts into ACLs: the image must have them
cp /etc/passwd /etc/group etc
for n in 0 1 100 4095 4096 4097 100000; do
	head -c $n /dev/urandom >size-$n
done
# holes: in front, inside, behind, nothing but, not on a block's edge
for at in 0 1000000 123456; do
	printf data | dd of=hole-$at bs=1 seek=$at conv=notrunc status=none
done
truncate -s 3M hole-0 hole-behind
truncate -s 300M hole-all
dd if=/dev/urandom of=hole-inside bs=64k count=1 status=none
dd if=/dev/urandom of=hole-inside bs=64k seek=99 count=3 status=none
head -c 300000 /dev/zero >zeroes

ln -s target link-short
ln -s "$(printf '%059d' 0)" link-59
ln -s "$(printf '%060d' 0)" link-60
ln -s "$(printf '%04095d' 0)" link-4095
ln size-100 hard-1
mkdir sub
ln size-100 sub/hard-2
ln -P link-short hard-to-link
mknod null c 1 3
mknod big b 259 1048575
mknod wide c 4095 256
mkfifo fifo

mkdir -p deep
(
	cd deep
	for i in $(seq 200); do
		mkdir "level-$i"
		cd "level-$i"
	done
	echo bottom >file
)
mkdir many
(
	cd many
	# more than a block of names; some longer than the hash takes at once
	seq -f 'a-rather-long-name-of-a-file-that-goes-on-for-a-while-%g' 3000 |
		xargs touch
)
touch "$(printf '%0255d' 0)" 'with space' 'back\slash' "$(printf 'new\nline')" \
	"$(printf 'not-utf8-\377\376')" "$(printf 'e\314\201')" \
	"$(printf '\303\251')"
touch "many/$(printf '\303\251t\303\251')"

chmod 4755 size-1
chmod 2755 sub
chmod 1777 many
chmod 0 size-0
chown 65536:65537 size-4095
chown 4294967294:4294967294 size-4096
chown -h 1000:1000 link-short

setfattr -n user.one -v value size-100
setfattr -n user.empty size-1
setfattr -n user.binary -v 0x0001020a0dff size-4097
setfattr -n trusted.t -v "$(printf '%02000d' 1)" size-4097
setfattr -h -n trusted.link -v l link-60
setfattr -n security.capability \
	-v 0x0100000200200000000000000000000000000000 size-100000
setfattr -n user.label -v system_u:object_r:bin_t:s0 size-100000
for i in $(seq 40); do
	setfattr -n "user.attribute-$i" -v "$i$i$i" sub
done
setfacl -m u:1000:rw,g:4:r,m:rwx size-4095
setfacl -d -m u:1000:rwx,g:70000:rx many
setfacl -m o::---,g::r size-4096

touch -d '2040-01-01 00:00:00.123456789 UTC' size-100
touch -d '1960-06-01 12:00:00 UTC' size-1
touch -d '2446-05-10 22:38:55.999999999 UTC' size-4095
touch -d '1970-01-01 00:00:00 UTC' size-4096
touch -h -d '2001-02-03 04:05:06.7 UTC' link-60
touch -d '2001-02-03 04:05:06.000000001 UTC' sub
touch -d '1999-12-31 23:59:59.5 UTC' .
cd ..

for format in pax gnu; do
	# GNU's own format has no attributes: for the other half of the names
	if [ $format = pax ]; then
		tar -C src --format=pax --xattrs --xattrs-include='*' --acls \
			--sparse --numeric-owner -cf a.tar .
	else
		tar -C src --format=gnu --sparse --numeric-owner -cf a.tar .
	fi
	build a.tar
	mkdir ref-$format
	tar -C ref-$format --xattrs --xattrs-include='*' --acls \
		--numeric-owner -xpf a.tar
	same_tree ref-$format
	# holes stay holes
	mount -o loop,ro image.raw "$mnt"
	[ "$(stat -c %b "$mnt/hole-all")" -eq 0 ] || fail "hole-all has blocks"
	[ "$(stat -c %b "$mnt/zeroes")" -eq 0 ] || fail "zeroes has blocks"
	[ "$(stat -c %b "$mnt/hole-behind")" -eq 0 ] || fail "hole-behind"
	[ "$(stat -c %b "$mnt/hole-inside")" -le 520 ] || fail "hole-inside"
	umount "$mnt"
done
build --size 200M a.tar
build --size +10M --journal-size 0 a.tar
# and nothing got lost between the source and tar
tar -C src --format=pax --xattrs --xattrs-include='*' --acls --sparse \
	--numeric-owner -cf - . |
	tee a.tar | mkimage -q --force -o image.raw -
made a.tar
same_tree src
has stats 'Filesystem state: +clean'

# the same through qcow2
mkimage -q --size +10M -o image.qcow2 a.tar
mkimage -q --force --size +10M -o image.raw a.tar
qcow-tool convert -O raw image.qcow2 back.raw 2>/dev/null ||
	{ need qemu-img; qemu-img convert -O raw image.qcow2 back.raw; }
cmp image.raw back.raw || fail "qcow2 and raw differ"

judged times 1
