/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The layout (Microsoft's "FAT: General Overview of On-Disk Format", 1.03):
 *
 *	| reserved: boot sector, ... | FAT | FAT | root of FAT16 | clusters |
 *
 * Which of the two it is follows from the number of clusters and nothing else;
 * so the size chooses, and clusters are as large as other programs make them.
 * Everything lies side by side: directories first, then files, so the chains of
 * the FAT count upwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include "mkimage/disk/fat.h"

#define ENTRY 32
#define LONG_CHARS 13	/* of a name in one entry */
#define FAT16_ROOT 512u /* entries */
#define FAT16_MIN_CLUSTERS 4085u
#define FAT32_MIN_CLUSTERS 65525u
#define FAT32_FROM (UINT64_C(34) << 20) /* bytes */
#define RESERVED 32u
#define NR_FATS 2u
#define MEDIA 0xf8
#define BACKUP_BOOT 6u
#define COPY_BYTES ((size_t)256 * 1024)
#define LABEL "ESP        "
#define ATTR_LONG 0x0f
#define ATTR_VOLUME 0x08
#define ATTR_DIR 0x10
#define ATTR_FILE 0x20

/* Offsets in the boot sector. */
enum {
	BPB_BYTES_PER_SECTOR = 11,
	BPB_CLUSTER_SECTORS = 13,
	BPB_RESERVED = 14,
	BPB_FATS = 16,
	BPB_ROOT_ENTRIES = 17,
	BPB_SECTORS_16 = 19,
	BPB_MEDIA = 21,
	BPB_FAT_SECTORS_16 = 22,
	BPB_TRACK = 24,
	BPB_HEADS = 26,
	BPB_SECTORS_32 = 32,
	/* FAT16; FAT32 has the same from 64 on */
	BPB_DRIVE = 36,
	BPB_FAT_SECTORS_32 = 36,
	BPB_ROOT_CLUSTER = 44,
	BPB_FSINFO = 48,
	BPB_BACKUP = 50,
	BPB_DRIVE_32 = 64,
};

struct layout {
	struct fat *f;
	const struct fat_out *out;
	bool is_32;
	uint64_t nr_sectors;
	uint32_t cluster_sectors, cluster_bytes;
	uint32_t fat_sectors, root_sectors;
	uint32_t nr_clusters, next; /* next: to be handed out */
	uint64_t data_start;	    /* sector of cluster 2 */
	uint16_t date, time;
	uint8_t *table; /* the used part of the FAT */
	uint32_t serial;
};

static void put16(uint8_t *to, uint64_t v)
{
	const le16_t le = le16_put((uint16_t)v);

	memcpy(to, &le, sizeof(le));
}

static void put32(uint8_t *to, uint64_t v)
{
	const le32_t le = le32_put((uint32_t)v);

	memcpy(to, &le, sizeof(le));
}

/* --- sizes ---------------------------------------------------------------- */

static uint32_t cluster_sectors(uint64_t size)
{
	if (size < FAT32_FROM)
		return size > UINT64_C(16) << 20 ? 2 : 1;
	if (size <= UINT64_C(260) << 20)
		return 1;
	if (size <= UINT64_C(8) << 30)
		return 8;
	return size <= UINT64_C(16) << 30 ? 16 : 32;
}

static uint64_t entries_of(const struct fat_node *n)
{
	return 1 + vc_div_round_up(n->nr_utf16, LONG_CHARS);
}

static uint64_t dir_bytes(const struct fat_node *dir)
{
	const struct fat_node *n;
	uint64_t nr = dir->parent ? 2 : 1; /* . and .., or the label */

	for (n = dir->first; n; n = n->next)
		nr += entries_of(n);
	return nr * ENTRY;
}

static uint64_t bytes_below(const struct fat_node *dir, uint32_t cluster)
{
	uint64_t sum = vc_align_up(dir_bytes(dir), cluster);
	const struct fat_node *n;

	for (n = dir->first; n; n = n->next)
		sum += n->is_dir ? bytes_below(n, cluster)
				 : vc_align_up(n->size_bytes, cluster);
	return sum;
}

uint64_t fat_auto_bytes(const struct fat *f)
{
	/* the largest clusters there are, a 16th for the FATs and to live */
	uint64_t need = bytes_below(&f->root, 32 * FAT_SECTOR);

	need += need / 16 + (UINT64_C(8) << 20);
	if (need < UINT64_C(64) << 20)
		need = UINT64_C(64) << 20;
	return vc_align_up(need, UINT64_C(1) << 20);
}

static int choose(struct layout *l, uint64_t size, struct vc_error *err)
{
	uint32_t width, per_sector, left;

	if (size < FAT_MIN_BYTES || size > FAT_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "FAT: a size that is not 4 MiB to 32 GiB");
	l->is_32 = size >= FAT32_FROM;
	width = l->is_32 ? 4 : 2;
	per_sector = FAT_SECTOR / width;
	l->nr_sectors = size / FAT_SECTOR;
	l->cluster_sectors = cluster_sectors(size);
	l->cluster_bytes = l->cluster_sectors * FAT_SECTOR;
	l->root_sectors = l->is_32 ? 0 : FAT16_ROOT * ENTRY / FAT_SECTOR;
	left = (uint32_t)l->nr_sectors - RESERVED - l->root_sectors;
	/* as if all of it were clusters: a little more than is needed */
	l->fat_sectors = (uint32_t)vc_div_round_up(
		left / l->cluster_sectors + 2, per_sector);
	left -= NR_FATS * l->fat_sectors;
	l->nr_clusters = left / l->cluster_sectors;
	l->data_start = RESERVED + NR_FATS * l->fat_sectors + l->root_sectors;
	if (l->is_32 ? l->nr_clusters < FAT32_MIN_CLUSTERS
		     : l->nr_clusters < FAT16_MIN_CLUSTERS ||
			       l->nr_clusters >= FAT32_MIN_CLUSTERS)
		return vc_fail(err, VC_E_INTERNAL, 0, "FAT: %u clusters",
			       l->nr_clusters);
	l->next = 2;
	return 0;
}

static void set_time(struct layout *l, int64_t sec)
{
	const int64_t first = 315532800; /* 1980-01-01, the first there is */
	const int64_t last = INT64_C(4354819198); /* and the end of 2107 */
	time_t t = (time_t)(sec < first ? first : sec > last ? last : sec);
	struct tm tm;

	gmtime_r(&t, &tm);
	l->date = (uint16_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 |
			     tm.tm_mday);
	l->time = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | tm.tm_sec / 2);
}

