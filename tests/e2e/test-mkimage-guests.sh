#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Images of mkimage in virtual machines of vmm run: a container image becomes a
# machine that runs what the image is for, from an ext4 on a disk with partitions and
# from a squashfs, behind an initramfs that is mkimage's too.
. "$top_srcdir/tests/e2e/lib.sh"
guest_image
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# the busybox tree, and a layer that takes something away
cat >"$dir/run" <<'X'
#!/bin/sh
echo "args: $*"
echo "id: $(id -u) $(id -g)"
echo "cwd: $PWD"
echo "env: $GREETING, $HOME"
echo "pid 1: $(cat /proc/1/comm)"
echo "root: $(awk '$2 == "/" { print $3, substr($4, 1, 2) }' /proc/mounts | tail -n 1)"
if echo kept 2>/dev/null >/srv/kept; then echo "wrote: $(cat /srv/kept)"; else echo "cannot write"; fi
[ ! -e /gone ] && echo "no whiteout's file"
[ "$(cat /etc/hostname)" != ends ] || exit 0
exec sleep 1000
X
chmod 755 "$dir/run"
mkdir -p "$dir/1/srv" "$dir/2/usr/bin"
touch "$dir/1/gone" "$dir/2/.wh.gone"
cp "$dir/run" "$dir/2/usr/bin/run"
printf 'root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv:/bin/sh\n' >"$dir/passwd"
printf 'root:x:0:\nwww:x:33:\n' >"$dir/group"
tar -C "$dir/1" --owner 33 --group 33 -cf "$dir/1.tar" srv gone
tar -C "$dir/2" --owner 0 --group 0 -cf "$dir/2.tar" .wh.gone usr
layout=$dir/oci
mkdir -p "$layout/blobs/sha256"
echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
blob() { # FILE: put it in; its descriptor's "digest" and "size"
	sum=$(sha256sum <"$1" | cut -d ' ' -f 1)
	cp "$1" "$layout/blobs/sha256/$sum"
	printf '"digest": "sha256:%s", "size": %s' "$sum" "$(stat -c %s "$1")"
}
layers='' diffs=''
for l in "$e2e/rootfs.tar" "$dir/1.tar" "$dir/2.tar"; do
	layers="$layers${layers:+, }{\"mediaType\":
		\"application/vnd.oci.image.layer.v1.tar\", $(blob "$l")}"
	diffs="$diffs${diffs:+, }\"sha256:$(sha256sum <"$l" | cut -d ' ' -f 1)\""
done
cat >"$dir/config" <<X
{"architecture": "amd64", "os": "linux", "config": {
 "Entrypoint": ["run", "two  words"], "Cmd": ["-x", "\$HOME"], "User": "www",
 "Env": ["GREETING=good day", "PATH=/usr/bin:/bin"], "WorkingDir": "/srv/work"},
 "rootfs": {"type": "layers", "diff_ids": [$diffs]}}
X
cat >"$dir/manifest" <<X
{"schemaVersion": 2, "config": {"mediaType":
 "application/vnd.oci.image.config.v1+json", $(blob "$dir/config")},
 "layers": [$layers]}
X
echo "{\"schemaVersion\": 2, \"manifests\": [{\"mediaType\":
 \"application/vnd.oci.image.manifest.v1+json\", $(blob "$dir/manifest")}]}" \
	>"$layout/index.json"

set -- "$layout" --init --add "$dir/passwd:/etc/passwd" \
	--add "$dir/group:/etc/group" --mkdir /srv/work --chown 33:33:/srv/work
mkimage -q "$@" --partition --label oci -o "$dir/disk.qcow2"
mkimage -q "$@" -o "$dir/root.squashfs"
"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" --module squashfs \
	--init "$(command -v vmm-init)" -o "$dir/plain.cpio"
mkimage -q "$dir/plain.cpio" -o "$dir/initrd.cpio.zst"

in_testbed guests.script --add "$dir/disk.qcow2:/vm/disk.qcow2" \
	--add "$dir/root.squashfs:/vm/root.squashfs" \
	--add "$dir/initrd.cpio.zst:/vm/oci-initrd" <<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
boot() { # PARAMS DISK
	: >"$tmp/console"
	vmm run --mem 256 --initrd "$vm/oci-initrd" --block "$2" \
		--params "quiet $1" --socket "$sock" \
		--serial "type=file,path=$tmp/console,console" "$vm/vmlinuz" \
		</dev/null 2>"$tmp/stderr" &
	vmm=$!
	# the agent runs beside the program
	expect "the agent" "vmm-init" "$(guest cat /proc/1/comm)"
	n=0
	until grep -q "whiteout's file" "$tmp/console"; do
		n=$((n + 1))
		[ $n -lt 100 ] || fail "the image's program does not run"
		sleep 0.2
	done
}
says() {
	tr -d '\r' <"$tmp/console" | grep -qxF -- "$1" || fail "not said: $1"
	echo "ok: $1"
}
program() {
	says 'args: two  words -x $HOME'
	says 'id: 33 33'
	says 'cwd: /srv/work'
	says 'env: good day, /srv'
	says 'pid 1: vmm-init'
}
cp "$vm/disk.qcow2" "$tmp/disk.qcow2"
boot "root=LABEL=oci rw" "$tmp/disk.qcow2"
program
says 'root: ext4 rw'
says 'wrote: kept'
vmm stop "$sock" || fail "vmm stop"
end_vm
expect "exit status" 0 "$status"
qcow-tool check "$tmp/disk.qcow2" || fail "qcow-tool check"

boot "root=/dev/vda rootfstype=squashfs ro" "$vm/root.squashfs,ro"
program
says 'root: squashfs ro'
says 'cannot write'
vmm stop "$sock" || fail "vmm stop"
end_vm
expect "exit status" 0 "$status"
E2E

# the example, with a program that ends and the machine with it
BUILD=$top_builddir "$top_srcdir/examples/container-to-vm" "$@" --hostname ends \
	>"$dir/example" 2>&1 || {
	cat "$dir/example"
	exit 1
}
for line in 'args: two  words -x $HOME' 'root: ext4 rw' 'wrote: kept' \
	'vmm-init: run: ended with status 0: power off'; do
	tr -d '\r' <"$dir/example" | grep -qxF -- "$line" || {
		cat "$dir/example"
		echo "FAIL: not said: $line"
		exit 1
	}
done
