/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every parser takes the whole text, lets jansson make values of it, and copies
 * out what is wanted. jansson limits the depth; the length of the text, which
 * the caller limits to IMAGE_MAX_JSON, limits the rest. A member given twice is
 * refused: two readers could see two different images.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/util.h>
#include "mkimage/source/image.h"

/* --- values --------------------------------------------------------------- */

static void json_cleanup(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(json_cleanup)))

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "image");
}

static json_t *load(const char *text, size_t len, json_type want,
		    struct vc_error *err)
{
	json_error_t e;
	json_t *j;

	if (len > IMAGE_MAX_JSON) {
		vc_fail(err, VC_E_LIMIT, 0, "larger than %d bytes",
			IMAGE_MAX_JSON);
		return NULL;
	}
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!j) {
		char shown[sizeof(e.text)];

		vc_fail(err, VC_E_CORRUPT, 0, "not JSON: line %d: %s", e.line,
			vc_printable(e.text, shown, sizeof(shown)));
		return NULL;
	}
	if (json_typeof(j) != want) {
		json_decref(j);
		vc_fail(err, VC_E_CORRUPT, 0, "not %s",
			want == JSON_ARRAY ? "an array" : "an object");
		return NULL;
	}
	return j;
}

/* The member `key`, NULL if there is none or it is null; -1 if it is of another
 * type than `want`. */
static int member(const json_t *obj, const char *key, json_type want,
		  json_t **ret, struct vc_error *err)
{
	json_t *j = json_object_get(obj, key);

	*ret = NULL;
	if (!j || json_is_null(j))
		return 0;
	if (json_typeof(j) != want)
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': of the wrong type",
			       key);
	*ret = j;
	return 0;
}

static int copy_text(const json_t *j, const char *what, char **ret,
		     struct vc_error *err)
{
	const char *text = json_string_value(j);

	if (!text)
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': not a string",
			       what);
	/* jansson refuses NUL within */
	if (json_string_length(j) > IMAGE_MAX_TEXT)
		return vc_fail(err, VC_E_LIMIT, 0, "'%s': longer than %d bytes",
			       what, IMAGE_MAX_TEXT);
	*ret = strdup(text);
	return *ret ? 0 : no_memory(err);
}

static int get_text(const json_t *obj, const char *key, char **ret,
		    struct vc_error *err)
{
	json_t *j;

	*ret = NULL;
	if (member(obj, key, JSON_STRING, &j, err))
		return -1;
	return j ? copy_text(j, key, ret, err) : 0;
}

static void strings_fini(struct image_strings *s)
{
	while (s->nr)
		free(s->v[--s->nr]);
	free(s->v);
	*s = (struct image_strings){ 0 };
}

static int get_strings(const json_t *obj, const char *key,
		       struct image_strings *ret, struct vc_error *err)
{
	size_t i, nr;
	json_t *j;

	if (member(obj, key, JSON_ARRAY, &j, err))
		return -1;
	nr = json_array_size(j);
	if (nr > IMAGE_MAX_STRINGS)
		return vc_fail(err, VC_E_LIMIT, 0, "'%s': more than %d", key,
			       IMAGE_MAX_STRINGS);
	if (!nr)
		return 0;
	ret->v = calloc(nr, sizeof(*ret->v));
	if (!ret->v)
		return no_memory(err);
	for (i = 0; i < nr; i++) {
		if (copy_text(json_array_get(j, i), key, &ret->v[i], err))
			return -1;
		ret->nr++;
	}
	return 0;
}

/* --- descriptors ---------------------------------------------------------- */

static enum image_kind kind_of(const char *type)
{
	static const struct {
		const char *type;
		enum image_kind kind;
	} kinds[] = {
		{ "application/vnd.oci.image.manifest.v1+json",
		  IMAGE_MANIFEST },
		{ "application/vnd.docker.distribution.manifest.v2+json",
		  IMAGE_MANIFEST },
		{ "application/vnd.oci.image.index.v1+json", IMAGE_INDEX },
		{ "application/vnd.docker.distribution.manifest.list.v2+json",
		  IMAGE_INDEX },
		{ "application/vnd.oci.image.config.v1+json", IMAGE_CONFIG },
		{ "application/vnd.docker.container.image.v1+json",
		  IMAGE_CONFIG },
	};
	/* the compression is told by the bytes */
	static const char *const layers[] = {
		"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
	};
	const char *rest;
	size_t i;

