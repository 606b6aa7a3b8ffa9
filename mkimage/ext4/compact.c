/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contents that later entries replaced leave holes behind the cursor. When the
 * last entry is in, what lies highest moves down into them, and the cursor
 * with it: the file system is laid out as though only what stays had come, and
 * is as small.
 *
 *	| a | dropped | b | dropped | c | d |    ->    | a | d | b | c |
 *
 * With a given size, contents may pass its end before others are dropped. Those
 * wait in a file without a name; how much that may become is limited, so that
 * an archive that expands without end does not fill the host. What is beyond
 * that, or finds no space there, is only counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "mkimage/ext4/fs.h"

#define MAX_SPILL_BYTES (UINT64_C(16) << 30)
#define COPY_BLOCKS 256u

/* --- past the end ---------------------------------------------------------- */

int e4_spill(struct e4 *fs, uint64_t nr, const uint8_t *data,
	     struct vc_error *err)
{
	const uint64_t at = (nr - fs->limit) * E4_BLOCK;

	if (!fs->opts.size_bytes || fs->is_spill_full)
		return 0;
	if (!fs->spill && out_temp(fs->out, &fs->spill, err))
		return -1;
	if (at < MAX_SPILL_BYTES &&
	    !vc_pwrite_full(vc_outfile_get_fd(fs->spill), data, E4_BLOCK, at)) {
		fs->spill_end = nr + 1;
		return 0;
	}
	if (at < MAX_SPILL_BYTES && errno != ENOSPC)
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

/* --- holes ----------------------------------------------------------------- */

struct mover {
	struct e4 *fs;
	uint64_t end;	     /* where the contents are to end */
	size_t hole;	     /* of fs->dropped, sorted */
	uint32_t used;	     /* of that hole */
	uint8_t *buf;	     /* owned */
	struct node **nodes; /* owned: what has blocks at or after `end` */
	size_t nr, max;
};

static int compare_holes(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return (x->physical > y->physical) - (x->physical < y->physical);
}

/* Up to `want` blocks side by side, or 0. */
static uint32_t take_hole(struct mover *m, uint32_t want, uint64_t *ret)
{
	const struct extent *h;

	if (m->hole < m->fs->nr_dropped &&
	    m->used == m->fs->dropped[m->hole].len) {
		m->hole++;
		m->used = 0;
	}
	if (m->hole == m->fs->nr_dropped)
		return 0;
	h = &m->fs->dropped[m->hole];
	*ret = h->physical + m->used;
	if (*ret >= m->end)
		return 0;
	want = (uint32_t)vc_min_u64(want, h->len - m->used);
	want = (uint32_t)vc_min_u64(want, m->end - *ret);
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

/* --- what moves ------------------------------------------------------------ */

static uint64_t end_of(const struct extents *ext)
{
	const struct extent *last = extents_get(ext, ext->nr - 1);

	return last->physical + last->len;
}

/* In order of their places: that they came in. A file is written from its start
 * to its end, so its last block is its highest. */
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
		if (n->type != NODE_FILE || !n->ext.nr ||
		    end_of(&n->ext) <= m->end)
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

static int move_extent(struct mover *m, const struct extent *e,
		       struct extents *to, struct vc_error *err)
{
	uint32_t done = 0, got;
	uint64_t at;

	if (e->physical < m->end)
		done = (uint32_t)vc_min_u64(e->len, m->end - e->physical);
	if (done && extents_append(to, e->logical, e->physical, done, err))
		return -1;
	for (; done < e->len; done += got) {
		got = take_hole(m, e->len - done, &at);
		if (!got)
			return vc_fail(err, VC_E_INTERNAL, 0,
				       "layout: too few holes");
		if (copy_blocks(m, e->physical + done, at, got, err) ||
		    extents_append(to, e->logical + done, at, got, err))
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

static int move_all(struct mover *m, struct vc_error *err)
{
	struct e4 *fs = m->fs;
	const uint64_t high = vc_min_u64(fs->next, fs->limit);
	size_t i;

	m->buf = malloc((size_t)COPY_BLOCKS * E4_BLOCK);
	if (!m->buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "layout");
	qsort(fs->dropped, fs->nr_dropped, sizeof(*fs->dropped), compare_holes);
	for (i = 0; i < m->nr; i++)
		if (move_node(m, m->nodes[i], err))
			return -1;
	/* what follows relies on zeroes, and what was replaced must not be
	 * found in the image's free space */
	return high > m->end ? out_zero(fs->out, m->end, high - m->end, err)
			     : 0;
}

int e4_compact(struct e4 *fs, struct vc_error *err)
{
	struct mover m = {
		.fs = fs,
		.end = e4_advance(fs, 0, fs->nr_alloced),
	};
	int rc;

	if (!fs->nr_dropped)
		return 0;
	rc = collect(&m, err);
	/* too much for the size: only counted, for the message */
	if (!rc && m.end <= fs->limit) {
		fs->is_lost = !is_there(&m);
		if (!fs->is_lost)
			rc = move_all(&m, err);
	}
	fs->nr_dropped = 0;
	e4_set_cursor(fs, m.end);
	free(m.nodes);
	free(m.buf);
	return rc;
}
