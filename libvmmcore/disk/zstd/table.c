/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seek table. It has 8 or 12 bytes for each frame, far too many of them to
 * keep for a large image: at open all are read once, checked, and only the
 * place where every 64th begins is kept (or fewer, see ZS_MAX_MARKS). A group of
 * these is read again when one of its frames is wanted, and must then end where
 * the next one begins.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "disk/zstd/zstd.h"

#define SCAN_BYTES (ZS_MAX_GROUP * ZS_ENTRY_MAX * 4)

static int read_at(int fd, uint64_t offset, void *buf, size_t len,
		   const char *what, struct vc_error *err)
{
	if (vc_pread_full(fd, buf, len, offset) < 0)
		return vc_fail(err, VC_E_SYS, errno, "%s: read", what);
	return 0;
}

static struct zs_frame get_entry(const struct zs_table *t, const uint8_t *p)
{
	struct {
		le32_t compressed, size, checksum;
	} e = { 0 };

	memcpy(&e, p, t->entry_bytes);
	return (struct zs_frame){ .size = le32_get(e.size),
				  .compressed = le32_get(e.compressed),
				  .checksum = le32_get(e.checksum) };
}

static int read_footer(int fd, uint64_t file_bytes, struct zs_table *t,
		       struct vc_error *err)
{
	uint64_t len, least = ZS_SKIPPABLE_HEADER + sizeof(struct zs_footer);
	struct zs_footer footer;
	le32_t header[2];

	if (file_bytes < least)
		return vc_fail(err, VC_E_CORRUPT, 0, "seek table: no room");
	if (read_at(fd, file_bytes - sizeof(footer), &footer, sizeof(footer),
		    "seek table: footer", err) < 0)
		return -1;
	if (le32_get(footer.magic) != ZS_MAGIC_FOOTER)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "seek table: there is none: not written to its "
			       "end, or not a seekable file");
	if (footer.descriptor & ZS_DESC_RESERVED)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "seek table: descriptor 0x%02x",
			       footer.descriptor);
	t->has_checksums = footer.descriptor & ZS_DESC_CHECKSUMS;
	t->entry_bytes = t->has_checksums ? 12 : 8;
	t->nr_frames = le32_get(footer.nr_frames);
	if (t->nr_frames > ZS_MAX_FRAMES)
		return vc_fail(err, VC_E_LIMIT, 0, "seek table: %u frames",
			       t->nr_frames);
	len = (uint64_t)t->nr_frames * t->entry_bytes;
	if (len > file_bytes - least)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "seek table: %u frames: longer than the file",
			       t->nr_frames);
	t->entries_offset = file_bytes - sizeof(footer) - len;
	if (read_at(fd, t->entries_offset - ZS_SKIPPABLE_HEADER, header,
		    sizeof(header), "seek table: header", err) < 0)
		return -1;
	if (le32_get(header[0]) != ZS_MAGIC_TABLE ||
	    le32_get(header[1]) != len + sizeof(footer))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "seek table: header does not fit %u frames",
			       t->nr_frames);
	return 0;
}

/* What must be true of an entry whatever is around it. */
static int check_entry(const struct zs_frame *f, uint32_t nr,
		       struct vc_error *err)
{
	if (f->size > ZS_MAX_FRAME_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "frame %u: %u bytes, more than %u", nr, f->size,
			       ZS_MAX_FRAME_BYTES);
	/* one without contents is never read, hence may have any length */
	if (f->compressed < ZS_MIN_FRAME_BYTES ||
	    (f->size && f->compressed > zs_max_compressed(f->size)))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "frame %u: %u bytes in %u compressed ones", nr,
			       f->size, f->compressed);
	return 0;
}

/* Go on at *at with `nr` entries from number `first` on. */
static int scan(struct zs_table *t, const uint8_t *entries, uint32_t first,
		uint32_t nr, struct zs_mark *at, struct vc_error *err)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		struct zs_frame f =
			get_entry(t, entries + (size_t)i * t->entry_bytes);

		if (check_entry(&f, first + i, err) < 0)
			return -1;
		if ((first + i) % t->group == 0)
			t->marks[(first + i) / t->group] = *at;
		/* 2^27 frames of at most 2^32: no overflow */
		at->disk_offset += f.size;
		at->file_offset += f.compressed;
		if (f.size > t->max_size)
			t->max_size = f.size;
		if (f.size && f.compressed > t->max_compressed)
			t->max_compressed = f.compressed;
	}
	return 0;
}

