/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_OUTFILE_H
#define BASE_OUTFILE_H

#include <stdbool.h>

/* As on a file system without O_TMPFILE; for tests of that way. */
extern bool outfile_avoid_tmpfile;

#endif
