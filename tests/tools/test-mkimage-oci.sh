#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Container images: layouts and archives of docker save, layers and whiteouts,
# platforms, digests, and what is kept of the configuration.
# Each case, and the names that stand for it in "layers and whiteouts":
#
#	.wh.x is about lower layers alone	gone, linked
#	.wh.x, then x in the same layer		comes-back, half
#	x, then .wh.x in the same layer		back-first, half-late
#	.wh..wh.opq first, last, in between	late-opaque, opaque
#	.wh..wh.opq spares what its layer has	opaque/before, after, sub/upper
#	.wh..wh.opq in a new directory		new
#	.wh..wh.plnk, .aufs, .orph: left out	(by their names)
#	a whiteout of what is not there		never-was, no-such-dir
#	a directory becomes a link, and back	turned, was-link
#	through a link of a lower layer		usr/lib/through
#	hard links over layers			linked-2, upper-link
#	an index for many platforms		platforms
#	layers in gzip, zstd, plain		layers
#	digests and diff_ids			digests
#	docker save, up to 24 and from 25 on	docker save
#	docker export				docker export
#	as other programs write and read it	test-mkimage-interop.sh
. "$top_srcdir/tests/tools/mkimage-functions.sh"
. "$top_srcdir/tests/tools/mkimage-oci.sh"
image_size=+3M # there is much to compare
need e2fsck debugfs tar gzip zstd sha256sum sha512sum cpio unsquashfs

# same_each: the layout as a folder, an archive, compressed, from a pipe
same_each() {
	build l
	cp image.raw first.raw
	tar -C l -cf l.tar .
	build l.tar
	cmp image.raw first.raw || fail "archive: another image"
	tar -C l -czf l.tar.gz oci-layout index.json blobs
	build l.tar.gz
	cmp image.raw first.raw || fail "compressed archive: another image"
	mkimage -q --size $image_size --force -o image.raw - <l.tar
	cmp image.raw first.raw || fail "standard input: another image"
	mkimage -q --size $image_size --force -o image.raw - <l.tar.gz
	cmp image.raw first.raw || fail "compressed, from a file: another"
	tar -C l -c . | cat | mkimage -q --size $image_size --force -o image.raw -
	cmp image.raw first.raw || fail "pipe: another image"
}

# --- layers and whiteouts, one of each line of the specification ------------
start
layer gzip <<'X'
dir a
file a/lower text=1
file a/both text=lower
file gone text=1
dir gone-dir
file gone-dir/x text=1
file comes-back text=old
file back-first text=old
dir opaque
file opaque/lower text=1
dir opaque/sub
file opaque/sub/lower text=1
dir late-opaque
file late-opaque/lower text=1
dir half
file half/lower text=1
dir half-late
file half-late/lower text=1
dir turned
file turned/in text=1
symlink was-link a
dir usr/lib
symlink lib /usr/lib
file linked text=linked
link linked-2 linked
file plain text=1
X
layer zstd <<'X'
file a/both text=upper
file .wh.gone
file .wh.gone-dir
file .wh.comes-back
file comes-back text=new
file back-first text=new
file .wh.back-first
file opaque/before text=1
dir opaque/sub
file opaque/sub/upper text=1
file opaque/.wh..wh..opq
file opaque/after text=1
file late-opaque/.wh..wh..opq
dir late-opaque mode=700
file late-opaque/upper text=1
dir new
file new/.wh..wh..opq
file new/x text=1
file .wh.half
file half/upper text=1
file half-late/upper text=1
file .wh.half-late
file .wh.never-was
file no-such-dir/.wh.x
file .wh..wh.plnk
file .wh..wh..aufs text=x
dir .wh..wh.orph
file .wh..wh.orph/x text=1
symlink turned a
dir was-link
file was-link/in text=1
file lib/through text=1
file .wh.linked
link upper-link plain
X
layer <<'X'
file last text=1
link last-link linked-2
end
X
finish
same_each
has 'cat /a/lower' '^1$'
has 'cat /a/both' '^upper$'
absent /gone /gone-dir /.wh.gone /.wh.never-was /no-such-dir /.wh..wh.plnk \
	/.wh..wh..aufs /.wh..wh.orph
