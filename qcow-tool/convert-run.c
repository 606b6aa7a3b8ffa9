/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <vmmcore/qcow2.h>
#include "qcow-tool/convert.h"

struct run {
	struct convert_opts *o;
	struct image *images;
	struct vc_convert_source *sources;
	int nr;
	uint64_t size;
	const char *to;
	char shown_to[256];
	enum vc_disk_format to_format;
	struct progress progress;
	uint64_t start_ns; /* for the rate limit */
};

static int open_sources(struct run *r, char **from, struct vc_error *err)
{
	const struct convert_opts *o = r->o;
	struct vc_disk_open_opts oo = { .cache_bytes = VC_CONVERT_CACHE,
					.allow_backing = o->c.allow_backing };
	struct image_name im;
	int i;

	snapshot_name_use(&o->snapshot, &oo);

	r->images = calloc((size_t)r->nr, sizeof(*r->images));
	r->sources = calloc((size_t)r->nr, sizeof(*r->sources));
	if (!r->images || !r->sources)
		return vc_fail(err, VC_E_SYS, ENOMEM, "convert");
	for (i = 0; i < r->nr; i++) {
		if (parse_image(&o->c, from[i], o->c.format, &im, err) < 0)
			return -1;
		oo.format = im.format;
		oo.direct = o->c.src_cache.direct || im.direct;
		oo.lock = !o->c.share && !im.share;
		if (image_open(&r->images[i], im.path, &oo, err) < 0)
			return -1;
		r->sources[i] = image_source(&r->images[i]);
		r->size += vc_disk_get_size(r->images[i].disk);
		if (r->size > VC_DISK_MAX_BYTES)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "sources: too large together");
	}
	return 0;
}

/* Not faster than was asked for: the thread that writes sleeps. */
static void on_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct run *r = opaque;
	uint64_t due, now = vc_now_ns() - r->start_ns;

	progress_show(&r->progress, done, total);
	if (!r->o->rate)
		return;
	due = (uint64_t)((double)done / (double)r->o->rate * 1e9);
	if (due > now) {
		struct timespec ts = { (time_t)((due - now) / 1000000000),
				       (long)((due - now) % 1000000000) };

		nanosleep(&ts, NULL);
	}
}

static int copy(struct run *r, struct vc_disk *dst, bool is_zero,
		struct vc_error *err)
{
	const struct convert_opts *o = r->o;
	struct vc_convert_opts co = {
		/* runs of zeroes are a fill there, which a flash writes; holes
		 * are what it may skip */
		.granule =
			!o->has_granule && vc_disk_get_format(dst) ==
						   VC_DISK_FORMAT_ANDROID_SPARSE
				? 0
				: o->granule,
		/* whoever reads writes a raw image: none beside the one that
		 * sleeps */
		.nr_threads =
			o->rate && vc_disk_get_format(dst) == VC_DISK_FORMAT_RAW
				? 1
				: o->threads,
		.dst_is_zero = is_zero,
		.fill = o->has_granule && !o->granule,
		.compress = o->compress,
		.level = o->level,
		.over_backing = o->image.backing_file != NULL,
		.salvage = o->salvage,
		.share = o->offload ? VC_CONVERT_SHARE_OFFLOAD
			 : o->has_granule || o->salvage ? VC_CONVERT_SHARE_NEVER
							: VC_CONVERT_SHARE_AUTO,
		.progress =
			o->c.progress.is_shown || o->rate ? on_progress : NULL,
		.opaque = r,
	};
	struct vc_convert_result res;

	r->start_ns = vc_now_ns();
	if (vc_disk_convert(r->sources, (size_t)r->nr, dst, &co, &res, err) < 0)
		return -1;
	if (res.nr_lost_bytes && !o->c.quiet)
		fprintf(stderr,
			"qcow-tool: warning: %llu bytes could not be read and "
			"are zeroes now\n",
			(unsigned long long)res.nr_lost_bytes);
	return 0;
}

/* The backing file of a new image; its own backing files only if allowed. */
static int open_backing(struct run *r, struct vc_disk **ret,
			struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .lock = !r->o->c.share,
					.cache_bytes = VC_CONVERT_CACHE,
					.allow_backing =
						r->o->c.allow_backing };
	vc_auto_free char *full = NULL;

	if (vc_disk_resolve_name("backing file", r->to,
				 r->o->image.backing_file, &full, err) < 0 ||
	    refuse_same_file(r->to, "backing file", full, err) < 0)
		return -1;
	if (parse_format(r->o->image.backing_format, &oo.format, err) < 0)
		return -1;
	return vc_disk_open(full, &oo, ret, err);
}

static int copy_bitmaps(struct run *r, int fd, struct vc_error *err)
{
	vc_auto_fd int src = -1;

	if (!r->o->bitmaps)
		return 0;
	if (open_for_reading(r->images[0].path, &src, err) < 0)
		return -1;
	return vc_qcow2_bitmap_copy_all(fd, src, r->o->skip_broken_bitmaps,
					err);
}

