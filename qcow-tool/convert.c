/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "qcow-tool/common.h"
#include "qcow-tool/convert.h"

#define DEFAULT_GRANULE 4096
#define MAX_PARALLEL 16 /* of -m, as qemu-img has it */

static const struct vc_option convert_options[] = {
	{ "format", 'f', "FORMAT", "of SOURCE; found out if not given" },
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
	{ "cache", 't', "MODE",
	  "of DEST: unsafe (the default), writeback, none, ...: with\n"
	  "all but unsafe, wait until it is on the medium" },
	{ "source-cache", 'T', "MODE", "of SOURCE: none reads past the cache" },
	{ "sync", 0, NULL, "like -t writeback" },
	{ "copy-offload", 'C', NULL,
	  "let the kernel copy; zeroes are not looked for" },
	{ "threads", 0, "N", "that read and compress; one per CPU" },
	{ "parallel", 'm', "N", "accepted: 1 to 16, see --threads" },
	{ "out-of-order", 'W', NULL, "accepted: no effect" },
	{ "rate-limit", 'r', "RATE", "bytes a second" },
	{ "salvage", 0, NULL, "what cannot be read becomes zeroes" },
	{ "progress", 'p', NULL, "show how far it has got" },
	{ "quiet", 'q', NULL, "print nothing but errors" },
	{ "force-share", 'U', NULL, "do not lock SOURCE" },
	{ "allow-backing", 0, NULL,
	  "open the backing and data files that SOURCE names" },
	{ "force", 0, NULL, "replace DEST if it exists" },
};

static int set_granule(struct convert_opts *o, const char *value,
		       struct vc_error *err)
{
	if (vc_parse_size(value, &o->granule, err) < 0)
		return -1;
	o->has_granule = true;
	if (o->granule && (!vc_is_pow2(o->granule) || o->granule < 512))
		return vc_fail(err, VC_E_ARG, 0,
			       "not a power of two from 512 on");
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

static int set_string(char **to, const char *value, struct vc_error *err)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "option");
}

/* NAME, or snapshot.name=NAME, or snapshot.id=ID */
static void set_snapshot(struct convert_opts *o, const char *value)
{
	static const char *const keys[] = { "snapshot.name=", "snapshot.id=" };
	size_t i;

	o->snapshot = value;
	for (i = 0; i < VC_ARRAY_SIZE(keys); i++)
		if (!strncmp(value, keys[i], strlen(keys[i])))
			o->snapshot = value + strlen(keys[i]);
}

static int on_value(struct convert_opts *o, const struct vc_option *opt,
		    const char *value, struct vc_error *err)
{
	enum vc_disk_format ignored;
	unsigned nr = 0;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->from, err);
	case 'O':
		return parse_format(value, &o->to, err);
	case 'o':
		return image_options_parse(&o->image, value, err);
	case 'S':
		return set_granule(o, value, err);
	case 'B':
		return set_string(&o->image.backing_file, value, err);
	case 'F':
		if (parse_format(value, &ignored, err) < 0)
			return -1;
		return set_string(&o->image.backing_format, value, err);
	case 'l':
	case 's':
		set_snapshot(o, value);
		return 0;
	case 't':
		return parse_cache(value, &o->dst_cache, err);
	case 'T':
		return parse_cache(value, &o->src_cache, err);
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
		{ "progress", &o->progress },
		{ "quiet", &o->quiet },
		{ "force-share", &o->share },
		{ "allow-backing", &o->allow_backing },
		{ "force", &o->force },
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
	    (o->image.backing_file || o->snapshot || o->bitmaps))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "-B, -l and --bitmaps take one SOURCE");
	if (nr_sources > VC_CONVERT_MAX_SOURCES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d sources",
			       VC_CONVERT_MAX_SOURCES);
	if (o->image.backing_file && !o->no_create && !o->image.backing_format)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "a backing file needs its format: -F");
	if (o->image.has_size)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "convert takes no size");
	return 0;
}

int cmd_convert(int argc, char **argv)
{
	struct convert_opts o = { .to = VC_DISK_FORMAT_RAW,
				  .granule = DEFAULT_GRANULE };
	int status, first, nr;
	struct vc_error err;

	image_options_init(&o.image);
	status = parse_command(&command, argc, argv, &o, 2, argc, &first, &nr);
	if (status < 0) {
		status = 0;
		if (check_options(&o, nr - 1, &err) < 0 ||
		    convert_run(argv + first, nr - 1, argv[argc - 1], &o,
				&err) < 0)
			status = report(&err);
	}
	image_options_fini(&o.image);
	return status;
}
