#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The ACPI tables, as ACPICA's own tools read them: each disassembles, and the
# DSDT compiles again without a remark that counts and to the same bytes.
command -v iasl >/dev/null || { echo "no iasl"; exit 77; }
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
for machine in "1 32" "2 2048" "64 65536" "254 4096"; do
	echo "--- $machine"
	rm -f ./*
	# shellcheck disable=SC2086 # two words
	"$top_builddir"/tests/unit/vmm/dump-acpi $machine
	for table in FACS DSDT FACP APIC MCFG XSDT; do
		iasl -d $table.dat >$table.log 2>&1
		if grep -iE 'error|warning|invalid|incorrect' $table.log \
			$table.dsl; then
			cat $table.log
			exit 1
		fi
	done
	iasl -vw 3144 -p again DSDT.dsl >compile.log 2>&1 || {
		cat compile.log
		exit 1
	}
	grep -q '^Compilation successful. 0 Errors, 0 Warnings' compile.log || {
		cat compile.log
		exit 1
	}
	# all but the header: compiler's name and version, checksum
	tail -c +37 DSDT.dat >ours
	tail -c +37 again.aml >theirs
	cmp ours theirs
done
