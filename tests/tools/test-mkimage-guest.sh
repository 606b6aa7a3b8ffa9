#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The files that make a container's root file system a machine's: each is
# written when asked for, and nothing else is touched.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs

echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone@somewhere' >key.pub
printf 'ssh-rsa AAAAB3NzaC1yc2E another' >key2.pub
printf '%s\n' '-----BEGIN OPENSSH PRIVATE KEY-----' AAAA >key
hash='$6$salt$abcdefghijklmnopqrstuvwxyz./0123456789'

# nothing unless asked
gen <<'X'
file etc/shadow text=root:*:1::::::\x0ajoe:!:2::::::\x0a mode=640 gid=42
file etc/hosts text=127.0.0.1\x20localhost mode=644
file usr/lib/systemd/systemd-networkd text=x
end
X
build a.tar
for f in /etc/hostname /root /etc/fstab /etc/systemd /sbin; do
	absent $f
done
has 'cat /etc/shadow' '^root:\*:1::::::$'

build --hostname guest-1.example --ssh-key key.pub --ssh-key key2.pub \
	--root-password-hash "$hash" --fstab --label rootfs --network dhcp a.tar
has 'cat /etc/hostname' '^guest-1.example$'
has 'cat /etc/hosts' '^127.0.0.1 localhost$'
has 'cat /etc/hosts' '^127.0.1.1	guest-1.example$'
has 'stat /root' 'Mode: +0700'
has 'stat /root/.ssh' 'Mode: +0700'
has 'stat /root/.ssh/authorized_keys' 'Mode: +0600'
has 'cat /root/.ssh/authorized_keys' '^ssh-ed25519 AAAA.* someone@somewhere$'
has 'cat /root/.ssh/authorized_keys' '^ssh-rsa AAAA.* another$'
debugfs -R 'cat /etc/shadow' image.raw 2>/dev/null >shadow
printf 'root:%s:1::::::\njoe:!:2::::::\n' "$hash" | cmp - shadow ||
	fail "$(cat shadow)"
has 'stat /etc/shadow' 'Mode: +0640'
has 'stat /etc/shadow' 'Group: +42'
has 'cat /etc/fstab' '^LABEL=rootfs	/	ext4	defaults	0	1$'
has 'cat /etc/systemd/network/10-vmm.network' '^DHCP=yes$'
has 'stat /etc/systemd/system/multi-user.target.wants/systemd-networkd.service' \
	'Type: symlink'
build --network none --fstab \
	--fs-option uuid=01234567-89ab-cdef-0123-456789abcdef a.tar
has 'cat /etc/fstab' '^UUID=01234567-89ab-cdef-0123-456789abcdef	/'
has 'cat /etc/systemd/network/10-vmm.network' '^Unmanaged=yes$'
absent /etc/systemd/system

# nothing there yet, or through links that lead out of the tree
gen <<'X'
symlink etc /../outside
symlink root ../../home-of-root
file sbin/ifup text=x
file usr/bin/udevadm text=x
end
X
build --hostname h --root-password-hash "$hash" --network dhcp a.tar
has 'cat /outside/hostname' '^h$'
has 'cat /outside/hosts' '^127.0.0.1	localhost$'
has 'stat /outside/hostname' 'Mode: +0644'
has 'stat /outside/hosts' 'Mode: +0644'
has 'cat /outside/shadow' '^root:\$6\$salt'
has 'stat /outside/shadow' 'Mode: +0600'
has 'cat /outside/network/interfaces' '^iface eth0 inet dhcp$'
has 'stat /outside/systemd/network/99-default.link' 'link dest: "/dev/null"'
refuses 'no DHCP client for ifupdown' 1 --strict --network dhcp a.tar
build --network none a.tar
has 'cat /outside/network/interfaces' '^iface lo inet loopback$'

