#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What a program is asked to print has arrived or is an error: every program that
# is installed, and every command of each, with --help and --version.
set -eu
[ -c /dev/full ] || {
	echo 'SKIP: no /dev/full' >&2
	exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/full-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
nr=0

fail() {
	echo "FAIL: $*" >&2
	cat "$work/err" >&2
	exit 1
}

# full COMMAND...: prints something, and says when that is lost
full() {
	nr=$((nr + 1))
	"$@" >"$work/out" 2>"$work/err" || fail "$*: status $?"
	[ -s "$work/out" ] && [ ! -s "$work/err" ] || fail "$*: prints nothing"
	rc=0
	"$@" >/dev/full 2>"$work/err" || rc=$?
	[ $rc -eq 1 ] || fail "$*: status $rc on a full disk"
	[ "$(grep -c . "$work/err")" -eq 1 ] || fail "$*: not one line"
	grep -q "^${1##*/}.*: standard output: write: No space left on device\$" \
		"$work/err" || fail "$*: another line"
}

# commands COMMAND...: it, and those that its help lists, each in turn
commands() {
	echo "$*"
	for sub in $("$@" --help |
		sed -n '/^C[a-z]*:$/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'); do
		[ "$sub" = version ] || commands "$@" "$sub"
	done
}

for program in vmm qcow-tool mkimage; do
	commands $program
done >"$work/commands"
while read -r command; do
	# shellcheck disable=SC2086
	full $command --help
done <"$work/commands"
full vmm machine --help # which is not listed
full vmm version
for program in vmm qcow-tool mkimage "$top_builddir/guest/vmm-agent"; do
	full "$program" --version
done
full "$top_builddir/guest/vmm-agent" --help
full "$top_builddir/guest/vmm-init" --version

# and what they were to say of an image
truncate -s 1M "$work/a.raw"
for command in info 'info --output json' map 'map --output json' \
	'measure --output json -O qcow2'; do
	# shellcheck disable=SC2086
	full qcow-tool $command -f raw "$work/a.raw"
done
echo "$nr commands"
[ $nr -ge 30 ] || fail "only $nr commands"
