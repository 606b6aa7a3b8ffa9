/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include <vmmcore/util.h>
#include "qcow-tool/common.h"
#include "qcow-tool/image-options.h"

enum { COMPAT_CROSVM = 4 };
static const char *const compat_names[] = { "0.10", "v2",     "1.1",
					    "v3",   "crosvm", NULL };
static const char *const on_off[] = { "off", "on", NULL };

#define MEMBER(m) offsetof(struct image_options, m)
static const struct vc_kv_key keys[] = {
	{ "compat", VC_KV_ENUM, MEMBER(compat), 0, compat_names, NULL },
	{ "cluster-size", VC_KV_SIZE, MEMBER(cluster_bytes), 0, NULL, NULL },
	{ "refcount-bits", VC_KV_U64, MEMBER(refcount_bits), 64, NULL, NULL },
	{ "size", VC_KV_SIZE, MEMBER(size_bytes), 0, NULL, NULL },
	{ "backing-file", VC_KV_STRING, MEMBER(backing_file), 0, NULL, NULL },
	{ "backing-fmt", VC_KV_STRING, MEMBER(backing_format), 0, NULL, NULL },
	{ "preallocation", VC_KV_ENUM, MEMBER(preallocation), 0,
	  vc_disk_preallocation_names, NULL },
	{ "lazy-refcounts", VC_KV_ENUM, MEMBER(lazy_refcounts), 0, on_off,
	  NULL },
	{ "extended-l2", VC_KV_ENUM, MEMBER(extended_l2), 0, on_off, NULL },
	{ "compression-type", VC_KV_ENUM, MEMBER(compression), 0,
	  vc_disk_compression_names, NULL },
	{ "data-file", VC_KV_STRING, MEMBER(data_file), 0, NULL, NULL },
	{ "data-file-raw", VC_KV_ENUM, MEMBER(data_file_raw), 0, on_off, NULL },
	{ "checksums", VC_KV_ENUM, MEMBER(checksums), 0, on_off, NULL },
	{ "compression-level", VC_KV_U64, MEMBER(compression_level), 22, NULL,
	  NULL },
	{ "block-size", VC_KV_SIZE, MEMBER(block_bytes), 0, NULL, NULL },
};
enum { KEY_SIZE = 3 };

const char image_options_help[] =
	"Options of a new image (-o KEY=VALUE,...):\n"
	"  size=SIZE\n"
	"  preallocation=MODE    off, falloc, full; qcow2: metadata\n"
	"and of qcow2:\n"
	"  backing_file=NAME, backing_fmt=FORMAT\n"
	"  cluster_size=SIZE     power of two from 512 to 2M; 64k\n"
	"  refcount_bits=N       1, 2, 4, 8, 16, 32 or 64; 16\n"
	"  compat=LEVEL          0.10 (or v2), 1.1 (or v3), crosvm; 1.1\n"
	"  compression_type=TYPE zlib or zstd; zlib\n"
	"  extended_l2=on        32 subclusters each; clusters of 16k on\n"
	"  lazy_refcounts=on     refcounts are written when it is closed\n"
	"  data_file=NAME        keep the data in this file\n"
	"  data_file_raw=on      and that is a raw image by itself\n"
	"of zstd: compression_level=N (3), checksums=off\n"
	"of android-sparse: block_size=SIZE (4k), checksums=on";

void image_options_init(struct image_options *o)
{
	memset(o, 0, sizeof(*o));
	o->compat = o->compression = o->checksums = -1;
}

void image_options_fini(struct image_options *o)
{
	free(o->backing_file);
	free(o->backing_format);
	free(o->data_file);
	o->backing_file = o->backing_format = o->data_file = NULL;
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

	part.backing_file = part.backing_format = part.data_file = NULL;
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), &part, &seen, err) < 0)
		return -1;
	if (seen >> KEY_SIZE & 1)
		part.has_size = true;
	take_string(&o->backing_file, vc_steal_ptr(&part.backing_file));
	take_string(&o->backing_format, vc_steal_ptr(&part.backing_format));
	take_string(&o->data_file, vc_steal_ptr(&part.data_file));
	part.data_file = o->data_file;
	part.backing_file = o->backing_file;
	part.backing_format = o->backing_format;
	*o = part;
	return 0;
}

int image_options_get(const struct image_options *o, enum vc_disk_format format,
		      struct vc_disk_create_opts *ret, struct vc_error *err)
{
	if (o->cluster_bytes > VC_QCOW2_MAX_CLUSTER)
		return vc_fail(err, VC_E_ARG, 0,
			       "cluster_size: more than 2 MiB");
	if (format != VC_DISK_FORMAT_QCOW2 &&
	    (o->compat >= 0 || o->cluster_bytes || o->refcount_bits ||
	     o->lazy_refcounts || o->extended_l2 || o->data_file ||
	     o->compression >= 0))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "only a qcow2 image has such options");
	if ((o->block_bytes && format != VC_DISK_FORMAT_ANDROID_SPARSE) ||
	    (o->compression_level && format != VC_DISK_FORMAT_ZSTD) ||
	    (o->checksums >= 0 && !vc_disk_format_is_sequential(format)))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "%s images have no such option",
			       format_name(format));
	if (o->block_bytes > UINT32_MAX)
		return vc_fail(err, VC_E_ARG, 0, "block_size: too large");
	memset(ret, 0, sizeof(*ret));
	ret->format = format;
	ret->cluster_bytes =
		(uint32_t)(o->block_bytes ? o->block_bytes : o->cluster_bytes);
	ret->compression_level = (unsigned)o->compression_level;
	ret->checksums = o->checksums < 0 ? VC_DISK_CHECKSUMS_DEFAULT
			 : o->checksums	  ? VC_DISK_CHECKSUMS_ON
					  : VC_DISK_CHECKSUMS_OFF;
	ret->refcount_bits = (unsigned)o->refcount_bits;
	ret->version = o->compat < 0 ? 0 : o->compat < 2 ? 2 : 3;
	ret->backing_file = o->backing_file;
	ret->backing_format = o->backing_format;
	ret->for_crosvm = o->compat == COMPAT_CROSVM;
	ret->preallocation = (enum vc_disk_preallocation)o->preallocation;
	ret->compression = (enum vc_disk_compression)(o->compression + 1);
	ret->extended_l2 = o->extended_l2;
	ret->lazy_refcounts = o->lazy_refcounts;
	ret->data_file = o->data_file;
	ret->data_file_raw = o->data_file_raw;
	return 0;
}

int image_options_set_compat(struct image_options *o, const char *value,
			     struct vc_error *err)
{
	char shown[40];
	int i;

	for (i = 0; compat_names[i]; i++)
		if (!strcmp(value, compat_names[i])) {
			o->compat = i;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "'%s': no such level",
		       vc_printable(value, shown, sizeof(shown)));
}

int image_options_open_data(const struct image_options *o, const char *path,
			    bool force, struct vc_outfile **ret,
			    struct vc_disk_create_opts *co,
			    struct vc_error *err)
{
	vc_auto_free char *full = NULL;

	if (!o->data_file)
		return 0;
	full = beside(path, o->data_file);
	if (!full)
		return vc_fail(err, VC_E_SYS, ENOMEM, "data file");
	if (vc_outfile_open(full, force, ret, err) < 0)
		return vc_prefix(err, "data file");
	co->data_fd = vc_outfile_get_fd(*ret);
	return 0;
}