/* The external data file of the new image, as the disk it is kept in. */
static int open_data(struct run *r, int out, struct vc_disk *backing,
		     struct vc_disk **ret, struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_RAW,
					.writable = true,
					.direct = r->o->c.cache.direct,
					.no_sync = true,
					.io_with = backing,
					.name = r->o->image.data_file };
	vc_auto_fd int fd = fcntl(out, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "duplicate fd");
	if (vc_disk_open_fd(fd, &oo, NULL, ret, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	return 0;
}

/* Make and fill the image in the file that has no name yet. */
static int fill_new(struct run *r, int out, struct vc_outfile **data,
		    struct vc_error *err)
{
	const struct convert_opts *o = r->o;
	struct vc_disk_open_opts oo = { .format = r->to_format,
					.writable = true,
					.direct = o->c.cache.direct,
					.io = image_io(o->c.cache.direct),
					.no_sync = true,
					.name = r->to };
	vc_auto(vc_disk) struct vc_disk *dst = NULL, *backing = NULL,
					*data_disk = NULL;
	struct vc_disk_create_opts co;
	vc_auto_fd int fd = -1;

	if (image_options_get(&o->image, r->to_format, &co, err) < 0)
		return vc_prefix(err, "'%s'", r->shown_to);
	if (image_options_open_data(&o->image, r->to, o->keep, data, &co, err) <
	    0)
		return -1;
	if (o->compress && co.preallocation != VC_DISK_PREALLOC_OFF)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "-c does not go with preallocation");
	co.size_bytes = r->size;
	co.compression_level = (unsigned)o->level;
	if (co.backing_file && open_backing(r, &backing, err) < 0)
		return -1;
	if (vc_disk_create(out, &co, err) < 0)
		return vc_prefix(err, "'%s'", r->shown_to);
	if ((*data && open_data(r, vc_outfile_get_fd(*data), backing,
				&data_disk, err) < 0))
		return -1;
	oo.data_file = data_disk;
	fd = fcntl(out, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "duplicate fd");
	if (vc_disk_open_fd(fd, &oo, backing, &dst, err) < 0)
		return -1;
	(void)vc_steal_fd(&fd);
	backing = data_disk = NULL;
	if (copy(r, dst, true, err) < 0 ||
	    vc_disk_close(vc_steal_ptr(&dst), err) < 0)
		return -1;
	return copy_bitmaps(r, out, err);
}

static int to_new(struct run *r, struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = NULL, *data = NULL;
	bool sync = r->o->c.cache.sync || r->o->sync;

	if (open_output(r->to, r->o->keep, &of, err) < 0)
		return -1;
	vc_outfile_set_sync(of, sync);
	if (fill_new(r, vc_outfile_get_fd(of), &data, err) < 0)
		return -1;
	if (data)
		vc_outfile_set_sync(data, sync);
	return vc_outfile_commit_all(
		(struct vc_outfile *[]){ vc_steal_ptr(&data),
					 vc_steal_ptr(&of) },
		2, err);
}

/* Over what is there: an image that was made before, or a device. */
static int to_existing(struct run *r, struct vc_error *err)
{
	const struct convert_opts *o = r->o;
	struct vc_disk_open_opts oo = {
		.format = r->to_format,
		.writable = true,
		.lock = true,
		.direct = o->c.cache.direct,
		.io = image_io(o->c.cache.direct),
		.no_sync = !o->c.cache.sync && !o->sync,
		.allow_backing =
			o->image.backing_file != NULL || o->c.allow_backing,
	};
	vc_auto(vc_disk) struct vc_disk *dst = NULL;
	vc_auto_fd int fd = -1;

	if (vc_disk_open(r->to, &oo, &dst, err) < 0 ||
	    copy(r, dst, o->target_is_zero, err) < 0 ||
	    vc_disk_close(vc_steal_ptr(&dst), err) < 0)
		return -1;
	if (!o->bitmaps)
		return 0;
	fd = vc_open(r->to, O_RDWR | O_CLOEXEC, 0, err);
	return fd < 0 ? -1 : copy_bitmaps(r, fd, err);
}

static int run(struct run *r, char **from, struct vc_error *err)
{
	bool there = r->o->no_create ||
		     (r->to_format == VC_DISK_FORMAT_RAW && is_device(r->to));

	vc_printable(r->to, r->shown_to, sizeof(r->shown_to));
	if (open_sources(r, from, err) < 0 ||
	    vc_outfile_catch_signals("qcow-tool", err) < 0 ||
	    (there ? to_existing(r, err) : to_new(r, err)) < 0)
		return -1;
	if (r->o->c.progress.is_shown)
		progress_end(&r->progress);
	return 0;
}

/* What the last operand names. */
static int set_target(struct run *r, char *to, struct vc_error *err)
{
	struct common_opts c = { .image_opts = r->o->target_image_opts };
	struct image_name im;

	r->to = to;
	if (parse_image(&c, to, r->o->to, &im, err) < 0)
		return -1;
	if (im.is_read_only)
		return vc_fail(err, VC_E_ARG, 0, "DEST: read-only");
	r->to = im.path;
	r->to_format = im.format;
	r->o->c.cache.direct |= im.direct;
	/* options without a driver: it exists, so it can be looked at */
	if (!c.image_opts && r->to_format == VC_DISK_FORMAT_PROBE)
		r->to_format = VC_DISK_FORMAT_RAW;
	return 0;
}

int convert_run(char **from, int nr, char *to, struct convert_opts *o,
		struct vc_error *err)
{
	struct run r = { .o = o,
			 .nr = nr,
			 .progress = { o->c.progress.is_shown && !o->c.quiet,
				       -1 } };
	int i, ret = -1;

	if (set_target(&r, to, err) == 0)
		ret = run(&r, from, err);

	for (i = 0; r.images && i < nr; i++)
		image_fini(&r.images[i]);
	free(r.images);
	free(r.sources);
	return ret;
}
