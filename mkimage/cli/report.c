/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include "mkimage/cli/report.h"

static bool has_progress;

enum work { WORK_READ, WORK_CONVERT, WORK_DIGEST };

/* Ten times a second, and at once when another kind of work begins or ends. */
static bool is_time(enum work work, bool is_end)
{
	static uint64_t last_ns;
	static enum work last_work;
	const uint64_t now = vc_now_ns();

	if (!is_end && work == last_work && now - last_ns < UINT64_C(100000000))
		return false;
	last_ns = now;
	last_work = work;
	has_progress = true;
	return true;
}

static void convert_progress(void *opaque, uint64_t done, uint64_t total)
{
	(void)opaque;
	if (total && is_time(WORK_CONVERT, done == total))
		fprintf(stderr, "\r%3u%%  converted\033[K",
			(unsigned)(done * 100 / total));
}

static void digest_progress(uint64_t done, uint64_t total)
{
	if (total && is_time(WORK_DIGEST, done == total))
		fprintf(stderr, "\r%3u%%  digest\033[K",
			(unsigned)(done * 100 / total));
}

static void read_progress(struct build *b, uint64_t pos, uint64_t size)
{
	if (!is_time(WORK_READ, false))
		return;
	if (size)
		fprintf(stderr, "\r%3u%%  %llu entries\033[K",
			(unsigned)(pos * 100 / size),
			(unsigned long long)b->nr_entries);
	else
		fprintf(stderr, "\r%llu MiB  %llu entries\033[K",
			(unsigned long long)(pos >> 20),
			(unsigned long long)b->nr_entries);
}

void report_progress_start(struct settings *s, struct build *b)
{
	b->progress = read_progress;
	s->out.progress = convert_progress;
	s->digest_progress = digest_progress;
}

void report_progress_end(void)
{
	if (has_progress)
		fputs("\r\033[K", stderr);
	has_progress = false;
}

void report_log(enum vc_log_level level, const char *who, const char *text)
{
	(void)level;
	report_progress_end();
	fprintf(stderr, "mkimage: %s: %s\n", who, text);
}

/* A name as it may be shown: a terminal obeys what is in it, and JSON is UTF-8.
 */
struct shown {
	char s[4 * PATH_MAX]; /* each byte may take four */
};

static struct shown show(const char *text)
{
	struct shown ret;

	vc_printable(text, ret.s, sizeof(ret.s));
	return ret;
}

static json_t *json_of(const char *text)
{
	return text ? json_string(show(text).s) : json_null();
}

static void report_text(const struct settings *s, const struct build *b,
			const struct report *p)
{
	const struct writer_report *r = &p->target.writer;
	char size[32], used[32], left[32];

	printf("%s: %llu entries, %s of %s", show(s->output).s,
	       (unsigned long long)b->nr_entries, target_fs_names[s->fs_kind],
	       vc_human_size(r->size, size, sizeof(size)));
	if (s->fs_kind == TARGET_EXT4)
		printf(": %s used, %s free",
		       vc_human_size(r->used, used, sizeof(used)),
		       vc_human_size(r->free, left, sizeof(left)));
	putchar('\n');
	if (s->parts.is_wanted)
		printf("%s: disk of %s, root from byte %llu on\n",
		       show(s->output).s,
		       vc_human_size(p->target.disk_bytes, size, sizeof(size)),
		       (unsigned long long)s->parts.root.start_bytes);
	if (s->boot_dir)
		printf("%s: kernel %s, initrd %s\n", show(s->boot_dir).s,
		       show(p->target.boot.kernel_path).s,
		       p->target.boot.initrd
			       ? show(p->target.boot.initrd_path).s
			       : "none");
	if (s->has_agent)
		printf("%s: agent started by %s\n", show(s->output).s,
		       agent_starter_names[p->starter]);
}

static int report_json(const struct settings *s, const struct build *b,
		       const struct report *p, struct vc_error *err)
{
	const struct writer_report *r = &p->target.writer;
	json_t *warnings = json_array(), *root;
	uint64_t i;
	int rc;

	for (i = 0; i < b->warn.nr && i < WARN_MAX_KEPT; i++)
		json_array_append_new(warnings, json_of(b->warn.kept[i]));
	root = json_pack(
		"{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:s?, s:s, s:I, s:o, s:s?, s:s?, s:o, s:o}",
		"output", json_of(s->output), "format",
		s->fs_kind == TARGET_CPIO
			? "raw"
			: vc_disk_format_names[s->out.format - 1],
		"file-system", target_fs_names[s->fs_kind], "size",
		(json_int_t)r->size, "used", (json_int_t)r->used, "free",
		(json_int_t)r->free, "data", (json_int_t)r->data, "disk-size",
		(json_int_t)p->target.disk_bytes, "file-size",
		(json_int_t)p->target.file_bytes, "entries",
		(json_int_t)b->nr_entries, "inodes", (json_int_t)r->nr_inodes,
		"free-inodes", (json_int_t)r->nr_free_inodes, "uuid",
		r->uuid[0] ? r->uuid : NULL, "sha256", p->target.digest.hex,
		"nr-warnings", (json_int_t)b->warn.nr, "warnings", warnings,
		"machine", machine_names[machine_most(&b->machines)], "agent",
		s->has_agent ? agent_starter_names[p->starter] : NULL, "kernel",
		json_of(s->boot_dir ? p->target.boot.kernel_path : NULL),
		"initrd",
		json_of(p->target.boot.initrd ? p->target.boot.initrd_path
					      : NULL));
	if (!root)
		return vc_fail(err, VC_E_SYS, ENOMEM, "report");
	rc = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	if (rc || putchar('\n') == EOF)
		return vc_fail(err, VC_E_SYS, errno, "report");
	return 0;
}

bool report_is_wanted(const struct settings *s)
{
	return s->is_json || !s->is_quiet;
}

int report_print(const struct settings *s, const struct build *b,
		 const struct report *p, struct vc_error *err)
{
	report_progress_end();
	if (s->is_json) {
		if (report_json(s, b, p, err))
			return -1;
	} else if (report_is_wanted(s)) {
		report_text(s, b, p);
	}
	return vc_stdout_flush(err);
}
