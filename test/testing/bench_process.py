"""A program of test/bench that does what it reads, a line at a time, and answers in JSON.

    with BenchProcess("issuance_bench", ["--target=127.0.0.1:15012"], "/tmp/bench.log") as bench:
        bench.ask("calls 1000")     {"calls": 1000, "seconds": 0.4}
"""

import json
import os
import subprocess

from .mesh import REPOSITORY


def bench_path(name):
    """Where it was built: below $BYRNIE_BIN, or below bazel-bin."""
    root = os.environ.get("BYRNIE_BIN", os.path.join(REPOSITORY, "bazel-bin"))
    for path in (os.path.join(root, "test/bench", name), os.path.join(root, name)):
        if os.path.exists(path):
            return path
    raise FileNotFoundError(f"{name} is not below {root}; build it with: bazel build //test/bench:{name}")


def cpu_seconds(pid):
    """The CPU time of a process, of threads that have ended, too."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class BenchProcess:
    """See the module's comment. What it has to say goes to the file."""

    def __init__(self, name, arguments, log_path):
        self._name = name
        self._errors = open(log_path, "w+", encoding="utf-8")
        self._process = subprocess.Popen([bench_path(name), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=self._errors, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def pid(self):
        return self._process.pid

    def answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(30)
            self._errors.seek(0)
            raise AssertionError(f"{self._name} ended with {self._process.returncode}: {self._errors.read()[-2000:]}")
        return json.loads(line)

    def ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.answer()

    def close(self):
        if self._process.poll() is None:
            try:
                self._process.stdin.close()
                self._process.wait(30)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._errors.close()
