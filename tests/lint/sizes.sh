#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# No file over 1000 lines, no function over 100: a sign to split.
set -eu
cd "$top_srcdir"
status=0
for f in $(find libvmmcore vmm mkimage qcow-tool guest seccomp tests examples \
	-name '*.[ch]'); do
	awk -v f="$f" '
		/^\{/ { start = NR }
		/^\}/ && start {
			if (NR - start > 100) {
				print f ":" start ": a function of " \
					NR - start " lines"
				bad = 1
			}
			start = 0
		}
		END {
			if (NR > 1000) {
				print f ": " NR " lines"
				bad = 1
			}
			exit bad
		}' "$f" || status=1
done
exit $status
