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
	clean image.raw
	# its variables are not the test's
	[ "${VMMKIT_JUDGE-}" != yes ] || (judge "$@") || exit 1
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

# tree DIR: all that can be seen of it, a line per entry, in order
tree() {
	"$top_srcdir/tests/tools/tree.py" "$@"
}

# same_tree DIR: image.raw, mounted, is what is in DIR
same_tree() {
	mount -o loop,ro image.raw "$mnt"
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

# new_stamp, restamp DIR: directories that nothing but the names of others tell of,
# and that were made in between, have the time of the file system
new_stamp() {
	touch stamp
	sleep 0.05 # a tick of the clock
}
restamp() {
	find "$1" -mindepth 1 -type d -newer stamp ! -newermt '1 day' \
		-execdir touch -d "$(super image.raw 'Filesystem created')" \
		{} +
}

# reference tar|bsdtar FILE: what it makes of the archive, or of as much as it
# understands, to tar.tree or bsdtar.tree; $ref stays.
reference() {
	new_ref
	new_stamp
	case $1 in
	tar) extract "$2" ;;
	bsdtar) bsdtar -C "$ref" --numeric-owner -xpf "$2" ;;
	esac 2>"$1.err" || :
	restamp "$ref"
	tree "$ref" | sort >"$1.tree"
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

# judge_tree FILE: image.raw, mounted, is what GNU tar makes of the archive; or,
# entry by entry, bsdtar, that knows other dialects; no file has fewer holes
judge_tree() {
	sort judge.tree >have.sorted
	reference tar "$1"
	if ! cmp -s tar.tree have.sorted; then
		reference bsdtar "$1"
		sort -u tar.tree bsdtar.tree | comm -13 - have.sorted >odd.log
		# nor is anything missing that both know
		for by in tar bsdtar have; do
			[ $by != have ] || mv have.sorted have.tree
			cut -d '|' -f 1,2 $by.tree >$by.names
		done
		comm -12 tar.names bsdtar.names | comm -23 - have.names \
			>>odd.log
		mv odd.log odd.all
		grep -vE "^(${judge_odd:-nothing})[|]" odd.all >odd.log || :
		if [ -s odd.log ]; then
			cat tar.err bsdtar.err
			for by in tar bsdtar; do
				echo "by $by:"
				diff $by.tree have.tree | head -10
			done
			echo "by none:"
			head -10 odd.log
			fail "$1: not what tar or bsdtar makes of it"
		fi
	fi
	sync -f "$ref" # or not all of a map is counted
	tree "$ref" "$mnt" | grep -vE "^(${judge_odd:-nothing}):" >more.log ||
		:
	[ ! -s more.log ] || fail "$1: fewer holes: $(head -5 more.log)"
}

# judge_other DIR BY: image.raw, mounted, is what is there as BY would have it
judge_other() {
	tree "$1" | grep -vE "^[^|]*[|]socket[|]" >other.tree || :
	diff other.tree judge.tree >diff.log ||
		{ head -20 diff.log; fail "not what $2 has"; }
	tree "$1" "$mnt" >more.log
	[ ! -s more.log ] || fail "$2: fewer holes: $(head -5 more.log)"
	echo "$2" >>judged.by
}

# judged BY NUMBER: so many images were compared with what BY has, if any was
judged() {
	[ "${VMMKIT_JUDGE-}" = yes ] && can_mount || return 0
	nr=$(grep -cx "$1" judged.by)
	[ "$nr" -ge "$2" ] || fail "$nr images compared with what $1 has, not $2"
}

# is_oci SOURCE: a container image, and none of docker save
is_oci() {
	if [ -d "$1" ]; then
		[ -e "$1/oci-layout" ]
	else
		tar -tf "$1" 2>/dev/null | grep -qxE '(\./)?oci-layout'
	fi
}

