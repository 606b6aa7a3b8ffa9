#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# vmm exec and the real vmm-agent, joined by vsock-shim in place of a VM.
# shellcheck disable=SC2154 # the harness sets top_builddir
# shellcheck disable=SC2016 # the guest's shell expands it
set -eu
dir=$(mktemp -d)
agent='' shim='' device=''
cleanup() {
	# shellcheck disable=SC2086 # words, or none
	[ -z "$agent$shim$device" ] || kill $agent $shim $device 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "FAILED: $*"
	exit 1
}
expect() { # STATUS COMMAND...: run it, streams to $dir/out and $dir/err
	want=$1
	shift
	status=0
	"$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" = "$want" ] || {
		cat "$dir/out" "$dir/err"
		fail "status $status, not $want: $*"
	}
}
ex() {
	vmm exec --vsock "$dir/vsock" "$@"
}
out_is() { # TEXT
	printf '%s' "$1" | cmp -s - "$dir/out" || {
		cat "$dir/out"
		fail "output is not '$1'"
	}
}

"$top_builddir/tests/tools/vsock-shim" "$dir/vsock" "$dir/agent" &
shim=$!
n=0
until [ -S "$dir/vsock" ]; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 600 ] || fail "vsock-shim does not listen"
done

echo "waits for the agent, and gives up"
expect 125 ex --wait 0 -- true
grep -q '^vmm exec: .*agent: connect: ' "$dir/err" || fail "no reason"
# a device whose guest has no driver yet takes clients and does not answer them
vmm device vsock --disable-sandbox --socket "$dir/vhost-user" \
	--listen "$dir/no-driver" &
device=$!
n=0
until [ -S "$dir/no-driver" ]; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 600 ] || fail "the vsock device does not listen"
done
expect 125 timeout 5 vmm exec --vsock "$dir/no-driver" --wait 0 -- true
expect 125 timeout 9 vmm exec --vsock "$dir/no-driver" --wait 1 -- true
grep -q 'agent: connect: Connection timed out' "$dir/err" || fail "no reason"
kill "$device"
wait "$device" || fail "the vsock device: status $?"
device=
(sleep 1; exec vmm-agent --unix "$dir/agent") &
agent=$!
expect 0 ex --wait 60 -- true

echo "output and exit status"
expect 0 ex -n -- echo hello world
out_is 'hello world
'
expect 3 ex -n -- sh -c 'echo out; echo err >&2; exit 3'
out_is 'out
'
[ "$(cat "$dir/err")" = err ] || fail "standard error"
expect 255 ex -n -- sh -c 'exit 255'
expect 137 ex -n -- sh -c 'kill -9 $$'
expect 143 ex -n -- sh -c 'kill $$'
expect 0 ex -n -- printf '%s|' '' 'a b' "c'd" -- --help
out_is "|a b|c'd|--|--help|"

echo "what cannot run"
expect 127 ex -n -- no-such-program-here
expect 127 ex -n -- /no/such/program
expect 126 ex -n -- /etc/passwd
expect 126 ex -n -- /
expect 125 ex -n -w /no/such/folder -- true
grep -q 'working directory' "$dir/err" || fail "no reason"
expect 125 ex -n -u no-such-user -- true
expect 2 vmm exec
expect 2 vmm exec "$dir/vm"
expect 2 ex -e novalue -- true
expect 2 ex --no-such-option -- true
expect 125 vmm exec --wait 0 "$dir/no-vm" -- true

echo "environment, folder, user"
SECRET=1
export SECRET
expect 0 ex -n -e A=1 -e 'B=x y' -e HOME=/h -- env
sort "$dir/out" >"$dir/env"
for v in A=1 'B=x y' HOME=/h LANG=C.UTF-8 TERM=dumb \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; do
	grep -qx "$v" "$dir/env" || fail "$v is not in the environment"
done
! grep -q SECRET "$dir/env" || fail "the agent's environment leaks"
[ "$(grep -c '^HOME=' "$dir/env")" = 1 ] || fail "HOME twice"
expect 0 ex -n -- pwd
out_is '/
'
expect 0 ex -n -w /usr -- pwd
out_is '/usr
'
# the PATH given is the one the program is looked up in
expect 127 ex -n -e PATH=/no/such -- ls
if [ "$(id -u)" = 0 ]; then
	expect 0 ex -n -- id -u
	out_is '0
'
	expect 0 ex -n -u nobody -- sh -c 'id -un; id -gn; echo $USER $HOME'
	[ "$(head -n 1 "$dir/out")" = nobody ] || fail "not nobody"
	expect 0 ex -n -u 12345:54321 -- sh -c 'id -u; id -g; id -G'
	out_is '12345
