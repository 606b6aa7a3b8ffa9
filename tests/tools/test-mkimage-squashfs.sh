#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# squashfs: the tree as tar extracts it, whatever way it is compressed; what the
# format cannot have is told; what was replaced is gone.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need tar unsquashfs setfattr getfattr setfacl getfacl
[ "$(id -u)" -eq 0 ] || skip "must be root to make devices"

mkdir src
cd src
for n in 0 1 4095 131071 131072 131073 1000000; do
	head -c $n /dev/urandom >size-$n
done
head -c 400000 /dev/zero >zeroes
printf data | dd of=hole bs=1 seek=5000000 conv=notrunc status=none
truncate -s 7M hole
truncate -s 30M hole-all
cp size-1000000 twice
ln size-4095 hard-1
mkdir sub deep many
ln size-4095 sub/hard-2
ln -s target short
ln -s "$(printf '%04095d' 0)" long
ln -P short hard-to-link
mknod null c 1 3
mknod big b 259 1048575
mkfifo fifo
ln fifo hard-fifo
(
	cd deep
	for i in $(seq 100); do
		mkdir "level-$i"
		cd "level-$i"
	done
	echo bottom >file
)
(
	cd many
	seq -f 'a-rather-long-name-of-a-file-that-goes-on-for-a-while-%g' 600 |
		xargs touch
)
touch "$(printf '%0255d' 0)" 'with space' "$(printf 'new\nline')" \
	"$(printf 'not-utf8-\377\376')"
chmod 4755 size-1
chmod 1777 many
chown 65536:65537 size-4095
chown 4294967294:4294967294 size-1
setfattr -n user.one -v value size-1000000
setfattr -n user.binary -v 0x0001020a0dff sub
setfattr -n trusted.t -v "$(printf '%02000d' 1)" sub
setfattr -h -n trusted.link -v l long
setfattr -n security.capability \
	-v 0x0100000200200000000000000000000000000000 size-131073
cd ..
pack() {
	tar -C src --sort=name --xattrs --xattrs-include='*' --acls --sparse \
		--numeric-owner --mtime=@1600000000 -cf "$1" .
}
pack a.tar
mkdir ref
tar -C ref --xattrs --xattrs-include='*' --acls --numeric-owner -xpf a.tar

has_squashfs() {
	grep -qw squashfs /proc/filesystems || modprobe -q squashfs
}

# same IMAGE: by the kernel, where it can, and by squashfs-tools
same() {
	if can_mount && has_squashfs; then
		mount -o loop,ro -t squashfs "$1" "$mnt"
		tree ref >want.tree
		tree "$mnt" >have.tree
		umount "$mnt"
		diff want.tree have.tree >diff.log || {
			head -20 diff.log
			fail "$1: not the tree that tar extracts"
		}
	fi
	rm -rf out
	unsquashfs -no-progress -strict-errors -d out "$1" >un.log 2>&1 ||
		fail "unsquashfs $1: $(tail -3 un.log)"
	tree ref >want.tree
	tree out >have.tree
	diff want.tree have.tree >diff.log || {
		head -20 diff.log
		fail "$1: not the tree that tar extracts, to unsquashfs"
	}
}

mkimage --strict -q -o a.squashfs a.tar
same a.squashfs
[ "$(stat -c %s a.squashfs)" -le 2700000 ] ||
	fail "contents that are there twice are stored twice"
[ $(($(stat -c %s a.squashfs) % 4096)) -eq 0 ] || fail "not whole blocks"
for c in gzip:9 xz zstd:3 lz4; do
	mkimage -q --strict -c $c --force -o b.squashfs a.tar
	unsquashfs -s b.squashfs | grep -q "^Compression ${c%:*}" ||
		fail "$c: not the compression asked for"
	rm -rf out
	unsquashfs -no-progress -strict-errors -d out b.squashfs >un.log \
		2>&1 || fail "$c: $(tail -3 un.log)"
	diff -r --no-dereference ref out >diff.log 2>&1 ||
		! grep -v 'special file\|is a fifo' diff.log ||
		fail "$c: other contents"
done

# blocks that no compressor makes smaller are not marked as compressed: a table
# of one owner has four bytes
"$gentar" >tiny.tar <<'X'
file one size=1
end
X
for c in gzip xz zstd lz4; do
	mkimage -q -c $c --force -o tiny.squashfs tiny.tar
	rm -rf out
	unsquashfs -no-progress -strict-errors -d out tiny.squashfs >un.log \
		2>&1 || fail "$c, one file: $(tail -3 un.log)"
	[ "$(stat -c %s out/one)" -eq 1 ] || fail "$c, one file: not there"
done

# in a container
mkimage -q -t squashfs -o a.qcow2 a.tar
if have_tool qemu-img; then
	qemu-img check -q a.qcow2 || fail "qemu-img check"
	qemu-img convert -O raw a.qcow2 a.raw
	cmp a.raw a.squashfs || fail "qcow2: another file system"
fi

# what is replaced is not in the image, nor does it change it
mkdir one
head -c 300000 /dev/urandom >one/secret
echo secret-in-a-fragment >one/small
cp src/size-131073 one/kept
tar -C one --mtime=@1600000000 -cf one.tar secret small kept
rm one/secret one/small
echo harmless >one/secret
echo harmless too >one/small
tar -C one --mtime=@1600000000 -rf one.tar secret small
tar -C one --mtime=@1600000000 -cf two.tar kept
tar -C one --mtime=@1600000000 -rf two.tar secret small
mkimage -q -o one.squashfs one.tar
mkimage -q -o two.squashfs two.tar
rm -rf out
unsquashfs -no-progress -d out one.squashfs >un.log 2>&1 ||
	fail "$(tail -3 un.log)"