	for (i = 0; type && i < VC_ARRAY_SIZE(kinds); i++)
		if (!strcmp(type, kinds[i].type))
			return kinds[i].kind;
	for (i = 0; type && i < VC_ARRAY_SIZE(layers); i++) {
		if (strncmp(type, layers[i], strlen(layers[i])) != 0)
			continue;
		rest = type + strlen(layers[i]);
		if (!*rest || !strcmp(rest, "+gzip") ||
		    !strcmp(rest, "+zstd") || !strcmp(rest, ".gzip") ||
		    !strcmp(rest, ".zstd"))
			return IMAGE_LAYER;
	}
	return IMAGE_OTHER;
}

static void platform_fini(struct image_platform *p)
{
	free(p->os);
	free(p->arch);
	free(p->variant);
}

static void desc_fini(struct image_desc *d)
{
	free(d->media_type);
	free(d->name);
	free(d->ref);
	platform_fini(&d->platform);
}

static int parse_platform(const json_t *j, struct image_platform *ret,
			  struct vc_error *err)
{
	return get_text(j, "os", &ret->os, err) ||
			       get_text(j, "architecture", &ret->arch, err) ||
			       get_text(j, "variant", &ret->variant, err)
		       ? -1
		       : 0;
}

static int parse_annotations(const json_t *j, struct image_desc *ret,
			     struct vc_error *err)
{
	vc_auto_free char *kind = NULL;

	if (get_text(j, "io.containerd.image.name", &ret->name, err) ||
	    get_text(j, "org.opencontainers.image.ref.name", &ret->ref, err) ||
	    get_text(j, "vnd.docker.reference.type", &kind, err))
		return -1;
	ret->is_attestation = kind && !strcmp(kind, "attestation-manifest");
	return 0;
}

static int parse_digest(const json_t *obj, const char *key,
			struct digest_id *ret, struct vc_error *err)
{
	json_t *j;

	if (member(obj, key, JSON_STRING, &j, err))
		return -1;
	if (!j)
		return vc_fail(err, VC_E_CORRUPT, 0, "no '%s'", key);
	return digest_id_parse(json_string_value(j), ret, err);
}

static int parse_desc(const json_t *obj, struct image_desc *ret,
		      struct vc_error *err)
{
	json_t *size, *platform, *notes;

	if (!json_is_object(obj))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "a descriptor is not an object");
	if (get_text(obj, "mediaType", &ret->media_type, err) ||
	    parse_digest(obj, "digest", &ret->digest, err) ||
	    member(obj, "size", JSON_INTEGER, &size, err) ||
	    member(obj, "platform", JSON_OBJECT, &platform, err) ||
	    member(obj, "annotations", JSON_OBJECT, &notes, err))
		return -1;
	if (!size || json_integer_value(size) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "a descriptor without a size");
	ret->size = (uint64_t)json_integer_value(size);
	ret->kind = kind_of(ret->media_type);
	if (platform && parse_platform(platform, &ret->platform, err))
		return -1;
	return notes ? parse_annotations(notes, ret, err) : 0;
}

static int parse_descs(const json_t *obj, const char *key, size_t max,
		       struct image_desc **ret, size_t *ret_nr,
		       struct vc_error *err)
{
	size_t i, nr;
	json_t *j;

	if (member(obj, key, JSON_ARRAY, &j, err))
		return -1;
	if (!j)
		return vc_fail(err, VC_E_CORRUPT, 0, "no '%s'", key);
	nr = json_array_size(j);
	if (nr > max)
		return vc_fail(err, VC_E_LIMIT, 0, "'%s': more than %zu", key,
			       max);
	*ret = calloc(nr + 1, sizeof(**ret));
	if (!*ret)
		return no_memory(err);
	for (i = 0; i < nr; i++) {
		(*ret_nr)++;
		if (parse_desc(json_array_get(j, i), &(*ret)[i], err))
			return vc_prefix(err, "'%s', number %zu", key, i + 1);
	}
	return 0;
}

