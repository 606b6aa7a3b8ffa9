# SPDX-License-Identifier: BSD-3-Clause
# Shared by the tests of what vmm says to bad input: one line, its form, the
# exit status, and that nothing is left behind.
set -u
. "$top_srcdir/tests/lib/make-kernel.sh"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vmmkit-errors.XXXXXX") || exit 99
listener=
cleanup() {
	[ -z "$listener" ] || kill "$listener" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$tmp"
# ordinary users must be able to reach the program: they get a copy
cp "$top_builddir/vmm/vmm" "$tmp/vmm" || exit 99
mkdir "$tmp/work" && chmod 777 "$tmp/work" && cd "$tmp/work" || exit 99
PATH=$tmp:$PATH
failures=0

bad() {
	echo "FAIL: $*"
	[ ! -s "$tmp/err" ] || sed 's/^/	/' "$tmp/err"
	failures=$((failures + 1))
}

finish() {
	[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
	exit 0
}

# Processes of session $1 that have not ended.
session() {
	# after the name, which is in brackets: state ppid pgrp session
	cat /proc/[0-9]*/stat 2>/dev/null |
		sed -n "s/^\\([0-9]*\\) (.*) [^Z] [0-9]* [0-9]* $1 .*/\\1/p"
}

# refused STATUS TEXT COMMAND...: COMMAND, in a session of its own, ends soon
# with STATUS; says one line of the right form with TEXT (a regular expression)
# in it; and leaves no process and no file.
refused() {
	want=$1
	text=$2
	shift 2
	before=$(ls -A)
	# shellcheck disable=SC2016
	setsid -w sh -c 'echo $$ >"$0"; exec timeout 30 "$@"' "$tmp/sid" \
		"$@" </dev/null >"$tmp/out" 2>"$tmp/err"
	status=$?
	left=$(session "$(cat "$tmp/sid")")
	[ $status = "$want" ] || bad "$*: status $status, not $want"
	[ -z "$left" ] || bad "$*: left processes $left"
	[ "$before" = "$(ls -A)" ] || bad "$*: left files: $(ls -A)"
	[ ! -s "$tmp/out" ] || bad "$*: said on standard output: $(cat "$tmp/out")"
	head -n 1 "$tmp/err" | grep -qE -- "$text" || bad "$*: no '$text'"
	if [ "$want" = 2 ]; then
		form='^vmm( [a-z]+){0,2}: .+'
		[ "$(sed -n 2p "$tmp/err" | cut -d' ' -f1)" = Try ] ||
			bad "$*: does not name --help"
		lines=2
	else
		form='^vmm [a-z]+( blk)?: [^:]+: [^:]+: .+'
		lines=1
	fi
	head -n 1 "$tmp/err" | grep -qE "$form" || bad "$*: form of the line"
	[ "$(wc -l <"$tmp/err")" = $lines ] || bad "$*: not $lines line(s)"
}

# Does /dev/kvm open, for those cases that get as far as that? (What is not there
# would be made by the attempt.)
has_kvm() {
	# shellcheck disable=SC2217
	[ -c /dev/kvm ] && { : <>/dev/kvm; } 2>/dev/null
}
