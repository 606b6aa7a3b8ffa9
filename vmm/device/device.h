/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of `vmm device CLASS` share. */
#ifndef VMM_DEVICE_DEVICE_H
#define VMM_DEVICE_DEVICE_H

#include <vmmcore/options.h>
#include <vmmcore/sandbox.h>
#include <vmmcore/virtio.h>

#define DEVICE_MAX_FDS 8 /* opened before the jail and kept in it */
#define DEVICE_NAME_BYTES 32
#define DEVICE_MAX_PATHS 2 /* sockets to remove at the end */

struct device;

struct device_class {
	const char *name; /* the word after `vmm device` */
	const char *help;
	enum vc_jail_role role;
	/* kernel threads that carry out I/O count as ours */
	bool needs_threads;
	const struct vc_option *options;
	size_t nr_options;
	/* the caller puts the option's name before the error */
	int (*on_option)(struct device *d, const struct vc_option *opt,
			 const char *value, struct vc_error *err);
	/* Open what the options name; each descriptor is given to
	 * device_keep(). May be NULL. */
	int (*open)(struct device *d, struct vc_error *err);
	/* In the jail, with nothing but those descriptors. */
	int (*create)(struct device *d, struct vc_loop *loop,
		      struct vc_virtio_dev **ret, struct vc_error *err);
	/* Free what the options allocated. May be NULL. */
	void (*fini)(struct device *d);
};

struct blk_opts {
	char *path, *id;
	int fd, format;
	int open_fd;   /* whom to ask for files; -1: nobody */
	int direct_fd; /* the image with O_DIRECT, when nobody is asked */
	bool is_given, is_readonly, is_direct, has_lock, has_backing;
	uint64_t nr_queues, block_size;
};

struct console_opts {
	const char *in_path, *out_path;
	int in_fd, out_fd;
};

struct vsock_opts {
	uint64_t cid;
	const char *listen_path;
	int listen_fd, dial_fd;
};

struct device {
	const struct device_class *class;
	const char *name; /* of the device, for the log */
	const char *socket_path;
	int sock;      /* connected to the frontend; -1: comes from a keeper */
	int listen_fd; /* of socket_path; in the keeper only */
	int keeper_fd; /* to the keeper; -1: there is none */
	enum vc_jail_action action;
	bool is_sandboxed;
	int keep[DEVICE_MAX_FDS];
	size_t nr_keep;
	const char *paths[DEVICE_MAX_PATHS];
	size_t nr_paths;
	union {
		struct blk_opts blk;
		struct console_opts console;
		struct vsock_opts vsock;
	};
};

extern const struct device_class device_blk;
extern const struct device_class device_console;
extern const struct device_class device_rng;
extern const struct device_class device_vsock;

/* `fd` stays open in the jail. */
void device_keep(struct device *d, int fd);
/* The number of an open descriptor. */
int device_parse_fd(const char *value, int *ret,
		    struct vc_error *err) VC_MUST_CHECK;

/* --- keeper.c: outside of the jail ---------------------------------------- */

/* Listen on a Unix socket at `path`, which device_remove_paths() removes. */
int device_listen(struct device *d, const char *path, int *ret_fd,
		  struct vc_error *err) VC_MUST_CHECK;
void device_remove_paths(struct device *d);

/* Accept frontends on d->listen_fd, one at a time, until a signal says to stop:
 * each gets a process of its own that `run` is the whole of. With no listen_fd
 * there is one such process. Returns the exit status. */
int device_keeper(struct device *d, int (*run)(struct device *d));
/* In the process: whom to serve. Returns 0 with *ret_is_over set when there is
 * nobody any more. */
int device_next_frontend(int keeper_fd, int *ret_sock, bool *ret_is_over,
			 struct vc_error *err) VC_MUST_CHECK;

/* --- serve.c: in the jail -------------------------------------------------- */

/* Serve one frontend until it hangs up or the keeper says to stop. */
int device_serve(struct device *d, struct vc_virtio_dev *dev,
		 struct vc_error *err) VC_MUST_CHECK;

#endif
