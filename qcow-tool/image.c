/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "qcow-tool/common.h"
#include "qcow-tool/image.h"

int image_open(struct image *im, const char *path,
	       const struct vc_disk_open_opts *opts, struct vc_error *err)
{
	*im = (struct image){ path, *opts, NULL };
	if (vc_disk_open(path, opts, &im->disk, err) < 0)
		return -1;
	im->opts.format = vc_disk_get_format(im->disk);
	return 0;
}

void image_fini(struct image *im)
{
	im->disk = vc_disk_drop(im->disk);
}

/* Through the page cache a copy is bound by the CPU: a thread that copies is
 * faster than one that has the kernel's threads copy. */
enum vc_disk_io image_io(bool direct)
{
	return direct ? VC_DISK_IO_AUTO : VC_DISK_IO_SYNC;
}

/* The first handle holds the lock. */
static int reopen(void *opaque, struct vc_disk **ret, struct vc_error *err)
{
	const struct image *im = opaque;
	struct vc_disk_open_opts opts = im->opts;

	opts.lock = false;
	opts.no_verify = true;
	opts.io = image_io(opts.direct);
	return vc_disk_open(im->path, &opts, ret, err);
}

struct vc_convert_source image_source(struct image *im)
{
	return (struct vc_convert_source){ .disk = im->disk,
					   .reopen = reopen,
					   .opaque = im };
}

int parse_cache(const char *value, struct cache_mode *ret, struct vc_error *err)
{
	static const struct {
		const char *name;
		struct cache_mode mode;
	} modes[] = {
		{ "unsafe", { false, false } },
		{ "writeback", { false, true } },
		{ "writethrough", { false, true } },
		{ "none", { true, true } },
		{ "directsync", { true, true } },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(modes); i++)
		if (!strcmp(value, modes[i].name)) {
			*ret = modes[i].mode;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "unknown mode");
}

void progress_show(void *opaque, uint64_t done, uint64_t total)
{
	int now = total ? (int)((double)done * 10000 / (double)total) : 10000;
	struct progress *p = opaque;

	if (!p->is_shown || now == p->last)
		return;
	p->last = now;
	printf("    (%d.%02d/100%%)\r", now / 100, now % 100);
	fflush(stdout);
}

void progress_end(struct progress *p)
{
	p->last = -1;
	progress_show(p, 1, 1);
	if (p->is_shown)
		putchar('\n');
}
