/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file tree of an image, in memory: names and inodes, never contents. The
 * sources fill it, a file system writer (writer.h) lays it out.
 *
 * Names are bytes and come from outside. No name leads out of the tree: see
 * tree_walk(). A later entry of a name replaces the earlier one.
 */
#ifndef MKIMAGE_TREE_H
#define MKIMAGE_TREE_H

#include <vmmcore/util.h>
#include "mkimage/arena.h"
#include "mkimage/xset.h"

#define TREE_MAX_NAME 255
#define TREE_MAX_PATH (64 * 1024)
#define TREE_MAX_DEPTH 2048
#define TREE_MAX_SYMLINK 4095
#define TREE_MAX_FOLLOW 40   /* symbolic links on the way to one entry */
#define TREE_MAX_LINKS 65000 /* names of one file: ext4's limit */
#define TREE_MAX_NODES (UINT32_C(1) << 31)
#define TREE_MAX_LAYERS 4096
/* How many directories may be there without an entry, only as names lead through
 * them: so many, and more for each entry. A single name can make thousands. */
#define TREE_MAX_IMPLICIT 65536
#define TREE_MAX_IMPLICIT_EACH 16

struct node;

/* A run of blocks: `logical` counts in the file, `physical` in the image. */
struct extent {
	uint64_t physical;
	uint32_t logical;
	uint32_t len;
};

/* Sorted by `logical`. The first lives here: most files have just one. */
struct extents {
	struct extent first;
	struct extent *more; /* owned */
	uint32_t nr, max_more;
};

enum node_type {
	NODE_FILE,
	NODE_DIR,
	NODE_SYMLINK,
	NODE_CHAR,
	NODE_BLOCK,
	NODE_FIFO,
	NODE_SOCKET,
	/* a hard link to a name that has not come yet; gone after
	 * tree_resolve() */
	NODE_PENDING,
	NODE_BOUND, /* the same when it has been found; internal */
};

/* One name in a directory. After it was removed it stays in memory, to be used
 * again, and may have left the list of its directory: TREE_UNLISTED. */
#define TREE_UNLISTED UINT16_MAX
struct dent {
	struct node *node; /* NULL: removed */
	struct node *dir;  /* borrowed */
	struct dent *next; /* of the same directory, in order of arrival */
	uint32_t hash;
	uint16_t layer; /* that brought the name, or TREE_UNLISTED */
	uint8_t len;
	char name[]; /* not terminated */
};

struct node_dir {
	struct dent *first, *last;
	struct node *parent; /* borrowed; the root's is itself */
	uint32_t depth;
	uint32_t nr_names; /* that have a node */
	uint32_t nr_subdirs;
	uint16_t pruned;  /* the last layer that emptied it of older names */
	bool is_implicit; /* no entry of its own so far */
};

/* Of which each file has four: not padded. */
struct tree_time {
	int64_t sec;
	uint32_t nsec;
} __attribute__((packed, aligned(4)));

struct node {
	struct node *next; /* every node of the tree, in order of arrival */
	union {
		struct node_dir *dir;
		char *target; /* SYMLINK, PENDING: terminated */
		struct {
			uint32_t major, minor;
		} dev;
		uint64_t digest;    /* FILE: of the contents */
		uint64_t ref;	    /* FILE: the writer's, instead */
		struct node *bound; /* BOUND */
	};
	uint64_t size_bytes;
	struct extents ext; /* the writer's */
	struct tree_time mtime, atime, ctime, btime;
	uint32_t uid, gid;
	uint32_t xset;	   /* xset_table id, 0: none */
	uint32_t nr_links; /* names; of a directory 1 while it is in the tree */
	uint32_t ino;	   /* the writer's */
	uint32_t flags;	   /* FS_*_FL a user may set */
	uint16_t mode;	   /* permission bits and set-id, sticky */
	uint8_t type;	   /* enum node_type */
	bool has_btime;	   /* else it was born with the image */
};

/* What an entry says about its inode. */
struct tree_meta {
	struct tree_time mtime, atime, ctime, btime;
	uint32_t uid, gid, xset, flags;
	uint16_t mode;
	bool has_btime;
};

struct tree {
	struct arena arena;
	struct node *root;
	struct node *last; /* of the chain that starts at root */
	struct dent **slots;
	uint8_t *tags; /* of the slots: 0 where there is nothing */
	size_t nr_slots, nr_dents;
	/* owned: names of hard links to what has not come yet; some have gone */
	struct dent **pending;
	size_t nr_pending, max_pending;
	uint32_t nr_nodes, nr_implicit;
	uint16_t layer;	     /* that arrives now, from 1 */
	uint64_t nr_pruned;  /* names that whiteouts have looked at */
	unsigned link_flags; /* of tree_walk(), to the targets of hard links */
	struct xset_table xsets;
	/* Called for each file that has lost its last name. */
	void (*drop)(void *opaque, struct node *file);
	void *drop_opaque;
};

