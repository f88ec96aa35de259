"""One container: a copy of its image's root, its process, and commands that are run in it."""

import json
import os
import shutil
import signal
import subprocess
import sys

from testing.cgroup import MemoryGroup
from testing.interruption import uninterrupted
from testing.process import json_lines, wait_until

_INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "container_init.py")


class RootImage:
    """What a container's root is made of: a folder with all in it, and folders of this machine that are shown in it."""

    def __init__(self, root, user=(0, 0), environment=None, shown=()):
        self.root, self.user, self.environment, self.shown = root, user, environment or {}, list(shown)


class Container:
    """One run of a container, from start() to its end. Its root goes with it; its log stays.

    The thread that calls start() has to live as long as the container: the kernel ends it with that thread, so that nothing is left when
    this program is killed.
    """

    def __init__(self, name, namespace, image, directory, memory=None, **wanted):
        """`wanted` is what container_init.py reads, but for what is made here. `memory`: bytes that all of it may have; where this
        machine has no control groups for that there is no limit."""
        self.name, self.image, self._directory = name, image, directory
        self._file = os.path.join(directory, "container.json")
        self._report = os.path.join(directory, "pid")
        self.log_path = os.path.join(directory, "log")
        self._wanted = {**wanted, "network": namespace.path, "root": os.path.join(directory, "root"), "report": self._report}
        self._wanted["mounts"] = [*[{"source": path, "target": path, "read_only": True} for path in image.shown], *wanted["mounts"]]
        self._process = self.pid = None
        self._memory, self.memory_group, self.killed_for_memory = memory, None, False

    def _limit_memory(self):
        """A group of its own, which it sees as it would in a runtime's container."""
        if self._memory is None:
            return
        try:
            self.memory_group = MemoryGroup(self._memory)
        except OSError:
            return
        self._wanted["memory_group"] = str(self.memory_group)
        self._wanted["mounts"].append({"source": str(self.memory_group), "target": self.memory_group.container_path, "read_only": True})

    def start(self):
        os.makedirs(self._directory)
        self._limit_memory()
        # What is only read can be one file for all; symbolic links stay what they are.
        flags = "-al" if self._wanted["read_only"] else "-a"
        subprocess.run(["cp", flags, self.image.root, self._wanted["root"]], check=True)
        with open(self._file, "w", encoding="utf-8") as out:
            json.dump(self._wanted, out)
        with uninterrupted(), open(self.log_path, "ab") as log:
            self._process = subprocess.Popen([sys.executable, "-I", "-S", _INIT, self._file], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             cwd="/", start_new_session=True)
        wait_until(lambda: os.path.exists(self._report) or not self.running(), 10, f"the start of {self.name}")
        if os.path.exists(self._report):
            with open(self._report, encoding="ascii") as pid:
                self.pid = int(pid.read())

    def running(self):
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self):
        """None while it runs; of a signal, 128 and its number."""
        code = self._process.poll() if self._process else None
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number):
        if self.running() and self.pid:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """Gone on return, with all that it started."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def remove(self):
        self.kill()
        if self.memory_group is not None:
            self.killed_for_memory = self.memory_group.killed() > 0
            self.memory_group.remove()
            self.memory_group = None
        shutil.rmtree(self._wanted["root"], ignore_errors=True)

    def run(self, argv, timeout=30):
        """A command in it, as kubectl exec runs one: as its user, with its environment. Returns what subprocess.run does."""
        return subprocess.run(self.inside(argv), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)

    def open(self, argv):
        """One whose output is read while it runs: a subprocess.Popen. It ends with the container."""
        return subprocess.Popen(self.inside(argv), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    @property
    def environment(self):
        return self._wanted["environment"]

    def inside(self, argv):
        """The argv of this machine that runs `argv` in it, with `environment`."""
        return ["/usr/bin/nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--ipc", "--uts", "--root", "--wd",
                f"--setuid={self._wanted['uid']}", f"--setgid={self._wanted['gid']}", "--", *argv]

    def status(self):
        """/proc/PID/status of its command, as a dictionary."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as text:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in text)}

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as text:
                return text.read()
        except FileNotFoundError:
            return ""

    def log_records(self):
        return json_lines(self.log_text())
