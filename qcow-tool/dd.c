/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/outfile.h>
#include "qcow-tool/image.h"
#include "qcow-tool/options.h"

#define DEFAULT_BLOCK 512

struct dd_opts {
	struct common_opts c;
	enum vc_disk_format to;
	uint64_t bs, count, skip; /* blocks */
	bool has_count, keep;
	char *in;
	const char *out;
};

static const struct vc_option dd_options[] = {
	OPT_FORMAT("of the input; found out if not given"),
	{ "output-format", 'O', "FORMAT", "of the output; raw" },
	OPT_SHARE("do not lock the input"),
	OPT_ALLOW_BACKING("the input"),
	OPT_IMAGE_OPTS("IN"),
	OPT_OBJECT,
	{ "no-replace", 0, NULL, "fail if the output exists" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct dd_opts *o = ctx;

	if (opt->letter == 'O')
		return parse_format(value, &o->to, err);
	o->keep = true;
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool dd",
	.synopsis = "[OPTION]... [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=IN "
		    "of=OUT",
	.summary =
		"Copy BLOCKS of SIZE bytes (512) of a disk, from block `skip` "
		"on, to a new image. Without\ncount, up to its end.",
	.options = dd_options,
	.nr_options = VC_ARRAY_SIZE(dd_options),
	.on_option = on_option,
};

static int set_operand(struct dd_opts *o, char *text, struct vc_error *err)
{
	char *value = strchr(text, '=');
	size_t len = value ? (size_t)(value++ - text) : 0;
	char shown[80];

	if (len == 2 && !strncmp(text, "if", len)) {
		o->in = value;
		return 0;
	}
	if (len == 2 && !strncmp(text, "of", len)) {
		o->out = value;
		return 0;
	}
	if (len == 2 && !strncmp(text, "bs", len)) {
		if (vc_parse_size(value, &o->bs, err) < 0)
			return -1;
		return o->bs ? 0 : vc_fail(err, VC_E_ARG, 0, "bs: zero");
	}
	if (len == 5 && !strncmp(text, "count", len)) {
		o->has_count = true;
		return vc_parse_size(value, &o->count, err);
	}
	if (len == 4 && !strncmp(text, "skip", len))
		return vc_parse_size(value, &o->skip, err);
	return vc_fail(err, VC_E_ARG, 0, "'%s': unknown operand",
		       vc_printable(text, shown, sizeof(shown)));
}

/* Which bytes. Past the end there are none. */
static void find_part(const struct dd_opts *o, uint64_t size,
		      uint64_t *ret_offset, uint64_t *ret_len)
{
	uint64_t len;

	if (vc_ckd_mul(ret_offset, o->bs, o->skip) || *ret_offset > size)
		*ret_offset = size;
	*ret_len = size - *ret_offset;
	if (o->has_count && !vc_ckd_mul(&len, o->bs, o->count))
		*ret_len = vc_min_u64(*ret_len, len);
}

static int copy(const struct dd_opts *o, struct image *im, int out,
		struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = o->to,
					.writable = true,
					.no_sync = true,
					.io = image_io(false),
					.name = o->out };
	struct vc_disk_create_opts co = { .format = o->to };
	struct vc_convert_opts opts = { .granule = 4096,
					.dst_is_zero = !is_device(o->out),
					.share = VC_CONVERT_SHARE_AUTO };
	struct vc_convert_source src = image_source(im);
	vc_auto(vc_disk) struct vc_disk *dst = NULL;
	vc_auto_fd int fd = -1;
	char shown[256];

	find_part(o, vc_disk_get_size(im->disk), &src.offset, &src.length);
	co.size_bytes = vc_align_up(src.length, VC_DISK_SECTOR);
	if (vc_disk_create(out, &co, err) < 0)
		return vc_prefix(err, "'%s'",
				 vc_printable(o->out, shown, sizeof(shown)));
	fd = fcntl(out, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || vc_disk_open_fd(fd, &oo, NULL, &dst, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	if (src.length && vc_disk_convert(&src, 1, dst, &opts, NULL, err) < 0)
		return -1;
	return vc_disk_close(vc_steal_ptr(&dst), err);
}

static int dd(const struct dd_opts *o, struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .cache_bytes = VC_CONVERT_CACHE,
					.allow_backing = o->c.allow_backing };
	struct image_name in;
	vc_auto(vc_outfile) struct vc_outfile *of = NULL;
	struct image im = { 0 };
	int ret = -1;

	if (!o->in || !o->out)
		return vc_fail(err, VC_E_ARG, 0, "if= and of= are needed");
	if (parse_image(&o->c, o->in, o->c.format, &in, err) < 0)
		return -1;
	oo.format = in.format;
	oo.lock = !o->c.share && !in.share;
	oo.direct = in.direct;
	if (vc_outfile_catch_signals("qcow-tool", err) < 0 ||
	    image_open(&im, in.path, &oo, err) < 0)
		return -1;
	if (open_output(o->out, o->keep, &of, err) == 0)
		ret = copy(o, &im, vc_outfile_get_fd(of), err);
	image_fini(&im);
	if (ret < 0)
		return -1;
	vc_outfile_set_sync(of, false);
	return vc_outfile_commit(vc_steal_ptr(&of), err);
}

int cmd_dd(int argc, char **argv)
{
	struct dd_opts o = { .to = VC_DISK_FORMAT_RAW, .bs = DEFAULT_BLOCK };
	int status, first, nr, i;
	struct vc_error err;

	status = parse_command(&command, argc, argv, &o.c, &o, 2, 5, &first,
			       &nr);
	if (status >= 0)
		return status;
	for (i = 0; i < nr; i++)
		if (set_operand(&o, argv[first + i], &err) < 0)
			return report(&err);
	return dd(&o, &err) < 0 ? report(&err) : 0;
}
