#!/usr/bin/python3
"""The control plane is killed for longer than half a certificate's life, and comes back.

Proved: meanwhile the agents keep the valid certificate and all connections succeed, new handshakes too; afterwards they
renew before anything expires.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import sleep_through
from testing.process import wait_until

LIFE = 20


class ControlPlaneOutageTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def leaf(self, pod):
        return leaf_facts(served_leaf(self.probe, pod.address))

    def test_certificates_outlast_the_outage_and_are_renewed_after_it(self):
        pods = (self.client, self.server)
        short = self.client.app("short", self.mesh.vip, 80, 60, 0.05)
        # Right after the later of two renewals: both certificates are young.
        first = {pod: self.leaf(pod)["serial"] for pod in pods}
        wait_until(lambda: all(self.leaf(pod)["serial"] != first[pod] for pod in pods), LIFE, "a renewal of both pods")
        self.mesh.control_plane.process.kill()
        killed = time.time()
        before = {pod: self.leaf(pod) for pod in pods}
        soonest = min(facts["not_after"] for facts in before.values())
        # As long as the older certificate allows, and always beyond the time of the renewal that was due.
        sleep_through(min(LIFE * 0.6, soonest - killed - 4))
        due = max(facts["not_after"] - LIFE * 0.5 for facts in before.values())
        self.assertGreater(time.time(), due - LIFE * 0.1)
        for pod in pods:
            self.assertEqual(self.leaf(pod)["serial"], before[pod]["serial"], "nothing can have been renewed")
        self.assertGreater(time.time() - killed, LIFE / 2, "the outage was too short to prove anything")
        self.mesh.control_plane.start()
        wait_until(lambda: all(self.leaf(pod)["serial"] != before[pod]["serial"] for pod in pods),
                   max(1.0, soonest - time.time()), "a renewal before the first certificate expired")
        short.signal(10)
        result = short.result()
        self.assertEqual(result["failures"], [], result)
        self.assertGreater(result["succeeded"], 100)
        for pod in pods:
            self.assertTrue(pod.ready(), f"{pod.name} is not ready")


if __name__ == "__main__":
    sys.exit(main())
