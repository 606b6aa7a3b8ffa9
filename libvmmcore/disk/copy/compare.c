/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Comparing two disks: threads take ranges in the order of the disk, as the
 * block status of both divides it, and read them. The lowest difference is
 * the result, so nothing beyond the lowest known one is handed out, and what
 * was handed out before it is finished.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/copy/copy.h"

#define COMPARE_CHUNK (1u << 20)

struct side {
	const struct vc_convert_source *given;
	uint64_t size;
	struct vc_disk_extent ext; /* of the block status, loaded last */
	bool is_zero;
};

struct compare {
	const struct vc_compare_opts *opts;
	struct side sides[2];
	uint64_t size;	      /* of the larger */
	pthread_mutex_t lock; /* of what follows, and of the sides */
	uint64_t pos;
	uint64_t differs_at; /* UINT64_MAX: nowhere so far */
	bool is_allocation;
	bool has_failed;
	struct vc_compare_result *result;
	struct vc_error err;
};

struct range {
	uint64_t offset;
	size_t len;
	bool is_zero[2];
};

struct reader {
	struct compare *c;
	pthread_t thread;
	struct vc_disk *disks[2]; /* the reader's own; NULL: not yet */
	uint8_t *bufs[2];
};

/* --- what to read ------------------------------------------------------------ */

static int load_side(struct side *s, uint64_t pos, struct vc_error *err)
{
	struct vc_disk_extent *e = &s->ext;

	if (e->length_bytes && pos >= e->offset_bytes &&
	    pos - e->offset_bytes < e->length_bytes)
		return 0;
	if (pos >= s->size)
		*e = (struct vc_disk_extent){ .kind = VC_DISK_HOLE,
					      .offset_bytes = pos,
					      .length_bytes = UINT64_MAX - pos,
					      .host_offset = UINT64_MAX };
	else if (vc_disk_map(s->given->disk, pos, UINT64_MAX, e, err) < 0)
		return -1;
	s->is_zero = copy_is_zero_extent(e);
	return 0;
}

/* Are the bytes at `pos` the same ones of the same file? */
static bool is_same_place(const struct side *s, uint64_t pos)
{
	const struct vc_disk *layers[2];
	uint64_t host[2];
	int i;

	for (i = 0; i < 2; i++) {
		const struct vc_disk_extent *e = &s[i].ext;

		layers[i] = copy_layer_of(s[i].given->disk, e);
		if (!layers[i])
			return false;
		host[i] = e->host_offset + (pos - e->offset_bytes);
	}
	return host[0] == host[1] && layers[0]->dev == layers[1]->dev &&
	       layers[0]->ino == layers[1]->ino;
}

/* Is the block status of both the same, as scripts know it: what is written
 * zeroes here and nothing at all there is not. */
static bool is_same_status(const struct vc_disk_extent *a,
			   const struct vc_disk_extent *b)
{
	return a->kind == b->kind && a->is_compressed == b->is_compressed &&
	       a->reads_zero == b->reads_zero;
}

/* The next range to be read, with the lock held. Returns false at the end. */
static int next_range(struct compare *c, struct range *ret, bool *ret_end,
		      struct vc_error *err)
{
	struct side *s = c->sides;

	*ret_end = false;
	while (c->pos < c->size && c->pos < c->differs_at && !c->has_failed) {
		uint64_t pos = c->pos, n = c->size - pos;
		int i;

		for (i = 0; i < 2; i++) {
			if (load_side(&s[i], pos, err) < 0)
				return -1;
			n = vc_min_u64(n,
				       s[i].ext.length_bytes -
					       (pos - s[i].ext.offset_bytes));
		}
		/* beyond the smaller disk the sizes have been compared */
		if (c->opts->strict && !is_same_status(&s[0].ext, &s[1].ext) &&
		    pos < s[0].size && pos < s[1].size) {
			c->differs_at = pos;
			c->is_allocation = true;
			break;
		}
		if ((s[0].is_zero && s[1].is_zero) || is_same_place(s, pos)) {
			c->pos += n;
			continue;
		}
		n = vc_min_u64(n, COMPARE_CHUNK - pos % COMPARE_CHUNK);
		*ret = (struct range){ pos,
				       (size_t)n,
				       { s[0].is_zero, s[1].is_zero } };
		c->pos += n;
		return 0;
	}
	*ret_end = true;
	return 0;
}

/* --- reading ------------------------------------------------------------------ */

static struct vc_disk *reader_disk(struct reader *r, int i,
				   struct vc_error *err)
{
	const struct vc_convert_source *g = r->c->sides[i].given;

	if (!g->reopen)
		return g->disk;
	if (!r->disks[i] && g->reopen(g->opaque, &r->disks[i], err) < 0)
		return NULL;
	return r->disks[i];
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	while (i + 4096 <= len && !memcmp(a + i, b + i, 4096))
		i += 4096;
	while (i < len && a[i] == b[i])
		i++;
	return i;
}

static int compare_range(struct reader *r, const struct range *g,
			 struct vc_error *err)
{
	struct compare *c = r->c;
	size_t at;
	int i;

