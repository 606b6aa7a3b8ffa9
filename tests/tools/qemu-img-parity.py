# SPDX-License-Identifier: BSD-3-Clause
"""qcow-tool beside qemu-img: the options that its help lists, and a table of
invocations that both run on images that are alike. Exit statuses are equal, so
is what is printed as JSON (more is allowed), and the images are alike
afterwards. Where they are not meant to be, the table says so."""
import json
import os
import re
import shutil
import subprocess
import sys

failures = 0


def fail(text):
    global failures
    failures += 1
    print(text)


def run(tool, args, cwd="."):
    p = subprocess.run([tool, *args], cwd=cwd, capture_output=True)
    return (p.returncode, p.stdout.decode(errors="replace"),
            p.stderr.decode(errors="replace"))


# --- options ----------------------------------------------------------------

# What this program has not; the man page says why.
NOT_HERE = ("bench",)


def synopses():
    """{command: {option: takes a value}} of qemu-img."""
    text = run("qemu-img", ["--help"])[1]
    text = text[text.index("Command syntax:"):text.index("Command parameters")]
    commands = {}
    for line in text.splitlines()[1:]:
        m = re.match(r"  (\w+) (.*)", line)
        if not m:
            continue
        options = {}
        # "-r [leaks | all]" is an option with a value, "[+ | -]size" is none
        rest = m[2].replace("[leaks | all]", "what").replace("[+ | -]", "")
        for o in re.finditer(r"(?<![\w-])(--?[A-Za-z][\w-]*)(=|\s+)?"
                             r"([^\s\]|)=-][^\s\]|)]*)?", rest):
            name, value = o[1], bool(o[3])
            if rest[:o.start()].endswith("[") and \
               rest[o.end():o.end() + 1] == "]" and not o[3]:
                value = False
            options[name] = value
        commands[m[1]] = options
    return commands


def our_options(command):
    """{option: takes a value} of qcow-tool."""
    status, text, _ = run("qcow-tool", [command, "--help"])
    if status:
        fail(f"{command} --help: {status}")
    options = {}
    for line in text.splitlines():
        m = re.match(r"  (?:(-\w), |    )(--[\w-]+)(?: ([A-Z]\S*))?", line)
        if m:
            options[m[2]] = bool(m[3])
            if m[1]:
                options[m[1]] = bool(m[3])
    return options


def compare_options():
    count = 0
    for command, options in synopses().items():
        if command in NOT_HERE:
            continue
        ours = our_options(command)
        for name, value in options.items():
            count += 1
            if name not in ours:
                fail(f"{command}: no option {name}")
            elif ours[name] != value:
                fail(f"{command} {name}: takes a value: {ours[name]}")
    if count < 100:
        fail(f"only {count} options found in qemu-img's help")


def keys(tool, args):
    status, text, err = run(tool, args)
    if status:
        fail(f"{tool} {args}: {status} {err}")
    return set(re.findall(r"^  ([\w.-]+)=", text, re.M))


def compare_keys():
    for args in (["create", "-f", "qcow2", "-o", "help"],
                 ["create", "-f", "qcow2", "-o", "?"],
                 ["create", "-f", "raw", "-o", "help"],
                 ["create", "-o", "help"],
                 ["convert", "-O", "qcow2", "-o", "help"],
                 ["convert", "-o", "help"],
                 ["amend", "-f", "qcow2", "-o", "help"]):
        missing = {k for k in keys("qemu-img", args) - keys("qcow-tool", args)
                   if not k.startswith("encrypt")}
        if missing or not keys("qcow-tool", args):
            fail(f"{args}: no key {missing}")


# --- invocations ------------------------------------------------------------

