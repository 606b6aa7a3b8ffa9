/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verifying the metadata: count how often each cluster of the file is referred
 * to and compare that with its refcount.
 *
 * Memory is bounded whatever the image: counters exist for a window of
 * WINDOW_CLUSTERS, and the metadata is walked once per window that something
 * refers to (check-walk.c, check-bitmaps.c). All but huge or hostile files have
 * one window. What is wrong with an entry itself is found by the first walk.
 * What refcounts should be goes to an edit (see repair.c).
 *
 * Where clusters with a wrong count are referred to is found by another walk of
 * the window, if there are such clusters and somebody listens (check-refs.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk/qcow2/check.h"

#define WINDOW_CLUSTERS (UINT64_C(8) << 20) /* 16 MiB of counters */
#define MAX_WALKS 128
/* Of L1, L2 and bitmap tables, in one walk: they may be shared, so the length
 * of the file is no limit. */
#define MAX_TABLE_BYTES (UINT64_C(16) << 30)

#define MANY_BITS 16
#define MAX_MANY (1u << (MANY_BITS - 1))

void qk_found(struct qk_checker *c, bool is_leak, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	if (is_leak)
		c->chk->nr_leaks++;
	else
		c->chk->nr_corruptions++;
	if (!c->chk->report)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->chk->report(c->chk, is_leak, text);
}

static struct qk_many *find_many(struct qk_checker *c, uint64_t cluster)
{
	size_t i = (size_t)((cluster * UINT64_C(0x9e3779b97f4a7c15)) >>
			    (64 - MANY_BITS));

	while (c->many[i].cluster && c->many[i].cluster != cluster)
		i = (i + 1) & ((1u << MANY_BITS) - 1);
	return &c->many[i];
}

static void count_many(struct qk_checker *c, uint64_t cluster)
{
	struct qk_many *m;

	if (!c->many)
		c->many = calloc(1u << MANY_BITS, sizeof(*c->many));
	m = c->many ? find_many(c, cluster) : NULL;
	if (!m || (!m->cluster && c->nr_many == MAX_MANY)) {
		c->is_over = true;
		return;
	}
	c->nr_many += !m->cluster;
	m->cluster = cluster;
	m->count++;
}

static uint64_t count_of(struct qk_checker *c, uint64_t cluster)
{
	uint64_t n = c->counts[cluster - c->first] & QK_COUNT_MASK;

	if (n == QK_COUNT_MASK && c->many)
		n += find_many(c, cluster)->count;
	return n;
}

void qk_count(struct qk_checker *c, uint64_t first, uint64_t nr, uint32_t as)
{
	uint64_t i;

	if (c->is_tracing) {
		qc_suspects_note(&c->suspects, first, nr, &c->at);
		return;
	}
	for (i = first; i < first + nr; i++) {
		uint16_t *v;

		if (i >= c->first + c->nr && i < c->next)
			c->next = i;
		if (i < c->first || i - c->first >= c->nr)
			continue;
		v = &c->counts[i - c->first];
		if ((*v & QK_COUNT_MASK) != QK_COUNT_MASK)
			++*v;
		else
			count_many(c, i);
		*v |= (uint16_t)as;
	}
	if (first + nr > c->last_used)
		c->last_used = first + nr;
}

/* Count a range of bytes; false if it is not in the file. */
bool qk_count_bytes(struct qk_checker *c, uint64_t offset, uint64_t len,
		    uint32_t as)
{
	uint64_t first = offset >> c->h.cluster_bits, nr;

	if (!len)
		return true;
	if (offset + len < offset)
		return false;
	nr = ((offset + len - 1) >> c->h.cluster_bits) - first + 1;
	if (first + nr > c->file_clusters)
		return false;
	qk_count(c, first, nr, as);
	return true;
}

int qk_read_table(struct qk_checker *c, void *buf, size_t len, uint64_t offset,
		  struct vc_error *err)
{
	c->table_bytes += len;
	if (c->table_bytes > MAX_TABLE_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: more than %llu bytes of tables",
			       (unsigned long long)MAX_TABLE_BYTES);
	return qc_read_padded(c->fd, buf, len, offset, err);
}

bool qk_is_repeated(struct qk_checker *c, uint64_t offset, uint32_t owner,
		    uint32_t index, const char *what)
{
	uint32_t other;

	if (!qc_seen_before(c->seen, offset, owner, index, &other))
		return false;
	if (c->is_first_walk && c->repeated != offset)
		qk_found(c, false,
			 "ERROR %s%s entry %u: %#llx: entry %u has it, too",
			 owner == QK_REFTABLE ? "" : c->owner.what, what, index,
			 (unsigned long long)offset, other);
	c->repeated = offset;
	return true;
}

/* --- the refcounts themselves --------------------------------------------------- */

static void walk_reftable(struct qk_checker *c)
{
	uint64_t i,
		per = ((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;

	c->at = (struct qc_place){ .kind = QC_AT_REFTABLE };
	/* the ones that a repair makes come into their place */
	if (!c->sink)
		qk_count(c, c->h.reftable_offset >> c->h.cluster_bits,
			 c->h.reftable_clusters, QK_IS_META);
	for (i = 0; i < c->reftable.nr; i++) {
		uint64_t e = qc_table_get(&c->reftable, i), range = i * per;

		if (!e)
			continue;
		c->at = (struct qc_place){ QC_AT_REFBLOCK, QC_ACTIVE,
					   c->h.reftable_offset, i, 0 };
		if (qk_is_repeated(c, e, QK_REFTABLE, (uint32_t)i,
				   "refcount table")) {
			qc_table_set(&c->reftable, i, 0);
			continue;
		}
		if (qk_is_aligned(c, e) &&
		    (e >> c->h.cluster_bits) < c->file_clusters) {
			if (!c->sink)
				qk_count_bytes(c, e, c->h.cluster_bytes,
					       QK_IS_META);
			/* its clusters are to be looked at, used or not */
			if (range + per > c->first + c->nr && range < c->next)
				c->next = range < c->first + c->nr
						  ? c->first + c->nr
						  : range;
			continue;
		}
		if (c->is_first_walk)
			qk_found(c, false,
				 "ERROR refcount table %#llx entry %llu: bad "
				 "offset: %#llx",
				 (unsigned long long)c->h.reftable_offset,
				 (unsigned long long)i, (unsigned long long)e);
		qc_table_set(&c->reftable, i, 0);
	}
}

static int walk(struct qk_checker *c, struct vc_error *err)
{
	c->table_bytes = c->repeated = 0;
	qc_seen_clear(c->seen);
	c->at = (struct qc_place){ .kind = QC_AT_HEADER };
	qk_count(c, 0, 1, QK_IS_META);
	walk_reftable(c);
	c->owner = (struct qk_owner){ "", true, QC_ACTIVE, 0 };
	if (qk_walk_l1(c, c->h.l1_offset, c->h.l1_size, err) < 0)
		return -1;
	c->owner = (struct qk_owner){ "", false, QC_ACTIVE, 0 };
	if (qk_walk_snapshots(c, err) < 0 || qk_walk_bitmaps(c, err) < 0)
		return -1;
	/* they would be counted once, and lowered to that */
	if (c->repeated && c->sink && c->repair == VC_DISK_REPAIR_LEAKS)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "qcow2: the table at %#llx is named twice",
			       (unsigned long long)c->repeated);
	if (c->is_over)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2: more than %u clusters are referred to "
			       "more than %u times",
			       MAX_MANY, QK_COUNT_MASK);
	return 0;
}

static uint64_t refcounts_per_block(const struct qk_checker *c)
{
	return ((uint64_t)c->h.cluster_bytes * 8) >> c->h.refcount_order;
}

/* Where the refcount of a cluster is. */
static void refcount_place(const struct qk_checker *c,
			   const struct qc_suspect *s, char *buf, size_t size)
{
	uint64_t per = refcounts_per_block(c);
	unsigned long long i = s->cluster / per, k = s->cluster % per;
	unsigned long long table = c->h.reftable_offset;

	if (s->block)
		snprintf(buf, size,
			 "refcount block %#llx entry %llu (refcount table "
			 "%#llx entry %llu)",
			 (unsigned long long)s->block, k, table, i);
	else
		snprintf(buf, size,
			 "no refcount block (refcount table %#llx entry %llu)",
			 table, i);
}

static bool is_miscounted(const struct qc_suspect *s)
{
	return s->references != s->refcount;
}
static bool is_overlap(const struct qc_suspect *s)
{
	return ((s->as & QK_IS_META) && s->references > 1) ||
	       ((s->as & QK_IS_TABLE) && (s->as & QK_IS_DATA));
}
static bool is_wrongly_copied(const struct qc_suspect *s)
{
	return (s->as & QK_IS_COPIED) && s->refcount != 1;
}
static bool lacks_copied(const struct qc_suspect *s)
{
	return (s->as & QK_NOT_COPIED) && s->refcount == 1;
}

static void report_suspect(struct qk_checker *c, const struct qc_suspect *s)
{
	unsigned long long n = s->cluster, at = n << c->h.cluster_bits;
	const char *what = s->as & QK_IS_TABLE ? "an L2 table" : "data";
	char count[160], by[QC_MAX_PLACES * 160];
	bool is_leak = s->references < s->refcount;

	refcount_place(c, s, count, sizeof(count));
	qc_suspect_by(s, by, sizeof(by));
	if (is_miscounted(s))
		qk_found(c, is_leak,
			 "%s cluster %llu refcount=%llu reference=%llu: %s%s",
			 is_leak ? "Leaked" : "ERROR", n,
			 (unsigned long long)s->refcount,
			 (unsigned long long)s->references, count, by);
	if (is_overlap(s))
		qk_found(
			c, false,
			"ERROR cluster %llu (offset %#llx) is %s and something "
			"else%s",
			n, at, s->as & QK_IS_META ? "metadata" : "an L2 table",
			by);
	if (is_wrongly_copied(s))
		qk_found(c, false,
			 "ERROR cluster %llu (%s at offset %#llx) 'copied' but "
			 "refcount=%llu: %s%s",
			 n, what, at, (unsigned long long)s->refcount, count,
			 by);
	if (lacks_copied(s))
		qk_found(c, false,
			 "ERROR cluster %llu (%s at offset %#llx) not 'copied' "
			 "but refcount=1: %s%s",
			 n, what, at, count, by);
}

/* Walk once more to see who refers to the suspects, and report them. */
static int report_suspects(struct qk_checker *c, struct vc_error *err)
{
	bool is_first_walk = c->is_first_walk;
	unsigned i;
	int ret;

	if (!c->suspects.nr)
		return 0;
	c->is_first_walk = false;
	c->is_tracing = true;
	ret = walk(c, err);
	c->is_tracing = false;
	c->is_first_walk = is_first_walk;
	for (i = 0; i < c->suspects.nr; i++)
		report_suspect(c, &c->suspects.items[i]);
	qc_suspects_clear(&c->suspects);
	return ret;
}

/* `block`: offset of the block with its refcount, or 0. */
static int compare_one(struct qk_checker *c, uint64_t cluster,
		       uint64_t refcount, uint64_t block, struct vc_error *err)
{
	uint32_t v = c->counts[cluster - c->first];
	struct qc_suspect s;

	/* one reference, that is counted and knows it */
	if (refcount == 1 && (v & (QK_COUNT_MASK | QK_NOT_COPIED)) == 1)
		return 0;
	s = (struct qc_suspect){ .cluster = cluster,
				 .refcount = refcount,
				 .references = count_of(c, cluster),
				 .block = block,
				 .as = v };
	if (!is_miscounted(&s) && !is_overlap(&s) && !is_wrongly_copied(&s) &&
	    !lacks_copied(&s))
		return 0;
	if (!c->chk->report || !qc_suspects_add(&c->suspects, &s))
		report_suspect(c, &s);
	/* those that are too many come after these */
	else if (qc_suspects_full(&c->suspects))
		return report_suspects(c, err);
	return 0;
}

/* With a sink: what the refcount is to be. */
static int compare_or_set(struct qk_checker *c, uint64_t cluster,
			  uint64_t refcount, uint64_t block,
			  struct vc_error *err)
{
	uint64_t refs;

	if (!c->sink) {
		if (!refcount && !c->counts[cluster - c->first])
			return 0;
		return compare_one(c, cluster, refcount, block, err);
	}
	refs = count_of(c, cluster);
	if (c->repair == VC_DISK_REPAIR_LEAKS && refcount < refs)
		refs = refcount;
	return refs ? qe_set(c->sink, cluster, refs, err) : 0;
}

static int compare(struct qk_checker *c, struct vc_error *err)
{
	uint64_t per = refcounts_per_block(c);
	uint64_t cluster = c->first, end = c->first + c->nr;

	while (cluster < end) {
		uint64_t block = cluster / per, i = cluster % per;
		uint64_t offset = block < c->reftable.nr
					  ? qc_table_get(&c->reftable, block)
					  : 0;

		if (offset &&
		    qc_read_padded(c->fd, c->block, c->h.cluster_bytes, offset,
				   err) < 0)
			return -1;
		for (; i < per && cluster < end; i++, cluster++) {
			uint64_t v = 0;

			if (offset)
				v = qc_refcount_get(c->block,
						    c->h.refcount_order, i);
			if (compare_or_set(c, cluster, v, offset, err) < 0)
				return -1;
		}
		/* nothing beyond what is in use and what has refcounts */
		if (block >= c->reftable.nr && cluster >= c->last_used)
			break;
	}
	return report_suspects(c, err);
}

/* --- the whole ------------------------------------------------------------------- */

static int check_windows(struct qk_checker *c, struct vc_error *err)
{
	unsigned walks = 0;

	c->is_first_walk = true;
	for (;;) {
		c->next = UINT64_MAX;
		c->nr_many = 0;
		if (c->many)
			memset(c->many, 0, sizeof(*c->many) << MANY_BITS);
		if (walk(c, err) < 0 || compare(c, err) < 0)
			return -1;
		c->is_first_walk = false;
		if (c->next == UINT64_MAX)
			break;
		if (++walks == MAX_WALKS)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "qcow2: too scattered to check");
		c->first = c->next;
		memset(c->counts, 0, (size_t)c->nr * sizeof(*c->counts));
	}
	c->chk->nr_total_clusters =
		vc_div_round_up(c->h.size, c->h.cluster_bytes);
	c->chk->image_end_bytes = c->last_used << c->h.cluster_bits;
	return 0;
}

