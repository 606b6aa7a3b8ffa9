#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Names, the order of entries, and types of files: a table for each, with what
# arrives, what is warned of, and what is refused.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs setfattr
image_size=+3M

# lines TABLE-FIELD: the entries of a case, ';' between them
lines() {
	printf '%s\n' "$1" | sed 's/ *; */\n/g'
}

# --- names --------------------------------------------------------------------
# as gentar has it, and as it is in the image (for printf)
cat >names <<X
./dot|dot
/absolute|absolute
//two|two
a//b|a/b
a/./c|a/c
././d|d
.//e|e
f/.|f
///./g/././h|g/h
...|...
..i|..i
i..|i..
.hidden|.hidden
dir./.j|dir./.j
-dash|-dash
*|*
~|~
\\x20blank\\x20|\\040blank\\040
tab\\x09|tab\\t
new\\x0aline|new\\nline
back\\x5cslash|back\\\\slash
\\x01\\x1b[1m|\\001\\033[1m
\\xff\\xfe|\\377\\376
\\xc3\\xa9|\\303\\251
e\\xcc\\x81|e\\314\\201
cut\\x00off|cut
$(many 100 h)|$(many 100 h)
$(many 99 i)/|
$(many 100 p) prefix=$(many 155 q)|$(many 155 q)/$(many 100 p)
in/a/prefix/k prefix=of/ustar|of/ustar/in/a/prefix/k
X
grep -v '|$' names >names.good
awk -F '|' '{
	n = split($1, w, " ")
	print "file " w[1] " text=" NR " " (n > 1 ? w[2] : "")
} END { print "end" }' names.good | gen
mkimage -q --force --size $image_size -o image.raw a.tar || fail names
made a.tar
same_names() { # from image.raw, in its own words
	rm -rf out
	mkdir out
	debugfs -R 'rdump / out' image.raw >/dev/null 2>&1
	nr=0
	while IFS='|' read -r _ name; do
		nr=$((nr + 1))
		# shellcheck disable=SC2059
		printf "out/$name" >name
		# what ends in a newline stays whole
		path=$(cat name && echo .)
		[ "$(cat -- "${path%.}")" = "$nr" ] || fail "name $nr: $name"
	done <names.good
	[ "$(find out -type f | tr -cd '/' | wc -c)" -gt 0 ] || fail "no names"
}
same_names
[ "$(find out ! -type d -printf . | wc -c)" -eq "$(wc -l <names.good)" ] ||
	fail "more names than entries"
# in records of pax, where there is room, too
awk -F '|' '$1 !~ /prefix=|x00/ { print $0 }' names.good >names.pax
mv names.pax names.good
printf '%s|%s\n' "$(many 255 m)" "$(many 255 m)" \
	"o/$(many 255 m)/$(many 200 o)" "o/$(many 255 m)/$(many 200 o)" \
	>>names.good
awk -F '|' '{ print "pax path " $1; print "file x text=" NR }
	END { print "end" }' names.good | gen
mkimage -q --force --size $image_size -o image.raw a.tar || fail names
made a.tar
same_names
# targets of links: as they are, to the byte
while IFS='|' read -r target shown; do
	printf 'file %s text=1\nsymlink s %s\nend\n' "$(many 100 h)" "$target" |
		gen
	build --strict a.tar
	# shellcheck disable=SC2059
	has 'stat /s' "Fast link dest: \"$shown\""
done <<'X'
../../..|../../..
/etc//x/./y/|/etc//x/./y/
a\x5cb|a.b
X
for n in 59 60 100; do
	printf 'file f text=1\nsymlink s %s\nend\n' "$(many $n t)" | gen
	build --strict a.tar
	has 'stat /s' "Size: $n\$"
	[ "$n" = 59 ] || has 'cat /s' "^$(many $n t)\$"
done
printf 'file %s text=1\nlink l %s\nend\n' "$(many 100 h)" "$(many 100 h)" | gen
build --strict a.tar
has 'stat /l' 'Links: 2'
# a path of more than 4096 bytes, and deep ones
path() { # DEPTH
	printf 'pax path '
	for i in $(seq "$1"); do printf 'd%d/' $((i % 7)); done
	printf 'f\nfile x text=1\nend\n'
}
path 2048 | gen
build --strict a.tar
has "cat $(sed -n 's/^pax path \(.*\)/\/\1/p' <<X
$(path 2048)
X
)" '^1$'
path 2049 | gen
refuses "more than 2048 directories deep" 1 a.tar
grep -q "entry 'd1/d2/.*/f': more" err.log || fail "$(cat err.log)"

