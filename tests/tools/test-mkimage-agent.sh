#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# --agent puts the agent in and has it started, whatever init the image has.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs

printf '\177ELF-agent' >agent
printf '\177ELF-init' >init
agent() {
	rm -f image.raw
	mkimage -o image.raw --agent-binary agent --init-binary init "$@" \
		a.tar >out.log 2>err.log || fail "$(cat err.log)"
	made --agent "$@" a.tar
	has 'cat /usr/lib/vmm/vmm-agent' 'ELF-agent'
	has 'stat /usr/lib/vmm/vmm-agent' 'Mode: +0755'
}
wants=/etc/systemd/system/multi-user.target.wants/vmm-agent.service

# systemd, /usr merged by a relative link, and by an absolute one
for link in usr/lib /usr/lib; do
	gen <<X
symlink lib $link
file usr/lib/systemd/systemd text=x
symlink sbin usr/sbin
symlink usr/sbin/init ../lib/systemd/systemd
end
X
	agent
	grep -q 'agent started by systemd' out.log || fail "$(cat out.log)"
	has 'cat /usr/lib/systemd/system/vmm-agent.service' \
		'^ExecStart=/usr/lib/vmm/vmm-agent$'
	has 'stat /usr/lib/systemd/system/vmm-agent.service' 'Mode: +0644'
	has 'stat /usr/lib/vmm/vmm-agent' 'Mode: +0755'
	has "stat $wants" 'link dest: "/usr/lib/systemd/system/vmm-agent'
	has 'stat /lib' 'Type: symlink'
done
# systemd in /lib
gen <<'X'
file lib/systemd/systemd text=x
symlink sbin/init ../lib/systemd/systemd
end
X
agent
has 'stat /lib/systemd/system/vmm-agent.service' 'Type: regular'
has "stat $wants" 'link dest: "/lib/systemd/system/vmm-agent'

# OpenRC
gen <<'X'
file sbin/openrc-run text=x
symlink sbin/init ../bin/busybox
end
X
agent
grep -q 'agent started by openrc' out.log || fail "$(cat out.log)"
has 'stat /etc/init.d/vmm-agent' 'Mode: +0755'
has 'stat /etc/runlevels/default/vmm-agent' 'Type: symlink'

# an agent for another processor cannot run there; of a 32-bit image's kernel
# there may be one that runs both
mkdir -p elf32/bin elf64/bin
elf 1 1 '\3\0' >elf32/bin/sh
elf 2 1 '\267\0' >elf64/bin/sh
elf 2 1 '\076\0' >amd64-agent
mkimage --force -q -o image.raw --agent-binary amd64-agent \
	--init-binary init elf32 ||
	fail "an agent of 64 bits among programs of 32"
made --agent elf32
rm image.raw
! mkimage -q -o image.raw --agent-binary amd64-agent --init-binary init elf64 \
	2>err.log || fail "an agent for another processor"
[ "$(cat err.log)" = "mkimage: agent: 'amd64-agent': a program for x86-64; those\
 of the image are for arm64" ] || fail "$(cat err.log)"
[ ! -e image.raw ] || fail "an image is left"

# no init at all
gen <<'X'
symlink sbin usr/sbin
file usr/bin/sh text=x
end
X
agent
grep -q 'agent started by vmm-init' out.log || fail "$(cat out.log)"
has 'cat /usr/lib/vmm/vmm-init' 'ELF-init'
has 'stat /usr/sbin/init' 'link dest: "/usr/lib/vmm/vmm-init"'
has 'stat /sbin' 'Type: symlink'

# another init: told; a broken link there counts as one
for entry in 'file sbin/init text=x' 'symlink sbin/init /nowhere/init'; do
	{
		echo "$entry"
		echo end
	} | gen
	agent
	grep -q 'warning: .*neither systemd nor OpenRC' err.log ||
		fail "$(cat err.log)"
done
refuses 'neither systemd nor OpenRC' 1 --strict --agent-binary agent a.tar

# a link out of the tree stays in it
gen <<'X'
symlink usr /../../outside
symlink etc ../../outside-etc
end
X
agent
has 'stat /outside/lib/vmm/vmm-agent' 'Type: regular'

# no such program, or none at all
refuses "no-such-file': open: No such file" 1 --agent-binary no-such-file a.tar
echo text >text
refuses 'not a program' 1 --agent-binary text a.tar
# the one of this build or installation is found by itself
if [ -x "$top_builddir/guest/vmm-agent" ]; then
	build --agent a.tar
fi