def make_images():
    """The images that every invocation starts from."""
    def q(*args):
        status, _, err = run("qemu-img", args)
        assert status == 0, (args, err)

    def io(fmt, path, *cmds):
        p = subprocess.run(["qemu-io", "-f", fmt,
                            *[x for c in cmds for x in ("-c", c)], path],
                           capture_output=True)
        assert p.returncode == 0, p.stderr

    q("create", "-q", "-f", "raw", "r.raw", "2M")
    io("raw", "r.raw", "write -P 1 0 300k", "write -P 2 1M 64k")
    q("convert", "-O", "qcow2", "r.raw", "a.qcow2")
    q("convert", "-c", "-O", "qcow2", "r.raw", "c.qcow2")
    q("create", "-q", "-f", "qcow2", "-o", "compat=0.10", "v2.qcow2", "1M")
    q("create", "-q", "-f", "qcow2", "-b", "r.raw", "-F", "raw", "o.qcow2")
    io("qcow2", "o.qcow2", "write -P 3 64k 64k", "write -z 128k 64k")
    q("create", "-q", "-f", "qcow2", "-b", "o.qcow2", "-F", "qcow2",
      "oo.qcow2")
    io("qcow2", "oo.qcow2", "write -P 4 256k 64k")
    q("create", "-q", "-f", "qcow2", "s.qcow2", "2M")
    io("qcow2", "s.qcow2", "write -P 1 0 128k")
    q("snapshot", "-c", "one", "s.qcow2")
    io("qcow2", "s.qcow2", "write -P 2 64k 128k")
    q("snapshot", "-c", "1", "s.qcow2")
    q("create", "-q", "-f", "qcow2", "b.qcow2", "2M")
    q("bitmap", "--add", "b.qcow2", "b0")
    q("bitmap", "--add", "-g", "4k", "b.qcow2", "b1")
    io("qcow2", "b.qcow2", "write -P 5 0 128k")
    q("bitmap", "--disable", "b.qcow2", "b1")
    shutil.copy("s.qcow2", "sb.qcow2")
    q("bitmap", "--add", "sb.qcow2", "b")
    q("create", "-q", "-f", "qcow2", "-o", "data_file=d.data", "d.qcow2", "1M")
    io("qcow2", "d.qcow2", "write -P 6 64k 64k")
    q("create", "-q", "-f", "qcow2", "z.qcow2", "2M")
    q("create", "-q", "-f", "qcow2", "t.qcow2", "2M")
    io("qcow2", "t.qcow2", "write -P 7 0 2M")
    q("create", "-q", "-f", "qcow2", "--object", "secret,id=k,data=x",
      "-o", "encrypt.format=aes,encrypt.key-secret=k",
      "e.qcow2", "1M")
    with open("bad.qcow2", "wb") as f:
        f.write(open("a.qcow2", "rb").read(100))
    shutil.copy("a.qcow2", "leak.qcow2")
    with open("leak.qcow2", "r+b") as f:
        f.seek(0x20000 + 2 * 40)
        f.write(b"\0\1")
        f.truncate(41 * 65536)
    shutil.copy("a.qcow2", "corrupt.qcow2")
    with open("corrupt.qcow2", "r+b") as f:
        f.seek(0x20000 + 2 * 6)
        f.write(b"\0\0")


