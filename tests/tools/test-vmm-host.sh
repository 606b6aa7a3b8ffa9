#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Hosts that lack something: /dev/kvm, the permission to open it, hardware under
# it, user namespaces, memory. See vmm-errors.sh.
. "$top_srcdir/tests/tools/vmm-errors.sh"

make_reset_kernel kernel
chmod 644 kernel

# A namespace of our own, with user namespaces switched off, is a host that
# refuses them.
cat >"$tmp/no-userns" <<'END'
#!/bin/sh
# shellcheck disable=SC2016
exec unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces || exit 77
	exec "$@"' sh "$@"
END
# ...and one with a /dev of our own, whose kvm is made by $KVM
cat >"$tmp/with-kvm" <<'END'
#!/bin/sh
# shellcheck disable=SC2016
exec unshare -m sh -c 'mount -t tmpfs -o mode=755 dev /dev &&
	mknod -m 666 /dev/null c 1 3 && eval "$KVM" && exec "$@"' sh "$@"
END
cat >"$tmp/nobody" <<'END'
#!/bin/sh
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
END
chmod 755 "$tmp/no-userns" "$tmp/with-kvm" "$tmp/nobody"

if has_kvm && no-userns true 2>/dev/null; then
	refused 1 'user namespaces: refused by the host \(sysctl user.max_user' \
		no-userns vmm run --socket s kernel
fi

if [ "$(id -u)" = 0 ] && KVM=: with-kvm true 2>/dev/null; then
	export KVM
	KVM=:
	refused 1 '^vmm run: /dev/kvm: open: No such file' \
		with-kvm vmm run --socket s kernel
	KVM='mknod -m 600 /dev/kvm c 10 232'
	refused 1 '^vmm run: /dev/kvm: open: Permission denied' \
		with-kvm nobody vmm run --socket s kernel
	KVM='mknod -m 666 /dev/kvm c 1 3'
	refused 1 '^vmm run: KVM: read the API version: Inappropriate ioctl' \
		with-kvm vmm run --socket s kernel
	if has_kvm; then
		KVM='mknod -m 666 /dev/kvm c 10 232'
		cp kernel disk && chmod 600 disk
		refused 1 "^vmm run: disk 'disk': open: Permission denied" \
			with-kvm nobody vmm run --block disk kernel
		refused 1 "^vmm run: control socket: /s: listen: Permission" \
			with-kvm nobody vmm run --socket /s kernel
		if nobody unshare -Ur true 2>/dev/null; then
			refused 1 'user namespaces: refused by the host' \
				with-kvm nobody no-userns vmm run kernel
		fi
	fi
else
	echo 'not root: a missing /dev/kvm cannot be arranged here; it is in tests/e2e/test-host.sh'
fi

has_kvm || {
	echo 'no /dev/kvm that opens: the rest runs in tests/e2e/test-host.sh'
	finish
}
# shellcheck disable=SC2016
if [ -z "${ASAN_OPTIONS-}" ]; then
	refused 1 'guest memory: map [0-9]+ bytes: Cannot allocate memory' \
		sh -c 'ulimit -v 1500000; exec vmm run --mem 2000 kernel'
fi
refused 1 'guest memory: make [0-9]+ bytes: File too large' \
	sh -c 'ulimit -f 1000; exec vmm run kernel'

# Files that an image names: opened by the supervisor where its user allows it,
# relative to the image's folder, and used by the jailed device.
mkdir imgs imgs/sub && cd imgs || exit 99
head -c 1M /dev/urandom >sub/base.raw
qcow-tool create -q -f qcow2 -b base.raw -F raw sub/mid.qcow2 1M
qcow-tool create -q -f qcow2 -b sub/mid.qcow2 -F qcow2 top.qcow2 1M
qcow-tool create -q -f qcow2 loop-free.qcow2 1M
cd .. || exit 99
# boots WORDS...: the kernel that resets the machine runs with such disks
boots() {
	timeout 60 vmm run --no-kvm-check "$@" kernel </dev/null 2>"$tmp/err"
	status=$?
	[ $status = 32 ] || bad "$*: status $status, not 32"
}
no() { refused 1 "$1" vmm run --no-kvm-check --block "$2" kernel; }
boots --block imgs/top.qcow2,backing=on
boots --block imgs/top.qcow2,backing=on,ro --block imgs/sub/base.raw,ro
boots --block imgs/sub/base.raw,format=raw,direct
boots --block imgs/top.qcow2,backing=on,direct
cp kernel imgs/sub && cd imgs/sub || exit 99
boots --block ../top.qcow2,backing=on
cd ../.. || exit 99
no "disk 'imgs/top.qcow2': .*backing file 'sub/mid.qcow2'.*not allowed" \
	imgs/top.qcow2
mv imgs/sub/base.raw imgs/sub/away
no "disk 'imgs/top.qcow2': backing file 'imgs/sub/base.raw': open: No such" \
	imgs/top.qcow2,backing=on
mkfifo imgs/sub/base.raw
no "backing file 'imgs/sub/base.raw': neither a file nor a block device" \
	imgs/top.qcow2,backing=on
rm imgs/sub/base.raw
ln -s /proc/version imgs/sub/base.raw
no "backing file 'imgs/sub/base.raw': not on a real file system" \
	imgs/top.qcow2,backing=on
rm imgs/sub/base.raw
cp imgs/sub/away imgs/sub/base.raw
if command -v flock >/dev/null; then
	refused 1 "imgs/top.qcow2': .*base.raw': lock: in use" \
		flock -x imgs/sub/base.raw vmm run --no-kvm-check \
		--block imgs/top.qcow2,backing=on kernel
fi
# a composite disk is nothing but names
qcow-tool composite create imgs/disk.composite \
	one:imgs/sub/base.raw two:imgs/loop-free.qcow2:writable || bad "composite"
boots --block imgs/disk.composite,format=composite
boots --block imgs/disk.composite,backing=on
no "disk 'imgs/disk.composite': composite disk: its [0-9]+ components may not" \
	imgs/disk.composite
# a loop ends at the limit
(
	cd imgs || exit 99
	qcow-tool create -q -f qcow2 loop.qcow2 1M
	qcow-tool create -q -f qcow2 -b loop.qcow2 -F qcow2 one.qcow2 1M
	qcow-tool create -q -f qcow2 -b one.qcow2 -F qcow2 two.qcow2 1M
	mv two.qcow2 loop.qcow2
)
no 'backing chain: deeper than 64, or a loop' imgs/loop.qcow2,backing=on

# Does the host run kernels? Then ours resets the machine. If it does not, it
# is told which back end is to blame, and the kernel is not left spinning.
if grep -qwE '^flags.*(vmx|svm)' /proc/cpuinfo &&
	[ ! -d /sys/module/kvm_pvm ]; then
	vmm run kernel </dev/null 2>"$tmp/err"
	status=$?
	[ $status = 32 ] || bad "a kernel that resets: status $status, not 32"
else
	refused 1 '^vmm run: /dev/kvm: run a kernel: KVM back end .* without' \
		vmm run --socket s kernel
	# and runs what its emulator is good enough for
	timeout 60 vmm run --no-kvm-check kernel </dev/null 2>"$tmp/err"
	status=$?
	[ $status = 32 ] || bad "without the check: status $status, not 32"
fi

finish
