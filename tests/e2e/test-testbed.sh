#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The testbed itself: what goes in, what comes out, and what is left behind.
set -u
testbed=$top_srcdir/tests/lib/testbed
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
expect() { # WHAT WANTED GOT
	[ "$2" = "$3" ] && { echo "ok: $1"; return; }
	echo "FAIL: $1: wanted '$2', got '$3'"
	failed=1
}
mkdir "$dir/tmp"
export TMPDIR="$dir/tmp"

cat >"$dir/script" <<'END'
#!/bin/sh
echo "args: $#:$1:$2"
echo "to stderr" >&2
cat "$TESTBED_ROOT/in/file" "$TESTBED_ROOT/in/dir/other"
"$TESTBED_ROOT/in/true" && echo "a program with its libraries"
head -c 5 "$TESTBED_DISK0"; echo
[ -c /dev/kvm ] && echo kvm
exit 9
END
echo one >"$dir/file"
mkdir "$dir/dir"
echo two >"$dir/dir/other"
printf 'disk!' >"$dir/disk"
truncate -s 1M "$dir/disk"
status=0
out=$("$testbed" run --add "$dir/file:/in/file" --add "$dir/dir:/in/dir" \
	--add /bin/true:/in/true --disk "$dir/disk:ro" \
	-- "$dir/script" "a b" "it's" 2>"$dir/err") || status=$?
expect "exit status" 9 "$status"
expect "output" "args: 2:a b:it's
one
two
a program with its libraries
disk!
kvm" "$out"
expect "stderr apart" "to stderr" "$(grep -v ^testbed: "$dir/err")"
expect "a word on where it ran" 1 "$(grep -c ^testbed: "$dir/err")"

cat >"$dir/sleep" <<'END'
#!/bin/sh
sleep 1000
END
status=0
"$testbed" run --timeout 6 -- "$dir/sleep" >/dev/null 2>&1 || status=$?
expect "a timeout" 124 "$status"
"$testbed" run --timeout 100 -- "$dir/sleep" >/dev/null 2>&1 &
sleep 3
kill $!
status=0
wait $! || status=$?
expect "a signal" 143 "$status"
expect "files left" "" "$(ls "$dir/tmp")"
status=0
"$testbed" run -- "$dir/none" >/dev/null 2>&1 || status=$?
expect "a missing script" 125 "$status"
exit $failed
