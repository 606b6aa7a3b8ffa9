/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command line asks for: filled by the options, used by the work. */
#ifndef MKIMAGE_CLI_SETTINGS_H
#define MKIMAGE_CLI_SETTINGS_H

#include "mkimage/agent.h"
#include "mkimage/guest.h"
#include "mkimage/ops.h"
#include "mkimage/target.h"

#define SETTINGS_MAX_FS_OPTIONS 32

/* Texts are borrowed from argv. */
struct settings {
	/* sources */
	char **sources;
	int nr_sources;
	struct source_opts source;
	struct patterns exclude; /* owned */
	struct ops ops;		 /* owned */
	/* output */
	const char *output, *format, *fs_name, *compress;
	struct out_opts out;
	enum target_fs fs_kind;
	char *method; /* owned: `compress` without its level */
	/* file system */
	struct ext4_opts fs;
	struct squashfs_opts squashfs;
	struct cpio_opts cpio;
	struct part_opts parts; /* owned */
	const char *boot_dir;
	const char *fs_options[SETTINGS_MAX_FS_OPTIONS]; /* as given */
	size_t nr_fs_options;
	/* guest */
	struct agent_opts agent;
	struct guest_opts guest;
	bool has_agent;
	/* the program */
	bool is_json, is_quiet, is_verbose, is_strict, has_version;
	void (*digest_progress)(uint64_t done, uint64_t total);
};

#endif
