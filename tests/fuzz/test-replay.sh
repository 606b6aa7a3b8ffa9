#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Replay every fuzz target's corpus. A target without one fails.
status=0
nr=0
for target in "$top_builddir"/tests/fuzz/fuzz_*; do
	name=${target##*/fuzz_}
	case $name in
	*.*) continue ;;
	esac
	[ -x "$target" ] || continue
	nr=$((nr + 1))
	echo "--- $name"
	"$target" -runs=0 "$top_srcdir/tests/fuzz/corpus/$name" || {
		echo "FAILED: $name"
		status=1
	}
done
[ "$nr" -gt 0 ] || { echo "no fuzz target was built"; status=1; }
exit $status
