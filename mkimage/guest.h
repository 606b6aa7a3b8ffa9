/* SPDX-License-Identifier: BSD-3-Clause */
/* The few files that make a container's root file system a machine's. */
#ifndef MKIMAGE_GUEST_H
#define MKIMAGE_GUEST_H

#include <vmmcore/gpt.h>
#include "mkimage/build.h"

#define GUEST_MAX_SSH_KEYS 32
#define GUEST_MAX_KEY_BYTES (256 * 1024) /* of all files together */
#define GUEST_MAX_HOSTNAME 64		 /* bytes, as Linux */
#define GUEST_MAX_HASH 512		 /* bytes */

enum guest_network {
	GUEST_NETWORK_AS_IS,
	GUEST_NETWORK_DHCP,
	GUEST_NETWORK_NONE
};

/* Texts are borrowed. What is not set is left as the image has it. */
struct guest_opts {
	const char *hostname;
	const char *ssh_keys[GUEST_MAX_SSH_KEYS]; /* files of the host */
	size_t nr_ssh_keys;
	const char *password_hash;
	bool has_fstab, has_root_uuid;
	struct vc_guid root_uuid;
	char root_label[17];
	enum guest_network network;
};

int guest_set_hostname(struct guest_opts *o, const char *text,
		       struct vc_error *err) VC_MUST_CHECK;
int guest_add_ssh_key(struct guest_opts *o, const char *path,
		      struct vc_error *err) VC_MUST_CHECK;
int guest_set_password(struct guest_opts *o, const char *hash,
		       struct vc_error *err) VC_MUST_CHECK;
int guest_set_network(struct guest_opts *o, const char *text,
		      struct vc_error *err) VC_MUST_CHECK;
/* All sources are in. */
int guest_apply(struct build *b, const struct guest_opts *o,
		struct vc_error *err) VC_MUST_CHECK;

/* Paths of the image, walked as in a chroot; what is there is replaced, unless
 * it is a directory. Owned by root. */
int guest_put_file(struct build *b, const char *path, uint16_t mode,
		   const void *data, size_t len,
		   struct vc_error *err) VC_MUST_CHECK;
/* The same, with mode 0644. */
int guest_put_text(struct build *b, const char *path, const char *text,
		   struct vc_error *err) VC_MUST_CHECK;
int guest_put_symlink(struct build *b, const char *path, const char *target,
		      struct vc_error *err) VC_MUST_CHECK;
/* Is one of the NULL-terminated list there? */
bool guest_has(struct build *b, const char *const *paths);
bool guest_has_systemd(struct build *b);
/* Is its init OpenRC? */
bool guest_has_openrc(struct build *b);

#endif