has 'cat /comes-back' '^new$'
has 'cat /back-first' '^new$'
absent /opaque/lower /opaque/sub/lower /opaque/.wh..wh..opq
has 'cat /opaque/before' '^1$'
has 'cat /opaque/after' '^1$'
has 'cat /opaque/sub/upper' '^1$'
absent /late-opaque/lower
has 'cat /late-opaque/upper' '^1$'
has 'stat /late-opaque' 'Mode: +0700'
has 'cat /new/x' '^1$'
for d in half half-late; do
	absent /$d/lower
	has "cat /$d/upper" '^1$'
	has "stat /$d" 'Mode: +0755'
done
has 'stat /turned' 'Type: symlink'
has 'stat /was-link' 'Type: directory'
has 'cat /was-link/in' '^1$'
has 'cat /usr/lib/through' '^1$'
absent /linked
has 'cat /linked-2' '^linked$'
has 'stat /last-link' 'Links: 2'
has 'stat /upper-link' 'Links: 2'
absent /etc/vmm/init.conf
# whatever it is written as
mkdir dump
debugfs -R 'rdump / dump' image.raw 2>/dev/null
rm -rf dump/lost+found
for out in x.cpio x.squashfs; do
	mkimage -q --force -o $out l
	rm -rf out
	case $out in
	*cpio) (mkdir out && cd out && cpio -idm --quiet <../$out) ;;
	*) unsquashfs -q -n -d out $out >un.log 2>&1 ;;
	esac
	diff -r --no-dereference dump out || fail "$out: another tree"
done

# a whiteout that is no name, or is a directory
for bad in .wh. .wh... .wh..; do
	start
	layer <<X
file d/$bad
X
	finish
	refuses "entry 'd/$bad': whiteout of something" 1 l
done
start
layer <<'X'
file .wh.x/y text=1
X
finish
refuses "a whiteout is not a directory" 1 l
# in an archive that is no layer it is a name like any other
printf 'file .wh.x text=1\nend\n' | "$gentar" >a.tar
build a.tar
has 'cat /.wh.x' '^1$'

# --- what it runs ---------------------------------------------------------
start
layer <<'X'
file x text=1
end
X
index "$(manifest amd64 '"Entrypoint": ["/bin/run", "a b\\c\nd"],
	"Cmd": ["--x"], "Env": ["A=1", "B=ü"], "User": "www:www",
	"WorkingDir": "/srv", "StopSignal": "SIGQUIT"')"
cp index.json l/
build l
debugfs -R 'cat /etc/vmm/init.conf' image.raw 2>/dev/null | grep -v '^#' >conf
cat >want <<'X'
entrypoint /bin/run
entrypoint a b\x5cc\x0ad
cmd --x
env A=1
env B=ü
user www:www
directory /srv
stop-signal SIGQUIT
X
cmp conf want || fail "init.conf: $(cat conf)"

# --- platforms, nested indexes, names ------------------------------------
start
layer <<'X'
file arm text=arm
end
X
arm=$(manifest arm64 '' '"platform": {"os": "linux", "architecture": "arm64"}')
: >layers
: >diffs
layer <<'X'
file amd text=amd
end
X
amd=$(manifest amd64 '' '"platform": {"os": "linux", "architecture": "amd64"}')
echo '{}' >note
note=$(desc note manifest '"platform": {"os": "unknown",
	"architecture": "unknown"}')
