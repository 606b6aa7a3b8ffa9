/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON of container images. The first byte chooses which. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "mkimage/source/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A digest becomes part of a path. */
static void check_digest(const struct digest_id *id)
{
	size_t len = strlen(id->hex);

	assert(id->alg == DIGEST_SHA256 || id->alg == DIGEST_SHA512);
	assert(len == (id->alg == DIGEST_SHA256 ? 64 : 128));
	assert(strspn(id->hex, "0123456789abcdef") == len);
}

static void check_name(const char *name)
{
	const char *p;

	assert(*name && *name != '/');
	for (p = strstr(name, ".."); p; p = strstr(p + 1, ".."))
		assert((p != name && p[-1] != '/') || (p[2] && p[2] != '/'));
}

static void do_index(const char *text, size_t len, struct vc_error *err)
{
	struct image_index i;
	size_t n;

	if (image_parse_index(text, len, &i, err))
		return;
	for (n = 0; n < i.nr; n++)
		check_digest(&i.descs[n].digest);
	image_index_fini(&i);
}

static void do_manifest(const char *text, size_t len, struct vc_error *err)
{
	struct image_manifest m;
	size_t n;

	if (image_parse_manifest(text, len, &m, err))
		return;
	check_digest(&m.config.digest);
	assert(m.nr_layers <= IMAGE_MAX_LAYERS);
	for (n = 0; n < m.nr_layers; n++) {
		check_digest(&m.layers[n].digest);
		assert(m.layers[n].kind == IMAGE_LAYER);
	}
	image_manifest_fini(&m);
}

static void do_config(const char *text, size_t len, struct vc_error *err)
{
	struct image_config c;
	size_t n;

	if (image_parse_config(text, len, &c, err))
		return;
	for (n = 0; n < c.nr_diff_ids; n++)
		check_digest(&c.diff_ids[n]);
	for (n = 0; n < c.env.nr; n++)
		assert(c.env.v[n]);
	image_config_fini(&c);
}

static void do_saves(const char *text, size_t len, struct vc_error *err)
{
	struct image_saves s;
	size_t n, l;

	if (image_parse_saves(text, len, &s, err))
		return;
	for (n = 0; n < s.nr; n++) {
		check_name(s.v[n].config);
		for (l = 0; l < s.v[n].layers.nr; l++)
			check_name(s.v[n].layers.v[l]);
	}
	image_saves_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vc_error err = { 0 };
	const char *text = (const char *)data + 1;

	if (!size)
		return 0;
	switch (data[0]) {
	case 'i':
		do_index(text, size - 1, &err);
		break;
	case 'm':
		do_manifest(text, size - 1, &err);
		break;
	case 'c':
		do_config(text, size - 1, &err);
		break;
	case 's':
		do_saves(text, size - 1, &err);
		break;
	default:
		if (image_parse_layout(text, size - 1, &err))
			return 0;
		break;
	}
	return 0;
}
