#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What goes over the sources: options and manifests.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs setfacl cpio
image_size=+3M

"$gentar" >a.tar <<'X' || fail gentar
dir etc
file etc/a text=1
symlink etc/to-a a
file etc/b text=1
dir usr/lib
symlink lib /usr/lib
file gone text=1
dir gone-dir
file gone-dir/x text=1
pax SCHILY.acl.access user::rw-,user:7:r--,group::r--,mask::r--,other::---
file acl text=1
end
X
echo hello >hello
chmod 640 hello
touch -d @86400 hello
mkdir -p tree/sub
echo 1 >tree/sub/f
ln tree/sub/f tree/g
ln -s sub tree/l
ln -s hello to-hello

# all that is below, links included; what they lead to is another matter
build --chown-all 12:34:/usr --chown-all 56:78:etc/to-a --symlink /gone:/usr/out \
	--mkdir usr/lib/deep --chown-all 5:6:/usr a.tar
has 'stat /usr' 'User: +5 +Group: +6'
has 'stat /usr/lib/deep' 'User: +5 +Group: +6'
has 'stat /usr/out' 'User: +5 +Group: +6'
has 'stat /gone' 'User: +0 +Group: +0'
has 'stat /etc/a' 'User: +56 +Group: +78'
has 'stat /etc' 'User: +0 +Group: +0'
# lines may end as on Windows
printf 'chown-all 9:9 usr\r\n' >all.manifest
build --manifest all.manifest a.tar
has 'stat /usr/lib' 'User: +9 +Group: +9'
# and the last has none; a tab in a name
printf 'mkdir "a\\tb"\tmode=700\nchown-all 9:8 usr' >all.manifest
build --manifest all.manifest a.tar
has 'stat /usr/lib' 'User: +9 +Group: +8'
has 'stat "/a	b"' 'Mode: +0700'
refuses 'no name in the image' 2 --mkdir '' a.tar
refuses "a target of 0 or more than" 1 --symlink "$(head -c 4096 /dev/zero |
	tr '\0' x):/l" a.tar
refuses "'/nothing': No such file" 1 --chown-all 1:1:/nothing a.tar

# modes, of one and of all that is below: as chmod has them
mkdir -p modes/d1/d2 modes/d3
for m in 0 600 640 644 711 755 777 4755 2711 1777 6750; do
	: >modes/d1/f$m
	chmod $m modes/d1/f$m
done
ln -s d1 modes/link
ln modes/d1/f640 modes/d3/hard
chmod 2775 modes/d1/d2
chmod 1700 modes/d3
for m in 00755 u=rwX,go=rX go-w +x a-x,a+X u+s g-s,+t u-x,a+X =r -w+x o= \
	ug+rw-x,o=t u=rwxs g=xs a= u=,g=s 00000; do
	rm -rf want.d
	cp -a modes want.d
	(umask 0 && chmod -R -- $m want.d)
	find want.d -printf '%M %P\n' | sed 's/ $/ ./' | sort >want
	mkimage -q --force --chmod-all $m:/ -o modes.cpio modes
	cpio -itv --quiet <modes.cpio | sed 's/ -> .*//' |
		awk '{ print $1, $NF }' | sort >have
	diff want have || fail "--chmod-all $m"
	printf 'chmod-all "%s" /\n' "$m" >all.manifest
	mkimage -q --force --manifest all.manifest -o all.cpio modes
	cmp all.cpio modes.cpio || fail "chmod-all $m"
	rm -rf want.d
	cp -a modes want.d
	(umask 0 && chmod -- $m want.d/d1)
	mkimage -q --force --chmod $m:link -o modes.cpio modes
	cpio -itv --quiet <modes.cpio | sed 's/ -> .*//' |
		awk '{ print $1, $NF }' | sort >have
	find want.d -printf '%M %P\n' | sed 's/ $/ ./' | sort | diff - have ||
		fail "--chmod $m"
