#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What other programs make of what mkimage is told to make an image of.

reference.py tar|bsdtar DIR TIME OPTION... SOURCE...

Puts it into DIR, which is there and empty, on a file system that can keep all of
it. Archives are unpacked by tar or bsdtar, as far as that understands them, folders
copied by tar, container images unpacked by skopeo and umoci; edits done by cp,
mkdir, ln, chmod, chown and rm. TIME is that of what has no other. Prints a word
for each kind of thing there was: "archive", "folder", "oci", "docker", "sources" if
several, "exclude", "edits", and "own" if mkimage puts files of its own there.
Exits with 3 and says why if there is nobody to ask.

Where mkimage documents something else than tar does, it is done here as
documented:
  - a file takes the place of a directory of an earlier source, with all in it;
  - what of an earlier source is reached through a link is what the link leads to
    in the image, not on the host;
  - a directory that a later source does not name keeps its time;
  - patterns to leave out match names, not what a tar would call them;
  - sockets are left out.
Where they agree: a directory of a later source replaces a link of an earlier one.
"""
import fnmatch
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile

REF_NAME = "org.opencontainers.image.ref.name"
# no word of these gets into the tree
PLAIN = {"--strict", "--quiet", "-q", "--force", "--json", "--sync"}
PLAIN_VALUE = {"--fs-option", "--size", "-s", "--journal-size", "--label", "-L",
               "--uuid", "-U", "--seed", "--format", "-f", "--compress", "-c",
               "--output", "-o", "--esp", "--extract-boot"}
EDITS = {"--add", "--mkdir", "--symlink", "--chmod", "--chmod-all", "--chown",
         "--chown-all", "--remove", "--manifest"}
# files of mkimage's own: what else there is must be as it is without
OWN = {"--agent", "-a", "--init", "--fstab"}
OWN_VALUE = {"--hostname", "--ssh-key", "--root-password-hash", "--network",
             "--agent-binary", "--init-binary"}
VALUES = {"--exclude", "--owner", "--map-uid", "--map-gid", "--platform",
          "--image", "--source-type"}
ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
CAPABILITY = b"security.capability"


# folders that nothing but names in them are told of
IMPLIED = set()
# beside DIR, and on the same file system
SCRATCH = os.path.dirname(os.fsencode(os.path.abspath(sys.argv[2])))


class Nobody(Exception):
    """There is nobody who could tell."""


def run(*command, quiet=False, **more):
    """Its exit status, and what it says."""
    done = subprocess.run([os.fsencode(c) for c in command],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **more)
    if done.returncode and not quiet:
        raise RuntimeError("%s: %s" % (command, done.stdout.decode(
            errors="replace")))
    return done.returncode, done.stdout


class Wanted:
    """What the command line says."""

    def __init__(self, words):
        self.sources = []
        self.edits = []
        self.exclude = []
        self.maps = {"uid": [], "gid": []}
        self.owner = self.platform = self.image = None
        self.type = "auto"
        self.own = False
        words = list(words)
        while words:
            word = words.pop(0)
            if not word.startswith("-"):
                self.sources.append(word)
                continue
            if word == "-":
                raise Nobody("standard input")
            word, equals, value = word.partition("=")
            if word in OWN | OWN_VALUE:
                self.own = True
            if word in PLAIN | OWN or word in ("--partition", "-p"):
                continue
            if word not in PLAIN_VALUE | OWN_VALUE | EDITS | VALUES:
                raise Nobody(word)
            self.take(word, value if equals else words.pop(0))

    def take(self, word, value):
        if word in EDITS:
            self.edits.append((word[2:], value))
        elif word == "--exclude":
            self.exclude.append(value)
        elif word == "--owner":
            self.owner = tuple(map(int, value.split(":")))
        elif word in ("--map-uid", "--map-gid"):
            self.maps[word[-3:]].append(tuple(map(int, value.split(":"))))
        elif word == "--platform":
            self.platform = value
        elif word == "--image":
            self.image = value
        elif word == "--source-type":
            self.type = value


# --- trees ---------------------------------------------------------------------

def walk(top):
    """(its fd, what tells it) of each folder, however deep"""
    sys.setrecursionlimit(20000)
    for path, _, _, fd in os.fwalk(top):
        info = os.fstat(fd)
        yield fd, info, (path, info.st_ino)


def times(top):
    return {key: info.st_mtime_ns for _, info, key in walk(top)}


def restore_times(top, before, since_ns, made_ns):
    """Folders that nothing but the names of others in them were told of."""
    for fd, info, key in walk(top):
        if since_ns <= info.st_mtime_ns < since_ns + 86400 * 10 ** 9:
            old = before.get(key, made_ns)
            if key not in before:
                IMPLIED.add(info.st_ino)
            os.utime(fd, ns=(old, old))


def now_ns():
    """By the clock of the file system."""
    fd, name = tempfile.mkstemp(dir=SCRATCH)
    at = os.fstat(fd).st_mtime_ns
    os.close(fd)
    os.unlink(name)
    return at


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def set_owner(path, uid, gid):
    """The mode and the capabilities stay."""
    info = os.lstat(path)
    kept = None
    try:
        kept = os.getxattr(path, CAPABILITY, follow_symlinks=False)
    except OSError:
        pass
    os.lchown(path, uid, gid)
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(path, stat.S_IMODE(info.st_mode))
    if kept:
        os.setxattr(path, CAPABILITY, kept, follow_symlinks=False)


def below(top):
    """Itself, and every name below."""
    yield top
    if os.path.isdir(top) and not os.path.islink(top):
        for folder, dirs, files in os.walk(top):
            for name in dirs + files:
                yield os.path.join(folder, name)


# --- links of what is there already --------------------------------------------

def through(top, stash):
    """Links that tar would follow to the host lead to the same place in the
    tree, until put_back()."""
    changed = []
    for path in list(below(top)):
        if not os.path.islink(path):
            continue
        target = os.readlink(path)
        depth = os.path.relpath(path, top).count(b"/")
        if not target.startswith(b"/"):
            if target.count(b"..") > depth:
                raise Nobody("a link out of the tree")
            continue
        if b".." in target.split(b"/"):
            raise Nobody("a link with '..'")
        aside = os.path.join(stash, b"%d" % len(changed))
        os.rename(path, aside)
        os.symlink((b"../" * depth + target.lstrip(b"/")) or b".", path)
        changed.append((path, aside, os.lstat(path).st_ino))
    return changed


def put_back(changed):
    for path, aside, ino in changed:
        if os.path.islink(path) and os.lstat(path).st_ino == ino:
            os.rename(aside, path)
        else:
            os.unlink(aside)


# --- archives and folders --------------------------------------------------------

def has_acls_as_attributes(path):
    """As mmdebstrap puts them there: tar --acls passes over them."""
    with open(path, "rb") as file:
        data = file.read()
    return (re.search(rb"[0-9] SCHILY\.xattr\.system\.posix_acl_[a-z]*=", data)
            and not re.search(rb"[0-9] SCHILY\.acl\.[a-z]*=[a-z]*:", data))


def tar(*more):
    return ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner"] + \
        list(more)


def unpack(by, top, archive, acls):
    if by == "bsdtar":
        return run("bsdtar", "-C", top, "--numeric-owner", "-xpf", archive,
                   quiet=True)
    acl = ["--acls"] if acls else []
    return run(*tar("-C", top, *acl, "-xpf", archive), quiet=True)


def extract(by, top, archive, made_ns, acls):
    """Over what is there."""
    is_later = bool(os.listdir(top))
    before = times(top)
    since = now_ns()
    stash = tempfile.mkdtemp(dir=SCRATCH)
    changed = through(top, stash) if is_later else []
    _, said = unpack(by, top, archive, acls)
    # a file in place of a directory
    again = False
    for name in re.findall(rb"^tar: (.*): Cannot (?:unlink|open|create \w+ "
                           rb"to '.*'): (?:Is a directory|File exists|"
                           rb"Directory not empty)$", said, re.M):
        at = os.path.normpath(os.path.join(top, name))
        if is_later and at != top and os.path.isdir(at) and \
                not os.path.islink(at):
            shutil.rmtree(at)
            again = True
    if again:
        _, said = unpack(by, top, archive, acls)
    put_back(changed)
    os.rmdir(stash)
    restore_times(top, before, since, made_ns)
    sys.stderr.buffer.write(said)


def copy_folder(top, folder, made_ns, wanted):
    with tempfile.NamedTemporaryFile(dir=SCRATCH) as file:
        run(*tar("-C", folder, "--acls", "--sparse", "--format=pax",
                 "--warning=no-file-ignored", "-cf", file.name, "."))
        if wanted is None or not (wanted.owner or any(wanted.maps.values())):
            extract("tar", top, file.name, made_ns, True)
            return
        with tempfile.TemporaryDirectory(dir=SCRATCH) as own:
            own = os.fsencode(own)
            extract("tar", own, file.name, made_ns, True)
            for path in list(below(own)):
                map_owner(path, wanted)
            copy_folder(top, own, made_ns, None)


def mapped(number, maps, other):
    for first, to, count in maps:
        if first <= number < first + count:
            return to + number - first
    if other is not None:
        return other
    return number


def map_owner(path, wanted):
    info = os.lstat(path)
    owner = wanted.owner or (None, None)
    set_owner(path, mapped(info.st_uid, wanted.maps["uid"], owner[0]),
              mapped(info.st_gid, wanted.maps["gid"], owner[1]))
    if stat.S_ISLNK(info.st_mode):
        return
    for name in ACLS:
        try:
            value = os.getxattr(path, name)
        except OSError:
            continue
        entries = [value[:4]]
        for tag, perm, number in struct.iter_unpack("<HHI", value[4:]):
            if tag in (2, 8):
                number = mapped(number, wanted.maps["uid" if tag == 2
                                                    else "gid"], None)
            entries.append(struct.pack("<HHI", tag, perm, number))
        os.setxattr(path, name, b"".join(entries))
    try:
        value = os.getxattr(path, CAPABILITY)
    except OSError:
        return
    if len(value) == 24:
        root, = struct.unpack("<I", value[20:])
        os.setxattr(path, CAPABILITY, value[:20] + struct.pack(
            "<I", mapped(root, wanted.maps["uid"], None)))


# --- container images -------------------------------------------------------------

def names_of(archive):
    code, said = run("tar", "-tf", archive, quiet=True)
    if code:
        return []
    return [n[2:] if n.startswith("./") else n
            for n in said.decode(errors="replace").splitlines()]


def image_kind(source, kind):
    """"oci", "docker" or None: no container image"""
    if kind in ("tar", "dir"):
        return None
    if os.path.isdir(source):
        names = os.listdir(source)
    else:
        names = names_of(source)
    if "oci-layout" in names:
        return "oci"
    if "manifest.json" in names and (kind == "oci" or is_saved(source, names)):
        return "docker"
    return None


def is_saved(archive, names):
    """All that its manifest names is there."""
    if os.path.isdir(archive):
        return False
    for name in ("manifest.json", "./manifest.json"):
        code, text = run("tar", "-xOf", archive, name, quiet=True)
        if not code:
            break
    try:
        return all({i["Config"], *i["Layers"]} <= set(names)
                   for i in json.loads(text))
    except (ValueError, TypeError, KeyError):
        return False


def plain_variant(_, architecture, variant):
    """The first of them has none."""
    first = {"amd64": "v1", "arm64": "v8"}
    return "" if first.get(architecture) == variant else variant


class Layout:
    """An OCI image layout, for others to read."""

    def __init__(self, top):
        self.top = top

    def blob(self, digest):
        return os.path.join(self.top, "blobs", *digest.split(":"))

    def load(self, descriptor):
        with open(self.blob(descriptor["digest"]), "rb") as file:
            return json.load(file)

    def images(self, index, names=()):
        """(descriptor, its names) of every image"""
        for item in index["manifests"]:
            notes = item.get("annotations", {})
            mine = names + tuple(v for k, v in notes.items()
                                 if k in (REF_NAME,
                                          "io.containerd.image.name"))
            if "vnd.docker.reference.type" in notes:
                continue
            if "index" in item.get("mediaType", "") or \
                    "list" in item.get("mediaType", ""):
                yield from self.images(self.load(item), mine)
            elif os.path.exists(self.blob(item["digest"])):
                yield item, mine

    def platform(self, item):
        found = item.get("platform")
        if not found:
            found = self.load(self.load(item)["config"])
        return tuple(found.get(k) or "" for k in
                     ("os", "architecture", "variant"))

    def choose(self, wanted):
        with open(os.path.join(self.top, "index.json"), "rb") as file:
            images = list(self.images(json.load(file)))
        if wanted.image:
            images = [i for i in images if wanted.image in i[1]]
        images = [i[0] for i in images]
        if len(images) > 1 or wanted.platform:
            like = (wanted.platform or "linux/amd64").split("/")
            matching = [i for i in images
                        if list(self.platform(i)[:2]) == like[:2]]
            # the one without a variant is meant, if there is one
            variant = plain_variant(*(like + [""])[:3])
            images = [i for i in matching if plain_variant(
                *self.platform(i)) == variant] or matching or images
        return images[0]

    def put(self, data):
        name = os.path.join(self.top, "new")
        with open(name, "wb") as file:
            file.write(data)
        digest = "sha256:" + run("sha256sum", name)[1].decode().split()[0]
        os.rename(name, self.blob(digest))
        return digest

    def one(self, item):
        """Of this image alone, with no digest but those that all know."""
        item = {k: v for k, v in item.items() if k != "platform"}
        manifest = self.load(item)
        config = self.load(manifest["config"])
        parts = manifest["layers"]
        if any(p["digest"].startswith("sha512") for p in parts) or any(
                d.startswith("sha512") for d in config["rootfs"]["diff_ids"]):
            diffs = []
            for part in parts:
                with open(self.blob(part["digest"]), "rb") as file:
                    part["digest"] = self.put(file.read())
                if "+" in part["mediaType"]:
                    raise Nobody("sha512 of what is compressed")
                diffs.append(part["digest"])
            config["rootfs"]["diff_ids"] = diffs
            text = json.dumps(config).encode()
            manifest["config"].update(digest=self.put(text), size=len(text))
            text = json.dumps(manifest).encode()
            item.update(digest=self.put(text), size=len(text))
        item["annotations"] = {REF_NAME: "judge"}
        with open(os.path.join(self.top, "index.json"), "w",
                  encoding="ascii") as file:
            json.dump({"schemaVersion": 2, "manifests": [item]}, file)
        os_name, arch, variant = self.platform(item)
        return ["--override-os", os_name or "linux", "--override-arch",
                arch or "amd64"] + (["--override-variant", variant]
                                    if variant else [])


def image(top, source, kind, made_ns, wanted):
    """The root file system of a container image, over what is there."""
    own = tempfile.mkdtemp(dir=os.fsdecode(SCRATCH))
    layout = os.path.join(own, "layout")
    platform = []
    if kind == "oci":
        if os.path.isdir(source):
            shutil.copytree(source, layout, symlinks=True)
        else:
            os.mkdir(layout)
            run("tar", "-C", layout, "-xf", source)
        chosen = Layout(layout)
        platform = chosen.one(chosen.choose(wanted))
        where = "oci:%s:judge" % layout
    else:
        if os.path.isdir(source):
            saved = os.path.join(own, "saved.tar")
            run("tar", "-C", source, "-cf", saved, ".")
            source = saved
        where = "docker-archive:" + os.path.abspath(source)
        if wanted.image:
            where += ":" + wanted.image
    since = now_ns()
    # umoci knows neither zstd nor platforms, skopeo does both; nor users that
    # are not there
    flat = os.path.join(own, "flat")
    one = "oci:%s:judge" % os.path.join(own, "one")
    plain = []
    if kind == "oci":
        run("skopeo", "copy", "-q", "--insecure-policy", *platform,
            "--dest-decompress", where, "dir:" + flat)
        where = "dir:" + flat
        plain = ["--dest-oci-accept-uncompressed-layers"]
    run("skopeo", "copy", "-q", "--insecure-policy", *plain, where, one)
    run("umoci", "config", "--image", one[4:], "--config.user", "0:0")
    run("umoci", "unpack", "--image", one[4:], os.path.join(own, "bundle"))
    rootfs = os.fsencode(os.path.join(own, "bundle", "rootfs"))
    restore_times(rootfs, {}, since, made_ns)
    # what it does not know of AUFS
    for path in list(below(rootfs)):
        if os.path.basename(path).startswith(b".wh..wh.") and \
                os.path.lexists(path):
            parent = os.path.dirname(path)
            info = os.lstat(parent)
            remove(path)
            os.utime(parent, ns=(info.st_atime_ns, info.st_mtime_ns))
    if os.listdir(top):
        copy_folder(top, rootfs, made_ns, None)
    else:
        os.rmdir(top)
        os.rename(rootfs, top)
    shutil.rmtree(own)


# --- what goes over it ------------------------------------------------------------

def leave_out(top, patterns):
    def matches(path):
        parts = path.split(b"/")
        for pattern in patterns:
            pattern = os.fsencode(pattern)
            whole = pattern.startswith((b"/", b"./"))
            want = [p for p in pattern.split(b"/") if p not in (b"", b".")]
            tail = parts[-len(want):]
            if len(tail) == len(want) and \
                    (not whole or len(parts) == len(want)) and \
                    all(map(fnmatch.fnmatchcase, tail, want)):
                return True
        return False
    for path in list(below(top)):
        if path != top and os.path.lexists(path) and \
                matches(os.path.relpath(path, top)):
            while True:
                with Parent(path):
                    remove(path)
                path = os.path.dirname(path)
                if path == top or os.listdir(path) or \
                        os.lstat(path).st_ino not in IMPLIED:
                    break


class Parent:
    """What is done in a folder does not change its time."""

    def __init__(self, path):
        self.parent = os.path.dirname(path)

    def __enter__(self):
        self.info = os.lstat(self.parent)

    def __exit__(self, *_):
        os.utime(self.parent, ns=(self.info.st_atime_ns,
                                  self.info.st_mtime_ns))


class Edits:
    def __init__(self, top, made_ns, owner):
        self.top = top
        self.made_ns = made_ns
        self.owner = owner or (0, 0)

    def place(self, name, follow):
        """Where it is, by the links of the tree as its programs would see them;
        asked of a process that has no other root."""
        name = os.fsencode(name).strip(b"/")
        pid_out, pid_in = os.pipe()
        pid = os.fork()
        if not pid:
            os.chroot(self.top)
            os.chdir("/")
            head, tail = os.path.split(b"/" + name)
            path = os.path.realpath(b"/" + name) if follow else \
                os.path.join(os.path.realpath(head), tail)
            os.write(pid_in, path)
            os._exit(0)
        os.close(pid_in)
        with os.fdopen(pid_out, "rb") as file:
            path = file.read()
        os.waitpid(pid, 0)
        return os.path.normpath(self.top + path)

    def make_dirs(self, path):
        """Those that are missing; each of the file system's time."""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            with Parent(path):
                run("mkdir", path)
            # nothing of it by the folder it is in
            set_owner(path, 0, 0)
            for name in ACLS:
                if os.fsdecode(name) in os.listxattr(path):
                    os.removexattr(path, name)
            run("chmod", "00755", path)
            os.utime(path, ns=(self.made_ns, self.made_ns))

    def mode(self, path, mode, every=False):
        if re.fullmatch("[0-7]+", mode):
            mode = mode.zfill(5) # all of it, also of a folder
        if every:
            run("chmod", "-R", "--", mode, path, umask=0)
        else:
            run("chmod", "--", mode, path, umask=0)

    def done(self, path, mode, owner):
        if owner:
            set_owner(path, *map(int, owner.split(":")))
        if mode:
            self.mode(path, mode)

    def add(self, host, guest, mode=None, owner=None):
        into = guest.endswith("/")
        host = os.path.realpath(host) if not into else host
        if into:
            guest += os.path.basename(host.rstrip("/"))
            host = os.path.realpath(host)
        path = self.place(guest, os.path.isdir(host))
        self.make_dirs(os.path.dirname(path))
        with Parent(path):
            if os.path.isdir(host):
                os.makedirs(path, exist_ok=True)
                copy_folder(path, host, self.made_ns, None)
                info = os.stat(host)
                os.chmod(path, stat.S_IMODE(info.st_mode))
                os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
            else:
                if os.path.lexists(path):
                    os.unlink(path)
                run("cp", "-a", "-T", host, path)
        for there in below(os.fsencode(host)):
            mine = os.path.normpath(os.path.join(
                path, os.path.relpath(there, os.fsencode(host))))
            if os.path.lexists(mine):
                set_owner(mine, *self.owner)
        self.done(path, mode, owner)

    def mkdir(self, guest, mode=None, owner=None):
        path = self.place(guest, True)
        self.make_dirs(path)
        self.done(path, mode, owner)

    def symlink(self, target, guest, owner=None):
        path = self.place(guest, False)
        self.make_dirs(os.path.dirname(path))
        with Parent(path):
            run("ln", "-sfnT", "--", target, path)
        os.utime(path, ns=(self.made_ns, self.made_ns), follow_symlinks=False)
        self.done(path, None, owner)

    def chmod(self, mode, guest):
        self.mode(self.place(guest, True), mode)

    def chmod_all(self, mode, guest):
        self.mode(self.place(guest, True), mode, True)

    def chown(self, owner, guest):
        set_owner(self.place(guest, True), *map(int, owner.split(":")))

    def chown_all(self, owner, guest):
        for path in below(self.place(guest, True)):
            set_owner(path, *map(int, owner.split(":")))

    def remove(self, guest):
        path = self.place(guest, False)
        if os.path.lexists(path): # not where only mkimage's own was
            with Parent(path):
                run("rm", "-r", "--", path)


