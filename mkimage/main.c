/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/outfile.h>
#include "mkimage/cli/options.h"
#include "mkimage/cli/report.h"
#include "mkimage/source/source.h"

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

/* Bring the sources and what goes over them into the tree. */
static int fill(const struct settings *s, struct build *b, struct report *p,
		struct vc_error *err)
{
	char shown[PATH_MAX];
	const char *name;
	int i;

	b->exclude = &s->exclude;
	for (i = 0; i < s->nr_sources; i++) {
		name = s->sources[i];
		if (source_add(b, name, &s->source, err))
			return vc_prefix(err, "%s",
					 strcmp(name, "-")
						 ? vc_printable(name, shown,
								sizeof(shown))
						 : "standard input");
	}
	if (build_settle(b, err) || ops_apply(b, &s->ops, &s->source, err) ||
	    source_check_used(b, &s->source, err))
		return -1;
	if (s->has_agent && agent_install(b, &s->agent, &p->starter, err))
		return -1;
	if (guest_apply(b, &s->guest, err))
		return -1;
	return build_complete(b, err);
}

/* The report comes first: whoever could not be told of an image gets none. */
static int publish(const struct settings *s, const struct build *b,
		   const struct report *p, struct target *t,
		   struct vc_error *err)
{
	if (report_print(s, b, p, err))
		return -1;
	if (!target_commit(t, err))
		return 0;
	return report_is_wanted(s)
		       ? vc_prefix(err, "what was reported is not there")
		       : -1;
}

static int write_image(struct settings *s, struct build *b, struct report *p,
		       struct vc_error *err)
{
	const struct target_opts opts = {
		.path = s->output,
		.fs = s->fs_kind,
		.out = s->out,
		.ext4 = &s->fs,
		.squashfs = &s->squashfs,
		.cpio = &s->cpio,
		.parts = &s->parts,
		.disk_bytes = s->fs.size_bytes,
		.boot_dir = s->boot_dir,
		.has_digest = s->is_json,
		.digest_progress = s->digest_progress,
	};
	vc_auto(target) struct target *t = NULL;
	struct stat old;

	if (!stat(s->output, &old)) {
		b->has_old = true;
		b->old_dev = old.st_dev;
		b->old_ino = old.st_ino;
	}
	if (target_open(&opts, &b->warn, &t, &b->writer, err))
		return -1;
	b->tree.xsets.max_values = b->writer->max_values;
	if (fill(s, b, p, err) ||
	    target_finish(t, &b->tree, build_time(b),
			  machine_most(&b->machines), &p->target, err)) {
		b->writer = NULL;
		return -1;
	}
	b->writer = NULL;
	return publish(s, b, p, t, err);
}

static int run(struct settings *s, struct vc_error *err)
{
	struct report p = { .starter = AGENT_BY_NOBODY };
	struct build b;
	int rc;

	if (vc_outfile_catch_signals("mkimage", err) || build_init(&b, err))
		return -1;
	/* a report that nobody reads is an error, as on a full disk: no signal */
	signal(SIGPIPE, SIG_IGN);
	b.warn.is_strict = s->is_strict;
	b.warn.is_quiet = s->is_quiet;
	b.is_verbose = s->is_verbose;
	if (s->is_verbose)
		vc_log_set(report_log, VC_LOG_INFO);
	if (!s->is_quiet && isatty(STDERR_FILENO))
		report_progress_start(s, &b);
	rc = read_epoch(&b, err) || write_image(s, &b, &p, err) ? -1 : 0;
	report_progress_end();
	build_fini(&b);
	return rc;
}

int main(int argc, char **argv)
{
	struct vc_error err = { 0 };
	struct settings s;
	bool is_done = false;
	int rc;

	vc_open_standard_fds();
	vc_log_set(report_log, VC_LOG_WARN);
	settings_init(&s);
	rc = settings_parse(&s, argc, argv, &is_done, &err);
	if (!rc && !is_done)
		rc = run(&s, &err);
	settings_fini(&s);
	rc = rc ? vc_report(stderr, "mkimage", &err) : 0;
	return vc_program_end("mkimage", rc);
}