# "B": opening what an image names is asked for here. "!": they differ, and the
# status after it is ours. "~": only the status is the same.
TABLE = """
info a.qcow2 --output=json
info -f qcow2 --output json a.qcow2
info -f raw --output=json a.qcow2
info --image-opts --output=json driver=qcow2,file.driver=file,file.filename=a.qcow2
info --image-opts --output=json file.filename=a.qcow2
info --image-opts --output=json driver=qcow2,file.filename=a.qcow2,read-only=on,cache.direct=off
info --image-opts --output=json driver=raw,file.filename=r.raw
info --image-opts driver=file,filename=r.raw
info --image-opts driver=qcow2,filename=a.qcow2
info --image-opts filename=a.qcow2
info --image-opts driver=qcow2
info --image-opts driver=nosuch,file.filename=a.qcow2
info --image-opts driver=qcow2,file.filename=a.qcow2,frob=1
info --image-opts driver=qcow2,file.filename=nothere
info --image-opts driver=qcow2,file.driver=nbd,file.filename=a.qcow2
info --image-opts -f qcow2 file.filename=a.qcow2
info --image-opts driver=raw,file.filename=a,,b
info --object secret,id=s,data=x --output=json a.qcow2
info --object secret,data=x a.qcow2
info --object frob,id=x a.qcow2
info -U --output=json s.qcow2
info --output=json b.qcow2
info --output=json d.qcow2
info --output=json e.qcow2
info --output=json v2.qcow2
info --output=json c.qcow2
info --output=json r.raw
info --output=json o.qcow2
info --output=json --backing-chain oo.qcow2
info --output=xml a.qcow2
info nothere
info bad.qcow2
info a.qcow2 r.raw
info
info --no-such a.qcow2
check a.qcow2 --output=json
check -f qcow2 -q a.qcow2
check -U -T none a.qcow2
check -T nosuch a.qcow2
check --image-opts driver=qcow2,file.filename=a.qcow2
check --output=json leak.qcow2
check --output=json corrupt.qcow2
check -r leaks leak.qcow2
!2 check -r leaks corrupt.qcow2
check -r all corrupt.qcow2
check -r all --output=json leak.qcow2
check -r some a.qcow2
check r.raw
check -f raw a.qcow2
check nothere
check bad.qcow2
check c.qcow2 --output=json
check s.qcow2 --output=json
check b.qcow2 --output=json
map --output=json a.qcow2
map --output=json -f raw r.raw
map --output=json --start-offset=64k --max-length=1M a.qcow2
map --output=json -s 1M a.qcow2
~ map --output=json -s 3M a.qcow2
map --output=json B oo.qcow2
map --output=json --image-opts driver=qcow2,file.filename=a.qcow2
map -U a.qcow2
map --output=json d.qcow2
map d.qcow2
map nothere
map --start-offset=x a.qcow2
!0 map c.qcow2
measure --output=json --size 1G -O qcow2
measure --output=json --size 1G
measure --output=json -O qcow2 -o cluster_size=4k,refcount_bits=1 --size 10G
measure --output=json -O qcow2 -o extended_l2=on --size 1T
measure --output=json -O qcow2 -o preallocation=full --size 1G
measure --output=json -O qcow2 r.raw
measure --output=json -f qcow2 -O raw a.qcow2
measure --output=json -O qcow2 b.qcow2
measure --output=json -O qcow2 -l one s.qcow2
measure --output=json -O qcow2 -l snapshot.id=1 s.qcow2
measure --output=json -O qcow2 --image-opts driver=qcow2,file.filename=a.qcow2
measure -O qcow2
measure -O qcow2 --size 1G a.qcow2
measure -O qcow2 -o cluster_size=100 --size 1G
measure -O nosuch --size 1G
measure -l nosuch s.qcow2
compare a.qcow2 r.raw
compare -f qcow2 -F raw -p a.qcow2 r.raw
compare -s a.qcow2 c.qcow2
compare -q a.qcow2 t.qcow2
compare a.qcow2 v2.qcow2
compare -s a.qcow2 v2.qcow2
compare -U -T none a.qcow2 r.raw
compare a.qcow2 nothere
compare nothere a.qcow2
compare -f qcow2 r.raw a.qcow2
compare a.qcow2
compare --image-opts driver=qcow2,file.filename=a.qcow2 driver=raw,file.filename=r.raw
compare B o.qcow2 r.raw
create -f qcow2 n.qcow2 1G
create -f qcow2 a.qcow2 1G
create -q n.raw 1.5M
create n.raw 0x10000
create -f qcow2 n.qcow2 1k
create n.raw 1000
create n.raw 1B
create n.raw 1Q
create n.raw 1.5
create n.raw 1MB
create n.raw -- -1
create n.raw 16E
create n.raw
create
create -f nosuch n.raw 1M
create -f qcow2 -o size=2M n.qcow2
create -f qcow2 -o size=2M n.qcow2 1M
create -f qcow2 -o cluster_size=64k,cluster_size=4k n.qcow2 1M
create -f qcow2 -o lazy_refcounts n.qcow2 1M
create -f qcow2 -o lazy_refcounts=yes n.qcow2 1M
create -f qcow2 -o lazy_refcounts=maybe n.qcow2 1M
create -f qcow2 -o compat=v3,refcount_bits=64,compression_type=zstd n.qcow2 1M
create -f qcow2 -o compat=0.10,lazy_refcounts=on n.qcow2 1M
create -f qcow2 -o compat=9 n.qcow2 1M
create -f qcow2 -o extended_l2=on,cluster_size=128k n.qcow2 1M
create -f qcow2 -o extended_l2=on,cluster_size=4k n.qcow2 1M
create -f qcow2 -o refcount_bits=3 n.qcow2 1M
create -f qcow2 -o refcount_bits=0x10 n.qcow2 1M
create -f qcow2 -o cluster_size=4M n.qcow2 1M
create -f qcow2 -o cluster_size=1 n.qcow2 1M
create -f qcow2 -o preallocation=metadata n.qcow2 1M
create -f qcow2 -o preallocation=full n.qcow2 1M
create -f qcow2 -o preallocation=nosuch n.qcow2 1M
create -f raw -o preallocation=falloc n.raw 1M
create -f raw -o preallocation=metadata n.raw 1M
create -f raw -o cluster_size=64k n.raw 1M
create -f qcow2 -o nosuch=1 n.qcow2 1M
create -f qcow2 -o data_file=n.data,data_file_raw=on n.qcow2 1M
create -f qcow2 -o data_file_raw=on n.qcow2 1M
create -f qcow2 -o data_file=n.data,data_file_raw=on -b r.raw -F raw n.qcow2
create -f qcow2 -b r.raw -F raw n.qcow2
create -f qcow2 -b r.raw -F raw n.qcow2 5M
create -f qcow2 -o backing_file=r.raw,backing_fmt=raw n.qcow2
create -f qcow2 -o backing_file= n.qcow2 1M
create -f qcow2 -b r.raw n.qcow2
create -f qcow2 -b nothere -F raw n.qcow2 1M
create -f qcow2 -b nothere -F raw n.qcow2
create -f qcow2 -u -b nothere -F raw n.qcow2 1M
create -f qcow2 -u -b nothere -F raw n.qcow2
create -f qcow2 -b r.raw -F nosuch n.qcow2
create -f qcow2 -b a.qcow2 -F qcow2 -q n.qcow2
create -f raw -b r.raw -F raw n.raw
create --object secret,id=s,data=x -f qcow2 n.qcow2 1M
create -f qcow2 nodir/n.qcow2 1M
!1 create -f qcow2 --object secret,id=k,data=x -o encrypt.format=aes,encrypt.key-secret=k n.qcow2 1M
convert -O qcow2 r.raw n.qcow2
convert r.raw n.raw
convert -f raw -O qcow2 -c r.raw n.qcow2
convert -O qcow2 -c -W -m 16 -o compression_type=zstd r.raw n.qcow2
convert -O qcow2 -o size=5M r.raw n.qcow2
convert -O raw a.qcow2 a2.raw
convert -p -q -t none -T none a.qcow2 n.raw
convert -t writeback a.qcow2 n.raw
convert -t nosuch a.qcow2 n.raw
convert -S 0 a.qcow2 n.raw
convert -S 64k -O qcow2 r.raw n.qcow2
convert -S 3k -O qcow2 r.raw n.qcow2
convert -S 100 -O qcow2 r.raw n.qcow2
convert -C a.qcow2 n.raw
convert -C -c -O qcow2 a.qcow2 n.qcow2
convert -C -S 4k a.qcow2 n.raw
convert -r 100M -m 4 a.qcow2 n.raw
convert -r x a.qcow2 n.raw
convert -m 17 a.qcow2 n.raw
convert -m 0 a.qcow2 n.raw
convert --salvage a.qcow2 n.raw
convert -n a.qcow2 t.qcow2
convert -n -O qcow2 a.qcow2 t.qcow2
convert -n -O qcow2 a.qcow2 v2.qcow2
convert -n -O qcow2 a.qcow2 nothere
convert -n --target-is-zero -O qcow2 r.raw z.qcow2
convert --target-is-zero -O qcow2 r.raw n.qcow2
convert -n --target-image-opts a.qcow2 driver=qcow2,file.filename=t.qcow2
convert -n --target-image-opts a.qcow2 driver=raw,file.filename=r.raw
convert --target-image-opts a.qcow2 driver=qcow2,file.filename=t.qcow2
convert -n --target-image-opts -O qcow2 a.qcow2 driver=qcow2,file.filename=t.qcow2
convert --image-opts -O qcow2 driver=raw,file.filename=r.raw n.qcow2
convert --image-opts -f raw -O qcow2 driver=raw,file.filename=r.raw n.qcow2
convert r.raw a.qcow2 n.raw
convert -O qcow2 r.raw a.qcow2
convert r.raw nodir/n.raw
convert nothere n.raw
convert bad.qcow2 n.raw
convert r.raw
convert -O nosuch r.raw n.raw
convert -c -O raw r.raw n.raw
convert -l one s.qcow2 n.raw
convert -l 1 s.qcow2 n.raw
convert -l 2 s.qcow2 n.raw
convert -l snapshot.id=1 s.qcow2 n.raw
convert -l snapshot.name=1 s.qcow2 n.raw
convert -l snapshot.id=one s.qcow2 n.raw
convert -l snapshot.id=2,snapshot.name=1 s.qcow2 n.raw
convert -l snapshot.id=1,snapshot.name=1 s.qcow2 n.raw
convert -l snapshot.frob=1 s.qcow2 n.raw
convert -l nosuch s.qcow2 n.raw
convert B -O qcow2 oo.qcow2 n.qcow2
convert B -O qcow2 -B r.raw -F raw o.qcow2 n.qcow2
convert B -O qcow2 -B r.raw o.qcow2 n.qcow2
convert B -O qcow2 -o backing_file=r.raw,backing_fmt=raw o.qcow2 n.qcow2
convert -O qcow2 --bitmaps b.qcow2 n.qcow2
convert -O qcow2 --bitmaps --skip-broken-bitmaps b.qcow2 n.qcow2
convert -O qcow2 --skip-broken-bitmaps b.qcow2 n.qcow2
convert -O raw --bitmaps b.qcow2 n.raw
convert -O qcow2 -c -o preallocation=metadata r.raw n.qcow2
convert -O qcow2 -o preallocation=metadata r.raw n.qcow2
convert -O qcow2 -o cluster_size=2M,lazy_refcounts=on r.raw n.qcow2
convert -O qcow2 -o data_file=n.data r.raw n.qcow2
convert -O qcow2 -c -o data_file=n.data r.raw n.qcow2
convert -O qcow2 -U a.qcow2 n.qcow2
convert e.qcow2 n.raw
~ dd if=r.raw of=n.raw bs=64k count=3 skip=1
dd if=r.raw of=n.raw
dd -f qcow2 -O qcow2 if=a.qcow2 of=n.qcow2 bs=1M count=1
dd -U if=a.qcow2 of=n.raw bs=1M skip=5
dd --image-opts if=driver=qcow2,file.filename=a.qcow2 of=n.raw bs=64k count=1
dd if=r.raw
dd of=n.raw
dd if=r.raw of=n.raw bs=0
dd if=r.raw of=n.raw bs=x
dd if=r.raw of=n.raw frob=1
dd if=nothere of=n.raw
dd --object secret,id=s,data=x if=r.raw of=n.raw bs=64k
resize a.qcow2 4M
resize -f qcow2 a.qcow2 +1M
resize a.qcow2 -1M
resize --shrink a.qcow2 -1M
resize -q --shrink a.qcow2 1M
resize a.qcow2 1M
resize -f raw r.raw 4M
resize -f raw --preallocation=full r.raw +64k
resize --preallocation=metadata a.qcow2 +1M
resize --preallocation=nosuch a.qcow2 +1M
resize a.qcow2 2M
resize a.qcow2
resize a.qcow2 x
resize a.qcow2 7E
resize a.qcow2 +8E
resize nothere 1M
resize s.qcow2 4M
resize --shrink s.qcow2 1M
resize b.qcow2 4M
resize v2.qcow2 4M
resize --image-opts driver=qcow2,file.filename=a.qcow2 3M
!1 resize r.raw 4M
rebase -u -b a.qcow2 -F qcow2 o.qcow2
rebase -u -b nothere -F raw o.qcow2
rebase -u -b  o.qcow2
rebase -b a.qcow2 -F qcow2 o.qcow2
rebase -b  oo.qcow2
rebase -p -q -t none -T none -b a.qcow2 -F qcow2 o.qcow2
rebase -U -b a.qcow2 -F qcow2 o.qcow2
rebase -b a.qcow2 o.qcow2
rebase -b nothere -F raw o.qcow2
rebase -b r.raw -F raw a.qcow2
rebase -b r.raw -F nosuch o.qcow2
rebase -u -f raw -b a.qcow2 -F qcow2 o.qcow2
rebase --image-opts -u -b a.qcow2 -F qcow2 driver=qcow2,file.filename=o.qcow2
!0 rebase o.qcow2
commit o.qcow2
commit -q -d oo.qcow2
commit -p -b r.raw oo.qcow2
commit -b nothere oo.qcow2
commit -r 100M -t none -f qcow2 o.qcow2
commit a.qcow2
commit r.raw
commit nothere
commit --image-opts driver=qcow2,file.filename=o.qcow2
snapshot -l s.qcow2
snapshot s.qcow2
snapshot -c three s.qcow2
snapshot -q -c one s.qcow2
snapshot -a one s.qcow2
snapshot -a 2 s.qcow2
snapshot -a nosuch s.qcow2
snapshot -d one s.qcow2
snapshot -a one sb.qcow2
snapshot -d one sb.qcow2
snapshot -d nosuch s.qcow2
snapshot -l -a one s.qcow2
snapshot -U -l s.qcow2
snapshot -c x b.qcow2
snapshot -c x d.qcow2
snapshot -c x v2.qcow2
snapshot -c x -f raw r.raw
snapshot --image-opts -c x driver=qcow2,file.filename=a.qcow2
snapshot nothere
bitmap --add a.qcow2 new
bitmap --add -g 4k --disable a.qcow2 new
bitmap --add -g 100 a.qcow2 new
bitmap --add b.qcow2 b0
bitmap --remove b.qcow2 b0
bitmap --remove b.qcow2 nosuch
bitmap --clear b.qcow2 b0
bitmap --enable b.qcow2 b1
bitmap --disable b.qcow2 b0
bitmap --merge b0 b.qcow2 b1
bitmap --merge nosuch b.qcow2 b1
bitmap --add --merge b0 -b b.qcow2 -F qcow2 t.qcow2 x
bitmap --add --merge b0 --merge b1 b.qcow2 x
bitmap -g 4k --clear b.qcow2 b0
bitmap -b b.qcow2 --add t.qcow2 x
bitmap b.qcow2 b0
bitmap --add v2.qcow2 x
bitmap --add r.raw x
bitmap --add a.qcow2
bitmap --image-opts --add driver=qcow2,file.filename=a.qcow2 x
amend -o compat=0.10 a.qcow2
amend -o compat=v3 v2.qcow2
amend -p -o refcount_bits=1 a.qcow2
amend -o refcount_bits=32 s.qcow2
amend -o lazy_refcounts=on a.qcow2
amend -o lazy_refcounts=on v2.qcow2
!0 amend -o backing_file=r.raw,backing_fmt=raw a.qcow2
!0 amend -o backing_file=,backing_fmt= o.qcow2
amend -o size=5M a.qcow2
amend -o cluster_size=4k a.qcow2
amend -o nosuch=1 a.qcow2
amend -f qcow2 -t none -q -o lazy_refcounts=on a.qcow2
amend a.qcow2
!1 amend -o compat=0.10 b.qcow2
amend -o data_file=x a.qcow2
amend -o compat=1.1 r.raw
amend --image-opts -o lazy_refcounts=on driver=qcow2,file.filename=a.qcow2
amend --force -o lazy_refcounts=on a.qcow2
frob a.qcow2
"""


