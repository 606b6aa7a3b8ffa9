#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Killing any process of a VM ends all of it: own exit status, a message that
# names the device, no process left behind.
. "$top_srcdir/tests/e2e/lib.sh"

in_testbed killed.script <<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
for name in virtio-blk0 virtio-rng0 virtio-vsock0; do
	start_vm
	guest true || fail "boot"
	pid=$(device_pid $name)
	[ -n "$pid" ] || fail "$name: no process"
	kill -9 "$pid"
	end_vm
	expect "exit status after $name was killed" 37 "$status"
	expect "message" "vmm run: $name: process: killed by signal 9" \
		"$(cat "$tmp/stderr")"
	expect "processes left" "" "$(vmm_processes)"
done

start_vm
guest true || fail "boot"
for p in $(vmm_processes); do
	tr '\0' ' ' <"/proc/$p/cmdline" | grep -q '^vmm machine ' && kill -9 "$p"
done
end_vm
expect "exit status after the machine was killed" 1 "$status"
expect "message" "vmm run: machine: process: killed by signal 9" \
	"$(cat "$tmp/stderr")"
expect "processes left" "" "$(vmm_processes)"

start_vm
guest true || fail "boot"
kill -9 "$vmm"
end_vm
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ -n "$(vmm_processes)" ] || break
	sleep 0.2
done
expect "processes left after the supervisor was killed" "" "$(vmm_processes)"
E2E
