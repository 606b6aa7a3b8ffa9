/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of partitions are the kernel's to tell, in the uevent file of each block
 * device; their GUIDs it tells since 6.13 only, so they are read from the table of
 * the disk a partition is on. What a file system is called is in its superblock:
 * of those that a machine boots from, a line each in superblocks[].
 *
 * The disk is the guest's own, but may be damaged: everything read is bounded, and
 * what is not understood does not match.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "guest/rootdev.h"

#define SYS_BLOCK "/sys/class/block"
#define MAX_SECTOR 4096
#define GPT_MIN_ENTRY 128
#define GPT_MAX_ENTRY 4096

struct block_device {
	char name[64]; /* below /dev */
	char part_name[128];
	unsigned part_nr; /* 0: a whole disk */
};

static const struct superblock {
	unsigned magic_at;
	const char *magic;
	unsigned magic_len, uuid_at, label_at, label_len;
} superblocks[] = {
	{ 1024 + 56, "\x53\xef", 2, 1024 + 104, 1024 + 120, 16 }, /* ext4 */
	{ 0, "XFSB", 4, 32, 108, 12 },
	{ 65536 + 64, "_BHRfS_M", 8, 65536 + 32, 65536 + 299, 256 }, /* btrfs */
};

static const char *const tags[] = { "LABEL=", "UUID=", "PARTLABEL=",
				    "PARTUUID=" };

bool rootdev_is_tag(const char *spec)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(tags); i++)
		if (!strncmp(spec, tags[i], strlen(tags[i])))
			return true;
	return false;
}

/* --- superblocks ------------------------------------------------------------ */

/* Bytes in the order they are written in. */
static void format_uuid(const uint8_t *u, char *ret)
{
	int i, at = 0;

	for (i = 0; i < 16; i++)
		at += sprintf(ret + at, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      u[i]);
}

bool rootdev_probe(const uint8_t *head, char uuid[ROOTDEV_GUID_TEXT],
		   char label[257])
{
	const struct superblock *s;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(superblocks); i++) {
		s = &superblocks[i];
		if (memcmp(head + s->magic_at, s->magic, s->magic_len) != 0)
			continue;
		format_uuid(head + s->uuid_at, uuid);
		memcpy(label, head + s->label_at, s->label_len);
		label[s->label_len] = '\0';
		return true;
	}
	return false;
}

static bool has_superblock(const char *path, const char *uuid,
			   const char *label)
{
	vc_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	vc_auto_free uint8_t *head = calloc(1, ROOTDEV_HEAD_BYTES);
	char u[ROOTDEV_GUID_TEXT], l[257];

	/* a device that is shorter has zeroes there */
	if (fd < 0 || !head || pread(fd, head, ROOTDEV_HEAD_BYTES, 0) < 0 ||
	    !rootdev_probe(head, u, l))
		return false;
	return uuid ? !strcasecmp(u, uuid) : !strcmp(l, label);
}

/* --- partition tables -------------------------------------------------------- */

/* The first three fields of a GUID are little-endian. */
static void format_guid(const uint8_t *g, char *ret)
{
	static const uint8_t order[16] = { 3, 2, 1,  0,	 5,  4,	 7,  6,
					   8, 9, 10, 11, 12, 13, 14, 15 };
	uint8_t u[16];
	size_t i;

	for (i = 0; i < 16; i++)
		u[i] = g[order[i]];
	format_uuid(u, ret);
}

static uint32_t get32(const uint8_t *p)
{
	return le32_get(*(const le32_t *)p);
}

static uint64_t get64(const uint8_t *p)
{
	return le64_get(*(const le64_t *)p);
}

static bool gpt_has(int fd, unsigned sector_bytes, const uint8_t *header,
		    unsigned nr, const char *partuuid)
{
	const uint64_t lba = get64(header + 72);
	const uint32_t nr_entries = get32(header + 80);
	const uint32_t entry_bytes = get32(header + 84);
	char text[ROOTDEV_GUID_TEXT];
	uint8_t entry[GPT_MIN_ENTRY];

	if (entry_bytes < GPT_MIN_ENTRY || entry_bytes > GPT_MAX_ENTRY ||
	    nr > nr_entries || lba > (uint64_t)INT64_MAX / MAX_SECTOR / 2)
		return false;
	if (vc_pread_full(fd, entry, sizeof(entry),
			  lba * sector_bytes +
				  (uint64_t)(nr - 1) * entry_bytes))
		return false;
	format_guid(entry + 16, text);
	return !strcasecmp(text, partuuid);
}

