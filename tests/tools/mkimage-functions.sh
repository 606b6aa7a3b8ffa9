# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the tests of mkimage: a scratch folder that goes away, and checks.
set -eu
. "$top_srcdir/tests/lib/rootfs.sh"
. "$top_srcdir/tests/tools/gentar.sh"
LC_ALL=C
export LC_ALL
unset SOURCE_DATE_EPOCH
PATH=$PATH:/usr/sbin:/sbin
gentar=$top_builddir/tests/tools/gentar
work=$(mktemp -d "${TMPDIR:-/tmp}/mkimage-test.XXXXXX")
mnt=$work/mnt

cleanup() {
	for m in "$mnt" "$work/ref.mnt"; do
		! mountpoint -q "$m" || umount "$m"
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

skip() {
	echo "SKIP: $*" >&2
	exit 77
}

need() {
	for p in "$@"; do
		command -v "$p" >/dev/null || skip "$p is not installed"
	done
}

# left_out WHY: a part of a test does not run here. No word of it gets into the
# result, so there must be none where all is tried that can be, see judge.
left_out() {
	echo "LEFT OUT: $*" >&2
	[ "${VMMKIT_JUDGE-}" != yes ] || fail "left out: $*"
}

# have_tool PROGRAM: for a part of a test
have_tool() {
	command -v "$1" >/dev/null || {
		left_out "$1 is not installed"
		return 1
	}
}

# gen: a.tar, from the description on standard input
gen() {
	"$gentar" >a.tar || fail gentar
}

# elf CLASS ORDER MACHINE: the beginning of a program, in octal
elf() {
	# shellcheck disable=SC2059
	printf "\\177ELF\\$1\\$2\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\2\\0$3"
}

# clean IMAGE: nothing for e2fsck to say
clean() {
	e2fsck -fn "$1" >fsck.log 2>&1 || {
		cat fsck.log
		fail "e2fsck is not content with $1"
	}
	[ -z "${MKIMAGE_CORPUS-}" ] || keep "$1"
}

# keep IMAGE: for who wants to have all of a test's images, each once. Two that have
# the same superblock, with a UUID made from the content, are the same.
keep() {
	kept=$MKIMAGE_CORPUS/$(dd if="$1" bs=1024 skip=1 count=1 status=none |
		sha256sum | cut -c 1-16).raw
	[ -e "$kept" ] || cp --sparse=always "$1" "$kept"
	echo "${kept##*/} ${0##*/}" >>"$MKIMAGE_CORPUS/list"
}

# build SOURCE OPTION...: to image.raw, which must be clean; of $image_size, if
# set. With VMMKIT_JUDGE=yes all is tried with it that can be, see judge.
build() {
	rm -f image.raw
	mkimage -q ${image_size:+--size $image_size} -o image.raw "$@" || fail "mkimage $*"
	made "$@"
}

# made [OPTION... SOURCE...]: image.raw, just made of these, is as it has to be
made() {
	clean image.raw
	[ "${VMMKIT_JUDGE-}" = yes ] || return 0
	# its variables are not the test's; nor does it go on behind an error, as it
	# would in front of a ||
	(judge "$@")
}

# refuses 'PART OF THE MESSAGE' STATUS OPTION...: one line, no output
refuses() {
	want=$1 status=$2
	shift 2
	rm -f refused.raw
	rc=0
	mkimage -o refused.raw "$@" >out.log 2>err.log || rc=$?
	[ $rc -eq "$status" ] || {
		cat err.log
		fail "exit status $rc in place of $status: $*"
	}
	[ ! -e refused.raw ] || fail "an output is left: $*"
	grep -qF -- "$want" err.log || {
		cat err.log
		fail "no word of '$want': $*"
	}
	if [ "$status" -eq 1 ]; then
		[ "$(grep -c . err.log)" -eq 1 ] || {
			cat err.log
			fail "more than one line: $*"
		}
		grep -q '^mkimage: ' err.log || fail "bad line: $(cat err.log)"
	fi
	for f in .*refused* *.tmp*; do
		[ ! -e "$f" ] || fail "left behind: $f"
	done
}

# flip FILE OUT OFFSET BITS: a copy with these bits of a byte turned over
flip() {
	[ "$1" = "$2" ] || cp "$1" "$2"
	was=$(od -An -tu1 -j "$3" -N 1 "$2")
	# shellcheck disable=SC2059
	printf "\\$(printf '%03o' $((was ^ $4)))" |
		dd of="$2" bs=1 seek="$3" conv=notrunc status=none
}

# shimmed FAULT COMMAND...: under write-shim.c, which see
shim=$top_builddir/tests/tools/.libs/libwrite-shim.so
shimmed() {
	fault=$1
	shift
	# who started the tests may have had SIGINT ignored, as shells do
	env --default-signal=INT WRITE_SHIM="$fault" LD_PRELOAD="$shim" \
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$@"
}

# has DEBUGFS-REQUEST PATTERN: on image.raw
has() {
	debugfs -R "$1" image.raw >debugfs.log 2>&1
	grep -qE -- "$2" debugfs.log || {
		cat debugfs.log
		fail "$1: no '$2'"
	}
}

# absent NAME...: image.raw has none of them
absent() {
	for n; do
		debugfs -R "stat $n" image.raw 2>&1 |
			grep -q 'File not found' || fail "$n is there"
	done
}

# minbase: $rootfs is a Debian
minbase() {
	debian_rootfs minbase --variant=minbase ||
		skip "no Debian root file system"
}

can_mount() {
	try_mount || {
		left_out "no loop mount"
		return 1
	}
}

try_mount() {
	[ "$(id -u)" -eq 0 ] || return 1
	[ ! -d "$mnt" ] || return 0
	mkdir -p "$mnt"
	truncate -s 8M probe.img
	mke2fs -q -t ext4 -F probe.img
	if ! mount -o loop probe.img "$mnt" 2>/dev/null; then
		rmdir "$mnt"
		return 1
	fi
	umount "$mnt"
	rm probe.img
}

# mounted [OPTION]: image.raw is, at $mnt. A loop device that somebody has just looked
# at outlives its umount by a moment; mount would take it again, with what it has
# cached of a file that was changed since. Others may take the one that was free a
# moment ago.
mounted() {
	for try in 1 2 3 4 5 6 7 8; do
		[ -z "$(losetup -j image.raw)" ] || {
			echo "image.raw: its loop device stays" >mount.err
			sleep 0.$try
			continue
		}
		if mount -o "loop${1:+,$1}" image.raw "$mnt" 2>mount.err; then
			return 0
		fi
		grep -q 'already mounted or mount point busy' mount.err || break
		sleep 0.$try
	done
	return 1
}

# tree DIR: all that can be seen of it, a line per entry, in order
tree() {
	"$top_srcdir/tests/tools/tree.py" "$@"
}

# same_tree DIR: image.raw, mounted, is what is in DIR
same_tree() {
	mounted ro || fail "$(cat mount.err)"
	tree "$1" >want.tree
	tree "$mnt" >have.tree
	umount "$mnt"
	diff want.tree have.tree >diff.log || {
		head -20 diff.log
		fail "the image's tree is not that of $1"
	}
}

# super IMAGE FIELD: what its superblock says
super() {
	dumpe2fs -h "$1" 2>/dev/null | sed -n "s/^$2: *//p"
}

# new_ref: an empty $ref on an ext4 of mke2fs, so that nothing a scratch folder
# cannot keep is lost on both sides
ref=$work/ref.mnt/tree
new_ref() {
	if ! mountpoint -q "$work/ref.mnt"; then
		mkdir -p "$work/ref.mnt"
		truncate -s 64G ref.img
		mke2fs -q -t ext4 -b 4096 -i 16384 -O ^has_journal,ea_inode -F ref.img
		mount -o loop,noinit_itable ref.img "$work/ref.mnt"
	fi
	rm -rf "$ref"
	mkdir "$ref"
}

# extract ARCHIVE [OPTION...]: by GNU tar, over what is in $ref. With --acls it
# passes over ACLs that are in the archive as attributes, as mmdebstrap puts them
# there.
extract() {
	acls=--acls
	if grep -aq '[0-9] SCHILY\.xattr\.system\.posix_acl_[a-z]*=' "$1" &&
		! grep -aq '[0-9] SCHILY\.acl\.[a-z]*=[a-z]*:' "$1"; then
		acls=
	fi
	# shellcheck disable=SC2086
	tar -C "$ref" --xattrs --xattrs-include='*' $acls \
		--numeric-owner -xpf "$@"
}

# --- what an image has to be --------------------------------------------------

# reference tar|bsdtar OPTION... SOURCE...: what it makes of them, or of as much as
# it understands, to tar.tree or bsdtar.tree; $ref stays. Not if there is nobody to
# ask: the reason goes to judged.not.
reference() {
	by=$1
	shift
	new_ref
	rc=0
	"$top_srcdir/tests/tools/reference.py" "$by" "$ref" "$(date +%s -d \
		"$(super image.raw 'Filesystem created')")" "$@" \
		>"$by.told" 2>"$by.err" || rc=$?
	[ $rc -ne 3 ] || {
		echo "$*: $(cat "$by.told")" >>judged.not
		return 1
	}
	[ $rc -eq 0 ] || {
		cat "$by.err"
		fail "$*: no reference"
	}
	tree "$ref" | grep -vE "^[^|]*[|]socket[|]" | sort >"$by.tree"
}

# odd PATTERN COMMAND...: entries of what is built there that neither of the two
# reads like that
odd() {
	judge_odd=$1
	shift
	"$@"
	judge_odd=
}
judge_odd=

# told WORD: it is one of what the reference has
told() {
	grep -qw -- "$1" tar.told
}

# judge_tree OPTION... SOURCE...: image.raw, mounted, is what GNU tar, skopeo, umoci
# and the tools for files make of them; or, if there are archives and entry by entry,
# bsdtar, that knows other dialects; no file has fewer holes
judge_tree() {
	sort judge.tree >have.sorted
	reference tar "$@" || return 0
	# of that the tests know
	if told oci || told docker; then
		sed -i -E '/^etc\/vmm([|]|\/init\.conf[|])/d' have.sorted
		[ -d "$ref/etc" ] || sed -i '/^etc[|]/d' have.sorted
	fi
	if told own; then
		judge_own "$@"
	elif ! cmp -s tar.tree have.sorted; then
		told archive || {
			diff tar.tree have.sorted | head -20
			fail "$*: not what others make of it"
		}
		judge_entries "$@"
	fi
	sync -f "$ref" # or not all of a map is counted
	tree "$ref" "$mnt" | grep -vE "^(${judge_odd:-nothing}):" >more.log ||
		:
	[ ! -s more.log ] || fail "$*: fewer holes: $(head -5 more.log)"
	tr ' ' '\n' <tar.told >>judged.by
}

# judge_own OPTION... SOURCE...: nothing is there, or missing, or other, but for the
# files that the options are about, and folders for them
judge_own() {
	own='hostname|hosts|passwd|shadow|fstab|[.]ssh|authorized_keys|init'
	own="$own|vmm-init|vmm-agent([.]service)?|10-vmm[.][a-z]*|interfaces"
	own="$own|99-default[.]link|net|net[.]eth0|dhcpcd([.]conf|[.]service)?"
	own="$own|systemd-(networkd|resolved)[.]service|resolv[.]conf|networking"
	own="$own|[Nn]etwork-?[Mm]anager([.]service)?"
	{
		comm -23 tar.tree have.sorted
		comm -13 tar.tree have.sorted | grep -vE '^[^|]*[|]dir[|]7[05][05][|]0:0[|]'
	} | grep -vE "^([^|]*/)?($own)[|]" >odd.log || return 0
	diff tar.tree have.sorted | head -20
	fail "$*: more is changed than was asked for: $(cat odd.log)"
}

judge_entries() {
	reference bsdtar "$@"
	sort -u tar.tree bsdtar.tree | comm -13 - have.sorted >odd.log
	# nor is anything missing that both know
	for by in tar bsdtar have; do
		[ $by != have ] || mv have.sorted have.tree
		cut -d '|' -f 1,2 $by.tree >$by.names
	done
	comm -12 tar.names bsdtar.names | comm -23 - have.names >>odd.log
	mv odd.log odd.all
	grep -vE "^(${judge_odd:-nothing})[|]" odd.all >odd.log || return 0
	cat tar.err bsdtar.err
	for by in tar bsdtar; do
		echo "by $by:"
		diff $by.tree have.tree | head -10
	done
	echo "by none:"
	head -10 odd.log
	fail "$*: not what tar or bsdtar makes of it"
}

# judge_folder DIR: image.raw, mounted, is what is there
judge_folder() {
	tree "$1" | grep -vE "^[^|]*[|]socket[|]" >other.tree || :
	diff other.tree judge.tree >diff.log ||
		{ head -20 diff.log; fail "not what $1 has"; }
	tree "$1" "$mnt" >more.log
	[ ! -s more.log ] || fail "$1: fewer holes: $(head -5 more.log)"
	echo folder >>judged.by
}

# judged WORD NUMBER: so many images were compared with what others make of such,
# if any was
judged() {
	[ "${VMMKIT_JUDGE-}" = yes ] && can_mount || return 0
	nr=$(grep -cxe "$1" judged.by) || :
	[ "$nr" -ge "$2" ] || fail "$nr images of kind '$1' compared, not $2"
}

# judge_source OPTION... SOURCE...: image.raw, mounted as $mnt and with judge.tree,
# is what others make of the sources, if there are any; so are times that nobody
# unpacks
judge_source() {
	last=
	for last; do :; done
	if [ $# -eq 1 ] && [ -d "$1" ] && [ ! -e "$1/oci-layout" ]; then
		judge_folder "$1"
		return 0
	fi
	need umoci skopeo bsdtar
	judge_tree "$@"
	[ -f "$last" ] && told archive && ! told sources && ! told edits ||
		return 0
	"$top_srcdir/tests/tools/times.py" "$last" "$mnt" >times.log 2>times.nr
	[ ! -s times.log ] || fail "$*: $(head -5 times.log)"
	[ ! -s times.nr ] || echo times >>judged.by
}

# judge OPTION... SOURCE...: image.raw, made of these, is what an image has to be:
# the same tree as by others; also when it was grown a hundredfold, shrunk to the
# least and given another UUID; and after a crash. Nobody is asked about standard
# input, nor about what SOURCE_DATE_EPOCH makes of times; of files that are mkimage's
# own it is seen that there are no others. Those over 32 GiB do not grow.
judge() {
	can_mount || return 0
	# bitmaps, and an identity that comes from the content, to the last bit
	dumpe2fs image.raw 2>/dev/null >judge.dump
	was=judged.$(md5sum <judge.dump | cut -c 1-32)
	[ ! -e "$was" ] || return 0
	# a feature that this kernel may lack
	mounted ro || {
		super image.raw 'Filesystem features' | grep -qE 'casefold|verity' ||
			fail "$(cat mount.err)"
		return 0
	}
	tree "$mnt" >judge.tree
	# tar takes minutes for half a million
	[ "$(($(super image.raw 'Inode count') - $(super image.raw \
		'Free inodes')))" -gt 300000 ] || judge_source "$@"
	umount "$mnt"
	# which takes a minute for larger ones
	[ "$(blocks image.raw)" -gt $((1 << 23)) ] || judge_sizes
	judge_crash
	: >"$was"
}

# still_same WHAT: image.raw is clean and has the tree it had
still_same() {
	clean image.raw
	mounted ro || fail "$(cat mount.err)"
	tree "$mnt" >have.tree
	umount "$mnt"
	diff judge.tree have.tree >diff.log || {
		head -20 diff.log
		fail "$*: the tree is another"
	}
}

# blocks IMAGE
blocks() {
	super "$1" 'Block count'
}

judge_sizes() {
	cp --sparse=always image.raw kept.raw
	want=$(($(blocks image.raw) * 100))
	resize2fs -f image.raw $want >resize.log 2>&1 ||
		fail "grown: $(cat resize.log)"
	clean image.raw
	# a group at the end with no room for its tables is left out
	[ "$(blocks image.raw)" -gt $((want - 32768)) ] ||
		fail "it did not grow: $(cat resize.log)"
	resize2fs -fM image.raw >resize.log 2>&1 ||
		fail "shrunk: $(cat resize.log)"
	clean image.raw
	uuid=01234567-89ab-cdef-0123-456789abcdef
	tune2fs -U $uuid image.raw >tune.log 2>&1 || fail "$(cat tune.log)"
	[ "$(super image.raw 'Filesystem UUID')" = $uuid ] || fail "UUID"
	still_same "grown, shrunk and with another UUID"
	mv kept.raw image.raw
}

# crash: image.raw becomes what is left of it when the machine goes away with a
# change in the journal alone: lost+found has the mode $mode
crash() {
	mode=711
	mounted || fail "$(cat mount.err)"
	[ "$(stat -c %a "$mnt/lost+found")" != $mode ] || mode=700
	chmod $mode "$mnt/lost+found"
	sync "$mnt/lost+found"
	cp --sparse=always image.raw crashed.raw
	umount "$mnt"
	clean image.raw
	mv crashed.raw image.raw
	super image.raw 'Filesystem features' | grep -q needs_recovery ||
		fail "nothing to recover"
}

judge_crash() {
	super image.raw 'Filesystem features' | grep -q has_journal || return 0
	cp --sparse=always image.raw kept.raw
	# a kernel without quotas writes to nothing that has them
	if ! mounted; then
		super image.raw 'Filesystem features' | grep -qE 'quota|project' ||
			fail "$(cat mount.err)"
		return 0
	fi
	umount "$mnt"
	cp --sparse=always kept.raw image.raw
	crash
	# the kernel may have written it to its place as well, which is rare
	if (has 'stat /lost+found' "Mode: +0$mode ") >/dev/null 2>&1; then
		cp --sparse=always kept.raw image.raw
		crash
	fi
	! (has 'stat /lost+found' "Mode: +0$mode ") >/dev/null 2>&1 ||
		fail "it is there before the replay"
	e2fsck -fy image.raw >fsck.log 2>&1 || [ $? -le 1 ] ||
		fail "journal replay: $(cat fsck.log)"
	grep -q 'recovering journal' fsck.log || fail "$(cat fsck.log)"
	has 'stat /lost+found' "Mode: +0$mode "
	still_same "after a crash"
	mv kept.raw image.raw
}
