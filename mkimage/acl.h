/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * POSIX ACLs in their three forms: the entries an archive tells, the bytes
 * getxattr(2) gives ("wire": a header of version 2, 8 bytes an entry), the
 * bytes ext4 keeps (version 1, 4 or 8 bytes an entry).
 */
#ifndef MKIMAGE_ACL_H
#define MKIMAGE_ACL_H

#include <vmmcore/error.h>

#define ACL_MAX_ENTRIES 512 /* a block of attributes holds 505 */
#define ACL_WIRE_ENTRY 8 /* bytes: tag and permissions, 16 bits each, and id */
#define ACL_WIRE_ID 4	 /* where the id is in it */
#define ACL_WIRE_BYTES(nr) (4 + ACL_WIRE_ENTRY * (size_t)(nr))

#define ACL_XATTR_ACCESS "system.posix_acl_access"
#define ACL_XATTR_DEFAULT "system.posix_acl_default"

enum acl_tag {
	ACL_USER_OBJ = 0x01,
	ACL_USER = 0x02,
	ACL_GROUP_OBJ = 0x04,
	ACL_GROUP = 0x08,
	ACL_MASK = 0x10,
	ACL_OTHER = 0x20,
};

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id; /* USER and GROUP */
};

/* Sort, add a mask where there must be one, and check: exactly one entry of
 * each of the three base kinds, no id twice. There is room for nr + 1. */
int acl_normalize(struct acl_entry *e, size_t *nr,
		  struct vc_error *err) VC_MUST_CHECK;
/* Does an ACL of so many entries, normalized, say no more than permission bits
 * do? It has nothing but the three base entries then. */
bool acl_is_mode(size_t nr);
/* The permission bits of a file with this access ACL, as stat(2) shows them. */
uint16_t acl_mode(const struct acl_entry *e, size_t nr);

/* Returns the length; `buf` holds ACL_WIRE_BYTES(nr). */
size_t acl_to_wire(const struct acl_entry *e, size_t nr, uint8_t *buf);
int acl_from_wire(const uint8_t *data, size_t len, struct acl_entry *e,
		  size_t max, size_t *ret_nr,
		  struct vc_error *err) VC_MUST_CHECK;
/* Returns the length, at most ACL_WIRE_BYTES(nr). */
size_t acl_to_disk(const struct acl_entry *e, size_t nr, uint8_t *buf);

#endif
