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

# what a script leaves behind goes with it
cat >"$dir/leaves" <<END
#!/bin/sh
mktemp
sh -c 'while :; do sleep 1; done' left-by-$$ >/dev/null 2>&1 &
END
"$testbed" run -- "$dir/leaves" >"$dir/made" 2>/dev/null
expect "files left by a script" "" "$(ls "$dir/tmp")"
[ ! -e "$(cat "$dir/made")" ] || expect "its file" "" "$(cat "$dir/made")"
expect "processes left by a script" "" "$(pgrep -f "left-by-$$\$")"

# --- the choice, and its reason
how() { # WHAT PATTERN COMMAND...: how it is done, and why
	what=$1 pattern=$2
	shift 2
	said=$("$@" "$testbed" how 2>&1 | tr '\n' ' ')
	echo "$what: $said"
	echo "$said" | grep -qE "$pattern" && return
	expect "$what" "$pattern" "$said"
}
how "as told" '^testbed: in a machine .*: by order tcg $' \
	env VMMKIT_TESTBED=tcg
how "as told" '^testbed: on this host.*: by order direct $' \
	env VMMKIT_TESTBED=direct
how "told nonsense" '^testbed: VMMKIT_TESTBED=maybe: must be tcg or direct $' \
	env VMMKIT_TESTBED=maybe
export VMMKIT_TESTBED=
how "this host" '^testbed: .* (tcg|direct) $'
# hosts with another /dev/kvm, or none
cat >"$dir/host" <<'END'
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs -o mode=755 dev /dev &&
	mknod -m 666 /dev/null c 1 3 && eval "$KVM" && exec "$@"' sh "$@"
END
cat >"$dir/nobody" <<'END'
#!/bin/sh
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
END
chmod 755 "$dir" "$dir/host" "$dir/nobody"
if KVM=: "$dir/host" true 2>/dev/null; then
	emulated='^testbed: in a machine emulated by QEMU: '
	export KVM
	KVM=:
	how "no KVM" "$emulated"'this host has no /dev/kvm tcg $' "$dir/host"
	KVM='mknod -m 600 /dev/kvm c 10 232'
	how "no permission" "$emulated"'/dev/kvm: open: Permission denied tcg $' \
		"$dir/host" "$dir/nobody"
	KVM='mknod -m 666 /dev/kvm c 10 254'
	how "no driver" "$emulated"'/dev/kvm: open: No such (device|file).* tcg $' \
		"$dir/host"
else
	echo "not root: another /dev/kvm cannot be arranged"
fi
exit $failed
