/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cache of metadata pages: slices of L2 tables and refcount blocks, found
 * by their offset in the file. A page is loading, clean or dirty. Clean ones
 * go, oldest first, when there are too many; dirty ones stay until a writeback
 * has written them. When half of the cache is dirty a writeback is started and
 * what would dirty more waits for it (qc_writeback_gate()), so memory stays
 * bounded however scattered the writes are.
 */
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

static size_t hash_of(const struct qc_disk *q, uint64_t offset)
{
	uint64_t h = (offset >> q->page_bits) * UINT64_C(0x9e3779b97f4a7c15);

	return (h >> 32) & (q->cache.hash_size - 1);
}

bool qc_cache_init(struct qc_disk *q)
{
	struct qc_cache *c = &q->cache;
	uint32_t bytes = QC_CACHE_BYTES, least;

	c->page_bytes = q->h.cluster_bytes < QC_PAGE_BYTES ? q->h.cluster_bytes
							   : QC_PAGE_BYTES;
	q->page_bits = (unsigned)__builtin_ctz(c->page_bytes);
	if (q->base.cache_bytes)
		bytes = q->base.cache_bytes;
	else if (q->l1.entries && q->l1.nr > QC_MAX_L1_BYTES / 8 / 2)
		bytes /= 2; /* so that all together stays within bounds */
	c->max_pages = bytes / c->page_bytes;
	least = QC_MIN_PAGES;
	/* a table that is copied is here as a whole, twice, while half of the
	 * pages may be dirty: see qc_l2_own() */
	if (q->base.writable)
		least += 4 * (q->h.cluster_bytes / c->page_bytes);
	if (c->max_pages < least)
		c->max_pages = least;
	for (c->hash_size = QC_MIN_PAGES; c->hash_size < c->max_pages;)
		c->hash_size *= 2;
	c->hash = calloc(c->hash_size, sizeof(*c->hash));
	c->lru.lru_prev = c->lru.lru_next = &c->lru;
	return c->hash != NULL;
}

static void lru_remove(struct qc_page *p)
{
	p->lru_prev->lru_next = p->lru_next;
	p->lru_next->lru_prev = p->lru_prev;
}

static void lru_add_newest(struct qc_cache *c, struct qc_page *p)
{
	p->lru_prev = c->lru.lru_prev;
	p->lru_next = &c->lru;
	p->lru_prev->lru_next = p;
	c->lru.lru_prev = p;
}

static struct qc_page **find_slot(struct qc_disk *q, uint64_t offset)
{
	struct qc_page **slot = &q->cache.hash[hash_of(q, offset)];

	while (*slot && (*slot)->offset != offset)
		slot = &(*slot)->hash_next;
	return slot;
}

static void page_free(struct qc_disk *q, struct qc_page *p)
{
	struct qc_page **slot = find_slot(q, p->offset);

	*slot = p->hash_next;
	lru_remove(p);
	q->cache.nr_pages--;
	q->cache.nr_dirty -= p->is_dirty;
	free(p->data);
	free(p);
}

void qc_cache_fini(struct qc_disk *q)
{
	struct qc_cache *c = &q->cache;

	if (!c->hash)
		return;
	while (c->lru.lru_next != &c->lru)
		page_free(q, c->lru.lru_next);
	free(c->hash);
	c->hash = NULL;
}

static struct qc_page *page_add(struct qc_disk *q, enum qc_page_kind kind,
				uint64_t offset)
{
	struct qc_page *p = calloc(1, sizeof(*p));
	struct qc_page **slot;

	if (!p)
		return NULL;
	p->data = aligned_alloc(q->cache.page_bytes, q->cache.page_bytes);
	if (!p->data) {
		free(p);
		return NULL;
	}
	p->q = q;
	p->kind = kind;
	p->offset = offset;
	slot = find_slot(q, offset);
	p->hash_next = *slot;
	*slot = p;
	lru_add_newest(&q->cache, p);
	q->cache.nr_pages++;
	return p;
}

static void page_loaded(struct eng_io *io, int res)
{
	struct qc_page *p = vc_container_of(io, struct qc_page, io);
	struct qc_disk *q = p->q;

	p->is_loading = false;
	qc_wake(q, &p->waiters, qc_result_of(res));
	if (res < 0)
		page_free(q, p);
	qc_run_queue(q);
}

enum qc_result qc_page_get(struct qc_disk *q, enum qc_page_kind kind,
			   uint64_t offset, struct qc_waiter *w,
			   struct qc_page **ret)
{
	struct qc_page *p = *find_slot(q, offset);

	if (p && p->kind != kind)
		return qc_corrupt(q,
				  "the cluster at %#llx is in an L2 table and "
				  "in a refcount block",
				  (unsigned long long)offset);
	if (p && !p->is_loading) {
		lru_remove(p);
		lru_add_newest(&q->cache, p);
		*ret = p;
		return QC_OK;
	}
	if (!p) {
		p = page_add(q, kind, offset);
		if (!p)
			return QC_ENOMEM;
		p->is_loading = true;
		p->io.op = ENG_READ;
		p->io.offset = offset;
		p->io.done = page_loaded;
		eng_io_set_buf(&p->io, p->data, q->cache.page_bytes);
		p->io.fd = disk_fd_for(&q->base, &p->io);
		engine_submit(q->base.engine, &p->io);
	}
	qc_wait_on(&p->waiters, w);
	return QC_WAIT;
}

enum qc_result qc_page_new(struct qc_disk *q, enum qc_page_kind kind,
			   uint64_t offset, struct qc_page **ret)
{
	struct qc_page *p = *find_slot(q, offset);

	/* one that is there belongs to metadata that this cluster would
	 * overwrite */
	if (p)
		return qc_corrupt(q, "metadata at %#llx is not allocated",
				  (unsigned long long)offset);
	p = page_add(q, kind, offset);
	if (!p)
		return QC_ENOMEM;
	memset(p->data, 0, q->cache.page_bytes);
	qc_page_dirty(q, p);
	*ret = p;
	return QC_OK;
}

void qc_page_dirty(struct qc_disk *q, struct qc_page *p)
{
	if (!p->is_dirty)
		q->cache.nr_dirty++;
	p->is_dirty = true;
}

void qc_cache_forget(struct qc_disk *q, uint64_t offset)
{
	uint64_t end = offset + q->h.cluster_bytes;

	for (; offset < end; offset += q->cache.page_bytes) {
		struct qc_page *p = *find_slot(q, offset);

		if (p && !p->is_loading)
			page_free(q, p);
	}
}

void qc_cache_trim(struct qc_disk *q)
{
	struct qc_cache *c = &q->cache;
	struct qc_page *p = c->lru.lru_next, *next;

	for (; c->nr_pages > c->max_pages && p != &c->lru; p = next) {
		next = p->lru_next;
		if (!p->is_dirty && !p->is_loading)
			page_free(q, p);
	}
}
