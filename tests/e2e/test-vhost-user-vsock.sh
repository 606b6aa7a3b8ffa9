#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `vmm device vsock` and `vmm device rng`, in their jails, under QEMU's
# vhost-user-vsock-pci and vhost-user-rng-pci with a stock Linux guest: clients
# of the socket are joined to it, several at a time, data is whole in both
# directions, a half-close passes through, and a port nobody listens on refuses.
. "$top_srcdir/tests/e2e/qemu.sh"

need qemu-system-x86_64 socat

cat >"$dir/script" <<'EOT'
echo "RANDOM $(dd if=/dev/hwrng bs=4096 count=8 iflag=fullblock 2>/dev/null |
	gzip | wc -c)"
/bin/vsock_peer dial 99
/bin/vsock_peer echo 5000 5
/bin/vsock_peer echo 5001 1
echo DONE
EOT
kernel=$("$testbed" kernel) &&
	"$testbed" initrd -o "$dir/initrd" --module virtio_pci \
		--module virtio-rng --module vmw_vsock_virtio_transport \
		--add "$top_builddir/tests/e2e/vsock_peer:/bin/vsock_peer" \
		--script "$dir/script" || exit 1

vmm device vsock --socket "$dir/vsock.sock" --cid 42 --listen "$dir/clients" \
	>"$dir/vsock.txt" 2>&1 &
pids+=($!)
vmm device rng --socket "$dir/rng.sock" >"$dir/rng.txt" 2>&1 &
pids+=($!)
wait_for 10 "a device does not listen" \
	test -S "$dir/vsock.sock" -a -S "$dir/rng.sock" -a -S "$dir/clients"

start_guest guest '' -chardev socket,id=v,path="$dir/vsock.sock" \
	-device vhost-user-vsock-pci,chardev=v \
	-chardev socket,id=r,path="$dir/rng.sock" \
	-device vhost-user-rng-pci,chardev=r
is_ready() {
	[ "$(grep -c '^READY' "$dir/guest.txt")" -ge "$1" ]
}
wait_for 120 "the guest does not listen" is_ready 1

# what comes back must be what was sent, behind the one line of ours
echo_through() { # NAME FILE
	(
		printf 'CONNECT 5000\n'
		cat "$2"
	) | timeout 120 socat -t 100 - "UNIX-CONNECT:$dir/clients" >"$dir/$1.out"
	head -n 1 "$dir/$1.out" | grep -q '^OK 10737418' &&
		tail -n +2 "$dir/$1.out" | cmp - "$2"
}
head -c 8388608 /dev/urandom >"$dir/big"
echo "a small one" >"$dir/small"
: >"$dir/empty"
# a client that goes to a port nobody listens on is hung up on
[ -z "$(printf 'CONNECT 7\n' | timeout 60 socat -t 50 - \
	"UNIX-CONNECT:$dir/clients")" ] || fail "a port nobody listens on"
start=$(date +%s%N)
echo_through one "$dir/big" &
one=$!
echo_through two "$dir/big" &
two=$!
echo_through three "$dir/small" || fail "a small stream"
echo_through four "$dir/empty" || fail "an empty stream"
wait $one || fail "the first big stream"
wait $two || fail "the second big stream"
echo "2 x 8 MiB there and back: $((($(date +%s%N) - start) / 1000000)) ms"
echo_through five "$dir/small" || fail "one more stream"
wait_for 60 "the guest does not go on" is_ready 2
# a client that hangs up at once does not hurt
printf 'CONNECT 5001\n' | timeout 60 socat -u - "UNIX-CONNECT:$dir/clients"

wait "$qemu" || fail "QEMU: status $?"
tr -d '\r' <"$dir/guest.txt" >"$dir/guest"
grep -q '^DONE$' "$dir/guest" || fail "the guest did not finish"
[ "$(grep -c '^ECHO failed 0$' "$dir/guest")" = 2 ] ||
	fail "a connection failed in the guest"
grep -q '^DIAL Connection reset' "$dir/guest" ||
	fail "a connection to the host was not refused"
random=$(sed -n 's/^RANDOM //p' "$dir/guest")
[ "$random" -gt 32768 ] || fail "random bytes that compress to $random"

kill "${pids[0]}" "${pids[1]}"
wait "${pids[0]}" || fail "the vsock device: status $?"
wait "${pids[1]}" || fail "the rng device: status $?"
pids=()
[ ! -s "$dir/vsock.txt" ] && [ ! -s "$dir/rng.txt" ] ||
	fail "a device complained"
[ ! -e "$dir/vsock.sock" ] && [ ! -e "$dir/clients" ] ||
	fail "a socket was left behind"
echo PASS