static int scan_all(int fd, struct zs_table *t, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(SCAN_BYTES);
	uint32_t batch = SCAN_BYTES / t->entry_bytes, done, nr;
	struct zs_mark at = { 0, 0 };

	t->group = ZS_MIN_GROUP;
	while (t->group < ZS_MAX_GROUP &&
	       t->nr_frames / t->group > ZS_MAX_MARKS)
		t->group *= 2;
	t->nr_groups = (uint32_t)vc_div_round_up(t->nr_frames, t->group);
	t->marks = calloc((size_t)t->nr_groups + 1, sizeof(*t->marks));
	if (!buf || !t->marks)
		return vc_fail(err, VC_E_SYS, ENOMEM, "seek table");
	for (done = 0; done < t->nr_frames; done += nr) {
		nr = (uint32_t)vc_min_u64(batch, t->nr_frames - done);
		if (read_at(fd,
			    t->entries_offset + (uint64_t)done * t->entry_bytes,
			    buf, (size_t)nr * t->entry_bytes, "seek table",
			    err) < 0 ||
		    scan(t, buf, done, nr, &at, err) < 0)
			return -1;
	}
	t->marks[t->nr_groups] = at;
	/* or zstd would read another disk from the same file than we do */
	if (at.file_offset != t->entries_offset - ZS_SKIPPABLE_HEADER)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "seek table: frames of %llu bytes altogether, "
			       "not %llu",
			       (unsigned long long)at.file_offset,
			       (unsigned long long)(t->entries_offset -
						    ZS_SKIPPABLE_HEADER));
	return 0;
}

int zs_table_load(int fd, uint64_t file_bytes, struct zs_table *ret,
		  struct vc_error *err)
{
	struct zs_table t = { 0 };

	if (read_footer(fd, file_bytes, &t, err) < 0 ||
	    scan_all(fd, &t, err) < 0) {
		zs_table_free(&t);
		return -1;
	}
	*ret = t;
	return 0;
}

void zs_table_free(struct zs_table *t)
{
	free(t->marks);
	t->marks = NULL;
}

uint32_t zs_table_find(const struct zs_table *t, uint64_t offset)
{
	uint32_t low = 0, high = t->nr_groups;

	/* marks[low] <= offset < marks[high]; several marks may be equal, of
	 * groups without contents: the last of them is the one */
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (t->marks[mid].disk_offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

uint32_t zs_group_len(const struct zs_table *t, uint32_t group)
{
	return (uint32_t)vc_min_u64(t->group, t->nr_frames - group * t->group);
}

uint64_t zs_group_offset(const struct zs_table *t, uint32_t group)
{
	return t->entries_offset + (uint64_t)group * t->group * t->entry_bytes;
}

bool zs_group_decode(const struct zs_table *t, uint32_t group,
		     const uint8_t *entries, struct zs_frame *ret)
{
	struct zs_mark at = t->marks[group];
	uint32_t i, nr = zs_group_len(t, group);

	for (i = 0; i < nr; i++) {
		struct zs_frame f =
			get_entry(t, entries + (size_t)i * t->entry_bytes);

		if (check_entry(&f, i, NULL) < 0)
			return false;
		/* the buffers were sized by what was checked */
		if (f.size > t->max_size ||
		    (f.size && f.compressed > t->max_compressed))
			return false;
		f.disk_offset = at.disk_offset;
		f.file_offset = at.file_offset;
		at.disk_offset += f.size;
		at.file_offset += f.compressed;
		ret[i] = f;
	}
	return at.disk_offset == t->marks[group + 1].disk_offset &&
	       at.file_offset == t->marks[group + 1].file_offset;
}

int zs_group_read(int fd, const struct zs_table *t, uint32_t group,
		  struct zs_frame *ret, struct vc_error *err)
{
	uint8_t entries[ZS_MAX_GROUP * ZS_ENTRY_MAX];
	size_t len = (size_t)zs_group_len(t, group) * t->entry_bytes;

	if (read_at(fd, zs_group_offset(t, group), entries, len, "seek table",
		    err) < 0)
		return -1;
	if (!zs_group_decode(t, group, entries, ret))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "seek table: changed while it was read");
	return 0;
}