# root is not the first, or not there; the last line has no end
gen <<'X'
file etc/shadow text=joe:!:2::::::\x0aroot:*:1
file etc/hosts size=2000000
file root/.ssh/authorized_keys text=old mode=644
dir root/.ssh mode=777 uid=5 gid=6
end
X
build --root-password-hash "$hash" a.tar
debugfs -R 'cat /etc/shadow' image.raw 2>/dev/null >shadow
printf 'joe:!:2::::::\nroot:%s:1' "$hash" | cmp - shadow || fail "$(cat shadow)"
refuses "'/etc/hosts': not a file that can be edited" 1 --hostname h a.tar
# nothing behind a NUL would be left of it
printf '127.0.0.1 localhost\n\0\n::1 localhost\n' >nul
mkdir -p nul.d/etc
cp nul nul.d/etc/hosts
refuses "'/etc/hosts': not a file that can be edited" 1 --hostname h nul.d
refuses "'/root/.ssh/authorized_keys' of the image replaced" 1 --strict \
	--ssh-key key.pub a.tar
build --ssh-key key2.pub --ssh-key key.pub a.tar
has 'stat /root/.ssh' 'Mode: +0700'
has 'stat /root/.ssh' 'User: +0 +Group: +0'
has 'stat /root/.ssh/authorized_keys' 'Mode: +0600'
has 'cat /root/.ssh/authorized_keys' '^ssh-ed25519 '
gen <<'X'
file etc/shadow text=rooty:x:1::::::\x0ajoe:!:2::::::
file usr/sbin/NetworkManager text=x
end
X
build --strict --root-password-hash "$hash" --network dhcp a.tar
debugfs -R 'cat /etc/shadow' image.raw 2>/dev/null >shadow
printf 'root:%s::0:99999:7:::\nrooty:x:1::::::\njoe:!:2::::::' "$hash" |
	cmp - shadow || fail "$(cat shadow)"
absent /etc/systemd
absent /etc/network
refuses '--fstab: a label of letters' 2 --fstab --label 'a b' a.tar
# a root who needed no password, or had it elsewhere: the hash is what counts
for field in '' '*' '$1$a$b'; do
	gen <<X
file etc/passwd text=joe:x:1:1::/:/bin/sh\x0aroot:$field:0:0::/root:/bin/sh\x0a
file etc/shadow text=root:*:1::::::\x0a
end
X
	build --root-password-hash "$hash" a.tar
	debugfs -R 'cat /etc/passwd' image.raw 2>/dev/null >passwd
	printf 'joe:x:1:1::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n' | cmp - passwd ||
		fail "$(cat passwd)"
	has 'stat /etc/passwd' 'Mode: +0644'
	has 'cat /etc/shadow' '^root:\$6\$salt.*:1::::::$'
done
# and nothing else there is lost, a NUL neither
rm -rf nul.d
mkdir -p nul.d/etc
printf 'a\0b:x:1:1::/:/bin/sh\nroot::0:0::/root:/bin/sh\n\0\njoe:x:2:2::/:\n' \
	>nul.d/etc/passwd
build --root-password-hash "$hash" nul.d
debugfs -R 'cat /etc/passwd' image.raw 2>/dev/null >passwd
sed 's/^root:/&x/' nul.d/etc/passwd | cmp - passwd || fail "what is behind a NUL"

# of the same name, but not in /etc
gen <<'X'
file etc/shadow text=root:!:1\x0a
file opt/shadow text=root:!:2\x0a
file opt/hosts text=1.2.3.4\x20x\x0a
end
X
build --root-password-hash "$hash" --hostname h a.tar
debugfs -R 'cat /etc/shadow' image.raw 2>/dev/null >shadow
printf 'root:%s:1\n' "$hash" | cmp - shadow || fail "$(cat shadow)"
has 'cat /etc/hosts' '^127.0.0.1	localhost$'
has 'cat /opt/shadow' '^root:!:2$'

# systemd in /lib, with its resolver
gen <<'X'
file lib/systemd/systemd-networkd text=x
file lib/systemd/system/systemd-networkd.service text=x
file lib/systemd/system/systemd-resolved.service text=x
end
X
build --network dhcp a.tar
for unit in networkd resolved; do
	has "stat /etc/systemd/system/multi-user.target.wants/systemd-$unit.service" \
		"link dest: \"/lib/systemd/system/systemd-$unit.service\""
done
# OpenRC with nothing it could start, and nothing at all
for what in sbin/openrc-run etc/x; do
	printf 'file %s text=x\nend\n' $what | gen
	refuses 'nothing written' 1 --strict --network dhcp a.tar
	build --strict --network none a.tar
	absent /etc/network
	absent /etc/runlevels
done

