#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The machine process without a supervisor, in its jail, with device processes
# started by hand: a stock kernel with two processors, virtio-blk and
# virtio-rng, the serial port both ways and with a slow reader, each way a VM
# ends, an idle guest, and the link: pause, power button, stop.
set -eu
testbed=$top_srcdir/tests/lib/testbed
work=$(mktemp -d "${TMPDIR:-/tmp}/test-machine.XXXXXX")
trap 'rm -rf "$work"' EXIT
kernel=$("$testbed" kernel)
"$testbed" initrd -o "$work/initrd" --module virtio_pci --module virtio_blk \
	--module virtio-rng --module evdev --module button \
	--script "$top_srcdir/tests/e2e/machine-guest.sh"

cat >"$work/script" <<'EOT'
#!/bin/sh
set -u
cd "$TESTBED_ROOT/vm"
export PATH=$TESTBED_ROOT/bin:$PATH
t=$(mktemp -d)
fail() {
	echo "FAIL: $*"
	tail -n 40 "$t"/*.txt
	exit 1
}
expect() { # WHAT WANTED GOT
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
	echo "ok: $1"
}
has() { grep -q "$1" "$t/out.txt" || fail "no '$1' in the output"; }
# machine WORDS [OPTION]...: sets $status; console in out.txt, errors in err.txt
machine() {
	words=$1
	shift
	vmm machine --kvm 3 --kernel 4 --initrd 5 --mem 192M \
		--cmdline "console=ttyS0 quiet panic=-1 $words" "$@" \
		3<>/dev/kvm 4<vmlinuz 5<initrd 2>"$t/err.txt"
	status=$?
}
await() { # TEXT
	n=0
	until grep -q "$1" "$t/out.txt" 2>/dev/null; do
		sleep 0.1
		n=$((n + 1))
		[ $n -lt 1800 ] || fail "no '$1' after 180 s"
	done
}

# --- input, two processors
mkfifo "$t/in"
machine do=shell --cpus 2 --serial-in 6 --serial-out 7 6<>"$t/in" \
	7>"$t/out.txt" &
await GUEST
echo 'echo ANSWER $((6 * 7)); break' >"$t/in"
wait $!
has 'GUEST cpus=2'
has 'ANSWER 42'
expect "nothing on standard error" "" "$(cat "$t/err.txt")"

# --- a slow reader loses nothing
{
	fds shrink 1
	machine do=flood --serial-out 1
	echo "$status" >"$t/status"
} | {
	n=0
	while [ $n -lt 20 ]; do
		dd bs=4096 count=1 2>/dev/null
		sleep 0.4
		n=$((n + 1))
	done >"$t/out.txt"
	cat >>"$t/out.txt"
}
expect "status" 0 "$(cat "$t/status")"
tr -d '\r' <"$t/out.txt" | sed -n '/^1$/,/^3000$/p' | md5sum >"$t/got"
expect "every byte" "$(seq 1 3000 | md5sum)" "$(cat "$t/got")"
has FLOOD-END

# --- each way to end
machine do=reset --serial-out 1 >"$t/out.txt"
expect "status of a reset" 0 "$status"
expect "a reset" "vmm machine: reset" "$(cat "$t/err.txt")"
machine "do=reset reboot=k" --serial-out 1 >"$t/out.txt"
expect "a reset by the keyboard controller" "vmm machine: reset" \
	"$(cat "$t/err.txt")"
machine "do=reset reboot=t" --serial-out 1 >"$t/out.txt"
expect "status of a triple fault" 1 "$status"
grep -q '^vmm machine: guest crash: .*triple fault at RIP 0x' "$t/err.txt" ||
	fail "triple fault: $(cat "$t/err.txt")"
[ "$(wc -l <"$t/err.txt")" = 1 ] || fail "more than one line"
vmm machine --kvm 3 --kernel 4 3<>/dev/kvm 4<initrd 2>"$t/err.txt"
expect "status of a kernel that is none" 1 $?
[ "$(wc -l <"$t/err.txt")" = 1 ] || fail "no kernel: $(cat "$t/err.txt")"
vmm machine --kvm 3 --kernel 4 3</dev/null 4<vmlinuz 2>"$t/err.txt"
expect "status without KVM" 1 $?
[ "$(wc -l <"$t/err.txt")" = 1 ] || fail "no KVM: $(cat "$t/err.txt")"

# --- devices
{ echo 0123456789abcdef; head -c 4194304 /dev/zero; } >"$t/disk"
disk=path=$t/disk,format=raw
export t disk
with_devices() { # SCRIPT: 6, 8 are sockets, $blk and $rng processes
	fds stream 6 7 fds stream 8 9 sh -uc '
	vmm device blk --fd 7 --disk "$disk" 6>&- 8>&- 9>&- & blk=$!
	vmm device rng --fd 9 6>&- 7>&- 8>&- & rng=$!
	exec 7>&- 9>&-
	'"$1"
}
two="--device name=virtio-blk0,id=2,fd=6 --device name=virtio-rng0,id=4,fd=8"
run="vmm machine --kvm 3 --kernel 4 --initrd 5 --mem 192M --cpus 2 $two"
files='3<>/dev/kvm 4<vmlinuz 5<initrd'

with_devices "$run --serial-out 1 --cmdline 'console=ttyS0 quiet do=disk' \
	$files >$t/out.txt; status=\$?
	exec 6>&- 8>&-; wait \$blk || exit 90; wait \$rng || exit 91
	exit \$status" || fail "with devices: status $?"
has 'DISK 0123456789abcde'
has 'RNG 16'
has '^MSI'
sum=$(seq 1 200000 | head -c $((200 * 4096)) | md5sum)
has "SUM $sum"
expect "what the guest wrote" "$sum" \
	"$(dd if="$t/disk" bs=4096 skip=1 count=200 2>/dev/null | md5sum)"

# --- an idle guest wakes nobody; then a device dies
# (but the rng: Linux asks it for more now and then)
switches() { # PID: of its main thread
	grep ctxt_switches "/proc/$1/status" | tr -dc '0-9\n' | tr '\n' +
}
with_devices "
	$run --serial-out 1 --cmdline 'console=ttyS0 quiet do=idle-on' \
		$files >$t/out.txt 2>$t/err.txt & m=\$!
	exec 6>&- 8>&-
	echo \$m \$blk \$rng >$t/pids
	wait \$m; echo \$? >$t/status; wait \$blk" &
await IDLE
read -r m blk rng <"$t/pids"
# the jailed processes are children of what the shell started
inner() { cat "/proc/$1/task/$1/children" | tr -d ' '; }
for p in $m $blk $rng; do
	i=$(inner $p)
	eval "in_$p=${i:-$p}"
done
sleep 2
for p in $m $blk; do eval "a_$p=\$(switches \$in_$p)"; done
sleep 5
for p in $m $blk; do
	eval "expect 'wake-ups of process $p' \"\$a_$p\" \"\$(switches \$in_$p)\""
done
rm -f "$t/status" # of an earlier part
eval "kill -9 \$in_$rng"
while [ ! -s "$t/status" ]; do sleep 0.1; done
expect "status when a device was killed" 1 "$(cat "$t/status")"
expect "the lost device" "vmm machine: virtio-rng0: the device process hung up" \
	"$(cat "$t/err.txt")"

# --- the link
rm "$t/out.txt" # of an earlier part
fds seqpacket 8 9 sh -uc "
	vmm machine --kvm 3 --kernel 4 --initrd 5 --mem 192M --link 9 \
		--serial-out 7 --cmdline 'console=ttyS0 quiet do=idle' $files \
		7>$t/out.txt 8>&- & m=\$!
	exec 9>&-
	fds recv 8; touch $t/ready
	while [ ! -e $t/go ]; do sleep 0.1; done
	fds send 8 18; sleep 9; grep -c AWAKE $t/out.txt
	fds send 8 19; while ! grep -q AWAKE $t/out.txt; do sleep 0.1; done
	echo resumed; fds send 8 17; fds recv 8; fds recv 8; wait \$m" >"$t/link" &
link=$!
await IDLE
touch "$t/go"
wait $link || fail "link: $(cat "$t/link")"
expect "ready, paused, resumed, ended" "1 0  0 resumed 2 0 power off eof " \
	"$(tr '\n' ' ' <"$t/link")"
has 'BUTTON 1 116 1'
fds seqpacket 8 9 sh -uc "
	vmm machine --kvm 3 --kernel 4 --initrd 5 --mem 192M --link 9 \
		--cmdline 'quiet do=idle-on' $files 8>&- & m=\$!
	exec 9>&-
	fds recv 8; sleep 2; fds send 8 16; fds recv 8; wait \$m" >"$t/link"
expect "stopped" "1 0  2 0 stopped " "$(tr '\n' ' ' <"$t/link")"
fds seqpacket 8 9 sh -uc "
	vmm machine --kvm 3 --kernel 4 --initrd 5 --mem 192M --link 9 \
		--cmdline 'quiet do=idle-on' $files 8>&- & m=\$!
	exec 9>&-
	fds recv 8; exec 8>&-; wait \$m"
expect "without a supervisor" 1 $?
sleep 0.5
# (a host may have others, in other process groups)
group() { sed 's/.*) [^ ]* [^ ]* \([0-9]*\) .*/\1/' "/proc/$1/stat"; }
left=
for p in $(pidof vmm); do
	[ "$(group "$p")" != "$(group $$)" ] || left="$left $p"
done
expect "processes left" "" "$left"
EOT

"$testbed" run --timeout 300 \
	--add "$(command -v vmm):/bin/vmm" \
	--add "$top_builddir/tests/e2e/fds:/bin/fds" \
	--add "$kernel:/vm/vmlinuz" --add "$work/initrd:/vm/initrd" \
	-- "$work/script"
