# SPDX-License-Identifier: BSD-3-Clause
# Debian root file systems for tests, made once by mmdebstrap and then kept. Plain sh.

# debian_rootfs NAME OPTION...: sets $rootfs, a tarball
debian_rootfs() {
	rootfs=${VMMKIT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vmmkit}
	mkdir -p "$rootfs"
	rootfs=$rootfs/rootfs-$1.tar
	shift
	[ ! -f "$rootfs" ] || return 0
	command -v mmdebstrap >/dev/null || {
		echo "mmdebstrap is not installed" >&2
		return 1
	}
	mmdebstrap --quiet "$@" bookworm "$rootfs.$$.tar" \
		>"$rootfs.$$.log" 2>&1 || {
		tail -n 5 "$rootfs.$$.log" >&2
		rm -f "$rootfs.$$".*
		return 1
	}
	# whole, and the same for who makes it at the same time
	mv "$rootfs.$$.tar" "$rootfs"
	rm "$rootfs.$$.log"
}
