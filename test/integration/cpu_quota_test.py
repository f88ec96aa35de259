#!/usr/bin/python3
"""A proxy has no more workers than its container's CPU quota has CPUs, unless it is told how many.

Proved with control groups of the version that this machine has: the proxy says how many when it begins to serve.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.cgroup import CpuGroup
from testing.mesh import Mesh, PROXY_UID
from testing.process import wait_until

# Without a quota.
BY_AFFINITY = min(2, len(os.sched_getaffinity(0)))


class CpuQuotaTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.host = cls.mesh.outsider("pod")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def workers(self, cpus, *flags):
        """Of a proxy in a group with the time of so many CPUs; None is without a group."""
        try:
            group = CpuGroup(cpus) if cpus else None
        except OSError as error:
            self.fail(f"no control group can be made, which needs root and a tree that is not mounted read-only: {error}")
        argv = [self.mesh.binary("byrnie-proxy"), f"--link_socket={self.mesh.directory}/none.sock", "--log_format=json", *flags]
        proxy = self.mesh.spawn("proxy", self.host, argv, self.mesh.log_path("proxy", unique=True), uid=PROXY_UID, group=group)
        try:
            def serving():
                self.assertTrue(proxy.running(), proxy.log_text())
                return [record for record in proxy.log_records() if record.get("message") == "serving"]
            return wait_until(serving, 10, "the proxy's start")[0]["workers"]
        finally:
            proxy.kill()
            if group:
                group.remove()

    def test_half_a_cpu_is_one_worker(self):
        self.assertEqual(self.workers(0.5), 1)

    def test_a_quota_is_rounded_up(self):
        self.assertEqual(self.workers(1.5), BY_AFFINITY)

    def test_without_a_quota_the_affinity_counts(self):
        self.assertEqual(self.workers(None), BY_AFFINITY)

    def test_who_says_how_many_gets_them(self):
        self.assertEqual(self.workers(0.5, "--workers=3"), 3)


if __name__ == "__main__":
    sys.exit(main())
