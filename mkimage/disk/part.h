/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole disk around the root file system: a GUID partition table, an EFI
 * system partition, further partitions, and the root as the last of them, since
 * its size is known last.
 */
#ifndef MKIMAGE_DISK_PART_H
#define MKIMAGE_DISK_PART_H

#include <vmmcore/gpt.h>
#include "mkimage/disk/fat.h"
#include "mkimage/machine.h"
#include "mkimage/out.h"

#define PART_ALIGN OUT_ALIGN
#define PART_MAX 126 /* besides the ESP and the root */
#define PART_MAX_BYTES (UINT64_C(1) << 44)

/* What the options ask for. */
struct part_spec {
	char *name; /* owned; the label in the table */
	struct vc_guid type, guid;
	uint64_t size_bytes; /* 0: of the file, or as is needed */
	char *file;	     /* owned; what is in it, or NULL */
	uint64_t start_bytes, file_bytes;
};

struct part_opts {
	bool is_wanted; /* else there is no table at all */
	bool has_esp;	/* with these: */
	struct fat files;
	/* the root's type is nil until part_set_machine() */
	struct part_spec root, esp;
	struct part_spec *more; /* owned */
	unsigned nr_more;
};

void part_opts_init(struct part_opts *o);
void part_opts_fini(struct part_opts *o);
/* "[name=]NAME[,type=TYPE][,size=SIZE][,file=FILE][,guid=GUID]". The names
 * "root" and "esp" are of those two. */
int part_add(struct part_opts *o, const char *text,
	     struct vc_error *err) VC_MUST_CHECK;
/* "FOLDER" or "HOST:GUEST": into the ESP, which there is from then on. */
int part_add_esp(struct part_opts *o, const char *text,
		 struct vc_error *err) VC_MUST_CHECK;

/* Look at the files and find a place for all but the root's end. Returns where
 * the root begins, 0 if there are no partitions. */
int part_place(struct part_opts *o, uint64_t *ret_root_bytes,
	       struct vc_error *err) VC_MUST_CHECK;
/* The size of a root file system on a disk of so many bytes that begins at
 * `root_bytes`; 0: there is no room. */
uint64_t part_root_size(uint64_t disk_bytes, uint64_t root_bytes);
/* And of the disk around a root file system. */
uint64_t part_disk_size(uint64_t root_bytes, uint64_t fs_bytes);
/* The root is for this processor; if it is not known, for x86-64. A type that
 * was asked for stays. */
int part_set_machine(struct part_opts *o, enum machine machine,
		     struct vc_error *err) VC_MUST_CHECK;
/* Write everything but the root. `identity` tells this image from others. */
int part_write(struct part_opts *o, struct out *out, uint64_t disk_bytes,
	       uint64_t identity, int64_t time,
	       struct vc_error *err) VC_MUST_CHECK;

#endif
