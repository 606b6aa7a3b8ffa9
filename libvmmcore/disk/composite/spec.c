/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of components: a magic, then one protobuf message to the end of the
 * file. Components have no length of their own: each goes on to where the next
 * begins, and the last one to the end of the disk. That is why their order and
 * the total are checked before anything is made of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/composite/composite.h"
#include "disk/composite/spec.pb-c.h"

/* --- reading --------------------------------------------------------------*/

static int by_offset(const void *a, const void *b)
{
	const struct vc_composite_component *x = a, *y = b;

	return x->offset_bytes < y->offset_bytes   ? -1
	       : x->offset_bytes > y->offset_bytes ? 1
						   : 0;
}

static int take_component(const Cp__Part *from,
			  struct vc_composite_component *to,
			  struct vc_error *err)
{
	size_t len = strlen(from->path);

	if (!len)
		return vc_fail(err, VC_E_CORRUPT, 0, "path: empty");
	if (len >= VC_COMPOSITE_MAX_PATH)
		return vc_fail(err, VC_E_LIMIT, 0, "path: %zu bytes", len);
	if (from->access != CP__ACCESS__READ_ONLY &&
	    from->access != CP__ACCESS__READ_WRITE)
		return vc_fail(err, VC_E_CORRUPT, 0, "capability %d",
			       (int)from->access);
	to->path = strdup(from->path);
	if (!to->path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read");
	to->offset_bytes = from->offset;
	to->file_offset_bytes = from->file_offset;
	to->is_writable = from->access == CP__ACCESS__READ_WRITE;
	return 0;
}

/* Sort them and give each its length. */
static int lay_out(struct vc_composite *c, struct vc_error *err)
{
	unsigned i;

	qsort(c->components, c->nr_components, sizeof(*c->components),
	      by_offset);
	if (c->components[0].offset_bytes)
		return vc_fail(
			err, VC_E_CORRUPT, 0, "nothing in front of offset %llu",
			(unsigned long long)c->components[0].offset_bytes);
	for (i = 0; i < c->nr_components; i++) {
		struct vc_composite_component *p = &c->components[i];
		uint64_t end = i + 1 < c->nr_components ? p[1].offset_bytes
							: c->length_bytes;
		uint64_t file_end;

		if (i + 1 < c->nr_components && end == p->offset_bytes)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "two components at offset %llu",
				       (unsigned long long)end);
		if (end <= p->offset_bytes)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "length %llu: a component begins at "
				       "%llu",
				       (unsigned long long)end,
				       (unsigned long long)p->offset_bytes);
		p->length_bytes = end - p->offset_bytes;
		if (vc_ckd_add(&file_end, p->file_offset_bytes,
			       p->length_bytes) ||
		    file_end > VC_DISK_MAX_BYTES)
			return vc_fail(
				err, VC_E_LIMIT, 0,
				"component at %llu: file offset %llu",
				(unsigned long long)p->offset_bytes,
				(unsigned long long)p->file_offset_bytes);
	}
	return 0;
}

static int take_spec(const Cp__Spec *spec, struct vc_composite *c,
		     struct vc_error *err)
{
	unsigned i;

	if (spec->version > CP_VERSION)
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "version %llu",
			       (unsigned long long)spec->version);
	if (!spec->n_parts)
		return vc_fail(err, VC_E_CORRUPT, 0, "no components");
	if (spec->n_parts > VC_COMPOSITE_MAX_COMPONENTS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "%zu components, more than %d", spec->n_parts,
			       VC_COMPOSITE_MAX_COMPONENTS);
	if (spec->length > VC_DISK_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "length %llu",
			       (unsigned long long)spec->length);
	c->version = (unsigned)spec->version;
	c->length_bytes = spec->length;
	c->components = calloc(spec->n_parts, sizeof(*c->components));
	if (!c->components)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read");
	c->nr_components = (unsigned)spec->n_parts;
	for (i = 0; i < c->nr_components; i++)
		if (take_component(spec->parts[i], &c->components[i], err) < 0)
			return vc_prefix(err, "component %u", i);
	return lay_out(c, err);
}

int cp_parse(const uint8_t *text, size_t len, struct vc_composite **ret,
	     struct vc_error *err)
{
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	Cp__Spec *spec;
	int result;

	if (len < CP_MAGIC_BYTES || memcmp(text, CP_MAGIC, CP_MAGIC_BYTES) != 0)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "composite disk: no such header");
	if (len > VC_COMPOSITE_MAX_FILE)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "composite disk: a list of more than %d bytes",
			       VC_COMPOSITE_MAX_FILE);
	spec = cp__spec__unpack(NULL, len - CP_MAGIC_BYTES,
				text + CP_MAGIC_BYTES);
	if (!spec)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "composite disk: list of components: not "
			       "understood");
	c = calloc(1, sizeof(*c));
	result = c ? take_spec(spec, c, err)
		   : vc_fail(err, VC_E_SYS, ENOMEM, "read");
	cp__spec__free_unpacked(spec, NULL);
	if (result < 0)
		return vc_prefix(err, "composite disk");
	*ret = vc_steal_ptr(&c);
	return 0;
}

int vc_composite_list(int fd, struct vc_composite **ret, struct vc_error *err)
{
	vc_auto_free uint8_t *text = NULL;
	uint64_t size;

	if (disk_file_size(fd, &size, err) < 0)
		return -1;
	if (size > VC_COMPOSITE_MAX_FILE)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "composite disk: a list of more than %d bytes",
			       VC_COMPOSITE_MAX_FILE);
	text = malloc((size_t)size + 1);
	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	if (vc_pread_full(fd, text, (size_t)size, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "composite disk: read");
	return cp_parse(text, (size_t)size, ret, err);
}

struct vc_composite *vc_composite_free(struct vc_composite *c)
{
	unsigned i;

	if (!c)
		return NULL;
	for (i = 0; i < c->nr_components; i++)
		free(c->components[i].path);
	free(c->components);
	free(c);
	return NULL;
}

/* --- writing --------------------------------------------------------------*/

int cp_pack(const struct vc_composite *c, uint8_t **ret, size_t *ret_len,
	    struct vc_error *err)
{
	vc_auto_free Cp__Part *parts = calloc(c->nr_components, sizeof(*parts));
	vc_auto_free Cp__Part **list = calloc(c->nr_components, sizeof(*list));
	Cp__Spec spec = CP__SPEC__INIT;
	uint8_t *text;
	size_t len;
	unsigned i;

	if (!parts || !list)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	for (i = 0; i < c->nr_components; i++) {
		const struct vc_composite_component *from = &c->components[i];

		cp__part__init(&parts[i]);
		parts[i].path = from->path;
		parts[i].offset = from->offset_bytes;
		parts[i].file_offset = from->file_offset_bytes;
		parts[i].access = from->is_writable ? CP__ACCESS__READ_WRITE
						    : CP__ACCESS__READ_ONLY;
		list[i] = &parts[i];
	}
	spec.version = c->version;
	spec.length = c->length_bytes;
	spec.n_parts = c->nr_components;
	spec.parts = list;
	len = CP_MAGIC_BYTES + cp__spec__get_packed_size(&spec);
	if (len > VC_COMPOSITE_MAX_FILE)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "composite disk: a list of more than %d bytes",
			       VC_COMPOSITE_MAX_FILE);
	text = malloc(len);
	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	memcpy(text, CP_MAGIC, CP_MAGIC_BYTES);
	cp__spec__pack(&spec, text + CP_MAGIC_BYTES);
	*ret = text;
	*ret_len = len;
	return 0;
}
