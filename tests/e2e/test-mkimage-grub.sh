#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# GRUB 2.06 boots a Debian from an ext4 of mkimage: as UEFI program on the ESP, and by
# BIOS from a partition for it. It finds the file system by its label, or by the
# partition's GUID, and reads the configuration, the kernel and the initrd from it.
# What asks for an address there is ifupdown, behind an initrd with a udev of its own.
set -eu
. "$top_srcdir/tests/e2e/whole.sh"
need grub-mkimage e2fsck debugfs
ovmf=/usr/share/OVMF/OVMF_CODE_4M.fd pc=/usr/lib/grub/i386-pc
[ -e $ovmf ] || skip "ovmf is not installed"
[ -e $pc/boot.img ] || skip "grub-pc-bin is not installed"
[ -d /usr/lib/grub/x86_64-efi ] || skip "grub-efi-amd64-bin is not installed"
systemd_rootfs

probe <<'X'
timeout 60 systemctl is-system-running --wait
echo "loader: $(sed 's/.*\(by=[a-z]*\).*/\1/' /proc/cmdline), $(ls -d /sys/firmware/efi 2>/dev/null)"
echo "root: $(findmnt -no FSTYPE,OPTIONS / | sed 's/,relatime.*//' | tr -s ' ')"
echo "address: $(hostname -I | tr ' ' '\n' | grep -x '10\.0\.2\..*')"
echo "failed: $(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
seq 100000 >/root/written && echo "wrote: yes"
X
version=$(tar -tf "$rootfs" | sed -n 's,^\./boot/vmlinuz-,,p')
modules="part_gpt ext2 search search_label search_fs_uuid linux echo configfile
	normal test regexp probe"
mkdir -p esp/EFI/BOOT
cat >early.cfg <<'X'
search --no-floppy --set=root --label grub
set prefix=($root)/boot/grub
configfile ($root)/boot/grub/grub.cfg
X
cat >grub.cfg <<X
set timeout=0
menuentry Debian {
	probe --set=part --part-uuid \$root
	linux /boot/vmlinuz-$version root=PARTUUID=\$part ro quiet by=grub\$grub_platform \\
		console=ttyS0 mitigations=off
	initrd /boot/initrd.img-$version
}
X
# shellcheck disable=SC2086
grub-mkimage -O x86_64-efi -o esp/EFI/BOOT/BOOTX64.EFI -c early.cfg -p /boot/grub \
	$modules
# what is in the sectors that BIOS and then boot.img load is where the first
# partition begins: after 1 MiB
start=2048
put_lba() { # FILE OFFSET LBA
	# shellcheck disable=SC2059
	printf "\\x$(printf %02x $(($3 & 255)))\\x$(printf %02x $(($3 >> 8)))\0\0\0\0\0\0" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# shellcheck disable=SC2086
grub-mkimage -O i386-pc -o core.img -c early.cfg -p /boot/grub biosdisk $modules
cp $pc/boot.img boot.img
put_lba boot.img $((0x5c)) $start
put_lba core.img $((0x1f4)) $((start + 1))

# build OPTION...
build_disk() {
	# shellcheck disable=SC2086
	mkimage -q --force --partition "$@" --label grub --network dhcp \
		--add grub.cfg:/boot/grub/grub.cfg \
		--remove $wants/NetworkManager.service \
		--remove $wants/dhcpcd.service $with_probe "$rootfs" -o disk.raw
	sfdisk -J disk.raw >table.json
}
# booted PLATFORM: what it said, and what it wrote
booted() {
	says running
	says "loader: by=grub$1, .*"
	says 'root: ext4 rw'
	says 'address: 10\.0\.2\.15'
	says 'failed: '
	says 'wrote: yes'
	part disk.raw root image.raw
	e2fsck -fn image.raw >log 2>&1 || fail "e2fsck: $(cat log)"
	has 'cat /root/written' '^100000$'
}

build_disk --fstab --esp esp
cp /usr/share/OVMF/OVMF_VARS_4M.fd vars.fd
machine disk.raw -drive if=pflash,format=raw,unit=0,readonly=on,file=$ovmf \
	-drive if=pflash,format=raw,unit=1,file=vars.fd
booted efi
says 'loader: .*, /sys/firmware/efi'

build_disk --fstab --partition=core,type=bios-boot,file=core.img
[ "$(parts 'select(.name == "core") | .start')" = $start ] || fail "$(cat table.json)"
dd if=boot.img of=disk.raw bs=440 count=1 conv=notrunc status=none
sgdisk -v disk.raw | grep -q 'No problems found' || fail "sgdisk -v"
machine disk.raw
booted pc
