/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A FAT file system (16 or 32, with long names) of files of the host: what
 * firmware reads. Small and written in one go: fat_add() collects names and
 * sizes, fat_write() reads the contents.
 */
#ifndef MKIMAGE_DISK_FAT_H
#define MKIMAGE_DISK_FAT_H

#include <vmmcore/util.h>

#define FAT_SECTOR 512
#define FAT_MIN_BYTES (UINT64_C(4) << 20)
#define FAT_MAX_BYTES (UINT64_C(32) << 30)
#define FAT_MAX_FILE UINT32_MAX
#define FAT_MAX_NAME 255  /* UTF-16 code units */
#define FAT_MAX_PATH 4096 /* of the host */
#define FAT_MAX_DEPTH 32
#define FAT_MAX_NODES 65536
#define FAT_MAX_DIR (UINT32_C(2) << 20) /* bytes of one directory */

struct fat_node {
	struct fat_node *next, *first; /* beside it; in it, in order */
	struct fat_node *parent;       /* borrowed; NULL: this is the root */
	bool is_dir;
	char *host;		      /* owned; of a file: where it is */
	char *name;		      /* owned; UTF-8, for messages */
	uint16_t utf16[FAT_MAX_NAME]; /* its name */
	unsigned nr_utf16;	      /* 0: the short name says it all */
	char short_name[11];	      /* blanks where there is nothing */
	uint64_t size_bytes;	      /* of a file or, laid out, directory */
	uint32_t cluster, nr_clusters;
};

struct fat {
	struct fat_node root;
	unsigned nr_nodes;
};

void fat_init(struct fat *f);
void fat_fini(struct fat *f);
/* Put the file or folder `host`, with all that is in it, at `guest`; missing
 * directories are made. With an empty `guest` what is in the folder goes to the
 * root. VC_E_ARG or VC_E_LIMIT names what FAT cannot have. */
int fat_add(struct fat *f, const char *host, const char *guest,
	    struct vc_error *err) VC_MUST_CHECK;
/* A size that all of it fits in, with some room. */
uint64_t fat_auto_bytes(const struct fat *f);

struct fat_out {
	/* Write to the file system; what is not written is zero. */
	int (*write)(void *opaque, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err);
	void *opaque;
};

/* `serial` and `time` (seconds since 1970) go into it. VC_E_LIMIT when it does
 * not fit in `size_bytes`. */
int fat_write(struct fat *f, uint64_t size_bytes, uint32_t serial, int64_t time,
	      const struct fat_out *out, struct vc_error *err) VC_MUST_CHECK;

#endif
