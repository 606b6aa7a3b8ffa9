/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <vmmcore/bytes.h>
#include "mkimage/acl.h"

#define WIRE_VERSION 2
#define DISK_VERSION 1
#define NO_ID UINT32_MAX

static bool has_id(const struct acl_entry *e)
{
	return e->tag == ACL_USER || e->tag == ACL_GROUP;
}

static int compare(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	if (!has_id(x) || x->id == y->id)
		return 0;
	return x->id < y->id ? -1 : 1;
}

/* As setfacl(1): what the group class may do in all. */
static void add_mask(struct acl_entry *e, size_t *nr)
{
	uint16_t perm = 0;
	size_t i;

	for (i = 0; i < *nr; i++)
		if (e[i].tag == ACL_USER || e[i].tag == ACL_GROUP ||
		    e[i].tag == ACL_GROUP_OBJ)
			perm |= e[i].perm;
	e[(*nr)++] = (struct acl_entry){ ACL_MASK, perm, NO_ID };
}

int acl_normalize(struct acl_entry *e, size_t *nr, struct vc_error *err)
{
	unsigned seen = 0;
	size_t i;

	for (i = 0; i < *nr; i++) {
		e[i].perm &= 7;
		seen |= e[i].tag;
	}
	if ((seen & (ACL_USER | ACL_GROUP)) && !(seen & ACL_MASK))
		add_mask(e, nr);
	qsort(e, *nr, sizeof(*e), compare);
	for (i = 1; i < *nr; i++)
		if (!compare(&e[i - 1], &e[i]))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "ACL with an entry twice");
	if (!(seen & ACL_USER_OBJ) || !(seen & ACL_GROUP_OBJ) ||
	    !(seen & ACL_OTHER))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "ACL without owner, group or other");
	return 0;
}

bool acl_is_mode(size_t nr)
{
	return nr == 3;
}

uint16_t acl_mode(const struct acl_entry *e, size_t nr)
{
	unsigned user = 0, group = 0, mask = 8, other = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (e[i].tag == ACL_USER_OBJ)
			user = e[i].perm;
		else if (e[i].tag == ACL_GROUP_OBJ)
			group = e[i].perm;
		else if (e[i].tag == ACL_MASK)
			mask = e[i].perm;
		else if (e[i].tag == ACL_OTHER)
			other = e[i].perm;
	}
	if (mask < 8)
		group = mask;
	return (uint16_t)(user << 6 | group << 3 | other);
}

static size_t put16(uint8_t *p, uint16_t v)
{
	le16_t x = le16_put(v);

	memcpy(p, &x, sizeof(x));
	return sizeof(x);
}

static size_t put32(uint8_t *p, uint32_t v)
{
	le32_t x = le32_put(v);

	memcpy(p, &x, sizeof(x));
	return sizeof(x);
}

size_t acl_to_wire(const struct acl_entry *e, size_t nr, uint8_t *buf)
{
	size_t at = put32(buf, WIRE_VERSION), i;

	for (i = 0; i < nr; i++) {
		at += put16(buf + at, e[i].tag);
		at += put16(buf + at, e[i].perm);
		at += put32(buf + at, has_id(&e[i]) ? e[i].id : NO_ID);
	}
	return at;
}

static bool is_tag(uint16_t tag)
{
	return tag == ACL_USER_OBJ || tag == ACL_USER || tag == ACL_GROUP_OBJ ||
	       tag == ACL_GROUP || tag == ACL_MASK || tag == ACL_OTHER;
}

int acl_from_wire(const uint8_t *data, size_t len, struct acl_entry *e,
		  size_t max, size_t *ret_nr, struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(data, len);
	uint32_t version = 0;
	size_t nr = 0;

	vc_bytes_get_le32(&c, &version);
	if (c.bad || version != WIRE_VERSION ||
	    vc_bytes_left(&c) % ACL_WIRE_ENTRY)
		return vc_fail(err, VC_E_CORRUPT, 0, "ACL in an unknown form");
	if (vc_bytes_left(&c) / ACL_WIRE_ENTRY > max)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "ACL with more than %zu entries", max);
	for (; vc_bytes_left(&c); nr++) {
		vc_bytes_get_le16(&c, &e[nr].tag);
		vc_bytes_get_le16(&c, &e[nr].perm);
		vc_bytes_get_le32(&c, &e[nr].id);
		if (!is_tag(e[nr].tag) || e[nr].perm > 7)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "ACL with an unknown kind of entry");
	}
	*ret_nr = nr;
	return 0;
}

size_t acl_to_disk(const struct acl_entry *e, size_t nr, uint8_t *buf)
{
	size_t at = put32(buf, DISK_VERSION), i;

	for (i = 0; i < nr; i++) {
		at += put16(buf + at, e[i].tag);
		at += put16(buf + at, e[i].perm);
		if (has_id(&e[i]))
			at += put32(buf + at, e[i].id);
	}
	return at;
}
