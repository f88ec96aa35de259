"""Control groups that limit memory, of either version: what gives a proxy its memory limit in a container."""

import atexit
import contextlib
import errno
import os
import secrets
import signal

from .interruption import uninterrupted
from .process import wait_until

ROOT = "/sys/fs/cgroup"
# Of version 1, where the controllers are mounted one by one.
MEMORY_V1 = os.path.join(ROOT, "memory")


def _read(*path):
    with open(os.path.join(*path), encoding="ascii") as text:
        return text.read()


def _write(text, *path):
    with open(os.path.join(*path), "w", encoding="ascii") as out:
        out.write(str(text))


def _counter(name, *path):
    """A number of a file with lines "NAME NUMBER"."""
    return int(dict(line.split() for line in _read(*path).splitlines())[name])


class MemoryGroup:
    """A group whose processes may have so many bytes of memory together, and no swap, as Kubernetes has it.

    Usable as a path. It exists from construction until remove(), or this program's end. OSError, saying what was tried,
    where no such group can be made.
    """

    def __init__(self, limit):
        self.path = None
        self._emptied = None
        atexit.register(self.remove)
        try:
            self._version1 = os.path.exists(os.path.join(MEMORY_V1, "memory.limit_in_bytes"))
            with uninterrupted():
                if self._version1:
                    self._make_in(MEMORY_V1)
                else:
                    self._make_somewhere()
            _write(limit, self.path, "memory.limit_in_bytes" if self._version1 else "memory.max")
            with contextlib.suppress(FileNotFoundError):  # Kernels without swap.
                if self._version1:
                    _write(limit, self.path, "memory.memsw.limit_in_bytes")
                else:
                    _write(0, self.path, "memory.swap.max")
        except BaseException:
            self.remove()
            raise

    def __fspath__(self):
        return self.path

    __str__ = __fspath__

    def _make_in(self, parent):
        path = os.path.join(parent, f"byrnie-{secrets.token_hex(4)}")
        os.mkdir(path)
        self.path = path

    def _make_somewhere(self):
        """Of version 2: in the group this process is in or in the nearest above that can have children with a limit."""
        own = next((line[len("0::"):] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
        if own is None or not os.path.exists(os.path.join(ROOT, "cgroup.controllers")):
            raise OSError(f"no memory controller at {MEMORY_V1}, and no control groups of version 2 at {ROOT}")
        above = own.strip("/").split("/") if own != "/" else []
        # From within a container, a path may begin above what is seen of the tree.
        parents = [] if ".." in above else [os.path.join(ROOT, *above[:depth]) for depth in range(len(above), 0, -1)]
        parents.append(ROOT)
        ways = [(parent, lambda _: None) for parent in parents]
        ways += [(parent, self._distribute) for parent in parents]
        if os.path.exists(os.path.join(ROOT, "cgroup.type")):  # Not the kernel's root, but a container's.
            ways.append((ROOT, self._empty))
        tried = []
        for parent, prepare in ways:
            try:
                prepare(parent)
                if "memory" not in _read(parent, "cgroup.subtree_control").split():
                    raise OSError(f"{parent} gives its children no limits of memory")
                return self._make_in(parent)
            except OSError as error:
                tried.append(str(error))
        raise OSError("; ".join(tried))

    @staticmethod
    def _distribute(parent):
        _write("+memory", parent, "cgroup.subtree_control")

    def _empty(self, parent):
        """The processes of a group make room, for only the kernel's root may have both them and children with limits."""
        rest = os.path.join(parent, f"byrnie-rest-{secrets.token_hex(4)}")
        os.mkdir(rest)
        self._emptied = (parent, rest)
        self._move(parent, rest)
        self._distribute(parent)

    @staticmethod
    def _move(source, target):
        # Until there are none: they may be starting others.
        while processes := _read(source, "cgroup.procs").split():
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    _write(pid, target, "cgroup.procs")

    def joined(self, argv):
        """The argv that joins the group, for which it has to be root's, and becomes `argv`."""
        return ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.path, *argv]

    def killed(self):
        """Processes of the group that were killed for want of memory."""
        return _counter("oom_kill", self.path, "memory.oom_control" if self._version1 else "memory.events")

    def peak(self):
        """The most that it had, in bytes."""
        return int(_read(self.path, "memory.max_usage_in_bytes" if self._version1 else "memory.peak"))

    def _killed_all(self):
        processes = _read(self.path, "cgroup.procs").split()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return not processes

    def _removed(self):
        if not self._killed_all():
            return False
        try:
            os.rmdir(self.path)
        except OSError as error:
            # One that is listed no more may still be on its way out.
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def remove(self):
        """Ends what is in it, and it is gone. May be called again."""
        atexit.unregister(self.remove)
        if self.path is not None and os.path.exists(self.path):
            wait_until(self._removed, 10, "the end of a control group's processes")
        self.path = None
        if self._emptied is not None:
            parent, rest = self._emptied
            self._emptied = None
            with contextlib.suppress(OSError):
                _write("-memory", parent, "cgroup.subtree_control")
            self._move(rest, parent)
            os.rmdir(rest)
