/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When the last entry is in, contents move to where they would be had the size
 * been known from the start. There are two reasons for that.
 *
 * What later entries replaced has left holes behind the cursor. What lies
 * highest moves down into them: the file system is laid out as though only what
 * stays had come, and is as small.
 *
 *	| a | dropped | b | dropped | c | d |    ->    | a | d | b | c |
 *
 * And the room behind the superblock and each of its copies, which the cursor
 * has jumped over, may have to be larger than it was taken to be: contents
 * leave it for the end.
 *
 * With a given size, contents may pass its end before others are dropped. Those
 * wait in a file without a name, as long as others of this host keep as much
 * space as that takes. What is beyond that is only counted.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "mkimage/ext4/fs.h"

/* So much may wait in any case. Beyond that, one look a step at how much space
 * is left to others. */
#define SPILL_BYTES (UINT64_C(16) << 30)
#define SPILL_STEP (UINT64_C(64) << 20)
#define COPY_BLOCKS 256u

/* --- past the end --------------------------------------------------------- */

static bool may_spill(const struct e4 *fs, uint64_t at)
{
	struct statvfs st;

	if (at < SPILL_BYTES || at % SPILL_STEP)
		return true;
	return !fstatvfs(vc_outfile_get_fd(fs->spill), &st) &&
	       st.f_bavail * st.f_frsize >= at;
}

int e4_spill(struct e4 *fs, uint64_t nr, const uint8_t *data,
	     struct vc_error *err)
{
	const uint64_t at = (nr - fs->limit) * E4_BLOCK;

	if (!fs->opts.size_bytes || fs->is_spill_full)
		return 0;
	if (!fs->spill && out_temp(fs->out, &fs->spill, err))
		return -1;
	if (!may_spill(fs, at)) {
		fs->is_spill_full = true;
		return 0;
	}
	if (!vc_pwrite_full(vc_outfile_get_fd(fs->spill), data, E4_BLOCK, at)) {
		fs->spill_end = nr + 1;
		return 0;
	}
	if (errno != ENOSPC)
		return vc_fail(err, VC_E_SYS, errno, "temporary file: write");
	fs->is_spill_full = true;
	return 0;
}

static int read_blocks(struct e4 *fs, uint64_t nr, uint8_t *data, size_t count,
		       struct vc_error *err)
{
	if (nr < fs->limit)
		return out_pread(fs->out, nr * E4_BLOCK, data, count * E4_BLOCK,
				 err);
	if (vc_pread_full(vc_outfile_get_fd(fs->spill), data, count * E4_BLOCK,
			  (nr - fs->limit) * E4_BLOCK))
		return vc_fail(err, VC_E_SYS, errno, "temporary file: read");
	return 0;
}

/* --- holes ---------------------------------------------------------------- */

struct mover {
	struct e4 *fs;
	uint64_t end;	      /* where the contents are to end */
	struct extent *holes; /* owned: below that, where nothing stays */
	size_t nr_holes, max_holes;
	size_t hole;	     /* to be filled next */
	uint32_t used;	     /* of that hole */
	uint8_t *buf;	     /* owned */
	struct node **nodes; /* owned: what has blocks that must move */
	size_t nr, max;
};

static int compare_holes(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->physical > y->physical) - (x->physical < y->physical);
}

static int push_hole(struct mover *m, uint64_t start, uint64_t end,
		     struct vc_error *err)
{
	const struct extent hole = { .physical = start,
				     .len = (uint32_t)(end - start) };
	struct extent *more;
	size_t max;

	if (m->nr_holes == m->max_holes) {
		max = m->max_holes ? 2 * m->max_holes : 64;
		more = realloc(m->holes, max * sizeof(*more));
		if (!more)
			return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
		m->holes = more;
		m->max_holes = max;
	}
	m->holes[m->nr_holes++] = hole;
	return 0;
}

/* What of these blocks contents may be in. */
static int add_holes(struct mover *m, uint64_t start, uint64_t end,
		     struct vc_error *err)
{
	uint64_t at = start, run;