index "$arm" "$amd" "$note"
inner=$(desc index.json index '"annotations":
	{"org.opencontainers.image.ref.name": "one"}')
index "$inner"
cp index.json l/
same_each
has 'cat /amd' '^amd$'
build --platform linux/arm64 l
has 'cat /arm' '^arm$'
build --platform linux/arm64/v8 l
build --image one l
has 'cat /amd' '^amd$'
refuses 'no image for linux/s390x; there is one for linux/arm64, linux/amd64' \
	1 --platform linux/s390x l
refuses 'no image of that name; there is one' 1 --image two l
refuses '--platform' 2 --platform amd64 l
# a variant counts where one is asked for
# variant ARCH V [MORE]: prints the descriptor of an image with a file called vV,
# with MORE in its platform
variant() {
	: >layers
	: >diffs
	echo "file v$2 text=v$2
end" | layer
	manifest "$1" '' "\"platform\": {\"os\": \"linux\",
		\"architecture\": \"$1\"${3-}}"
}
variant arm 6 ', "variant": "v6"' >v6
variant arm 7 ', "variant": "v7"' >v7
index "$arm" "$(cat v6)" "$(cat v7)" "$amd"
cp index.json l/
for v in 6 7; do
	build --platform linux/arm/v$v l
	has "cat /v$v" "^v$v$"
done
refuses 'no image for linux/arm/v5' 1 --platform linux/arm/v5 l
refuses 'no image for linux/arm64/v9' 1 --platform linux/arm64/v9 l
refuses 'several images, linux/arm/v6, linux/arm/v7: choose' 1 \
	--platform linux/arm l
# where there is one without a variant, that is meant; and a first variant by its
# name
variant amd64 3 ', "variant": "v3"' >v3
variant amd64 1 >v1
variant amd64 2 ', "variant": "v2"' >v2
index "$(cat v3)" "$(cat v1)" "$(cat v2)"
cp index.json l/
build l
has 'cat /v1' '^v1$'
for v in 1 2 3; do
	build --platform linux/amd64/v$v l
	has "cat /v$v" "^v$v$"
done
build --platform linux/amd64 l
has 'cat /v1' '^v1$'
# the platform is only in the configuration; only one of those named is there
index "$(manifest riscv64)" "$(manifest amd64)"
cp index.json l/
build l
refuses 'there is one for linux/riscv64, linux/amd64' 1 --platform linux/arm l
index "$arm" "$(manifest s390x '' '"platform": {"os": "linux",
	"architecture": "s390x"}')"
cp index.json l/
rm "l/blobs/sha256/$(sum manifest)"
build l
has 'cat /arm' '^arm$'
# an attestation is no image, whatever it is for
index "$arm" "$(desc note manifest '"platform": {"os": "linux",
	"architecture": "amd64"}, "annotations":
	{"vnd.docker.reference.type": "attestation-manifest"}')"
cp index.json l/
blob note >note.blob
build l
has 'cat /arm' '^arm$'
# two images for one platform
index "$(manifest amd64 '' '"annotations":
	{"io.containerd.image.name": "docker.io/library/a:1"}')" \
	"$(manifest amd64 '"Cmd": ["b"]' '"annotations":
	{"org.opencontainers.image.ref.name": "b"}')"
cp index.json l/
refuses 'several images, docker.io/library/a:1, b: choose one' 1 l
build --image b l
has 'cat /etc/vmm/init.conf' '^cmd b$'
# an index in itself cannot be: five deep
desc=$(manifest)
for i in 1 2 3 4 5; do
	index "$desc"
	desc=$(desc index.json index)
done
index "$desc"
cp index.json l/
refuses 'indexes more than 4 deep' 1 l
# nor one that names another again and again, which does so too
start
index
for i in 1 2 3; do
	many=$(desc index.json index)
	for j in 1 2 3 4 5 6 7 8; do
		many="$many, $many"
	done
	index "$many"
done
cp index.json l/
refuses 'its indexes' 1 l

