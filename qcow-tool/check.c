/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

/* Scripts know these numbers from qemu-img. */
enum {
	CHECK_CLEAN = 0,
	CHECK_FAILED = 1, /* also bad usage: 2 means something else here */
	CHECK_CORRUPT = 2,
	CHECK_LEAKS = 3,
	CHECK_UNSUPPORTED = 63,
};

/* Lines about single findings; a broken image can have millions. */
#define MAX_FINDINGS 1000

struct check_opts {
	struct common_opts c;
	enum vc_disk_repair repair;
};

static const struct vc_option check_options[] = {
	OPT_FORMAT("of IMAGE; found out if not given"),
	OPT_OUTPUT,
	OPT_QUIET,
	{ "repair", 'r', "WHAT",
	  "leaks: release clusters that nothing refers to; all: and mend\n"
	  "what is wrong" },
	OPT_SOURCE_CACHE("accepted as qemu-img does"),
	OPT_SHARE("do not lock the image"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

/* -r: the only one of its own */
static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct check_opts *o = ctx;

	(void)opt;
	if (!strcmp(value, "leaks"))
		o->repair = VC_DISK_REPAIR_LEAKS;
	else if (!strcmp(value, "all"))
		o->repair = VC_DISK_REPAIR_ALL;
	else
		return vc_fail(err, VC_E_ARG, 0, "neither leaks nor all");
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool check",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "Verify that every cluster of an image is referred to as "
		   "often as its reference\ncount says. The image is "
		   "changed only with -r.",
	.options = check_options,
	.nr_options = VC_ARRAY_SIZE(check_options),
	.on_option = on_option,
	.epilogue = "Exit status: 0 no errors, 1 the check failed, 2 the image "
		    "is corrupt, 3 clusters\nare leaked but the image is not "
		    "corrupt, 63 the format has nothing to check.",
};

struct findings {
	struct vc_disk_check chk;
	uint64_t nr_printed;
	bool quiet;
};

static void on_finding(struct vc_disk_check *chk, bool is_leak,
		       const char *text)
{
	struct findings *f = vc_container_of(chk, struct findings, chk);

	(void)is_leak;
	if (f->quiet || f->nr_printed++ > MAX_FINDINGS)
		return;
	if (f->nr_printed > MAX_FINDINGS)
		text = "(more findings are not shown)";
	fprintf(stderr, "%s\n", text);
}

static void print_human(const struct vc_disk_check *chk)
{
	double total = (double)chk->nr_total_clusters;
	double allocated = (double)chk->nr_allocated_clusters;

	if (chk->nr_leaks_fixed || chk->nr_corruptions_fixed)
		printf("The following inconsistencies were found and "
		       "repaired:\n\n"
		       "    %llu leaked clusters\n    %llu corruptions\n\n"
		       "Double checking the fixed image now...\n",
		       (unsigned long long)chk->nr_leaks_fixed,
		       (unsigned long long)chk->nr_corruptions_fixed);
	if (!chk->nr_corruptions && !chk->nr_leaks)
		puts("No errors were found on the image.");
	if (chk->nr_corruptions)
		printf("\n%llu errors were found on the image.\n"
		       "Data may be corrupted, or further writes to the image "
		       "may corrupt it.\n",
		       (unsigned long long)chk->nr_corruptions);
	if (chk->nr_leaks)
		printf("\n%llu leaked clusters were found on the image.\n"
		       "This means waste of disk space, but no harm to data.\n",
		       (unsigned long long)chk->nr_leaks);
	if (chk->nr_total_clusters && chk->nr_allocated_clusters)
		printf("%llu/%llu = %.2f%% allocated, %.2f%% fragmented, "
		       "%.2f%% compressed clusters\n",
		       (unsigned long long)chk->nr_allocated_clusters,
		       (unsigned long long)chk->nr_total_clusters,
		       allocated * 100 / total,
		       (double)chk->nr_fragmented_clusters * 100 / allocated,
		       (double)chk->nr_compressed_clusters * 100 / allocated);
	printf("Image end offset: %llu\n",
	       (unsigned long long)chk->image_end_bytes);
}

static void set_unless_0(json_t *j, const char *key, uint64_t v)
{
	if (v)
		json_object_set_new(j, key, json_integer((json_int_t)v));
}

static int print_as_json(const char *path, const struct vc_disk_check *chk)
{
	json_t *j = json_pack("{s:o, s:s, s:i}", "filename", json_text(path),
			      "format", format_name(chk->format),
			      "check-errors", 0);

	set_unless_0(j, "image-end-offset", chk->image_end_bytes);
	set_unless_0(j, "total-clusters", chk->nr_total_clusters);
	set_unless_0(j, "allocated-clusters", chk->nr_allocated_clusters);
	set_unless_0(j, "fragmented-clusters", chk->nr_fragmented_clusters);
	set_unless_0(j, "compressed-clusters", chk->nr_compressed_clusters);
	set_unless_0(j, "leaks", chk->nr_leaks);
	set_unless_0(j, "corruptions", chk->nr_corruptions);
	set_unless_0(j, "leaks-fixed", chk->nr_leaks_fixed);
	set_unless_0(j, "corruptions-fixed", chk->nr_corruptions_fixed);
	return print_json(j);
}

static int check_image(const char *path, const struct check_opts *o)
{
	struct findings f = { .chk.report = on_finding,
			      .chk.repair = o->repair,
			      .quiet = o->c.quiet };
	bool writable = o->repair != VC_DISK_REPAIR_NONE;
	vc_auto_fd int fd = -1;
	struct vc_error err;
	char shown[256];
	int status = 0;

	vc_printable(path, shown, sizeof(shown));
	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
				O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		vc_fail(&err, VC_E_SYS, errno, "'%s': open", shown);
		report(&err);
		return CHECK_FAILED;
	}
	if (((!o->c.share || writable) &&
	     vc_disk_lock_fd(fd, writable, &err) < 0) ||
	    vc_disk_check_fd(fd, o->c.format, &f.chk, &err) < 0) {
		vc_prefix(&err, "'%s'", shown);
		report(&err);
		return err.code == VC_E_UNSUPPORTED ? CHECK_UNSUPPORTED
						    : CHECK_FAILED;
	}
	if (o->c.json)
		status = print_as_json(path, &f.chk);
	else if (!o->c.quiet)
		print_human(&f.chk);
	if (status)
		return CHECK_FAILED;
	if (f.chk.nr_corruptions)
		return CHECK_CORRUPT;
	return f.chk.nr_leaks ? CHECK_LEAKS : CHECK_CLEAN;
}

int cmd_check(int argc, char **argv)
{
	struct check_opts o = { .repair = VC_DISK_REPAIR_NONE };
	int status, first, nr;
	struct vc_error err;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, 1, 1, &first,
			       &nr);
	if (status >= 0)
		return status ? CHECK_FAILED : 0;
	if (take_image(&o.c, argv[first], o.repair != VC_DISK_REPAIR_NONE,
		       &path, &err) < 0) {
		report(&err);
		return CHECK_FAILED;
	}
	return check_image(path, &o);
}