/* --- clusters ------------------------------------------------------------- */

static int alloc(struct layout *l, struct fat_node *n, struct vc_error *err)
{
	uint64_t nr = vc_div_round_up(n->size_bytes, l->cluster_bytes);

	if (nr > l->nr_clusters + 2 - l->next)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "the files do not fit in %llu bytes",
			       (unsigned long long)l->nr_sectors * FAT_SECTOR);
	n->cluster = nr ? l->next : 0;
	n->nr_clusters = (uint32_t)nr;
	l->next += (uint32_t)nr;
	return 0;
}

static int alloc_dirs(struct layout *l, struct fat_node *dir,
		      struct vc_error *err)
{
	struct fat_node *n;

	dir->size_bytes = dir_bytes(dir);
	if (dir->size_bytes > FAT_MAX_DIR)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "a directory of more than 2 MiB");
	if (!dir->parent && !l->is_32) {
		if (dir->size_bytes > FAT16_ROOT * ENTRY)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "more names in the root than FAT16 "
				       "can have");
	} else if (alloc(l, dir, err)) {
		return -1;
	}
	for (n = dir->first; n; n = n->next)
		if (n->is_dir && alloc_dirs(l, n, err))
			return -1;
	return 0;
}

static int alloc_files(struct layout *l, struct fat_node *dir,
		       struct vc_error *err)
{
	struct fat_node *n;

	for (n = dir->first; n; n = n->next)
		if (n->is_dir ? alloc_files(l, n, err) : alloc(l, n, err))
			return -1;
	return 0;
}

static void set_entry(struct layout *l, uint32_t cluster, uint32_t next)
{
	if (l->is_32)
		put32(l->table + (size_t)cluster * 4, next & 0x0fffffff);
	else
		put16(l->table + (size_t)cluster * 2, next);
}

static void set_chains(struct layout *l, const struct fat_node *n)
{
	uint32_t i;

	for (i = 0; i < n->nr_clusters; i++)
		set_entry(l, n->cluster + i,
			  i + 1 < n->nr_clusters ? n->cluster + i + 1
						 : UINT32_MAX);
	for (n = n->first; n; n = n->next)
		set_chains(l, n);
}

