/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest/rootdev.h"
#include "tests/lib/test.h"

static uint8_t head[ROOTDEV_HEAD_BYTES];
static char uuid[ROOTDEV_GUID_TEXT], label[257];

START_TEST(tells_tags_from_paths)
{
	ck_assert(rootdev_is_tag("LABEL=x"));
	ck_assert(rootdev_is_tag("UUID="));
	ck_assert(rootdev_is_tag("PARTLABEL=root"));
	ck_assert(rootdev_is_tag("PARTUUID=1-2"));
	ck_assert(!rootdev_is_tag("/dev/vda"));
	ck_assert(!rootdev_is_tag("LABELS"));
	ck_assert(!rootdev_is_tag("rootfs"));
}
END_TEST

START_TEST(reads_superblocks)
{
	size_t i;

	memset(head, 0, sizeof(head));
	ck_assert(!rootdev_probe(head, uuid, label));
	head[1024 + 56] = 0x53;
	head[1024 + 57] = 0xef;
	for (i = 0; i < 16; i++)
		head[1024 + 104 + i] = (uint8_t)(i << 4 | i);
	/* as long as it can be: without an end of its own */
	memcpy(head + 1024 + 120, "0123456789abcdefXX", 18);
	ck_assert(rootdev_probe(head, uuid, label));
	ck_assert_str_eq(uuid, "00112233-4455-6677-8899-aabbccddeeff");
	ck_assert_str_eq(label, "0123456789abcdef");

	memset(head, 0, sizeof(head));
	memcpy(head + 65536 + 64, "_BHRfS_M", 8);
	memset(head + 65536 + 299, 'x', 256);
	ck_assert(rootdev_probe(head, uuid, label));
	ck_assert_uint_eq(strlen(label), 256);
}
END_TEST

static int disk(void)
{
	char path[] = "/tmp/rootdev-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	return fd;
}

static void put(int fd, off_t at, const void *data, size_t len)
{
	ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
}

static const uint8_t guid[16] = { 0x04, 0x03, 0x02, 0x01, 0x06, 0x05,
				  0x08, 0x07, 0x09, 0x0a, 0x0b, 0x0c,
				  0x0d, 0x0e, 0x0f, 0x10 };
#define GUID_TEXT "01020304-0506-0708-090A-0b0c0d0e0f10"

START_TEST(reads_gpt)
{
	const unsigned sector = (unsigned)_i;
	uint8_t header[92] = "EFI PART";
	int fd = disk();

	header[72] = 2;
	header[80] = 128;
	header[84] = 128;
	put(fd, sector, header, sizeof(header));
	put(fd, (off_t)2 * sector + 2 * 128 + 16, guid, sizeof(guid));
	ck_assert(rootdev_has_partuuid(fd, sector, 3, GUID_TEXT));
	ck_assert(!rootdev_has_partuuid(fd, sector, 2, GUID_TEXT));
	ck_assert(!rootdev_has_partuuid(fd, sector, 0, GUID_TEXT));
	ck_assert(!rootdev_has_partuuid(fd, sector, 129, GUID_TEXT));
	/* lies */
	header[84] = 64;
	put(fd, sector, header, sizeof(header));
	ck_assert(!rootdev_has_partuuid(fd, sector, 3, GUID_TEXT));
	header[84] = 128;
	memset(header + 72, 0xff, 8);
	put(fd, sector, header, sizeof(header));
	ck_assert(!rootdev_has_partuuid(fd, sector, 3, GUID_TEXT));
	ck_assert(!rootdev_has_partuuid(fd, 65536, 3, GUID_TEXT));
	close(fd);
}
END_TEST

START_TEST(reads_mbr)
{
	static const uint8_t id[] = { 0x78, 0x56, 0x34, 0x12 };
	int fd = disk();

	put(fd, 440, id, sizeof(id));
	ck_assert(!rootdev_has_partuuid(fd, 512, 2, "12345678-02"));
	put(fd, 510, "\x55\xaa", 2);
	ck_assert(rootdev_has_partuuid(fd, 512, 2, "12345678-02"));
	ck_assert(!rootdev_has_partuuid(fd, 512, 1, "12345678-02"));
	close(fd);
}
END_TEST

TEST_SUITE(suite_rootdev)
{
	Suite *s = suite_create("guest/rootdev");
	TCase *tc = test_case(s, "rootdev");

	tcase_add_test(tc, tells_tags_from_paths);
	tcase_add_test(tc, reads_superblocks);
	tcase_add_loop_test(tc, reads_gpt, 512, 513);
	tcase_add_loop_test(tc, reads_gpt, 4096, 4097);
	tcase_add_test(tc, reads_mbr);
	return s;
}
