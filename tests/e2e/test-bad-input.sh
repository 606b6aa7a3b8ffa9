#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Bad input where KVM really runs kernels: ones that fail in the guest, and
# files and sockets that a running VM holds. The rest is in tests/tools.
. "$top_srcdir/tests/e2e/lib.sh"

in_testbed bad-input \
	--add "$top_srcdir/tests/lib/make-kernel.sh:/vm/make-kernel.sh" <<'EOT'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
. "$vm/make-kernel.sh"

# ends STATUS LINES TEXT ARGUMENT...: vmm run ARGUMENT... ends with STATUS,
# having said LINES lines on standard error with TEXT in them
ends() {
	status=0
	want=$1 lines=$2 text=$3
	shift 3
	timeout 100 vmm run "$@" </dev/null >"$tmp/stdout" 2>"$tmp/stderr" ||
		status=$?
	echo "--- $*: status $status"
	cat "$tmp/stderr"
	[ $status = "$want" ] || fail "status $status, not $want"
	[ "$(wc -l <"$tmp/stderr")" = "$lines" ] || fail "not $lines line(s)"
	grep -qE -- "$text" "$tmp/stderr" || [ "$lines" = 0 ] || fail "no '$text'"
}

cd "$tmp"
# out 0x64, 0xfe; hlt
make_reset_kernel reset
ends 32 0 '' reset
# ud2, with no handler: a triple fault
printf '\17\13' | make_kernel crash
ends 33 1 '^vmm run: guest crash: .*triple fault' crash
# mov eax, 0xd0000000; jmp rax: no instruction can be fetched there
printf '\270\0\0\0\320\377\340' | make_kernel nowhere
ends 1 1 'vCPU 0: KVM.* at RIP 0xd0000000' nowhere
# a stock kernel with no root panics, and panic=-1 resets
ends 32 0 '' --params quiet "$vm/vmlinuz"
head -c 100000 "$vm/vmlinuz" >cut
ends 1 1 "kernel 'cut': load: truncated" cut
ends 1 1 'load: .* do not fit .* more memory is needed' --mem 64 \
	--initrd "$vm/vmlinuz" "$vm/vmlinuz"

start_vm
expect 'the guest answers' yes "$(guest echo yes)"
ends 1 1 "disk 'fs.qcow2': lock: in use by another process" \
	--block fs.qcow2 reset
ends 1 1 "disk 'fs.qcow2': lock: in use" --block fs.qcow2,ro reset
ends 1 1 'control socket: .*vm.sock: listen: Address already in use' \
	--socket "$sock" reset
expect 'and still answers' yes "$(guest echo yes)"
kill "$vmm"
kill "$vmm"
end_vm
expect 'asked twice at once' 0 "$status"
expect 'processes left' '' "$(vmm_processes)"
expect 'sockets left' '' "$(ls "$tmp" | grep sock || :)"
EOT
