#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The policy compiler takes no rule that it does not understand wholly.
compile=${top_builddir:?run by make check}/seccomp/compile
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vmmkit-policy.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
failures=0

bad() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# compile_with RULE: as the third line of a role
compile_with() {
	mkdir -p "$tmp/policies"
	printf '# a role\nread\t# needed\n%s\n' "$1" >"$tmp/policies/r.policy"
	cp "$tmp/policies/r.policy" "$tmp/policies/s.policy"
	"$compile" -o "$tmp/out.c" "$tmp/policies" r s 2>"$tmp/err"
}

while IFS= read -r rule; do
	if compile_with "$rule"; then
		bad "taken: $rule"
	fi
	grep -q 'r.policy:3: ' "$tmp/err" || bad "no line: $rule: $(cat "$tmp/err")"
done <<'RULES'
kill
kill #
kill #   
kil # no such call
kill arg0 == 1 # no colon
ioctl: # no test
ioctl: arg1 = 3 # no such operator
ioctl: arg1 == # no value
ioctl: arg1 == NOPE # no such name
ioctl: arg1 == 12x # no number
ioctl: arg6 == 1 # no such argument
ioctl: arg1 == 1 && # half a test
ioctl: arg1 == 1 || # half a test
ioctl: arg1 == 1 arg2 == 2 # two tests
ioctl: !arg1 & 1 # no parentheses
ioctl: !(arg1 & 1 # half a parenthesis
ioctl: arg1 & 1 # no value
open -> EFOO # no such error
open -> # no error
open -> EPERM EPERM # two errors
@include instrumented
@include ../r
@include
@include r
RULES

while IFS= read -r rule; do
	compile_with "$rule" || bad "refused: $rule: $(cat "$tmp/err")"
done <<'RULES'
kill # a whole call
read # the same again
@riscv64 nonsense # another architecture's
ioctl: arg1 == 0x10 || arg1 == TCGETS # two values
ioctl: arg1 >= 1 && arg2 < 5 # two arguments
mmap: !(arg2 & PROT_EXEC) # a mask
mmap: arg2 & 3 == 1 # a mask and a value
open -> ENOENT # an error
RULES

if "$compile" "$tmp/policies" r missing >/dev/null 2>"$tmp/err"; then
	bad 'a role without a policy'
fi
# the same text, the same program
"$compile" -o "$tmp/a.c" "$top_srcdir/seccomp" machine blk || bad 'compile'
"$compile" -o "$tmp/b.c" "$top_srcdir/seccomp" machine blk || bad 'compile'
cmp "$tmp/a.c" "$tmp/b.c" || bad 'not reproducible'
[ "$failures" = 0 ]
