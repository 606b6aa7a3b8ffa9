/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both copies of a partition table hold the same entries; their headers say
 * where each one lies itself, where the other header lies, and where its own
 * copy of the entries begins. A reader that lost the first copy finds the
 * second in the last sector of the disk.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>
#include <zlib.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/gpt.h>

#define ENTRY_BYTES 128
#define ENTRIES_BYTES (VC_GPT_ENTRIES * ENTRY_BYTES)
#define ENTRIES_SECTORS (ENTRIES_BYTES / VC_GPT_SECTOR)
#define HEADER_BYTES 92
#define REVISION_1_0 0x00010000

#define MBR_TABLE 446
#define MBR_TYPE_PROTECTIVE 0xee

struct mbr_entry {
	uint8_t boot;
	uint8_t first_chs[3];
	uint8_t type;
	uint8_t last_chs[3];
	le32_t first_lba;
	le32_t nr_sectors;
};
_Static_assert(sizeof(struct mbr_entry) == 16, "as on disk");

struct gpt_header {
	uint8_t signature[8];
	le32_t revision;
	le32_t header_bytes;
	le32_t header_crc; /* of the header with this field zero */
	le32_t reserved;
	le64_t this_lba, other_lba;
	le64_t first_usable_lba, last_usable_lba;
	uint8_t disk_guid[16];
	le64_t entries_lba;
	le32_t nr_entries;
	le32_t entry_bytes;
	le32_t entries_crc;
};
_Static_assert(sizeof(struct gpt_header) == HEADER_BYTES, "as on disk");

struct gpt_entry {
	uint8_t type[16];
	uint8_t guid[16];
	le64_t first_lba, last_lba;
	le64_t attributes;
	le16_t label[VC_GPT_MAX_LABEL];
};
_Static_assert(sizeof(struct gpt_entry) == ENTRY_BYTES, "as on disk");

/* --- GUIDs ---------------------------------------------------------------*/

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_dash(size_t pos)
{
	return pos == 8 || pos == 13 || pos == 18 || pos == 23;
}

int vc_guid_parse(const char *text, struct vc_guid *ret, struct vc_error *err)
{
	struct vc_guid guid;
	size_t i, n = 0;
	char shown[80];

	if (strlen(text) != VC_GUID_TEXT - 1)
		goto bad;
	for (i = 0; i < VC_GUID_TEXT - 1; i++) {
		int digit = hex_digit(text[i]);

		if (is_dash(i) ? text[i] != '-' : digit < 0)
			goto bad;
		if (is_dash(i))
			continue;
		if (n % 2)
			guid.b[n / 2] = (uint8_t)(guid.b[n / 2] | digit);
		else
			guid.b[n / 2] = (uint8_t)(digit << 4);
		n++;
	}
	*ret = guid;
	return 0;
bad:
	return vc_fail(err, VC_E_ARG, 0, "'%s': not a GUID",
		       vc_printable(text, shown, sizeof(shown)));
}

const char *vc_guid_format(const struct vc_guid *guid, char buf[VC_GUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	size_t i, n = 0;

	for (i = 0; i < VC_GUID_TEXT - 1; i++) {
		if (is_dash(i)) {
			buf[i] = '-';
			continue;
		}
		buf[i] = digits[n % 2 ? guid->b[n / 2] & 15
				      : guid->b[n / 2] >> 4];
		n++;
	}
	buf[i] = '\0';
	return buf;
}

bool vc_guid_is_nil(const struct vc_guid *guid)
{
	static const struct vc_guid nil;

	return !memcmp(guid, &nil, sizeof(nil));
}

static void set_version(struct vc_guid *guid, unsigned version)
{
	guid->b[6] = (uint8_t)((guid->b[6] & 0x0f) | version << 4);
	guid->b[8] = (uint8_t)((guid->b[8] & 0x3f) | 0x80);
}

int vc_guid_random(struct vc_guid *ret, struct vc_error *err)
{
	ssize_t n;

	do
		n = getrandom(ret->b, sizeof(ret->b), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(ret->b))
		return vc_fail(err, VC_E_SYS, errno, "random GUID");
	set_version(ret, 4);
	return 0;
}

void vc_guid_derive(const void *data, size_t len, struct vc_guid *ret)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, len));
	memcpy(ret->b, canonical.digest, sizeof(ret->b));
	set_version(ret, 8);
}

