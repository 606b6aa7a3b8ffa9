# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the tests that describe archives to gentar: what they say often.

# many N [LETTER]: so many of it
many() {
	head -c "$1" /dev/zero | tr '\0' "${2:-n}"
}

# file_of_runs N SIZE: the file "holes" with a byte at every 8 KiB, N of them, in
# the format called 0.1
file_of_runs() {
	printf 'pax GNU.sparse.name holes\npax GNU.sparse.size %d\n' "$2"
	printf 'pax GNU.sparse.map 0,1'
	i=1
	while [ $i -lt "$1" ]; do
		printf ',%d,1' $((i * 8192))
		i=$((i + 1))
	done
	printf '\nfile x size=%d\n' "$1"
}
