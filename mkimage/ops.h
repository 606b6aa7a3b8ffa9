/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes over the sources, one step after the other: files of the host,
 * directories, links, modes, owners. Steps come from the command line or from
 * a manifest; mkimage-manifest(5) says what each does.
 */
#ifndef MKIMAGE_OPS_H
#define MKIMAGE_OPS_H

#include "mkimage/source/source.h"

#define OPS_MAX (1024 * 1024) /* steps */
#define MANIFEST_MAX_BYTES (64 * 1024 * 1024)
#define MANIFEST_MAX_LINE (64 * 1024) /* bytes */
#define MANIFEST_MAX_WORDS 8	      /* of a line */

enum op_verb {
	OP_ADD,
	OP_MKDIR,
	OP_SYMLINK,
	OP_CHMOD,
	OP_CHMOD_ALL, /* what is below as well */
	OP_CHOWN,
	OP_CHOWN_ALL, /* what is below as well */
	OP_REMOVE,
};
#define OP_NR_VERBS (OP_REMOVE + 1)

/* What a step has before the name in the image. */
enum op_arg {
	OP_ARG_NONE,
	OP_ARG_HOST,
	OP_ARG_TARGET,
	OP_ARG_MODE,
	OP_ARG_OWNER
};

struct op_kind {
	const char *name;
	enum op_arg arg;
	bool takes_mode, takes_owner; /* in a manifest */
};
extern const struct op_kind op_kinds[OP_NR_VERBS];

struct op {
	enum op_verb verb;
	char *guest; /* owned, as the two below, which may be NULL */
	char *arg;   /* the name on the host, or the target */
	char *mode;  /* that mode_change() takes */
	bool has_owner;
	uint32_t uid, gid;
	uint32_t line;	  /* of `file`, or 0 */
	const char *file; /* borrowed: the manifest; NULL: an option */
};

struct ops {
	struct op *v; /* owned */
	size_t nr, max;
};

/* Takes the texts of `op` over, also on failure. */
int ops_add(struct ops *o, struct op *op, struct vc_error *err) VC_MUST_CHECK;
void ops_fini(struct ops *o);
/* The sources are in. `opts` says how folders are read. */
int ops_apply(struct build *b, const struct ops *o,
	      const struct source_opts *opts,
	      struct vc_error *err) VC_MUST_CHECK;

/* Set what a step has as its `arg` from `text`, which is copied. */
int op_set(struct op *op, enum op_arg arg, const char *text,
	   struct vc_error *err) VC_MUST_CHECK;
void op_fini(struct op *op);
/* "UID:GID", numbers. */
int op_parse_owner(const char *text, uint32_t *ret_uid, uint32_t *ret_gid,
		   struct vc_error *err) VC_MUST_CHECK;
/* The steps of an option: "HOST:GUEST", "MODE:GUEST" and so on. */
int ops_add_option(struct ops *o, enum op_verb verb, const char *text,
		   struct vc_error *err) VC_MUST_CHECK;

/* The steps of a manifest. `name` is the manifest's and outlives `o`; names on
 * the host are relative to its folder. Patterns go to `exclude`. */
int manifest_parse(const char *text, size_t len, const char *name,
		   struct ops *o, struct patterns *exclude,
		   struct vc_error *err) VC_MUST_CHECK;
int manifest_read(const char *path, struct ops *o, struct patterns *exclude,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
