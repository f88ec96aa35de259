#!/usr/bin/python3
"""A cluster whose pods are run leaves nothing behind: no process, container, namespace, mount or file.

Proved after an interruption while pods run, which is how a person ends a test, or run.py one that hangs.
"""

import os
import signal
import subprocess
import sys
import unittest

TEST_DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TEST_DIRECTORY)

from testing.case import main
from testing.netns import run

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from kubernetes.world import World
world = World()
world.start()
plane, = world.node.pods.values()
print(world.directory, world.cluster.directory, flush=True)
print(*[namespace.name for namespace in world.machine.network.namespaces], flush=True)
print(plane["controlplane"].container.pid, *[process.pid for process in world.cluster.processes.values()], flush=True)
try:
    while True:
        time.sleep(0.1)
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


class KubernetesPodsCleanupTest(unittest.TestCase):

    def test_an_interruption_leaves_nothing(self):
        with subprocess.Popen([sys.executable, "-B", "-c", CHILD, TEST_DIRECTORY], stdout=subprocess.PIPE, text=True) as child:
            try:
                directories, namespaces, pids = [child.stdout.readline().split() for _ in range(3)]
            finally:
                child.send_signal(signal.SIGTERM)
            child.wait(30)
        self.assertEqual((len(directories), len(namespaces), len(pids)), (2, 2, 4))
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
        existing = run("ip", "netns", "list").stdout
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            mounted = mounts.read()
        for name in namespaces + directories:
            self.assertNotIn(name, existing + mounted)
        for directory in directories:
            self.assertFalse(os.path.exists(directory))


if __name__ == "__main__":
    sys.exit(main())
