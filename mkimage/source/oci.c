/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every file of an image is named by its digest and checked against it: JSON
 * before it is parsed, a layer while it goes by, both as it is stored and, by
 * the configuration's diff_id, as it is without compression. A layer that
 * turns out wrong at its end makes the whole run fail, so nothing of it is
 * ever in an image. Only the layers of an old `docker save` have no digest of
 * their own: there the diff_ids tell, and the configuration's name is its
 * digest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/source/oci.h"

struct plan {
	struct image_config config;
	struct image_manifest manifest;	 /* of a layout */
	const struct image_saved *saved; /* of an archive; borrowed */
	size_t nr_layers;
};

/* --- layers --------------------------------------------------------------- */

static int check_end(const char *what, struct digest *d,
		     const struct digest_id *want, struct vc_error *err)
{
	struct digest_id id;

	digest_final(d, &id);
	if (digest_id_equal(&id, want))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "its %s is %s:%.16s..., not %.16s...", what,
		       digest_alg_name(id.alg), id.hex, want->hex);
}

/* `want` is of the layer as it is stored, or NULL. */
static int read_layer(struct build *b, const struct store_file *f,
		      const struct digest_id *want,
		      const struct digest_id *diff, struct vc_error *err)
{
	vc_auto(stream) struct stream *s = NULL;
	struct digest in, out;
	struct tar t;

	digest_init(&in, want ? want->alg : DIGEST_NONE);
	digest_init(&out, diff->alg);
	if (stream_open_range(&f->range, want ? &in : NULL, &s, err) ||
	    tar_start(&t, b, s, &out, err) || tar_to_tree(&t, true, err))
		return -1;
	if ((want && check_end("digest", &in, want, err)) ||
	    check_end("diff_id", &out, diff, err))
		return -1;
	return tree_next_layer(&b->tree, err);
}

static int add_layer(struct build *b, struct store *s, const struct plan *p,
		     size_t i, struct vc_error *err)
{
	const struct image_desc *d = p->saved ? NULL : &p->manifest.layers[i];
	struct store_file f;
	int rc;

	if (store_get(s,
		      d ? oci_blob_name(&d->digest).s : p->saved->layers.v[i],
		      &f, err))
		return -1;
	if (d && f.range.size != d->size)
		rc = vc_fail(err, VC_E_CORRUPT, 0,
			     "%llu bytes, not the %llu it is said to have",
			     (unsigned long long)f.range.size,
			     (unsigned long long)d->size);
	else
		rc = read_layer(b, &f, d ? &d->digest : NULL,
				&p->config.diff_ids[i], err);
	store_file_close(&f);
	return rc;
}

static int add_layers(struct build *b, struct store *s, const struct plan *p,
		      struct vc_error *err)
{
	size_t i;

	if (p->config.nr_diff_ids != p->nr_layers)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "%zu layers, but %zu diff_ids", p->nr_layers,
			       p->config.nr_diff_ids);
	for (i = 0; i < p->nr_layers; i++)
		if (add_layer(b, s, p, i, err))
			return vc_prefix(err, "layer %zu of %zu", i + 1,
					 p->nr_layers);
	return oci_write_runconf(b, &p->config, err);
}

/* --- an image layout ------------------------------------------------------ */

static int read_config(struct store *s, const char *name,
		       const struct digest_id *want, uint64_t size,
		       struct image_config *ret, struct vc_error *err)
{
	vc_auto_free char *text = NULL;
	size_t len;

	if (store_read(s, name, want, size, &text, &len, err))
		return -1;
	if (image_parse_config(text, len, ret, err))
		return vc_prefix(err, "configuration");
	return 0;
}

static int read_manifest(struct store *s, const struct candidate *c,
			 struct plan *p, struct vc_error *err)
{
	const struct blob_name name = oci_blob_name(&c->digest);
	const struct image_desc *config = &p->manifest.config;
	vc_auto_free char *text = NULL;
	size_t len;

	if (store_read(s, name.s, &c->digest, c->size, &text, &len, err))
		return -1;
	if (image_parse_manifest(text, len, &p->manifest, err))
		return vc_prefix(err, "'%s'", name.s);
	p->nr_layers = p->manifest.nr_layers;
	return read_config(s, oci_blob_name(&config->digest).s, &config->digest,
			   config->size, &p->config, err);
}

static int layout_to_tree(struct build *b, struct store *s,
			  const struct source_opts *opts, struct vc_error *err)
{
	vc_auto_free char *text = NULL;
	struct candidate c = { 0 };
	struct plan p = { 0 };
	size_t len;
	int rc;

	if (store_read(s, "oci-layout", NULL, 0, &text, &len, err))
		return -1;
	if (image_parse_layout(text, len, err))
		return vc_prefix(err, "'oci-layout'");
	if (oci_choose(s, opts, &c, err))
		return -1;
	rc = read_manifest(s, &c, &p, err) || add_layers(b, s, &p, err) ? -1
									: 0;
	image_manifest_fini(&p.manifest);
	image_config_fini(&p.config);
	candidate_fini(&c);
	return rc;
}

