#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Real root file systems to ext4, and what else there is to do with the image.
#
#	make check-rootfs [ROOTFS='one.tar two.tar.zst']
#
# Without ROOTFS a Debian minbase and one with a desktop, made by mmdebstrap once and
# then kept. Each is compared with what GNU tar makes of it on an ext4 of mke2fs,
# booted and written to; and once more as the lowest layer of a container image,
# with the layers applied here by tar and rm.
archives=
for a; do
	archives="$archives $(realpath "$a")" || exit 1
done
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs dumpe2fs mke2fs resize2fs tune2fs tar getfattr getfacl \
	setfattr setfacl sha256sum jq cpio
testbed=$top_srcdir/tests/lib/testbed
kernel=$("$testbed" kernel)
can_mount || skip "a loop mount is needed"

say() {
	printf '%-12s %s\n' "$name" "$*"
}

root_meta() {
	stat -c '%a %u %g %.9Y' "$1"
}

# same FILE: mounted, it is the reference
same() {
	[ "$1" = image.raw ] || cp --sparse=always "$1" image.raw
	same_tree "$ref"
	mount -o loop,ro image.raw "$mnt"
	sync -f "$ref" # or not all of a map is counted
	tree "$ref" "$mnt" >more.log
	[ ! -s more.log ] || fail "$name: fewer holes: $(head more.log)"
	if [ -n "$has_root" ] &&
		[ "$(root_meta "$ref")" != "$(root_meta "$mnt")" ]; then
		fail "$name: the root's own mode, owner or time"
	fi
	umount "$mnt"
}

# what a guest does in its first days
use() {
	mount -o loop image.raw "$mnt"
	(
		cd "$mnt"
		mkdir -p new/deep/er
		seq -f 'new/name-of-a-file-%g' 3000 | xargs touch
		head -c 20000000 /dev/urandom >new/data
		cp -a etc new/etc
		mv new/etc new/moved
		find usr -type f -name '*a*' -size -20k | head -300 |
			while read -r f; do
				echo more >>"$f"
			done
		find usr -type f | sort | head -400 | xargs -d '\n' rm
		truncate -s 1000 new/data
		setfattr -n user.used -v yes new/data
		setfacl -m u:7:rwx new/data
		ln new/data new/again
		chown -R 5:6 new/deep
		chmod 700 etc
	)
	umount "$mnt"
	clean image.raw
	has 'stat /new/again' 'Links: 2'
	has 'cat /new/moved/passwd' '^root:'
}

# the machine goes away with metadata in the journal alone
replay() {
	cp --sparse=always image.raw crash.raw
	mount -o loop crash.raw "$mnt"
	mkdir "$mnt/journaled"
	seq 100000 >"$mnt/journaled/file"
	seq -f "$mnt/journaled/%g" 500 | xargs touch
	sync "$mnt/journaled/file" "$mnt/journaled"
	cp --sparse=always crash.raw crashed.raw
	umount "$mnt"
	clean crash.raw
	rm crash.raw
	super crashed.raw 'Filesystem features' | grep -q needs_recovery ||
		fail "$name: nothing to recover"
	debugfs -R 'stat /journaled' crashed.raw 2>&1 |
		grep -q 'not found' || fail "$name: it is there before the replay"
	e2fsck -fy crashed.raw >fsck.log 2>&1 || [ $? -le 1 ] || {
		cat fsck.log
		fail "$name: journal replay"
	}
	grep -q 'recovering journal' fsck.log || fail "$name: $(cat fsck.log)"
	clean crashed.raw
	debugfs -R 'cat /journaled/file' crashed.raw 2>/dev/null >file
	seq 100000 | cmp - file || fail "$name: contents after the replay"
	debugfs -R 'stat /journaled/500' crashed.raw 2>/dev/null |
		grep -q 'Type: regular' || fail "$name: names after the replay"
	rm crashed.raw
}

