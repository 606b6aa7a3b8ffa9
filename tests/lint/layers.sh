#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Who may include whom. One row per folder: the folder, then what its files may
# include with quotes or from <vmmcore/…>, as folder names. A public header
# stands for the folder it belongs to.
set -eu
cd "$top_srcdir"

table='
libvmmcore/base       :
libvmmcore/memory     : base
libvmmcore/disk       : base
libvmmcore/loader     : base memory
libvmmcore/agent      : base
libvmmcore/sandbox    : base
libvmmcore/kvm        : base memory
libvmmcore/virtio     : base memory disk
libvmmcore/vhost-user : base memory virtio
vmm/bus               : base memory disk loader agent sandbox kvm virtio vhost-user
vmm/platform          : base memory disk loader agent sandbox kvm virtio vhost-user bus
vmm/arch              : base memory disk loader agent sandbox kvm virtio vhost-user bus platform
vmm/machine           : base memory disk loader agent sandbox kvm virtio vhost-user bus platform arch control cli
vmm/device            : base memory disk loader agent sandbox kvm virtio vhost-user bus platform arch control cli
vmm/control           : base agent disk
vmm/supervisor        : base disk sandbox virtio control
vmm/cli               : base disk sandbox kvm agent supervisor control
qcow-tool             : base disk
mkimage               : base disk
guest                 : base agent
'

# The folder a public header belongs to.
owner() {
	case $1 in
	agent | disk | kvm | loader | memory | sandbox | virtio | vhost-user)
		echo "$1" ;;
	convert) echo disk ;;
	virtqueue) echo virtio ;;
	composite | gpt) echo disk ;;
	*) echo base ;;
	esac
}

# The folders that the file $1 in folder $2 includes.
included() {
	sed -n 's/^#include <vmmcore\/\([a-z0-9-]*\)\.h>.*/\1/p' "$1" |
		while read -r h; do owner "$h"; done
	# "memory/x.h" within the library, "vmm/bus/x.h" within the tree
	sed -n 's/^#include "\(.*\)\/[^/"]*\.h".*/\1/p' "$1" |
		sed 's/^libvmmcore\///; s/^vmm\///; s/\/.*//'
}

bad=$(
	echo "$table" | while IFS=: read -r folder allowed; do
		folder=$(echo "$folder" | tr -d ' ')
		[ -n "$folder" ] || continue
		own=${folder##*/}
		find "$folder" -name '*.[ch]' | while read -r f; do
			for inc in $(included "$f" | sort -u); do
				case " $own $allowed " in
				*" $inc "*) ;;
				*) echo "$f: includes $inc" ;;
				esac
			done
		done
	done
	grep -rl '^#include <linux/kvm\.h>' libvmmcore vmm mkimage qcow-tool \
		guest --include='*.[ch]' | grep -v '^libvmmcore/kvm/' |
		sed 's/$/: includes <linux\/kvm.h>/' || :
)
if [ -n "$bad" ]; then
	printf 'against the layers:\n%s\n' "$bad"
	exit 1
fi