int tree_init(struct tree *t, struct vc_error *err) VC_MUST_CHECK;
void tree_fini(struct tree *t);

/* How tree_walk() treats what is in the way. */
#define TREE_MAKE_PARENTS 1u /* create what is missing, 0755 root */
/* Follow absolute links and clamp `..` at the root, as a chroot does: for
 * paths of our own. Without it a link that is absolute or climbs above the
 * root is refused. */
#define TREE_CHROOT 2u

/* Where a path leads: the directory and the last component, which is not
 * looked at. An empty name stands for the root itself. */
struct tree_place {
	struct node *dir;
	char name[TREE_MAX_NAME + 1];
	size_t len;
};

/* Find the place of `path`, whose `..` components are refused (VC_E_CORRUPT)
 * and leading slashes ignored. VC_E_SYS/ENOENT when a parent is missing. */
int tree_walk(struct tree *t, const char *path, unsigned flags,
	      struct tree_place *ret, struct vc_error *err) VC_MUST_CHECK;
bool tree_dir_is_empty(const struct node *dir);
struct node *tree_child(const struct tree *t, const struct node *dir,
			const char *name, size_t len);
/* The node at `path`, links on the way and at the end followed as in a chroot;
 * NULL if there is none. */
struct node *tree_find(struct tree *t, const char *path);

/* Put a new node of `type` at `place`; what was there goes, except that a
 * directory over a directory keeps its children. */
int tree_add(struct tree *t, const struct tree_place *place,
	     enum node_type type, const struct tree_meta *meta,
	     struct node **ret, struct vc_error *err) VC_MUST_CHECK;
/* The target of a symbolic link or pending link. Copies. */
int tree_set_target(struct tree *t, struct node *n, const char *target,
		    struct vc_error *err) VC_MUST_CHECK;
/* One more name for what `target` names, now or by tree_resolve(). *ret is the
 * node if it is there, else NULL. */
int tree_link(struct tree *t, const struct tree_place *place,
	      const char *target, struct node **ret,
	      struct vc_error *err) VC_MUST_CHECK;
/* All entries are in: bind the pending links. */
int tree_resolve(struct tree *t, struct vc_error *err) VC_MUST_CHECK;

/* --- layers: one source, or one layer of a container image, over another -- */

/* What arrives from now on lies over what is there; binds pending links. */
int tree_next_layer(struct tree *t, struct vc_error *err) VC_MUST_CHECK;
/* Take away what earlier layers brought at `place`, and below it. What this
 * layer brought stays, whether it came before or comes later. */
void tree_whiteout(struct tree *t, const struct tree_place *place);
/* The same for everything in `dir`, which itself stays as it is. */
void tree_make_opaque(struct tree *t, struct node *dir);
/* Take a name away, whatever layer it is of; false if it is not there. */
bool tree_remove(struct tree *t, const struct tree_place *place);
/* Was the name at `place` brought by an earlier layer? */
bool tree_is_older(const struct tree *t, const struct tree_place *place);

/* For tree.c, links.c and layer.c alone. */
/* The dent of the name, made if need be. */
struct dent *tree_get_dent(struct tree *t, struct node *dir, const char *name,
			   size_t len, struct vc_error *err);
void tree_bind_dent(struct tree *t, struct dent *d, struct node *n);
struct dent *tree_find_dent(const struct tree *t, const struct node *dir,
			    const char *name, size_t len);
void tree_clear_dent(struct tree *t, struct dent *d);
/* Put `d` at the end of its directory's list. */
void tree_list_dent(struct dent *d);

static inline bool node_is_dir(const struct node *n)
{
	return n->type == NODE_DIR;
}
/* The kind of file as inode(7) has it in st_mode: S_IFREG and the like. */
uint16_t node_format(const struct node *n);
/* The number of a device in 32 bits, as Linux keeps it on disks (in its
 * new_encode_dev()). */
uint32_t node_device(const struct node *n);
/* Set nr_users of every set of attributes. */
void tree_count_xset_users(struct tree *t);

/* Add a run to the end of `ext`; joins what is contiguous. */
int extents_append(struct extents *ext, uint32_t logical, uint64_t physical,
		   uint32_t len, struct vc_error *err) VC_MUST_CHECK;
static inline const struct extent *extents_get(const struct extents *ext,
					       uint32_t i)
{
	return i ? &ext->more[i - 1] : &ext->first;
}
void extents_fini(struct extents *ext);

/* `name` in printable form for a message; two of them and a reason have room in
 * one. */
struct tree_shown {
	char s[144];
};
struct tree_shown tree_show_n(const char *name, size_t len);
struct tree_shown tree_show(const char *name);
/* The whole path of a name: searches, for messages only. */
struct tree_shown tree_show_path(const struct tree *t, const struct dent *d);

#endif
