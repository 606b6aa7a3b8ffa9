# SPDX-License-Identifier: BSD-3-Clause
# Shared by the tests in which QEMU is the VMM and our devices serve it.
set -u
testbed=$top_srcdir/tests/lib/testbed
accel=
dir=$(mktemp -d "${TMPDIR:-/tmp}/vhost-user.XXXXXX")
pids=()
cleanup() {
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 143' INT TERM HUP

fail() {
	echo "FAIL: $*"
	cat "$dir"/*.txt
	exit 1
}

need() { # PROGRAM...: they are here, or this test cannot run
	local program
	for program; do
		command -v "$program" >/dev/null || {
			echo "no $program"
			exit 77
		}
	done
}

wait_for() { # SECONDS WHAT COMMAND...
	local i nr=$(($1 * 10)) what=$2
	shift 2
	for ((i = 0; i < nr; i++)); do
		"$@" && return
		sleep 0.1
	done
	fail "$what"
}

# start_guest NAME WORDS DEVICE-OPTION...: in the background, its console in
# NAME.txt; sets $qemu
start_guest() {
	local name=$1 words=$2
	shift 2
	[ -n "$accel" ] || accel=$("$testbed" accel) || exit 1 # which says why
	timeout 300 qemu-system-x86_64 -M q35 -accel "$accel" -smp 2 -m 256 \
		-nodefaults -display none -serial stdio -no-reboot \
		-object memory-backend-memfd,id=mem,size=256M,share=on \
		-numa node,memdev=mem "$@" \
		-kernel "$kernel" -initrd "$dir/initrd" \
		-append "console=ttyS0 quiet panic=-1 $words" \
		</dev/null >"$dir/$name.txt" 2>&1 &
	qemu=$!
	pids+=("$qemu")
}
