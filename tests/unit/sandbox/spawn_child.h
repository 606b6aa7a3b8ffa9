/* SPDX-License-Identifier: BSD-3-Clause */
/* What the test program does when test_spawn.c starts it again. */
#ifndef TESTS_SANDBOX_SPAWN_CHILD_H
#define TESTS_SANDBOX_SPAWN_CHILD_H

int spawn_child(const char *what);

#endif
