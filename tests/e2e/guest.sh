# SPDX-License-Identifier: BSD-3-Clause
# Helpers for scripts that run where KVM is; plain sh, busybox tools.
set -eu
vm=${TESTBED_ROOT-}/vm
tmp=$(mktemp -d)
sock=$tmp/vm.sock
cp "$vm/fs.qcow2" "$tmp/fs.qcow2"

fail() {
	echo "FAIL: $*"
	[ ! -e "$tmp/console" ] || tail -n 60 "$tmp/console"
	[ ! -e "$tmp/stderr" ] || cat "$tmp/stderr"
	exit 1
}

# start_vm [OPTION]...: the guest in the background, with $disk; sets $vmm
disk=fs.qcow2
start_vm() {
	vmm run --mem 256 --cpus 2 --initrd "$vm/initrd" \
		--block "$tmp/$disk,root" --params quiet --socket "$sock" \
		--serial "type=file,path=$tmp/console,console" "$@" \
		"$vm/vmlinuz" </dev/null 2>"$tmp/stderr" &
	vmm=$!
}

guest() { vmm exec --wait 120 "$sock" -- "$@"; }

# The exit status of the VM that start_vm started, into $status.
end_vm() {
	status=0
	wait "$vmm" || status=$?
}

# process PID: its name, state, parent and process group
process() {
	sed 's/^[^(]*(\(.*\)) \(. [0-9]* [0-9]*\) .*/\1 \2/' "/proc/$1/stat" \
		2>/dev/null
}

# The ids of processes named vmm, all but those that have ended; those of this
# process group, for a host may have others.
own_group=$(process $$)
own_group=${own_group##* }
vmm_processes() {
	for p in /proc/[0-9]*; do
		case $(process "${p#/proc/}") in
		'vmm Z '*) ;;
		'vmm '*" $own_group") echo "${p#/proc/}" ;;
		esac
	done
	return 0
}

# device_pid NAME: the process of the device called NAME
device_pid() {
	for p in $(vmm_processes); do
		tr '\0' ' ' <"/proc/$p/cmdline" | grep -q "device .*--name $1 " &&
			echo "$p"
	done
	return 0
}

expect() { # WHAT WANTED GOT
	[ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
	echo "ok: $1"
}