done
for m in u q+r u+q 8 17777 u=r, ,u=r 'u=r g=r' u=rg- ''; do
	refuses '--chmod-all: ' 2 --chmod-all "$m:/" a.tar
	printf 'chmod "%s" /\n' "$m" >all.manifest
	refuses 'line 1: chmod: ' 2 --manifest all.manifest a.tar
done

check() {
	has 'cat /opt/new/hello' '^hello$'
	has 'stat /opt/new/hello' 'Mode: +0640'
	has 'stat /opt/new/hello' 'User: +0 +Group: +0'
	has 'stat /opt/new/hello' 'mtime: 0x00015180'
	has 'cat /usr/lib/hello' '^hello$'
	has 'cat /usr/lib/to-hello' '^hello$'
	has 'stat /srv/sub/f' 'Links: 2'
	has 'stat /srv/l' 'Fast link dest: "sub"'
	has 'stat /var/deep/er' 'Type: directory +Mode: +0755'
	has 'stat /etc/link' 'Fast link dest: "/a:b"'
	has 'stat /etc/a' 'Mode: +04755'
	has 'stat /etc/b' 'User: +12 +Group: +34'
	has 'stat /acl' 'Mode: +0751'
	has 'ea_get -V -x /acl system.posix_acl_access' \
		'01 00 07 00 00 00 00 00 02 00 04 00 07 00 00 00 04 00 04 00 00 00 00 00 10 00 05 00 00 00 00 00 20 00 01 00'
	absent /gone /gone-dir /gone-dir/x
}
build --add hello:/opt/new/hello --add hello:/lib/ --add to-hello:/lib/ \
	--add tree:/srv --mkdir /var/deep/er --mkdir /etc --mkdir lib \
	--symlink /a:b:/etc/link --chmod 4755:/etc/to-a \
	--chown 12:34:/etc/b --chmod 751:/acl --remove /gone \
	--remove gone-dir a.tar
check
has 'stat /lib' 'Type: symlink'
cp image.raw options.raw
mkdir m
cp -a hello to-hello tree m/
cat >m/manifest <<'X'
# comment, and a blank line

add hello /opt/new/hello
  add	hello /lib/   # to the end of the line
add "to-hello" /lib/
add tree /srv
mkdir /var/deep/er
mkdir /etc
mkdir lib
symlink /a:b "/etc/link"
chmod 4755 /etc/to\-a
chown 12:34 /etc/\x62
chmod 751 /acl
remove /gone
remove gone-dir
X
build --manifest m/manifest a.tar
check
cmp image.raw options.raw || fail "manifest and options: two images"
printf '%s\n' 'mkdir "/with blank\n" mode=1777 owner=5:6' \
	'add hello /h mode=600 owner=7:8' 'symlink x /s owner=9:9' \
	'exclude etc' >m/manifest
build --manifest m/manifest --remove /h --add hello:/h2 a.tar
has 'ls /' 'with blank'
absent /h /etc
has 'stat /h2' 'Type: regular'
has 'stat /s' 'User: +9 +Group: +9'
build --manifest m/manifest a.tar
has 'stat /h' 'Mode: +0600'
has 'stat /h' 'User: +7 +Group: +8'
# a mode in the words of chmod, from that of the host or what a directory has
chmod 640 m/hello
printf '%s\n' 'add hello /h mode=u+x,o=w' 'mkdir /new mode=g+ws,o-x' \
	'mkdir /new/sub mode=a=X' >m/manifest
build --manifest m/manifest a.tar
has 'stat /h' 'Mode: +0742'
has 'stat /new' 'Mode: +02774'
has 'stat /new/sub' 'Mode: +0111'

# what is refused
refuses "--add: 'missing': No such file" 1 --add missing:/x a.tar
refuses "--add: '/etc' (to put it in there, end the name" 1 --add hello:/etc a.tar
refuses "--mkdir: '/etc/a'" 1 --mkdir /etc/a a.tar
refuses "--symlink: '/etc'" 1 --symlink x:/etc a.tar
refuses "--chmod: '/nothing': No such file" 1 --chmod 1:/nothing a.tar
refuses "--remove: '/nothing': No such file" 1 --remove /nothing a.tar
for root in / . ./ //. /./; do
	refuses "--remove: '$root': the root stays" 1 --remove $root a.tar