# a pattern does not bring back what a layer takes away
start
layer <<'X'
dir d
file d/secret text=1
file d/cache text=1
file d/kept text=1
X
layer <<'X'
file d/.wh.secret
X
finish
for pattern in 'd/.wh.secret' '.wh.*' 'd/secret' 'd/.wh.*'; do
	build --exclude "$pattern" l
	has 'stat /d/kept' 'Type: regular'
	has 'stat /d/secret' 'File not found'
	has 'stat /d/cache' 'Type: regular'
done

# --- digests ---------------------------------------------------------------
prepare() {
	start
	layer "$@" <<'X'
file x size=100000
end
X
	finish
}
prepare gzip
l=l/blobs/sha256/$(sum layer.c)
cp "$l" good
gzip -dc good | sed 's/xxxx/xxxy/' | gzip -nc >bad
head -c "$(stat -c %s good)" bad >"$l"
refuses 'layer 1 of 1' 1 l
cp bad "$l"
refuses 'not the' 1 l
rm "$l"
refuses 'layer 1 of 1' 1 l
# what follows the compressed data counts
prepare gzip
l=l/blobs/sha256/$(sum layer.c)
printf '\377' | dd of="$l" bs=1 seek=9 conv=notrunc status=none
refuses 'its digest is sha256:' 1 l
prepare
sed -i "s/$(sum layer.tar)/$(sum layers)/" config
sed -i "s/sha256:[0-9a-f]*\", \"size\": $(stat -c %s config)/sha256:$(
	sum config)\", \"size\": $(stat -c %s config)/" manifest
blob config >digest
index "$(desc manifest manifest)"
cp index.json l/
refuses 'its diff_id is sha256:' 1 l
prepare
printf x >>"l/blobs/sha256/$(sum config)"
refuses 'not the' 1 l
prepare
printf ' ' | dd of="l/blobs/sha256/$(sum manifest)" bs=1 seek=2 conv=notrunc \
	status=none
refuses 'its digest is sha256:' 1 l
# sha512
prepare
s=$(sha512sum <layer.tar | cut -d ' ' -f 1)
cp layer.tar "l/blobs/sha512/$s"
sed -i "s/sha256:$(sum layer.tar)/sha512:$s/" layers
finish
build l
sed -i 's/sha512:./sha512:g/' layers
finish
refuses "not 128 digits" 1 l
# paths come from digests alone
for bad in md5:0123 sha256:../../../x sha256/x 'SHA256:00' ''; do
	prepare
	printf '{"schemaVersion": 2, "manifests": [{"digest": "%s", "size": 1,
	"mediaType": "application/vnd.oci.image.manifest.v1+json"}]}' \
		"$bad" >l/index.json
	refuses "digest '$bad'" 1 l
done
# a blob that leads out of the folder, or waits for a writer
prepare
l=l/blobs/sha256/$(sum layer.c)
mv "$l" outside
ln -s "$PWD/outside" "$l"
refuses 'layer 1 of 1' 1 l
ln -sf ../../inside "$l"
cp outside l/inside
build l
rm "$l"
mkfifo "$l"
refuses 'not a file' 1 l

# --- JSON ------------------------------------------------------------------
prepare
bad_index() {
	printf '%s' "$2" >l/index.json
	refuses "$1" 1 l
}
bad_index 'not JSON' '{'
bad_index 'not an object' '[]'
bad_index "no 'manifests'" '{"schemaVersion": 2}'
bad_index 'not of version 2' '{"schemaVersion": 1}'
bad_index 'no image in it' '{"schemaVersion": 2, "manifests": []}'
bad_index 'not JSON' '{"a": 1, "a": 2}'
bad_index "no 'manifests'" '{"schemaVersion": 2}'
bad_index "'manifests', number 1: a descriptor is not an object" \
	'{"schemaVersion": 2, "manifests": [1]}'
bad_index "number 1: no 'digest'" '{"schemaVersion": 2, "manifests": [{"size": 1}]}'
bad_index "number 1: a descriptor without a size" '{"schemaVersion": 2,
	"manifests": [{"digest": "sha256:'"$(sum layer.tar)"'", "size": -1}]}'