	for (i = 0; i < 2; i++) {
		struct vc_disk *d;

		if (g->is_zero[i]) {
			memset(r->bufs[i], 0, g->len);
			continue;
		}
		d = reader_disk(r, i, err);
		if (!d ||
		    vc_disk_read(d, g->offset, r->bufs[i], g->len, err) < 0) {
			pthread_mutex_lock(&c->lock);
			c->result->is_read_error = true;
			pthread_mutex_unlock(&c->lock);
			return -1;
		}
	}
	/* most ranges are equal */
	if (!memcmp(r->bufs[0], r->bufs[1], g->len))
		return 0;
	at = first_difference(r->bufs[0], r->bufs[1], g->len);
	pthread_mutex_lock(&c->lock);
	if (g->offset + at < c->differs_at) {
		c->differs_at = g->offset + at;
		c->is_allocation = false;
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int read_ranges(struct reader *r, struct vc_error *err)
{
	struct compare *c = r->c;

	for (;;) {
		struct range g;
		uint64_t pos;
		bool end;
		int ret;

		pthread_mutex_lock(&c->lock);
		ret = next_range(c, &g, &end, err);
		pos = c->pos;
		pthread_mutex_unlock(&c->lock);
		if (ret < 0)
			return -1;
		if (end)
			return 0;
		if (compare_range(r, &g, err) < 0)
			return -1;
		/* the calling thread's turn */
		if (!r->thread && c->opts->progress)
			c->opts->progress(c->opts->opaque, pos, c->size);
	}
}

static void *reader_main(void *opaque)
{
	struct reader *r = opaque;
	struct compare *c = r->c;
	struct vc_error err;

	if (read_ranges(r, &err) == 0)
		return NULL;
	pthread_mutex_lock(&c->lock);
	if (!c->has_failed)
		c->err = err;
	c->has_failed = true;
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* --- threads -------------------------------------------------------------------- */

static bool reader_init(struct reader *r, struct compare *c)
{
	r->c = c;
	r->bufs[0] = aligned_alloc(COPY_ALIGN, COMPARE_CHUNK);
	r->bufs[1] = aligned_alloc(COPY_ALIGN, COMPARE_CHUNK);
	return r->bufs[0] && r->bufs[1];
}

static void reader_fini(struct reader *r)
{
	int i;

	for (i = 0; i < 2; i++) {
		free(r->bufs[i]);
		vc_disk_drop(r->disks[i]);
	}
}

/* One of the threads is the calling one. */
static int run_readers(struct compare *c, struct vc_error *err)
{
	struct reader readers[VC_CONVERT_MAX_THREADS] = { 0 };
	uint64_t images = disk_get_memory(c->sides[0].given->disk) +
			  disk_get_memory(c->sides[1].given->disk);
	unsigned wanted = copy_nr_threads(c->opts->nr_threads, images,
					  images + 2 * COMPARE_CHUNK);
	unsigned nr, i;
	sigset_t all, before;
	int ret = 0;

	if (!c->sides[0].given->reopen || !c->sides[1].given->reopen)
		wanted = 1;
	if (!reader_init(&readers[0], c))
		ret = vc_fail(err, VC_E_SYS, ENOMEM, "compare");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (nr = 1; nr < wanted && !ret; nr++)
		if (!reader_init(&readers[nr], c) ||
		    pthread_create(&readers[nr].thread, NULL, reader_main,
				   &readers[nr]) != 0) {
			reader_fini(&readers[nr]);
			break; /* fewer will do */
		}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ret)
		reader_main(&readers[0]);
	for (i = 0; i < nr; i++) {
		if (i)
			pthread_join(readers[i].thread, NULL);
		reader_fini(&readers[i]);
	}
	return ret;
}

static void set_result(struct compare *c)
{
	struct vc_compare_result *res = c->result;

	if (c->differs_at == UINT64_MAX)
		return;
	res->offset = c->differs_at;
	res->result =
		c->is_allocation ? VC_COMPARE_ALLOCATION : VC_COMPARE_CONTENT;
}

int vc_disk_compare(const struct vc_convert_source *a,
		    const struct vc_convert_source *b,
		    const struct vc_compare_opts *opts,
		    struct vc_compare_result *ret, struct vc_error *err)
{
	struct compare c = { .opts = opts,
			     .sides = { { .given = a }, { .given = b } },
			     .differs_at = UINT64_MAX,
			     .result = ret };
	int i, res;

	*ret = (struct vc_compare_result){ 0 };
	for (i = 0; i < 2; i++) {
		c.sides[i].size = vc_disk_get_size(c.sides[i].given->disk);
		if (c.sides[i].size > c.size)
			c.size = c.sides[i].size;
	}
	ret->sizes_differ = c.sides[0].size != c.sides[1].size;
	if (ret->sizes_differ && opts->strict) {
		ret->result = VC_COMPARE_SIZE;
		return 0;
	}
	pthread_mutex_init(&c.lock, NULL);
	res = run_readers(&c, err);
	pthread_mutex_destroy(&c.lock);
	if (res == 0 && c.has_failed) {
		if (err)
			*err = c.err;
		res = -1;
	}
	/* what differs before the place that failed does differ */
	set_result(&c);
	return res;
}
