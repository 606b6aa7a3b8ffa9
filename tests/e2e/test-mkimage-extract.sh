#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The manual's example of --extract-boot, word for word, with a Debian that has its own
# kernel and its usual initrd: vmm run boots these from where they were copied to, and
# the agent answers.
set -eu
. "$top_srcdir/tests/e2e/whole.sh"
systemd_rootfs
# line PROGRAM: of that example
line() {
	awk '/^\.Bd/ { text = "" } { text = text "\n" $0 }
		/^\.Ed/ && text ~ /--extract-boot/ { print text }' \
		"$top_srcdir/man/mkimage.1" | grep "^$1 "
}
ln -s "$rootfs" rootfs.tar
line mkimage >command
cat command
grep -q extract-boot command || fail "no example"
sh -e command
{
	cat <<-'X'
		#!/bin/sh
		dir=$(mktemp -d) && cd "$dir" && cp "$TESTBED_DISK0" fs.qcow2 || exit 1
		ln -s "${TESTBED_ROOT-}/vm/boot" boot
		(
	X
	line 'vmm run'
	cat <<-'X'
		) </dev/null >console 2>&1 &
		vmm=$!
		vmm exec --wait 240 vm.sock -- sh -c 'cat /proc/cmdline /proc/1/comm
			uname -r; echo kept >/root/kept && sync && echo wrote' </dev/null
		echo "exec: $?"
		vmm stop vm.sock; echo "stop: $?"
		wait $vmm; echo "run: $?"
		tail -n 30 console
		cd / && rm -r "$dir"
	X
} >script
cat script
"$testbed" run --add "$(command -v vmm):/bin/vmm" --add "$PWD/boot:/vm/boot" \
	--disk fs.qcow2:ro -- script >said.txt 2>err.log || {
	cat said.txt err.log
	fail "the machine: status $?"
}
cat said.txt
says '.*root=/dev/vda.*'
says systemd
says "$(tar -tf "$rootfs" | sed -n 's,^\./boot/vmlinuz-,,p')"
says wrote
says 'exec: 0'
says 'stop: 0'
says 'run: 0'
