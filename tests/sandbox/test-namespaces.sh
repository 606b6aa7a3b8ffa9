#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The namespaced stage, entered by hand and by vc_jail_spawn(), as root and as an
# ordinary user, on the host and inside containers of several kinds.
. "$top_srcdir/tests/sandbox/lib.sh"

check() {
	what=$1
	shift
	out=$("$@" 2>&1)
	status=$?
	[ $status = 0 ] || bad "$what: status $status: $out"
}

for who in $everyone; do
	for how in '' --spawned; do
		# shellcheck disable=SC2086
		check "as $who, ${how:-by hand}" as $who "$tmp/look_around" $how
		check "as $who, ${how:-by hand}, in a user namespace" \
			as $who unshare -Ur "$tmp/look_around" $how
		check "as $who, ${how:-by hand}, in a container" \
			as $who unshare -Urpmf --mount-proc \
			sh -c '"$@"; exit $?' sh "$tmp/look_around" $how
		check "as $who, ${how:-by hand}, five deep" \
			as $who unshare -Ur unshare -Ur unshare -Ur \
			unshare -Ur unshare -Ur "$tmp/look_around" $how
	done
	check "as $who, first in a container" \
		as $who unshare -Urpmf --mount-proc "$tmp/look_around" --first
	# first, yet not alone
	check "as $who, first in a container with others" \
		as $who unshare -Urpmf --mount-proc \
		sh -c 'sleep 60 & exec "$@"' sh "$tmp/look_around"
done
if [ "$(id -u)" = 0 ]; then
	# process 1, but of no user namespace of its own
	check 'as root, first in a pid namespace' \
		unshare -pf "$tmp/look_around"
fi

# the parent that waits ends as the child does
"$tmp/try_syscall" rng kill kill 2>/dev/null
status=$?
[ $status = 159 ] || bad "status $status for a child killed by SIGSYS"

# nobody is left behind, and nothing is mounted
if [ -n "$(find /proc -maxdepth 2 -name exe -lname "$tmp/*" 2>/dev/null)" ]
then
	bad 'a process is left'
fi
if grep -q "$tmp" /proc/self/mounts; then
	bad 'a mount is left'
fi
finish