def words(line):
    """Of a manifest, without its comment."""
    found = re.findall(rb'(?:"(?:\\.|[^"\\])*"|\\.|[^\s"\\])+',
                       re.sub(rb"(^|\s)#.*", b"", line), re.S)
    escapes = {b"n": b"\n", b"t": b"\t"}

    def plain(word):
        return re.sub(rb'"|\\x([0-9a-fA-F]{2})|\\(.)',
                      lambda m: bytes([int(m[1], 16)]) if m[1]
                      else escapes.get(m[2], m[2]) if m[2] else b"", word,
                      flags=re.S)
    return [os.fsdecode(plain(w)) for w in found]


def steps(wanted):
    """(verb, its words) of the command line and of manifests; what they leave
    out is put with the rest of that"""
    for verb, value in wanted.edits:
        if verb != "manifest":
            at = value.rfind(":/")
            at = at if at >= 0 else value.rfind(":")
            if verb in ("mkdir", "remove"):
                yield verb, [value]
            elif at >= 0:
                yield verb, [value[:at], value[at + 1:]]
            continue
        with open(value, "rb") as file:
            lines = [words(w) for w in file.read().replace(
                b"\r\n", b"\n").split(b"\n")]
        for line in filter(None, lines):
            if line[0] == "exclude":
                wanted.exclude.append(line[1])
                continue
            if line[0] == "add":
                line[1] = os.path.join(os.path.dirname(value), line[1])
            yield line[0], line[1:]


