#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Man pages: mandoc finds nothing, each is installed, every program has one, and
# every long option that --help names is in the page.
set -eu
command -v mandoc >/dev/null || {
	echo "needs mandoc"
	exit 77
}
status=0
for page in "$top_srcdir"/man/*.[1-8]; do
	mandoc -T lint -W warning "$page" || status=1
	grep -q "%D%/${page##*/}" "$top_srcdir/man/Makemodule.am" || {
		echo "$page: not in dist_man_MANS"
		status=1
	}
done

# check PAGE COMMAND...: the options of `COMMAND --help` are in the page
check() {
	page=$top_srcdir/man/$1
	shift
	[ -e "$page" ] || {
		echo "$page: missing (for $*)"
		status=1
		return
	}
	text=$(mandoc -T ascii "$page" | col -b)
	for opt in $("$@" --help | sed -n 's/^  ...  *--\([a-z0-9-]*\).*/\1/p'); do
		[ "$opt" = help ] && continue
		case $text in
		*"--$opt"*) ;;
		*)
			echo "${page##*/}: --$opt is missing"
			status=1
			;;
		esac
	done
}
check vmm-run.1 vmm run
check vmm-stop.1 vmm stop
check vmm-exec.1 vmm exec
for class in blk console rng vsock; do
	check vmm-device.1 vmm device $class
done
check vmm.1 vmm doctor
check mkimage.1 mkimage
for sub in info create convert check; do
	check qcow-tool.1 qcow-tool $sub
done
check qcow-tool.1 qcow-tool composite create
check qcow-tool.1 qcow-tool composite info
check vmm-agent.8 vmm-agent
exit $status
