#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A host that refuses user namespaces is told so, by the name of the switch.
. "$top_srcdir/tests/sandbox/lib.sh"

# A namespace of our own is such a host once its limit is zero.
refusing() {
	# shellcheck disable=SC2016
	unshare -Ur sh -c 'echo 0 >"/proc/sys/user/$0" || exit 77; "$@"' "$@"
}

refusing max_user_namespaces true
if [ $? = 77 ]; then
	echo 'the sysctls cannot be set here'
	exit 77
fi

want='user namespaces: refused by the host (sysctl user.%s is 0)'
for sysctl in max_user_namespaces max_pid_namespaces; do
	# shellcheck disable=SC2059
	text=$(printf "$want" $sysctl)
	for how in '' --spawned; do
		# shellcheck disable=SC2086
		out=$(refusing $sysctl "$tmp/look_around" $how 2>&1)
		status=$?
		[ $status = 3 ] || bad "$sysctl $how: status $status"
		case $out in
		*"$text"*) ;;
		*) bad "$sysctl $how: $out" ;;
		esac
		[ "$(echo "$out" | wc -l)" = 1 ] ||
			bad "$sysctl $how: more than a line: $out"
	done
done

# the other kinds, each by its name
for kind in mnt:mount net:network ipc:ipc uts:uts cgroup:cgroup; do
	out=$(refusing "max_${kind%:*}_namespaces" "$tmp/look_around" 2>&1)
	status=$?
	[ $status = 3 ] || bad "$kind: status $status"
	case $out in
	*"${kind#*:} namespaces: refused by the host"*) ;;
	*) bad "$kind: $out" ;;
	esac
done

# `vmm doctor` says the same, and that something is missing
out=$(refusing max_user_namespaces "$tmp/vmm" doctor)
status=$?
[ $status = 1 ] || bad "doctor: status $status"
case $out in
*'MISSING  user and pid namespaces'*'sysctl user.max_user_namespaces is 0'*) ;;
*) bad "doctor: $out" ;;
esac
finish
