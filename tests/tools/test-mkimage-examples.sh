#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The examples of the man pages are what they say: each is run, with stand-ins for
# the programs that would need a network, a daemon or a guest.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs qemu-img cpio unsquashfs sgdisk

# --- what the examples take for granted ------------------------------------------
"$gentar" >root.in <<'X' || fail gentar
dir boot
file boot/vmlinuz-6.1 text=kernel
file boot/initrd.img-6.1 text=initrd
file etc/hostname text=example
symlink sbin/init ../usr/lib/systemd/systemd
file usr/lib/systemd/systemd text=x
file usr/lib/systemd/systemd-networkd text=x
dir usr/local/bin
end
X
mkdir bin
cat >bin/mmdebstrap <<X
#!/bin/sh
# --variant=... SUITE FILE
cp "$work/root.in" "\$3"
X
cat >bin/docker <<X
#!/bin/sh
[ "\$1" = export ] && cat "$work/root.in"
X
# a layout with one layer
cat >bin/skopeo <<X
#!/bin/sh
exec >&2
[ "\$1" = copy ] || exit 1
to=\${3#oci:}
mkdir -p "\$to/blobs/sha256"
echo '{"imageLayoutVersion": "1.0.0"}' >"\$to/oci-layout"
blob() {
	d=\$(sha256sum <"\$1" | cut -d ' ' -f 1)
	cp "\$1" "\$to/blobs/sha256/\$d"
	desc="\"digest\": \"sha256:\$d\", \"size\": \$(stat -c %s "\$1")"
}
blob "$work/root.in"
layer="{\$desc, \"mediaType\":
	\"application/vnd.oci.image.layer.v1.tar\"}"
cat >c <<Y
{"os": "linux", "architecture": "amd64", "config": $(cat <<'J'
{"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["nginx", "-g", "daemon off;"],
"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
"NGINX_VERSION=1.25.3"], "StopSignal": "SIGQUIT"}
J
),
"rootfs": {"type": "layers", "diff_ids": ["sha256:\$d"]}}
Y
blob c
echo "{\"schemaVersion\": 2, \"config\": {\$desc, \"mediaType\":
	\"application/vnd.oci.image.config.v1+json\"}, \"layers\": [\$layer]}" >m
blob m
echo "{\"schemaVersion\": 2, \"manifests\": [{\$desc, \"mediaType\":
	\"application/vnd.oci.image.manifest.v1+json\"}]}" >"\$to/index.json"
rm c m
X
cat >bin/vmm <<'X'
#!/bin/sh
# run: a disk, an initrd and a kernel that are there
[ "$1" = run ] || exit 0
shift
while getopts b:i:m:s: o; do
	case $o in
	b) disk=${OPTARG%%,*} ;;
	i) initrd=$OPTARG ;;
	esac
done
shift $((OPTIND - 1))
[ -s "$disk" ] && [ "$(cat "$initrd" "$1")" = initrdkernel ]
X
chmod +x bin/*
PATH=$work/bin:$PATH

# example PAGE NUMBER: to example.txt
example() {
	awk -v want="$2" '
		/^\.Sh EXAMPLES/ { on = 1 }
		on && /^\.Bd -literal/ { nr++; next }
		/^\.Ed/ { if (nr == want) exit; next }
		on && nr == want { gsub(/\\e/, "\\"); print }
	' "$top_srcdir/man/$1" >example.txt
	[ -s example.txt ]
}

# --- mkimage(1) --------------------------------------------------------------------
nr=1
while example mkimage.1 $nr; do
	text=$(cat example.txt)
	rm -rf run
	mkdir run
	(
		cd run
		# what the user has
		case $text in
		*mmdebstrap*) ;;
		*) cp ../root.in rootfs.tar ;;
		esac
		case $text in
		*--esp*)
			mkdir -p boot/EFI/BOOT
			echo efi >boot/EFI/BOOT/BOOTX64.EFI
			;;
		esac
		cp ../root.in small.tar
		printf '\177ELF' >app
		echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me' >key.pub
		printf initrd >initrd
		printf kernel >vmlinuz
		mkdir -p rootfs/.git rootfs/etc
		: >rootfs/etc/own
		sh -e ../example.txt
	) >run.log 2>&1 || fail "example $nr: $text $(cat run.log)"
	! grep -q warning run.log || fail "example $nr: $(cat run.log)"
	for image in run/*.qcow2; do
		[ -e "$image" ] || continue
		qemu-img check -q "$image" || fail "example $nr"
		qemu-img convert -O raw "$image" image.raw
		case $text in
		*--esp*) sgdisk -v image.raw | grep -q 'No problems' ||
			fail "example $nr: $(sgdisk -v image.raw)" ;;
		*) made ;;
		esac
	done
	case $text in
	*mmdebstrap*) has 'stat /usr/lib/vmm/vmm-agent' 'Type: regular' ;;
	*--esp*) sgdisk -p image.raw | grep -q '20971520\|10.0 GiB' ||
		fail "no partition of 10G: $(sgdisk -p image.raw)" ;;
	*--extract-boot*) [ -s run/boot/vmlinuz ] || fail "no kernel" ;;
	*--hostname*) has 'cat /etc/hostname' '^web$' ;;
	*initrd.cpio.zst*)
		zstd -dc run/initrd.cpio.zst | cpio -t --quiet >list
		grep -q '^etc/hostname$' list || fail "$(cat list)"
		unsquashfs -cat run/root.squashfs etc/hostname >out ||
			fail "no squashfs"
		;;
	*'docker export'*)
		[ "$(stat -c %s image.raw)" -eq 21474836480 ] || fail "not 20G"
		has 'cat /etc/hostname' '^example'
		;;
	*skopeo*--init*)
		has 'stat /sbin/init' 'dest: "/usr/lib/vmm/vmm-init"'
		;;
	*skopeo*--add*)
		has 'stat /usr/local/bin/app' 'Type: regular'
		# as vmm-init.conf(5) has it
		debugfs -R 'cat /etc/vmm/init.conf' image.raw 2>/dev/null |
			grep -v '^#' >conf
		example vmm-init.conf.5 1 || fail "no example"
		diff example.txt conf || fail "not the example of the page"
		;;
	*--owner*)
		has 'stat /etc/own' 'User: +0 +Group: +0'
		has 'stat /.git' 'File not found'
		;;
	*) fail "nothing is known of example $nr: $text" ;;
	esac
	nr=$((nr + 1))
done
[ $nr -gt 7 ] || fail "only $((nr - 1)) examples"

# --- mkimage-manifest(5) ---------------------------------------------------------
example mkimage-manifest.5 1 || fail "no example"
mkdir -p m/etc
echo app >m/app
echo key >'m/etc/key file'
cp example.txt m/manifest
printf 'file usr/x.pyc text=1\nend\n' | "$gentar" >a.tar
image_size=64M
build --manifest m/manifest a.tar
has 'stat /usr/local/bin/app' 'Mode: +0755'
printf 'stat "/etc/app/key file"\n' | debugfs -f - image.raw 2>&1 |
	grep -q 'Mode: *0600' || fail "no chmod of a name with a blank"
has 'stat /var/lib/app' 'Mode: +0700'
has 'stat /var/lib/app' 'User: +1000 +Group: +1000'
has 'stat /etc/systemd/system/multi-user.target.wants/app.service' \
	'dest: "../app.service"'
has 'stat /usr/x.pyc' 'File not found'