# names that are refused
while IFS='|' read -r entry want; do
	printf 'file before text=1\n%s\nend\n' "$entry" | gen
	refuses "$want" 1 a.tar
done <<X
file ..|entry '..': its name has a '..' component
file ./..|entry './..': its name has a '..' component
file /..|entry '/..': its name has a '..' component
file ../a|entry '../a': its name has a '..' component
file /../a|entry '/../a': its name has a '..' component
file a/..|entry 'a/..': its name has a '..' component
file a/../b|entry 'a/../b': its name has a '..' component
file a/../../b|entry 'a/../../b': its name has a '..' component
dir a/..//|entry 'a/..//': its name has a '..' component
symlink ../l x|entry '../l': its name has a '..' component
link ../l before|entry '../l': its name has a '..' component
link l ../before|entry 'l': hard link to '../before': its name has a '..' component
link l a/../before|entry 'l': hard link to 'a/../before': its name has a '..'
file .|entry '.': the root must be a directory
file ./.|entry './.': the root must be a directory
symlink . x|entry '.': the root must be a directory
link . before|entry '.': the root must be a directory
file \x00|entry 2: it has no name
file lost+found|lost+found': it must be a directory
link lost+found before|lost+found': it must be a directory
symlink lost+found x|lost+found': it must be a directory
X
for n in "$(many 256)" "a/$(many 256)" "$(many 256)/b" "a/$(many 5000)/b"; do
	printf 'pax path %s\nfile x\nend\n' "$n" | gen
	refuses 'a component of its name is longer than 255 bytes' 1 a.tar
done
# of a long name the beginning and the end are shown
long=first/$(many 90 a)/$(many 90 b)/$(many 90 c)
for last in last "$(many 250 d)-last"; do
	while IFS='|' read -r entry want; do
		{
			printf 'pax path %s/%s\n' "$long" "$last"
			lines "$entry"
			echo end
		} | gen
		refuses "$want" 1 --strict a.tar
		grep -q "^mkimage: \(a.tar: \)\?entry 'first/aaa.*last'[: ]" \
			err.log || fail "$(cat err.log)"
	done <<-'X'
		link x nothing|: hard link to 'nothing', which is not there
		char x 4096 0|: device number 4096:0 is too large
		type Q x|: of unknown type 'Q', taken for a file (--strict)
		symlink x \x00|: symbolic link to nothing
	X
done
printf 'pax linkpath %s/last\nlink l x\nend\n' "$long" | gen
refuses "last', which is not there" 1 a.tar
grep -q "entry 'l': hard link to 'first/aaa" err.log || fail "$(cat err.log)"

# directories
gen <<'X'
dir a// mode=700
dir b/./ mode=701
dir ./c mode=702
file v7/ format=v7 mode=703
end
X
build --strict a.tar
for f in a b c v7; do
	has "stat /$f" 'Type: directory +Mode: +070'
done

# the root's own entry
for name in . ./ ./. .// .; do
	printf '%s\n' 'pax mtime 77.5' 'pax SCHILY.xattr.user.r v' \
		'pax SCHILY.acl.default user::rwx,group::r-x,other::---' \
		"dir $name mode=1750 uid=5 gid=6" 'file d/f text=1' end | gen
	build --strict a.tar
	has 'stat /' 'Mode: +01750'
	has 'stat /' 'User: +5 +Group: +6'
	has 'stat /' 'mtime: 0x0000004d:77359400'
	has 'ea_get / user.r' '= "v"'
	has 'ea_list /' 'system.posix_acl_default'
