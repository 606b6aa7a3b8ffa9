/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that writes. Slots are written in the order of the disk, so that
 * what is allocated lies in that order and formats that take nothing else are
 * served; many writes are in flight at a time.
 */
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "disk/copy/copy.h"

/* What `s` would take in a file, whose compressed clusters lie side by side. */
static void count_slot(struct slot *s)
{
	while (s->write_pos < s->piece.len) {
		bool zero;
		uint64_t len = copy_next_run(s, &zero);
		uint32_t n = s->packed[s->write_pos / s->copy->cluster];

		if (!zero)
			s->copy->nr_packed_bytes += n ? n : s->copy->cluster;
		s->write_pos += len;
	}
	copy_set_free(s);
}

/* The slot to be written now, or NULL. *ret_end: there will be none. */
static struct slot *next_slot(struct copy *c, bool *ret_end)
{
	struct slot *s = &c->slots[c->head % c->nr_slots];

	pthread_mutex_lock(&c->lock);
	*ret_end = c->has_failed || (c->is_ended && c->head == c->tail);
	if (*ret_end || (s->state != SLOT_READY && s->state != SLOT_WRITING))
		s = NULL;
	else if (c->head == c->tail)
		s = NULL; /* it is of a round before */
	else
		s->state = SLOT_WRITING;
	pthread_mutex_unlock(&c->lock);
	return s;
}

void copy_report_progress(struct copy *c)
{
	uint64_t done;

	if (!c->opts->progress)
		return;
	pthread_mutex_lock(&c->lock);
	done = c->plan.pos;
	pthread_mutex_unlock(&c->lock);
	c->opts->progress(c->opts->opaque, done, c->plan.size);
}

/* Instead of writing. */
static int count_all(struct copy *c, struct vc_error *err)
{
	struct pollfd fd = { c->event_fd, POLLIN, 0 };

	for (;;) {
		bool end = false;
		struct slot *s;
		eventfd_t v;

		while ((s = next_slot(c, &end))) {
			count_slot(s);
			pthread_mutex_lock(&c->lock);
			c->head++;
			pthread_mutex_unlock(&c->lock);
		}
		if (end)
			return 0;
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "poll");
		(void)!eventfd_read(c->event_fd, &v);
	}
}

static int write_all(struct copy *c, struct vc_error *err)
{
	struct pollfd fds[2] = { { vc_disk_get_poll_fd(c->dst), POLLIN, 0 },
				 { c->event_fd, POLLIN, 0 } };

	for (;;) {
		bool end = false;
		struct slot *s;
		eventfd_t v;

		while ((s = next_slot(c, &end)) && copy_write_slot(s)) {
			pthread_mutex_lock(&c->lock);
			c->head++;
			pthread_mutex_unlock(&c->lock);
		}
		vc_disk_kick(c->dst);
		if (end)
			break;
		if (vc_disk_poll(c->dst, false))
			continue;
		copy_report_progress(c);
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return vc_fail(err, VC_E_SYS, errno, "poll");
		(void)!eventfd_read(c->event_fd, &v);
	}
	vc_disk_drain(c->dst);
	return 0;
}

/* --- setting up -------------------------------------------------------------- */

static int set_sources(struct copy *c, const struct vc_convert_source *given,
		       size_t nr, struct vc_error *err)
{
	uint64_t size = 0;
	size_t i;

	if (!nr || nr > VC_CONVERT_MAX_SOURCES)
		return vc_fail(err, VC_E_LIMIT, 0, "copy: %zu sources", nr);
	c->sources = calloc(nr, sizeof(*c->sources));
	if (!c->sources)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	for (i = 0; i < nr; i++) {
		const struct vc_convert_source *g = &given[i];
		uint64_t all = vc_disk_get_size(g->disk);

		if (g->offset > all || g->length > all - g->offset)
			return vc_fail(err, VC_E_ARG, 0,
				       "%s: no such part to be copied",
				       g->disk->name);
		c->sources[i] = (struct source){ g->disk, size, g->offset,
						 g->length ? g->length
							   : all - g->offset };
		if (vc_ckd_add(&size, size, c->sources[i].size))
			return vc_fail(err, VC_E_LIMIT, 0, "copy: size");
	}
	if (c->dst && size > vc_disk_get_size(c->dst))
		return vc_fail(err, VC_E_ARG, 0,
			       "%s: smaller than what is to be copied",
			       c->dst->name);
	c->given = given;
	c->plan.sources = c->sources;
	c->plan.nr_sources = nr;
	c->plan.size = size;
	c->plan.opts = c->opts;
	return 0;
}

