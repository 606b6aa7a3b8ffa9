# SPDX-License-Identifier: BSD-3-Clause
# Sourced after mkimage-functions.sh: container images from descriptions of their
# layers.
sum() {
	sha256sum "$1" | cut -d ' ' -f 1
}

# start: an empty layout in ./l, an empty list of layers
start() {
	rm -rf l
	mkdir -p l/blobs/sha256 l/blobs/sha512
	echo '{"imageLayoutVersion": "1.0.0"}' >l/oci-layout
	: >layers
	: >diffs
}

# blob FILE: into the layout; prints its digest
blob() {
	s=$(sum "$1")
	cp "$1" "l/blobs/sha256/$s"
	echo "sha256:$s"
}

# layer [COMPRESS...]: what gentar is told on standard input is one more
layer() {
	"$gentar" >layer.tar || fail gentar
	diff=sha256:$(sum layer.tar)
	kind=${1:++$1}
	case ${1-} in
	'') cp layer.tar layer.c ;;
	*) $1 -qc <layer.tar >layer.c ;;
	esac
	[ ! -s layers ] || echo , >>layers
	[ ! -s diffs ] || echo , >>diffs
	printf '{"mediaType": "application/vnd.oci.image.layer.v1.tar%s",
		"digest": "%s", "size": %d}' "$kind" "$(blob layer.c)" \
		"$(stat -c %s layer.c)" >>layers
	printf '"%s"' "$diff" >>diffs
}

# manifest [ARCH [CONFIG]]: prints the descriptor of an image of the layers
manifest() {
	printf '{"os": "linux", "architecture": "%s", "config": {%s},
		"rootfs": {"type": "layers", "diff_ids": [%s]}}' \
		"${1-amd64}" "${2-}" "$(cat diffs)" >config
	printf '{"schemaVersion": 2, "config": {"digest": "%s", "size": %d,
		"mediaType": "application/vnd.oci.image.config.v1+json"},
		"layers": [%s]}' "$(blob config)" "$(stat -c %s config)" \
		"$(cat layers)" >manifest
	desc manifest manifest "${3-}"
}

# desc FILE manifest|index [MORE]: a descriptor of it
desc() {
	printf '{"mediaType": "application/vnd.oci.image.%s.v1+json",
		"digest": "%s", "size": %d%s}' "$2" "$(blob "$1")" \
		"$(stat -c %s "$1")" "${3:+, $3}"
}

# index DESCRIPTOR...
index() {
	printf '{"schemaVersion": 2, "manifests": [' >index.json
	sep=
	for d; do
		printf '%s%s' "$sep" "$d" >>index.json
		sep=,
	done
	echo ']}' >>index.json
}

finish() {
	index "$(manifest)"
	cp index.json l/
}