done
# none: as any directory that nobody spoke of
printf 'file d/f mtime=5\nend\n' | gen
build --strict a.tar
has 'stat /' 'Mode: +0755'
has 'stat /' 'User: +0 +Group: +0'
has 'stat /' 'mtime: 0x00000005'

# lost+found of the archive's own
gen <<'X'
pax SCHILY.xattr.user.l v
dir lost+found mode=751 uid=7 gid=8 mtime=9
file lost+found/f text=1
dir lost+found/d
end
X
build --strict a.tar
has 'stat /lost+found' 'Inode: 11 +Type: directory +Mode: +0751'
has 'stat /lost+found' 'User: +7 +Group: +8'
has 'stat /lost+found' 'mtime: 0x00000009'
has 'stat /lost+found' 'Links: 3'
has 'ea_get /lost+found user.l' '= "v"'
has 'cat /lost+found/f' '^1$'

# a link on the way to a name that there cannot be
printf 'pax linkpath %s/y\nsymlink x y\nfile x/f text=1\nend\n' "$(many 256 n)" | gen
refuses "entry 'x/f': a symbolic link on its way: File name too long" 1 a.tar

# --- the order of entries -----------------------------------------------------------
# entries ';' | what debugfs is asked | what it says | names that neither tar has so:
# they unpack no link to what comes later, and follow others
while IFS='|' read -r entries ask want others; do
	{
		lines "$entries"
		echo end
	} | gen
	odd "$(echo $others)" build --strict a.tar
	has "$(echo $ask)" "$(echo $want)"