# A guest of vmm run boots from it and writes to it: with the root file system's own
# init where that starts the agent, else with vmm-init; with its own kernel and
# initrd where it has them. The disk is a qcow2 image with room to grow.
boots() {
	set -- "$1" --agent --label root --fstab --hostname checked
	rm -rf boot
	mkdir boot
	if debugfs -R 'ls -p /boot' first.raw 2>/dev/null |
		grep -q '/vmlinuz-'; then
		set -- "$@" --extract-boot boot
	else
		cp "$kernel" boot/vmlinuz
		"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" \
			--init "$(command -v vmm-init)" -o boot/initrd
	fi
	mkimage --json "$@" -o image.qcow2 >report.json ||
		fail "$name: image to boot"
	truncate -s +1G image.qcow2
	"$testbed" run --timeout 280 --mem 2200 --disk image.qcow2 \
		--add "$(command -v vmm):/bin/vmm" \
		--add boot/vmlinuz:/vm/vmlinuz --add boot/initrd:/vm/initrd \
		-- "$top_srcdir/tests/e2e/rootfs-guest.sh" >console 2>&1 || {
		cat console
		fail "$name: no guest that boots, writes and ends"
	}
	sed -n 's/^guest: //p' console | while read -r line; do
		say "guest: $line"
	done
	grep -qx 'guest: root ext4 rw' console || fail "$name: the guest's root"
	grep -qx 'guest: name checked' console || fail "$name: the guest's name"
	init=$(sed -n 's/^guest: init //p' console)
	case "$(jq -r .agent report.json) $init" in
	'systemd systemd' | 'vmm-init vmm-init' | 'openrc init') ;;
	*) fail "$name: process 1 is '$init': $(cat report.json)" ;;
	esac
	qcow-tool check -q image.qcow2 >qcow.log 2>&1 ||
		fail "$name: $(cat qcow.log)"
	qcow-tool convert -O raw image.qcow2 image.raw
	rm image.qcow2
	clean image.raw
	debugfs -R 'cat /written/linked' image.raw 2>/dev/null >file
	seq 100000 | cmp - file || fail "$name: not what the guest wrote"
	has 'stat /written/linked' 'Links: 2'
	has 'stat /written/bin/ls' 'Type: regular'
}

# check SOURCE: against the reference
check() {
	start=$(date +%s%N)
	mkimage --json -o first.raw "$1" >report.json 2>err.log ||
		fail "$name: $(cat err.log)"
	took=$((($(date +%s%N) - start) / 1000000))
	[ ! -s err.log ] || say "$(cat err.log)"
	clean first.raw
	say "$(jq .entries report.json) entries, $(($(jq .used report.json) >> \
		20)) MiB used, $took ms; e2fsck: clean"
	same first.raw
	say 'the same tree as by tar'

	blocks=$(super first.raw 'Block count')
	cp --sparse=always first.raw image.raw
	resize2fs -f image.raw $((blocks * 100)) >resize.log 2>&1 ||
		fail "$name: $(cat resize.log)"
	[ "$(super image.raw 'Block count')" -ge $((blocks * 99)) ] ||
		fail "$name: it did not grow"
	clean image.raw
	resize2fs -fM image.raw >resize.log 2>&1 ||
		fail "$name: $(cat resize.log)"
	clean image.raw
	small=$(super image.raw 'Block count')
	[ "$small" -lt "$blocks" ] || fail "$name: it did not shrink"
	same image.raw
	say "$((blocks >> 8)) MiB, grown to $((blocks * 100 >> 8)), shrunk to \
$((small >> 8)) MiB; the same tree"

	cp --sparse=always first.raw image.raw
	uuid=01234567-89ab-cdef-0123-456789abcdef
	tune2fs -U $uuid image.raw >tune.log 2>&1 ||
		fail "$name: $(cat tune.log)"
	clean image.raw
	[ "$(super image.raw 'Filesystem UUID')" = $uuid ] || fail "$name: UUID"
	same image.raw
	say 'another UUID; the same tree'

	cp --sparse=always first.raw image.raw
	replay
	say 'a journal replayed'
	use
	say 'used by the kernel; e2fsck: clean'

	mkimage -q --size exact -o exact.raw "$1" || fail "$name: exact"
	clean exact.raw
	same exact.raw
	say "exact: $(($(stat -c %s exact.raw) >> 20)) MiB; the same tree"
	boots "$1"
	say "booted by $init, written to and clean"
	rm -f first.raw image.raw exact.raw
}

# --- container images -----------------------------------------------------------

blob() {
	s=$(sha256sum <"$1" | cut -d ' ' -f 1)
	mv "$1" "layout/blobs/sha256/$s"
	echo "sha256:$s"
}

