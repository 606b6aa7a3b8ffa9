#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Every public header compiles alone, as C and as what an installed user sees:
# public headers and libc only.
set -eu
cd "$top_srcdir"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0
for h in libvmmcore/include/vmmcore/*.h; do
	name=${h##*/}
	printf '#include <vmmcore/%s>\n#include <vmmcore/%s>\n' \
		"$name" "$name" >"$dir/t.c"
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror \
		-fsyntax-only -I libvmmcore/include "$dir/t.c" || status=1
	if grep -n '^#include "' "$h"; then
		echo "$h: includes a header that is not installed"
		status=1
	fi
	grep -q "%D%/include/vmmcore/$name" libvmmcore/Makemodule.am || {
		echo "$h: not in dist_vmmcore_HEADERS"
		status=1
	}
done
exit $status
