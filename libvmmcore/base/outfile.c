/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the file system has O_TMPFILE, the file has no name until commit, so
 * even SIGKILL leaves nothing. linkat() then gives it one and fails if it is
 * taken, which is just what is wanted without `force`. Replacing needs a name
 * to rename from: a temporary one beside the target, for a moment.
 *
 * Elsewhere the file has that temporary name from the start. Every temporary
 * name that exists is in temp_names[], where a signal handler finds it. A slot
 * is filled before the name is made and emptied after it is gone; the handler
 * may therefore try to unlink a name that does not exist, never miss one.
 * Temporary names are relative to a descriptor of the folder, so a changed
 * working directory or a moved folder does not matter.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/outfile.h>
#include "base/outfile.h"

#define NAME_TRIES 100
#define TEMP_NAME_SIZE 40

struct vc_outfile {
	char *path; /* as the user gave it, for messages */
	char *name; /* last component, in `dir_fd` */
	int dir_fd;
	int fd;
	bool force;
	bool sync;
	int slot; /* in temp_names[] while it has a temporary name, else -1 */
};

struct temp_name {
	atomic_int state; /* SLOT_* */
	int dir_fd;
	char name[TEMP_NAME_SIZE];
};
enum { SLOT_FREE, SLOT_FILLING, SLOT_SET };

bool outfile_avoid_tmpfile;
static struct temp_name temp_names[VC_OUTFILE_MAX_OPEN];

static int slot_take(int dir_fd)
{
	int i;

	for (i = 0; i < VC_OUTFILE_MAX_OPEN; i++) {
		int expected = SLOT_FREE;

		if (atomic_compare_exchange_strong(&temp_names[i].state,
						   &expected, SLOT_FILLING)) {
			temp_names[i].dir_fd = dir_fd;
			return i;
		}
	}
	errno = EMFILE;
	return -1;
}

static void slot_release(struct vc_outfile *of)
{
	if (of->slot >= 0)
		atomic_store(&temp_names[of->slot].state, SLOT_FREE);
	of->slot = -1;
}

/* A new name in the slot. The number only has to be unlikely to be taken. */
static void slot_set_name(struct temp_name *t)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz012345";
	uint64_t r;
	size_t i, n;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = vc_now_ns() ^ (uint64_t)getpid() << 40;
	atomic_store(&t->state, SLOT_FILLING);
	strcpy(t->name, ".vmmkit-");
	n = strlen(t->name);
	for (i = 0; i < 12; i++, r >>= 5)
		t->name[n + i] = digits[r & 31];
	strcpy(t->name + n + i, ".tmp");
	atomic_store(&t->state, SLOT_SET);
}

/* Make the temporary name: the open file itself or, if it has none yet, a link
 * to it. Returns 0 or -1 with errno. */
static int make_temp_name(struct vc_outfile *of)
{
	char link[40];
	int i;

	of->slot = slot_take(of->dir_fd);
	if (of->slot < 0)
		return -1;
	for (i = 0; i < NAME_TRIES; i++) {
		struct temp_name *t = &temp_names[of->slot];

		slot_set_name(t);
		if (of->fd >= 0) {
			snprintf(link, sizeof(link), "/proc/self/fd/%d",
				 of->fd);
			if (!linkat(AT_FDCWD, link, of->dir_fd, t->name,
				    AT_SYMLINK_FOLLOW))
				return 0;
		} else {
			of->fd = openat(of->dir_fd, t->name,
					O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
					0666);
			if (of->fd >= 0)
				return 0;
		}
		if (errno != EEXIST)
			break;
	}
	/* the name is not ours: the handler must not remove it */
	slot_release(of);
	return -1;
}

/* Split the path into folder and name, with a symbolic link at its end
 * followed: what is behind /dev/disk/by-id/x is not a file to replace. */
static int resolve(struct vc_outfile *of, struct vc_error *err)
{
	vc_auto_free char *real = NULL;
	struct stat st;
	const char *dir = ".";
	char *slash;

	if (stat(of->path, &st) == 0) {
		/* first: --force would not help */
		if (!S_ISREG(st.st_mode))
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "replace: not a regular file");
		if (!of->force)
			return vc_fail(err, VC_E_SYS, EEXIST,
				       "not replaced without --force");
		real = realpath(of->path, NULL);
		if (!real)
			return vc_fail(err, VC_E_SYS, errno, "resolve");
	} else if (errno != ENOENT) {
		return vc_fail(err, VC_E_SYS, errno, "create");
	} else {
		real = strdup(of->path);
		if (!real)
			return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	}
	slash = strrchr(real, '/');
	of->name = strdup(slash ? slash + 1 : real);
	if (!of->name)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	if (!of->name[0])
		return vc_fail(err, VC_E_SYS, *of->path ? EISDIR : ENOENT,
			       "create");
	if (slash) {
		slash[1] = '\0';
		dir = real;
	}
	of->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (of->dir_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "create");
	return 0;
}