# The upper layer, in $layer, and what it does to $ref. The whiteouts
# are its alone; every directory whose contents they change is in it as well.
make_layer() {
	tree=$ref layer=$work/ref.mnt/layer
	rm -rf "$layer"
	mkdir -p "$layer/etc" "$layer/usr/share" "$layer/var/lib/dpkg/info" \
		"$layer/usr/bin" "$layer/srv" "$layer/opt/new"
	: >"$layer/usr/share/.wh.doc"
	rm -rf "$tree/usr/share/doc"
	# opaque: one file of the lower layer is replaced, the others go
	: >"$layer/var/lib/dpkg/info/.wh..wh..opq"
	echo only >"$layer/var/lib/dpkg/info/base-files.list"
	find "$tree/var/lib/dpkg/info" -mindepth 1 -delete
	# a file for a file, a folder for a file, a link for a folder
	{
		cat "$tree/etc/passwd"
		echo 'new:x:1000:1000::/:/bin/sh'
	} >"$layer/etc/passwd"
	chmod 600 "$layer/etc/passwd"
	setfattr -n user.layer -v two "$layer/etc/passwd"
	setfacl -m u:33:r "$layer/etc/passwd"
	mkdir "$layer/etc/debian_version"
	echo inside >"$layer/etc/debian_version/file"
	rm -f "$tree/etc/debian_version"
	ln -s ../bin "$layer/usr/games"
	rm -rf "$tree/usr/games"
	# one name of two, and one that has none
	: >"$layer/usr/bin/.wh.perl"
	rm -f "$tree/usr/bin/perl"
	: >"$layer/srv/.wh.never-there"
	# away, and there again
	: >"$layer/etc/.wh.apt"
	mkdir "$layer/etc/apt"
	echo again >"$layer/etc/apt/sources.list"
	rm -rf "$tree/etc/apt"
	ln "$layer/etc/apt/sources.list" "$layer/opt/new/linked"
	truncate -s 5M "$layer/opt/new/hole"
	mknod "$layer/opt/new/null" c 1 3
	setcap_by_hand "$layer/usr/bin/capable"
	find "$layer" -exec touch -h -d '2021-02-03 04:05:06.789 UTC' {} +
	tar -C "$layer" --format=pax --xattrs --xattrs-include='*' --acls \
		--sparse --numeric-owner -cf layer.tar .
	extract layer.tar --exclude='.wh.*'
}

setcap_by_hand() {
	echo program >"$1"
	chmod 755 "$1"
	setfattr -n security.capability \
		-v 0x0100000200200000000000000000000000000000 "$1"
}

check_container() {
	case $1 in
	*.tar) ;;
	*)
		say 'not as a layer: it is compressed'
		return 0
		;;
	esac
	new_ref
	extract "$1"
	has_root=y
	make_layer
	rm -rf layout
	mkdir -p layout/blobs/sha256
	echo '{"imageLayoutVersion": "1.0.0"}' >layout/oci-layout
	ln "$1" base.tar 2>/dev/null || cp "$1" base.tar
	lower_size=$(stat -c %s base.tar)
	lower=$(blob base.tar)
	upper_diff=sha256:$(sha256sum <layer.tar | cut -d ' ' -f 1)
	gzip -nc layer.tar >layer.tar.gz
	upper_size=$(stat -c %s layer.tar.gz)
	upper=$(blob layer.tar.gz)
	printf '{"os": "linux", "architecture": "amd64", "config": {},
		"rootfs": {"type": "layers", "diff_ids": ["%s", "%s"]}}' \
		"$lower" "$upper_diff" >config
	config_size=$(stat -c %s config)
	type=application/vnd.oci.image
	printf '{"schemaVersion": 2, "config": {"digest": "%s", "size": %d,
		"mediaType": "'$type'.config.v1+json"}, "layers": [
		{"digest": "%s", "size": %d, "mediaType": "'$type'.layer.v1.tar"},
		{"digest": "%s", "size": %d,
		"mediaType": "'$type'.layer.v1.tar+gzip"}]}' \
		"$(blob config)" "$config_size" "$lower" "$lower_size" \
		"$upper" "$upper_size" >manifest
	manifest_size=$(stat -c %s manifest)
	printf '{"schemaVersion": 2, "manifests": [{"digest": "%s", "size": %d,
		"mediaType": "'$type'.manifest.v1+json"}]}' \
		"$(blob manifest)" "$manifest_size" >layout/index.json
	check layout
}

if [ -z "$archives" ]; then
	minbase
	archives=$rootfs
	debian_rootfs desktop --variant=important \
		--include=xfce4,firefox-esr || skip "no desktop"
	archives="$archives $rootfs"
fi
for a in $archives; do
	name=${a##*/}
	name=${name%.tar*}
	has_root=
	! tar -tf "$a" | grep -qxE '\.?/' || has_root=y
	new_ref
	extract "$a"
	check "$a"
	name=$name+oci
	check_container "$a"
done
echo "all the same"
