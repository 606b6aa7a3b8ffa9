#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Archives as programs write them, in all the forms each of them knows: what is
# in the image is what the same program unpacks. (cpio's: test-mkimage-formats.sh;
# those of programs in Go: test-mkimage-interop.sh.)
. "$top_srcdir/tests/tools/mkimage-functions.sh"
need e2fsck debugfs tar cpio setfattr getfattr setfacl getfacl
[ "$(id -u)" -eq 0 ] || skip "needs root"
can_mount || skip "a loop mount is needed"
image_size=+3M

# --- what is packed ------------------------------------------------------------
# every form has room for this
small() {
	mkdir -p "$1/dir/sub" "$1/empty"
	(
		cd "$1"
		echo text >file
		ln file dir/hard
		ln -s ../file dir/symlink
		ln -s "$(printf '%080d' 7)" dir/long-link
		mkfifo dir/fifo
		mknod dir/null c 1 3
		mknod dir/disk b 8 17
		: >dir/nothing
		seq 20000 >dir/sub/numbers
		echo 1 >"dir/$(printf 'n\303\244me with blanks')"
		echo 1 >'dir/back\slash'
		chmod 4755 file
		chmod 1777 empty
		chmod 2750 dir/sub
		chmod 0 dir/nothing
		chown -R 1000:1001 dir/sub
		chown -h 7:8 dir/symlink
		find . -exec touch -h -d @1000000000 {} +
		touch -d @0 dir/nothing
		touch -d @2147483647 dir/sub/numbers
		touch -d @999999999 dir/sub
	)
}
# this needs GNU's or POSIX' extensions
large() {
	small "$1"
	(
		cd "$1"
		long=$(printf '%0120d' 0)
		echo 1 >"dir/$long"
		mkdir -p "$long/$long/$long"
		echo 1 >"$long/$long/$long/deep"
		ln -s "$long/$long" long-link
		ln "dir/$long" long-hard
		echo 1 >"$(printf 'latin-\344')"
		truncate -s 3M hole
		printf middle | dd of=hole bs=1 seek=1000000 conv=notrunc status=none
		mknod big b 259 70000
		echo 1 >high
		chown 3000000:4000000000 high
		find . -exec touch -h -d @1000000000 {} +
		touch -d @-5 file
		touch -d @9000000000 high
	)
}
small small
large large

# what some do not unpack: times of folders, times and owners of symbolic links
without() {
	awk -F '|' -v OFS='|' '$2 == "dir" { $5 = "" }
		$2 == "symlink" { $4 = $5 = "" } { print }'
}
# agrees SOURCE [without]: image.raw of it, and ref
agrees() {
	build --strict "$1"
	if [ "${2:-}" ]; then
		mkdir -p "$mnt"
		mount -o loop,ro image.raw "$mnt"
		tree ref | without >want.tree
		tree "$mnt" | without >have.tree
		umount "$mnt"
		diff want.tree have.tree >diff.log || {
			head -20 diff.log
			fail "$what: another tree"
		}
	else
		same_tree "$PWD/ref"
	fi
	[ "$(find ref | wc -l)" -gt 10 ] || fail "$what: little in it"
}
fresh() {
	rm -rf ref
	mkdir ref
	what=$*
	echo "$what"
}

