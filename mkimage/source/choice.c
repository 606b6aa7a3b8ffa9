/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An index names manifests, for one platform each, and further indexes. All
 * manifests that are there (an archive may hold some of those it names) are
 * candidates; then the name that is asked for counts, then the platform. If
 * none is asked for and there is a choice, it is linux/amd64 on every host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/source/oci.h"

#define DEFAULT_PLATFORM "linux/amd64"

struct blob_name oci_blob_name(const struct digest_id *id)
{
	struct blob_name ret;

	snprintf(ret.s, sizeof(ret.s), "blobs/%s/%s", digest_alg_name(id->alg),
		 id->hex);
	return ret;
}

/* --- platforms ------------------------------------------------------------ */

static bool part_is(const char *have, const char **want)
{
	size_t len = strcspn(*want, "/");
	bool ret = have && strlen(have) == len && !memcmp(have, *want, len);

	*want += len + ((*want)[len] == '/');
	return ret;
}

static bool has_variant(const struct image_platform *p)
{
	return p->variant && *p->variant;
}

/* The one that no variant stands for. */
static const char *usual_variant(const char *arch)
{
	return !strcmp(arch, "arm64")	? "v8"
	       : !strcmp(arch, "arm")	? "v7"
	       : !strcmp(arch, "amd64") ? "v1"
					: "";
}

bool oci_platform_match(const struct image_platform *have, const char *want)
{
	if (!part_is(have->os, &want) || !part_is(have->arch, &want))
		return false;
	if (!*want)
		return true;
	if (!has_variant(have))
		return have->arch && !strcmp(want, usual_variant(have->arch));
	return part_is(have->variant, &want);
}

struct platform_text oci_platform_show(const struct image_platform *p)
{
	struct platform_text ret;
	char text[100];

	snprintf(text, sizeof(text), "%s/%s%s%s", p->os ? p->os : "?",
		 p->arch ? p->arch : "?", p->variant ? "/" : "",
		 p->variant ? p->variant : "");
	vc_printable(text, ret.s, sizeof(ret.s));
	return ret;
}

/* --- candidates ----------------------------------------------------------- */

void candidate_fini(struct candidate *c)
{
	free(c->platform.os);
	free(c->platform.arch);
	free(c->platform.variant);
	free(c->names[0]);
	free(c->names[1]);
	*c = (struct candidate){ 0 };
}

static void choice_fini(struct choice *c)
{
	while (c->nr)
		candidate_fini(&c->v[--c->nr]);
	free(c->v);
}

static int dup_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -1 : 0;
}

/* `top` is the descriptor whose names count: that of the outermost index. */
static int add_candidate(struct choice *c, const struct image_desc *d,
			 const struct image_desc *top, struct vc_error *err)
{
	struct candidate *v;

	if (c->nr == CHOICE_MAX)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d manifests",
			       CHOICE_MAX);
	v = realloc(c->v, (c->nr + 1) * sizeof(*v));
	if (!v)
		return vc_fail(err, VC_E_SYS, ENOMEM, "image");
	c->v = v;
	v += c->nr++;
	*v = (struct candidate){ .digest = d->digest, .size = d->size };
	if (dup_text(d->platform.os, &v->platform.os) ||
	    dup_text(d->platform.arch, &v->platform.arch) ||
	    dup_text(d->platform.variant, &v->platform.variant) ||
	    dup_text(top->name, &v->names[0]) ||
	    dup_text(top->ref, &v->names[1]))
		return vc_fail(err, VC_E_SYS, ENOMEM, "image");
	return 0;
}

/* store_read(), within the limits of a choice. */
static int read_blob(struct choice *c, struct store *s,
		     const struct digest_id *id, uint64_t size, char **ret,
		     size_t *ret_len, struct vc_error *err)
{
	c->nr_reads++;
	if (c->nr_reads > CHOICE_MAX_READS || size > CHOICE_MAX_BYTES ||
	    c->bytes > CHOICE_MAX_BYTES - size)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its indexes and manifests are more than %d or "
			       "than %llu bytes",
			       CHOICE_MAX_READS,
			       (unsigned long long)CHOICE_MAX_BYTES);
	c->bytes += size;
	return store_read(s, oci_blob_name(id).s, id, size, ret, ret_len, err);
}