diff -r one out || fail "not the later entries"
cmp one.squashfs two.squashfs ||
	fail "what was replaced has left something behind"

# its own options
mkdir same
head -c 300000 /dev/urandom >same/1
cp same/1 same/2
echo end >same/3
tar -C same -cf same.tar .
sized() { # OPTION...: what unsquashfs says, into stat.log; its size on output
	mkimage -q --force "$@" -o s.squashfs same.tar || fail "mkimage $*"
	unsquashfs -s s.squashfs >stat.log
	rm -rf out
	unsquashfs -no-progress -d out s.squashfs >un.log 2>&1 ||
		fail "$(tail -3 un.log)"
	diff -r same out || fail "$*: another tree"
	stat -c %s s.squashfs
}
small=$(sized)
grep -q '^Block size 131072$' stat.log || fail "$(cat stat.log)"
# (libsquashfs 1.2 loses 16 bytes for the end of each file then)
large=$(ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
	export ASAN_OPTIONS
	sized --fs-option deduplicate=false)
[ "$large" -gt $((small + 250000)) ] || fail "same contents kept once: $large"
sized --fs-option block-size=1M --fs-option fragments=false >/dev/null
grep -q '^Block size 1048576$' stat.log || fail "$(cat stat.log)"
grep -q '^Number of fragments 0$' stat.log || fail "$(cat stat.log)"
sized --fs-option block_size=4k,fragments=true >/dev/null
grep -q '^Block size 4096$' stat.log || fail "$(cat stat.log)"
grep -q '^Number of fragments 1$' stat.log || fail "$(cat stat.log)"
rm s.squashfs

# what squashfs cannot have
setfacl -m u:4321:rw src/size-1
"$gentar" >odd.tar <<'X'
pax mtime -5
file early size=1
pax mtime 1600000000.5
file fraction size=1
end
X
pack acl.tar
mkimage -o c.squashfs acl.tar >out.log 2>err.log
grep -q "entry 'size-1': attribute 'system.posix_acl_access' left out" err.log ||
	fail "no word of the ACL: $(cat err.log)"
[ "$(grep -c . err.log)" -eq 1 ] || fail "more warnings: $(cat err.log)"
mkimage -q --force -o c.squashfs odd.tar
mkimage --force -o c.squashfs odd.tar 2>err.log >out.log
grep -q '1 times before 1970' err.log || fail "no word of the time"
grep -q '1 times cut to whole seconds' err.log || fail "no word of the fraction"
rm c.squashfs
refuses_as() {
	want=$1
	shift
	rc=0
	mkimage "$@" -o c.squashfs >out.log 2>err.log || rc=$?
	[ $rc -ne 0 ] && [ ! -e c.squashfs ] || fail "not refused: $*"
	grep -qF -- "$want" err.log || fail "no '$want': $(cat err.log)"
}
refuses_as 'left out: squashfs has' --strict acl.tar
refuses_as 'before 1970' --strict odd.tar
refuses_as 'has the size of its content' --size 10G a.tar
refuses_as '--label' --label x a.tar
for bad in block-size=3k block-size=2M block-size=2k block-size casefold; do
	refuses_as '--fs-option: ' --fs-option $bad a.tar
done
refuses_as "compression by 'bzip2'" -c bzip2 a.tar
refuses_as 'level 10 of gzip' -c gzip:10 a.tar
head -c 900000 a.tar >cut.tar
refuses_as 'mkimage: ' cut.tar
[ -z "$(find . -name '.vmmkit*')" ] || fail "temporary files are left"

# as many owners as there are in the format, and one more
owners() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++)
		print "file f" i " size=1 uid=" i " gid=0"; print "end" }' |
		"$gentar"
}
owners 65537 >owners.tar
refuses_as 'owners and groups' owners.tar

# so many files that most are remembered by their fragment alone, with links to
# them; then the same, and a few of them replaced
{
	echo 'repeat 2500'
	echo 'file d/f# text=number-#'
	echo 'file d/blocks size=300000'
	echo 'file d/hole zeroes=500000'
	echo 'link d/link d/f8'
	echo 'repeat 2500'
	echo 'file e/g# text=other-#'
} >many.txt
for more in '' 'file d/f7 text=again' 'file d/blocks size=200000'; do
	echo "$more" >>many.txt
	{
		grep . many.txt
		echo end
	} | "$gentar" >many.tar
	rm -rf many out many.squashfs
	mkdir many
	tar -C many --no-same-owner -xf many.tar
	mkimage -q --fs squashfs many.tar -o many.squashfs || fail "many, $more"
	unsquashfs -q -n -d out many.squashfs >/dev/null || fail "many, $more"
	diff -r many out >diff.log || fail "many, $more: $(head diff.log)"
	[ out/d/link -ef out/d/f8 ] || fail "many, $more: no link"
done

# where the ends of files that can be found again are too many, and forgotten:
# before and after it is as it was
{
	echo 'repeat 266000'
	echo 'file d/f# text=number-#,'
	echo 'file d/twin text=number-7,'
	echo end
} | "$gentar" | mkimage -q --fs squashfs --force -o many.squashfs - ||
	fail "very many"
{
	seq 0 60000 240000
	seq 262138 262148
	seq 262500 1000 265500
	echo 265999
} >numbers
# shellcheck disable=SC2046
unsquashfs -cat many.squashfs $(sed 's,^,d/f,' numbers) d/twin >cat.log ||
	fail "very many: not read"
{
	sed 's/.*/number-&,/' numbers
	echo number-7,
} | tr -d '\n' | cmp - cat.log || fail "very many: other contents"
rm many.squashfs cat.log
