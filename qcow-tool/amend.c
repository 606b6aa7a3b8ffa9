/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/image-options.h"
#include "qcow-tool/manage.h"

struct amend_keys {
	int compat, lazy_refcounts, data_file_raw;
	uint64_t refcount_bits, size;
	char *backing_file, *backing_format, *data_file; /* owned */
};

static const char *const compat_names[] = { "0.10", "v2", "1.1", "v3", NULL };

#define MEMBER(m) offsetof(struct amend_keys, m)
static const struct vc_kv_key keys[] = {
	{ "compat", VC_KV_ENUM, MEMBER(compat), 0, compat_names, NULL },
	{ "refcount-bits", VC_KV_U64, MEMBER(refcount_bits), 64, NULL, NULL },
	{ "size", VC_KV_SIZE, MEMBER(size), 0, NULL, NULL },
	{ "backing-file", VC_KV_STRING, MEMBER(backing_file), 0, NULL, NULL },
	{ "backing-fmt", VC_KV_STRING, MEMBER(backing_format), 0, NULL, NULL },
	{ "lazy-refcounts", VC_KV_ENUM, MEMBER(lazy_refcounts), 0, on_off_names,
	  NULL },
	{ "data-file", VC_KV_STRING, MEMBER(data_file), 0, NULL, NULL },
	{ "data-file-raw", VC_KV_ENUM, MEMBER(data_file_raw), 0, on_off_names,
	  NULL },
};
enum { KEY_SIZE = 2 };

struct amend_opts {
	struct common_opts c;
	struct amend_keys k;
	uint64_t seen;
};

static const struct vc_option amend_options[] = {
	{ "options", 'o', "KEY=VALUE,...", "what is to be changed, see below" },
	OPT_FORMAT("qcow2; found out if not given"),
	OPT_CACHE("accepted as qemu-img does"),
	{ "force", 0, NULL, "accepted: nothing here needs it" },
	OPT_ALLOW_BACKING("IMAGE"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
	OPT_PROGRESS,
	OPT_QUIET,
};

static void keys_fini(struct amend_keys *k)
{
	free(k->backing_file);
	free(k->backing_format);
	free(k->data_file);
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct amend_opts *o = ctx;
	uint64_t seen;

	if (opt->letter != 'o')
		return 0; /* --force */
	if (parse_keys(value, keys, VC_ARRAY_SIZE(keys), &o->k, &seen,
		       &o->c.show_options, err) < 0)
		return -1;
	o->seen |= seen;
	return 0;
}

#define AMEND_TEXT                                                            \
	"  backing_file=<str>     - Name of the backing file, as rebase -u\n" \
	"  backing_fmt=<str>      - Its format\n"                             \
	"  compat=<str>           - v2 [0.10] or v3 [1.1]\n"                  \
	"  data_file=<str>        - Name of the external data file\n"         \
	"  data_file_raw=<bool (on/off)> - Only off\n"                        \
	"  lazy_refcounts=<bool (on/off)> - Write refcounts when closed\n"    \
	"  refcount_bits=<num>    - 1, 2, 4, 8, 16, 32 or 64\n"               \
	"  size=<size>            - Larger than it is"

static const struct vc_command command = {
	.name = "qcow-tool amend",
	.synopsis = "-o KEY=VALUE,... [OPTION]... IMAGE",
	.summary = "Change what kind of image it is, its contents staying the "
		   "same.",
	.options = amend_options,
	.nr_options = VC_ARRAY_SIZE(amend_options),
	.on_option = on_option,
	.epilogue = "Options of a qcow2 image (-o KEY=VALUE,...):\n" AMEND_TEXT,
};

/* -1: not given */
static int on_off(int name)
{
	return name < 0 ? -1 : name & 1;
}

static void fill(const struct amend_opts *o, struct vc_qcow2_amend_opts *ao)
{
	vc_qcow2_amend_opts_init(ao);
	if (o->k.compat >= 0)
		ao->version = o->k.compat < 2 ? 2 : 3;
	ao->refcount_bits = (unsigned)o->k.refcount_bits;
	ao->lazy_refcounts = on_off(o->k.lazy_refcounts);
	ao->data_file_raw = on_off(o->k.data_file_raw);
	ao->backing_file = o->k.backing_file;
	ao->backing_format = o->k.backing_format;
	ao->data_file = o->k.data_file;
}

static int run(const char *path, struct amend_opts *o, struct vc_error *err)
{
	struct vc_disk_resize_opts ro = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = o->k.size,
					  .no_lock = true,
					  .allow_backing = o->c.allow_backing };
	struct vc_qcow2_amend_opts ao;
	vc_auto_fd int fd = -1;

	if (!o->seen)
		return vc_fail(err, VC_E_ARG, 0, "must specify options (-o)");
	if (open_image(path, o->c.format, true, false, &fd, err) < 0)
		return -1;
	fill(o, &ao);
	ao.progress = progress_show;
	ao.opaque = &o->c.progress;
	if (vc_qcow2_amend(fd, &ao, err) < 0)
		return -1;
	/* under the lock of `fd` */
	if ((o->seen >> KEY_SIZE & 1) &&
	    vc_disk_resize(path, &ro, NULL, err) < 0)
		return -1;
	progress_end(&o->c.progress);
	return 0;
}

int cmd_amend(int argc, char **argv)
{
	struct amend_opts o = { .c.format = VC_DISK_FORMAT_PROBE };
	int status, first, nr, ret;
	struct vc_error err;
	const char *path;

	o.k.compat = o.k.lazy_refcounts = o.k.data_file_raw = -1;
	status = parse_command(&command, argc, argv, &o.c, &o, 1, 1, &first,
			       &nr);
	if (status < 0 && o.c.show_options) {
		puts("Amend options for 'qcow2':\n" AMEND_TEXT);
		status = 0;
	} else if (status < 0) {
		path = argv[first];
		ret = take_image(&o.c, argv[first], true, &path, &err);
		if (ret == 0)
			ret = run(path, &o, &err);
		status = ret < 0 ? report_image(path, &err) : 0;
	}
	keys_fini(&o.k);
	return status ? 1 : 0;
}
