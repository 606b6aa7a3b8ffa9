/* SPDX-License-Identifier: BSD-3-Clause */
#include "qcow-tool/common.h"
#include "qcow-tool/image.h"

/* Exit statuses, as qemu-img has them. */
enum { SAME, DIFFERENT, CANNOT_OPEN, CANNOT_MAP, CANNOT_READ };

struct compare_opts {
	enum vc_disk_format formats[2];
	struct cache_mode cache;
	bool progress, quiet, strict, share, allow_backing;
	unsigned threads;
};

static const struct vc_option compare_options[] = {
	{ "format", 'f', "FORMAT", "of FILE1; found out if not given" },
	{ "second-format", 'F', "FORMAT", "of FILE2" },
	{ "strict", 's', NULL,
	  "sizes and what is allocated must be the same, too" },
	{ "source-cache", 'T', "MODE", "none reads past the cache" },
	{ "threads", 0, "N", "that read; one per CPU" },
	{ "progress", 'p', NULL, "show how far it has got" },
	{ "quiet", 'q', NULL, "only set the exit status" },
	{ "force-share", 'U', NULL, "do not lock the images" },
	{ "allow-backing", 0, NULL,
	  "open the backing and data files that they name" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct compare_opts *o = ctx;
	uint64_t nr;

	switch (opt->letter) {
	case 'f':
		return parse_format(value, &o->formats[0], err);
	case 'F':
		return parse_format(value, &o->formats[1], err);
	case 'T':
		return parse_cache(value, &o->cache, err);
	case 's':
		o->strict = true;
		return 0;
	case 'p':
		o->progress = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'U':
		o->share = true;
		return 0;
	default:
		break;
	}
	if (!value) {
		o->allow_backing = true;
		return 0;
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

	if (o->quiet)
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
	struct progress progress = { o->progress && !o->quiet, -1 };
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

int cmd_compare(int argc, char **argv)
{
	struct compare_opts o = { 0 };
	struct image images[2] = { { 0 } };
	int status, first, nr, i;
	struct vc_error err;

	status = parse_command(&command, argc, argv, &o, 2, 2, &first, &nr);
	if (status >= 0)
		return status;
	for (i = 0; i < 2; i++) {
		struct vc_disk_open_opts oo = { .format = o.formats[i],
						.direct = o.cache.direct,
						.lock = !o.share,
						.cache_bytes = VC_CONVERT_CACHE,
						.allow_backing =
							o.allow_backing };

		if (image_open(&images[i], argv[first + i], &oo, &err) < 0) {
			report(&err);
			status = CANNOT_OPEN;
			break;
		}
	}
	if (status < 0)
		status = compare(images, &o);
	image_fini(&images[0]);
	image_fini(&images[1]);
	return status;
}
