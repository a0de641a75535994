"""What a power cut would leave of a directory, worked out from a recording of the real server's writes and flushes (Tests/Shims/powercut.c).

Only a successful flush makes anything durable: of a file, what had been written when its flush began; of a directory, the names that had been
changed when its flush began. Of everything else a seed decides block by block and name by name what reached the disk, as disks do.
"""

import os
import random
import shutil
import struct
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Shims", "powercut.c")
BLOCK = 4096
HEADER = struct.Struct("<II5QIIQ")
MAGIC = 0x54554350
OPENED, WRITTEN, RESIZED, EXTENDED, FLUSHED, MADE_DIRECTORY, UNLINKED, REMOVED_DIRECTORY, RENAMED, LINKED, FLUSHED_DIRECTORY = range(1, 12)


FILES, DIRECTORIES = 1, 2


def build(output, root, log=None, lies=0, delay=0, counts=None, short_writes=False):
    """Builds the shim. `root`: the directory to watch; `log`: prefix of the recordings; `lies`: flushes of FILES, DIRECTORIES or both do nothing;
    `delay`: seconds that each flush takes longer; `counts`: a file of two 64-bit numbers, flushes of files and of directories;
    `short_writes`: the kernel takes half of what it is given, or is interrupted."""
    command = ["cc", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", f'-DROOT="{os.path.realpath(root)}"']
    command += [f'-DLOG="{log}"'] if log else []
    command += ["-DSHORT_WRITES"] if short_writes else []
    command += [f'-DCOUNTS="{counts}"'] if counts else []
    command += [f"-DFLUSH_LIES={lies}", f"-DFLUSH_DELAY_US={round(delay * 1e6)}", SOURCE, "-o", output]
    subprocess.run(command, check=True, timeout=60)
    return output


class File:
    """`cache` is what a reader sees, `durable` what the last flush has left; `pending` are the changes since, oldest first."""

    def __init__(self, content=b""):
        self.durable = bytearray(content)
        self.pending = []

    @staticmethod
    def apply(content, change):
        _, kind, offset, data = change
        if kind == WRITTEN:
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset:offset + len(data)] = data
        elif kind == RESIZED:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
        elif len(content) < offset:
            content.extend(bytes(offset - len(content)))

    def flush(self, begun):
        covered = 0
        while covered < len(self.pending) and self.pending[covered][0] < begun:
            self.apply(self.durable, self.pending[covered])
            covered += 1
        del self.pending[:covered]

    def after_cut(self, choose):
        """`choose()`: whether one block, or the length, reached the disk."""
        if not self.pending:
            return bytes(self.durable)
        cache, dirty = bytearray(self.durable), set()
        for change in self.pending:
            self.apply(cache, change)
            if change[1] == WRITTEN and change[3]:
                dirty.update(range(change[2] // BLOCK, (change[2] + len(change[3]) - 1) // BLOCK + 1))
        out = bytearray(self.durable)
        for block in sorted(dirty):
            if choose():
                part = cache[block * BLOCK:(block + 1) * BLOCK]
                if part:
                    self.apply(out, (0, WRITTEN, block * BLOCK, part))
        if choose():
            self.apply(out, (0, RESIZED, len(cache), b""))
        return bytes(out)


class Tree:
    """A directory's files, as content by path; directories have None."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.content = {}

    @classmethod
    def read(cls, root):
        tree = cls(root)
        for directory, directories, files in os.walk(tree.root):
            for name in directories:
                tree.content[os.path.join(directory, name)] = None
            for name in files:
                path = os.path.join(directory, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as f:
                        tree.content[path] = f.read()
        return tree

    def write(self, root, like=None):
        """Puts it in the place of whatever is at `root`, with the owner and modes that `like`, or the old tree, has."""
        like = like or self.root
        facts = {}
        for directory, directories, files in os.walk(like):
            for path in [directory] + [os.path.join(directory, name) for name in directories + files]:
                facts[os.path.relpath(path, like)] = os.lstat(path)
        owner = facts.get(os.path.join("spool", "journal")) or facts.get("journal")
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)
        for path in ["."] + sorted(os.path.relpath(p, self.root) for p in self.content):
            target, content = os.path.join(root, path), self.content.get(os.path.normpath(os.path.join(self.root, path)))
            if content is None:
                os.makedirs(target, exist_ok=True)
            else:
                with open(target, "wb") as f:
                    f.write(content)
            known = facts.get(path)
            if known:
                os.chmod(target, known.st_mode & 0o7777)
                os.chown(target, known.st_uid, known.st_gid)
            elif owner:
                # A file that had gone again by the time of the cut.
                os.chmod(target, 0o600 if content is not None else 0o700)
                os.chown(target, owner.st_uid, owner.st_gid)


class Recording:
    """The records of one life of a server, from a directory that was wholly durable at its start."""

    def __init__(self, root, prefix):
        self.root = os.path.realpath(root)
        self.prefix = prefix
        self.base = Tree.read(root)

    def records(self):
        """All of them, in order of time: (kind, time, begun, inode, offset, created, path, second path, data)."""
        out = []
        directory, name = os.path.split(self.prefix)
        for file in os.listdir(directory):
            if file.startswith(name):
                out += self.parse(os.path.join(directory, file))
        out.sort(key=lambda r: r[1])
        return out

    @staticmethod
    def parse(path):
        with open(path, "rb") as f:
            data = f.read()
        out, at = [], 0
        while at + HEADER.size <= len(data):
            magic, kind, time, begun, inode, offset, length, first, second, created = HEADER.unpack_from(data, at)
            assert magic == MAGIC, f"{path}: not a record at {at}"
            at += HEADER.size
            if at + first + second + length > len(data):
                break  # The process was killed in the middle of it, so the operation's caller never heard that it was done.
            names = data[at:at + first].decode(), data[at + first:at + first + second].decode()
            at += first + second
            out.append((kind, time, begun, inode, offset, created, *names, data[at:at + length]))
            at += length
        return out

    def flushes(self):
        return [r[1] / 1e9 for r in self.records() if r[0] == FLUSHED]

    def cut(self, seed, until=None, records=None):
        """The tree after a power cut at the monotonic time `until` (seconds; None: at the end). Every fourth seed keeps nothing at all that was not
        flushed, another one everything that was written."""
        choice = random.Random(seed)
        choose = {0: lambda: False, 1: lambda: True}.get(seed % 4, lambda: choice.random() < 0.5)
        return Replay(self.base).run(records or self.records(), until).tree(choose)


class Replay:
    def __init__(self, base):
        self.root = base.root
        # An entry is a File, or None for a directory.
        self.names = {path: None if content is None else File(content) for path, content in base.content.items()}
        self.durable = dict(self.names)
        self.pending = []
        self.files = {}

    def run(self, records, until):
        limit = None if until is None else int(until * 1e9)
        for record in records:
            if limit is not None and record[1] > limit:
                break
            self.take(record)
        return self

    def change(self, time, path, entry):
        """`entry` False: the name is gone."""
        if entry is False:
            self.names.pop(path, None)
        else:
            self.names[path] = entry
        self.pending.append((time, path, entry))

    def take(self, record):
        kind, time, begun, inode, offset, created, path, second, data = record
        if kind == OPENED:
            if created:
                self.files[inode] = File()
                self.change(time, path, self.files[inode])
            elif path in self.names:
                self.files[inode] = self.names[path]
            else:
                raise AssertionError(f"{path}: opened, but never made")
        elif kind in (WRITTEN, RESIZED, EXTENDED):
            self.files[inode].pending.append((time, kind, offset, data))
        elif kind == FLUSHED:
            self.files[inode].flush(begun)
        elif kind == MADE_DIRECTORY:
            self.change(time, path, None)
        elif kind in (UNLINKED, REMOVED_DIRECTORY):
            # Sockets are made by bind(2), which is not recorded.
            if path in self.names:
                self.change(time, path, False)
        elif kind in (RENAMED, LINKED):
            entry = self.names[path]
            assert entry is not None, "renaming directories is not worked out"
            if kind == RENAMED:
                self.change(time, path, False)
            self.change(time, second, entry)
        elif kind == FLUSHED_DIRECTORY:
            left = []
            for change in self.pending:
                if change[0] < begun and os.path.dirname(change[1]) == path:
                    self.keep(self.durable, change)
                else:
                    left.append(change)
            self.pending = left

    @staticmethod
    def keep(names, change):
        if change[2] is False:
            names.pop(change[1], None)
        else:
            names[change[1]] = change[2]

    def tree(self, choose):
        names, stopped = dict(self.durable), set()
        # Of each name, some first part of its changes has happened.
        for change in self.pending:
            if change[1] not in stopped:
                if choose():
                    self.keep(names, change)
                else:
                    stopped.add(change[1])
        out = Tree(self.root)
        contents = {}
        for path, entry in sorted(names.items()):
            parent = os.path.dirname(path)
            if parent != self.root and parent not in out.content:
                continue  # Its directory's own name did not reach the disk.
            if entry is None:
                out.content[path] = None
            else:
                if id(entry) not in contents:
                    contents[id(entry)] = entry.after_cut(choose)
                out.content[path] = contents[id(entry)]
        return out
