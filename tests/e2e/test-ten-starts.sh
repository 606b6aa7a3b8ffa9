#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Ten starts in a row leave no file, socket, process, mount, namespace or shared
# memory behind.
. "$top_srcdir/tests/e2e/lib.sh"

in_testbed ten.script <<'E2E'
#!/bin/sh
# On a host others make files too. There it runs where nothing but its own folder can
# be written to.
if [ "$TESTBED" = direct ]; then
	home=$(dirname "$0")
	if [ -z "${TEN_STARTS-}" ]; then
		user=
		[ "$(id -u)" = 0 ] || user=-r
		TEN_STARTS=private exec unshare $user -m \
			--propagation slave sh "$0"
	fi
	mount --bind "$home" "$home"
	while read -r from dir type options _; do
		keep=
		for o in nosuid nodev noexec noatime relatime; do
			case ,$options, in *,$o,*) keep=$keep,$o ;; esac
		done
		dir=$(printf '%b' "$dir")
		case "$from $type $dir" in
		*" $home") ;;
		/dev/loop*) umount -l "$dir" ;; # of who tests beside us
		*' ext'[234]\ * | *' xfs '* | *' btrfs '* | *' f2fs '* | *' zfs '* | \
			*' overlay '* | *' tmpfs '*)
			mount -o "remount,bind,ro$keep" "$dir" ;;
		esac
	done </proc/self/mounts
	for dir in / /tmp /var/tmp /run /dev/shm; do
		! touch "$dir/ten-starts" 2>/dev/null || {
			rm "$dir/ten-starts"
			echo "FAIL: $dir can be written to"
			exit 1
		}
	done
fi
. "${TESTBED_ROOT-}/vm/guest.sh"
state() {
	find ${home:-/} -xdev \( -path /proc -o -path /sys -o -path /dev/pts \) -prune \
		-o ! -path "$tmp/state*" ! -path "$tmp/std*" \
		! -path "$tmp/console" -print | sort
	[ -n "${home-}" ] || find /dev/shm /run 2>/dev/null | sort
	grep -v '^/dev/loop' /proc/self/mounts
	ls /sys/fs/cgroup | sort
	vmm_processes
}
: >"$tmp/console"
: >"$tmp/stderr"
state >"$tmp/state.before"
for i in 1 2 3 4 5 6 7 8 9 10; do
	start_vm
	if [ $i = 1 ]; then
		guest true || fail "boot"
	else
		# another moment of the boot each time
		until [ -S "$sock" ]; do
			kill -0 "$vmm" 2>/dev/null || fail "start $i"
			sleep 0.1
		done
		sleep $((i / 2))
	fi
	case $i in
	*[13579]) vmm stop --force "$sock" || fail "stop $i" ;;
	*) kill "$vmm" ;;
	esac
	end_vm
	expect "exit status of start $i" 0 "$status"
	: >"$tmp/console"
done
state >"$tmp/state.after"
diff "$tmp/state.before" "$tmp/state.after" || fail "something was left"
echo "ok: nothing left"
E2E