done <<'X'
file d/f text=1 ; dir d mode=700 uid=5 mtime=99 | cat /d/f | ^1$
file d/f text=1 ; dir d mode=700 uid=5 mtime=99 | stat /d | Mode: +0700
file d/f text=1 ; dir d mode=700 uid=5 mtime=99 | stat /d | mtime: 0x00000063
dir d mtime=99 ; file d/f ; dir d/e ; link d/g d/f ; symlink d/h x | stat /d | mtime: 0x00000063
dir d mode=700 mtime=99 ; file d/f ; dir d mode=711 mtime=98 | stat /d | Mode: +0711
dir d mode=700 mtime=99 ; file d/f ; dir d mode=711 mtime=98 | stat /d/f | Type: regular
file a/b/c/f mtime=5 ; file last mtime=9 | stat /a/b | Mode: +0755
file a/b/c/f mtime=5 uid=7 ; file last mtime=9 | stat /a/b | User: +0 +Group: +0
file a/b/c/f mtime=5 ; file last mtime=9 | stat /a/b | mtime: 0x00000009
file x text=1 ; file x text=2 | cat /x | ^2$
file x text=1 mode=600 ; file x text=2 mode=640 | stat /x | Mode: +0640
file x text=1 ; file y ; file x text=2 | stat /x | Links: 1
file x text=1 ; dir x ; file x/f text=2 | cat /x/f | ^2$
dir x ; file x text=2 | cat /x | ^2$
symlink x d ; dir d ; dir x mode=711 | stat /x | Type: directory +Mode: +0711
symlink x d ; file d text=old ; file x text=new | cat /d | ^old$
symlink x d ; file d text=old ; file x text=new | stat /x | Type: regular
dir x ; symlink x d | stat /x | Fast link dest: "d"
fifo x ; char x 1 3 ; block x 1 4 | stat /x | Type: block
symlink x y ; symlink x z | stat /x | Fast link dest: "z"
symlink x d ; dir d ; file x/f text=1 | cat /d/f | ^1$
symlink x nowhere/in ; file x/f text=1 | cat /nowhere/in/f | ^1$ | nowhere.*
dir d ; symlink d/up .. ; file d/up/f text=1 | cat /f | ^1$ | f
symlink x . ; file x/x/x/f text=1 | cat /f | ^1$
symlink x y ; symlink y d ; dir d ; file x/f text=1 | cat /d/f | ^1$
link x y ; file y text=1 | stat /x | Links: 2 | [xy]
link x y ; link y z ; link z f ; file f text=1 | stat /x | Links: 4 | [fxyz]
file f text=1 ; link x f ; link y x ; link z y | stat /z | Links: 4
link x y ; link q y ; link y f ; file f text=1 | stat /q | Links: 4 | [fqxy]
link x f ; link x f ; file f text=1 | stat /x | Links: 2 | [fx]
link x x ; link x x ; file x text=1 | stat /x | Links: 1
symlink s t ; dir t ; file t/f text=1 ; link x s/f | stat /x | Links: 2
file f text=1 ; link f f | stat /f | Links: 1
link f f ; file f text=1 | stat /f | Links: 1
symlink s t ; link x s | stat /x | Fast link dest: "t"
link x s ; symlink s t | stat /s | Links: 2 | [sx]
char c 1 3 ; link x c | stat /x | Links: 2
block c 1 3 ; link x c | stat /x | Type: block
fifo p ; link x p | stat /x | Type: FIFO
link x p ; fifo p | stat /x | Links: 2 | [px]
file f text=1 ; link x f ; file f text=2 | cat /x | ^1$
file f text=1 ; link x f ; file f text=2 | stat /f | Links: 1
file f text=1 ; link x f ; file x text=2 | cat /f | ^1$
link x f ; file f text=1 ; file f text=2 | cat /x | ^2$ | [fx]
link x f ; file f text=1 ; link f g ; file g text=2 | cat /x | ^2$ | [fgx]
file f text=1 ; link x f ; dir f ; file f/g | cat /x | ^1$
file x text=1 ; file f text=2 ; link x f | cat /x | ^2$
file f text=1 mode=600 ; link x f mode=777 uid=5 | stat /f | Mode: +0600
file f text=1 ; pax size 3 ; link x f declared=3 ; text abc ; zeroes 509 | cat /f | ^abc$
file f text=1 ; pax size 3 ; link x f declared=3 ; text abc ; zeroes 509 ; file z text=2 | cat /z | ^2$
file d/f text=1 ; link d/g d/f ; dir d mtime=5 | stat /d | mtime: 0x00000005
X
# with a warning, which --strict makes an error
while IFS='|' read -r entries want ask says; do
	{
		lines "$entries"
		echo end
	} | gen
	refuses "$(echo $want)" 1 --strict a.tar
	mkimage --force --size $image_size -o image.raw a.tar >/dev/null \
		2>err.log || fail "$(cat err.log)"
	[ "$(grep -cF "warning: $(echo $want)" err.log)" -eq 1 ] ||
		fail "$(cat err.log)"
	# a file in place of a directory, and two that tar and bsdtar pass over
	odd 'x.*' made a.tar
	has "$(echo $ask)" "$(echo $says)"
done <<'X'
dir x ; file x/f ; file x text=2 | entry 'x' replaces a directory and what it had | cat /x | ^2$
dir x ; file x/f ; symlink x d | entry 'x' replaces a directory and what it had | stat /x | Type: symlink
dir x ; file x/f ; fifo x | entry 'x' replaces a directory and what it had | stat /x | Type: FIFO
pax size 3 ; link x f declared=3 ; text abc ; zeroes 509 ; file f text=1 | entry 'x': contents left out: a hard link to what comes later | cat /x | ^1$
symlink s t ; pax size 3 ; link x s declared=3 ; text abc ; zeroes 509 | entry 'x': contents left out: a hard link to what has none | stat /x | Type: symlink
file /f text=1 | absolute names are taken from the root | cat /f | ^1$
pax SCHILY.xattr.user.a v ; symlink s t | entry 's': attribute 'user.a' left out: Linux has it of files and directories only | stat /s | Type: symlink
pax SCHILY.xattr.user.a v ; fifo s | entry 's': attribute 'user.a' left out: Linux has it of files and directories only | stat /s | Type: FIFO
X
grep -q "entry 's': entry" err.log && fail "twice the same: $(cat err.log)"
debugfs -R 'ea_list /s' image.raw 2>&1 | grep -q user.a && fail "user.a is there"
# and the kernel agrees about those attributes
ln -s t host-link
setfattr -h -n user.a -v v host-link 2>/dev/null &&
	fail "a symbolic link has user. attributes"
