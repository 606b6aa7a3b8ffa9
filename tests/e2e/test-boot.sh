#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A guest boots in jails, sees its vCPUs, runs commands, keeps what it wrote.
. "$top_srcdir/tests/e2e/lib.sh"

"$testbed" initrd -o "$top_builddir/tests/e2e/button-initrd" --module evdev \
	--module button --script "$top_srcdir/tests/e2e/machine-guest.sh"
in_testbed boot.script --add \
	"$top_builddir/tests/e2e/button-initrd:/vm/button-initrd" <<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
start_vm
out=$(guest echo hello from the guest) || fail "exec: status $?"
expect "a command's output" "hello from the guest" "$out"
expect "a second vCPU" 2 "$(guest nproc)"
status=0
guest sh -c 'exit 7' || status=$?
expect "a command's exit status" 7 "$status"
expect "standard input" "to upper" "$(echo TO UPPER | guest tr A-Z a-z)"
expect "standard error apart" "" "$(guest sh -c 'echo x >&2' 2>/dev/null)"
guest dd if=/dev/hwrng of=/dev/null bs=64 count=1 2>/dev/null ||
	fail "virtio-rng gives nothing"
echo "ok: virtio-rng"

# every process of the VM but the supervisor is in a jail of its own
nr=0
for p in $(vmm_processes); do
	[ "$p" != "$vmm" ] || continue
	nr=$((nr + 1))
	for ns in user pid mnt net ipc uts cgroup; do
		[ "$(readlink "/proc/$p/ns/$ns")" != \
			"$(readlink "/proc/$vmm/ns/$ns")" ] ||
			fail "process $p shares the $ns namespace"
	done
	for t in /proc/"$p"/task/*; do
		grep -q '^Seccomp:[[:space:]]*2$' "$t/status" ||
			fail "thread ${t##*/} of $p has no seccomp program"
		grep -q '^NoNewPrivs:[[:space:]]*1$' "$t/status" ||
			fail "thread ${t##*/} of $p may gain privileges"
		grep -q '^CapEff:[[:space:]]*0*$' "$t/status" ||
			fail "thread ${t##*/} of $p has capabilities"
	done
done
expect "jailed processes (machine, blk, rng, vsock)" 4 "$nr"

guest sh -c 'echo kept >/root/file; sync' || fail "write"
vmm stop "$sock" || fail "vmm stop"
end_vm
expect "exit status after vmm stop" 0 "$status"
qcow-tool check "$tmp/fs.qcow2" || fail "qcow-tool check"

start_vm
expect "what the guest wrote before" kept "$(guest cat /root/file)"
# the guest's own way out
guest sh -c 'sync; echo o >/proc/sysrq-trigger' || true
end_vm
expect "exit status after the guest powered off" 0 "$status"

start_vm
guest true || fail "third boot"
guest sh -c 'echo b >/proc/sysrq-trigger' || true
end_vm
expect "exit status after a reset" 32 "$status"

# from an image on top of the one before, opened by the supervisor
qcow-tool create -q -f qcow2 -b fs.qcow2 -F qcow2 "$tmp/over.qcow2"
before=$(md5sum <"$tmp/fs.qcow2")
disk=over.qcow2,backing=on
start_vm
expect "what the image below has" kept "$(guest cat /root/file)"
guest sh -c 'echo above >/root/file; sync' || fail "write above"
expect "the image below" "$before" "$(md5sum <"$tmp/fs.qcow2")"
vmm stop --force "$sock"
end_vm
expect "exit status after vmm stop --force" 0 "$status"
expect "processes left" "" "$(vmm_processes)"

# a guest without an agent is asked by the power button
: >"$tmp/console"
vmm run --initrd "$vm/button-initrd" --params "quiet do=button" \
	--socket "$sock" --serial "type=file,path=$tmp/console,console" \
	"$vm/vmlinuz" </dev/null 2>"$tmp/stderr" &
vmm=$!
until grep -q IDLE "$tmp/console"; do
	kill -0 "$vmm" 2>/dev/null || fail "button: no boot"
	sleep 0.2
done
vmm stop "$sock" || fail "vmm stop by the button"
end_vm
expect "exit status after the power button" 0 "$status"
grep -q 'BUTTON 1 116 1' "$tmp/console" || fail "no power button in the guest"
E2E
