/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include <vmmcore/util.h>
#include "qcow-tool/image-options.h"

static const char *const compat_names[] = { "0.10", "v2", "1.1", "v3", NULL };
static const char *const on_off[] = { "off", "on", NULL };
static const char *const preallocation_names[] = { "off", NULL };
static const char *const compression_names[] = { "zlib", NULL };

#define MEMBER(m) offsetof(struct image_options, m)
static const struct vc_kv_key keys[] = {
	{ "compat", VC_KV_ENUM, MEMBER(compat), 0, compat_names, NULL },
	{ "cluster-size", VC_KV_SIZE, MEMBER(cluster_bytes), 0, NULL, NULL },
	{ "refcount-bits", VC_KV_U64, MEMBER(refcount_bits), 64, NULL, NULL },
	{ "size", VC_KV_SIZE, MEMBER(size_bytes), 0, NULL, NULL },
	{ "backing-file", VC_KV_STRING, MEMBER(backing_file), 0, NULL, NULL },
	{ "backing-fmt", VC_KV_STRING, MEMBER(backing_format), 0, NULL, NULL },
	{ "preallocation", VC_KV_ENUM, MEMBER(preallocation), 0,
	  preallocation_names, NULL },
	{ "lazy-refcounts", VC_KV_ENUM, MEMBER(lazy_refcounts), 0, on_off,
	  NULL },
	{ "extended-l2", VC_KV_ENUM, MEMBER(extended_l2), 0, on_off, NULL },
	{ "compression-type", VC_KV_ENUM, MEMBER(compression), 0,
	  compression_names, NULL },
};
enum { KEY_SIZE = 3 };

const char image_options_help[] =
	"Options of a new qcow2 image (-o KEY=VALUE,...):\n"
	"  cluster_size=SIZE     power of two from 512 to 2M; 64k\n"
	"  refcount_bits=N       1, 2, 4, 8, 16, 32 or 64; 16\n"
	"  compat=LEVEL          0.10 (or v2) or 1.1 (or v3); 1.1\n"
	"  backing_file=NAME, backing_fmt=FORMAT, size=SIZE";

void image_options_init(struct image_options *o)
{
	memset(o, 0, sizeof(*o));
	o->compat = -1;
}

void image_options_fini(struct image_options *o)
{
	free(o->backing_file);
	free(o->backing_format);
	o->backing_file = o->backing_format = NULL;
}

static void take_string(char **to, char *from)
{
	if (!from)
		return;
	free(*to);
	*to = from;
}

int image_options_parse(struct image_options *o, const char *text,
			struct vc_error *err)
{
	struct image_options part = *o;
	uint64_t seen;

	part.backing_file = part.backing_format = NULL;
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), &part, &seen, err) < 0)
		return -1;
	if (seen >> KEY_SIZE & 1)
		part.has_size = true;
	take_string(&o->backing_file, vc_steal_ptr(&part.backing_file));
	take_string(&o->backing_format, vc_steal_ptr(&part.backing_format));
	part.backing_file = o->backing_file;
	part.backing_format = o->backing_format;
	*o = part;
	return 0;
}

int image_options_get(const struct image_options *o, enum vc_disk_format format,
		      struct vc_disk_create_opts *ret, struct vc_error *err)
{
	if (o->lazy_refcounts || o->extended_l2)
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "option %s",
			       o->extended_l2 ? "extended_l2"
					      : "lazy_refcounts");
	if (o->cluster_bytes > VC_QCOW2_MAX_CLUSTER)
		return vc_fail(err, VC_E_ARG, 0,
			       "cluster_size: more than 2 MiB");
	if (format == VC_DISK_FORMAT_RAW && o->compat >= 0)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a raw image has no option compat");
	memset(ret, 0, sizeof(*ret));
	ret->format = format;
	ret->cluster_bytes = (uint32_t)o->cluster_bytes;
	ret->refcount_bits = (unsigned)o->refcount_bits;
	ret->version = o->compat < 0 ? 0 : o->compat < 2 ? 2 : 3;
	ret->backing_file = o->backing_file;
	ret->backing_format = o->backing_format;
	return 0;
}
