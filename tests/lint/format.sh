#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Formatting by .clang-format, an SPDX line at the top of every source file, no
# // comments.
set -eu
cd "$top_srcdir"
status=0
files=$(find libvmmcore vmm mkimage qcow-tool guest seccomp tests examples \
	-name '*.[ch]')
for f in $files; do
	head -n 1 "$f" | grep -q SPDX-License-Identifier || {
		echo "$f: no SPDX line"
		status=1
	}
done
if grep -nE '^[[:space:]]*//' $files; then
	echo "// means: do not commit"
	status=1
fi
command -v clang-format >/dev/null || {
	echo "needs clang-format for the rest"
	exit $((status ? status : 77))
}
clang-format --dry-run -Werror $files || status=1
exit $status