bad_index "'mediaType': longer than" '{"schemaVersion": 2, "manifests":
	[{"mediaType": "'"$(head -c 2000000 /dev/zero | tr '\0' x)"'"}]}'
bad_index "'manifests': of the wrong type" \
	'{"schemaVersion": 2, "manifests": {}}'
bad_index 'not JSON' "$(head -c 100000 /dev/zero | tr '\0' '[')"
head -c 5000000 /dev/zero | tr '\0' ' ' >l/index.json
refuses 'larger than 4194304' 1 l
prepare
echo '{"imageLayoutVersion": "2.0.0"}' >l/oci-layout
refuses 'not of version 1' 1 l
prepare
sed -i 's/layer.v1.tar/layer.v1.tar+encrypted/' layers
finish
refuses 'which is no archive' 1 l
prepare
echo ', "sha256:'"$(sum layers)"'"' >>diffs
finish
refuses '1 layers, but 2 diff_ids' 1 l
# what is in a manifest, and in a configuration
prepare
bad_manifest() {
	echo "$2" >manifest
	index "$(desc manifest manifest)"
	cp index.json l/
	refuses "$1" 1 l
}
bad_manifest "no 'config'" '{"schemaVersion": 2}'
bad_manifest "'config': a descriptor without a size" '{"schemaVersion": 2,
	"config": {"digest": "sha256:'"$(sum layer.tar)"'"}}'
bad_config() {
	echo "$2" >config
	bad_manifest "$1" '{"schemaVersion": 2, "layers": ['"$(cat layers)"'],
		"config": {"digest": "'"$(blob config)"'", "size":
		'"$(stat -c %s config)"',
		"mediaType": "application/vnd.oci.image.config.v1+json"}}'
}
bad_config "no 'rootfs'" '{"os": "linux"}'
bad_config "'rootfs' is not of layers" '{"rootfs": {"type": "tree"}}'
bad_config "'diff_ids': not a string" '{"rootfs": {"diff_ids": [1]}}'
bad_config "'diff_ids': digest 'x'" '{"rootfs": {"diff_ids": ["x"]}}'
bad_config "'Env': not a string" '{"rootfs": {"diff_ids": []},
	"config": {"Env": [1]}}'
bad_config "'User': of the wrong type" '{"rootfs": {"diff_ids": []},
	"config": {"User": 1}}'

# --- docker save -----------------------------------------------------------
start
layer <<'X'
file a text=1
file b text=1
end
X
cp layer.tar 1.tar
layer <<'X'
file .wh.b
file c text=2
end
X
manifest amd64 '"Cmd": ["run"]' >/dev/null
c=$(sum config)
saved() {
	rm -rf s
	mkdir -p s/1 s/2 s/3
	cp 1.tar s/1/layer.tar
	cp layer.tar s/2/layer.tar
	cp config "s/$c.json"
	printf '[{"Config": "%s.json", "RepoTags": ["x:1", "x:2"],
		"Layers": ["1/layer.tar", "2/layer.tar"]}]' "$c" \
		>s/manifest.json
}
h=$(sum 1.tar)
saved
# as docker writes it: folders named by 64 digits come first
mv s/1 "s/$h"
sed -i "s|1/layer|$h/layer|" s/manifest.json
tar -C s -cf s.tar "$h" "$c.json" manifest.json 2
# ("2" is no such name, but in manifest.json)
build s.tar
cp image.raw saved.raw
build --source-type oci s.tar
cmp image.raw saved.raw || fail "docker save, asked for: another image"
build --source-type tar s.tar
has 'stat /manifest.json' 'Type: regular'
build --source-type oci s.tar
# what is in manifest.json
cp s/manifest.json kept.json
while IFS='|' read -r want json; do
	echo "$json" >s/manifest.json
	tar -C s -cf t.tar .
	refuses "$want" 1 --source-type oci t.tar
