#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# `vmm doctor`: text and JSON agree, and the exit status with both.
. "$top_srcdir/tests/sandbox/lib.sh"

"$tmp/vmm" doctor >"$tmp/text"
status=$?
"$tmp/vmm" doctor --json >"$tmp/json"
[ $? = $status ] || bad 'text and JSON end differently'
if grep -q '^MISSING' "$tmp/text"; then
	want=1
	grep -q '"ready": false' "$tmp/json" || bad 'JSON: ready'
else
	want=0
	grep -q '"ready": true' "$tmp/json" || bad 'JSON: not ready'
fi
[ $status = $want ] || bad "status $status instead of $want"

for feature in kvm memfd 'user and pid namespaces' 'network namespaces' \
	'empty root' seccomp landlock pidfd io_uring tun; do
	grep -q "^[a-zA-Z]*  *$feature" "$tmp/text" || bad "no line: $feature"
	grep -q "\"name\": \"$feature\"" "$tmp/json" || bad "JSON: $feature"
done
# this script only goes on where jails work
grep -q '^ok  *empty root' "$tmp/text" || bad 'the jail works, yet is missing'

"$tmp/vmm" doctor operand 2>/dev/null
[ $? = 2 ] || bad 'an operand is taken'

# nothing that can be written to: said, not ignored
if [ -c /dev/full ]; then
	"$tmp/vmm" doctor >/dev/full 2>"$tmp/err"
	[ $? = 1 ] || bad 'a full disk is no error'
	grep -q 'write' "$tmp/err" || bad 'a full disk is not reported'
fi
finish
