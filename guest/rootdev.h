/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices by what is on them: root=LABEL=... and its like. */
#ifndef GUEST_ROOTDEV_H
#define GUEST_ROOTDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is it LABEL=, UUID=, PARTLABEL= or PARTUUID=? */
bool rootdev_is_tag(const char *spec);
/* The path of the device that `tag` names, if it is there by now; of several the
 * first by name. */
bool rootdev_find(const char *tag, char *ret, size_t size);

/* --- for tests ------------------------------------------------------------ */

#define ROOTDEV_HEAD_BYTES (65 * 1024 + 512)
#define ROOTDEV_GUID_TEXT 37

/* UUID and label of the file system that begins with these ROOTDEV_HEAD_BYTES;
 * false if it is none that is known. */
bool rootdev_probe(const uint8_t *head, char uuid[ROOTDEV_GUID_TEXT],
		   char label[257]);
/* Does the GPT, or MBR, of the disk `fd` give partition `nr` this PARTUUID? */
bool rootdev_has_partuuid(int fd, unsigned sector_bytes, unsigned nr,
			  const char *partuuid);

#endif
