#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The command line: help, errors of one line, exit statuses, what is left after
# a failure, and JSON as qemu-img has it.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fails STATUS PATTERN COMMAND...: that status, one line of error, and no file
fails() {
	want=$1
	pattern=$2
	shift 2
	ls -A >before
	got=0
	"$@" >out 2>err || got=$?
	ls -A >after
	if [ "$got" != "$want" ] || ! grep -q -- "$pattern" err ||
		[ "$(grep -cv '^Try ' err)" != 1 ] ||
		[ "$(head -c 9 err)" != qcow-tool ]; then
		echo "$*: status $got, wanted $want with '$pattern':"
		cat err
		exit 1
	fi
	cmp before after
}
touch before after out err

for sub in info create convert check; do
	qcow-tool $sub --help >help
	grep -q "^Usage: qcow-tool $sub " help
	fails 1 "unknown option" \
		qcow-tool $sub --no-such-option
	fails 1 "too few" qcow-tool $sub
done
rm help
qcow-tool --help | grep -q '^Usage: qcow-tool COMMAND'
qcow-tool --version | grep -q '^qcow-tool [0-9]'
fails 1 "unknown command 'nix'" qcow-tool nix

qcow-tool create -q -f qcow2 a.qcow2 64M
qcow-tool create -q r.raw 1.5M
[ "$(stat -c %s r.raw)" = 1572864 ]
fails 1 "'a.qcow2': not replaced: File exists" \
	qcow-tool create --no-replace -f qcow2 a.qcow2 1M
qcow-tool create -q -f qcow2 a.qcow2 8M
fails 1 "'nothere': open: No such file" qcow-tool info nothere
fails 1 "'nothere': open: No such file" qcow-tool check nothere
fails 1 "nothere: open: No such file" qcow-tool convert nothere x
fails 1 "not a qcow2 image" qcow-tool info -f qcow2 r.raw
fails 1 "not a qcow2 image" qcow-tool convert -f qcow2 r.raw x
fails 1 "not replaced" qcow-tool convert --no-replace r.raw a.qcow2
fails 1 "not replaced" qcow-tool dd --no-replace if=r.raw of=a.qcow2
fails 1 "No such file or directory" qcow-tool convert r.raw nodir/x
fails 1 "not a regular file" qcow-tool convert r.raw /dev/null
fails 1 "not a size" qcow-tool create x 1Q
fails 1 "no SIZE" qcow-tool create x
fails 1 "unknown format" qcow-tool create -f vdi x 1M
fails 1 "power of two" qcow-tool create -f qcow2 -o cluster_size=1000 x 1M
fails 1 "unknown key" qcow-tool create -f qcow2 -o frob=1 x 1M
fails 1 "needs its format" qcow-tool create -f qcow2 -b a.qcow2 x
fails 1 "version 3" \
	qcow-tool create -f qcow2 -o compat=0.10,refcount_bits=8 x 1M
fails 1 "too large" qcow-tool create -f qcow2 -o cluster_size=512 x 1T
fails 63 "nothing to check" qcow-tool check r.raw

head -c 60 a.qcow2 >cut.qcow2
fails 1 "cut short" qcow-tool info cut.qcow2
fails 1 "cut short" qcow-tool convert cut.qcow2 x
head -c 65536 a.qcow2 >cut2.qcow2
fails 1 "beyond the end" qcow-tool convert cut2.qcow2 x

echo "--- check: leak 3, corruption 2"
qcow-tool check a.qcow2 >out
grep -q '^No errors were found on the image.$' out
cp a.qcow2 leak.qcow2
printf '\0\1' | dd of=leak.qcow2 bs=1 seek=$((131072 + 40)) conv=notrunc status=none
status=0
qcow-tool check leak.qcow2 >out 2>err || status=$?
[ $status = 3 ]
grep -q '^Leaked cluster 20 refcount=1 reference=0: refcount block 0x20000 entry 20 ' err
grep -q '^1 leaked clusters were found on the image.$' out
cp a.qcow2 bad.qcow2
printf '\0\0' | dd of=bad.qcow2 bs=1 seek=131072 conv=notrunc status=none
status=0
qcow-tool check bad.qcow2 >out 2>err || status=$?
[ $status = 2 ]
grep -q '^ERROR cluster 0 refcount=0 reference=1: .*; referred to by the header' err
grep -q '^1 errors were found on the image.$' out
status=0
qcow-tool check --output=json bad.qcow2 >out 2>err || status=$?
[ $status = 2 ]
grep -q '"corruptions": 1' out

echo "--- progress"
qcow-tool convert -p -O qcow2 r.raw p.qcow2 | tr '\r' '\n' | tail -n 2 |
	grep -q '^    (100.00/100%)$'

command -v qemu-img >/dev/null && command -v python3 >/dev/null || exit 0
echo "--- JSON and text like qemu-img's"
cat >compare.py <<'PY'
import json, subprocess, sys

def run(tool, *args):
    return subprocess.run([tool, *args], capture_output=True).stdout.decode()

def drop(d):
    d.pop("children", None)
    return d

def compare(sub, path):
    theirs = drop(json.loads(run("qemu-img", sub, "--output=json", path)))
    ours = drop(json.loads(run("qcow-tool", sub, "--output=json", path)))
    missing = {k: v for k, v in theirs.items() if ours.get(k) != v}
    if missing:
        sys.exit(f"{sub} {path}: {missing} but {ours}")
    theirs = run("qemu-img", sub, path)
    ours = run("qcow-tool", sub, path)
    # newer versions of it tell of the file below, too
    if "Child node" not in theirs:
        ours = ours.split("Child node")[0]
    if ours != theirs:
        sys.exit(f"{sub} {path}: text:\n{ours}instead of\n{theirs}")

for path in sys.argv[1:]:
    compare("info", path)
    if not path.endswith(".raw"):
        compare("check", path)
PY
qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 1G
qemu-img create -q -f qcow2 -o cluster_size=4k,refcount_bits=64 big.qcow2 1T
qemu-img create -q -f qcow2 -o extended_l2=on,lazy_refcounts=on ext.qcow2 3G
qemu-img create -q -f qcow2 -b big.qcow2 -F qcow2 over.qcow2
mkdir sub
qemu-img create -q -f qcow2 -u -b nothere.raw -F raw sub/over.qcow2 999M
qemu-io -f qcow2 -c 'write 1M 3M' -c 'write 10M 64k' v2.qcow2 >/dev/null
qemu-io -f qcow2 -c 'write 1M 3M' -c 'write 10G 64k' big.qcow2 >/dev/null
python3 compare.py a.qcow2 r.raw v2.qcow2 big.qcow2 over.qcow2
python3 - <<'PY'
import json, subprocess
for path in ["ext.qcow2", "sub/over.qcow2"]:
    get = lambda tool: json.loads(subprocess.run(
        [tool, "info", "--output=json", path], capture_output=True).stdout)
    ours, theirs = get("qcow-tool"), get("qemu-img")
    for key, value in theirs.items():
        assert ours[key] == value, (path, key, ours.get(key), value)
PY
