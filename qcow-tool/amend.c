/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include "qcow-tool/image.h"
#include "qcow-tool/manage.h"

struct amend_keys {
	int compat, lazy_refcounts, data_file_raw;
	uint64_t refcount_bits, size;
	char *backing_file, *backing_format, *data_file; /* owned */
};

static const char *const compat_names[] = { "0.10", "v2", "1.1", "v3", NULL };
static const char *const on_off[] = { "off", "on", NULL };

#define MEMBER(m) offsetof(struct amend_keys, m)
static const struct vc_kv_key keys[] = {
	{ "compat", VC_KV_ENUM, MEMBER(compat), 0, compat_names, NULL },
	{ "refcount-bits", VC_KV_U64, MEMBER(refcount_bits), 64, NULL, NULL },
	{ "size", VC_KV_SIZE, MEMBER(size), 0, NULL, NULL },
	{ "backing-file", VC_KV_STRING, MEMBER(backing_file), 0, NULL, NULL },
	{ "backing-fmt", VC_KV_STRING, MEMBER(backing_format), 0, NULL, NULL },
	{ "lazy-refcounts", VC_KV_ENUM, MEMBER(lazy_refcounts), 0, on_off,
	  NULL },
	{ "data-file", VC_KV_STRING, MEMBER(data_file), 0, NULL, NULL },
	{ "data-file-raw", VC_KV_ENUM, MEMBER(data_file_raw), 0, on_off, NULL },
};
enum { KEY_SIZE = 2, KEY_BACKING_FILE = 3 };

struct amend_opts {
	enum vc_disk_format format;
	struct cache_mode cache;
	struct amend_keys k;
	uint64_t seen;
	bool quiet, force;
	struct progress progress;
};

static const struct vc_option amend_options[] = {
	{ "options", 'o', "KEY=VALUE,...", "what is to be changed, see below" },
	{ "format", 'f', "FORMAT", "qcow2; found out if not given" },
	{ "cache", 't', "MODE", "accepted as qemu-img does" },
	{ "force", 0, NULL, "accepted: nothing here needs it" },
	{ "progress", 'p', NULL, "show how far it is" },
	{ "quiet", 'q', NULL, "print nothing but errors" },
};

static void keys_fini(struct amend_keys *k)
{
	free(k->backing_file);
	free(k->backing_format);
	free(k->data_file);
}

static void take(char **to, char *from)
{
	if (!from)
		return;
	free(*to);
	*to = from;
}

/* A later -o adds to an earlier one. */
static int parse_keys(struct amend_opts *o, const char *text,
		      struct vc_error *err)
{
	struct amend_keys part = o->k;
	uint64_t seen;

	/* the one value that may be empty: none any more */
	if (!strcmp(text, "backing_file=")) {
		take(&o->k.backing_file, strdup(""));
		o->seen |= UINT64_C(1) << KEY_BACKING_FILE;
		return 0;
	}
	part.backing_file = part.backing_format = part.data_file = NULL;
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), &part, &seen, err) < 0)
		return -1;
	o->seen |= seen;
	take(&o->k.backing_file, part.backing_file);
	take(&o->k.backing_format, part.backing_format);
	take(&o->k.data_file, part.data_file);
	o->k.compat = part.compat;
	o->k.lazy_refcounts = part.lazy_refcounts;
	o->k.data_file_raw = part.data_file_raw;
	o->k.refcount_bits = part.refcount_bits;
	o->k.size = part.size;
	return 0;
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct amend_opts *o = ctx;

	switch (opt->letter) {
	case 'o':
		return parse_keys(o, value, err);
	case 'f':
		return parse_format(value, &o->format, err);
	case 't':
		return parse_cache(value, &o->cache, err);
	case 'p':
		o->progress.is_shown = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	default:
		o->force = true;
		return 0;
	}
}

static const struct vc_command command = {
	.name = "qcow-tool amend",
	.synopsis = "-o KEY=VALUE,... [OPTION]... IMAGE",
	.summary = "Change what kind of image it is, its contents staying the "
		   "same.",
	.options = amend_options,
	.nr_options = VC_ARRAY_SIZE(amend_options),
	.on_option = on_option,
	.epilogue = "Options of a qcow2 image (-o KEY=VALUE,...):\n"
		    "  compat=LEVEL          0.10 (or v2), 1.1 (or v3)\n"
		    "  refcount_bits=N       1, 2, 4, 8, 16, 32 or 64\n"
		    "  lazy_refcounts=on|off\n"
		    "  backing_file=NAME, backing_fmt=FORMAT: as rebase -u\n"
		    "  data_file=NAME, data_file_raw=off\n"
		    "  size=SIZE             larger than it is",
};

static void fill(const struct amend_opts *o, struct vc_qcow2_amend_opts *ao)
{
	vc_qcow2_amend_opts_init(ao);
	if (o->k.compat >= 0)
		ao->version = o->k.compat < 2 ? 2 : 3;
	ao->refcount_bits = (unsigned)o->k.refcount_bits;
	ao->lazy_refcounts = o->k.lazy_refcounts;
	ao->data_file_raw = o->k.data_file_raw;
	ao->backing_file = o->k.backing_file;
	ao->backing_format = o->k.backing_format;
	ao->data_file = o->k.data_file;
}

static int run(const char *path, struct amend_opts *o, struct vc_error *err)
{
	struct vc_disk_resize_opts ro = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = o->k.size,
					  .no_lock = true };
	struct vc_qcow2_amend_opts ao;
	vc_auto_fd int fd = -1;

	if (!o->seen)
		return vc_fail(err, VC_E_ARG, 0, "must specify options (-o)");
	if (open_image(path, o->format, true, false, &fd, err) < 0)
		return -1;
	fill(o, &ao);
	ao.progress = progress_show;
	ao.opaque = &o->progress;
	if (vc_qcow2_amend(fd, &ao, err) < 0)
		return -1;
	/* under the lock of `fd` */
	if ((o->seen >> KEY_SIZE & 1) &&
	    vc_disk_resize(path, &ro, NULL, err) < 0)
		return -1;
	progress_end(&o->progress);
	return 0;
}

int cmd_amend(int argc, char **argv)
{
	struct amend_opts o = { .format = VC_DISK_FORMAT_PROBE };
	int status, first, nr, ret;
	struct vc_error err;

	o.k.compat = o.k.lazy_refcounts = o.k.data_file_raw = -1;
	status = parse_command(&command, argc, argv, &o, 1, 1, &first, &nr);
	if (status < 0) {
		ret = run(argv[first], &o, &err);
		status = ret < 0 ? report_image(argv[first], &err) : 0;
	}
	keys_fini(&o.k);
	return status ? 1 : 0;
}
