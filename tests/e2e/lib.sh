# SPDX-License-Identifier: BSD-3-Clause
# Shared by the end-to-end tests: a small guest, made by the toolkit itself, and
# the machine with KVM to run it in.
set -eu
testbed=$top_srcdir/tests/lib/testbed
e2e=$top_builddir/tests/e2e/work
kernel=$("$testbed" kernel)

need() { # PROGRAM...
	for p in "$@"; do
		command -v "$p" >/dev/null || {
			echo "SKIP: no $p"
			exit 77
		}
	done
}

# A busybox root file system without an init of its own: mkimage --agent puts
# vmm-init and the agent in. Made once a build tree.
guest_image() {
	mkdir -p "$top_builddir/tests/e2e"
	exec 9>"$e2e.lock" # other tests may want it at the same time
	flock 9
	make_guest_image
	exec 9>&-
}
make_guest_image() {
	[ -e "$e2e/fs.qcow2" ] && [ "$e2e/fs.qcow2" -nt "$(command -v mkimage)" ] &&
		[ "$e2e/fs.qcow2" -nt "$(command -v vmm-agent)" ] && return
	rm -rf "$e2e"
	mkdir -p "$e2e/tree"
	(
		cd "$e2e/tree"
		mkdir -p bin dev etc proc root run sbin sys tmp usr/bin var
		chmod 1777 tmp
		cp "$(command -v busybox)" bin/busybox
		for applet in $(bin/busybox --list); do
			case $applet in busybox | init | poweroff | reboot | halt) ;;
			*) ln -s busybox "bin/$applet" ;; esac
		done
		echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
		echo 'root:x:0:' >etc/group
		echo guest >etc/hostname
	)
	tar -C "$e2e/tree" --owner 0 --group 0 -cf "$e2e/rootfs.tar" .
	mkimage --quiet --agent "$e2e/rootfs.tar" -o "$e2e/fs.qcow2"
	"$top_srcdir/guest/mkinitrd" --kernel-dir "${kernel%/boot/*}" \
		--init "$(command -v vmm-init)" -o "$e2e/initrd"
}

# in_testbed SCRIPT [TESTBED-OPTION]...: run SCRIPT, on this line's standard
# input's text, where KVM is. It finds the programs on PATH and the files below
# $vm; guest.sh has its helpers.
in_testbed() {
	guest_image
	cat >"$e2e/$1"
	script=$e2e/$1
	shift
	"$testbed" run "$@" \
		--add "$(command -v vmm):/bin/vmm" \
		--add "$(command -v qcow-tool):/bin/qcow-tool" \
		--add "$kernel:/vm/vmlinuz" --add "$e2e/initrd:/vm/initrd" \
		--add "$e2e/fs.qcow2:/vm/fs.qcow2" \
		--add "$top_srcdir/tests/e2e/guest.sh:/vm/guest.sh" \
		-- "$script"
}
