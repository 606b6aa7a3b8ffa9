/* SPDX-License-Identifier: BSD-3-Clause */
/* The layout is told here by hand, from the UEFI specification. */
#include <string.h>
#include <zlib.h>
#include <vmmcore/endian.h>
#include <vmmcore/gpt.h>
#include "tests/lib/test.h"

#define NR_SECTORS 100000

static struct vc_error err;
static uint8_t head[VC_GPT_HEAD_BYTES], tail[VC_GPT_TAIL_BYTES];
static struct vc_gpt_part parts[VC_GPT_ENTRIES + 1];
static struct vc_gpt gpt;

static void set_up(void)
{
	memset(&gpt, 0, sizeof(gpt));
	memset(parts, 0, sizeof(parts));
	vc_guid_derive("disk", 4, &gpt.disk_guid);
	gpt.nr_sectors = NR_SECTORS;
	gpt.parts = parts;
	gpt.nr_parts = 2;
	parts[0] = (struct vc_gpt_part){ .type = VC_GPT_TYPE_EFI_SYSTEM,
					 .first_lba = 40,
					 .last_lba = 47,
					 .attributes = UINT64_C(1) << 60,
					 .label = "esp" };
	parts[1] = (struct vc_gpt_part){ .type = VC_GPT_TYPE_LINUX,
					 .first_lba = 48,
					 .last_lba = NR_SECTORS - 34,
					 .label = "r\xc3\xb6\xf0\x9f\x98\x80" };
	vc_guid_derive("1", 1, &parts[0].guid);
	vc_guid_derive("2", 1, &parts[1].guid);
}