static int open_file(struct vc_outfile *of, struct vc_error *err)
{
	errno = EOPNOTSUPP;
	if (!outfile_avoid_tmpfile)
		of->fd = openat(of->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
				0666);
	if (of->fd >= 0) {
		/* a name can be given later only through /proc */
		if (access("/proc/self/fd", X_OK) == 0)
			return 0;
		vc_close(&of->fd);
	} else if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT &&
		   errno != EINVAL) {
		return vc_fail(err, VC_E_SYS, errno, "create");
	}
	if (make_temp_name(of) < 0)
		return vc_fail(err, VC_E_SYS, errno, "create");
	return 0;
}

int vc_outfile_open(const char *path, bool force, struct vc_outfile **ret,
		    struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = calloc(1, sizeof(*of));
	char shown[PATH_MAX];

	vc_printable(path, shown, sizeof(shown));
	if (!of)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s': create", shown);
	of->dir_fd = of->fd = of->slot = -1;
	of->force = force;
	of->sync = true;
	of->path = strdup(path);
	if (!of->path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s': create", shown);
	if (resolve(of, err) < 0 || open_file(of, err) < 0)
		return vc_prefix(err, "'%s'", shown);
	*ret = vc_steal_ptr(&of);
	return 0;
}

int vc_outfile_get_fd(const struct vc_outfile *of)
{
	return of->fd;
}

void vc_outfile_set_sync(struct vc_outfile *of, bool sync)
{
	of->sync = sync;
}

/* The new file takes the permissions of the one it replaces. */
static void copy_mode(struct vc_outfile *of)
{
	struct stat st;

	if (fstatat(of->dir_fd, of->name, &st, 0) == 0 && S_ISREG(st.st_mode))
		if (fchmod(of->fd, st.st_mode & 0777) < 0)
			return; /* not worth failing for */
}

/* Returns 0 or -1 with errno. */
static int give_name(struct vc_outfile *of)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", of->fd);
	if (of->slot < 0 && linkat(AT_FDCWD, link, of->dir_fd, of->name,
				   AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (of->slot < 0) {
		if (errno != EEXIST || !of->force || make_temp_name(of) < 0)
			return -1;
	}
	if (of->force) {
		copy_mode(of);
		if (renameat(of->dir_fd, temp_names[of->slot].name, of->dir_fd,
			     of->name) < 0)
			return -1;
	} else if (renameat2(of->dir_fd, temp_names[of->slot].name, of->dir_fd,
			     of->name, RENAME_NOREPLACE) < 0) {
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
		/* no such flag here: a hard link does not replace either */
		if (linkat(of->dir_fd, temp_names[of->slot].name, of->dir_fd,
			   of->name, 0) < 0)
			return -1;
		unlinkat(of->dir_fd, temp_names[of->slot].name, 0);
	}
	slot_release(of);
	return 0;
}

/* The name itself, too, must reach the medium. */
static int sync_folder(int dir_fd)
{
	vc_auto_fd int fd =
		openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* a folder one may write to but not read cannot be synced */
	return fd < 0 || fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
}

int vc_outfile_commit(struct vc_outfile *of_owned, struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = of_owned;
	char shown[PATH_MAX];

	vc_printable(of->path, shown, sizeof(shown));
	if (of->sync && fsync(of->fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': write", shown);
	if (give_name(of) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       errno == EEXIST
				       ? "'%s': not replaced without --force"
				       : "'%s': create",
			       shown);
	if (of->sync && sync_folder(of->dir_fd) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': write", shown);
	return 0;
}

struct vc_outfile *vc_outfile_abort(struct vc_outfile *of)
{
	int saved = errno;

	if (!of)
		return NULL;
	if (of->slot >= 0)
		unlinkat(of->dir_fd, temp_names[of->slot].name, 0);
	slot_release(of);
	vc_close(&of->fd);
	vc_close(&of->dir_fd);
	free(of->path);
	free(of->name);
	free(of);
	errno = saved;
	return NULL;
}

/* Only async-signal-safe calls. SA_RESETHAND has restored the default action,
 * so the signal raised here kills when the handler returns. */
static void on_signal(int sig)
{
	int i;

	for (i = 0; i < VC_OUTFILE_MAX_OPEN; i++)
		if (atomic_load(&temp_names[i].state) == SLOT_SET)
			unlinkat(temp_names[i].dir_fd, temp_names[i].name, 0);
	raise(sig);
}

int vc_outfile_catch_signals(struct vc_error *err)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	size_t i;

	/* a file size limit is an error like a full disk */
	signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < VC_ARRAY_SIZE(signals); i++) {
		struct sigaction sa, old;

		memset(&sa, 0, sizeof(sa));
		sa.sa_handler = on_signal;
		sa.sa_flags = (int)SA_RESETHAND;
		sigfillset(&sa.sa_mask);
		if (sigaction(signals[i], NULL, &old) < 0 ||
		    (old.sa_handler != SIG_IGN &&
		     sigaction(signals[i], &sa, NULL) < 0))
			return vc_fail(err, VC_E_SYS, errno, "catch signals");
	}
	return 0;
}
