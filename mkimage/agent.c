/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The image's paths are walked as in a chroot: a merged /usr (/lib a symbolic
 * link to usr/lib, or to /usr/lib) is followed, and nothing leads out.
 *
 * Which init an image has is told by its programs: systemd's own binary, then
 * OpenRC's; if there is nothing at /sbin/init and its usual other places,
 * vmm-init becomes the init.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mkimage/agent.h"
#include "mkimage/guest.h"

#define AGENT_PATH "/usr/lib/vmm/vmm-agent"
#define INIT_PATH "/usr/lib/vmm/vmm-init"
#define UNIT_NAME "vmm-agent.service"
#define WANTS_DIR "/etc/systemd/system/multi-user.target.wants/"
#define MAX_PROGRAM (64 * 1024 * 1024)

const char *const agent_starter_names[] = {
	[AGENT_BY_SYSTEMD] = "systemd",
	[AGENT_BY_OPENRC] = "openrc",
	[AGENT_BY_VMM_INIT] = "vmm-init",
	[AGENT_BY_NOBODY] = "nobody",
};

static const char unit[] = "[Unit]\n"
			   "Description=Agent for the host of this machine\n"
			   "\n"
			   "[Service]\n"
			   "ExecStart=" AGENT_PATH "\n"
			   "Restart=always\n"
			   "RestartSec=1\n"
			   /* what it runs for the host outlives a restart */
			   "KillMode=process\n"
			   "\n"
			   "[Install]\n"
			   "WantedBy=multi-user.target\n";

static const char script[] =
	"#!/sbin/openrc-run\n"
	"description=\"Agent for the host of this machine\"\n"
	"supervisor=supervise-daemon\n"
	"command=" AGENT_PATH "\n";

/* --- the host's side ------------------------------------------------------ */

static int read_program(const char *path, void **ret, size_t *ret_len,
			struct vc_error *err)
{
	vc_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	vc_auto_free void *data = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return vc_fail(err, VC_E_SYS, errno, "'%s': open", path);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > MAX_PROGRAM)
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': not a program",
			       path);
	data = malloc((size_t)st.st_size);
	if (!data)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s': read", path);
	if (vc_read_full(fd, data, (size_t)st.st_size))
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", path);
	if (st.st_size < 4 || memcmp(data, "\177ELF", 4) != 0)
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': not a program",
			       path);
	*ret_len = (size_t)st.st_size;
	*ret = vc_steal_ptr(&data);
	return 0;
}

/* Beside this program's installation, in the build tree it was made in (where
 * libtool may keep it one folder deeper), or where configure said. */
static int find_program(const char *name, char *ret, struct vc_error *err)
{
	static const char *const places[] = { "../libexec/vmmkit", "../guest",
					      "../../guest" };
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (i = 0; slash && i < VC_ARRAY_SIZE(places); i++) {
		if (snprintf(ret, PATH_MAX, "%.*s/%s/%s", (int)(slash - self),
			     self, places[i], name) < PATH_MAX &&
		    !access(ret, X_OK))
			return 0;
	}
	snprintf(ret, PATH_MAX, "%s/%s", MKIMAGE_LIBEXECDIR, name);
	if (!access(ret, X_OK))
		return 0;
	return vc_fail(err, VC_E_SYS, errno, "'%s': not found, also as '%s'",
		       name, ret);
}

/* --- the image's side ----------------------------------------------------- */

static int add_program(struct build *b, const char *to, const char *from,
		       const char *name, struct vc_error *err)
{
	vc_auto_free void *data = NULL;
	enum machine image, program;
	char path[PATH_MAX];
	size_t len = 0;

	if (from)
		snprintf(path, sizeof(path), "%s", from);
	else if (find_program(name, path, err))
		return -1;
	if (read_program(path, &data, &len, err))
		return -1;
	image = machine_most(&b->machines);
	program = machine_of(data, len);
	if (!machine_runs(image, program))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "'%s': a program for %s; those of the image are "
			       "for %s",
			       path, machine_names[program],
			       machine_names[image]);
	return guest_put_file(b, to, 0755, data, len, err);
}

/* A name that exists, even as a link whose target is not there, is an init:
 * what it points at may come from another file system. */
static bool has_init(struct build *b)
{
	static const char *const paths[] = { "/sbin/init", "/usr/sbin/init",
					     "/etc/init", "/bin/init",
					     "/usr/bin/init" };
	struct tree_place place;
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(paths); i++)
		if (!tree_walk(&b->tree, paths[i], TREE_CHROOT, &place, NULL) &&
		    tree_child(&b->tree, place.dir, place.name, place.len))
			return true;
	return false;
}

static int start_by_systemd(struct build *b, const char *dir,
			    struct vc_error *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/system/" UNIT_NAME, dir);
	if (guest_put_file(b, path, 0644, unit, sizeof(unit) - 1, err))
		return -1;
	return guest_put_symlink(b, WANTS_DIR UNIT_NAME, path, err);
}

static int start_by_openrc(struct build *b, struct vc_error *err)
{
	if (guest_put_file(b, "/etc/init.d/vmm-agent", 0755, script,
			   sizeof(script) - 1, err))
		return -1;
	return guest_put_symlink(b, "/etc/runlevels/default/vmm-agent",
				 "/etc/init.d/vmm-agent", err);
}

/* It looks for the agent where it is itself. */
static int start_by_vmm_init(struct build *b, const struct agent_opts *opts,
			     struct vc_error *err)
{
	if (add_program(b, INIT_PATH, opts->init_path, "vmm-init", err))
		return -1;
	return guest_put_symlink(b, "/sbin/init", INIT_PATH, err);
}

static int choose_starter(struct build *b, const struct agent_opts *opts,
			  enum agent_starter *ret, struct vc_error *err)
{
	static const char *const usr[] = { "/usr/lib/systemd/systemd", NULL };
	static const char *const lib[] = { "/lib/systemd/systemd", NULL };

	if (opts->is_init) {
		*ret = AGENT_BY_VMM_INIT;
		return start_by_vmm_init(b, opts, err);
	}
	if (guest_has(b, usr) || guest_has(b, lib)) {
		*ret = AGENT_BY_SYSTEMD;
		return start_by_systemd(b,
					guest_has(b, usr) ? "/usr/lib/systemd"
							  : "/lib/systemd",
					err);
	}
	if (guest_has_openrc(b)) {
		*ret = AGENT_BY_OPENRC;
		return start_by_openrc(b, err);
	}
	if (!has_init(b)) {
		*ret = AGENT_BY_VMM_INIT;
		return start_by_vmm_init(b, opts, err);
	}
	*ret = AGENT_BY_NOBODY;
	return warn_add(&b->warn, err,
			"the image's init is neither systemd nor OpenRC: it "
			"must be told to start " AGENT_PATH);
}

int agent_install(struct build *b, const struct agent_opts *opts,
		  enum agent_starter *ret, struct vc_error *err)
{
	if (add_program(b, AGENT_PATH, opts->agent_path, "vmm-agent", err) ||
	    choose_starter(b, opts, ret, err))
		return vc_prefix(err, "agent");
	return 0;
}
