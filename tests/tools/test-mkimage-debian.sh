#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A real root file system: the one $VMMKIT_ROOTFS names, or a Debian. There is
# more of this in tests/e2e/test-mkimage-rootfs.sh.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck mke2fs tar getfattr getfacl
can_mount || skip "a loop mount is needed"

rootfs=${VMMKIT_ROOTFS:-}
[ -r "$rootfs" ] || minbase
mkdir ref
tar -C ref --xattrs --xattrs-include='*' --acls --numeric-owner -xpf "$rootfs"
build "$rootfs"
same_tree ref
mkimage -q -o image.qcow2 "$rootfs"
if have_tool qemu-img; then
	qemu-img check -q image.qcow2 || fail "qemu-img check"
	qemu-img compare -q image.raw image.qcow2 || fail "qcow2 and raw differ"
fi
