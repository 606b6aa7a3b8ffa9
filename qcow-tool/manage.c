/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "qcow-tool/manage.h"

int open_image(const char *path, enum vc_disk_format format, bool writable,
	       bool share, int *ret_fd, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_fd int fd = -1;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "open");
	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
				O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "open");
	if (!share && vc_disk_lock_fd(fd, writable, err) < 0)
		return -1;
	if (vc_disk_info_fd(fd, format, info, err) < 0)
		return -1;
	if (info->format != VC_DISK_FORMAT_QCOW2)
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "not a qcow2 image");
	*ret_fd = vc_steal_fd(&fd);
	return 0;
}

int report_image(const char *path, struct vc_error *err)
{
	char shown[256], name[260];

	snprintf(name, sizeof(name), "'%s'",
		 vc_printable(path, shown, sizeof(shown)));
	/* an error about the opening of it has the name already */
	if (strncmp(err->msg, name, strlen(name)) != 0)
		vc_prefix(err, "%s", name);
	return report(err);
}

int open_disk(const char *path, enum vc_disk_format format, bool writable,
	      bool share, struct vc_disk **ret, struct vc_error *err)
{
	struct vc_disk_open_opts oo = { .format = format,
					.writable = writable,
					.lock = !share,
					.allow_backing = true,
					.repair = true };

	return vc_disk_open(path, &oo, ret, err);
}

static void print_date(const struct vc_qcow2_snapshot *s)
{
	time_t t = (time_t)s->date_sec;
	char text[40] = "";
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%20s", text);
}

static void print_clock(const struct vc_qcow2_snapshot *s)
{
	uint64_t sec = s->vm_clock_nsec / 1000000000;

	printf(" %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64,
	       sec / 3600, sec / 60 % 60, sec % 60,
	       s->vm_clock_nsec / 1000000 % 1000);
}

void print_snapshots(const struct vc_qcow2_snapshots *s)
{
	unsigned i;

	printf("%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
	       "VM CLOCK", "ICOUNT");
	for (i = 0; i < s->nr; i++) {
		const struct vc_qcow2_snapshot *x = &s->items[i];
		char id[40], name[600], size[32];

		printf("%-9s %-16s %8s", vc_printable(x->id, id, sizeof(id)),
		       vc_printable(x->name, name, sizeof(name)),
		       vc_human_size(x->vm_state_bytes, size, sizeof(size)));
		print_date(x);
		print_clock(x);
		if (x->has_icount)
			printf("%11" PRIu64 "\n", x->icount);
		else
			printf("%11s\n", "");
	}
}

json_t *snapshots_as_json(const struct vc_qcow2_snapshots *s)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < s->nr; i++) {
		const struct vc_qcow2_snapshot *x = &s->items[i];
		json_t *j =
			json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "id",
				  json_text(x->id), "name", json_text(x->name),
				  "vm-state-size",
				  (json_int_t)x->vm_state_bytes, "date-sec",
				  (json_int_t)x->date_sec, "date-nsec",
				  (json_int_t)x->date_nsec, "vm-clock-sec",
				  (json_int_t)(x->vm_clock_nsec / 1000000000),
				  "vm-clock-nsec",
				  (json_int_t)(x->vm_clock_nsec % 1000000000));

		if (x->has_icount)
			json_object_set_new(
				j, "icount",
				json_integer((json_int_t)x->icount));
		json_array_append_new(list, j);
	}
	return list;
}

json_t *bitmaps_as_json(const struct vc_qcow2_bitmaps *b)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < b->nr; i++) {
		const struct vc_qcow2_bitmap *x = &b->items[i];
		json_t *flags = json_array();

		if (x->is_broken)
			json_array_append_new(flags, json_string("in-use"));
		if (x->is_enabled)
			json_array_append_new(flags, json_string("auto"));
		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:I}", "flags", flags, "name",
				  json_text(x->name), "granularity",
				  (json_int_t)x->granularity_bytes));
	}
	return list;
}
