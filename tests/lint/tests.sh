#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A test that is on no list is not run, and nobody would know: each script is in
# its folder's Makemodule.am, each suite of unit tests in its program.
set -eu
cd "$top_srcdir"
status=0

# on_list FILE: in the list of its folder
on_list() {
	grep -qF "%D%/${1##*/}" "${1%/*}/Makemodule.am" || {
		echo "$1: not in ${1%/*}/Makemodule.am"
		status=1
	}
}

for f in tests/*/test-*.sh tests/lint/*.sh; do
	on_list "$f"
	[ -x "$f" ] || {
		echo "$f: cannot be run"
		status=1
	}
done
for f in tests/unit/*/test_*.c; do
	on_list "$f"
	for suite in $(sed -n 's/^TEST_SUITE(\(.*\))$/\1/p' "$f"); do
		# said there, and run
		[ "$(grep -ow "$suite" "${f%/*}/main.c" | wc -l)" -ge 2 ] || {
			echo "$f: $suite is not in ${f%/*}/main.c"
			status=1
		}
	done
done
exit $status