static void set_nr_slots(struct copy *c)
{
	c->nr_slots = VC_CONVERT_MAX_BUFFERS / c->plan.chunk;
	if (c->nr_slots > COPY_MAX_SLOTS)
		c->nr_slots = COPY_MAX_SLOTS;
}

static int set_units(struct copy *c, struct vc_error *err)
{
	const struct vc_convert_opts *o = c->opts;
	uint32_t unit = vc_disk_get_discard_granularity(c->dst), cluster = 0;
	struct statfs fs;

	/* a cluster may be more than that, and is compressed as a whole */
	if (o->compress && vc_disk_get_compression(c->dst, &cluster) &&
	    cluster > unit)
		unit = cluster;
	if (o->granule && (!vc_is_pow2(o->granule) || o->granule < 512))
		return vc_fail(err, VC_E_ARG, 0, "copy: granule");
	if (!vc_is_pow2(unit))
		unit = COPY_ALIGN;
	c->plan.unit = unit > COPY_ALIGN ? unit : COPY_ALIGN;
	c->plan.chunk = unit > COPY_MIN_CHUNK ? unit : COPY_MIN_CHUNK;
	c->plan.share_unit = c->plan.unit;
	/* a data file, if it has one */
	c->plan.dst_fd = (c->dst->nr_parts ? c->dst->parts[0] : c->dst)->fd;
	if (o->share != VC_CONVERT_SHARE_NEVER && !o->compress && !o->fill &&
	    c->dst->ops->can_share && c->dst->is_regular)
		c->plan.share = SHARE_UNKNOWN;
	if (o->granule && !o->fill) {
		c->granule = o->granule > unit ? o->granule : unit;
		c->granule = vc_min_u64(c->granule, c->plan.chunk);
	}
	set_nr_slots(c);
	c->workers_write = c->dst->ops == &raw_ops && c->dst->direct_fd < 0;
	c->allocates = c->workers_write && c->dst->is_regular &&
		       fstatfs(c->dst->fd, &fs) == 0 &&
		       fs.f_type == EXT4_SUPER_MAGIC;
	return 0;
}

/* Does somebody else than dst compress? */
static int set_compression(struct copy *c, struct vc_error *err)
{
	const struct vc_convert_opts *o = c->opts;

	/* a sequential format that compresses does so always */
	if (!o->compress && !vc_disk_is_sequential(c->dst))
		return 0;
	c->compression = vc_disk_get_compression(c->dst, &c->cluster);
	if (c->compression == VC_DISK_COMPRESSION_NONE) {
		c->cluster = 0;
		return !o->compress || vc_disk_get_format(c->dst) ==
					       VC_DISK_FORMAT_ZSTD
			       ? 0
			       : vc_fail(err, VC_E_UNSUPPORTED, 0,
					 "%s: cannot be compressed",
					 c->dst->name);
	}
	/* larger than a subcluster */
	if (c->plan.unit < c->cluster)
		c->plan.unit = c->cluster;
	if (c->plan.chunk < c->cluster)
		c->plan.chunk = c->cluster;
	set_nr_slots(c);
	if (c->granule)
		c->granule = c->cluster;
	return 0;
}

static int set_slots(struct copy *c, struct vc_error *err)
{
	unsigned i, j;

	c->slots = calloc(c->nr_slots, sizeof(*c->slots));
	if (!c->slots)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	for (i = 0; i < c->nr_slots; i++) {
		struct slot *s = &c->slots[i];

		s->copy = c;
		s->dst = c->dst;
		s->data = aligned_alloc(COPY_ALIGN, c->plan.chunk);
		if (!s->data)
			return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
		for (j = 0; j < COPY_REQS; j++) {
			s->reqs[j].slot = s;
			s->reqs[j].next = s->free_reqs;
			s->free_reqs = &s->reqs[j];
		}
	}
	return 0;
}

unsigned copy_nr_threads(unsigned wanted, uint64_t once, uint64_t each)
{
	uint64_t left = once < COPY_MEMORY ? COPY_MEMORY - once : 0;
	long nr = wanted ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);

	if (nr > VC_CONVERT_MAX_THREADS)
		nr = VC_CONVERT_MAX_THREADS;
	if (each && nr > 0 && (uint64_t)nr > left / each)
		nr = (long)(left / each);
	return nr < 1 ? 1 : (unsigned)nr;
}

