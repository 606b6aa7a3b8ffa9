#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A script that calls qemu-img works with the name changed: its options, exit
# statuses, JSON and what it does to images. See qemu-img-parity.py.
for program in qemu-img qemu-io python3; do
	command -v $program >/dev/null || {
		echo "no $program"
		exit 77
	}
done
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
script=$(realpath "$top_srcdir/tests/tools/qemu-img-parity.py")
cd "$dir"
python3 "$script"