/* --- docker save ---------------------------------------------------------- */

static bool has_tag(const struct image_saved *i, const char *tag)
{
	size_t t;

	for (t = 0; t < i->tags.nr; t++)
		if (!strcmp(i->tags.v[t], tag))
			return true;
	return false;
}

static const struct image_saved *choose_saved(const struct image_saves *saves,
					      const char *image,
					      struct vc_error *err)
{
	const struct image_saved *ret = NULL;
	char shown[100];
	size_t i, nr = 0;

	for (i = 0; i < saves->nr; i++) {
		if (image && !has_tag(&saves->v[i], image))
			continue;
		nr++;
		ret = &saves->v[i];
	}
	if (nr == 1)
		return ret;
	if (!nr && image) {
		vc_fail(err, VC_E_CONFIG, 0, "no image of that name (--image)");
	} else if (!nr) {
		vc_fail(err, VC_E_CORRUPT, 0, "no image in it");
	} else {
		vc_printable(ret->tags.nr ? ret->tags.v[0] : "?", shown,
			     sizeof(shown));
		vc_fail(err, VC_E_CONFIG, 0,
			"%zu images, %s among them: choose one (--image)", nr,
			shown);
	}
	return NULL;
}

/* "HEX.json", "sha256:HEX", or of late "blobs/sha256/HEX": the digest is in the
 * name. */
static bool digest_of_name(const char *name, struct digest_id *ret)
{
	const char *last = strrchr(name, '/');
	char text[DIGEST_MAX_TEXT + 1];

	last = last ? last + 1 : name;
	if (!strncmp(last, "sha256:", 7))
		last += 7;
	snprintf(text, sizeof(text), "sha256:%.*s", (int)strcspn(last, "."),
		 last);
	return !digest_id_parse(text, ret, NULL);
}

static int read_saved(struct store *s, const struct source_opts *opts,
		      struct plan *p, struct vc_error *err)
{
	const char *name = p->saved->config;
	struct digest_id id;
	struct store_file f;
	bool has_digest = digest_of_name(name, &id);

	if (store_get(s, name, &f, err))
		return -1;
	store_file_close(&f);
	if (read_config(s, name, has_digest ? &id : NULL, f.range.size,
			&p->config, err))
		return -1;
	p->nr_layers = p->saved->layers.nr;
	if (!opts->platform ||
	    oci_platform_match(&p->config.platform, opts->platform))
		return 0;
	return vc_fail(err, VC_E_CONFIG, 0, "the image is for %s, not %s",
		       oci_platform_show(&p->config.platform).s,
		       opts->platform);
}

static int save_to_tree(struct build *b, struct store *s,
			const struct source_opts *opts, struct vc_error *err)
{
	vc_auto_free char *text = NULL;
	struct image_saves saves;
	struct plan p = { 0 };
	size_t len;
	int rc;

	if (store_read(s, "manifest.json", NULL, 0, &text, &len, err))
		return -1;
	if (image_parse_saves(text, len, &saves, err))
		return vc_prefix(err, "'manifest.json'");
	p.saved = choose_saved(&saves, opts->image, err);
	rc = !p.saved || read_saved(s, opts, &p, err) ||
			     add_layers(b, s, &p, err)
		     ? -1
		     : 0;
	image_config_fini(&p.config);
	image_saves_fini(&saves);
	return rc;
}

/* Does a `manifest.json` name a configuration that is there? */
static bool is_saved(struct store *s)
{
	vc_auto_free char *text = NULL;
	struct image_saves saves;
	bool ret = false;
	size_t len;

	if (store_read(s, "manifest.json", NULL, 0, &text, &len, NULL) ||
	    image_parse_saves(text, len, &saves, NULL))
		return false;
	if (saves.nr)
		ret = store_has(s, saves.v[0].config);
	image_saves_fini(&saves);
	return ret;
}

bool oci_is_image(struct store *s)
{
	if (store_has(s, "oci-layout") && store_has(s, "index.json"))
		return true;
	/* many a folder of files has one of these */
	if (store_has_others(s))
		return store_has(s, "manifest.json") && is_saved(s);
	return store_has(s, "index.json") || store_has(s, "manifest.json");
}

int oci_to_tree(struct build *b, struct store *s,
		const struct source_opts *opts, struct vc_error *err)
{
	b->has_image = true;
	if (store_has(s, "oci-layout") && store_has(s, "index.json"))
		return layout_to_tree(b, s, opts, err);
	if (store_has(s, "manifest.json"))
		return save_to_tree(b, s, opts, err);
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "no container image: neither an 'oci-layout' with an "
		       "'index.json' nor a 'manifest.json'");
}
