#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Errors of the medium while something is read, at every moment there is: sources
# of each kind, the file of a partition, what waits in a temporary file. And such a
# file that cannot be made, has no space or is lost. One line, exit status 1, no
# output and no file that stays; or the output, whole.
. "$top_srcdir/tests/tools/mkimage-functions.sh"
. "$top_srcdir/tests/tools/mkimage-oci.sh"
need e2fsck tar gzip jq
EIO=5 EACCES=13 ENOSPC=28
mkdir tmp out
TMPDIR=$work/tmp
export TMPDIR

# run FAULT OPTION...: mkimage, in out/; its input is a pipe
run() {
	fault=$1
	shift
	rc=0
	rm -rf out
	mkdir out
	# shellcheck disable=SC2002
	cat saved.tar | (cd out && shimmed "$fault" mkimage -q -o x.raw "$@" \
		2>../err.log) || rc=$?
}

# nothing WHAT LINE: it has failed, said LINE, and left nothing
nothing() {
	[ $rc -eq 1 ] || fail "$1: status $rc: $(cat err.log)"
	[ "$(grep -c . err.log)" -eq 1 ] || fail "$1: $(cat err.log)"
	grep -qE "^mkimage: $2$" err.log || fail "$1: $(cat err.log)"
	[ -z "$(find out tmp -mindepth 1)" ] || fail "$1: left: $(find out tmp)"
}

# count OPTION...: $nr is the number of calls, out/x.raw what is to be
count() {
	run "count:$work/count" "$@"
	[ $rc -eq 0 ] || fail "$*: $(cat err.log)"
	mv out/x.raw want.raw
	nr=$(cat count)
}

# --- reading ------------------------------------------------------------------

"$gentar" >a.tar <<'X'
file d/one size=600000
file two size=700000
end
X
mkdir src
tar -C src -xf a.tar
gzip -c a.tar >a.tar.gz
head -c 3900000 /dev/urandom >data.img
start
# a file in it that is longer than headers may be
layer <<'X'
file one size=5000000
end
X
cp layer.tar 1.tar
manifest >/dev/null
mkdir saved
cp 1.tar "saved/$(sum 1.tar)"
cp config "saved/$(sum config).json"
printf '[{"Config": "%s.json", "Layers": ["%s"]}]' "$(sum config)" \
	"$(sum 1.tar)" >saved/manifest.json
tar -C saved -cf saved.tar manifest.json "$(sum config).json" "$(sum 1.tar)"
gzip -c saved.tar >saved.tar.gz


export WRITE_SHIM_CALLS=read
while read -r least opts; do
	# shellcheck disable=SC2086
	count $opts
	[ "$nr" -ge "$least" ] || fail "$opts: $nr reads"
	[ "$nr" -gt 24 ] && step=$((nr / 12)) || step=1
	for at in $(seq 1 "$step" "$nr") "$nr"; do
		# shellcheck disable=SC2086
		run error:$EIO:"$at" $opts
		# two threads read ahead, not always in as many calls
		[ "$at" -le $((nr / 2)) ] || [ $rc -ne 0 ] || {
			cmp out/x.raw want.raw || fail "$opts: another image"
			continue
		}
		nothing "$opts: errors from read $at of $nr on" \
			'.*Input/output error'
	done
done <<'X'
2 --size 16M ../a.tar
2 --size 16M ../a.tar.gz
2 --size 16M ../src
3 --size 16M ../saved.tar
3 --size 16M ../saved.tar.gz
3 --size 16M --source-type oci -
4 --partition=name=data,file=../data.img --size 20M ../a.tar
X
# who reads is named, when just one read fails
mkdir none
count --partition=name=data,file=../data.img --size 20M ../none
[ "$nr" -eq 4 ] || fail "data.img: $nr reads"
for at in 1 $((nr / 2)) "$nr"; do
	run once:$EIO:"$at" --partition=name=data,file=../data.img --size 20M \
		../none
	nothing "data.img: read $at" "'../data.img': read: Input/output error"
done