static uint32_t get32(const uint8_t *p)
{
	le32_t v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void check_header(const uint8_t *h, uint64_t here, uint64_t other,
			 uint64_t entries_lba, const uint8_t *entries)
{
	uint8_t copy[92];

	ck_assert_mem_eq(h, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
	memcpy(copy, h, 92);
	memset(copy + 16, 0, 4);
	ck_assert_uint_eq(get32(h + 16), crc32(0, copy, 92));
	ck_assert_uint_eq(get64(h + 24), here);
	ck_assert_uint_eq(get64(h + 32), other);
	ck_assert_uint_eq(get64(h + 40), 34);
	ck_assert_uint_eq(get64(h + 48), NR_SECTORS - 34);
	ck_assert_uint_eq(get64(h + 72), entries_lba);
	ck_assert_uint_eq(get32(h + 80), 128);
	ck_assert_uint_eq(get32(h + 84), 128);
	ck_assert_uint_eq(get32(h + 88), crc32(0, entries, 128 * 128));
}

START_TEST(each_copy_knows_its_place)
{
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	check_header(head + 512, 1, NR_SECTORS - 1, 2, head + 1024);
	check_header(tail + 32 * 512, NR_SECTORS - 1, 1, NR_SECTORS - 33, tail);
	ck_assert_mem_eq(head + 1024, tail, 128 * 128);
}
END_TEST

START_TEST(entries_are_as_given)
{
	static const uint8_t linux_type[] = { 0xaf, 0x3d, 0xc6, 0x0f,
					      0x83, 0x84, 0x72, 0x47,
					      0x8e, 0x79, 0x3d, 0x69,
					      0xd8, 0x47, 0x7d, 0xe4 };
	const uint8_t *e = head + 1024;

	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	ck_assert_uint_eq(get64(e + 32), 40);
	ck_assert_uint_eq(get64(e + 40), 47);
	ck_assert_uint_eq(get64(e + 48), UINT64_C(1) << 60);
	ck_assert_mem_eq(e + 56, "e\0s\0p\0\0\0", 8);
	e += 128;
	ck_assert_mem_eq(e, linux_type, 16);
	ck_assert_mem_eq(e + 56, "r\0\xf6\0\x3d\xd8\0\xde\0\0", 10);
	/* nothing else */
	for (e += 128; e < head + sizeof(head); e++)
		ck_assert_uint_eq(*e, 0);
}
END_TEST

START_TEST(mbr_covers_the_disk)
{
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	ck_assert_uint_eq(head[446 + 4], 0xee);
	ck_assert_uint_eq(get32(head + 446 + 8), 1);
	ck_assert_uint_eq(get32(head + 446 + 12), NR_SECTORS - 1);
	ck_assert_mem_eq(head + 510, "\x55\xaa", 2);
	gpt.nr_sectors = UINT64_C(1) << 40;
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	ck_assert_uint_eq(get32(head + 446 + 12), UINT32_MAX);
}
END_TEST

static void refused(const char *why, enum vc_errc code)
{
	ck_assert_int_eq(vc_gpt_render(&gpt, head, tail, &err), -1);
	ck_assert_int_eq((int)err.code, (int)code);
	ck_assert_msg(strstr(err.msg, why), "%s", err.msg);
	set_up();
}

START_TEST(refuses_wrong_partitions)
{
	parts[0].last_lba = 48;
	refused("partition 2: overlaps partition 1", VC_E_ARG);
	parts[0].first_lba = 33;
	refused("partition 1: sectors 33", VC_E_ARG);
	parts[1].last_lba++;
	refused("partition 2: sectors 48", VC_E_ARG);
	parts[1].last_lba = 47;
	refused("partition 2: sectors", VC_E_ARG);
	gpt.first_usable_lba = 41;
	refused("partition 1: sectors", VC_E_ARG);
	parts[1].guid = parts[0].guid;
	refused("GUID: that of partition 1", VC_E_ARG);
	parts[1].label = "esp";
	refused("label: that of partition 1", VC_E_ARG);
	memset(&parts[0].type, 0, 16);
	refused("all zero", VC_E_ARG);
	memset(&gpt.disk_guid, 0, 16);
	refused("disk GUID", VC_E_ARG);
	gpt.nr_parts = VC_GPT_ENTRIES + 1;
	refused("more than 128", VC_E_LIMIT);
	gpt.nr_sectors = 67;
	refused("a disk of", VC_E_ARG);
	gpt.nr_sectors = UINT64_MAX;
	refused("a disk of", VC_E_ARG);
}
END_TEST

START_TEST(refuses_wrong_labels)
{
	static const char *const wrong[] = {
		"\xff",
		"\xc3",
		"\xc0\x80",
		"\xed\xa0\x80",
		"\xf4\x90\x80\x80",
		"\xe0\x80\x80",
		"\x80",
	};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		parts[0].label = wrong[i];
		refused("partition 1: label: not UTF-8", VC_E_ARG);
	}
	parts[0].label = "0123456789012345678901234567890123456";
	refused("longer than 36", VC_E_ARG);
	parts[0].label = "01234567890123456789012345678901234\xf0\x9f\x98\x80";
	refused("longer than 36", VC_E_ARG);
	parts[0].label = "012345678901234567890123456789012345";
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	/* an absent one may be absent twice */
	parts[0].label = parts[1].label = NULL;
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
	parts[0].label = parts[1].label = "";
	ck_ok(vc_gpt_render(&gpt, head, tail, &err), &err);
}
END_TEST

START_TEST(guids_are_read_and_written)
{
	static const char *const wrong[] = {
		"",
		"0fc63daf-8483-4772-8e79-3d69d8477de",
		"0fc63daf-8483-4772-8e79-3d69d8477de44",
		"0fc63daf-8483-4772-8e79+3d69d8477de4",
		"0fc63dag-8483-4772-8e79-3d69d8477de4",
		"{fc63daf-8483-4772-8e79-3d69d8477de4",
	};
	struct vc_guid guid, other;
	char text[VC_GUID_TEXT];
	size_t i;

	ck_ok(vc_guid_parse("0FC63DAF-8483-4772-8E79-3D69D8477DE4", &guid,
			    &err),
	      &err);
	ck_assert_mem_eq(&guid, &VC_GPT_TYPE_LINUX, 16);
	ck_assert_str_eq(vc_guid_format(&guid, text),
			 "0fc63daf-8483-4772-8e79-3d69d8477de4");
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(vc_guid_parse(wrong[i], &other, &err), -1);
		ck_assert_int_eq((int)err.code, VC_E_ARG);
	}
	ck_ok(vc_guid_random(&guid, &err), &err);
	ck_ok(vc_guid_random(&other, &err), &err);
	ck_assert_mem_ne(&guid, &other, 16);
	ck_assert_uint_eq(guid.b[6] >> 4, 4);
	ck_assert_uint_eq(guid.b[8] >> 6, 2);
	vc_guid_derive("a", 1, &guid);
	vc_guid_derive("a", 1, &other);
	ck_assert_mem_eq(&guid, &other, 16);
	/* the same on every machine and in every version of ours */
	ck_assert_str_eq(vc_guid_format(&guid, text),
			 "a96faf70-5af1-8834-a6c6-32b61e964e1f");
}
END_TEST

TEST_SUITE(suite_gpt)
{
	Suite *s = suite_create("disk/gpt");
	TCase *tc = test_case(s, "gpt");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, each_copy_knows_its_place);
	tcase_add_test(tc, entries_are_as_given);
	tcase_add_test(tc, mbr_covers_the_disk);
	tcase_add_test(tc, refuses_wrong_partitions);
	tcase_add_test(tc, refuses_wrong_labels);
	tcase_add_test(tc, guids_are_read_and_written);
	return s;
}
