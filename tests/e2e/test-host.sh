#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Tests of `make check` that want a KVM to be there, where one is that runs kernels:
# the hypervisor's unit tests, bad kernels and disks, hosts that lack something. So
# nothing of them is left to a host that happens to have it.
. "$top_srcdir/tests/e2e/lib.sh"
need dash setsid unshare setpriv flock timeout

dir=$(mktemp -d "${TMPDIR:-/tmp}/test-host.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cat >"$dir/script" <<'E2E'
#!/bin/sh
root=${TESTBED_ROOT-}/host
top_srcdir=$root top_builddir=$root VMMKIT_CACHE=$root
PATH=$root/bin:$PATH
export top_srcdir top_builddir VMMKIT_CACHE PATH
if [ "$TESTBED" = tcg ]; then
	# the initramfs knows no O_DIRECT
	TMPDIR=/scratch
	export TMPDIR
	mkdir $TMPDIR && mount -t ext4 "$TESTBED_DISK0" $TMPDIR || exit 1
fi
failed=0
for test in unit/kvm/test-kvm tools/test-vmm-errors.sh tools/test-vmm-host.sh; do
	echo "--- $test, after $(cut -d . -f 1 /proc/uptime) s"
	status=0
	"$root/tests/$test" >"${TMPDIR:-/tmp}/out" 2>&1 || status=$?
	[ $status != 0 ] || ! grep "no /dev/kvm" "${TMPDIR:-/tmp}/out" || status=part
	[ $status != 0 ] || continue
	cat "${TMPDIR:-/tmp}/out"
	echo "FAIL: $test: status $status"
	failed=1
done
exit $failed
E2E
program() { # the one that libtool may have put elsewhere
	[ ! -e "${1%/*}/.libs/${1##*/}" ] || set -- "${1%/*}/.libs/${1##*/}"
	echo "$1"
}
unit=$(program "$top_builddir/tests/unit/kvm/test-kvm")
[ -e "$unit" ] || { echo "SKIP: no test-kvm"; exit 77; }
set -- --add "$unit:/host/tests/unit/kvm/test-kvm"
for f in tools/test-vmm-errors.sh tools/test-vmm-host.sh tools/vmm-errors.sh \
	lib/make-kernel.sh; do
	set -- "$@" --add "$top_srcdir/tests/$f:/host/tests/$f"
done
# what busybox has not, or otherwise; its shell would take its own
set -- "$@" --add "$(command -v dash):/bin/sh"
for p in setsid unshare setpriv flock timeout head; do
	set -- "$@" --add "$(command -v $p):/host/bin/$p"
done
mkdir "$dir/empty"
mkimage -q --size 256M "$dir/empty" -o "$dir/scratch.raw"
"$testbed" run "$@" --add "$(command -v vmm):/host/vmm/vmm" \
	--module ext4 --disk "$dir/scratch.raw" \
	--add "$(command -v qcow-tool):/host/bin/qcow-tool" \
	--add "$kernel:/host/vmlinuz-stock" -- "$dir/script"
