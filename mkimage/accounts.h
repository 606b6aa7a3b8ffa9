/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small text file of the image, kept while it goes by: /etc/passwd and the
 * like, and the numbers of the accounts in it.
 */
#ifndef MKIMAGE_ACCOUNTS_H
#define MKIMAGE_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include <vmmcore/error.h>
#include <vmmcore/util.h>

#define ACCOUNTS_MAX_BYTES (1024 * 1024)

struct account {
	const char *name; /* in the text, not terminated */
	size_t len;
	uint32_t id;
};

struct accounts {
	char *text; /* owned; terminated */
	size_t len;
	struct account *sorted; /* owned; made by the first search */
	size_t nr;
	bool is_sorted;
};

/* Another file comes in the place of what there was. */
void accounts_clear(struct accounts *acc);
/* More bytes of the file, from `offset` on. A piece that goes beyond
 * ACCOUNTS_MAX_BYTES is not kept. */
int accounts_put(struct accounts *acc, uint64_t offset, const void *data,
		 size_t len, struct vc_error *err) VC_MUST_CHECK;
/* The number in the third field of the first line that has `name` in its first;
 * *ret_found is false if there is none. root has 0, whatever the text says. */
int accounts_find(struct accounts *acc, const char *name, uint32_t *ret,
		  bool *ret_found, struct vc_error *err) VC_MUST_CHECK;
void accounts_fini(struct accounts *acc);

#endif
