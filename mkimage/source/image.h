/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the JSON of a container image says, as the OCI image specification and
 * Docker's archives have it. Pure parsers of hostile text: sizes, counts and
 * depths are limited, unknown members ignored, known ones of another type
 * refused.
 */
#ifndef MKIMAGE_SOURCE_IMAGE_H
#define MKIMAGE_SOURCE_IMAGE_H

#include "mkimage/digest.h"

#define IMAGE_MAX_JSON (4 * 1024 * 1024)
#define IMAGE_MAX_DESCRIPTORS 4096 /* of one index */
#define IMAGE_MAX_LAYERS 1024
#define IMAGE_MAX_STRINGS 16384 /* arguments, variables, names */
#define IMAGE_MAX_TEXT (256 * 1024)

enum image_kind {
	IMAGE_MANIFEST,
	IMAGE_INDEX,
	IMAGE_LAYER,
	IMAGE_CONFIG,
	IMAGE_OTHER,
};

struct image_platform {
	char *os, *arch, *variant; /* owned; NULL: not said */
};

/* A blob and what is said about it. */
struct image_desc {
	enum image_kind kind;
	char *media_type; /* owned; may be NULL */
	struct digest_id digest;
	uint64_t size;
	struct image_platform platform;
	char *name, *ref;    /* annotations; owned; may be NULL */
	bool is_attestation; /* about another manifest, not an image */
};

struct image_index {
	struct image_desc *descs; /* owned */
	size_t nr;
};

struct image_manifest {
	struct image_desc config;
	struct image_desc *layers; /* owned */
	size_t nr_layers;
};

struct image_strings {
	char **v; /* owned, and what it points at */
	size_t nr;
};

struct image_config {
	struct image_platform platform;
	struct digest_id *diff_ids; /* owned */
	size_t nr_diff_ids;
	struct image_strings entrypoint, cmd, env;
	char *user, *cwd, *stop_signal; /* owned; may be NULL */
};

/* One image of a `docker save` archive. */
struct image_saved {
	char *config; /* path; owned */
	struct image_strings tags, layers;
};

struct image_saves {
	struct image_saved *v; /* owned */
	size_t nr;
};

int image_parse_index(const char *text, size_t len, struct image_index *ret,
		      struct vc_error *err) VC_MUST_CHECK;
int image_parse_manifest(const char *text, size_t len,
			 struct image_manifest *ret,
			 struct vc_error *err) VC_MUST_CHECK;
int image_parse_config(const char *text, size_t len, struct image_config *ret,
		       struct vc_error *err) VC_MUST_CHECK;
/* Docker's manifest.json. Paths are relative and have no "..". */
int image_parse_saves(const char *text, size_t len, struct image_saves *ret,
		      struct vc_error *err) VC_MUST_CHECK;
/* The file oci-layout: VC_E_UNSUPPORTED if it is of another version. */
int image_parse_layout(const char *text, size_t len,
		       struct vc_error *err) VC_MUST_CHECK;

void image_index_fini(struct image_index *i);
void image_manifest_fini(struct image_manifest *m);
void image_config_fini(struct image_config *c);
void image_saves_fini(struct image_saves *s);

#endif
