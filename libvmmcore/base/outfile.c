/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the file system has O_TMPFILE, the file has no name until commit, so
 * even SIGKILL leaves nothing. linkat() then gives it one and fails if it is
 * taken, which is just what is wanted without `force`. Replacing needs a name
 * to rename from: a temporary one beside the target, for a moment. The two change
 * places, so that the old file can have its name back if that of another output
 * cannot be had.
 *
 * Elsewhere the file has that temporary name from the start. Every temporary
 * name that exists is in temp_names[], where a signal handler finds it. A slot
 * is filled before the name is made and emptied after it is gone; the handler
 * may therefore try to unlink a name that does not exist, never miss one.
 * Temporary names are relative to a descriptor of the folder, so a changed
 * working directory or a moved folder does not matter. A folder made for what is
 * to be in it is in there as well; it goes after the files.
 *
 * A signal ends the program from within its handler, at any moment but one: while
 * files get their names it waits, so that they are all there or none is. The
 * handler may run in another thread than the one that gives the names; which of
 * the two comes first is decided by one atomic word. Once there are names, the
 * signal came too late to undo anything and kills as it would without all this.
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

struct vc_outfile {
	char *path; /* as the user gave it, for messages */
	char *name; /* last component, in `dir_fd` */
	int dir_fd;
	int fd;
	bool force;
	bool sync, sync_data;
	bool is_replacing; /* there was a file when it was opened */
	bool is_device;
	bool is_folder; /* made for others; no fd, and a name from the start */
	bool is_synced; /* nothing of it is to be written any more */
	bool is_new;	/* it has its name, which nothing had before */
	/* it has its name, and what had it has the temporary one */
	bool has_old;
	int slot; /* in temp_names[] while it has a temporary name, else -1 */
};

struct temp_name {
	atomic_int state; /* SLOT_* */
	int dir_fd;
	int flags; /* of unlinkat() */
	char name[NAME_MAX + 1];
};
enum { SLOT_FREE, SLOT_FILLING, SLOT_SET };

enum { SIGNALS_FREE, SIGNALS_HELD, SIGNALS_ENDING };

bool outfile_avoid_tmpfile;
static struct temp_name temp_names[VC_OUTFILE_MAX_OPEN];
static atomic_int nr_open;
static atomic_bool has_named; /* some output is complete */
static atomic_int signals_state, held_signal;
static const char *signal_program; /* borrowed: what speaks of a signal */