/* All clusters of the file and all that have refcounts, if that is not too
 * much. */
static uint64_t window_size(const struct qk_checker *c)
{
	uint64_t per = refcounts_per_block(c), i = c->reftable.nr;

	while (i && !qc_table_get(&c->reftable, i - 1))
		i--;
	i *= per;
	if (i < c->file_clusters)
		i = c->file_clusters;
	return vc_min_u64(i, WINDOW_CLUSTERS);
}

static int check_init(struct qk_checker *c, int fd, struct vc_disk_check *chk,
		      struct vc_error *err)
{
	uint64_t file_bytes;

	c->fd = fd;
	c->chk = chk;
	if (qc_header_read(fd, &c->h, err) < 0 ||
	    qc_check_supported(&c->h, err) < 0 ||
	    disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	c->file_clusters = vc_div_round_up(file_bytes, c->h.cluster_bytes);
	if (qc_table_load(&c->reftable, fd, c->h.reftable_offset,
			  c->h.reftable_clusters * (c->h.cluster_bytes / 8),
			  "refcount table", err) < 0)
		return -1;
	c->nr = window_size(c);
	/* calloc(): a file of holes touches little of it */
	c->counts = calloc((size_t)c->nr, sizeof(*c->counts));
	c->l1 = malloc(QK_L1_PART * sizeof(*c->l1));
	c->l2 = malloc(c->h.cluster_bytes);
	c->block = malloc(c->h.cluster_bytes);
	c->seen = qc_seen_new();
	if (!c->counts || !c->seen || !c->l1 || !c->l2 || !c->block)
		return vc_fail(err, VC_E_SYS, ENOMEM, "check");
	return 0;
}

/* A data file or extended entries are no obstacle here. */
int qc_check_supported(const struct qc_header *h, struct vc_error *err)
{
	if (h->crypt_method || (h->incompatible & ~(uint64_t)QC_INCOMPAT_KNOWN))
		return qc_header_supported(h, err);
	return 0;
}

int qc_check_pass(int fd, struct vc_disk_check *chk, enum vc_disk_repair repair,
		  struct qc_edit *sink, struct vc_error *err)
{
	struct qk_checker c;
	int ret;

	memset(&c, 0, sizeof(c));
	c.repair = repair;
	c.sink = sink;
	ret = check_init(&c, fd, chk, err);
	if (ret == 0)
		ret = check_windows(&c, err);
	qc_table_fini(&c.reftable);
	qc_suspects_fini(&c.suspects);
	free(c.counts);
	free(c.many);
	free(c.seen);
	free(c.l1);
	free(c.l2);
	free(c.block);
	return ret;
}

int qc_check(int fd, struct vc_disk_check *chk, struct vc_error *err)
{
	if (chk->repair != VC_DISK_REPAIR_NONE)
		return qc_repair(fd, chk, err);
	return qc_check_pass(fd, chk, VC_DISK_REPAIR_NONE, NULL, err);
}
