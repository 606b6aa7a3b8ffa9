/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/log.h>
#include <vmmcore/options.h>
#include <vmmcore/outfile.h>
#include "mkimage/agent.h"
#include "mkimage/ext4/ext4.h"
#include "mkimage/source/source.h"

#define MIN_JOURNAL (UINT64_C(4) << 20)
#define MAX_JOURNAL (UINT64_C(1) << 30)

struct settings {
	const char *output, *format;
	struct out_opts out;
	struct ext4_opts fs;
	struct agent_opts agent;
	bool has_agent, is_json, is_quiet, is_verbose, is_strict, has_version;
};

static const struct vc_option options[] = {
	{ "output", 'o', "FILE", "the disk image to write" },
	{ "format", 'f', "FORMAT",
	  "qcow2 or raw (default: by the end of the name)" },
	{ "force", 0, NULL, "replace FILE if it is there" },
	{ "size", 's', "SIZE",
	  "10G: of the disk; +2G: what is needed and that much\n"
	  "free; auto (the default): what is needed and enough to\n"
	  "live in, at least 1G" },
	{ "label", 'L', "NAME", "of the file system, at most 16 bytes" },
	{ "uuid", 'U', "UUID",
	  "of the file system (default: made from the content)" },
	{ "journal-size", 0, "SIZE",
	  "4M or more; 0: no journal (default: by the size)" },
	{ "agent", 'a', NULL,
	  "put the guest agent in and have the image start it" },
	{ "agent-binary", 0, "FILE", "the agent to put in; implies --agent" },
	{ "init-binary", 0, "FILE",
	  "the init for an image that has none; implies --agent" },
	{ "strict", 0, NULL, "fail where there would be a warning" },
	{ "sync", 0, NULL, "wait until the image is on the medium" },
	{ "json", 0, NULL, "report on standard output as JSON" },
	{ "quiet", 'q', NULL, "no report, no progress, no warnings" },
	{ "verbose", 'v', NULL, "name every entry on standard error" },
	{ "version", 'V', NULL, "print the version" },
};

/* --- options --------------------------------------------------------------- */

static int parse_uuid(const char *text, uint8_t uuid[16], struct vc_error *err)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const char *digit, *digits = "0123456789abcdef0123456789ABCDEF";
	int i, nr = 0;

	memset(uuid, 0, 16);
	for (i = 0; form[i]; i++) {
		if (form[i] == '-' && text[i] == '-')
			continue;
		digit = text[i] ? strchr(digits, text[i]) : NULL;
		if (!digit || form[i] == '-')
			return vc_fail(err, VC_E_ARG, 0,
				       "--uuid: not of the form %s", form);
		uuid[nr / 2] =
			(uint8_t)(uuid[nr / 2] << 4 | ((digit - digits) & 15));
		nr++;
	}
	if (text[i])
		return vc_fail(err, VC_E_ARG, 0, "--uuid: not of the form %s",
			       form);
	return 0;
}

static int parse_size(const char *text, struct ext4_opts *fs,
		      struct vc_error *err)
{
	fs->size_bytes = 0;
	fs->room_bytes = UINT64_MAX;
	if (!strcmp(text, "auto"))
		return 0;
	if (text[0] == '+') {
		if (vc_parse_size(text + 1, &fs->room_bytes, err))
			return vc_prefix(err, "--size");
		if (fs->room_bytes > EXT4_MAX_BYTES)
			return vc_fail(err, VC_E_ARG, 0,
				       "--size: more than 16T");
		return 0;
	}
	if (vc_parse_size(text, &fs->size_bytes, err))
		return vc_prefix(err, "--size");
	if (fs->size_bytes > EXT4_MAX_BYTES || !fs->size_bytes)
		return vc_fail(err, VC_E_ARG, 0, "--size: 0 or more than 16T");
	fs->size_bytes = vc_align_up(fs->size_bytes, OUT_BLOCK);
	return 0;
}

static int parse_journal(const char *text, struct ext4_opts *fs,
			 struct vc_error *err)
{
	if (vc_parse_size(text, &fs->journal_bytes, err))
		return vc_prefix(err, "--journal-size");
	if (fs->journal_bytes && (fs->journal_bytes < MIN_JOURNAL ||
				  fs->journal_bytes > MAX_JOURNAL))
		return vc_fail(err, VC_E_ARG, 0,
			       "--journal-size: neither 0 nor 4M to 1G");
	return 0;
}

static int set_label(const char *text, struct ext4_opts *fs,
		     struct vc_error *err)
{
	if (strlen(text) > EXT4_MAX_LABEL)
		return vc_fail(err, VC_E_ARG, 0,
			       "--label: longer than %d bytes", EXT4_MAX_LABEL);
	fs->label = text;
	return 0;
}