# what was replaced lies past the size: it is kept beside, and moved
"$gentar" >late.tar <<'X'
file big size=16000000
file kept size=9000000
file big size=5000
end
X
gzip -9c late.tar >late.tar.gz # read at once
count --size 20M ../late.tar.gz
clean want.raw
debugfs -R 'dump /kept kept' want.raw 2>/dev/null
tar -xf late.tar --to-stdout kept | cmp - kept || fail "not what was kept"
spills=
for at in $(seq "$nr"); do
	run once:$EIO:"$at" --size 20M ../late.tar.gz
	[ $rc -ne 0 ] || {
		cmp out/x.raw want.raw || fail "read $at: another image"
		continue
	}
	nothing "read $at of $nr" '.*Input/output error'
	! grep -q 'temporary file: read: ' err.log || spills="$spills $at"
done
[ "$(echo "$spills" | wc -w)" -ge 3 ] || fail "reads of the spill file: $spills"

# --- temporary files ------------------------------------------------------------

# the first folder there is
unset WRITE_SHIM_CALLS
for opts in ../saved.tar.gz '--source-type oci -'; do
	# shellcheck disable=SC2086
	TMPDIR=/nowhere run count:$work/count --size 16M $opts
	[ $rc -eq 0 ] || fail "$opts: no TMPDIR: $(cat err.log)"
	cp out/x.raw spooled.raw
	export WRITE_SHIM_CALLS=temp
	for at in 1 2; do
		# shellcheck disable=SC2086
		run once:$EACCES:$at --size 16M $opts
		[ $rc -eq 0 ] || fail "$opts: once no folder: $(cat err.log)"
		cmp out/x.raw spooled.raw || fail "$opts: another image"
	done
	# shellcheck disable=SC2086
	run error:$EACCES:1 --size 16M $opts
	nothing "$opts: no folder" \
		'.*temporary file: create: Permission denied'
	unset WRITE_SHIM_CALLS
	# a full disk; the first write is that of the output's size, and to a
	# small file there are two
	# shellcheck disable=SC2086
	for at in 2 3 4; do
		run once:$ENOSPC:$at --size 16M $opts
		nothing "$opts: a full disk at write $at" \
			'.*temporary file: write: No space left on device'
		run error:$EIO:$at --size 16M $opts
		nothing "$opts: an error at write $at" \
			'.*temporary file: write: Input/output error'
	done
done
# but not what is a plain file
export WRITE_SHIM_CALLS=temp
for opts in ../saved.tar '--source-type oci -'; do
	rm -f out/x.raw
	# shellcheck disable=SC2086
	(cd out && shimmed error:$EACCES:1 mkimage -q --size 16M -o x.raw $opts) \
		<saved.tar || fail "$opts: copied"
	cmp out/x.raw spooled.raw || fail "$opts: another image"
done
unset WRITE_SHIM_CALLS

# what waits past a given size, and has no space: it is said which size would do
# without, or it is not needed in the end
count --size 20M ../late.tar
[ "$nr" -gt 1000 ] || fail "nothing waits: $nr writes"
lost='.*contents that later ones replace are so many that there is no space.*'
for at in $((nr / 3)) $((nr / 2)) $((nr * 3 / 4)); do
	run once:$ENOSPC:$at --size 20M ../late.tar
	nothing "the spill file, a full disk at write $at of $nr" "$lost"
	run once:$EIO:$at --size 20M ../late.tar
	nothing "the spill file, an error at write $at of $nr" \
		'.*temporary file: write: Input/output error'
done
"$gentar" >gone.tar <<'Y'
file kept size=9000000
file big size=16000000
file big
end
Y
count --size 20M ../gone.tar
[ "$nr" -gt 1000 ] || fail "nothing waits: $nr writes"
for at in $((nr / 3)) $((nr / 2)) $((nr * 3 / 4)); do
	run once:$ENOSPC:$at --size 20M ../gone.tar
	[ $rc -eq 0 ] || fail "what does not stay: $(cat err.log)"
	cmp out/x.raw want.raw || fail "what does not stay: another image"
done