# attacks: nothing is written through a link out of the tree, or makes one
while IFS='|' read -r entries want; do
	lines "$entries" | gen
	echo end | "$gentar" >>a.tar
	refuses "$(echo $want)" 1 a.tar
done <<'X'
symlink a /etc ; file a/passwd | entry 'a/passwd': 'a' on its way is a symbolic link out of the tree, to '/etc'
symlink a /etc ; file a/b/c | entry 'a/b/c': 'a' on its way is a symbolic link out of
symlink a /etc ; dir a/d | entry 'a/d': 'a' on its way is a symbolic link out of
symlink a /etc ; symlink a/d x | entry 'a/d': 'a' on its way is a symbolic link out of
symlink a /etc ; fifo a/d | entry 'a/d': 'a' on its way is a symbolic link out of
symlink a /etc ; link a/d a | entry 'a/d': 'a' on its way is a symbolic link out of
symlink a /etc ; link x a/passwd | entry 'x': hard link to 'a/passwd': 'a' on its way is a symbolic link
symlink a / ; file a/etc | entry 'a/etc': 'a' on its way is a symbolic link out of
symlink a /etc ; symlink b a ; file b/x | entry 'b/x': 'a' on its way is a symbolic link out of
symlink a /etc ; symlink d/b ../a ; file d/b/x | entry 'd/b/x': 'a' on its way is
symlink a /etc ; link b a ; file b/x | entry 'b/x': 'b' on its way is a symbolic link out of
link b a ; symlink a /etc ; file a/x | entry 'a/x': 'a' on its way is a symbolic link out of
dir a ; symlink a /etc ; file a/x | entry 'a/x': 'a' on its way is a symbolic link out of
dir a ; symlink b a ; symlink a /etc ; file b/x | 'a' on its way is a symbolic link out of
symlink a .. ; file a/x | entry 'a/x': a symbolic link on its way leads out of the tree
symlink d/a ../.. ; file d/a/x | entry 'd/a/x': a symbolic link on its way leads out of the tree
symlink a d/../.. ; dir d ; file a/x | entry 'a/x': a symbolic link on its way leads out of the tree
symlink a b/.. ; symlink b .. ; file a/x | entry 'a/x': a symbolic link on its way leads out of the tree
symlink a a ; file a/x | entry 'a/x': 'a' on its way: Too many levels of symbolic links
symlink a b ; symlink b a ; file a/x | entry 'a/x': 'a' on its way: Too many levels of symbolic links
symlink a b/c ; symlink b a ; file a/x | entry 'a/x': 
file a ; file a/x | entry 'a/x': 'a' on its way: Not a directory
fifo a ; file a/x | entry 'a/x': 'a' on its way: Not a directory
char a 1 3 ; file a/x | entry 'a/x': 'a' on its way: Not a directory
symlink b a ; file a ; file b/x | entry 'b/x': 'a' on its way: Not a directory
symlink lost+found /etc ; file lost+found/x | entry 'lost+found/x': 'lost+found' on its way is
link a nothing | entry 'a': hard link to 'nothing', which is not there
link a d/nothing ; dir d | entry 'a': hard link to 'd/nothing', which is not there
link a a | entry 'a': hard link to 'a', which is not there
link a b ; link b a | entry 'a': hard link to 'b', which is not there
link a b ; link b c ; link c a | entry 'a': hard link to 'b', which is not there
link x a ; link a b ; link b c ; link c b | entry 'x': hard link to 'a', which is not there
dir d ; link a d | entry 'a': hard link to 'd', which is a directory
link a d ; dir d | entry 'a': hard link to 'd', which is a directory
link a d ; file d/f | entry 'a': hard link to 'd', which is a directory
link a . | entry 'a': hard link to '.', which is a directory
link a f ; file f ; dir f | entry 'a': hard link to 'f', which is a directory
dir d ; file d/f ; link d d/f | entry 'd': hard link replaces the directory of its target 'd/f'
symlink s \x00 | entry 's': symbolic link to nothing
X

