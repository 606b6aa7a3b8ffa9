#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""All that can be seen of a tree of files, a line per entry, in order.

tree.py DIR          path, type, mode, owner, time with nanoseconds; device
                     number, target, or size and digest of the contents;
                     attributes, ACLs among them; how many names, and the first
tree.py DIR OTHER    files that have fewer holes in OTHER than in DIR: more
                     blocks, one of attributes and one of extents aside
"""
import hashlib
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
ROOM = 2 * 4096 // 512
PIECE = 1 << 16


def shown(name):
    """On one line, whatever is in it."""
    return ascii(name)[2:-1]


def enter(top, path):
    """However long the path is."""
    os.chdir(top)
    parts = path.split(b"/") if path else []
    while parts:
        some = parts[:8]
        os.chdir(b"/".join(some))
        del parts[:8]


def entries(top):
    """(path from the top, name in the current folder, lstat) of everything below
    it, in order; the root itself as b"."; not what belongs to the file system."""
    enter(top, b"")
    yield b".", b".", os.lstat(b".")
    stack = [b""]
    while stack:
        folder = stack.pop()
        prefix = folder + b"/" if folder else b""
        enter(top, folder)
        found = []
        for name in sorted(os.listdir(b".")):
            if not prefix and name == b"lost+found":
                continue
            info = os.lstat(name)
            yield prefix + name, name, info
            if stat.S_ISDIR(info.st_mode):
                found.append(prefix + name)
        stack.extend(reversed(found))


def attributes(path):
    pairs = []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        try:
            value = os.getxattr(path, name, follow_symlinks=False).hex()
        except OSError as error:
            # there, and not of a form the kernel would show
            value = error.strerror
        pairs.append(name + "=" + value)
    return ",".join(pairs)


def pieces(fd, size):
    """(offset, what is there), but for most of the holes."""
    if size <= PIECE: # of one of them it is quicker to read it
        yield 0, os.read(fd, size)
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError:
            break
        while start < at:
            data = os.pread(fd, min(at - start, PIECE), start)
            if not data:
                raise EOFError(fd)
            yield start, data
            start += len(data)


def digest(path, size):
    """Where there are no data there are zeroes: not read, but counted."""
    result = hashlib.md5()
    fd = os.open(path, os.O_RDONLY)
    for start, data in pieces(fd, size):
        # holes end where blocks do: so do pieces
        for block in range(0, len(data), 4096):
            piece = data[block:block + 4096]
            if piece.count(0) != len(piece):
                result.update(b"%d " % (start + block))
                result.update(piece)
    os.close(fd)
    return result.hexdigest()


def line(path, name, info):
    """But for what takes all others to know: links."""
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    if path == b".":
        # the root's own: seldom what a folder of the host has
        return [attributes(name)]
    fields = [kind, "%o" % stat.S_IMODE(info.st_mode),
              "%d:%d" % (info.st_uid, info.st_gid),
              "%d.%09d" % divmod(info.st_mtime_ns, 10 ** 9)]
    if kind in ("char", "block"):
        fields += ["%d:%d" % (os.major(info.st_rdev),
                              os.minor(info.st_rdev))]
    elif kind == "symlink":
        fields += [shown(os.readlink(name))]
    elif kind == "file":
        fields += ["%d" % info.st_size, digest(name, info.st_size)]
    return fields + [attributes(name)]


def list_tree(top):
    first = {}
    subdirs = {}
    rows = []
    for path, name, info in entries(top):
        if stat.S_ISDIR(info.st_mode):
            subdirs[path] = 0
            if path != b".":
                subdirs[os.path.dirname(path) or b"."] += 1
        first.setdefault(info.st_ino, path)
        rows.append((path, info, line(path, name, info)))
    for path, info, fields in rows:
        if path == b".":
            pass
        elif not stat.S_ISDIR(info.st_mode):
            fields += ["%d" % info.st_nlink, shown(first[info.st_ino])]
        elif info.st_nlink not in (1, 2 + subdirs[path]):
            # 1: of a file system that does not count, or no longer
            fields += ["%d links" % info.st_nlink]
        print("|".join([shown(path)] + fields))


def fewer_holes(top, other):
    blocks = {}
    for path, _, info in entries(top):
        if stat.S_ISREG(info.st_mode):
            blocks[path] = info.st_blocks
    for path, _, info in entries(other):
        if info.st_blocks > blocks.get(path, info.st_blocks) + ROOM:
            print("%s: %d blocks for %d" %
                  (shown(path), info.st_blocks, blocks[path]))


if len(sys.argv) == 3:
    fewer_holes(*map(os.path.abspath, map(os.fsencode, sys.argv[1:])))
else:
    list_tree(os.path.abspath(os.fsencode(sys.argv[1])))
