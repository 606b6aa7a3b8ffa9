#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The whole way, as a newcomer goes it: examples/quick-start with a real Debian
# root file system, under a stock Debian kernel, systemd as its init.
set -eu
. "$top_srcdir/tests/lib/rootfs.sh"
debian_rootfs systemd --variant=minbase --include=systemd-sysv
dir=$top_builddir/tests/e2e/quick-start
rm -rf "$dir"
mkdir -p "$dir/quick-start"
for f in "$top_builddir"/*; do
	[ "$f" = "$top_builddir/tests" ] || ln -s "$f" "$dir/quick-start/"
done
out=$dir/out
BUILD=$dir "$top_srcdir/examples/quick-start" "$rootfs" >"$out" 2>&1 || {
	cat "$out"
	exit 1
}
cat "$out"
expect() {
	grep -q "$1" "$out" || {
		echo "FAIL: not in the output: $1"
		exit 1
	}
}
expect 'file format: qcow2'
expect '^Linux .* x86_64 GNU/Linux\|^Linux .*6\.1\.'
expect 'PRETTY_NAME="Debian GNU/Linux 12'
expect '^(exit status 3)'
expect '^the VM has ended; exit status 0'
expect ' s  in all$'
