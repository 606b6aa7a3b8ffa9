# SPDX-License-Identifier: BSD-3-Clause
# What the scripts of this folder share: who the tests are done as, and counting.

bin=${top_builddir:?run by make check}/tests/sandbox
failures=0

bad() {
	echo "FAIL: $*"
	failures=$((failures + 1))
}

finish() {
	[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
	exit 0
}

# Ordinary users must be able to reach the programs: they get copies.
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vmmkit-sandbox.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

# One line a program: libtool's wrapper scripts stay behind.
for p in try_syscall look_around; do
	if [ -x "$bin/.libs/$p" ]; then
		cp "$bin/.libs/$p" "$tmp/"
	else
		cp "$bin/$p" "$tmp/"
	fi || exit 99
done
cp "$top_builddir/vmm/vmm" "$tmp/" 2>/dev/null

# as WHO COMMAND...: WHO is `root` or `user`
as() {
	who=$1
	shift
	if [ "$who" = user ] && [ "$(id -u)" = 0 ]; then
		setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
	else
		"$@"
	fi
}

if [ "$(id -u)" = 0 ]; then
	everyone='root user'
else
	everyone=user
fi

# Without user namespaces there is no jail to test. That they are refused is
# itself tested, in a namespace of our own making.
"$tmp/look_around" >"$tmp/out" 2>&1
if [ $? = 3 ] && grep -q 'refused by the host' "$tmp/out"; then
	cat "$tmp/out"
	exit 77
fi