static int add_index(struct choice *c, struct store *s, const char *text,
		     size_t len, const struct image_desc *top, int depth,
		     struct vc_error *err);

static int add_desc(struct choice *c, struct store *s,
		    const struct image_desc *d, const struct image_desc *top,
		    int depth, struct vc_error *err)
{
	const struct blob_name name = oci_blob_name(&d->digest);
	vc_auto_free char *text = NULL;
	size_t len;

	if (++c->nr_looks > CHOICE_MAX_LOOKS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d descriptors in its indexes",
			       CHOICE_MAX_LOOKS);
	if (d->is_attestation ||
	    (d->platform.os && !strcmp(d->platform.os, "unknown")))
		return 0;
	if ((d->kind != IMAGE_INDEX && d->kind != IMAGE_MANIFEST) ||
	    !store_has(s, name.s))
		return 0;
	if (d->kind == IMAGE_MANIFEST)
		return add_candidate(c, d, top, err);
	if (depth == CHOICE_MAX_DEPTH)
		return vc_fail(err, VC_E_LIMIT, 0, "indexes more than %d deep",
			       CHOICE_MAX_DEPTH);
	if (read_blob(c, s, &d->digest, d->size, &text, &len, err))
		return -1;
	if (add_index(c, s, text, len, top, depth + 1, err))
		return vc_prefix(err, "'%s'", name.s);
	return 0;
}

static int add_index(struct choice *c, struct store *s, const char *text,
		     size_t len, const struct image_desc *top, int depth,
		     struct vc_error *err)
{
	struct image_index index;
	size_t i;
	int rc = 0;

	if (image_parse_index(text, len, &index, err))
		return -1;
	for (i = 0; !rc && i < index.nr; i++)
		rc = add_desc(c, s, &index.descs[i],
			      top ? top : &index.descs[i], depth, err);
	image_index_fini(&index);
	return rc;
}

/* What a descriptor does not say, the configuration does. */
static int find_platform(struct choice *all, struct store *s,
			 struct candidate *c, struct vc_error *err)
{
	const struct blob_name name = oci_blob_name(&c->digest);
	vc_auto_free char *text = NULL, *conf = NULL;
	struct image_manifest m;
	struct image_config config;
	size_t len;
	int rc;

	if (c->platform.os && c->platform.arch)
		return 0;
	if (read_blob(all, s, &c->digest, c->size, &text, &len, err))
		return -1;
	if (image_parse_manifest(text, len, &m, err))
		return vc_prefix(err, "'%s'", name.s);
	rc = read_blob(all, s, &m.config.digest, m.config.size, &conf, &len,
		       err);
	image_manifest_fini(&m);
	if (rc)
		return -1;
	if (image_parse_config(conf, len, &config, err))
		return vc_prefix(err, "configuration");
	free(c->platform.os);
	free(c->platform.arch);
	free(c->platform.variant);
	c->platform = config.platform;
	config.platform = (struct image_platform){ 0 };
	image_config_fini(&config);
	return 0;
}

/* --- the choice ----------------------------------------------------------- */

static bool has_name(const struct candidate *c, const char *name)
{
	return (c->names[0] && !strcmp(c->names[0], name)) ||
	       (c->names[1] && !strcmp(c->names[1], name));
}

static void drop(struct choice *c, size_t i)
{
	candidate_fini(&c->v[i]);
	memmove(&c->v[i], &c->v[i + 1], (c->nr - i - 1) * sizeof(*c->v));
	c->nr--;
}

/* Of the same manifest, one is enough. */
static void drop_doubles(struct choice *c)
{
	size_t i, j;

	for (i = 0; i < c->nr; i++)
		for (j = c->nr; j-- > i + 1;)
			if (digest_id_equal(&c->v[i].digest, &c->v[j].digest))
				drop(c, j);
}