# Debian's takes the first card, whatever its name is; without a client it is not
# the one that asks
debian='file sbin/init text=x
file sbin/ifup text=x
file lib/ifupdown/wait-online.sh text=x
file lib/systemd/systemd text=x
file lib/systemd/systemd-udevd text=x
file lib/systemd/systemd-networkd text=x'
printf '%s\nend\n' "$debian" | gen
build --strict --network dhcp a.tar
has 'cat /etc/systemd/network/10-vmm.network' '^DHCP=yes$'
absent /etc/network/interfaces
for client in sbin/dhclient usr/sbin/dhcpcd; do
	printf '%s\nfile %s text=x\nend\n' "$debian" $client | gen
	build --strict --network dhcp a.tar
	has 'cat /etc/network/interfaces' '^auto /e\*/1=vmm$'
	has 'cat /etc/network/interfaces' '^iface vmm inet dhcp$'
	absent /etc/systemd
done
# what is started already goes on; that there is to be none is told to all
u=etc/systemd/system/multi-user.target.wants
for by in NetworkManager dhcpcd; do
	printf '%s\nfile usr/sbin/%s text=x\nsymlink %s/%s.service /sbin/init\n' "$debian" \
		NetworkManager "$u" "$by" >more
	[ $by != dhcpcd ] || sed -i '/ifup/d; /NetworkM/d' more
	printf 'file usr/lib/systemd/system/dhcpcd.service text=x\nend\n' >>more
	gen <more
	build --strict --network dhcp a.tar
	absent /etc/network
	absent /etc/systemd/network
	build --strict --network none a.tar
	has 'cat /etc/dhcpcd.conf' '^denyinterfaces \*$'
	has 'cat /etc/systemd/network/10-vmm.network' '^Unmanaged=yes$'
done
printf '%s\nfile usr/sbin/NetworkManager text=x\nend\n' "$debian" | gen
build --strict --network none a.tar
has 'cat /etc/NetworkManager/conf.d/10-vmm.conf' \
	'^unmanaged-devices=type:ethernet$'
has 'cat /etc/network/interfaces' '^iface lo inet loopback$'

# OpenRC, with ifupdown, with Gentoo's scripts, with dhcpcd
gen <<'X'
file sbin/openrc-run text=x
file sbin/ifup text=x
file etc/init.d/networking text=x
end
X
build --network dhcp a.tar
has 'cat /etc/network/interfaces' '^iface eth0 inet dhcp$'
has 'stat /etc/runlevels/boot/networking' 'link dest: "/etc/init.d/networking"'
build --network none a.tar
has 'cat /etc/network/interfaces' '^iface lo inet loopback$'
has 'stat /etc/runlevels/boot/networking' 'link dest: "/etc/init.d/networking"'
debugfs -R 'cat /etc/network/interfaces' image.raw 2>/dev/null |
	grep -q eth0 && fail "--network none: a card"
gen <<'X'
file sbin/openrc-run text=x
file etc/init.d/net.lo text=x
file sbin/udevd text=x
end
X
# the words are a shell's, as the scripts read them
words() {
	debugfs -R 'dump /etc/conf.d/net net' image.raw 2>/dev/null
	# shellcheck disable=SC1091
	(set -e && . ./net && echo "$config_eth0")
}
build --network dhcp a.tar
[ "$(words)" = dhcp ] || fail "netifrc: $(words)"
has 'stat /etc/systemd/network/99-default.link' 'link dest: "/dev/null"'
has 'stat /etc/init.d/net.eth0' 'link dest: "net.lo"'
has 'stat /etc/runlevels/default/net.eth0' 'link dest: "/etc/init.d/net.eth0"'
build --network none a.tar
[ "$(words)" = null ] || fail "netifrc: $(words)"
absent /etc/init.d/net.eth0
gen <<'X'
file sbin/openrc-run text=x
file etc/init.d/dhcpcd text=x
end
X
build --network dhcp a.tar
has 'stat /etc/runlevels/default/dhcpcd' 'link dest: "/etc/init.d/dhcpcd"'
build --network none a.tar
has 'cat /etc/dhcpcd.conf' '^denyinterfaces \*$'

