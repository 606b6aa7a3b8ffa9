/* SPDX-License-Identifier: BSD-3-Clause */
/* What every device gets from a driver that breaks the rules of the ring. */
#ifndef TESTS_VIRTIO_HOSTILE_H
#define TESTS_VIRTIO_HOSTILE_H

#include "tests/virtio/fake_guest.h"

#define HOSTILE_NR 15

/* Make entry `kind` (0..HOSTILE_NR - 1) available on queue `qi`, which has at
 * least 4 descriptors, none used. `is_in`: its buffers are for the device to
 * write. The device must break the queue when it takes it. */
void hostile_chain(struct fg *fg, unsigned qi, bool is_in, int kind);

#endif