/* "a, b, c" of what there is. */
static const char *list(const struct choice *c, bool by_name, char *buf,
			size_t size)
{
	char shown[100];
	size_t i, at = 0;
	const char *name;

	buf[0] = '\0';
	for (i = 0; i < c->nr && at < size; i++) {
		name = c->v[i].names[0] ? c->v[i].names[0] : c->v[i].names[1];
		if (by_name && name)
			vc_printable(name, shown, sizeof(shown));
		else if (by_name)
			snprintf(shown, sizeof(shown), "%.16s...",
				 c->v[i].digest.hex);
		else
			snprintf(shown, sizeof(shown), "%s",
				 oci_platform_show(&c->v[i].platform).s);
		at += (size_t)snprintf(buf + at, size - at, "%s%s",
				       at ? ", " : "", shown);
	}
	return buf;
}

/* Where some have a variant and others have none, these are the ones for every
 * machine. */
static void drop_variants(struct choice *c)
{
	size_t i, nr = 0;

	for (i = 0; i < c->nr; i++)
		nr += !has_variant(&c->v[i].platform);
	for (i = c->nr; nr && i-- > 0;)
		if (has_variant(&c->v[i].platform))
			drop(c, i);
}

/* Is there something in their platforms to choose by? */
static bool differ_in_platform(const struct choice *c)
{
	size_t i;

	for (i = 1; i < c->nr; i++)
		if (strcmp(oci_platform_show(&c->v[0].platform).s,
			   oci_platform_show(&c->v[i].platform).s) != 0)
			return true;
	return false;
}

static int choose_platform(struct store *s, struct choice *c, const char *want,
			   struct vc_error *err)
{
	char text[200];
	size_t i;

	for (i = 0; i < c->nr; i++)
		if (find_platform(c, s, &c->v[i], err))
			return -1;
	list(c, false, text, sizeof(text));
	for (i = c->nr; i-- > 0;)
		if (!oci_platform_match(&c->v[i].platform, want))
			drop(c, i);
	/* "os/architecture" */
	if (strchr(want, '/') == strrchr(want, '/'))
		drop_variants(c);
	if (c->nr)
		return 0;
	return vc_fail(err, VC_E_CONFIG, 0,
		       "no image for %s; there is one for %s (--platform)",
		       want, text);
}

static int choose(struct store *s, struct choice *c,
		  const struct source_opts *opts, struct vc_error *err)
{
	const char *want = opts->platform;
	char text[200];
	size_t i;

	if (!c->nr)
		return vc_fail(err, VC_E_CORRUPT, 0, "no image in it");
	if (opts->image) {
		list(c, true, text, sizeof(text));
		for (i = c->nr; i-- > 0;)
			if (!has_name(&c->v[i], opts->image))
				drop(c, i);
		if (!c->nr)
			return vc_fail(err, VC_E_CONFIG, 0,
				       "no image of that name; there is %s "
				       "(--image)",
				       text);
	}
	drop_doubles(c);
	if (c->nr > 1 && !want)
		want = DEFAULT_PLATFORM;
	if (want && choose_platform(s, c, want, err))
		return -1;
	if (c->nr > 1)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "several images, %s: choose one (--image, "
			       "--platform)",
			       list(c, !differ_in_platform(c), text,
				    sizeof(text)));
	return 0;
}

int oci_choose(struct store *s, const struct source_opts *opts,
	       struct candidate *ret, struct vc_error *err)
{
	vc_auto_free char *text = NULL;
	struct choice c = { 0 };
	size_t len;
	int rc;

	if (store_read(s, "index.json", NULL, 0, &text, &len, err))
		return -1;
	rc = add_index(&c, s, text, len, NULL, 0, err);
	if (rc)
		vc_prefix(err, "'index.json'");
	else
		rc = choose(s, &c, opts, err);
	if (!rc) {
		*ret = c.v[0];
		c.v[0] = (struct candidate){ 0 };
	}
	choice_fini(&c);
	return rc;
}
