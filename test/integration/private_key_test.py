#!/usr/bin/python3
"""The proxy's process holds no private key.

Proved by reading the memory of both processes while traffic flows and certificates rotate: the key of the certificate in use is
found in the agent, in any form it may have, and in none in the proxy. The search in the agent shows that the scanner finds what is there.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.memory import KeyFinder, memory_of, occurrences


class PrivateKeyTest(MeshTestCase):
    workload_ttl = "20s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def test_the_key_is_in_the_agent_and_not_in_the_proxy(self):
        short = self.client.app("short", self.mesh.vip, 80, 60, 0.01)
        for pod in (self.client, self.server):
            with self.subTest(pod=pod.name):
                leaf = served_leaf(self.probe, pod.address)
                scalar = KeyFinder(leaf_facts(leaf)["public_point"]).find_in(pod.agent.pid)
                self.assertIsNotNone(scalar, "the scanner does not find the key in the agent, so it proves nothing")
                self.assertGreater(sum(occurrences(pod.agent.pid, scalar).values()), 0)
                # Several looks, so that one falls into a handshake.
                for _ in range(3):
                    served_leaf(self.probe, pod.address)
                    self.assertEqual(set(occurrences(pod.proxy.pid, scalar).values()), {0})
                # The certificate it belongs to is there: it is the right process, and its memory was really read.
                self.assertTrue(any(leaf in region for region in memory_of(pod.proxy.pid)))
        short.signal(10)
        self.assertEqual(short.result()["failures"], [])

    def test_the_processes_leave_no_core_behind(self):
        for pod in (self.client, self.server):
            for process in (pod.proxy, pod.agent):
                # What a process that is not dumpable has in /proc belongs to root.
                self.assertEqual(os.stat(f"/proc/{process.pid}/mem").st_uid, 0, f"{process.name} is dumpable")


if __name__ == "__main__":
    sys.exit(main())