# judge_oci SOURCE: image.raw, mounted, is what umoci makes of a layout with one
# image; but for the file about what it runs, of which the tests know
judge_oci() {
	rm -rf judge.oci judge.ref
	mkdir judge.oci
	if [ -d "$1" ]; then
		cp -R "$1/." judge.oci
	else
		tar -C judge.oci -xf "$1"
	fi
	name=org.opencontainers.image.ref.name
	jq -e '.manifests | length == 1' judge.oci/index.json >/dev/null ||
		return 0
	# this digest is not known to them
	[ -z "$(ls judge.oci/blobs/sha512 2>/dev/null)" ] || return 0
	jq --arg name $name '.manifests[0].annotations[$name] = "judge"' \
		judge.oci/index.json >judge.json
	mv judge.json judge.oci/index.json
	# umoci knows neither zstd nor platforms, skopeo does both; nor users that
	# are not there
	rm -rf judge.dir judge.one
	new_stamp
	{
		skopeo copy -q --insecure-policy --override-os linux \
			--override-arch amd64 --dest-decompress \
			oci:judge.oci:judge dir:judge.dir &&
			skopeo copy -q --insecure-policy \
				--dest-oci-accept-uncompressed-layers \
				dir:judge.dir oci:judge.one:judge &&
			umoci config --image judge.one:judge \
				--config.user 0:0 &&
			umoci unpack --image judge.one:judge judge.ref
	} >umoci.log 2>&1 || {
		cat umoci.log
		fail "$1: skopeo and umoci do not unpack it"
	}
	restamp judge.ref/rootfs
	# what it does not know of AUFS
	find judge.ref/rootfs -depth -name '.wh..wh.*' -exec rm -r {} +
	sed -E '/^etc\/vmm([|]|\/init\.conf[|])/d' judge.tree >judge.most
	mv judge.most judge.tree
	[ -d judge.ref/rootfs/etc ] || sed -i '/^etc[|]/d' judge.tree
	judge_other judge.ref/rootfs umoci
}

# judge_source OPTION... SOURCE: image.raw, mounted as $mnt and with judge.tree, is
# what others make of the source, if it is one that no option changes
judge_source() {
	while [ $# -gt 1 ]; do
		case $1 in
		--strict) shift ;;
		--fs-option | --size | --journal-size | --label) shift 2 ;;
		*) return 0 ;;
		esac
	done
	if [ "$1" = - ]; then
		return 0
	elif is_oci "$1"; then
		need umoci skopeo jq
		judge_oci "$1"
	elif [ -d "$1" ]; then
		judge_other "$1" "the folder"
	elif [ -f "$1" ] && ! tar -tf "$1" 2>/dev/null |
		grep -qxE '(\./)?manifest\.json'; then
		judge_tree "$1"
	fi
}

# judge OPTION... SOURCE...: image.raw, made of these, is what an image has to be:
# the same tree as by others; also when it was grown a hundredfold, shrunk to the
# least and given another UUID; and after a crash
judge() {
	can_mount || return 0
	# bitmaps, and an identity that comes from the content, to the last bit
	dumpe2fs image.raw 2>/dev/null >judge.dump
	was=judged.$(md5sum <judge.dump | cut -c 1-32)
	[ ! -e "$was" ] || return 0
	# a feature that this kernel may lack
	mount -o loop,ro image.raw "$mnt" 2>mount.err || {
		super image.raw 'Filesystem features' | grep -qE 'casefold|verity' ||
			fail "$(cat mount.err)"
		return 0
	}
	# to look at each of very many entries again and again takes minutes:
	# those of a real root file system are looked at in tests/e2e
	few_files=y
	[ "$(($(super image.raw 'Inode count') - $(super image.raw \
		'Free inodes')))" -le 20000 ] || few_files=
	if [ -n "$few_files" ]; then
		tree "$mnt" >judge.tree
		cp judge.tree first.tree
		judge_source "$@"
		mv first.tree judge.tree
	fi
	umount "$mnt"
	# which takes a minute for larger ones
	[ "$(blocks image.raw)" -gt $((1 << 23)) ] || judge_sizes
	judge_crash
	: >"$was"
}

# still_same WHAT: image.raw is clean and has the tree it had
still_same() {
	clean image.raw
	[ -n "$few_files" ] || return 0
	mount -o loop,ro image.raw "$mnt"
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
	mount -o loop image.raw "$mnt"
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
	if ! mount -o loop image.raw "$mnt" 2>mount.err; then
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
