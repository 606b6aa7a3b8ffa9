/* SPDX-License-Identifier: BSD-3-Clause */
#include "qcow-tool/image.h"
#include "qcow-tool/options.h"

/* Exit statuses, as qemu-img has them. */
enum { SAME, DIFFERENT, CANNOT_OPEN, CANNOT_MAP, CANNOT_READ };

struct compare_opts {
	struct common_opts c; /* its format is that of the first */
	enum vc_disk_format second_format;
	bool strict;
	unsigned threads;
};

static const struct vc_option compare_options[] = {
	OPT_FORMAT("of FILE1; found out if not given"),
	{ "second-format", 'F', "FORMAT", "of FILE2" },
	{ "strict", 's', NULL,
	  "sizes and what is allocated must be the same, too" },
	OPT_SOURCE_CACHE("none reads past the cache"),
	{ "threads", 0, "N", "that read; one per CPU" },
	OPT_PROGRESS,
	{ "quiet", 'q', NULL, "only set the exit status" },
	OPT_SHARE("do not lock the images"),
	OPT_ALLOW_BACKING("an image"),
	OPT_IMAGE_OPTS("each FILE"),
	OPT_OBJECT,
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct compare_opts *o = ctx;
	uint64_t nr;

	switch (opt->letter) {
	case 'F':
		return parse_format(value, &o->second_format, err);
	case 's':
		o->strict = true;
		return 0;
	default:
		break;
	}
	if (vc_parse_u64(value, VC_CONVERT_MAX_THREADS, &nr, err) < 0)
		return -1;
	o->threads = (unsigned)nr;
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool compare",
	.synopsis = "[OPTION]... FILE1 FILE2",
	.summary = "Have two images the same contents? Exit status: 0 yes, 1 "
		   "no, 2 one cannot be\nopened, 3 its tables cannot be read, "
		   "4 its data cannot be read.",
	.options = compare_options,
	.nr_options = VC_ARRAY_SIZE(compare_options),
	.on_option = on_option,
};

static int print_result(const struct compare_opts *o,
			const struct vc_compare_result *res)
{
	unsigned long long at = res->offset;

	if (o->c.quiet)
		return res->result == VC_COMPARE_SAME ? SAME : DIFFERENT;
	if (res->sizes_differ && !o->strict)
		puts("Warning: Image size mismatch!");
	switch (res->result) {
	case VC_COMPARE_SAME:
		puts("Images are identical.");
		return SAME;
	case VC_COMPARE_CONTENT:
		printf("Content mismatch at offset %llu!\n", at);
		break;
	case VC_COMPARE_ALLOCATION:
		printf("Strict mode: Offset %llu block status mismatch!\n", at);
		break;
	case VC_COMPARE_SIZE:
		puts("Strict mode: Image size mismatch!");
		break;
	}
	return DIFFERENT;
}

static int compare(struct image *images, const struct compare_opts *o)
{
	struct progress progress = { o->c.progress.is_shown && !o->c.quiet,
				     -1 };
	struct vc_compare_opts co = { .strict = o->strict,
				      .nr_threads = o->threads,
				      .progress = progress_show,
				      .opaque = &progress };
	struct vc_convert_source a = image_source(&images[0]);
	struct vc_convert_source b = image_source(&images[1]);
	struct vc_compare_result res;
	struct vc_error err;

	if (vc_disk_compare(&a, &b, &co, &res, &err) < 0 &&
	    res.result == VC_COMPARE_SAME) {
		report(&err);
		return res.is_read_error ? CANNOT_READ : CANNOT_MAP;
	}
	if (res.result == VC_COMPARE_SAME)
		progress_end(&progress);
	return print_result(o, &res);
}

static int open_one(const struct compare_opts *o, char *operand,
		    enum vc_disk_format format, struct image *ret,
		    struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .cache_bytes = VC_CONVERT_CACHE,
					.allow_backing = o->c.allow_backing };
	struct image_name im;

	if (parse_image(&o->c, operand, format, &im, err) < 0)
		return -1;
	oo.format = im.format;
	oo.direct = o->c.src_cache.direct || im.direct;
	oo.lock = !o->c.share && !im.share;
	return image_open(ret, im.path, &oo, err);
}

int cmd_compare(int argc, char **argv)
{
	struct compare_opts o = { .threads = 0 };
	struct image images[2] = { { 0 } };
	int status, first, nr;
	struct vc_error err;

	status = parse_command(&command, argc, argv, &o.c, &o, 2, 2, &first,
			       &nr);
	if (status >= 0)
		return status;
	if (open_one(&o, argv[first], o.c.format, &images[0], &err) < 0 ||
	    open_one(&o, argv[first + 1], o.second_format, &images[1], &err) <
		    0) {
		report(&err);
		status = CANNOT_OPEN;
	}
	if (status < 0)
		status = compare(images, &o);
	image_fini(&images[0]);
	image_fini(&images[1]);
	return status;
}
