#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What makes a machine of a root file system, in a machine: a Debian that mkimage
# gave a name, a key, a password, an fstab and a network, on a disk with partitions,
# found by its PARTUUID from an initramfs that is mkimage's as well. Somebody logs in
# on the console with that password and looks. The VMM is QEMU, for its network.
set -eu
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need qemu-system-x86_64 mmdebstrap ssh-keygen sfdisk jq
testbed=$top_srcdir/tests/lib/testbed
kernel=$("$testbed" kernel)
debian_rootfs machine --variant=minbase \
	--include=systemd-sysv,udev,openssh-server

# the password is "secret"
# shellcheck disable=SC2016
hash='$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.'
ssh-keygen -q -t ed25519 -N '' -f key
mkdir esp
echo hello >esp/hello.txt
"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" --module nls_ascii \
	--module nls_cp437 --module vfat --init "$(command -v vmm-init)" -o plain.cpio
mkimage -q plain.cpio -o initrd.cpio.zst
mkimage --json --partition --esp esp --partition=data,type=linux,size=2M \
	--hostname probe.example --ssh-key key.pub --root-password-hash "$hash" \
	--fstab --label machine --network dhcp --add key:/home/key \
	"$rootfs" -o disk.qcow2 >report.json
[ "$(jq '."nr-warnings"' report.json)" = 0 ] || fail "$(cat report.json)"
qemu-img convert -O raw disk.qcow2 disk.raw
partuuid=$(sfdisk -J disk.raw | jq -r '.partitiontable.partitions[] |
	select(.name == "root").uuid')
rm disk.raw

accel=$("$testbed" accel) # which says why
mkfifo in
exec 5<>in
: >console
timeout -k 5 150 qemu-system-x86_64 -accel $accel -m 1024 -nodefaults \
	-no-user-config -display none -no-reboot -kernel "$kernel" \
	-initrd initrd.cpio.zst -append "root=PARTUUID=$partuuid ro quiet \
console=ttyS0 mitigations=off systemd.show_status=0 loglevel=3" \
	-drive if=none,id=d,format=qcow2,file=disk.qcow2 \
	-device virtio-blk-pci,drive=d -netdev user,id=n \
	-device virtio-net-pci,netdev=n -device virtio-rng-pci \
	-chardev stdio,id=c,signal=off -serial chardev:c <&5 >console 2>&1 &
qemu=$!
trap 'kill $qemu 2>/dev/null || :; cleanup' EXIT

await() { # TEXT
	until tr -d '\r' <console | grep -qE -- "$1"; do
		if ! kill -0 $qemu 2>/dev/null; then
			tail -n 40 console
			fail "the machine ended before '$1'"
		fi
		sleep 0.3
	done
}
await '^probe login: '
echo root >&5
await '^Password: '
echo secret >&5
await 'root@probe:~# '
# what it says is between two marks that are not in what is typed
cat >&5 <<'X'
stty -echo; PS1=; export TERM=dumb
echo "BEG""IN"
echo "name: $(hostname -s) $(hostname -f)"
echo "root: $(findmnt -no SOURCE,FSTYPE,OPTIONS / | sed 's/,relatime.*//' | tr -s ' ')"
echo "fstab: $(systemctl show -p SourcePath --value -- -.mount) $(systemctl is-failed systemd-remount-fs)"
echo "ssh: $(ssh -n -o StrictHostKeyChecking=no -i /home/key root@localhost echo in as \$USER 2>/dev/null)"
echo "other key: $(ssh -n -o StrictHostKeyChecking=no -o BatchMode=yes root@localhost echo in 2>&1 | tail -n 1)"
/lib/systemd/systemd-networkd-wait-online --any -4 --timeout 60; echo "online: $?"
echo "address: $(hostname -I | tr ' ' '\n' | grep -x '10\.0\.2\..*')"
mkdir /esp && mount -r PARTLABEL=esp /esp 2>/dev/null || mount -r /dev/vda1 /esp; echo "esp: $(cat /esp/hello.txt)"
echo kept >/root/kept; sync; echo "wrote: $(cat /root/kept)"
echo "failed: $(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
echo "EN""D"; systemctl poweroff
X
await '^END$'
wait $qemu || fail "QEMU: status $?"
# the first mark may stand behind a prompt
tr -d '\r' <console | sed -n '/BEGIN$/,/^END$/p' >said
cat said
says() {
	grep -qxE -- "$1" said || fail "not said: $1"
}
says 'name: probe probe.example'
says 'root: /dev/vda3 ext4 rw'
says 'fstab: /etc/fstab (active|inactive)'
says 'ssh: in as root'
says 'other key: .*Permission denied.*'
says 'online: 0'
says 'address: 10\.0\.2\.15'
says 'esp: hello'
says 'wrote: kept'
says 'failed: '
# what it wrote is in the image, which is whole
qemu-img check -q disk.qcow2 || fail "qemu-img check"
qemu-img convert -O raw disk.qcow2 disk.raw
start=$(sfdisk -J disk.raw | jq '.partitiontable.partitions[] |
	select(.name == "root").start')
truncate -s 0 image.raw
dd if=disk.raw of=image.raw bs=1M skip=$((start / 2048)) conv=sparse status=none
truncate -s $(((start ? $(stat -c %s disk.raw) / 1048576 - start / 2048 : 0)))M \
	image.raw
e2fsck -fn image.raw >fsck.log 2>&1 || grep -q 'Free .* count wrong' fsck.log ||
	fail "$(cat fsck.log)"
has 'cat /root/kept' '^kept$'