bool rootdev_has_partuuid(int fd, unsigned sector_bytes, unsigned nr,
			  const char *partuuid)
{
	uint8_t head[2 * MAX_SECTOR];
	char text[16];

	if (!nr || sector_bytes < 512 || sector_bytes > MAX_SECTOR ||
	    vc_pread_full(fd, head, 2 * (size_t)sector_bytes, 0))
		return false;
	if (!memcmp(head + sector_bytes, "EFI PART", 8))
		return gpt_has(fd, sector_bytes, head + sector_bytes, nr,
			       partuuid);
	if (head[510] != 0x55 || head[511] != 0xaa)
		return false;
	snprintf(text, sizeof(text), "%08x-%02x", get32(head + 440), nr & 0xff);
	return !strcasecmp(text, partuuid);
}

/* The disk is the folder that the partition's is in. */
static bool has_partuuid(const struct block_device *d, const char *partuuid)
{
	char path[256], real[PATH_MAX], dev[64], *slash;
	unsigned sector_bytes = 512;
	vc_auto_file FILE *f = NULL;
	vc_auto_fd int fd = -1;

	snprintf(path, sizeof(path), SYS_BLOCK "/%s", d->name);
	if (!d->part_nr || !realpath(path, real))
		return false;
	slash = strrchr(real, '/');
	*slash = '\0';
	slash = strrchr(real, '/');
	if (!slash || strlen(slash) + 5 > sizeof(dev))
		return false;
	snprintf(dev, sizeof(dev), "/dev%.58s", slash);
	snprintf(path, sizeof(path), SYS_BLOCK "%.58s/queue/logical_block_size",
		 slash);
	f = fopen(path, "re");
	if (f && fscanf(f, "%u", &sector_bytes) != 1)
		sector_bytes = 512;
	fd = open(dev, O_RDONLY | O_CLOEXEC);
	return fd >= 0 &&
	       rootdev_has_partuuid(fd, sector_bytes, d->part_nr, partuuid);
}

/* --- devices ------------------------------------------------------------------ */

static void read_uevent(struct block_device *d)
{
	char path[128], line[256];
	vc_auto_file FILE *f = NULL;

	d->part_name[0] = '\0';
	d->part_nr = 0;
	snprintf(path, sizeof(path), SYS_BLOCK "/%s/uevent", d->name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "PARTN=", 6))
			d->part_nr = (unsigned)strtoul(line + 6, NULL, 10);
		else if (!strncmp(line, "PARTNAME=", 9))
			snprintf(d->part_name, sizeof(d->part_name), "%.120s",
				 line + 9);
	}
}

static bool matches(const struct block_device *d, const char *tag)
{
	const char *value = strchr(tag, '=') + 1;
	char path[80];

	if (!strncmp(tag, "PARTLABEL=", 10))
		return d->part_nr && !strcmp(d->part_name, value);
	if (!strncmp(tag, "PARTUUID=", 9))
		return has_partuuid(d, value);
	snprintf(path, sizeof(path), "/dev/%s", d->name);
	return *tag == 'U' ? has_superblock(path, value, NULL)
			   : has_superblock(path, NULL, value);
}

bool rootdev_find(const char *tag, char *ret, size_t size)
{
	struct block_device d, found = { .name = "" };
	DIR *dir = opendir(SYS_BLOCK);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		if (de->d_name[0] == '.' ||
		    strlen(de->d_name) >= sizeof(d.name))
			continue;
		strcpy(d.name, de->d_name);
		read_uevent(&d);
		if (matches(&d, tag) &&
		    (!found.name[0] || strcmp(d.name, found.name) < 0))
			found = d;
	}
	if (dir)
		closedir(dir);
	if (!found.name[0])
		return false;
	snprintf(ret, size, "/dev/%s", found.name);
	return true;
}