static int check_schema(const json_t *obj, struct vc_error *err)
{
	json_t *j;

	if (member(obj, "schemaVersion", JSON_INTEGER, &j, err))
		return -1;
	if (!j || json_integer_value(j) != 2)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "its schema is not of version 2");
	return 0;
}

/* --- index and manifest --------------------------------------------------- */

int image_parse_index(const char *text, size_t len, struct image_index *ret,
		      struct vc_error *err)
{
	auto_json json_t *j = load(text, len, JSON_OBJECT, err);
	struct image_index i = { 0 };

	if (!j)
		return -1;
	if (check_schema(j, err) ||
	    parse_descs(j, "manifests", IMAGE_MAX_DESCRIPTORS, &i.descs, &i.nr,
			err)) {
		image_index_fini(&i);
		return -1;
	}
	*ret = i;
	return 0;
}

static int parse_manifest(const json_t *j, struct image_manifest *m,
			  struct vc_error *err)
{
	json_t *config;
	size_t i;

	if (check_schema(j, err) ||
	    member(j, "config", JSON_OBJECT, &config, err))
		return -1;
	if (!config)
		return vc_fail(err, VC_E_CORRUPT, 0, "no 'config'");
	if (parse_desc(config, &m->config, err))
		return vc_prefix(err, "'config'");
	if (parse_descs(j, "layers", IMAGE_MAX_LAYERS, &m->layers,
			&m->nr_layers, err))
		return -1;
	for (i = 0; i < m->nr_layers; i++)
		if (m->layers[i].kind != IMAGE_LAYER) {
			char shown[100];
			const char *type = m->layers[i].media_type;

			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "layer %zu: of the type '%s', which is "
				       "no archive",
				       i + 1,
				       vc_printable(type ? type : "", shown,
						    sizeof(shown)));
		}
	return 0;
}

int image_parse_manifest(const char *text, size_t len,
			 struct image_manifest *ret, struct vc_error *err)
{
	auto_json json_t *j = load(text, len, JSON_OBJECT, err);
	struct image_manifest m = { 0 };

	if (!j)
		return -1;
	if (parse_manifest(j, &m, err)) {
		image_manifest_fini(&m);
		return -1;
	}
	*ret = m;
	return 0;
}

int image_parse_layout(const char *text, size_t len, struct vc_error *err)
{
	auto_json json_t *j = load(text, len, JSON_OBJECT, err);
	json_t *version;

	if (!j || member(j, "imageLayoutVersion", JSON_STRING, &version, err))
		return -1;
	if (!version || strncmp(json_string_value(version), "1.", 2) != 0)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "the layout is not of version 1");
	return 0;
}

/* --- configuration -------------------------------------------------------- */

static int parse_diff_ids(const json_t *rootfs, struct image_config *c,
			  struct vc_error *err)
{
	json_t *type, *ids;
	size_t i, nr;

	if (member(rootfs, "type", JSON_STRING, &type, err) ||
	    member(rootfs, "diff_ids", JSON_ARRAY, &ids, err))
		return -1;
	if (type && strcmp(json_string_value(type), "layers") != 0)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "'rootfs' is not of layers");
	nr = json_array_size(ids);
	if (nr > IMAGE_MAX_LAYERS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d layers",
			       IMAGE_MAX_LAYERS);
	c->diff_ids = calloc(nr + 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return no_memory(err);
	for (i = 0; i < nr; i++) {
		const char *text = json_string_value(json_array_get(ids, i));

		if (!text)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "'diff_ids': not a string");
		if (digest_id_parse(text, &c->diff_ids[i], err))
			return vc_prefix(err, "'diff_ids'");
	}
	c->nr_diff_ids = nr;
	return 0;
}

static int parse_run(const json_t *j, struct image_config *c,
		     struct vc_error *err)
{
	return get_text(j, "User", &c->user, err) ||
			       get_text(j, "WorkingDir", &c->cwd, err) ||
			       get_text(j, "StopSignal", &c->stop_signal,
					err) ||
			       get_strings(j, "Entrypoint", &c->entrypoint,
					   err) ||
			       get_strings(j, "Cmd", &c->cmd, err) ||
			       get_strings(j, "Env", &c->env, err)
		       ? -1
		       : 0;
}

