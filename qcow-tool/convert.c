/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "qcow-tool/common.h"
#include "qcow-tool/convert.h"

#define DEFAULT_GRANULE 4096
#define MAX_GRANULE (UINT64_C(1) << 30)
#define MAX_PARALLEL 16 /* of -m, as qemu-img has it */

static const struct vc_option convert_options[] = {
	OPT_FORMAT("of SOURCE; found out if not given"),
	{ "output-format", 'O', "FORMAT", "of DEST; raw if not given" },
	{ "options", 'o', "KEY=VALUE,...", "options of DEST, see below" },
	{ "compat", 0, "LEVEL", "of DEST: 0.10, 1.1 or crosvm" },
	{ "compress", 'c', NULL, "compress the clusters of DEST" },
	{ "level", 0, "N", "of compression; the usual one of its type" },
	{ "sparse", 'S', "SIZE",
	  "runs of written zeroes this long become holes (4k);\n"
	  "0: allocate all of DEST" },
	{ "backing", 'B', "FILE",
	  "DEST is an overlay of FILE, which has what the backing\n"
	  "file of SOURCE has" },
	{ "backing-format", 'F', "FORMAT", "of that file" },
	{ "no-create", 'n', NULL, "DEST exists, with its size and options" },
	{ "target-is-zero", 0, NULL, "and all of it reads zero" },
	{ "snapshot", 'l', "SNAPSHOT",
	  "copy this internal snapshot: an id or a name, or\n"
	  "snapshot.id=ID, snapshot.name=NAME" },
	{ "old-snapshot", 's', "SNAPSHOT", NULL },
	{ "bitmaps", 0, NULL, "copy persistent bitmaps, too" },
	{ "skip-broken-bitmaps", 0, NULL, "but not inconsistent ones" },
	OPT_CACHE("of DEST: unsafe (the default), writeback, none, ...: with\n"
		  "all but unsafe, wait until it is on the medium"),
	OPT_SOURCE_CACHE("of SOURCE: none reads past the cache"),
	{ "sync", 0, NULL, "like -t writeback" },
	{ "copy-offload", 'C', NULL,
	  "let the kernel copy; zeroes are not looked for" },
	{ "threads", 0, "N", "that read and compress; one per CPU" },
	{ "parallel", 'm', "N", "accepted: 1 to 16, see --threads" },
	{ "out-of-order", 'W', NULL, "accepted: no effect" },
	{ "rate-limit", 'r', "RATE", "bytes a second" },
	{ "salvage", 0, NULL, "what cannot be read becomes zeroes" },
	OPT_PROGRESS,
	OPT_QUIET,
	OPT_SHARE("do not lock SOURCE"),
	OPT_ALLOW_BACKING("SOURCE"),
	OPT_IMAGE_OPTS("SOURCE"),
	{ "target-image-opts", 0, NULL, "-n: so is DEST" },
	OPT_OBJECT,
	{ "no-replace", 0, NULL, "fail if DEST exists" },
};

static int set_granule(struct convert_opts *o, const char *value,
		       struct vc_error *err)
{
	if (vc_parse_size(value, &o->granule, err) < 0)
		return -1;
	o->has_granule = true;
	if (o->granule % 512 || o->granule > MAX_GRANULE)
		return vc_fail(err, VC_E_ARG, 0,
			       "not a multiple of 512 up to 1G");
	/* runs are looked for in steps of their length */
	while (o->granule & (o->granule - 1))
		o->granule += o->granule & -o->granule;
	return 0;
}

static int set_number(const char *value, uint64_t max, unsigned *ret,
		      struct vc_error *err)
{
	uint64_t v;

	if (vc_parse_u64(value, max, &v, err) < 0)
		return -1;
	if (!v)
		return vc_fail(err, VC_E_ARG, 0, "not from 1 to %llu",
			       (unsigned long long)max);
	*ret = (unsigned)v;
	return 0;
}

