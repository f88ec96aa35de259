"""Counts the system calls of running processes with the kernel's own counters, which cost them next to nothing."""

import ctypes
import os
import platform
import struct
import tempfile

_TRACING = "/sys/kernel/tracing"
_TRACEPOINT = "events/raw_syscalls/sys_enter/id"
_MNT_DETACH = 2
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE_TRACEPOINT = 2
_ATTRIBUTE_SIZE = 64  # PERF_ATTR_SIZE_VER0
_INHERIT = 1 << 1
_CLOSE_ON_EXEC = 1 << 3
_libc = ctypes.CDLL(None, use_errno=True)


def _tracepoint():
    """The number that the kernel has given the tracepoint. Where nobody has mounted its tracefs it is mounted for the moment."""
    def read(directory):
        with open(os.path.join(directory, _TRACEPOINT), encoding="ascii") as text:
            return int(text.read())
    try:
        return read(_TRACING)
    except FileNotFoundError:
        pass
    with tempfile.TemporaryDirectory() as directory:
        if _libc.mount(b"tracefs", directory.encode(), b"tracefs", 0, None) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"mount tracefs: {os.strerror(error)}")
        try:
            return read(directory)
        finally:
            _libc.umount2(directory.encode(), _MNT_DETACH)


class SyscallCount:
    """The calls of some processes since it was made; a context manager. OSError where the kernel has no such counters."""

    def __init__(self, processes):
        attribute = struct.pack("=IIQQQQQ", _PERF_TYPE_TRACEPOINT, _ATTRIBUTE_SIZE, _tracepoint(), 0, 0, 0, _INHERIT)
        attribute = attribute.ljust(_ATTRIBUTE_SIZE, b"\0")
        self._counters = []
        for process in processes:
            for thread in os.listdir(f"/proc/{process.pid}/task"):
                counter = _libc.syscall(_PERF_EVENT_OPEN[platform.machine()], attribute, int(thread), -1, -1, _CLOSE_ON_EXEC)
                if counter < 0:
                    error = ctypes.get_errno()
                    self.close()
                    raise OSError(error, f"perf_event_open: {os.strerror(error)}")
                self._counters.append(counter)

    def total(self):
        return sum(struct.unpack("=Q", os.read(counter, 8))[0] for counter in self._counters)

    def close(self):
        while self._counters:
            os.close(self._counters.pop())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
