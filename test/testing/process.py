"""Processes the harness starts: their logs, their memory, their end."""

import json
import os
import re
import signal
import subprocess
import time


def wait_until(condition, deadline=10.0, what="the condition", every=0.02):
    """Polls until `condition()` is true and returns its value; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    error = None
    while True:
        try:
            value = condition()
            error = None
        except (OSError, ValueError, KeyError) as caught:
            value, error = None, caught
        if value:
            return value
        if time.monotonic() >= end:
            detail = f" ({error})" if error else ""
            raise AssertionError(f"{what} did not come about within {deadline:g} s{detail}")
        time.sleep(every)


def json_lines(text):
    """The JSON objects among the lines of a log."""
    records = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                pass  # A line still being written.
    return records


def thread_times(pid):
    """{thread: (ran, waited)}: seconds that each thread of a process has had a CPU, and been ready to run without one."""
    times = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                ran, waited = map(int, stat.read().split()[:2])
                times[thread] = ran / 1e9, waited / 1e9
        except (FileNotFoundError, ProcessLookupError):
            pass  # It has ended since, before or after its file was opened.
    return times


def waited_seconds(pid):
    """How long all of them have waited together: what others on this machine have taken from it."""
    return sum(waited for _, waited in thread_times(pid).values())


def memory_kib(pid, field="Pss"):
    """A figure of /proc/PID/smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(rf"^{field}:\s+(\d+) kB", rollup.read(), re.M).group(1))


class Process:
    """A process in a namespace, and in a control group if one is given. Its output goes to a log file; JSON lines of it can be
    read back."""

    def __init__(self, name, namespace, argv, log_path, uid=None, capabilities=(), group=None):
        self.name = name
        self.log_path = log_path
        self.argv = [str(word) for word in argv]
        command = namespace.command(argv, uid=uid, capabilities=capabilities)
        with open(log_path, "ab") as log:
            self._start_offset = log.tell()
            self._popen = subprocess.Popen(
                group.joined(command) if group else command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True)
        self.pid = self._popen.pid

    def running(self):
        return self._popen.poll() is None

    @property
    def returncode(self):
        return self._popen.poll()

    def signal(self, number):
        if self.running():
            self._popen.send_signal(number)

    def wait(self, deadline=10.0):
        """Its exit code (negative: the signal); AssertionError if it still runs at the deadline."""
        try:
            return self._popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {deadline:g} s") from None

    def terminate(self, deadline=10.0):
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def kill(self):
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def end(self):
        """Gone, whatever it takes."""
        if self.running():
            self.kill()

    def log_text(self):
        with open(self.log_path, "rb") as log:
            log.seek(self._start_offset)
            return log.read().decode("utf-8", "replace")

    def log_records(self):
        """The JSON objects among the lines of its log."""
        return json_lines(self.log_text())

    def result(self, deadline=60.0):
        """Waits for the end of a program that prints one JSON object last, and returns the object."""
        code = self.wait(deadline)
        records = self.log_records()
        if code != 0 or not records:
            raise AssertionError(f"{self.name} ended with {code}: {self.log_text()[-2000:]}")
        return records[-1]

    def memory_kib(self, field="Pss"):
        """A figure of /proc/PID/smaps_rollup: Pss, Rss, Private_Dirty…"""
        return memory_kib(self.pid, field)

    def cpu_seconds(self):
        """CPU time of all its threads, to the microsecond where /proc/PID/stat knows clock ticks."""
        total = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        return total / 1e9

    def waited_seconds(self):
        """See waited_seconds()."""
        return waited_seconds(self.pid)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
