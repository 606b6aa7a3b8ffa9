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
seen=$(mktemp -d)
trap 'rm -rf "$seen"' EXIT
check() {
	page=$top_srcdir/man/$1
	known=$seen/$1
	shift
	[ -e "$page" ] || {
		echo "$page: missing (for $*)"
		status=1
		return
	}
	"$@" --help | sed -n 's/^  ...  *--\([a-z0-9-]*\).*/\1/p' >"$seen/help"
	grep -q . "$seen/help" || {
		echo "$*: --help names no option"
		status=1
	}
	cat "$seen/help" >>"$known"
	mandoc -T ascii "$page" | col -b | tr -c 'a-z0-9-' '\n' >"$seen/words"
	while read -r opt; do
		[ "$opt" = help ] || grep -qx -e "--$opt" "$seen/words" || {
			echo "${page##*/}: --$opt of '$*' is missing"
			status=1
		}
	done <"$seen/help"
}
# commands PROGRAM...: those that its --help lists
commands() {
	"$@" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  .*/\1/p'
}

for sub in $(commands vmm); do
	case $sub in
	version) continue ;; # has none
	device) continue ;;
	doctor) check vmm.1 vmm doctor ;;
	esac
	check vmm-$sub.1 vmm "$sub"
done
for class in blk console rng vsock; do
	check vmm-device.1 vmm device $class
done
check mkimage.1 mkimage
for sub in $(commands qcow-tool); do
	[ "$sub" = composite ] || check qcow-tool.1 qcow-tool "$sub"
done
for sub in $(commands qcow-tool composite); do
	check qcow-tool.1 qcow-tool composite "$sub"
done
check vmm-agent.8 vmm-agent

# and the other way round: what a page has an entry for is in a --help
for known in "$seen"/*.[1-8]; do
	page=$top_srcdir/man/${known##*/}
	sed -n '/^\.It .*Fl -/p' "$page" | grep -o 'Fl -[a-z0-9-]*' |
		sed 's/Fl -//' | sort -u >"$seen/page"
	while read -r opt; do
		case $opt in
		help | version) continue ;; # also of a program with commands
		esac
		grep -qx -e "$opt" "$known" || {
			echo "${page##*/}: --$opt is in no --help"
			status=1
		}
	done <"$seen/page"
done
exit $status
