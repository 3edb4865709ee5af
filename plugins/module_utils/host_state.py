# Copyright (c) the hardway.kubernetes authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring users, directories, files and links of a host to a wished state: atomically, with diffs, secrets never shown."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import stat
import tempfile

SECRET = "(secret, not shown)"
MOUNTS = "/proc/self/mounts"


def mounts_below(folder):
    """Mount points below a folder, the kernel's names of them, which know no links; the deepest first."""
    within = os.path.realpath(folder).rstrip("/") + "/"
    with open(MOUNTS, encoding="utf-8") as stream:
        points = [line.split()[1].encode().decode("unicode_escape") for line in stream]
    return sorted((point for point in points if point.startswith(within)), key=len, reverse=True)


class HostState:
    """Compares wishes with the host and, outside check mode, makes them true.

    Every method returns True where the host differed. ``changed`` and ``diff`` add up what all calls found.
    """

    def __init__(self, module):
        self.module = module
        self.check_mode = module.check_mode
        self.changed = False
        self.diff = []
        self._folders = set()  # in which something was replaced or removed

    def result(self):
        """The keys of a module result that tell what changed."""
        self.settle()
        return {"changed": self.changed, "diff": self.diff}

    def settle(self):
        """See to it that what was changed so far outlives a power cut."""
        for folder in sorted(self._folders):
            if os.path.isdir(folder):
                handle = os.open(folder, os.O_RDONLY)
                os.fsync(handle)
                os.close(handle)
        self._folders.clear()

    def note(self, path, before, after):
        """Record one change for the diff."""
        self.changed = True
        self.diff.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def system_user(self, name, home="/nonexistent", groups=()):
        """A system user with a group of its own name, no shell and no home made."""
        try:
            pwd.getpwnam(name)
        except KeyError:
            self.note("user " + name, "absent\n", "system user\n")
            if self.check_mode:
                return True
            command = ["useradd", "--system", "--no-create-home", "--home-dir", home, "--shell", "/usr/sbin/nologin"]
            try:
                grp.getgrnam(name)
                command += ["--gid", name]
            except KeyError:
                command += ["--user-group"]
            if groups:
                command += ["--groups", ",".join(groups)]
            self.module.run_command(command + [name], check_rc=True)
            return True
        return False

    def system_user_absent(self, name):
        """Remove a system user; a person's account (uid 1000 and above) is refused."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return False
        if entry.pw_uid == 0 or entry.pw_uid >= 1000:
            self.module.fail_json(msg="%s is not a system user (uid %d) and is not removed" % (name, entry.pw_uid))
        self.note("user " + name, "system user\n", "absent\n")
        if not self.check_mode:
            self.module.run_command(["userdel", name], check_rc=True)
        return True

    def directory(self, path, owner="root", group=None, mode="0755"):
        """A directory with this owner and mode; missing parents are made as root, 0755."""
        if not os.path.isdir(path):
            self.note(path, "absent\n", "directory %s %s\n" % (owner, mode))
            if not self.check_mode:
                make_parents(path)
                os.mkdir(path)
                self._own(path, owner, group, mode)
            return True
        return self._attributes(path, owner, group, mode)

    def file(self, path, content, owner="root", group=None, mode="0644", secret=False):
        """A file with this content, replaced atomically and only when it differs."""
        wished = content if isinstance(content, bytes) else content.encode()
        present = read_bytes(path)
        if present == wished and not os.path.islink(path):
            return self._attributes(path, owner, group, mode)
        if secret:
            self.note(path, SECRET + "\n" if present is not None else "", SECRET + ", %d bytes\n" % len(wished))
        else:
            self.note(path, (present or b"").decode("utf-8", "replace"), wished.decode("utf-8", "replace"))
        if not self.check_mode:
            self._write(path, wished, owner, group, mode)
        return True

    def link(self, path, target):
        """A symbolic link, swapped atomically."""
        present = os.readlink(path) if os.path.islink(path) else None
        if present == target:
            return False
        if present is None and os.path.isdir(path):
            self.module.fail_json(msg="%s is a directory; a link to %s was expected there" % (path, target))
        before = "link to %s\n" % present if present else ("file\n" if os.path.exists(path) else "absent\n")
        self.note(path, before, "link to %s\n" % target)
        if not self.check_mode:
            make_parents(path)
            temporary = "%s.%d.new" % (path, os.getpid())
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.replace(temporary, path)
            self._folders.add(os.path.dirname(path))
        return True

    def absent(self, path, only_if_empty=False, place=False):
        """Nothing at path. With only_if_empty a directory that still holds something stays.

        :arg place: whether a link there is somebody's choice of another place, which stays, and what is in it goes.
        """
        if not os.path.lexists(path):
            return False
        if only_if_empty and os.path.isdir(path) and not os.path.islink(path) and os.listdir(path):
            return False
        linked = place and os.path.islink(path) and os.path.isdir(path)
        if os.path.ismount(path) or linked:  # the host's own disk: only what is on it goes
            removed = [name for name in os.listdir(path) if name != "lost+found"]
            for name in removed:
                self.absent(os.path.join(path, name))
            return bool(removed)
        folder = os.path.isdir(path) and not os.path.islink(path)
        if folder and not self.check_mode and mounts_below(path):
            self.module.fail_json(
                msg="%s is to go, and %s is mounted below it: what is there would go too. Unmount it (umount %s), and run again."
                % (path, mounts_below(path)[0], mounts_below(path)[0])
            )
        self.note(path, "present\n", "absent\n")
        if not self.check_mode:
            if folder:
                shutil.rmtree(path)
            else:
                os.unlink(path)
            self._folders.add(os.path.dirname(path))
        return True

    def _write(self, path, content, owner, group, mode):
        make_parents(path)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".%s." % os.path.basename(path))
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._own(temporary, owner, group, mode)
            os.replace(temporary, path)
            self._folders.add(os.path.dirname(path))
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise

    def _ids(self, owner, group):
        try:
            entry = pwd.getpwnam(owner)
            return entry.pw_uid, (grp.getgrnam(group).gr_gid if group else entry.pw_gid)
        except KeyError:
            if self.check_mode:
                return None, None
            self.module.fail_json(msg="there is no user %s or no group %s on this host" % (owner, group or owner))

    def _own(self, path, owner, group, mode):
        uid, gid = self._ids(owner, group)
        os.chown(path, uid, gid)
        os.chmod(path, int(mode, 8))

    def _attributes(self, path, owner, group, mode):
        status = os.stat(path)
        uid, gid = self._ids(owner, group)
        present = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        if uid is None or present == (uid, gid, int(mode, 8)):
            return False
        self.note(path, "uid %d gid %d mode %04o\n" % present, "uid %d gid %d mode %04o\n" % (uid, gid, int(mode, 8)))
        if not self.check_mode:
            self._own(path, owner, group, mode)
        return True


def make_parents(path):
    """Every missing directory above path, 0755 whatever the umask, so that no component is locked out of its files."""
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        make_parents(parent)
        try:
            os.mkdir(parent)
            os.chmod(parent, 0o755)
        except FileExistsError:
            pass  # another run was quicker


def read_bytes(path):
    """The content of a file as bytes, or None where there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity(path):
    """What a process would read at path, as a short string that differs when it differs.

    Small files count by content. Files over 1 MiB (binaries in versioned directories, never changed in place) count by
    their real path, size and time of change, so that a rerun need not read hundreds of megabytes.
    """
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError:
        return "absent"
    if status.st_size > 1 << 20 or os.path.isdir(real):
        return "%s %d %d" % (real, status.st_size, status.st_mtime_ns)
    with open(real, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