static int on_value(struct convert_opts *o, const struct vc_option *opt,
		    const char *value, struct vc_error *err)
{
	unsigned nr = 0;

	switch (opt->letter) {
	case 'O':
		return parse_format(value, &o->to, err);
	case 'o':
		return image_options_parse(&o->image, value, &o->c.show_options,
					   err);
	case 'S':
		return set_granule(o, value, err);
	case 'B':
		return image_options_set_backing(&o->image, value, err);
	case 'F':
		return image_options_set_backing_format(&o->image, value, err);
	case 'l':
	case 's':
		return parse_snapshot(value, &o->snapshot, err);
	case 'm':
		return set_number(value, MAX_PARALLEL, &nr, err);
	case 'r':
		return vc_parse_size(value, &o->rate, err);
	default:
		break;
	}
	if (!strcmp(opt->name, "compat"))
		return image_options_set_compat(&o->image, value, err);
	if (!strcmp(opt->name, "level")) {
		if (set_number(value, 22, &nr, err) < 0)
			return -1;
		o->level = (int)nr;
		return 0;
	}
	return set_number(value, VC_CONVERT_MAX_THREADS, &o->threads, err);
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct convert_opts *o = ctx;
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "compress", &o->compress },
		{ "no-create", &o->no_create },
		{ "target-is-zero", &o->target_is_zero },
		{ "bitmaps", &o->bitmaps },
		{ "skip-broken-bitmaps", &o->skip_broken_bitmaps },
		{ "sync", &o->sync },
		{ "copy-offload", &o->offload },
		{ "salvage", &o->salvage },
		{ "target-image-opts", &o->target_image_opts },
		{ "no-replace", &o->keep },
	};
	size_t i;

	if (value)
		return on_value(o, opt, value, err);
	for (i = 0; i < VC_ARRAY_SIZE(flags); i++)
		if (!strcmp(opt->name, flags[i].name))
			*flags[i].flag = true;
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool convert",
	.synopsis = "[OPTION]... SOURCE... DEST",
	.summary = "Copy an image, or several one after the other, to a new "
		   "one, in another format or\nwith other options. Holes stay "
		   "holes and zeroes become holes. DEST exists when all is\n"
		   "copied, not before.",
	.options = convert_options,
	.nr_options = VC_ARRAY_SIZE(convert_options),
	.on_option = on_option,
	.epilogue = image_options_help,
};

/* What does not go together. */
static int check_options(const struct convert_opts *o, int nr_sources,
			 struct vc_error *err)
{
	if (o->offload && (o->compress || o->has_granule || o->salvage))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "-C does not go with -c, -S or --salvage");
	if (o->target_is_zero && !o->no_create)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "--target-is-zero needs -n");
	if (o->skip_broken_bitmaps && !o->bitmaps)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "--skip-broken-bitmaps needs --bitmaps");
	if (nr_sources > 1 &&
	    (o->image.backing_file || o->snapshot.text || o->bitmaps))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "-B, -l and --bitmaps take one SOURCE");
	if (nr_sources > VC_CONVERT_MAX_SOURCES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d sources",
			       VC_CONVERT_MAX_SOURCES);
	if (o->image.backing_file && !o->no_create && !o->image.backing_format)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a backing file needs its format: -F");
	if (o->target_image_opts && !o->no_create)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "--target-image-opts needs -n");
	if (o->target_image_opts && o->to != VC_DISK_FORMAT_PROBE)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "-O and --target-image-opts do not go together");
	return 0;
}

static int run(char **operands, int nr, struct convert_opts *o,
	       struct vc_error *err)
{
	if (o->c.show_options)
		return image_options_show(o->to ? o->to : VC_DISK_FORMAT_RAW,
					  err);
	if (check_options(o, nr - 1, err) < 0)
		return -1;
	return convert_run(operands, nr - 1, operands[nr - 1], o, err);
}

int cmd_convert(int argc, char **argv)
{
	struct convert_opts o = { .granule = DEFAULT_GRANULE };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o.c, &o, 2, argc, &first,
			       &nr);
	if (status < 0)
		status = run(argv + first, nr, &o, &err) < 0 ? report(&err) : 0;
	image_options_fini(&o.image);
	snapshot_name_fini(&o.snapshot);
	return status;
}