def main():
    by, top, made = sys.argv[1:4]
    made_ns = int(made) * 10 ** 9
    wanted = Wanted(sys.argv[4:])
    top = os.fsencode(os.path.abspath(top))
    if not wanted.sources:
        raise Nobody("made by a program")
    todo = list(steps(wanted))
    told = set()
    for source in wanted.sources:
        if not os.path.exists(source):
            raise Nobody("%s is no file" % source)
        kind = image_kind(source, wanted.type)
        if kind:
            image(top, source, kind, made_ns, wanted)
        elif os.path.isdir(source):
            copy_folder(top, source, made_ns, wanted)
        elif os.path.isfile(source):
            extract(by, top, source, made_ns,
                    not has_acls_as_attributes(source))
        else:
            raise Nobody("%s is no file" % source)
        told.add(kind or ("folder" if os.path.isdir(source) else "archive"))
    if wanted.exclude:
        leave_out(top, wanted.exclude)
        told.add("exclude")
    edits = Edits(top, made_ns, wanted.owner)
    for verb, args in todo:
        more = dict(a.split("=", 1) for a in args[2 - (verb == "mkdir"):])
        plain = args[:2 - (verb == "mkdir")]
        getattr(edits, verb.replace("-", "_"))(*plain, **more)
        told.add("edits")
    if wanted.own:
        told.add("own")
    if len(wanted.sources) > 1:
        told.add("sources")
    print(" ".join(sorted(told)))


try:
    main()
except Nobody as why:
    print(why)
    sys.exit(3)