static int parse_config(const json_t *j, struct image_config *c,
			struct vc_error *err)
{
	json_t *run, *rootfs;

	if (parse_platform(j, &c->platform, err) ||
	    member(j, "config", JSON_OBJECT, &run, err) ||
	    member(j, "rootfs", JSON_OBJECT, &rootfs, err))
		return -1;
	if (!rootfs)
		return vc_fail(err, VC_E_CORRUPT, 0, "no 'rootfs'");
	if (parse_diff_ids(rootfs, c, err))
		return -1;
	return run ? parse_run(run, c, err) : 0;
}

int image_parse_config(const char *text, size_t len, struct image_config *ret,
		       struct vc_error *err)
{
	auto_json json_t *j = load(text, len, JSON_OBJECT, err);
	struct image_config c = { 0 };

	if (!j)
		return -1;
	if (parse_config(j, &c, err)) {
		image_config_fini(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

/* --- docker save ---------------------------------------------------------- */

static int check_name(const char *path, struct vc_error *err)
{
	const char *p;
	char shown[100];
	size_t len;

	for (p = path; *p; p += len + (p[len] == '/')) {
		len = strcspn(p, "/");
		if (!len || (len <= 2 && p[0] == '.' && p[len - 1] == '.'))
			break;
	}
	if (*p || !*path)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "'%s': not a name in the archive",
			       vc_printable(path, shown, sizeof(shown)));
	return 0;
}

static int parse_saved(const json_t *j, struct image_saved *s,
		       struct vc_error *err)
{
	size_t i;

	if (!json_is_object(j))
		return vc_fail(err, VC_E_CORRUPT, 0, "not an object");
	if (get_text(j, "Config", &s->config, err) ||
	    get_strings(j, "RepoTags", &s->tags, err) ||
	    get_strings(j, "Layers", &s->layers, err))
		return -1;
	if (!s->config)
		return vc_fail(err, VC_E_CORRUPT, 0, "no 'Config'");
	if (s->layers.nr > IMAGE_MAX_LAYERS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d layers",
			       IMAGE_MAX_LAYERS);
	if (check_name(s->config, err))
		return -1;
	for (i = 0; i < s->layers.nr; i++)
		if (check_name(s->layers.v[i], err))
			return -1;
	return 0;
}

int image_parse_saves(const char *text, size_t len, struct image_saves *ret,
		      struct vc_error *err)
{
	auto_json json_t *j = load(text, len, JSON_ARRAY, err);
	struct image_saves s = { 0 };
	size_t i, nr = json_array_size(j);

	if (!j)
		return -1;
	if (nr > IMAGE_MAX_DESCRIPTORS)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d images",
			       IMAGE_MAX_DESCRIPTORS);
	s.v = calloc(nr + 1, sizeof(*s.v));
	if (!s.v)
		return no_memory(err);
	for (i = 0; i < nr; i++) {
		s.nr++;
		if (parse_saved(json_array_get(j, i), &s.v[i], err)) {
			image_saves_fini(&s);
			return vc_prefix(err, "image %zu", i + 1);
		}
	}
	*ret = s;
	return 0;
}

/* --- the end of them ------------------------------------------------------ */

void image_index_fini(struct image_index *i)
{
	while (i->nr)
		desc_fini(&i->descs[--i->nr]);
	free(i->descs);
	*i = (struct image_index){ 0 };
}

void image_manifest_fini(struct image_manifest *m)
{
	desc_fini(&m->config);
	while (m->nr_layers)
		desc_fini(&m->layers[--m->nr_layers]);
	free(m->layers);
	*m = (struct image_manifest){ 0 };
}

void image_config_fini(struct image_config *c)
{
	platform_fini(&c->platform);
	free(c->diff_ids);
	strings_fini(&c->entrypoint);
	strings_fini(&c->cmd);
	strings_fini(&c->env);
	free(c->user);
	free(c->cwd);
	free(c->stop_signal);
	*c = (struct image_config){ 0 };
}

void image_saves_fini(struct image_saves *s)
{
	struct image_saved *i;

	while (s->nr) {
		i = &s->v[--s->nr];
		free(i->config);
		strings_fini(&i->tags);
		strings_fini(&i->layers);
	}
	free(s->v);
	*s = (struct image_saves){ 0 };
}
