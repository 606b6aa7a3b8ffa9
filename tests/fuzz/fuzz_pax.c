/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of a pax header: times, ids, names, ACLs, attributes, maps of sparse
 * files. They come in an archive whose sums are right; the first byte tells whose
 * they are and what they are of. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/archive.h"

#define BLOCK ((size_t)512)
#define MAX_RECORDS ((size_t)64 * 1024)
#define CONTENTS 3 /* blocks */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns what follows it. */
static uint8_t *put_header(uint8_t *h, const char *name, char type, size_t size)
{
	unsigned sum = 0;
	size_t i;

	memset(h, 0, BLOCK);
	strcpy((char *)h, name);
	strcpy((char *)h + 100, "0000644");
	strcpy((char *)h + 108, "0000000");
	strcpy((char *)h + 116, "0000000");
	snprintf((char *)h + 124, 12, "%011zo", size);
	strcpy((char *)h + 136, "07346545000");
	memset(h + 148, ' ', 8);
	h[156] = (uint8_t)type;
	if (type == '2')
		strcpy((char *)h + 157, "target");
	memcpy(h + 257, "ustar\00000", 8);
	for (i = 0; i < BLOCK; i++)
		sum += h[i];
	snprintf((char *)h + 148, 7, "%06o", sum & 0777777);
	return h + BLOCK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char types[] = "05205020";
	uint8_t *buf, *p;
	char type;

	if (!size || size > MAX_RECORDS)
		return 0;
	type = types[data[0] % 8];
	buf = calloc(1, MAX_RECORDS + 10 * BLOCK);
	assert(buf);
	p = put_header(buf, "header", data[0] & 0x10 ? 'g' : 'x', size - 1);
	memcpy(p, data + 1, size - 1);
	p += (size + BLOCK - 2) / BLOCK * BLOCK;
	p = put_header(p, type == '5' ? "dir/" : "name", type,
		       type == '0' ? CONTENTS * BLOCK : 0);
	if (type == '0') {
		memcpy(p, "1\n0\n5\n", 6); /* a map, of version 1.0 */
		p += CONTENTS * BLOCK;
	}
	/* and one behind it, which what is global is of as well */
	p = put_header(p, "after", '0', 0);
	archive_try(buf, (size_t)(p - buf) + 2 * BLOCK, data[0] & 0x20);
	free(buf);
	return 0;
}
