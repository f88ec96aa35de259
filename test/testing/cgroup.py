"""Control groups that limit memory or CPU time, of either version: what gives a proxy its limits in a container."""

import atexit
import contextlib
import errno
import os
import secrets
import signal

from .interruption import uninterrupted
from .process import wait_until

ROOT = "/sys/fs/cgroup"


def _read(*path):
    with open(os.path.join(*path), encoding="ascii") as text:
        return text.read()


def _write(text, *path):
    with open(os.path.join(*path), "w", encoding="ascii") as out:
        out.write(str(text))


def _counter(name, *path):
    """A number of a file with lines "NAME NUMBER"."""
    return int(dict(line.split() for line in _read(*path).splitlines())[name])


class _Group:
    """A group of a controller; limit(limit), of a subclass, limits it.

    Usable as a path. It exists from construction until remove(), or this program's end. OSError, saying what was tried,
    where no such group can be made.
    """

    _controller = None
    # A file of each group that the controller has in version 1.
    _file_v1 = None

    def __init__(self, limit):
        self.path = None
        self._emptied = None
        atexit.register(self.remove)
        try:
            # In version 1 the controllers are mounted one by one.
            root_v1 = os.path.join(ROOT, self._controller)
            self._version1 = os.path.exists(os.path.join(root_v1, self._file_v1))
            with uninterrupted():
                if self._version1:
                    self._make_in(root_v1)
                else:
                    self._make_somewhere()
            self.limit(limit)
        except BaseException:
            self.remove()
            raise

    def limit(self, limit):
        raise NotImplementedError

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
            raise OSError(f"no {self._controller} controller of version 1, and no control groups of version 2 at {ROOT}")
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
                if self._controller not in _read(parent, "cgroup.subtree_control").split():
                    raise OSError(f"{parent} gives its children no limits of {self._controller}")
                return self._make_in(parent)
            except OSError as error:
                tried.append(str(error))
        raise OSError("; ".join(tried))

    def _distribute(self, parent):
        _write(f"+{self._controller}", parent, "cgroup.subtree_control")

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
                _write(f"-{self._controller}", parent, "cgroup.subtree_control")
            self._move(rest, parent)
            os.rmdir(rest)


class MemoryGroup(_Group):
    """A group whose processes may have so many bytes of memory together, and no swap, as Kubernetes has it."""

    _controller, _file_v1 = "memory", "memory.limit_in_bytes"

    def limit(self, limit):
        _write(limit, self.path, "memory.limit_in_bytes" if self._version1 else "memory.max")
        with contextlib.suppress(FileNotFoundError):  # Kernels without swap.
            if self._version1:
                _write(limit, self.path, "memory.memsw.limit_in_bytes")
            else:
                _write(0, self.path, "memory.swap.max")

    @property
    def container_path(self):
        """Where a container sees its own group."""
        return os.path.join(ROOT, self._controller) if self._version1 else ROOT

    def killed(self):
        """Processes of the group that were killed for want of memory."""
        return _counter("oom_kill", self.path, "memory.oom_control" if self._version1 else "memory.events")

    def peak(self):
        """The most that it had, in bytes."""
        return int(_read(self.path, "memory.max_usage_in_bytes" if self._version1 else "memory.peak"))


class CpuGroup(_Group):
    """A group whose processes may have the time of so many CPUs together, 0.5 being half of one."""

    _controller, _file_v1 = "cpu", "cpu.cfs_quota_us"
    _PERIOD = 100_000

    def limit(self, limit):
        quota = int(limit * self._PERIOD)
        if self._version1:
            _write(self._PERIOD, self.path, "cpu.cfs_period_us")
            _write(quota, self.path, "cpu.cfs_quota_us")
        else:
            _write(f"{quota} {self._PERIOD}", self.path, "cpu.max")
