/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The option grammar `key=value,key=value` that crosvm's options have: the
 * first key may be left out, `key` alone is true (as are "true" and "on"), a
 * string may be 'quoted' (no escapes) or "quoted" (\" and \\), and [a,b] is a
 * list, kept as text.
 *
 * An option's keys are a table; the parser fills a struct, refuses unknown
 * and repeated keys, and names the key in its error.
 */
#ifndef VMMCORE_KV_H
#define VMMCORE_KV_H

#include <vmmcore/error.h>

VC_BEGIN_DECLS

#define VC_KV_MAX_KEYS 64
#define VC_KV_MAX_TEXT (64 * 1024)

enum vc_kv_type {
	VC_KV_BOOL,   /* bool */
	VC_KV_U64,    /* uint64_t, at most `max` (0: no limit) */
	VC_KV_SIZE,   /* uint64_t bytes, vc_parse_size() */
	VC_KV_STRING, /* char *, malloc'ed, the caller frees; NULL if absent */
	VC_KV_ENUM,   /* int, index into `names` */
	VC_KV_FD,     /* int >= 0 */
	VC_KV_LIST,   /* char *, the text between [ and ], malloc'ed */
};

struct vc_kv_key {
	const char *name; /* kebab-case; `_` in the input means `-` */
	enum vc_kv_type type;
	size_t offset;		  /* of the member in the struct */
	uint64_t max;		  /* VC_KV_U64, VC_KV_FD */
	const char *const *names; /* VC_KV_ENUM: NULL-terminated */
	const char *alias;	  /* another name, or NULL */
};

/* Parse `text` into the struct at `out` by the table `keys`. The first key of
 * the table is the one that may be left out. Members of keys not given keep
 * what they had. *ret_seen, if not NULL, gets bit i for key i of the table.
 * Strings already stored are freed on failure and set to NULL. */
int vc_kv_parse(const char *text, const struct vc_kv_key *keys, size_t nr_keys,
		void *out, uint64_t *ret_seen,
		struct vc_error *err) VC_MUST_CHECK;
/* The same for a table of equals: no key may be left out. */
int vc_kv_parse_named(const char *text, const struct vc_kv_key *keys,
		      size_t nr_keys, void *out, uint64_t *ret_seen,
		      struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
