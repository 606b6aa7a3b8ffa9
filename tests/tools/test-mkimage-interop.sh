#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Container images that other programs made (umoci, skopeo, buildah) are read as
# umoci unpacks them, and as skopeo describes them; however skopeo copies an image,
# mkimage makes the same of it.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need umoci skopeo buildah jq e2fsck setfattr
[ "$(id -u)" -eq 0 ] || skip "needs root"
can_mount || skip "a loop mount is needed"
image_size=64M

quiet() {
	"$@" >tool.log 2>&1 || {
		cat tool.log
		fail "$*"
	}
}
# layer IMAGE CHANGE: one more layer, from what CHANGE does to the file system
layer() {
	rm -rf bundle
	quiet umoci unpack --image "$1" bundle
	(cd bundle/rootfs && "$2")
	quiet umoci repack --image "$1" bundle
}
# agrees SOURCE IMAGE [OPTION]...: the tree is as umoci unpacks it
agrees() {
	source=$1 image=$2
	shift 2
	rm -rf ref
	quiet umoci unpack --image "$image" ref
	build "$@" "$source"
	same_tree "$PWD/ref/rootfs"
}

# --- umoci: links, attributes, whiteouts of files and folders, other types ------
first() {
	mkdir -p etc usr/bin opaque/sub gone/deep was-dir kept
	echo a >etc/a
	ln etc/a etc/hard
	ln -s ../etc usr/link
	setfattr -n user.note -v "$(printf 'a\nb')" etc/a
	echo low >opaque/low
	echo low >opaque/sub/low
	echo x >gone/deep/x
	echo x >was-dir/x
	echo file >was-file
	seq 20000 >usr/numbers
	truncate -s 3M usr/hole
	mknod kept/null c 1 3
	mkfifo kept/pipe
	chmod 4755 usr/numbers
	chown 1000:70000 kept
	touch -d '2001-02-03 04:05:06.789 UTC' etc/a usr/numbers kept
}
second() {
	rm -r gone was-dir was-file
	echo now-a-file >was-dir
	mkdir was-file
	echo b >was-file/b
	rm etc/hard
	echo more >>usr/numbers
	mkdir -p new/.hidden
	chmod 700 kept
}
third() {
	mkdir gone
	echo back >gone/again
	rm -r new
	ln usr/numbers usr/numbers-too
}
quiet umoci init --layout lay
quiet umoci new --image lay:x
layer lay:x first
agrees lay lay:x
layer lay:x second
agrees lay lay:x
layer lay:x third
agrees lay lay:x
# an opaque folder, from a program that writes that form
mkdir upper
echo up >upper/up
quiet umoci insert --opaque --image lay:x upper /opaque
agrees lay lay:x
has 'stat /opaque/low' 'File not found'
has 'cat /opaque/up' '^up$'
[ "$(jq '.layers | length' lay/blobs/sha256/"$(jq -r '.manifests[0].digest' \
	lay/index.json | cut -d : -f 2)")" = 4 ] || fail "not four layers"

# --- what it is to run: skopeo's words ------------------------------------------
quiet umoci config --image lay:x --config.entrypoint /bin/run \
	--config.entrypoint 'two  words' --config.cmd=-c --config.cmd '$x' \
	--config.env A=b --config.env 'C=d e' --config.user 1:2 \
	--config.workingdir /srv --config.stopsignal SIGQUIT
skopeo inspect --config --raw oci:lay:x >config.json
jq -r '.config | (.Entrypoint[] | "entrypoint " + .), (.Cmd[] | "cmd " + .),
	(.Env[] | "env " + .), "user " + .User, "directory " + .WorkingDir,
	"stop-signal " + .StopSignal' config.json >want
build lay
debugfs -R 'cat /etc/vmm/init.conf' image.raw 2>/dev/null | grep -v '^#' >conf
diff want conf || fail "init.conf"
grep -q '^entrypoint two  words$' conf || fail "$(cat conf)"

# --- skopeo: the same image in other forms ----------------------------------------
mv image.raw first.raw
copied() { # WHAT SOURCE
	build "$2"
	cmp image.raw first.raw || fail "another image from $1"
}
copy() {
	quiet skopeo copy -q --insecure-policy "$@"
}
copy oci:lay:x oci-archive:x.oci.tar:x
copied oci-archive x.oci.tar
copy oci:lay:x docker-archive:x.docker.tar:name:tag
copied docker-archive x.docker.tar
gzip -k x.docker.tar
copied "a compressed docker-archive" x.docker.tar.gz
build - <x.docker.tar
cmp image.raw first.raw || fail "another image from a pipe"
copy --dest-compress --dest-compress-format zstd docker-archive:x.docker.tar \
	oci:zst:x
grep -rlq 'tar+zstd' zst/blobs || fail "no zstd layer from skopeo"
copied "zstd layers" zst
copy --dest-oci-accept-uncompressed-layers docker-archive:x.docker.tar oci:plain:x
copied "plain layers" plain
# several images in one layout
copy oci:lay:x oci:lay:y
quiet umoci config --image lay:y --config.user 7
refuses 'several images' 1 lay
build --image y lay
has 'cat /etc/vmm/init.conf' '^user 7$'

# --- buildah, and an index for several platforms -----------------------------------
bah() {
	buildah --root "$work/br" --runroot "$work/brr" --storage-driver vfs "$@" \
		2>tool.log || {
		cat tool.log >&2
		fail "buildah $*"
	}
}
for arch in amd64 arm64; do
	c=$(bah from scratch)
	mkdir -p tree/bin
	echo $arch >tree/bin/arch
	bah copy -q "$c" tree / >/dev/null
	bah config --arch $arch --os linux --cmd "run $arch" --user 5:6 \
		--env "ARCH=$arch" "$c" >/dev/null
	bah commit -q "$c" base-$arch >/dev/null
	# another layer on top
	c=$(bah from localhost/base-$arch)
	echo top >top
	bah copy -q "$c" top /bin/top >/dev/null
	root=$(bah mount "$c")
	echo "$arch, later" >"$root/bin/arch"
	mkdir "$root/empty"
	bah commit -q "$c" $arch >/dev/null
	bah push -q $arch oci:bah-$arch:latest >/dev/null
done
quiet umoci unpack --image bah-amd64:latest bah
# (without what init.conf is in)
build --remove /etc bah-amd64
same_tree "$PWD/bah/rootfs"
bah manifest create many >/dev/null
bah manifest add many localhost/amd64 >/dev/null
bah manifest add --arch arm64 many localhost/arm64 >/dev/null
bah manifest push --all many oci:many:latest >/dev/null 2>&1
build many
has 'cat /bin/arch' '^amd64, later$'
has 'cat /etc/vmm/init.conf' '^env ARCH=amd64$'
build --platform linux/arm64 many
has 'cat /bin/arch' '^arm64, later$'
has 'cat /etc/vmm/init.conf' '^user 5:6$'
refuses 'no image for linux/s390x' 1 --platform linux/s390x many