done <<'X'
no image in it|[]
image 1: not an object|[1]
no 'Config'|[{}]
not an array|{}
'../x': not a name in the archive|[{"Config": "../x"}]
'a//b': not a name|[{"Config": "c", "Layers": ["a//b"]}]
2 images, x:2 among them|[{"Config": "c"}, {"Config": "c", "RepoTags": ["x:2"]}]
X
mv kept.json s/manifest.json
has 'cat /c' '^2$'
absent /b
has 'cat /etc/vmm/init.conf' '^cmd run$'
h2=$(sum layer.tar)
mv s/2 "s/$h2"
sed -i "s|2/layer|$h2/layer|" s/manifest.json
tar -C s -cf s.tar "$h" "$h2" "$c.json" manifest.json
build s.tar
cmp image.raw saved.raw || fail "docker save: another image"
gzip -c s.tar | cat | mkimage -q --size $image_size --force -o image.raw -
cmp image.raw saved.raw || fail "docker save from a pipe: another image"
build --image x:2 s.tar
refuses 'no image of that name' 1 --image x:3 s.tar
refuses 'the image is for linux/amd64, not linux/arm64' 1 \
	--platform linux/arm64 s.tar
# the same layer, kept as a link; a configuration not named by its digest
saved
ln -sf ../1/layer.tar s/2/layer.tar
sed "s/sha256:$h2/sha256:$h/" config >s/plain.json
sed -i "s/$c.json/plain.json/" s/manifest.json
tar -C s -cf s.tar .
build --source-type oci s.tar
has 'cat /b' '^1$'
ln -sf ../2/layer.tar s/2/layer.tar
tar -C s -cf s.tar .
refuses 'layer 2 of 2' 1 --source-type oci s.tar
# lies
saved
printf '\t' | dd of="s/$c.json" bs=1 seek=6 conv=notrunc status=none
refuses 'its digest is sha256' 1 --source-type oci s
saved
cp 1.tar s/2/layer.tar
refuses 'layer 2 of 2: its diff_id is' 1 --source-type oci s
for bad in ../x /etc/passwd a/../../x ./x ''; do
	saved
	sed -i "s|1/layer.tar|$bad|" s/manifest.json
	refuses "'$bad': not a name in the archive" 1 --source-type oci s
done
saved
sed -i 's|1/layer.tar|9/layer.tar|' s/manifest.json
refuses 'layer 1 of 2' 1 --source-type oci s

# as crane, ko and kaniko write it: the digest of the configuration with what it
# is made by, layers compressed; as jib does, with a name for the configuration
packed() {
	rm -rf s
	mkdir s
	cp config "s/$1"
	gzip -nc 1.tar >"s/$h.tar.gz"
	gzip -nc layer.tar >"s/$h2.tar.gz"
	printf '[{"Config": "%s", "RepoTags": ["x:1"],
		"Layers": ["%s.tar.gz", "%s.tar.gz"]}]' "$1" "$h" "$h2" \
		>s/manifest.json
	(cd s && tar -cf ../s.tar $2)
}
for form in "sha256:$c|sha256:$c $h.tar.gz $h2.tar.gz manifest.json" \
	"config.json|$h.tar.gz $h2.tar.gz config.json manifest.json"; do
	packed "${form%|*}" "${form#*|}"
	build s.tar
	cmp image.raw saved.raw || fail "${form%|*}: another image"
	mkimage -q --size $image_size --force -o image.raw - <s.tar
	cmp image.raw saved.raw || fail "${form%|*}: standard input: another"
	gzip -c s.tar | mkimage -q --size $image_size --force -o image.raw -
	cmp image.raw saved.raw || fail "${form%|*}: from a pipe: another"
done
packed "sha256:$h" .
refuses 'its digest is sha256' 1 --source-type oci s.tar