static int slot_take(int dir_fd, int flags)
{
	int i;

	for (i = 0; i < VC_OUTFILE_MAX_OPEN; i++) {
		int expected = SLOT_FREE;

		if (atomic_compare_exchange_strong(&temp_names[i].state,
						   &expected, SLOT_FILLING)) {
			temp_names[i].dir_fd = dir_fd;
			temp_names[i].flags = flags;
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

	of->slot = slot_take(of->dir_fd, 0);
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

/* Open the folder the path is in. `path` is changed. */
static int split_path(struct vc_outfile *of, char *path, struct vc_error *err)
{
	char *slash = strrchr(path, '/');
	const char *dir = ".";

	of->name = strdup(slash ? slash + 1 : path);
	if (!of->name)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	if (!of->name[0])
		return vc_fail(err, VC_E_SYS, *of->path ? EISDIR : ENOENT,
			       "create");
	if (slash) {
		slash[1] = '\0';
		dir = path;
	}
	of->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (of->dir_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "create");
	return 0;
}

/* The same, with a symbolic link at the path's end followed: what is behind
 * /dev/disk/by-id/x is not a file to replace. */
static int resolve(struct vc_outfile *of, struct vc_error *err)
{
	vc_auto_free char *real = NULL;
	struct stat st;

	if (stat(of->path, &st) == 0) {
		/* first: --force would not help */
		if (!S_ISREG(st.st_mode))
			return vc_fail(err, VC_E_UNSUPPORTED, 0,
				       "replace: not a regular file");
		if (!of->force)
			return vc_fail(err, VC_E_SYS, EEXIST,
				       "not replaced without --force");
		of->is_replacing = true;
		real = realpath(of->path, NULL);
		if (!real)
			return vc_fail(err, VC_E_SYS, errno, "resolve");
	} else if (errno != ENOENT) {
		return vc_fail(err, VC_E_SYS, errno, "create");
	} else if (!of->force && lstat(of->path, &st) == 0) {
		/* a link to nothing: it would be in the way at the end */
		return vc_fail(err, VC_E_SYS, EEXIST,
			       "not replaced without --force");
	} else {
		real = strdup(of->path);
		if (!real)
			return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	}
	return split_path(of, real, err);
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

static struct vc_outfile *outfile_new(const char *path, struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = calloc(1, sizeof(*of));

	if (of) {
		of->dir_fd = of->fd = of->slot = -1;
		of->sync = true;
		atomic_fetch_add(&nr_open, 1);
		of->path = strdup(path);
	}
	if (of && of->path)
		return vc_steal_ptr(&of);
	vc_fail(err, VC_E_SYS, ENOMEM, "create");
	return NULL;
}

int vc_outfile_open(const char *path, bool force, struct vc_outfile **ret,
		    struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = outfile_new(path, err);
	char shown[PATH_MAX];

	if (of)
		of->force = force;
	if (!of || resolve(of, err) < 0 || open_file(of, err) < 0)
		return vc_prefix(err, "'%s'",
				 vc_printable(path, shown, sizeof(shown)));
	*ret = vc_steal_ptr(&of);
	return 0;
}

static int open_device(struct vc_outfile *of, struct vc_error *err)
{
	struct stat st;

	of->is_device = true;
	of->fd = open(of->path, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (of->fd < 0 || fstat(of->fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "open");
	if (!S_ISBLK(st.st_mode))
		return vc_fail(err, VC_E_UNSUPPORTED, 0, "no block device");
	return 0;
}

int vc_outfile_open_device(const char *path, struct vc_outfile **ret,
			   struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = outfile_new(path, err);
	char shown[PATH_MAX];

	if (!of || open_device(of, err) < 0)
		return vc_prefix(err, "'%s'",
				 vc_printable(path, shown, sizeof(shown)));
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

void vc_outfile_keep_old(struct vc_outfile *of)
{
	of->sync_data = of->is_replacing;
}

/* The new file takes the permissions of the one it replaces. */
static void copy_mode(struct vc_outfile *of)
{
	struct stat st;

	if (fstatat(of->dir_fd, of->name, &st, 0) == 0 && S_ISREG(st.st_mode))
		if (fchmod(of->fd, st.st_mode & 0777) < 0)
			return; /* not worth failing for */
}

/* In place of the file that is there, which has the temporary name then. */
static int exchange(struct vc_outfile *of)
{
	const char *temp = temp_names[of->slot].name;
	struct stat st;

	copy_mode(of);
	if (fstatat(of->dir_fd, of->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) &&
	    renameat2(of->dir_fd, temp, of->dir_fd, of->name,
		      RENAME_EXCHANGE) == 0) {
		of->has_old = true;
		return 0;
	}
	if (renameat(of->dir_fd, temp, of->dir_fd, of->name) < 0)
		return -1;
	slot_release(of);
	return 0;
}

static int rename_temp(struct vc_outfile *of)
{
	const char *temp = temp_names[of->slot].name;

	if (renameat2(of->dir_fd, temp, of->dir_fd, of->name,
		      RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST && of->force)
			return exchange(of);
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
		/* no such flag here: a hard link does not replace either */
		if (linkat(of->dir_fd, temp, of->dir_fd, of->name, 0) < 0)
			return errno == EEXIST && of->force ? exchange(of) : -1;
		unlinkat(of->dir_fd, temp, 0);
	}
	of->is_new = true;
	slot_release(of);
	return 0;
}

/* Returns 0 or -1 with errno. */
static int give_name(struct vc_outfile *of)
{
	char link[40];

	if (of->is_folder) {
		of->is_new = true;
		slot_release(of);
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", of->fd);
	if (of->slot < 0 && linkat(AT_FDCWD, link, of->dir_fd, of->name,
				   AT_SYMLINK_FOLLOW) == 0) {
		of->is_new = true;
		return 0;
	}
	if (of->slot < 0 &&
	    (errno != EEXIST || !of->force || make_temp_name(of) < 0))
		return -1;
	return rename_temp(of);
}

/* The name itself, too, must reach the medium. */
static int sync_folder(int dir_fd)
{
	vc_auto_fd int fd =
		openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* a folder one may write to but not read cannot be synced */
	return fd < 0 || fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
}

/* --- signals ------------------------------------------------------------------ */

static const struct {
	int nr;
	const char *name;
} signals[] = { { SIGINT, "SIGINT" },
		{ SIGTERM, "SIGTERM" },
		{ SIGHUP, "SIGHUP" } };

static void append(char *line, size_t size, const char *text)
{
	size_t at = strlen(line);

	while (*text && at + 1 < size)
		line[at++] = *text++;
	line[at] = '\0';
}

/* One line, over what there may be of a progress line. */
static void tell_signal(int sig)
{
	char line[160] = "";
	ssize_t n;
	size_t i;

	if (isatty(STDERR_FILENO))
		append(line, sizeof(line), "\r\033[K");
	append(line, sizeof(line), signal_program);
	append(line, sizeof(line), ": interrupted by ");
	for (i = 0; i < VC_ARRAY_SIZE(signals); i++)
		if (signals[i].nr == sig)
			append(line, sizeof(line), signals[i].name);
	if (atomic_load(&nr_open))
		append(line, sizeof(line), ": no output is left");
	append(line, sizeof(line), "\n");
	n = write(STDERR_FILENO, line, strlen(line));
	(void)n; /* there is nobody else to tell */
}

/* Only async-signal-safe calls, from here on down to what is called. */
static void remove_names(int flags)
{
	int i;

	for (i = 0; i < VC_OUTFILE_MAX_OPEN; i++)
		if (atomic_load(&temp_names[i].state) == SLOT_SET &&
		    temp_names[i].flags == flags)
			unlinkat(temp_names[i].dir_fd, temp_names[i].name,
				 flags);
}

static void end_by_signal(int sig)
{
	remove_names(0);
	remove_names(AT_REMOVEDIR);
	if (!atomic_load(&has_named)) {
		tell_signal(sig);
		_exit(1);
	}
	/* kills when the handler returns */
	signal(sig, SIG_DFL);
	raise(sig);
}

static void on_signal(int sig)
{
	int saved = errno, expected = SIGNALS_FREE;

	if (atomic_compare_exchange_strong(&signals_state, &expected,
					   SIGNALS_ENDING))
		end_by_signal(sig);
	else if (expected == SIGNALS_HELD)
		atomic_store(&held_signal, sig);
	errno = saved;
}

/* From here on a signal waits. */
static void hold_signals(void)
{
	int expected = SIGNALS_FREE;

	while (!atomic_compare_exchange_strong(&signals_state, &expected,
					       SIGNALS_HELD)) {
		/* another thread is about to end the program */
		pause();
		expected = SIGNALS_FREE;
	}
}

/* One that came meanwhile came too late if all is done. */
static void release_signals(bool is_done)
{
	int sig;

	if (is_done)
		atomic_store(&has_named, true);
	atomic_store(&signals_state, SIGNALS_FREE);
	sig = atomic_exchange(&held_signal, 0);
	if (sig && !is_done)
		raise(sig);
}

int vc_outfile_catch_signals(const char *program, struct vc_error *err)
{
	size_t i;

	signal_program = program;
	/* a file size limit is an error like a full disk */
	signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < VC_ARRAY_SIZE(signals); i++) {
		struct sigaction sa, old;

		memset(&sa, 0, sizeof(sa));
		sa.sa_handler = on_signal;
		sigfillset(&sa.sa_mask);
		sa.sa_flags = SA_RESTART;
		if (sigaction(signals[i].nr, NULL, &old) < 0 ||
		    (old.sa_handler != SIG_IGN &&
		     sigaction(signals[i].nr, &sa, NULL) < 0))
			return vc_fail(err, VC_E_SYS, errno, "catch signals");
	}
	return 0;
}

/* --- folders -------------------------------------------------------------------- */

/* A signal waits: before, the name may be somebody else's folder, after, it is to
 * be removed. */
static int make_folder(struct vc_outfile *of)
{
	int rc, sys;

	of->slot = slot_take(of->dir_fd, AT_REMOVEDIR);
	if (of->slot < 0)
		return -1;
	hold_signals();
	rc = mkdirat(of->dir_fd, of->name, 0777);
	sys = errno;
	if (!rc) {
		strcpy(temp_names[of->slot].name, of->name);
		atomic_store(&temp_names[of->slot].state, SLOT_SET);
	} else {
		slot_release(of);
	}
	release_signals(false);
	errno = sys;
	return rc;
}

static int create_folder(struct vc_outfile *of, bool *ret_is_there,
			 struct vc_error *err)
{
	vc_auto_free char *path = strdup(of->path);
	size_t len;

	*ret_is_there = false;
	if (!path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "create");
	for (len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	of->is_folder = true;
	if (!strcmp(path, "/")) {
		*ret_is_there = true;
		return 0;
	}
	if (split_path(of, path, err))
		return -1;
	if (strlen(of->name) > NAME_MAX)
		return vc_fail(err, VC_E_SYS, ENAMETOOLONG, "create");
	if (make_folder(of) == 0)
		return 0;
	if (errno != EEXIST)
		return vc_fail(err, VC_E_SYS, errno, "create");
	*ret_is_there = true;
	return 0;
}

int vc_outfile_create_folder(const char *path, struct vc_outfile **ret,
			     struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *of = outfile_new(path, err);
	char shown[PATH_MAX];
	bool is_there;

	if (!of || create_folder(of, &is_there, err))
		return vc_prefix(err, "'%s'",
				 vc_printable(path, shown, sizeof(shown)));
	*ret = is_there ? NULL : vc_steal_ptr(&of);
	return 0;
}

/* --- committing --------------------------------------------------------------- */

static int fail_commit(const struct vc_outfile *of, const char *what,
		       struct vc_error *err)
{
	const int sys = errno;
	char shown[PATH_MAX];

	return vc_fail(err, VC_E_SYS, sys, "'%s': %s",
		       vc_printable(of->path, shown, sizeof(shown)), what);
}

/* What is in a folder goes before it. */
static void take_names_back(struct vc_outfile **files, size_t nr)
{
	while (nr-- > 0) {
		const struct vc_outfile *of = files[nr];

		if (of && of->is_new)
			unlinkat(of->dir_fd, of->name,
				 of->is_folder ? AT_REMOVEDIR : 0);
		else if (of && of->has_old)
			renameat2(of->dir_fd, temp_names[of->slot].name,
				  of->dir_fd, of->name, RENAME_EXCHANGE);
	}
}

/* All of them or none. */
static int give_names(struct vc_outfile **files, size_t nr,
		      struct vc_error *err)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!files[i] || files[i]->is_device ||
		    give_name(files[i]) == 0)
			continue;
		fail_commit(files[i],
			    errno == EEXIST ? "not replaced without --force"
					    : "create",
			    err);
		take_names_back(files, i);
		return -1;
	}
	return 0;
}

/* The names are there, and have to be after a power cut. */
static int sync_names(struct vc_outfile **files, size_t nr,
		      struct vc_error *err)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!files[i] || !files[i]->sync || files[i]->is_device ||
		    sync_folder(files[i]->dir_fd) == 0)
			continue;
		fail_commit(files[i], "write", err);
		take_names_back(files, nr);
		return -1;
	}
	return 0;
}

static int commit_all(struct vc_outfile **files, size_t nr,
		      struct vc_error *err)
{
	size_t i;
	int rc;

	for (i = 0; i < nr; i++)
		if (files[i] && vc_outfile_sync(files[i], err))
			return -1;
	hold_signals();
	rc = give_names(files, nr, err) || sync_names(files, nr, err) ? -1 : 0;
	release_signals(rc == 0);
	return rc;
}

int vc_outfile_sync(struct vc_outfile *of, struct vc_error *err)
{
	if ((!of->sync && !of->sync_data) || of->is_synced || of->is_folder)
		return 0;
	if (fsync(of->fd) < 0)
		return fail_commit(of, "write", err);
	of->is_synced = true;
	return 0;
}

int vc_outfile_commit_all(struct vc_outfile **files, size_t nr,
			  struct vc_error *err)
{
	int rc = commit_all(files, nr, err);
	size_t i;

	/* a folder is empty when what is in it has gone */
	for (i = nr; i-- > 0;)
		files[i] = vc_outfile_abort(files[i]);
	return rc;
}

int vc_outfile_commit(struct vc_outfile *of, struct vc_error *err)
{
	return vc_outfile_commit_all(&of, 1, err);
}

struct vc_outfile *vc_outfile_abort(struct vc_outfile *of)
{
	int saved = errno;

	if (!of)
		return NULL;
	if (of->slot >= 0)
		unlinkat(of->dir_fd, temp_names[of->slot].name,
			 temp_names[of->slot].flags);
	slot_release(of);
	atomic_fetch_sub(&nr_open, 1);
	vc_close(&of->fd);
	vc_close(&of->dir_fd);
	free(of->path);
	free(of->name);
	free(of);
	errno = saved;
	return NULL;
}
