/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "disk/qcow2/qcow2.h"

#define LOAD_BYTES (64u << 10)

static size_t nr_chunks(uint32_t nr)
{
	return ((size_t)nr * 8 + QC_TABLE_CHUNK - 1) / QC_TABLE_CHUNK;
}

/* What is zero stays untouched: calloc() takes no memory for it, and most of a
 * large table is zero. */
static int read_entries(struct qc_table *t, int fd, const char *what,
			struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(LOAD_BYTES);
	size_t total = (size_t)t->nr * 8, pos, n;

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read %s", what);
	for (pos = 0; pos < total; pos += n) {
		n = (size_t)vc_min_u64(total - pos, LOAD_BYTES);
		if (vc_pread_full(fd, buf, n, t->offset + pos) < 0) {
			if (errno == ENODATA)
				return vc_fail(err, VC_E_CORRUPT, 0,
					       "qcow2: %s cut short", what);
			return vc_fail(err, VC_E_SYS, errno, "read %s", what);
		}
		if (!disk_is_zero(buf, n))
			memcpy((uint8_t *)t->entries + pos, buf, n);
	}
	return 0;
}

int qc_table_load(struct qc_table *t, int fd, uint64_t offset, uint32_t nr,
		  const char *what, struct vc_error *err)
{
	t->nr = nr;
	t->offset = offset;
	t->entries = calloc(nr + 1u, sizeof(*t->entries));
	t->dirty = calloc(nr_chunks(nr) + 1, 1);
	if (!t->entries || !t->dirty)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read %s", what);
	return read_entries(t, fd, what, err);
}

void qc_table_fini(struct qc_table *t)
{
	free(t->entries);
	free(t->dirty);
	t->entries = NULL;
	t->dirty = NULL;
}

void qc_table_set(struct qc_table *t, uint64_t i, uint64_t v)
{
	t->entries[i] = be64_put(v);
	t->dirty[i * 8 / QC_TABLE_CHUNK] = 1;
	t->is_dirty = true;
}

bool qc_table_grow(struct qc_table *t, uint32_t nr)
{
	be64_t *entries = calloc(nr + 1u, sizeof(*entries));
	uint8_t *dirty = malloc(nr_chunks(nr) + 1);

	if (!entries || !dirty) {
		free(entries);
		free(dirty);
		return false;
	}
	memcpy(entries, t->entries, (size_t)t->nr * 8);
	memset(dirty, 1, nr_chunks(nr));
	qc_table_fini(t);
	t->entries = entries;
	t->dirty = dirty;
	t->nr = nr;
	t->is_dirty = true;
	return true;
}

bool qc_table_next_dirty(const struct qc_table *t, size_t *pos, size_t *len)
{
	size_t total = (size_t)t->nr * 8, start;
	size_t i = (*pos + QC_TABLE_CHUNK - 1) / QC_TABLE_CHUNK;

	while (i < nr_chunks(t->nr) && !t->dirty[i])
		i++;
	if (i >= nr_chunks(t->nr))
		return false;
	start = i;
	while (i < nr_chunks(t->nr) && t->dirty[i])
		i++;
	*pos = start * QC_TABLE_CHUNK;
	*len = (i * QC_TABLE_CHUNK < total ? i * QC_TABLE_CHUNK : total) - *pos;
	return true;
}

void qc_table_clean(struct qc_table *t)
{
	memset(t->dirty, 0, nr_chunks(t->nr));
	t->is_dirty = false;
}