static int set_text(struct settings *s, const char *name, const char *value,
		    struct vc_error *err)
{
	if (!strcmp(name, "output")) {
		s->output = value;
	} else if (!strcmp(name, "format")) {
		s->format = value;
	} else if (!strcmp(name, "size")) {
		return parse_size(value, &s->fs, err);
	} else if (!strcmp(name, "label")) {
		return set_label(value, &s->fs, err);
	} else if (!strcmp(name, "uuid")) {
		s->fs.has_uuid = true;
		return parse_uuid(value, s->fs.uuid, err);
	} else if (!strcmp(name, "journal-size")) {
		return parse_journal(value, &s->fs, err);
	} else if (!strcmp(name, "agent-binary")) {
		s->has_agent = true;
		s->agent.agent_path = value;
	} else if (!strcmp(name, "init-binary")) {
		s->has_agent = true;
		s->agent.init_path = value;
	}
	return 0;
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct settings *s = ctx;

	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "force", &s->out.force },    { "agent", &s->has_agent },
		{ "strict", &s->is_strict },   { "sync", &s->out.sync },
		{ "json", &s->is_json },       { "quiet", &s->is_quiet },
		{ "verbose", &s->is_verbose }, { "version", &s->has_version },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(flags); i++)
		if (!strcmp(opt->name, flags[i].name))
			*flags[i].flag = true;
	return value ? set_text(s, opt->name, value, err) : 0;
}

static const struct vc_command command = {
	.name = "mkimage",
	.synopsis = "[OPTION]... -o FILE ROOTFS",
	.summary =
		"Make a disk image with an ext4 file system from a tar "
		"archive, "
		"compressed or\nnot (- is standard input). Needs no root, no "
		"mount, no temporary copy.",
	.options = options,
	.nr_options = VC_ARRAY_SIZE(options),
	.on_option = on_option,
	.epilogue = "The same input makes the same image, bit for bit. See "
		    "mkimage(1).",
};

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

static int choose_format(struct settings *s, struct vc_error *err)
{
	const char *f = s->format;

	if (!f) {
		if (ends_with(s->output, ".qcow2"))
			f = "qcow2";
		else if (ends_with(s->output, ".raw") ||
			 ends_with(s->output, ".img"))
			f = "raw";
		else
			return vc_fail(err, VC_E_ARG, 0,
				       "--format is needed: the output is not "
				       "named .qcow2, .raw or .img");
	}
	if (!strcmp(f, "qcow2"))
		s->out.format = VC_DISK_FORMAT_QCOW2;
	else if (!strcmp(f, "raw"))
		s->out.format = VC_DISK_FORMAT_RAW;
	else
		return vc_fail(err, VC_E_ARG, 0,
			       "--format: neither qcow2 nor raw");
	return 0;
}

static int read_epoch(struct build *b, struct vc_error *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	uint64_t v;

	if (!text || !*text)
		return 0;
	if (vc_parse_u64(text, BUILD_MAX_TIME, &v, err))
		return vc_prefix(err, "SOURCE_DATE_EPOCH");
	b->has_epoch = true;
	b->epoch = (int64_t)v;
	return 0;
}

/* --- what the user sees ---------------------------------------------------- */

static bool has_progress;

static void show_progress(struct build *b, uint64_t pos, uint64_t size)
{
	static uint64_t last_ns;
	uint64_t now = vc_now_ns();

	if (now - last_ns < UINT64_C(100000000))
		return;
	last_ns = now;
	has_progress = true;
	if (size)
		fprintf(stderr, "\r%3u%%  %llu entries\033[K",
			(unsigned)(pos * 100 / size),
			(unsigned long long)b->nr_entries);
	else
		fprintf(stderr, "\r%llu MiB  %llu entries\033[K",
			(unsigned long long)(pos >> 20),
			(unsigned long long)b->nr_entries);
}

static void end_progress(void)
{
	if (has_progress)
		fputs("\r\033[K", stderr);
	has_progress = false;
}

static void log_line(enum vc_log_level level, const char *who, const char *text)
{
	(void)level;
	end_progress();
	fprintf(stderr, "mkimage: %s: %s\n", who, text);
}

static const char *mib(uint64_t bytes, char *buf, size_t size)
{
	snprintf(buf, size, "%llu.%llu MiB", (unsigned long long)(bytes >> 20),
		 (unsigned long long)((bytes & 0xfffff) * 10 >> 20));
	return buf;
}

static void report_text(const struct settings *s, const struct build *b,
			const struct writer_report *r,
			enum agent_starter starter)
{
	char size[32], used[32], left[32];

	printf("%s: %llu entries, ext4 of %s: %s used, %s free\n", s->output,
	       (unsigned long long)b->nr_entries,
	       mib(r->size, size, sizeof(size)),
	       mib(r->used, used, sizeof(used)),
	       mib(r->free, left, sizeof(left)));
	if (s->has_agent)
		printf("%s: agent started by %s\n", s->output,
		       agent_starter_names[starter]);
}