/* On disk the first three fields are little-endian. */
static void put_guid(uint8_t to[16], const struct vc_guid *guid)
{
	static const uint8_t order[16] = { 3, 2, 1,  0,	 5,  4,	 7,  6,
					   8, 9, 10, 11, 12, 13, 14, 15 };
	size_t i;

	for (i = 0; i < 16; i++)
		to[i] = guid->b[order[i]];
}

/* --- labels --------------------------------------------------------------*/

/* One code point of UTF-8 at *text, which moves on; -1 if it is none. */
static int32_t next_code_point(const char **text)
{
	static const int32_t smallest[] = { 0, 0x80, 0x800, 0x10000 };
	const uint8_t *s = (const uint8_t *)*text;
	int nr_more, i;
	int32_t c;

	if (s[0] < 0x80) {
		nr_more = 0;
		c = s[0];
	} else if (s[0] >= 0xc2 && s[0] < 0xf5) {
		nr_more = s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
		c = s[0] & (0x3f >> nr_more);
	} else {
		return -1;
	}
	for (i = 1; i <= nr_more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1; /* also at the end of the text */
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < smallest[nr_more] || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000))
		return -1;
	*text += nr_more + 1;
	return c;
}

static int put_label(le16_t to[VC_GPT_MAX_LABEL], const char *label,
		     struct vc_error *err)
{
	size_t n = 0;

	while (label && *label) {
		int32_t c = next_code_point(&label);
		size_t nr = c > 0xffff ? 2 : 1;

		if (c < 0)
			return vc_fail(err, VC_E_ARG, 0, "label: not UTF-8");
		if (n + nr > VC_GPT_MAX_LABEL)
			return vc_fail(err, VC_E_ARG, 0,
				       "label: longer than %d UTF-16 units",
				       VC_GPT_MAX_LABEL);
		if (nr == 2) {
			c -= 0x10000;
			to[n++] = le16_put((uint16_t)(0xd800 | c >> 10));
			c = 0xdc00 | (c & 0x3ff);
		}
		to[n++] = le16_put((uint16_t)c);
	}
	return 0;
}

/* --- the table -----------------------------------------------------------*/

static uint64_t first_usable(const struct vc_gpt *gpt)
{
	return gpt->first_usable_lba ? gpt->first_usable_lba
				     : VC_GPT_HEAD_BYTES / VC_GPT_SECTOR;
}

static uint64_t last_usable(const struct vc_gpt *gpt)
{
	return gpt->nr_sectors - VC_GPT_TAIL_BYTES / VC_GPT_SECTOR - 1;
}

static int check_disk(const struct vc_gpt *gpt, struct vc_error *err)
{
	uint64_t least =
		(VC_GPT_HEAD_BYTES + VC_GPT_TAIL_BYTES) / VC_GPT_SECTOR;

	if (gpt->nr_parts > VC_GPT_ENTRIES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d partitions",
			       VC_GPT_ENTRIES);
	if (vc_guid_is_nil(&gpt->disk_guid))
		return vc_fail(err, VC_E_ARG, 0, "disk GUID: all zero");
	if (gpt->nr_sectors <= least ||
	    gpt->nr_sectors > UINT64_MAX / VC_GPT_SECTOR)
		return vc_fail(err, VC_E_ARG, 0, "a disk of %llu sectors",
			       (unsigned long long)gpt->nr_sectors);
	if (first_usable(gpt) < VC_GPT_HEAD_BYTES / VC_GPT_SECTOR ||
	    first_usable(gpt) > last_usable(gpt))
		return vc_fail(err, VC_E_ARG, 0, "first usable sector %llu",
			       (unsigned long long)first_usable(gpt));
	return 0;
}

static bool is_same_label(const char *a, const char *b)
{
	return a && b && *a && !strcmp(a, b);
}

static int check_part(const struct vc_gpt *gpt, unsigned nr,
		      struct vc_error *err)
{
	const struct vc_gpt_part *p = &gpt->parts[nr], *q;

	if (vc_guid_is_nil(&p->type) || vc_guid_is_nil(&p->guid))
		return vc_fail(err, VC_E_ARG, 0, "GUID: all zero");
	if (p->first_lba > p->last_lba || p->first_lba < first_usable(gpt) ||
	    p->last_lba > last_usable(gpt))
		return vc_fail(err, VC_E_ARG, 0,
			       "sectors %llu to %llu: outside of %llu to %llu",
			       (unsigned long long)p->first_lba,
			       (unsigned long long)p->last_lba,
			       (unsigned long long)first_usable(gpt),
			       (unsigned long long)last_usable(gpt));
	for (q = gpt->parts; q < p; q++) {
		unsigned other = (unsigned)(q - gpt->parts) + 1;

		if (p->first_lba <= q->last_lba && q->first_lba <= p->last_lba)
			return vc_fail(err, VC_E_ARG, 0,
				       "overlaps partition %u", other);
		if (!memcmp(&p->guid, &q->guid, sizeof(p->guid)))
			return vc_fail(err, VC_E_ARG, 0,
				       "GUID: that of partition %u", other);
		if (is_same_label(p->label, q->label))
			return vc_fail(err, VC_E_ARG, 0,
				       "label: that of partition %u", other);
	}
	return 0;
}

