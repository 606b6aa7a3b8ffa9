/* SPDX-License-Identifier: BSD-3-Clause */
/* The network of a guest: files for what the image has to bring it up. */
#ifndef MKIMAGE_NETWORK_H
#define MKIMAGE_NETWORK_H

#include "mkimage/build.h"

/* Have the guest ask for an address by DHCP (`is_dhcp`), or leave all its devices
 * but the loopback alone. All sources are in. */
int network_apply(struct build *b, bool is_dhcp,
		  struct vc_error *err) VC_MUST_CHECK;

#endif
