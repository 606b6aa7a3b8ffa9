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

/* Members of `root`, in the order they are put there. Returns 0, or -1 when
 * memory is out. */
static int put_numbers(json_t *root, const struct build *b,
		       const struct report *p)
{
	const struct writer_report *r = &p->target.writer;
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{ "size", r->size },
		{ "used", r->used },
		{ "free", r->free },
		{ "data", r->data },
		{ "disk-size", p->target.disk_bytes },
		{ "file-size", p->target.file_bytes },
		{ "entries", b->nr_entries },
		{ "inodes", r->nr_inodes },
		{ "free-inodes", r->nr_free_inodes },
	};
	int rc = 0;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(numbers); i++)
		rc |= json_object_set_new(
			root, numbers[i].key,
			json_integer((json_int_t)numbers[i].value));
	return rc;
}

static int put_texts(json_t *root, const struct settings *s,
		     const struct build *b, const struct report *p)
{
	const struct boot_found *boot = &p->target.boot;
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "machine", machine_names[machine_most(&b->machines)] },
		{ "agent",
		  s->has_agent ? agent_starter_names[p->starter] : NULL },
		{ "kernel", s->boot_dir ? boot->kernel_path : NULL },
		{ "initrd", boot->initrd ? boot->initrd_path : NULL },
	};
	int rc = 0;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(texts); i++)
		rc |= json_object_set_new(root, texts[i].key,
					  json_of(texts[i].value));
	return rc;
}

static int put_warnings(json_t *root, const struct warnings *w)
{
	json_t *list = json_array();
	int rc = 0;
	uint64_t i;

	for (i = 0; i < w->nr && i < WARN_MAX_KEPT; i++)
		rc |= json_array_append_new(list, json_of(w->kept[i]));
	rc |= json_object_set_new(root, "nr-warnings",
				  json_integer((json_int_t)w->nr));
	return rc | json_object_set_new(root, "warnings", list);
}

static int put_all(json_t *root, const struct settings *s,
		   const struct build *b, const struct report *p)
{
	const char *format = s->fs_kind == TARGET_CPIO
				     ? "raw"
				     : vc_disk_format_names[s->out.format - 1];
	const char *uuid = p->target.writer.uuid;
	int rc;

	rc = json_object_set_new(root, "output", json_of(s->output));
	rc |= json_object_set_new(root, "format", json_of(format));
	rc |= json_object_set_new(root, "file-system",
				  json_of(target_fs_names[s->fs_kind]));
	rc |= put_numbers(root, b, p);
	rc |= json_object_set_new(root, "uuid", json_of(*uuid ? uuid : NULL));
	rc |= json_object_set_new(root, "sha256",
				  json_of(p->target.digest.hex));
	rc |= put_warnings(root, &b->warn);
	return rc | put_texts(root, s, b, p);
}

static int report_json(const struct settings *s, const struct build *b,
		       const struct report *p, struct vc_error *err)
{
	json_t *root = json_object();
	int rc;

	if (put_all(root, s, b, p)) {
		json_decref(root);
		return vc_fail(err, VC_E_SYS, ENOMEM, "report");
	}
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
