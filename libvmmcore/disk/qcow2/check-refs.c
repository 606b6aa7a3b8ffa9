/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who refers to the clusters that something is wrong with. A check counts
 * references and does not keep where they come from: for the few clusters whose
 * count is wrong the metadata is walked once more, and this time the places are
 * noted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/check.h"

bool qc_suspects_add(struct qc_suspects *all, const struct qc_suspect *s)
{
	if (!all->items)
		all->items = calloc(QC_MAX_SUSPECTS, sizeof(*all->items));
	if (!all->items || qc_suspects_full(all))
		return false;
	all->items[all->nr++] = *s;
	return true;
}

bool qc_suspects_full(const struct qc_suspects *all)
{
	return all->nr_done + all->nr == QC_MAX_SUSPECTS;
}

void qc_suspects_clear(struct qc_suspects *all)
{
	all->nr_done += all->nr;
	all->nr = 0;
}

void qc_suspects_fini(struct qc_suspects *all)
{
	free(all->items);
	all->items = NULL;
}

/* The first one that is not before `cluster`; they are in ascending order. */
static unsigned lower_bound(const struct qc_suspects *all, uint64_t cluster)
{
	unsigned low = 0, high = all->nr;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (all->items[mid].cluster < cluster)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void qc_suspects_note(struct qc_suspects *all, uint64_t first, uint64_t nr,
		      const struct qc_place *place)
{
	unsigned i = lower_bound(all, first);

	for (; i < all->nr && all->items[i].cluster - first < nr; i++) {
		struct qc_suspect *s = &all->items[i];

		if (s->nr_by < QC_MAX_PLACES)
			s->by[s->nr_by] = *place;
		s->nr_by++;
	}
}

/* --- words ------------------------------------------------------------------- */

static void place_text(const struct qc_place *p, char *buf, size_t size)
{
	unsigned long long table = p->table, index = p->index;
	bool is_active = p->owner == QC_ACTIVE;
	char tree[40] = "";

	if (!is_active)
		snprintf(tree, sizeof(tree), "snapshot %u: ", p->owner);
	switch (p->kind) {
	case QC_AT_HEADER:
		snprintf(buf, size, "the header itself");
		break;
	case QC_AT_REFTABLE:
		snprintf(buf, size, "the header (refcount table)");
		break;
	case QC_AT_REFBLOCK:
		snprintf(buf, size, "refcount table %#llx entry %llu", table,
			 index);
		break;
	case QC_AT_L1:
		snprintf(buf, size, "%s%s", tree,
			 is_active ? "the header (L1 table)" : "L1 table");
		break;
	case QC_AT_L2:
		snprintf(buf, size, "%sL1 table %#llx entry %llu", tree, table,
			 index);
		break;
	case QC_AT_DATA:
		snprintf(buf, size,
			 "%sL2 table %#llx entry %llu (guest offset %#llx)",
			 tree, table, index, (unsigned long long)p->guest);
		break;
	case QC_AT_SNAPSHOTS:
		snprintf(buf, size, "the header (snapshot table)");
		break;
	case QC_AT_BITMAP_DIR:
		snprintf(buf, size, "the header (bitmap directory)");
		break;
	case QC_AT_BITMAP_TABLE:
		snprintf(buf, size, "bitmap %u (table)", p->owner);
		break;
	case QC_AT_BITMAP:
		snprintf(buf, size, "bitmap %u: table %#llx entry %llu",
			 p->owner, table, index);
		break;
	}
}

void qc_suspect_by(const struct qc_suspect *s, char *buf, size_t size)
{
	char place[160];
	uint64_t i;
	size_t n = 0;

	buf[0] = '\0';
	for (i = 0; i < s->nr_by && i < QC_MAX_PLACES; i++) {
		place_text(&s->by[i], place, sizeof(place));
		n = strlen(buf);
		snprintf(buf + n, size - n, "%s%s",
			 i ? ", " : "; referred to by ", place);
	}
	n = strlen(buf);
	if (s->nr_by > QC_MAX_PLACES)
		snprintf(buf + n, size - n, " and %llu more",
			 (unsigned long long)s->nr_by - QC_MAX_PLACES);
}
