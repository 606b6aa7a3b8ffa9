#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Where KVM is, for test-mkimage-rootfs.sh: boot the disk, write to it by the agent, stop it.
# What begins with "guest:" is for the report. Plain sh, busybox tools.
set -eu
vm=${TESTBED_ROOT-}/vm
dir=$(mktemp -d)
sock=$dir/vm.sock
fail() {
	echo "FAIL: $*"
	tail -n 60 "$dir/console"
	cat "$dir/stderr"
	exit 1
}
seconds() {
	cut -d . -f 1 /proc/uptime
}
start=$(seconds)
vmm run --mem 1024 --initrd "$vm/initrd" --block "$TESTBED_DISK0,root" \
	--params quiet --socket "$sock" \
	--serial "type=file,path=$dir/console,console" "$vm/vmlinuz" \
	</dev/null 2>"$dir/stderr" &
vmm=$!
vmm exec --wait 200 "$sock" -- sh -c '
	echo "guest: $(uname -sr)"
	echo "guest: $(sed -n "s/^PRETTY_NAME=//p" /etc/os-release)"
	echo "guest: init $(cat /proc/1/comm)"
	echo "guest: name $(cat /proc/sys/kernel/hostname)"
	echo "guest: root $(sed -n "s/^[^ ]* \/ \([^ ]*\) \(rw\).*/\1 \2/p" \
		/proc/mounts | tail -n 1)"' </dev/null || fail "no agent"
echo "guest: the agent answered $(($(seconds) - start)) s after the start"
vmm exec --wait 60 "$sock" -- sh -euc '
	mkdir /written
	seq 100000 >/written/file
	cp -a /usr/bin /written/bin
	ln /written/file /written/linked
	sync
	echo "guest: wrote $(du -sm /written | cut -f 1) MiB"' </dev/null ||
	fail "it cannot be written to"
vmm stop "$sock" || fail "vmm stop"
status=0
wait "$vmm" || status=$?
[ "$status" = 0 ] || fail "vmm run: exit status $status"
echo "guest: ended $(($(seconds) - start)) s after the start"
