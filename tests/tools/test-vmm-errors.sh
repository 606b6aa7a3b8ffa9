#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Bad kernels, initrds, disks, sockets and options: see vmm-errors.sh.
. "$top_srcdir/tests/tools/vmm-errors.sh"

# --- what needs no KVM: options, and what is opened before --------------------

try() { refused 2 "$@"; }
make_reset_kernel kernel
try 'no kernel given' vmm run
try 'more than one kernel' vmm run kernel kernel
try "unknown option '--bogus'" vmm run --bogus kernel
try "option '--mem' needs an argument" vmm run kernel --mem
try "--mem: .*'much': not a whole number" vmm run --mem much kernel
try '--mem: must be 32 to' vmm run --mem 31 kernel
try '--mem: must be 32 to' vmm run --mem 1048577 kernel
try '--mem: .*more than' vmm run --mem 4294967296 kernel
try '--cpus: must be 1 to' vmm run --cpus 0 kernel
try '--cpus: must be 1 to' vmm run --cpus 255 kernel
try "--block: unknown key 'colour'" vmm run --block kernel,colour=blue kernel
try "--block: format: 'vhd': not one of" vmm run --block kernel,format=vhd kernel
try '--block: ' vmm run --block '' kernel
try '--block: block-size' vmm run --block kernel,block-size=100 kernel
try '--block: only one can be root' \
	vmm run --block kernel,root --block kernel,root kernel
try "--serial: type: 'pipe': not one of" vmm run --serial type=pipe kernel
try '--serial: path= goes with type=file' vmm run --serial type=file kernel
try '--vsock: ' vmm run --vsock cid=2,socket=s kernel
try '--vsock: given twice' vmm run --vsock cid=3 --vsock cid=4 kernel
try '--vhost-user: ' vmm run --vhost-user type=blk kernel
try '--seccomp: ' vmm run --seccomp maybe kernel
try 'one of --fd and --socket is needed' vmm device blk --disk path=kernel
try "unknown command 'fly'" vmm fly
try 'a VM and a command' vmm exec
try 'one VM must be named' vmm stop

refused 1 "^vmm stop: nowhere: connect: No such file" vmm stop nowhere
refused 1 "^vmm stop: kernel: connect: Socket operation on non-socket" \
	vmm stop kernel
refused 125 "^vmm exec: kernel: connect: Socket operation on non-socket" \
	vmm exec kernel -- true
refused 125 "^vmm exec: nowhere: connect: No such file" \
	vmm exec --wait 0 nowhere -- true

# images that name other files: which option opens those
qcow-tool create -q -u -f qcow2 -b /etc/shadow -F raw over.qcow2 1M
refused 1 "backing file '/etc/shadow', .* .backing=on allows it" \
	vmm device blk --socket s --disk path=over.qcow2
qcow-tool composite create -q comp root:over.qcow2
refused 1 'its 3 components may not be opened .backing=on allows it' \
	vmm device blk --socket s --disk path=comp
rm over.qcow2 comp comp.*

# sockets: created before anything else, so that a second VM stops at once
long=$(printf '%0108d' 0)
refused 2 "control socket: $long: .* 1 to 107 bytes" vmm run -s "$long" kernel
refused 1 'control socket: kernel: listen: File exists' \
	vmm run --socket kernel kernel
refused 1 'control socket: nodir/s: listen: No such file' \
	vmm run --socket nodir/s kernel
# a listener that is there, made with what is at hand
vmm device rng --socket used --disable-sandbox 2>"$tmp/listener" &
listener=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -S used ] && break
	sleep 0.3
done
[ -S used ] || bad "no listener: $(cat "$tmp/listener")"
refused 1 'control socket: used: listen: Address already in use' \
	vmm run --socket used kernel
[ -S used ] || bad 'a socket in use was removed'
kill $listener
wait $listener
listener=
rm -f used

# --- kernels and what else the machine loads ----------------------------------

has_kvm || {
	echo 'no /dev/kvm that opens: the rest runs in tests/e2e/test-host.sh'
	finish
}

