#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Ten starts in a row leave no file, socket, process, mount, namespace or shared
# memory behind.
. "$top_srcdir/tests/e2e/lib.sh"

in_testbed ten.script <<'E2E'
#!/bin/sh
. "${TESTBED_ROOT-}/vm/guest.sh"
state() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev/pts \) -prune \
		-o ! -path "$tmp/state*" ! -path "$tmp/std*" \
		! -path "$tmp/console" -print | sort
	find /dev/shm /run 2>/dev/null | sort
	cat /proc/self/mounts
	ls /sys/fs/cgroup | sort
	vmm_processes
}
: >"$tmp/console"
: >"$tmp/stderr"
state >"$tmp/state.before"
for i in 1 2 3 4 5 6 7 8 9 10; do
	start_vm
	if [ $i = 1 ]; then
		guest true || fail "boot"
	else
		# another moment of the boot each time
		until [ -S "$sock" ]; do
			kill -0 "$vmm" 2>/dev/null || fail "start $i"
			sleep 0.1
		done
		sleep $((i / 2))
	fi
	case $i in
	*[13579]) vmm stop --force "$sock" || fail "stop $i" ;;
	*) kill "$vmm" ;;
	esac
	end_vm
	expect "exit status of start $i" 0 "$status"
	: >"$tmp/console"
done
state >"$tmp/state.after"
diff "$tmp/state.before" "$tmp/state.after" || fail "something was left"
echo "ok: nothing left"
E2E