# the form of Docker 25 and later: a layout with a manifest.json beside it
start
layer gzip <<'X'
file x text=1
end
X
finish
printf '[{"Config": "blobs/sha256/%s", "RepoTags": null, "Layers":
	["blobs/sha256/%s"]}]' "$(sum config)" "$(sum layer.c)" >l/manifest.json
same_each
has 'cat /x' '^1$'
rm l/oci-layout
build --source-type oci l
has 'cat /x' '^1$'

# other files beside the layout, also in front of it, do not matter; where many
# come first it is told
finish
echo '{"imageLayoutVersion": "1.0.0"}' >l/oci-layout
mkdir l/ingest
: >l/LICENSE
same_each
cp image.raw first.raw
tar -C l -cf l.tar LICENSE ingest blobs index.json oci-layout
build l.tar
cmp image.raw first.raw || fail "a licence in front: another image"
(cd l && touch 1 2 3 4 5 6 7 8 9)
tar -C l -cf l.tar 1 2 3 4 5 6 7 8 9 blobs index.json oci-layout
mkimage --force --size $image_size -o image.raw l.tar 2>err.log
grep -q 'files of a container image .*--source-type oci' err.log ||
	fail "no word of the image: $(cat err.log)"
refuses '(--source-type oci for what is in it) (--strict)' 1 --strict l.tar
build --strict --source-type tar l.tar
build --source-type oci l.tar
cmp image.raw first.raw || fail "asked for: another image"
# nor with something else as the last source
build --strict --source-type tar l.tar
printf 'file x\nend\n' | gen
build --strict --source-type auto l a.tar

# --- docker export: the files of a container, which are no image -----------
"$gentar" >x.tar <<'X' || fail gentar
file .dockerenv mode=755
dir bin/
file bin/busybox size=5000 mode=755
link bin/sh bin/busybox
symlink bin/ash busybox
dir dev/
file dev/console mode=755
dir dev/pts/
dir dev/shm/
dir etc/
file etc/hostname mode=755
file etc/hosts mode=755
symlink etc/mtab /proc/mounts
file etc/.wh.kept text=1
dir proc/
pax path very/long/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
file very/long text=1
pax SCHILY.xattr.security.capability \x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00
file bin/ping text=1
dir tmp/ mode=1777
end
X
cat x.tar | mkimage -q --strict --size $image_size --force -o image.raw -
made x.tar
mv image.raw first.raw
build --strict x.tar
cmp image.raw first.raw || fail "docker export: another image from a pipe"
has 'stat /.dockerenv' 'Type: regular'
has 'stat /bin/sh' 'Links: 2'
has 'stat /dev/console' 'Type: regular +Mode: +0755'
has 'stat /etc/mtab' 'Fast link dest: "/proc/mounts"'
has 'stat /etc/.wh.kept' 'Type: regular'
has 'ea_list /bin/ping' 'security.capability \(20\)'
has 'stat /tmp' 'Mode: +01777'
absent /etc/vmm/init.conf

# --- archives that look like it --------------------------------------------
mkdir root
echo 1 >root/index.json
mkdir root/bin
tar -C root -cf root.tar index.json bin
build root.tar
has 'cat /index.json' '^1$'
tar -C root -cf root.tar index.json
refuses 'oci-layout' 1 root.tar
build --source-type tar root.tar
has 'cat /index.json' '^1$'
tar -C root -c index.json bin | cat >/dev/null
rc=0
tar -C root -c index.json bin |
	mkimage -q --size $image_size --force -o image.raw - 2>err.log || rc=$?
[ $rc -eq 1 ] && grep -q -e '--source-type tar' err.log ||
	fail "pipe that begins like an image: $(cat err.log)"
tar -C root -c index.json bin |
	mkimage -q --size $image_size --force -o image.raw --source-type tar -
build root
has 'cat /index.json' '^1$'
refuses 'no container image' 1 --source-type oci root

judged oci 10
judged docker 2