54321
54321
'
	expect 0 ex -n -u nobody:daemon -- id -gn
	out_is 'daemon
'
	# not as root: a user's own rights decide
	expect 125 ex -n -u nobody -w /root -- true
else
	echo "(not root: users are not tried)"
fi

echo "standard input"
expect 0 sh -c "printf 'a\nb\n' | vmm exec --vsock '$dir/vsock' -- cat -n"
[ "$(wc -l <"$dir/out")" = 2 ] || fail "input"
expect 0 ex -- wc -c </dev/null
out_is '0
'
expect 0 ex -n -- wc -c
out_is '0
'
expect 0 ex -- wc -c <&-
out_is '0
'
# a command that reads none of it ends all the same
expect 0 sh -c "yes | vmm exec --vsock '$dir/vsock' -- true"
expect 0 sh -c "yes | vmm exec --vsock '$dir/vsock' -- head -n 1"
out_is 'y
'

echo "100 MB through cat, both ways at once"
head -c 100000000 /dev/urandom >"$dir/big"
expect 0 sh -c "vmm exec --vsock '$dir/vsock' -- cat <'$dir/big' |
	cmp - '$dir/big'"
expect 0 sh -c "vmm exec --vsock '$dir/vsock' -- cat <'$dir/big' \
	>'$dir/copy' && cmp '$dir/copy' '$dir/big'"
rm -f "$dir/copy" "$dir/big"
# a slow reader: what is not taken stays in the guest, bounded
expect 0 sh -c "vmm exec --vsock '$dir/vsock' -n -- seq 300000 | (sleep 1; cat)"
[ "$(tail -n 1 "$dir/out")" = 300000 ] || fail "output was lost"
# stdout stuck, stderr flows
expect 0 sh -c "(vmm exec --vsock '$dir/vsock' -n -- \
	sh -c 'seq 200000 & seq 200000 >&2; wait' | (sleep 1; cat >'$dir/a')) 2>&1"
[ "$(tail -n 1 "$dir/a")" = 200000 ] || fail "standard output"
[ "$(tail -n 1 "$dir/out")" = 200000 ] || fail "standard error"

echo "a process left in the background does not hold the end up"
expect 0 timeout 60 vmm exec --vsock "$dir/vsock" -n -- \
	sh -c 'sleep 1000 & echo $!'
kill "$(cat "$dir/out")" || fail "it should have stayed"

echo "signals reach the command"
vmm exec --vsock "$dir/vsock" -n -- sh -c 'trap "echo got term; exit 9" TERM; echo ready
	while :; do sleep 0.1; done' >"$dir/sig" &
pid=$!
n=0
until grep -q ready "$dir/sig"; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 600 ] || fail "it did not start"
done
kill "$pid"
status=0
wait "$pid" || status=$?
[ "$status" = 9 ] || fail "status $status after SIGTERM"
grep -q 'got term' "$dir/sig" || fail "no SIGTERM"

echo "a client that is killed takes the command along"
vmm exec --vsock "$dir/vsock" -n -- sh -c 'echo $$; exec sleep 1000' >"$dir/pid" &
pid=$!
n=0
until [ -s "$dir/pid" ]; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 600 ] || fail "it did not start"
done
kill -9 "$pid"
wait "$pid" 2>/dev/null || :
n=0
while kill -0 "$(cat "$dir/pid")" 2>/dev/null; do
	sleep 0.1
	n=$((n + 1))
	[ $n -lt 100 ] || fail "the command is still there"
done

echo "output that cannot be written is an error"
expect 125 sh -c "vmm exec --vsock '$dir/vsock' -n -- echo x >/dev/full"
grep -q 'standard output: write: No space' "$dir/err" || fail "no reason"

echo "many at once"
i=0
while [ $i -lt 40 ]; do
	ex -- sh -c "cat; exit $i" <"$0" >"$dir/many.$i" 2>&1 &
	eval "pid_$i=\$!"
	i=$((i + 1))
done
i=0
while [ $i -lt 40 ]; do
	eval "pid=\$pid_$i"
	status=0
	wait "$pid" || status=$?
	[ "$status" = "$i" ] || fail "status $status of number $i"
	cmp "$dir/many.$i" "$0" || fail "output of number $i"
	i=$((i + 1))
done

echo "the agent ends cleanly and its socket is gone"
kill "$agent"
wait "$agent" || fail "agent: status $?"
agent=''
[ ! -e "$dir/agent" ] || fail "the socket is left"