static unsigned wanted_workers(const struct copy *c)
{
	uint64_t sources = 0, packing = 0, once;
	size_t i;

	for (i = 0; i < c->plan.nr_sources; i++) {
		if (!c->given[i].reopen)
			return 1;
		sources += disk_get_memory(c->given[i].disk);
	}
	/* tables of the codecs, which grow with what they compress at once */
	if (c->cluster)
		packing = (1u << 20) + 4 * (uint64_t)c->cluster;
	once = sources + (uint64_t)c->nr_slots * c->plan.chunk;
	if (c->dst)
		once += disk_get_memory(c->dst);
	return copy_nr_threads(c->opts->nr_threads, once, sources + packing);
}

static void free_worker(struct worker *w)
{
	vc_disk_compressor_free(w->compressor);
	free(w->scratch);
	free(w->disks);
}

/* Returns 0 or an errno. */
static int start_worker(struct copy *c, struct worker *w)
{
	int ret = ENOMEM;

	w->copy = c;
	w->is_caller = c->workers_write && !c->nr_workers;
	w->disks = calloc(c->plan.nr_sources, sizeof(*w->disks));
	if (c->cluster)
		w->scratch = malloc(c->cluster);
	if (w->disks && (!c->cluster || w->scratch))
		ret = w->is_caller ? 0
				   : pthread_create(&w->thread, NULL,
						    copy_worker, w);
	if (ret)
		free_worker(w);
	return ret;
}

static int start_workers(struct copy *c, struct vc_error *err)
{
	unsigned wanted = wanted_workers(c);
	sigset_t all, before;
	int ret = 0;

	/* signals are for the threads of the program */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (c->nr_workers < wanted && !ret) {
		ret = start_worker(c, &c->workers[c->nr_workers]);
		if (!ret)
			c->nr_workers++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* fewer will do */
	return c->nr_workers ? 0 : vc_fail(err, VC_E_SYS, ret, "start threads");
}

static void join_workers(struct copy *c)
{
	while (c->nr_workers) {
		struct worker *w = &c->workers[--c->nr_workers];

		if (!w->is_caller)
			pthread_join(w->thread, NULL);
		free_worker(w);
	}
}

static void free_copy(struct copy *c)
{
	unsigned i;

	for (i = 0; c->slots && i < c->nr_slots; i++)
		free(c->slots[i].data);
	free(c->slots);
	free(c->sources);
	vc_close(&c->event_fd);
	pthread_cond_destroy(&c->slot_free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct copy *copy_new(const struct vc_convert_opts *opts)
{
	struct copy *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->opts = opts;
	c->event_fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->slot_free, NULL);
	return c;
}

/* From the first read to the end of the last thread. */
static int run(struct copy *c, struct vc_error *err)
{
	struct vc_error wait_err;

	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "eventfd");
	if (set_slots(c, err) < 0 || start_workers(c, err) < 0)
		return -1;
	if (c->workers_write)
		copy_worker(&c->workers[0]);
	else if ((c->only_counts ? count_all(c, &wait_err)
				 : write_all(c, &wait_err)) < 0)
		copy_fail(c, &wait_err);
	if (c->dst)
		vc_disk_drain(c->dst);
	join_workers(c);
	if (c->has_failed && err)
		*err = c->err;
	return c->has_failed ? -1 : 0;
}

int vc_disk_convert(const struct vc_convert_source *sources, size_t nr,
		    struct vc_disk *dst, const struct vc_convert_opts *opts,
		    struct vc_convert_result *ret, struct vc_error *err)
{
	struct copy *c = copy_new(opts);
	int res = -1;

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "copy");
	c->dst = dst;
	if (set_sources(c, sources, nr, err) == 0 && set_units(c, err) == 0 &&
	    set_compression(c, err) == 0)
		res = run(c, err);
	if (res == 0 && opts->progress)
		opts->progress(opts->opaque, c->plan.size, c->plan.size);
	if (res == 0 && ret)
		*ret = c->result;
	free_copy(c);
	return res;
}

int copy_measure(const struct vc_convert_source *src,
		 enum vc_disk_compression type, uint32_t cluster, uint64_t *ret,
		 struct vc_error *err)
{
	static const struct vc_convert_opts opts = { .dst_is_zero = true };
	struct copy *c = copy_new(&opts);
	int res = -1;

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "measure");
	c->only_counts = true;
	c->compression = type;
	c->cluster = cluster;
	c->granule = cluster;
	c->plan.unit = cluster > COPY_ALIGN ? cluster : COPY_ALIGN;
	c->plan.chunk = cluster > COPY_MIN_CHUNK ? cluster : COPY_MIN_CHUNK;
	set_nr_slots(c);
	if (set_sources(c, src, 1, err) == 0)
		res = run(c, err);
	*ret = vc_align_up(c->nr_packed_bytes, cluster);
	free_copy(c);
	return res;
}
