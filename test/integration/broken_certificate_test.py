#!/usr/bin/python3
"""A new certificate that is no good is not published.

Proved with real control planes: one with another root, at the same address, cannot replace a running certificate; one
whose token says another identity than the agent was told cannot give it a first one.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import sleep_through
from testing.process import wait_until

LIFE = 20


class BrokenCertificateTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def serial(self, pod):
        return leaf_facts(served_leaf(self.probe, pod.address))["serial"]

    def test_a_control_plane_with_another_root_changes_nothing(self):
        control_plane = self.mesh.control_plane
        # The client's proxy knows the service from now on; an address never asked for needs the control plane.
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"x\n"), b"x\n")
        pods = (self.client, self.server)
        first = {pod: self.serial(pod) for pod in pods}
        wait_until(lambda: all(self.serial(pod) != first[pod] for pod in pods), LIFE, "a renewal of both pods")
        control_plane.process.kill()
        before = {pod: self.serial(pod) for pod in pods}
        control_plane.start(store=os.path.join(control_plane.directory, "other.db"),
                            bundle=os.path.join(control_plane.directory, "other.pem"))
        # Past the time of the next renewal: half of life, give or take a tenth.
        sleep_through(LIFE * 0.62, lambda: self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"x\n"), b"x\n"))
        for pod in pods:
            self.assertEqual(self.serial(pod), before[pod])
            self.assertTrue(pod.agent.running())
            self.assertTrue(pod.ready())
        control_plane.process.kill()
        control_plane.start()
        wait_until(lambda: all(self.serial(pod) != before[pod] for pod in pods), LIFE * 0.25,
                   "a renewal by the right control plane")

    def test_a_certificate_for_another_identity_is_not_published(self):
        pod = self.mesh.pod("misled")
        self.mesh.registry.write()
        pod.redirect("apply")
        pod.write_token(self.client.spiffe_id)
        pod.start_agent()
        pod.start_proxy()
        wait_until(lambda: [record for record in pod.agent.log_records()
                            if self.client.spiffe_id in str(record) or "identity" in str(record).lower()
                            and record.get("level") in ("error", "warning")], 10, "a word about it in the agent's log")
        sleep_through(1.0, lambda: self.assertFalse(pod.ready()))
        with self.assertRaises(OSError):
            served_leaf(self.probe, pod.address)
        for process in (pod.proxy, pod.agent):
            process.end()


if __name__ == "__main__":
    sys.exit(main())
