#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The times of an archive that no program unpacks, held against an image.

times.py ARCHIVE DIR     prints each entry of DIR whose time of access, of change
                         or of birth is not the one that the pax headers of ARCHIVE
                         have for it; then, to standard error, how many were there

DIR is mounted read-only, so that to look at it changes nothing.
"""
import os
import subprocess
import sys
import tarfile
from decimal import Decimal

FIELDS = {"atime": "%.9X", "ctime": "%.9Z", "LIBARCHIVE.creationtime": "%.9W"}
LEAST, MOST = -2 ** 31, 2 ** 34 - 2 ** 31


def wanted(archive):
    """What the last entry of each name says, but for those with other names."""
    found = {}
    linked = set()
    with tarfile.open(archive, errors="surrogateescape",
                      encoding="utf-8") as file:
        for entry in file:
            name = os.path.normpath(entry.name.lstrip("/"))
            if entry.islnk():
                linked |= {name, os.path.normpath(entry.linkname.lstrip("/"))}
            found[name] = {k: Decimal(v) for k, v in entry.pax_headers.items()
                           if k in FIELDS and v}
    return {n: t for n, t in found.items() if n not in linked and t}


def main():
    archive, top = sys.argv[1:]
    top = os.path.realpath(top)
    try:
        entries = wanted(archive)
    except (tarfile.TarError, ValueError, ArithmeticError, EOFError):
        entries = {} # of a dialect that this does not read
    paths = {}
    for name, times in entries.items():
        path = os.path.join(top, name)
        if os.path.realpath(os.path.dirname(path)) == os.path.dirname(path) \
                and os.path.lexists(path):
            paths[path] = times
    if not paths:
        return
    lines = subprocess.run(
        ["stat", "-c", "|".join(FIELDS.values()), "--", *paths],
        stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    for (path, times), line in zip(paths.items(), lines):
        for field, have in zip(FIELDS, map(Decimal, line.split("|"))):
            want = times.get(field, have)
            if LEAST <= want < MOST and want.quantize(
                    Decimal("1e-9"), "ROUND_FLOOR") != have:
                print("%s: %s %s, not %s" % (ascii(path), field, have, want))
    sys.stderr.write("%d\n" % len(paths))


main()