done
for up in /.. .. etc/../hello; do
	refuses "--remove: '$up': its name has a '..' component" 1 \
		--remove $up a.tar
done
refuses "--remove: '...': No such file or directory" 1 --remove ... a.tar
refuses "--mkdir: '/etc/../x': its name has a '..'" 1 --mkdir /etc/../x a.tar
refuses '--chmod: not an octal mode' 2 --chmod 8:/etc/a a.tar
refuses '--chmod: not an octal mode' 2 --chmod 17777:/etc/a a.tar
refuses '--chown: not of the form' 2 --chown 1:/etc/a a.tar
refuses "--add: no ':'" 2 --add hello a.tar
bad() {
	printf '%s\n' '# first' "$2" >bad
	refuses "--manifest: 'bad': line 2: $1" 2 --manifest bad a.tar
}
bad "unknown verb 'copy'" 'copy a b'
bad 'add: words are missing' 'add x'
bad "add: unknown word 'time=3'" 'add x y time=3'
bad "symlink: unknown word 'mode=3'" 'symlink x y mode=3'
bad 'mkdir: mode: not an octal' 'mkdir x mode=9'
bad 'mkdir: mode: neither an octal mode nor one like' 'mkdir x mode=u+q'
bad 'add: mode: neither an octal mode nor one like' 'add x y mode='
bad 'mkdir: owner: not of the form' 'mkdir x owner=root'
bad 'a quote without an end' 'mkdir "x'
# letters and digits may mean something one day, up to the last; the rest is itself
for c in q a z A Z 0 9; do
	bad 'unknown escape' "mkdir \\$c"
done
bad 'unknown escape' 'mkdir x\'
bad 'unknown escape' 'mkdir \x'
bad 'unknown escape' 'mkdir \x4'
cat >m/manifest <<'X'
mkdir /\:\@\[\`\{\/\\
X
mkimage -q --force --manifest m/manifest -o odd.cpio m
cpio -it --quiet <odd.cpio | grep -qxF ':@[`{/\' || fail "$(cpio -it <odd.cpio)"
bad '\x: not two hex' 'mkdir \x0g'
bad '\x: not two hex' 'mkdir \x00'
bad 'more than 8 words' 'mkdir 1 2 3 4 5 6 7 8'
bad 'exclude: not one pattern' 'exclude'
printf 'mkdir %070000d\n' 0 >bad
refuses 'line 1: longer than 65536' 1 --manifest bad a.tar
printf 'chmod 1 /nothing\n' >bad
refuses 'bad: line 1: chmod: ' 1 --manifest bad a.tar
refuses 'No such file' 1 --manifest missing a.tar
# a step that cannot be taken, of whatever kind, is no error of the command line
while IFS='|' read -r step want; do
	printf '# 1\n\n%s\n' "$step" >bad
	refuses "bad: line 3: $want" 1 --manifest bad a.tar
done <<'X'
add missing /x|add: 'missing': No such file
add hello /etc|add: '/etc' (to put it in there
mkdir /etc/a|mkdir: '/etc/a': File exists
mkdir etc/../x|mkdir: 'etc/../x': its name has a '..'
symlink x /etc|symlink: '/etc'
chmod 1 /nothing|chmod: '/nothing': No such file
chmod 1 /etc/../etc/a|chmod: '/etc/../etc/a': its name has a '..'
chmod-all 1 /nothing|chmod-all: '/nothing': No such file
chown 1:1 /nothing|chown: '/nothing': No such file
chown-all 1:1 /nothing|chown-all: '/nothing': No such file
remove /nothing|remove: '/nothing': No such file
remove /|remove: '/': the root stays
X
# nobody waits for the writer of a fifo
mkfifo waits
refuses "--manifest: 'waits': not a file of at most" 1 --manifest waits a.tar

judged edits 7
