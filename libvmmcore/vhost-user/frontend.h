/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests need of the frontend beyond the public header. */
#ifndef VHOST_USER_FRONTEND_H
#define VHOST_USER_FRONTEND_H

#include "vhost-user/message.h"

/* The frontend address of guest-physical address 0: see frontend.c. */
#define VHU_USER_BASE (UINT64_C(1) << 46)

/* vc_vhu_frontend_new() that waits at most `timeout_ms` for each reply. */
int vhu_frontend_new(int sock, int timeout_ms, struct vc_vhu_frontend **ret,
		     struct vc_error *err) VC_MUST_CHECK;

#endif
