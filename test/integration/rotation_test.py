#!/usr/bin/python3
"""Certificates that live 20 seconds rotate under load, and no connection notices.

Proved: a checksummed stream runs across at least three rotations of both pods' certificates with every byte intact,
while connections opened beside it all succeed.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.process import wait_until

ROTATIONS = 3


class RotationTest(MeshTestCase):
    workload_ttl = "20s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.sink, _ = cls.mesh.service("sink", [cls.server], 80, 8080)
        cls.echo, _ = cls.mesh.service("echo", [cls.server], 80, 8081)
        cls.mesh.start()
        cls.server.app("sink", 8080)
        cls.server.app("echo", 8081)
        cls.probe = cls.mesh.outsider()

    def serials(self, pod, known):
        """Adds the serial a pod shows now to those known; true when it has rotated often enough."""
        facts = leaf_facts(served_leaf(self.probe, pod.address))
        self.assertEqual(facts["spiffe_id"], pod.spiffe_id)
        if facts["serial"] not in known:
            known.append(facts["serial"])
        return len(known) > ROTATIONS

    def test_a_stream_and_short_connections_survive_three_rotations(self):
        stream = self.client.app("stream", self.sink, 80, 75, 4e6)
        short = self.client.app("short", self.echo, 80, 75, 0.05)
        seen = {self.client: [], self.server: []}
        wait_until(lambda: all([self.serials(pod, known) for pod, known in seen.items()]), 70,
                   f"{ROTATIONS} rotations of both pods", every=0.5)
        for process in (stream, short):
            process.signal(10)  # SIGUSR1: come to the end.
        streamed, connected = stream.result(), short.result()
        self.assertIsNone(streamed["error"], streamed)
        self.assertTrue(streamed["intact"], streamed)
        self.assertGreater(streamed["sent"], 30e6, streamed)
        self.assertLess(streamed["longest_pause"], 1.0, streamed)
        self.assertEqual(connected["failures"], [])
        self.assertGreater(connected["succeeded"], 200, connected)
        self.assertLess(connected["slowest"], 1.0, connected)


if __name__ == "__main__":
    sys.exit(main())
