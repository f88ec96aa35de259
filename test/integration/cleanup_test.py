#!/usr/bin/python3
"""The harness leaves nothing behind: no process, namespace, link, rule, mount or file.

Proved after a mesh that ended well, after an exception, and after SIGINT and SIGTERM at any time of its start.
"""

import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh
from testing.netns import run
from testing.process import wait_until

TEST_DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from testing.mesh import Mesh
with Mesh() as mesh:
    print(mesh.directory, *(namespace.name for namespace in mesh.network.namespaces), flush=True)
    mesh.pair()
    print("up", *(namespace.name for namespace in mesh.network.namespaces), flush=True)
    import time
    # Short sleeps: a signal that comes between the last look at signals and the sleep waits for its end.
    while True:
        time.sleep(0.1)
"""


def processes_with(word):
    """Process ids whose command line names `word`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if word.encode() in line.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


class CleanupTest(unittest.TestCase):

    def assert_nothing_left(self, directory, namespaces):
        wait_until(lambda: not processes_with(directory), 5, "the end of all processes")
        self.assertFalse(os.path.exists(directory))
        existing = run("ip", "netns", "list").stdout
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            mounted = mounts.read()
        for name in namespaces:
            self.assertNotIn(name, existing)
            self.assertNotIn(name, mounted)
            self.assertFalse(os.path.exists(f"/run/netns/{name}"))
        self.assertNotIn(directory, mounted)

    def machine(self):
        """What a mesh must not touch outside of its namespaces."""
        return (run("ip", "-o", "link").stdout.count("\n"), run("ip", "-o", "addr").stdout.count("\n"),
                run("nft", "list", "ruleset").stdout)

    def test_a_mesh_that_ended_well_leaves_nothing(self):
        before = self.machine()
        with Mesh() as mesh:
            mesh.pair()
            directory, names = mesh.directory, [namespace.name for namespace in mesh.network.namespaces]
            self.assertTrue(processes_with(directory))
            self.assertEqual(self.machine(), before)
        self.assert_nothing_left(directory, names)
        self.assertEqual(self.machine(), before)

    def test_an_exception_leaves_nothing(self):
        mesh = Mesh()
        mesh.print_logs = lambda: None
        directory, names = mesh.directory, [namespace.name for namespace in mesh.network.namespaces]
        with self.assertRaises(ZeroDivisionError):
            with mesh:
                mesh.pair()
                names = [namespace.name for namespace in mesh.network.namespaces]
                raise ZeroDivisionError
        self.assert_nothing_left(directory, names)

    def interrupted(self, number, wait_for_up, delay=0.0):
        child = subprocess.Popen([sys.executable, "-c", CHILD, TEST_DIRECTORY], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        with child:
            directory, *names = child.stdout.readline().split()
            if wait_for_up:
                names = child.stdout.readline().split()[1:]
            time.sleep(delay)
            child.send_signal(number)
            try:
                self.assertNotEqual(child.wait(15), 0)
            finally:
                child.kill()
        self.assert_nothing_left(directory, names)

    def test_signals_while_it_runs_leave_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.interrupted(number, wait_for_up=True)

    def test_signals_while_it_starts_leave_nothing(self):
        for delay in (0.0, 0.1, 0.3, 0.6):
            with self.subTest(delay=delay):
                self.interrupted(signal.SIGINT, wait_for_up=False, delay=delay)


if __name__ == "__main__":
    sys.exit(main())
