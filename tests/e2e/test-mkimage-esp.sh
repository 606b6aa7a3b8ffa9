#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A disk with an ESP, in the hands of who it is for: UEFI firmware loads systemd-boot
# from it, that a kernel and an initrd; systemd finds the root file system by the type
# of its partition, mounts /home and leaves alone what is empty. Other programs look
# at the disk before and after.
set -eu
. "$top_srcdir/tests/e2e/whole.sh"
need fsck.vfat mdir mcopy systemd-dissect systemd-repart
ovmf=/usr/share/OVMF boot=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
[ -e $ovmf/OVMF_CODE_4M.fd ] || skip "ovmf is not installed"
[ -e $boot ] || skip "systemd-boot-efi is not installed"
systemd_rootfs

probe <<'X'
timeout 60 systemctl is-system-running --wait
echo "root: $(findmnt -no SOURCE,FSTYPE,OPTIONS / | sed 's/,relatime.*//' | tr -s ' ')"
echo "cmdline: $(cat /proc/cmdline)"
for mount in /home /efi; do
	ls $mount >/dev/null 2>&1
	echo "$mount: $(findmnt -no SOURCE,FSTYPE --types noautofs $mount | tr -s ' ')"
done
echo "swap: $(swapon --noheadings)"
echo "loader: $(ls /sys/firmware/efi/efivars | grep -c '^LoaderDevicePartUUID-')"
cat '/efi/a longer name.txt'
echo "failed: $(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
umount /efi; seq 100000 >/root/written && echo kept >/home/written && echo "wrote: yes"
X
mkdir -p esp/EFI/BOOT esp/loader/entries home/me
cp $boot esp/EFI/BOOT/BOOTX64.EFI
echo 'a file for all' >'esp/a longer name.txt'
tar -xf "$rootfs" --wildcards ./boot/dracut.img './boot/vmlinuz-*'
mv boot/dracut.img boot/vmlinuz-* esp/
printf 'timeout 0\n' >esp/loader/loader.conf
cat >esp/loader/entries/debian.conf <<X
title Debian of mkimage
linux /$(basename esp/vmlinuz-*)
initrd /dracut.img
options root=gpt-auto rw console=ttyS0 mitigations=off quiet
X
mkimage -q --label home --size 24M home -o home.img
# shellcheck disable=SC2086
mkimage --json --partition --esp esp --partition=home,type=home,file=home.img \
	--partition=var,type=var,size=8M --partition=swap,type=swap,size=4M \
	--remove $wants/NetworkManager.service --remove $wants/dhcpcd.service \
	--remove $wants/networking.service --mkdir /efi \
	$with_probe "$rootfs" -o disk.raw >report.json
[ "$(jq '."nr-warnings"' report.json)" = 0 ] || fail "$(cat report.json)"

# --- what others think of it -----------------------------------------------------
judge() {
	sfdisk -J disk.raw >table.json
	sgdisk -v disk.raw >log || fail "sgdisk: $(cat log)"
	grep -q 'No problems found' log || fail "sgdisk: $(cat log)"
	sfdisk --verify disk.raw >log 2>&1 || fail "sfdisk: $(cat log)"
	part disk.raw esp esp.img
	fsck.vfat -n esp.img >log || fail "fsck.vfat: $(cat log)"
	rm -rf back
	mkdir back
	mcopy -s -i esp.img '::*' back
	diff -r esp back >log || fail "the ESP: $(cat log)"
	part disk.raw root image.raw
	e2fsck -fn image.raw >log 2>&1 || fail "e2fsck: $(cat log)"
}
judge
mdir -i esp.img ::/EFI/BOOT | grep -q 'BOOTX64  *EFI' || fail "mdir"
# systemd's idea of what each partition is for; what is empty is passed over
systemd-dissect --json=short disk.raw >dissect.json 2>log || fail "$(cat log)"
for want in 'root ext4' 'esp vfat' 'home ext4'; do
	jq -r '(.mounts? // .)[] | "\(.designator) \(.fstype)"' dissect.json |
		grep -qx "$want" || fail "systemd-dissect: no $want: $(cat dissect.json)"
done
# systemd-repart knows all of them again, and on a larger disk lets the root grow
mkdir definitions
printf '[Partition]\nType=esp\n' >definitions/10-esp.conf
printf '[Partition]\nType=home\n' >definitions/20-home.conf
printf '[Partition]\nType=root\n' >definitions/30-root.conf
cp --sparse=always disk.raw repart.raw
truncate -s +64M repart.raw
systemd-repart --definitions="$PWD/definitions" --dry-run=no --json=short repart.raw \
	>repart.json 2>log || fail "systemd-repart: $(cat log)"
[ "$(jq -r '[.[] | "\(.label) \(.activity)"] | sort | join(", ")' repart.json)" = \
	'esp unchanged, home unchanged, root resize, swap unchanged, var unchanged' ] ||
	fail "systemd-repart: $(cat repart.json)"
sgdisk -v repart.raw >log && grep -q 'No problems found' log ||
	fail "after systemd-repart: $(cat log)"
rm repart.raw

# --- it boots --------------------------------------------------------------------
cp $ovmf/OVMF_VARS_4M.fd vars.fd
machine disk.raw \
	-drive if=pflash,format=raw,unit=0,readonly=on,file=$ovmf/OVMF_CODE_4M.fd \
	-drive if=pflash,format=raw,unit=1,file=vars.fd
says running
says 'root: /dev/vda5 ext4 rw'
says 'cmdline: initrd=\\dracut\.img root=gpt-auto rw .*'
says '/home: /dev/vda2 ext4'
says '/efi: /dev/vda1 vfat'
says 'swap: '
says 'loader: 1'
says 'a file for all'
says 'failed: '
says 'wrote: yes'
judge
has 'cat /root/written' '^100000$'
part disk.raw home image.raw
has 'cat /written' '^kept$'