static int write_at(struct layout *l, uint64_t sector, const void *data,
		    size_t len, struct vc_error *err)
{
	return l->out->write(l->out->opaque, sector * FAT_SECTOR, data, len,
			     err);
}

static int write_tables(struct layout *l, struct vc_error *err)
{
	size_t len =
		vc_align_up((uint64_t)l->next * (l->is_32 ? 4 : 2), FAT_SECTOR);
	uint32_t i;
	int rc = 0;

	l->table = calloc(1, len);
	if (!l->table)
		return vc_fail(err, VC_E_SYS, ENOMEM, "FAT");
	set_entry(l, 0, 0xffffff00 | MEDIA);
	set_entry(l, 1, UINT32_MAX);
	set_chains(l, &l->f->root);
	for (i = 0; !rc && i < NR_FATS; i++)
		rc = write_at(l, RESERVED + i * l->fat_sectors, l->table, len,
			      err);
	free(l->table);
	return rc;
}

/* --- directories ---------------------------------------------------------- */

static void put_entry(const struct layout *l, uint8_t *to, const char name[11],
		      uint8_t attr, uint32_t cluster, uint64_t size)
{
	memcpy(to, name, 11);
	to[11] = attr;
	put16(to + 14, l->time); /* made */
	put16(to + 16, l->date);
	put16(to + 18, l->date); /* read */
	put16(to + 20, cluster >> 16);
	put16(to + 22, l->time); /* written */
	put16(to + 24, l->date);
	put16(to + 26, cluster);
	put32(to + 28, size);
}

/* The entries of a long name come before its own, the last part first. */
static uint8_t *put_long_name(uint8_t *to, const struct fat_node *n)
{
	static const uint8_t at[LONG_CHARS] = { 1,  3,	5,  7,	9,  14, 16,
						18, 20, 22, 24, 28, 30 };
	unsigned nr = (n->nr_utf16 + LONG_CHARS - 1) / LONG_CHARS;
	unsigned part, i, pos;
	uint8_t sum = 0;

	for (i = 0; i < 11; i++)
		sum = (uint8_t)((sum << 7 | sum >> 1) +
				(uint8_t)n->short_name[i]);
	for (part = nr; part > 0; part--, to += ENTRY) {
		to[0] = (uint8_t)(part | (part == nr ? 0x40 : 0));
		to[11] = ATTR_LONG;
		to[13] = sum;
		for (i = 0; i < LONG_CHARS; i++) {
			pos = (part - 1) * LONG_CHARS + i;
			put16(to + at[i], pos < n->nr_utf16    ? n->utf16[pos]
					  : pos == n->nr_utf16 ? 0
							       : 0xffff);
		}
	}
	return to;
}

static uint64_t sector_of(const struct layout *l, uint32_t cluster)
{
	return l->data_start + (uint64_t)(cluster - 2) * l->cluster_sectors;
}

static int write_dir(struct layout *l, const struct fat_node *dir,
		     struct vc_error *err)
{
	vc_auto_free uint8_t *buf = calloc(1, (size_t)dir->size_bytes);
	const struct fat_node *n;
	uint8_t *to = buf;

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "FAT");
	if (dir->parent) {
		put_entry(l, to, ".          ", ATTR_DIR, dir->cluster, 0);
		/* the root is cluster 0 to its children, also in FAT32 */
		put_entry(l, to + ENTRY, "..         ", ATTR_DIR,
			  dir->parent->parent ? dir->parent->cluster : 0, 0);
		to += 2 * ENTRY;
	} else {
		put_entry(l, to, LABEL, ATTR_VOLUME, 0, 0);
		to += ENTRY;
	}
	for (n = dir->first; n; n = n->next) {
		to = put_long_name(to, n);
		put_entry(l, to, n->short_name,
			  n->is_dir ? ATTR_DIR : ATTR_FILE, n->cluster,
			  n->is_dir ? 0 : n->size_bytes);
		to += ENTRY;
	}
	if (write_at(l,
		     dir->cluster ? sector_of(l, dir->cluster)
				  : RESERVED + NR_FATS * l->fat_sectors,
		     buf, (size_t)dir->size_bytes, err))
		return -1;
	for (n = dir->first; n; n = n->next)
		if (n->is_dir && write_dir(l, n, err))
			return -1;
	return 0;
}

/* --- files ---------------------------------------------------------------- */

