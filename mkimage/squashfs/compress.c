/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The compressors of libsquashfs, held to what they promise: a block that did
 * not become smaller is reported as such, and stored as it is. Its lz4 hands
 * out larger ones too, which no reader takes: a block marked as compressed must
 * be smaller than what it holds.
 */
#include <errno.h>
#include <stdlib.h>
#include "mkimage/squashfs/fs.h"

struct shrinker {
	sqfs_compressor_t base;
	sqfs_compressor_t *inner; /* owned */
};

static struct shrinker *to_shrinker(sqfs_compressor_t *base)
{
	return vc_container_of(base, struct shrinker, base);
}

static void get_configuration(const sqfs_compressor_t *base,
			      sqfs_compressor_config_t *cfg)
{
	/* the first member */
	const sqfs_compressor_t *inner = ((const struct shrinker *)base)->inner;

	inner->get_configuration(inner, cfg);
}

static int write_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	sqfs_compressor_t *inner = to_shrinker(base)->inner;

	return inner->write_options(inner, file);
}

static int read_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	sqfs_compressor_t *inner = to_shrinker(base)->inner;

	return inner->read_options(inner, file);
}

static sqfs_s32 do_block(sqfs_compressor_t *base, const sqfs_u8 *in,
			 sqfs_u32 size, sqfs_u8 *out, sqfs_u32 outsize)
{
	sqfs_compressor_t *inner = to_shrinker(base)->inner;
	sqfs_s32 n = inner->do_block(inner, in, size, out, outsize);

	return n > 0 && (sqfs_u32)n >= size ? 0 : n;
}

static void destroy(sqfs_object_t *obj)
{
	struct shrinker *s = to_shrinker((sqfs_compressor_t *)obj);

	sqfs_destroy(s->inner);
	free(s);
}

static sqfs_object_t *copy(const sqfs_object_t *obj)
{
	const struct shrinker *from = (const struct shrinker *)obj;
	struct shrinker *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = *from;
	s->inner = sqfs_copy(from->inner);
	if (s->inner)
		return &s->base.base;
	free(s);
	return NULL;
}

int sq_compressor_new(const sqfs_compressor_config_t *cfg,
		      sqfs_compressor_t **ret)
{
	struct shrinker *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return SQFS_ERROR_ALLOC;
	s->base = (sqfs_compressor_t){
		.base = { .destroy = destroy, .copy = copy },
		.get_configuration = get_configuration,
		.write_options = write_options,
		.read_options = read_options,
		.do_block = do_block,
	};
	rc = sqfs_compressor_create(cfg, &s->inner);
	if (rc) {
		free(s);
		return rc;
	}
	*ret = &s->base;
	return 0;
}