# --- GNU tar --------------------------------------------------------------------
# names in its ACLs are this host's
acls() {
	mkdir -p "$1/etc"
	cp /etc/passwd /etc/group "$1/etc"
	setfacl -m u:1000:rw,u:daemon:r,g:70000:x "$1/file"
	setfacl -d -m u:1000:rwx,g:4:r "$1/empty"
	setfattr -n user.text -v "$(printf 'a\nb')" "$1/file"
	setfattr -n user.p%q=r -v percent "$1/file"
	setfattr -n user.binary -v 0x00ff00 "$1/dir"
	setfattr -n trusted.t -v t "$1/file"
	setfattr -h -n trusted.l -v l "$1/dir/symlink"
	setfattr -n security.capability \
		-v 0x0100000200200000000000000000000000000000 "$1/dir/sub/numbers"
}
cp -a large attr
acls attr
touch -d '2001-02-03 04:05:06.123456789 UTC' attr/file
touch -d '1969-12-31 23:59:59.75 UTC' attr/long-hard
for form in v7/small ustar/small oldgnu/large gnu/large posix/large posix/attr; do
	from=${form#*/}
	for opts in '' '--sparse' '--sparse --sparse-version=0.0' \
		'--sparse --sparse-version=0.1'; do
		case $form$opts in
		v7/*--sparse* | ustar/*--sparse* | *gnu/*version*) continue ;;
		posix/attr--sparse*) continue ;;
		esac
		fresh "tar --format=$form $opts"
		more=
		[ "$from" != attr ] || more="--xattrs --xattrs-include=* --acls"
		# v7 has neither devices nor fifos, and says so
		# shellcheck disable=SC2086
		tar -C "$from" --format="${form%/*}" --numeric-owner $opts $more \
			-cf p.tar . 2>tar.log || [ "${form%/*}" = v7 ] ||
			fail "$(cat tar.log)"
		# shellcheck disable=SC2086
		tar -C ref --numeric-owner $more -xpf p.tar
		agrees p.tar
	done
done

# --- bsdtar, bsdcpio --------------------------------------------------------------
if have_tool bsdtar; then
	rm -rf attr/etc
	setfacl -x u:daemon attr/file
	# it writes the second of these as -1.75, and reads that as it meant it;
	# such a name it encodes, and unpacks as it stands there
	touch -d '1969-12-31 23:59:58 UTC' attr/long-hard
	setfattr -x user.p%q=r attr/file
	for form in v7/small ustar/small gnutar/large pax/large pax/attr \
		paxr/attr odc/small newc/small bin/small; do
		from=${form#*/}
		fresh "bsdtar --format=$form"
		more=--no-xattrs
		[ "$from" != attr ] || more='--xattrs --acls --fflags'
		# shellcheck disable=SC2086
		LC_ALL=C.UTF-8 bsdtar -C "$from" --format="${form%/*}" \
			--numeric-owner $more -cf p.tar . 2>tar.log || :
		[ -s p.tar ] || continue
		# shellcheck disable=SC2086
		LC_ALL=C.UTF-8 bsdtar -C ref --numeric-owner $more -xpf p.tar
		agrees p.tar
	done
	if chattr +dA attr/file 2>/dev/null; then
		fresh "bsdtar --fflags"
		bsdtar -C attr --format=pax --fflags -cf p.tar file dir/sub
		build --strict p.tar
		has 'stat /file' 'Flags: 0x800c0'
	fi
fi

# --- busybox ------------------------------------
if have_tool busybox; then
	for from in small large; do
		fresh "busybox tar: $from"
		# (a name of 480 bytes is too long for it)
		rm -rf bb
		cp -a $from bb
		rm -rf bb/0*
		# times and owners it has no room for
		[ $from = small ] || touch -d @5 bb/file bb/high
		[ $from = small ] || chown 5:6 bb/high
		busybox tar -C bb -cf p.tar .
		busybox tar -C ref -xpf p.tar
		agrees p.tar without
		busybox tar -C bb -czf p.tar.gz .
		agrees p.tar.gz without
	done
	fresh 'busybox cpio'
	(cd small && find . | busybox cpio -o -H newc 2>/dev/null) >p.cpio
	(cd ref && busybox cpio -idm <../p.cpio 2>/dev/null)
	agrees p.cpio without
fi

# --- pax: ustar and four kinds of cpio ---------------------------------------------------
if have_tool pax; then
	for form in ustar tar sv4cpio sv4crc cpio bcpio; do
		fresh "pax -x $form"
		# shellcheck disable=SC2086
		(cd small && pax -w -x $form -f ../p.pax . 2>/dev/null) || :
		[ -s p.pax ] || continue
		(cd ref && pax -r -p e -f ../p.pax 2>/dev/null) || :
		agrees p.pax without
	done
fi

# --- tarfile of Python ----------------------------------------------------------------------
if have_tool python3; then
	for form in USTAR/small GNU/large PAX/large; do
		fresh "tarfile: $form"
		python3 - "${form%/*}_FORMAT" "${form#*/}" <<-'X'
			import sys, tarfile
			form = getattr(tarfile, sys.argv[1])
			with tarfile.open("p.tar", "w", format=form) as t:
			    t.add(sys.argv[2], ".")
			with tarfile.open("p.tar") as t:
			    t.extractall("ref", numeric_owner=True)
		X
		agrees p.tar without
	done
fi