static int write_file(struct layout *l, const struct fat_node *n, uint8_t *buf,
		      struct vc_error *err)
{
	vc_auto_fd int fd = open(n->host, O_RDONLY | O_CLOEXEC);
	uint64_t pos, len;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", n->host);
	if ((uint64_t)st.st_size != n->size_bytes)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "'%s': its size has changed", n->host);
	for (pos = 0; pos < n->size_bytes; pos += len) {
		len = vc_min_u64(n->size_bytes - pos, COPY_BYTES);
		if (vc_pread_full(fd, buf, (size_t)len, pos))
			return vc_fail(err, VC_E_SYS, errno, "'%s': read",
				       n->host);
		if (write_at(l, sector_of(l, n->cluster) + pos / FAT_SECTOR,
			     buf, (size_t)len, err))
			return -1;
	}
	return 0;
}

static int write_files(struct layout *l, const struct fat_node *dir,
		       uint8_t *buf, struct vc_error *err)
{
	const struct fat_node *n;

	for (n = dir->first; n; n = n->next)
		if (n->is_dir ? write_files(l, n, buf, err)
			      : write_file(l, n, buf, err))
			return -1;
	return 0;
}

/* --- the boot sector ------------------------------------------------------ */

static void fill_boot(const struct layout *l, uint8_t *b)
{
	uint8_t *ext = b + (l->is_32 ? BPB_DRIVE_32 : BPB_DRIVE);

	memcpy(b, l->is_32 ? "\xeb\x58\x90" : "\xeb\x3c\x90", 3);
	memcpy(b + 3, "MSWIN4.1", 8); /* what old systems insist on */
	put16(b + BPB_BYTES_PER_SECTOR, FAT_SECTOR);
	b[BPB_CLUSTER_SECTORS] = (uint8_t)l->cluster_sectors;
	put16(b + BPB_RESERVED, RESERVED);
	b[BPB_FATS] = NR_FATS;
	put16(b + BPB_ROOT_ENTRIES, l->is_32 ? 0 : FAT16_ROOT);
	b[BPB_MEDIA] = MEDIA;
	put16(b + BPB_TRACK, 63);
	put16(b + BPB_HEADS, 255);
	if (l->nr_sectors < 65536)
		put16(b + BPB_SECTORS_16, l->nr_sectors);
	else
		put32(b + BPB_SECTORS_32, l->nr_sectors);
	if (l->is_32) {
		put32(b + BPB_FAT_SECTORS_32, l->fat_sectors);
		put32(b + BPB_ROOT_CLUSTER, l->f->root.cluster);
		put16(b + BPB_FSINFO, 1);
		put16(b + BPB_BACKUP, BACKUP_BOOT);
	} else {
		put16(b + BPB_FAT_SECTORS_16, l->fat_sectors);
	}
	ext[0] = 0x80; /* drive */
	ext[2] = 0x29; /* the next three are there */
	put32(ext + 3, l->serial);
	memcpy(ext + 7, LABEL, 11);
	memcpy(ext + 18, l->is_32 ? "FAT32   " : "FAT16   ", 8);
	put16(b + 510, 0xaa55);
}

static int write_boot(struct layout *l, struct vc_error *err)
{
	uint8_t b[2 * FAT_SECTOR] = { 0 }, *info = b + FAT_SECTOR;
	size_t len = l->is_32 ? sizeof(b) : FAT_SECTOR;

	fill_boot(l, b);
	if (l->is_32) {
		memcpy(info, "RRaA", 4);
		memcpy(info + 484, "rrAa", 4);
		put32(info + 488, l->nr_clusters + 2 - l->next); /* free */
		put32(info + 492, l->next);
		put16(info + 510, 0xaa55);
		if (write_at(l, BACKUP_BOOT, b, len, err))
			return -1;
	}
	return write_at(l, 0, b, len, err);
}

int fat_write(struct fat *f, uint64_t size_bytes, uint32_t serial, int64_t time,
	      const struct fat_out *out, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	struct layout l = { .f = f, .out = out, .serial = serial };

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "FAT");
	set_time(&l, time);
	if (choose(&l, size_bytes, err) || alloc_dirs(&l, &f->root, err) ||
	    alloc_files(&l, &f->root, err) ||
	    write_files(&l, &f->root, buf, err) ||
	    write_dir(&l, &f->root, err) || write_tables(&l, err))
		return -1;
	return write_boot(&l, err);
}
