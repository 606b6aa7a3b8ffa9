#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A real root file system: the one $VMMKIT_ROOTFS names, or a Debian made now.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck mke2fs tar getfattr getfacl
can_mount || skip "a loop mount is needed"

rootfs=${VMMKIT_ROOTFS:-}
if [ ! -r "$rootfs" ]; then
	need mmdebstrap
	mmdebstrap --quiet --variant=minbase bookworm rootfs.tar \
		>mmdebstrap.log 2>&1 || skip "mmdebstrap: $(tail -1 mmdebstrap.log)"
	rootfs=rootfs.tar
fi
mkdir ref
tar -C ref --xattrs --xattrs-include='*' --acls --numeric-owner -xpf "$rootfs"
build "$rootfs"
same_tree ref
mkimage -q -o image.qcow2 "$rootfs"
if command -v qemu-img >/dev/null; then
	qemu-img check -q image.qcow2 || fail "qemu-img check"
	qemu-img compare -q image.raw image.qcow2 || fail "qcow2 and raw differ"
fi