static int put_entries(const struct vc_gpt *gpt, uint8_t to[ENTRIES_BYTES],
		       struct vc_error *err)
{
	unsigned i;

	memset(to, 0, ENTRIES_BYTES);
	for (i = 0; i < gpt->nr_parts; i++) {
		const struct vc_gpt_part *p = &gpt->parts[i];
		struct gpt_entry e;

		memset(&e, 0, sizeof(e));
		if (check_part(gpt, i, err) < 0 ||
		    put_label(e.label, p->label, err) < 0)
			return vc_prefix(err, "partition %u", i + 1);
		put_guid(e.type, &p->type);
		put_guid(e.guid, &p->guid);
		e.first_lba = le64_put(p->first_lba);
		e.last_lba = le64_put(p->last_lba);
		e.attributes = le64_put(p->attributes);
		memcpy(to + i * ENTRY_BYTES, &e, sizeof(e));
	}
	return 0;
}

static uint32_t crc_of(const void *data, size_t len)
{
	return (uint32_t)crc32(0, data, (uInt)len);
}

static void put_header(const struct vc_gpt *gpt, bool is_backup,
		       uint32_t entries_crc, uint8_t to[VC_GPT_SECTOR])
{
	uint64_t last = gpt->nr_sectors - 1;
	struct gpt_header h = {
		.signature = "EFI PART",
		.revision = le32_put(REVISION_1_0),
		.header_bytes = le32_put(HEADER_BYTES),
		.this_lba = le64_put(is_backup ? last : 1),
		.other_lba = le64_put(is_backup ? 1 : last),
		.first_usable_lba = le64_put(first_usable(gpt)),
		.last_usable_lba = le64_put(last_usable(gpt)),
		.entries_lba = le64_put(is_backup ? last - ENTRIES_SECTORS : 2),
		.nr_entries = le32_put(VC_GPT_ENTRIES),
		.entry_bytes = le32_put(ENTRY_BYTES),
		.entries_crc = le32_put(entries_crc),
	};

	put_guid(h.disk_guid, &gpt->disk_guid);
	h.header_crc = le32_put(crc_of(&h, sizeof(h)));
	memset(to, 0, VC_GPT_SECTOR);
	memcpy(to, &h, sizeof(h));
}

/* One partition over the whole disk, so that a tool that knows no GPT does not
 * take the disk for empty. */
static void put_mbr(const struct vc_gpt *gpt, uint8_t to[VC_GPT_SECTOR])
{
	uint64_t nr = vc_min_u64(gpt->nr_sectors - 1, UINT32_MAX);
	struct mbr_entry e = {
		.first_chs = { 0x00, 0x02, 0x00 },
		.type = MBR_TYPE_PROTECTIVE,
		.last_chs = { 0xff, 0xff, 0xff },
		.first_lba = le32_put(1),
		.nr_sectors = le32_put((uint32_t)nr),
	};

	memset(to, 0, VC_GPT_SECTOR);
	memcpy(to + MBR_TABLE, &e, sizeof(e));
	to[VC_GPT_SECTOR - 2] = 0x55;
	to[VC_GPT_SECTOR - 1] = 0xaa;
}

int vc_gpt_render(const struct vc_gpt *gpt, uint8_t head[VC_GPT_HEAD_BYTES],
		  uint8_t tail[VC_GPT_TAIL_BYTES], struct vc_error *err)
{
	uint8_t *entries = head + 2 * VC_GPT_SECTOR;
	uint32_t crc;

	if (check_disk(gpt, err) < 0 || put_entries(gpt, entries, err) < 0)
		return vc_prefix(err, "partition table");
	crc = crc_of(entries, ENTRIES_BYTES);
	put_mbr(gpt, head);
	put_header(gpt, false, crc, head + VC_GPT_SECTOR);
	memcpy(tail, entries, ENTRIES_BYTES);
	put_header(gpt, true, crc, tail + ENTRIES_BYTES);
	return 0;
}