def contains(ours, theirs, path=""):
    """Where `ours` lacks what `theirs` has, or None."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return path
        for k, v in theirs.items():
            # the length of a new file is not the same, nor is what it takes
            if k in ("actual-size", "children", "image-end-offset",
                     "date-sec", "date-nsec", "fragmented-clusters",
                     # it says 0 for what it does not know
                     "icount"):
                continue
            if k not in ours:
                return f"{path}.{k}"
            bad = contains(ours[k], v, f"{path}.{k}")
            if bad:
                return bad
        return None
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return f"{path} (length)"
        for i, v in enumerate(theirs):
            bad = contains(ours[i], v, f"{path}[{i}]")
            if bad:
                return bad
        return None
    return None if ours == theirs else f"{path}: {ours} not {theirs}"


def changed(directory):
    """Its files that are not as at the start."""
    result = []
    for name in sorted(os.listdir(directory)):
        new = os.stat(os.path.join(directory, name))
        try:
            old = os.stat(os.path.join("start", name))
        except FileNotFoundError:
            old = None
        if not old or (new.st_size, new.st_mtime_ns) != (old.st_size,
                                                         old.st_mtime_ns):
            result.append(name)
    return result


def info(directory, name):
    text = run("qemu-img", ["info", "--output=json", name], directory)[1]
    return json.loads(text) if text.strip() else None


def same_files(line):
    """Do the files that were written read the same, and is ours all right?"""
    theirs, ours = changed("theirs"), changed("ours")
    if theirs != ours:
        return f"{ours} were written, not {theirs}"
    for name in ours:
        a, b = info("theirs", name), info("ours", name)
        bad = contains(b, a) or contains(a, b)
        if bad:
            return f"{name}: {bad}"
        has_backing = os.path.exists(f"ours/{a.get('backing-filename', '')}")
        if a["format"] == "qcow2" and has_backing:
            status, out, err = run("qemu-img", ["check", "-q", name], "ours")
            if status:
                return f"{name}: check: {out}{err}"
        # names in them are relative to where they are opened
        data = a.get("format-specific", {}).get("data", {})
        if not has_backing or "data-file" in data:
            continue
        status, out, err = run("qemu-img", [
            "compare", "-f", a["format"], "-F", a["format"],
            f"theirs/{name}", f"ours/{name}"])
        if status:
            return f"{name}: {out}{err}"
    return None


def invoke(line):
    m = re.match(r"(?:!(\d+) |(~) )?(.*)", line)
    args = m[3].split(" ")
    theirs_args = [a for a in args if a != "B"]
    ours_args = list(theirs_args)
    if "B" in args:
        ours_args.insert(1, "--allow-backing")
    names = [n for n in os.listdir("start")
             if n in line or n in ("r.raw", "o.qcow2", "d.data")]
    for d in ("theirs", "ours"):
        shutil.rmtree(d, ignore_errors=True)
        os.mkdir(d)
        subprocess.run(["cp", "-a", *[f"start/{n}" for n in names], d],
                       check=True)
    theirs = run("qemu-img", theirs_args, "theirs")
    ours = run("qcow-tool", ours_args, "ours")
    if m[1] is not None:
        if ours[0] != int(m[1]):
            fail(f"{line}: {ours[0]} {ours[2]}")
        elif theirs[0] == ours[0]:
            fail(f"{line}: no difference any more")
        return
    if ours[0] != theirs[0]:
        fail(f"{line}: {ours[0]} not {theirs[0]}: {ours[2]}{theirs[2]}")
        return
    if ours[0] and not ours[2] and args[0] not in ("compare", "check"):
        fail(f"{line}: fails without a word")
    bad = None
    if m[2]:
        return
    if "json" in line and theirs[1].strip():
        try:
            bad = contains(json.loads(ours[1]), json.loads(theirs[1]))
        except ValueError as e:
            bad = str(e)
    # the other program may leave a part of a file where it fails
    if not bad and ours[0] == 0:
        bad = same_files(line)
    elif not bad and args[0] != "check" and changed("ours"):
        bad = f"{changed('ours')}: written in spite of the failure"
    if bad:
        fail(f"{line}: {bad}")


def main():
    compare_options()
    compare_keys()
    os.mkdir("start")
    os.chdir("start")
    make_images()
    os.chdir("..")
    lines = [x for x in TABLE.splitlines() if x]
    part = sys.argv[1:] and sys.argv[1] or ""
    for line in lines:
        if part in line:
            invoke(line)
    print(f"{len(lines)} invocations, {failures} differences")
    sys.exit(1 if failures else 0)


main()
