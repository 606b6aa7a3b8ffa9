/* SPDX-License-Identifier: BSD-3-Clause */
/* An archive to a tree: the stream and its decoders, libarchive's parser and what
 * is looked at beside it, names, links, attributes, ACLs. The writer keeps nothing
 * but checks what it is handed. */
#ifndef TESTS_FUZZ_ARCHIVE_H
#define TESTS_FUZZ_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Aborts if anything is in the tree that must not be. */
void archive_try(const uint8_t *data, size_t size, bool is_layer);

#endif
