# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the tests of mkimage: a scratch folder that goes away, and checks.
set -eu
. "$top_srcdir/tests/lib/rootfs.sh"
LC_ALL=C
export LC_ALL
unset SOURCE_DATE_EPOCH
PATH=$PATH:/usr/sbin:/sbin
gentar=$top_builddir/tests/tools/gentar
work=$(mktemp -d "${TMPDIR:-/tmp}/mkimage-test.XXXXXX")
mnt=$work/mnt

cleanup() {
	mountpoint -q "$mnt" && umount "$mnt"
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
# set
build() {
	rm -f image.raw
	mkimage -q ${image_size:+--size $image_size} -o image.raw "$@" || fail "mkimage $*"
	clean image.raw
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
	env WRITE_SHIM="$fault" LD_PRELOAD="$shim" \
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

# minbase: $rootfs is a Debian
minbase() {
	debian_rootfs minbase --variant=minbase ||
		skip "no Debian root file system"
}

can_mount() {
	[ "$(id -u)" -eq 0 ] || return 1
	mkdir -p "$mnt"
	truncate -s 8M probe.img
	mke2fs -q -t ext4 -F probe.img
	mount -o loop probe.img "$mnt" 2>/dev/null || return 1
	umount "$mnt"
	rm probe.img
}

# tree DIR: all that can be seen of it, a line per entry, in order
tree() {
	(
		cd "$1"
		# hard links: by the first of their names
		find . -path ./lost+found -prune -o -printf '%i %P\n' |
			sort -k2 | awk '
			{ name = substr($0, length($1) + 2)
			  if (!($1 in first)) first[$1] = name
			  print name "|first|" first[$1] }'
		find . -path ./lost+found -prune -o -type d \
			-printf '%P|%y|%m|%U|%G|%T@\n' | grep -v '^|'
		find . -path ./lost+found -prune -o ! -type d \
			-printf '%P|%y|%m|%U|%G|%n|%s|%T@|%l\n'
		find . \( -type c -o -type b \) -exec stat -c '%n|%t:%T' {} +
		find . -path ./lost+found -prune -o -type f \
			-exec md5sum {} +
		find . -path ./lost+found -prune -o -print0 |
			xargs -0r getfattr -h -d -m - -e hex --absolute-names \
				-- 2>/dev/null
		find . -path ./lost+found -prune -o ! -type l -print0 |
			xargs -0r getfacl -n -p -- 2>/dev/null
	) | sort
}

# same_tree DIR: image.raw, mounted, is what is in DIR
same_tree() {
	mkdir -p "$mnt"
	mount -o loop,ro image.raw "$mnt"
	tree "$1" >want.tree
	tree "$mnt" >have.tree
	umount "$mnt"
	diff want.tree have.tree >diff.log || {
		head -20 diff.log
		fail "the image's tree is not that of $1"
	}
}
