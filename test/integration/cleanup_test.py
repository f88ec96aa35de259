#!/usr/bin/python3
"""The harness leaves nothing behind: no process, namespace, link, rule, mount or file.

Proved after a mesh that ended well, after an exception, and after SIGINT, SIGTERM and SIGHUP, also amid a test and at any time
of the mesh's start.
"""

import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.interruption import SIGNALS
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

SUITE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import time
from testing.case import MeshTestCase, main
class SuiteTest(MeshTestCase):
    def test_1_waits(self):
        print(self.mesh.directory, *(namespace.name for namespace in self.mesh.network.namespaces), flush=True)
        while True:
            time.sleep(0.1)
    def test_2_comes_after_it(self):
        print("went on", flush=True)
sys.exit(main())
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

    def start(self, program):
        # With SIGHUP as it is by default, also where nohup runs these tests.
        return subprocess.Popen(["env", "--default-signal=HUP", sys.executable, "-c", program, TEST_DIRECTORY],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def interrupted(self, number, wait_for_up, delay=0.0):
        with self.start(CHILD) as child:
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
        for number in SIGNALS:
            with self.subTest(signal=number):
                self.interrupted(number, wait_for_up=True)

    def test_signals_amid_a_test_end_all_tests(self):
        for number in SIGNALS:
            with self.subTest(signal=number), self.start(SUITE) as child:
                directory, *names = child.stdout.readline().split()
                child.send_signal(number)
                try:
                    rest, _ = child.communicate(timeout=15)
                finally:
                    child.kill()
                self.assertEqual(child.returncode, 128 + number)
                self.assertNotIn("went on", rest)
                self.assert_nothing_left(directory, names)

    def test_signals_while_it_starts_leave_nothing(self):
        for number, delay in ((signal.SIGINT, 0.0), (signal.SIGHUP, 0.1), (signal.SIGINT, 0.3), (signal.SIGHUP, 0.6)):
            with self.subTest(signal=number, delay=delay):
                self.interrupted(number, wait_for_up=False, delay=delay)


if __name__ == "__main__":
    sys.exit(main())