# --- types ---------------------------------------------------------------------------
{
	while read -r major minor _; do
		echo "char c$major.$minor $major $minor"
		echo "block b$major.$minor $major $minor"
	done
	printf '%s\n' 'fifo fifo' 'contig contig text=7' end
} <<'X' | gen
0 0
255 255
256 0
0 256
255 256
1 65536
4095 255
4095 1048575
X
build --strict a.tar
while read -r dev shown style; do
	has "stat /c$dev" "^$style\(?[^(]*number: $shown "
	has "stat /c$dev" 'Type: character special'
	has "stat /b$dev" "number: $shown "
	has "stat /b$dev" 'Type: block special'
done <<'X'
0.0 00:00 .New-style
255.255 255:255 Device
256.0 256:00 .New-style
0.256 00:256 .New-style
255.256 255:256 .New-style
1.65536 01:65536 .New-style
4095.255 4095:255 .New-style
4095.1048575 4095:1048575 .New-style
X
has 'stat /fifo' 'Type: FIFO'
has 'stat /contig' 'Type: regular'
has 'cat /contig' '^7$'
for n in '4096 0' '0 1048576' '99999999 99999999'; do
	printf 'char d/c %s\nend\n' "$n" | gen
	refuses "entry 'd/c': device number $(echo $n | tr ' ' :) is too large" 1 \
		a.tar
done
# unknown: told one by one, counted, an error of --strict
gen <<'X'
type Q strange text=1
type Z other size=3000
type N names text=Rename
type I inode
file after text=1
end
X
mkimage --json --force -o image.raw a.tar >json 2>err.log || fail "$(cat err.log)"
[ "$(grep -c "of unknown type '[QZNI]', taken for a file" err.log)" -eq 4 ] ||
	fail "$(cat err.log)"
[ "$(grep -o 'of unknown type' json | wc -l)" -eq 4 ] || fail "$(cat json)"
made a.tar
has 'cat /strange' '^1$'
has 'stat /other' 'Size: 3000'
has 'cat /after' '^1$'
refuses "entry 'strange': of unknown type 'Q', taken for a file (--strict)" 1 \
	--strict a.tar
# an ACL of Solaris' own
printf 'type A acl text=1000005\\x00%s\nfile x\nend\n' \
	'user::rw-,user:7:r--,group::r--,mask:r--,other:---' | gen
build --strict a.tar
has 'ea_get -V -x /x system.posix_acl_access' '02 00 04 00 07 00 00 00'

# --- sources over one another -----------------------------------------------------------
printf 'symlink a /etc\ndir d\nfile d/f\nend\n' | "$gentar" >base.tar
printf 'file a/passwd\nend\n' | gen
refuses "a.tar: entry 'a/passwd': 'a' on its way is a symbolic link out of" 1 \
	base.tar a.tar
mkdir -p folder/a
echo 1 >folder/a/passwd
refuses "folder: entry 'a', a directory, replaces a symbolic link of an earlier" \
	1 --strict base.tar folder
mkimage -q --force --size $image_size -o image.raw base.tar folder
made base.tar folder
has 'cat /a/passwd' '^1$'
printf 'symlink d /etc\nfile d/passwd\nend\n' | gen
refuses "entry 'd/passwd': 'd' on its way is a symbolic link out of the tree" 1 \
	-q base.tar a.tar
