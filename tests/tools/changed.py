#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The blocks of 4096 bytes that differ between two files of the same size.

changed.py FILE OTHER    their numbers, one a line; what is a hole in both is not
                         read
"""
import os
import sys

BLOCK = 4096


def data(fd, size):
    """The numbers of the blocks that are no holes."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError:
            return
        yield from range(start // BLOCK, (at + BLOCK - 1) // BLOCK)


fds = [os.open(name, os.O_RDONLY) for name in sys.argv[1:3]]
size, other = (os.fstat(fd).st_size for fd in fds)
if size != other:
    sys.exit("changed.py: %d bytes and %d" % (size, other))
for block in sorted(set(data(fds[0], size)) | set(data(fds[1], size))):
    one, two = (os.pread(fd, BLOCK, block * BLOCK) for fd in fds)
    if one != two:
        print(block)