	end = vc_min_u64(end, m->end);
	for (;; at = run) {
		at = e4_skip_head(m->fs, at, &run);
		if (at >= end)
			return 0;
		if (push_hole(m, at, vc_min_u64(run, end), err))
			return -1;
	}
}

static int find_holes(struct mover *m, uint64_t next, struct vc_error *err)
{
	const struct e4 *fs = m->fs;
	const struct extent *e;
	size_t i;

	for (i = 0; i < fs->nr_dropped; i++) {
		e = &fs->dropped[i];
		if (add_holes(m, e->physical, e->physical + e->len, err))
			return -1;
	}
	if (add_holes(m, next, UINT64_MAX, err))
		return -1;
	if (m->nr_holes)
		qsort(m->holes, m->nr_holes, sizeof(*m->holes), compare_holes);
	return 0;
}

/* Up to `want` blocks side by side, or 0. */
static uint32_t take_hole(struct mover *m, uint32_t want, uint64_t *ret)
{
	const struct extent *h;

	if (m->hole < m->nr_holes && m->used == m->holes[m->hole].len) {
		m->hole++;
		m->used = 0;
	}
	if (m->hole == m->nr_holes)
		return 0;
	h = &m->holes[m->hole];
	*ret = h->physical + m->used;
	want = (uint32_t)vc_min_u64(want, h->len - m->used);
	m->used += want;
	return want;
}

static int copy_blocks(struct mover *m, uint64_t from, uint64_t to,
		       uint32_t len, struct vc_error *err)
{
	uint32_t n;

	for (; len; len -= n, from += n, to += n) {
		n = len < COPY_BLOCKS ? len : COPY_BLOCKS;
		if (from < m->fs->limit)
			n = (uint32_t)vc_min_u64(n, m->fs->limit - from);
		if (read_blocks(m->fs, from, m->buf, n, err) ||
		    out_write(m->fs->out, to, m->buf, n, err))
			return -1;
	}
	return 0;
}

/* --- what moves ----------------------------------------------------------- */

static uint64_t end_of(const struct extents *ext)
{
	const struct extent *last = extents_get(ext, ext->nr - 1);

	return last->physical + last->len;
}

/* How many of the blocks from `at` to `end`, counted from `at`, have one fate:
 * all stay, or all must move. */
static uint32_t run_of(const struct mover *m, uint64_t at, uint64_t end,
		       bool *ret_stays)
{
	uint64_t start, run;

	start = e4_skip_head(m->fs, at, &run);
	*ret_stays = start == at && at < m->end;
	if (*ret_stays)
		end = vc_min_u64(end, vc_min_u64(run, m->end));
	else if (start > at)
		end = vc_min_u64(end, start);
	return (uint32_t)(end - at);
}

static bool must_move(const struct mover *m, const struct extents *ext)
{
	const struct extent *e;
	bool stays;
	uint32_t i;

	for (i = 0; i < ext->nr; i++) {
		e = extents_get(ext, i);
		if (run_of(m, e->physical, e->physical + e->len, &stays) !=
			    e->len ||
		    !stays)
			return true;
	}
	return false;
}

/* By their first blocks, which is the order in which they came. */
static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a,
			  *y = *(struct node *const *)b;

	return (x->ext.first.physical > y->ext.first.physical) -
	       (x->ext.first.physical < y->ext.first.physical);
}

static int collect(struct mover *m, struct vc_error *err)
{
	struct node *n, **more;
	size_t max;

	for (n = m->fs->tree->root; n; n = n->next) {
		if (n->type != NODE_FILE || !must_move(m, &n->ext))
			continue;
		if (m->nr == m->max) {
			max = m->max ? 2 * m->max : 256;
			more = realloc(m->nodes, max * sizeof(struct node *));
			if (!more)
				return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
			m->nodes = more;
			m->max = max;
		}
		m->nodes[m->nr++] = n;
	}
	if (m->nr)
		qsort(m->nodes, m->nr, sizeof(struct node *), compare_nodes);
	return 0;
}

