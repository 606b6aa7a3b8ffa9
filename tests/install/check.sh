#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What `make install` left, seen from outside: the programs start, the manual is
# there, and a program that knows only <vmmcore/*.h> and pkg-config builds and
# runs. Called by `make installcheck`, and so by `make distcheck`, which gives
# CC, SAN_CFLAGS, bindir, includedir, libdir, mandir and top_srcdir, all of them
# the places where things lie now.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "installcheck: $*" >&2
	exit 1
}

for program in vmm qcow-tool mkimage; do
	"$bindir/$program" --help >"$work/help" || fail "$program: --help: $?"
	grep -q "^[Uu]sage" "$work/help" || fail "$program: no usage in --help"
	[ -s "$mandir/man1/$program.1" ] || fail "$program.1: missing"
done

export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra flags <<<"$(pkg-config --cflags --libs vmmcore)"
# shellcheck disable=SC2086
$CC -Wall -Werror ${SAN_CFLAGS:-} -o "$work/reader" \
	"$top_srcdir/tests/install/reader.c" "${flags[@]}" ||
	fail "a program does not build against the installed library"
LD_LIBRARY_PATH=$libdir "$work/reader" "$work/disk.qcow2" >"$work/text" ||
	fail "a program built against the library fails"
[ "$(cat "$work/text")" = "written by a stranger" ] || fail "read: wrong"
"$bindir/qcow-tool" check "$work/disk.qcow2" >/dev/null ||
	fail "its image does not check"

# nothing but the public names is visible
nm -D --defined-only "$libdir/libvmmcore.so" | awk '{ print $3 }' |
	grep -Ev '^vc_|^$|^(_init|_fini|__bss_start|_edata|_end)$' >"$work/names" &&
	[ -z "${SAN_CFLAGS:-}" ] && fail "exported: $(head -n 3 "$work/names")"
# every public header is installed
for header in "$top_srcdir"/libvmmcore/include/vmmcore/*.h; do
	[ -e "$includedir/vmmcore/${header##*/}" ] ||
		fail "${header##*/}: not installed"
done
echo "installcheck: the installed library and programs are whole"
