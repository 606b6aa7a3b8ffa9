#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# New images, over the options that go together: what was asked for is what
# qemu-img sees, it finds nothing wrong, before and after they were filled, and
# what does not go together is refused as it refuses it.
set -eu
command -v qemu-img >/dev/null && command -v python3 >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

head -c 300000 /dev/urandom >src
head -c 200000 /dev/zero >>src
seq 50000 >>src
truncate -s 3M src
qemu-img create -q -f raw base.raw 3M

# same IMAGE: the JSON of both, as far as qemu-img's goes
same() {
	python3 - "$1" <<-'END'
	import json, subprocess, sys
	def run(*cmd):
	    return json.loads(subprocess.check_output(cmd))
	def check(theirs, ours, where):
	    if isinstance(theirs, dict):
	        for k, v in theirs.items():
	            if k not in ours:
	                sys.exit(f"{where}/{k}: missing")
	            check(v, ours[k], f"{where}/{k}")
	    elif isinstance(theirs, list):
	        if len(theirs) != len(ours):
	            sys.exit(f"{where}: {len(ours)} instead of {len(theirs)}")
	        for i, v in enumerate(theirs):
	            check(v, ours[i], f"{where}/{i}")
	    elif theirs != ours:
	        sys.exit(f"{where}: {ours} instead of {theirs}")
	theirs = run("qemu-img", "info", "--output=json", sys.argv[1])
	theirs.pop("children", None)
	check(theirs, run("qcow-tool", "info", "--output=json", sys.argv[1]),
	      sys.argv[1])
	END
}

one() { # OPTIONS [-c]
	rm -f a.qcow2 b.qcow2 d.raw
	qcow-tool create -q -f qcow2 -o "$1" a.qcow2 3M
	qemu-img check -q a.qcow2
	rm -f d.raw
	qcow-tool convert -O qcow2 ${2:-} -o "$1" src b.qcow2
	qemu-img check -q b.qcow2
	qemu-img compare -q src b.qcow2
	same b.qcow2
	# and it is written to by another program, then read here
	qemu-io -c 'write -P 7 100k 77k' b.qcow2 >/dev/null
	rm -f c.raw e.raw
	qcow-tool convert --allow-backing -O raw b.qcow2 c.raw
	qemu-img convert -O raw b.qcow2 e.raw
	cmp c.raw e.raw
}

echo "--- what goes together"
# each cluster size with each value of everything else, turn by turn
refcounts=(1 2 4 8 16 32 64)
types=(zlib zstd)
modes=(metadata falloc full)
flags=('' ,lazy_refcounts=on)
raw=(on off)
n=0
for cluster in 512 4k 64k 2M; do
	one "cluster_size=$cluster,refcount_bits=${refcounts[n % 7]}${flags[n % 2]}"
	one "cluster_size=$cluster,refcount_bits=${refcounts[(n + 4) % 7]},compression_type=${types[n % 2]}" -c
	one "cluster_size=$cluster,preallocation=${modes[n % 3]}"
	one "cluster_size=$cluster,data_file=d.raw,data_file_raw=${raw[n % 2]}"
	[ "${raw[n % 2]}" = off ] || cmp d.raw c.raw
	n=$((n + 1))
done
one compat=0.10
one compat=0.10,cluster_size=512 -c
for cluster in 16k 2M; do
	one "cluster_size=$cluster,extended_l2=on,refcount_bits=${refcounts[n % 7]}"
	one "cluster_size=$cluster,extended_l2=on,compression_type=${types[n % 2]}" -c
	one "cluster_size=$cluster,extended_l2=on,preallocation=${modes[n % 3]},lazy_refcounts=on"
	n=$((n + 1))
done

echo "--- what does not"
refused() {
	local status=0
	rm -f x.qcow2 d.raw
	qcow-tool create -q -f qcow2 "$@" x.qcow2 3M 2>err || status=$?
	[ $status = 1 ] || { echo "$*: status $status" >&2; exit 1; }
	[ ! -e x.qcow2 ] && [ ! -e d.raw ] && [ "$(wc -l <err)" = 1 ]
}
for o in compat=0.10,lazy_refcounts=on compat=0.10,extended_l2=on \
	compat=0.10,compression_type=zstd compat=0.10,data_file=d.raw \
	compat=0.10,refcount_bits=1 cluster_size=8k,extended_l2=on \
	data_file_raw=on; do
	refused -o "$o"
done
refused -b base.raw
refused -b nothere -F raw
refused -b base.raw -F raw -o preallocation=metadata
refused -b base.raw -F raw -o data_file=d.raw,data_file_raw=on
refused -b base.raw -F raw -o extended_l2=on --compat crosvm

echo "--- backing files: looked at, or not"
qcow-tool create -q -f qcow2 -b base.raw -F raw o.qcow2
same o.qcow2
qcow-tool create -q -f qcow2 -u -b nothere -F raw u.qcow2 1M
! qcow-tool create -q -f qcow2 -u -b nothere -F raw v.qcow2 2>/dev/null
qcow-tool create -q -f qcow2 -b o.qcow2 -F qcow2 p.qcow2
qcow-tool info --backing-chain --output=json p.qcow2 >chain
python3 -c 'import json; assert [i["filename"] for i in json.load(
    open("chain"))] == ["p.qcow2", "o.qcow2", "base.raw"]'
qcow-tool create -q -f qcow2 -u -b l.qcow2 -F qcow2 l.qcow2 1M
! qcow-tool info --backing-chain l.qcow2 >/dev/null 2>err
grep -q 'deeper than 64, or a loop' err

echo "--- for crosvm"
qcow-tool create -q -f qcow2 --compat crosvm -b base.raw -F raw k.qcow2
qcow-tool info --output=json k.qcow2 | grep -q '"for-crosvm": true'
python3 - k.qcow2 <<-'END'
	import struct, sys
	d = open(sys.argv[1], "rb").read(4096)
	assert struct.unpack(">I", d[4:8])[0] == 3
	assert struct.unpack(">I", d[96:100])[0] == 4
	pos, seen = struct.unpack(">I", d[100:104])[0], {}
	while True:
	    kind, size = struct.unpack(">II", d[pos:pos + 8])
	    if not kind:
	        break
	    seen[kind] = d[pos + 8:pos + 8 + size]
	    pos += 8 + (size + 7 & ~7)
	assert seen[0xE279268F] == b"raw" and seen[0xE2792ACA] == b"raw"
END
exit 0