static int move_run(struct mover *m, uint32_t logical, uint64_t from,
		    uint32_t len, struct extents *to, struct vc_error *err)
{
	uint32_t got;
	uint64_t at;

	for (; len; len -= got, logical += got, from += got) {
		got = take_hole(m, len, &at);
		if (!got)
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "layout: too few holes");
		if (copy_blocks(m, from, at, got, err) ||
		    extents_append(to, logical, at, got, err))
			return -1;
	}
	return 0;
}

static int move_extent(struct mover *m, const struct extent *e,
		       struct extents *to, struct vc_error *err)
{
	const uint64_t end = e->physical + e->len;
	uint32_t done, n;
	bool stays;
	int rc;

	for (done = 0; done < e->len; done += n) {
		n = run_of(m, e->physical + done, end, &stays);
		rc = stays ? extents_append(to, e->logical + done,
					    e->physical + done, n, err)
			   : move_run(m, e->logical + done, e->physical + done,
				      n, to, err);
		if (rc)
			return -1;
	}
	return 0;
}

static int move_node(struct mover *m, struct node *n, struct vc_error *err)
{
	struct extents to = { 0 };
	uint32_t i;

	for (i = 0; i < n->ext.nr; i++) {
		if (move_extent(m, extents_get(&n->ext, i), &to, err)) {
			extents_fini(&to);
			return -1;
		}
	}
	extents_fini(&n->ext);
	n->ext = to;
	return 0;
}

/* Is all of it on the disk or in the file beside it? */
static bool is_there(const struct mover *m)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (end_of(&m->nodes[i]->ext) > m->fs->limit &&
		    end_of(&m->nodes[i]->ext) > m->fs->spill_end)
			return false;
	return true;
}

static int zero(struct mover *m, uint64_t start, uint64_t end,
		struct vc_error *err)
{
	end = vc_min_u64(end, m->fs->limit);
	return start < end ? out_zero(m->fs->out, start, end - start, err) : 0;
}

/* Behind each superblock there were `was` blocks; those below `high` may have
 * been written. What follows relies on zeroes, and what was replaced must not
 * be found in the image's free space. */
static int clear(struct mover *m, uint32_t was, uint64_t high,
		 struct vc_error *err)
{
	const struct e4 *fs = m->fs;
	uint64_t start = 0;
	uint32_t i;

	for (i = 0; start < high; i++) {
		if (zero(m, start + was, start + fs->head_blocks, err))
			return -1;
		if (i == fs->nr_backups)
			break;
		start = (uint64_t)fs->backup[i] * E4_GROUP_BLOCKS;
	}
	/* whole clusters of any image format, so that the disk may end here */
	return zero(m, m->end, vc_align_up(high, OUT_ALIGN / E4_BLOCK), err);
}

static int move_all(struct mover *m, struct vc_error *err)
{
	size_t i;

	m->buf = malloc((size_t)COPY_BLOCKS * E4_BLOCK);
	if (!m->buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
	for (i = 0; i < m->nr; i++)
		if (move_node(m, m->nodes[i], err))
			return -1;
	return 0;
}

int e4_compact(struct e4 *fs, uint32_t head_blocks, struct vc_error *err)
{
	const uint32_t was = fs->head_blocks;
	const uint64_t next = fs->data_end, high = fs->next;
	struct mover m = { .fs = fs };
	int rc = 0;

	assert(head_blocks >= was);
	fs->nr_alloced = fs->nr_data;
	if (!fs->nr_dropped && was == head_blocks && next == high)
		return 0;
	fs->head_blocks = head_blocks;
	fs->data_end = m.end = e4_advance(fs, 0, fs->nr_data);
	/* too much for the size: only counted, for the message */
	if (m.end <= fs->limit) {
		rc = collect(&m, err);
		fs->is_lost = !rc && !is_there(&m);
		if (!rc && !fs->is_lost)
			rc = find_holes(&m, next, err) || move_all(&m, err) ||
					     clear(&m, was, high, err)
				     ? -1
				     : 0;
	}
	fs->nr_dropped = 0;
	e4_set_cursor(fs, m.end);
	free(m.holes);
	free(m.nodes);
	free(m.buf);
	return rc;
}
