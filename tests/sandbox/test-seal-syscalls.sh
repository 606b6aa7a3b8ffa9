#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Every role tries what it must not do, in the jail of the real process.
. "$top_srcdir/tests/sandbox/lib.sh"

probes=$("$tmp/try_syscall" list)
is_instrumented=false
"$tmp/try_syscall" instrumented && is_instrumented=true

# a sanitizer's run time gets an answer for these, and nothing else
answered() {
	$is_instrumented || return 1
	case $1 in open | create) ;; *) return 1 ;; esac
}

# the shell's own report of a killed child
exec 3>&2 2>"$tmp/stderr"

for who in $everyone; do
	for role in machine vcpu blk console rng vsock; do
		out=$(as $who "$tmp/try_syscall" $role kill permitted)
		[ "$out" = 'permitted: ok' ] ||
			bad "$role as $who: what it needs: $out"
		for p in $probes; do
			out=$(as $who "$tmp/try_syscall" $role kill "$p")
			status=$?
			if answered "$p"; then
				[ "$out" = "$p: EACCES" ] ||
					bad "$role as $who: $p: $out"
			elif [ $status != 159 ] && {
				# without 32-bit calls in the kernel: SIGSEGV
				[ "$p" != int80 ] || [ $status != 139 ]
			}; then
				bad "$role as $who: $p: status $status $out"
			fi
		done
		# nothing is killed, so one process tries them all
		as $who "$tmp/try_syscall" $role errno all >"$tmp/out"
		status=$?
		[ $status = 0 ] || bad "$role as $who: errno: status $status"
		[ "$(grep -c . "$tmp/out")" -ge 45 ] ||
			bad "$role as $who: errno: few probes ran"
		while IFS=': ' read -r p result; do
			if answered "$p"; then
				want=EACCES
			else
				want=EPERM
			fi
			[ "$result" = $want ] ||
				bad "$role as $who: errno: $p: $result"
		done <"$tmp/out"
	done
done

# what is only logged goes on to the next layer, which answers
out=$("$tmp/try_syscall" rng log personality)
[ "$out" = 'personality: ok' ] || bad "log: $out"
exec 2>&3
finish