no() { refused 1 "$@"; }
echo 'this is no kernel' >text
: >empty
gzip -c kernel >kernel.gz
head -c 100 kernel >cut
head -c 4096 kernel >arm
printf '\267' | dd of=arm bs=1 seek=18 conv=notrunc status=none
mkdir dir
no "kernel 'nowhere': open: No such file" vmm run nowhere
no "kernel 'dir': load: is a directory" vmm run dir
no "kernel 'text': load: is neither a bzImage nor an ELF" vmm run text
no "kernel 'empty': load: the file is empty" vmm run empty
no "kernel 'kernel.gz': load: is a gzip file" vmm run kernel.gz
no "kernel 'cut': load: ends too early" vmm run cut
no "kernel 'arm': load: is an ELF for aarch64, not x86_64" vmm run arm
no "kernel '$(command -v sh)': load: is a Linux program" \
	vmm run "$(command -v sh)"
bz=$(find "${VMMKIT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vmmkit}" \
	-name 'vmlinuz-*' -size +100k 2>/dev/null | head -n 1)
if [ -n "$bz" ]; then
	head -c 100000 "$bz" >bz
	no "kernel 'bz': load: truncated: [0-9]+ of [0-9]+ bytes" vmm run bz
	no 'kernel .*: load: needs [0-9]+ MiB of memory' vmm run --mem 32 "$bz"
fi
no "initrd 'nowhere': open: No such file" vmm run --initrd nowhere kernel
no "initrd 'dir': load: is a directory" vmm run --initrd dir kernel
no "initrd 'empty': load: the file is empty" vmm run --initrd empty kernel
head -c 64M /dev/zero >big
no "initrd 'big': load: .*more memory is needed" \
	vmm run --mem 64 --initrd big kernel
no '--params: kernel command line: longer than' vmm run --params "$(printf '%04000d' 0)" kernel
no "console 'nodir/log': open: No such file" \
	vmm run --serial type=file,path=nodir/log kernel

# a log that was made for a VM that never ran goes, one that was there stays
no "disk 'nowhere': open: No such file" \
	vmm run --serial type=file,path=log --block nowhere kernel
: >kept
no "disk 'text': qcow2 header: " vmm run --serial type=file,path=log \
	--serial type=file,path=kept,hardware=virtio-console \
	--block text,format=qcow2 kernel
total=$(awk '/^(Mem|Swap)Total:/ { kib += $2 } END { print int(kib / 1024) }' \
	/proc/meminfo)
if [ "$total" -lt 1000000 ]; then
	refused 1 "^vmm run: --mem: $((total + 2)) MiB: more than the host's [0-9]+ MiB of memory and [0-9]+ MiB of swap" \
		vmm run --mem $((total + 2)) kernel
fi

# --- disks --------------------------------------------------------------------

no "disk 'nowhere': open: No such file" vmm run --block nowhere kernel
no "disk 'dir': open: Is a directory" vmm run --block dir kernel
no "disk 'text': qcow2 header: " vmm run --block text,format=qcow2 kernel
head -c 1M /dev/zero >zeros
no "disk 'zeros': qcow2 header: " vmm run --block zeros,format=qcow2 kernel
no "disk '/dev/null': open: neither a file nor a block device" \
	vmm run --block /dev/null kernel
# all that there is at once: sockets and other devices are gone after it
no "disk 'text': qcow2 header: " vmm run --socket s --block text,format=qcow2 \
	--serial type=sink,hardware=virtio-console kernel
qcow-tool create -q -f qcow2 disk.qcow2 16M
for how in -x -s; do
	no "disk 'disk.qcow2': lock: in use by another process\$" \
		flock $how disk.qcow2 vmm run --block disk.qcow2 kernel
done
no "disk 'disk.qcow2': lock: in use by another process" \
	flock -x disk.qcow2 vmm run --block disk.qcow2,ro kernel
no "disk 'disk.qcow2': lock: in use by another process" \
	vmm run --block disk.qcow2 --block disk.qcow2 kernel
head -c 30 disk.qcow2 >cut.qcow2
no "disk 'cut.qcow2': qcow2 header: " vmm run --block cut.qcow2 kernel
refused 1 '^vmm device blk: ' flock -x disk.qcow2 \
	vmm device blk --socket dev --disk path=disk.qcow2
qcow-tool create -q -f qcow2 base.qcow2 16M
qcow-tool create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
no "disk 'over.qcow2': .*backing file 'base.qcow2'.*not allowed" \
	vmm run --block over.qcow2 kernel
no 'vhost-user: nowhere: connect: No such file' \
	vmm run --vhost-user type=blk,socket=nowhere kernel
# names are shown without what a terminal would obey
printf x >"$(printf 'a\033b')"
no 'disk .a\\x1bb.: ' vmm run --block "$(printf 'a\033b')",format=qcow2 kernel

finish