# an init of its own, and vmm-init in its place
printf '\177ELF-agent' >agent
printf '\177ELF-init' >init
gen <<'X'
file usr/lib/systemd/systemd text=x
symlink sbin/init ../usr/lib/systemd/systemd
end
X
build --init --agent-binary agent --init-binary init a.tar
has 'stat /sbin/init' 'link dest: "/usr/lib/vmm/vmm-init"'
has 'cat /usr/lib/vmm/vmm-init' 'ELF-init'
has 'cat /usr/lib/vmm/vmm-agent' 'ELF-agent'

# what is refused
for h in '' -x .x 'a b' 'a/b' \
	0123456789012345678901234567890123456789012345678901234567890123456789; do
	refuses '--hostname' 2 --hostname "$h" a.tar
done
for h in '' 'a:b' 'a b' "$(printf 'a\nb')" secret '$6' '$$x' _short \
	'twelve.words' '14.characters.'; do
	refuses '--root-password-hash' 2 --root-password-hash "$h" a.tar
done
for h in '*' '!x' "$hash" '$y$j9T$salt$hash' rN3tyVGHa0hDU _J9..rasmBYk8r9AiWNc; do
	build --root-password-hash "$h" a.tar
done
refuses '--network' 2 --network static a.tar
refuses '--fstab' 2 --fstab a.tar
refuses 'not a public key' 1 --ssh-key key a.tar
cat key.pub key >both
refuses 'not a public key' 1 --ssh-key both a.tar
{
	cat key.pub
	head -c 1100000 /dev/zero | tr '\0' x
} >long
refuses "'long': too long" 1 --ssh-key long a.tar
printf 'ssh-rsa AAAA\0x\n' >nul
refuses 'not a public key' 1 --ssh-key nul a.tar
refuses 'No such file' 1 --ssh-key missing a.tar
refuses 'nothing written' 1 --strict --network dhcp a.tar
gen <<'X'
dir etc/hostname
file root/.ssh text=x
dir etc/shadow
end
X
refuses "'/etc/hostname': Is a directory" 1 --hostname h a.tar
refuses "'/root/.ssh': Not a directory" 1 --ssh-key key.pub a.tar
refuses "'/etc/shadow': Is a directory" 1 --root-password-hash '*' a.tar

# each changes just these names, and nothing does where nothing is asked
gen <<'X'
dir etc
file etc/shadow text=root:*:1::::::\x0ajoe:!:2::::::\x0a mode=640 gid=42
file etc/hosts text=127.0.0.1\x20localhost mode=644
dir usr/lib/systemd
file usr/lib/systemd/systemd-networkd text=x
file usr/lib/systemd/systemd text=x
dir sbin
symlink sbin/init ../usr/lib/systemd/systemd
dir root mode=700
file boot/vmlinuz-1 text=x
file boot/initrd.img-1 text=x
end
X
look() {
	rm -rf out boot
	build --size 16M "$@" a.tar
	mkdir out
	debugfs -R 'rdump / out' image.raw 2>/dev/null
	(
		cd out
		find . -printf '%P|%M %U %G %l\n'
		find . -type f -printf '%P|' -exec md5sum {} \;
	) | sort
}
look >base
[ "$(grep -c 'etc/shadow|' base)" -eq 2 ] || fail "$(cat base)"
changed() {
	want=$1
	shift
	look "$@" | diff base - | sed -n 's/^[<>] \([^|]*\)|.*/\1/p' |
		sort -u | tr '\n' ' ' >have
	[ "$(cat have)" = "${want:+$want }" ] || fail "$*: changes $(cat have)"
}
n=etc/systemd/network
s=etc/systemd/system
w=$s/multi-user.target.wants
changed '' --extract-boot boot
changed 'etc/hostname etc/hosts' --hostname h
changed 'root/.ssh root/.ssh/authorized_keys' --ssh-key key.pub
changed etc/shadow --root-password-hash '!x'
changed etc/fstab --fstab --label x
changed "etc/systemd $n $n/10-vmm.network" --network none
changed "etc/systemd $n $n/10-vmm.network $s $w $w/systemd-networkd.service" \
	--network dhcp
changed "etc/systemd $s $w $w/vmm-agent.service usr/lib/systemd/system \
usr/lib/systemd/system/vmm-agent.service usr/lib/vmm usr/lib/vmm/vmm-agent" \
	--agent-binary agent
changed 'sbin/init usr/lib/vmm usr/lib/vmm/vmm-agent usr/lib/vmm/vmm-init' \
	--init --agent-binary agent --init-binary init