static int report_json(const struct settings *s, const struct build *b,
		       const struct writer_report *r,
		       enum agent_starter starter, struct vc_error *err)
{
	json_t *warnings = json_array(), *root;
	uint64_t i;
	int rc;

	for (i = 0; i < b->warn.nr && i < WARN_MAX_KEPT; i++)
		json_array_append_new(warnings, json_string(b->warn.kept[i]));
	root = json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, "
		"s:I, s:o, s:s?}",
		"output", s->output, "format",
		vc_disk_format_names[s->out.format - 1], "file-system", "ext4",
		"size", (json_int_t)r->size, "used", (json_int_t)r->used,
		"free", (json_int_t)r->free, "data", (json_int_t)r->data,
		"entries", (json_int_t)b->nr_entries, "inodes",
		(json_int_t)r->nr_inodes, "free-inodes",
		(json_int_t)r->nr_free_inodes, "uuid", r->uuid, "nr-warnings",
		(json_int_t)b->warn.nr, "warnings", warnings, "agent",
		s->has_agent ? agent_starter_names[starter] : NULL);
	if (!root)
		return vc_fail(err, VC_E_SYS, ENOMEM, "report");
	rc = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	if (rc || putchar('\n') == EOF)
		return vc_fail(err, VC_E_SYS, errno, "report");
	return 0;
}

/* --- the work -------------------------------------------------------------- */

static int fill(struct settings *s, const char *input, struct build *b,
		enum agent_starter *starter, struct vc_error *err)
{
	if (source_tar(b, input, err))
		return vc_prefix(err, "%s",
				 strcmp(input, "-") ? input : "standard input");
	if (s->has_agent && agent_install(b, &s->agent, starter, err))
		return -1;
	return build_complete(b, err);
}

static int write_image(struct settings *s, const char *input, struct build *b,
		       struct vc_error *err)
{
	vc_auto(out) struct out *out = NULL;
	enum agent_starter starter = AGENT_BY_NOBODY;
	struct writer_report r;
	int rc;

	s->out.max_bytes = ext4_max_bytes(&s->fs);
	if (out_create(s->output, &s->out, &out, err) ||
	    ext4_new(out, &s->fs, &b->writer, err))
		return -1;
	rc = fill(s, input, b, &starter, err) ||
	     b->writer->ops->finish(b->writer, &b->tree, build_time(b), &r,
				    err);
	b->writer->ops->free(b->writer);
	b->writer = NULL;
	if (rc)
		return -1;
	if (out_commit(vc_steal_ptr(&out),
		       s->fs.size_bytes ? s->fs.size_bytes : r.size, err))
		return -1;
	end_progress();
	if (s->is_json)
		return report_json(s, b, &r, starter, err);
	if (!s->is_quiet)
		report_text(s, b, &r, starter);
	return 0;
}

static int run(struct settings *s, const char *input, struct vc_error *err)
{
	struct build b;
	int rc;

	if (vc_outfile_catch_signals(err) || build_init(&b, err))
		return -1;
	b.warn.is_strict = s->is_strict;
	b.warn.is_quiet = s->is_quiet;
	b.is_verbose = s->is_verbose;
	if (s->is_verbose)
		vc_log_set(log_line, VC_LOG_INFO);
	if (!s->is_quiet && isatty(STDERR_FILENO))
		b.progress = show_progress;
	rc = read_epoch(&b, err) || write_image(s, input, &b, err) ? -1 : 0;
	end_progress();
	build_fini(&b);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		return vc_fail(err, VC_E_SYS, errno, "standard output: write");
	return rc;
}

static int check_operands(const struct settings *s, int nr,
			  struct vc_error *err)
{
	if (nr != 1)
		return vc_fail(err, VC_E_ARG, 0,
			       nr ? "more than one input" : "no input given");
	if (!s->output)
		return vc_fail(err, VC_E_ARG, 0, "no --output given");
	return 0;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.fs.room_bytes = UINT64_MAX,
		.fs.journal_bytes = EXT4_JOURNAL_AUTO,
	};
	struct vc_error err = { 0 };
	bool is_help = false;
	int first = 0;

	vc_log_set(log_line, VC_LOG_WARN);
	if (vc_options_parse(&command, argc, argv, false, &s, &first, &is_help,
			     &err))
		return vc_report(stderr, "mkimage", &err);
	if (is_help) {
		vc_command_help(&command, stdout);
		return 0;
	}
	if (s.has_version) {
		puts("mkimage " VC_VERSION);
		return 0;
	}
	if (check_operands(&s, argc - first, &err) || choose_format(&s, &err) ||
	    run(&s, argv[first], &err))
		return vc_report(stderr, "mkimage", &err);
	return 0;
}
