#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A stock kernel in each form the loader takes, by the smallest VMM there is:
# bzImage with one and several vCPUs, the vmlinux inside it by PVH, and the same
# without its PVH note by the 64-bit protocol. What is no kernel is refused.
set -eu
testbed=$top_srcdir/tests/lib/testbed
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
kernel=$("$testbed" kernel)

number() { # FORMAT OFFSET: of the bzImage's header
	od -An -t"$1" -j "$2" -N "${1#u}" "$kernel" | tr -d ' '
}

# The payload of a bzImage is a compressed vmlinux, then its size. (boot.rst)
extract_vmlinux() {
	local start length unpack
	start=$((($(number u1 $((0x1f1))) + 1) * 512 +
		$(number u4 $((0x248)))))
	length=$(number u4 $((0x24c)))
	tail -c +$((start + 1)) "$kernel" | head -c "$length" >"$dir/payload"
	case $(od -An -tx1 -N 4 "$dir/payload" | tr -d ' ') in
	02214c18) unpack=lz4 ;;
	1f8b*) unpack=gzip ;;
	fd377a58) unpack=xz ;;
	28b52ffd) unpack=zstd ;;
	*) echo "unknown compression of $kernel"; return 1 ;;
	esac
	command -v "$unpack" >/dev/null || { echo "no $unpack"; exit 77; }
	# the size at the end is no part of the stream
	"$unpack" -dc <"$dir/payload" >"$dir/vmlinux" 2>/dev/null || true
	[ -s "$dir/vmlinux" ]
}

# Make the note's type one that nobody looks for.
hide_pvh_note() {
	local at
	cp "$dir/vmlinux" "$dir/vmlinux-no-pvh"
	at=$(LC_ALL=C grep -obUaP -m 1 \
		'\x04\x00\x00\x00[\x04\x08]\x00\x00\x00\x12\x00\x00\x00Xen\x00' \
		"$dir/vmlinux" | head -n 1 | tr -d '\0')
	printf '\177' | dd of="$dir/vmlinux-no-pvh" bs=1 conv=notrunc \
		seek=$((${at%%:*} + 8)) status=none
}

extract_vmlinux
hide_pvh_note
head -c 100000 "$kernel" >"$dir/truncated"
gzip -1 <"$dir/truncated" >"$dir/gzipped"
cat >"$dir/guest" <<'END'
#!/bin/sh
echo "guest: $(nproc) vCPUs, $(grep -c ^00: /proc/ioports) ports"
# (KVM does not let a guest on an AMD processor see what this one asks for)
dmesg | grep -v "TSC doesn't count with P0 frequency" |
	grep -iE 'ACPI.*(error|exception)|BIOS bug|firmware bug|out of range'
END
"$testbed" initrd -o "$dir/initrd" --script "$dir/guest"

cat >"$dir/script" <<'END'
#!/bin/sh
root=${TESTBED_ROOT-}/k
failed=0
boot() { # KERNEL VCPUS
	echo "--- $1, $2 vCPUs"
	timeout 120 "$root/minimal-vmm" --cpus "$2" --mem 256 "$root/$1" \
		"$root/initrd" "console=ttyS0 panic=-1 quiet" >/tmp/out.$$ 2>&1
	status=$?
	grep -q "^guest: $2 vCPUs" /tmp/out.$$ && [ $status = 0 ] &&
		! grep -qE 'ACPI.*(Error|Exception)|[Bb]ug' /tmp/out.$$ &&
		return
	echo "FAIL: status $status"
	tail -n 50 /tmp/out.$$
	failed=1
}
refuse() { # KERNEL REASON
	echo "--- $1 is refused"
	status=0
	timeout 20 "$root/minimal-vmm" "$root/$1" "$root/initrd" \
		>/tmp/out.$$ 2>&1 || status=$?
	[ $status = 1 ] && [ "$(wc -l </tmp/out.$$)" = 1 ] &&
		grep -q "$2" /tmp/out.$$ && return
	echo "FAIL: status $status"
	cat /tmp/out.$$
	failed=1
}
boot bzImage 1
boot bzImage 3
boot vmlinux 2
boot vmlinux-no-pvh 1
refuse truncated 'kernel: truncated'
refuse gzipped 'kernel: is a gzip file'
refuse initrd 'kernel: is a gzip file'
rm -f /tmp/out.$$
exit $failed
END

"$testbed" run --timeout 400 \
	--add "$top_builddir/examples/minimal-vmm:/k/minimal-vmm" \
	--add "$kernel:/k/bzImage" --add "$dir/vmlinux:/k/vmlinux" \
	--add "$dir/vmlinux-no-pvh:/k/vmlinux-no-pvh" \
	--add "$dir/truncated:/k/truncated" --add "$dir/gzipped:/k/gzipped" \
	--add "$dir/initrd:/k/initrd" -- "$dir/script"
