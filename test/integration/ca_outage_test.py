#!/usr/bin/python3
"""The certificate authority is gone for two lives of a certificate, and comes back.

Proved: until the certificates end all connections succeed; from then on not a byte passes, though both proxies and their
applications are up; the agents ask no more than once a second; and within seconds of the authority's return everything works
again, without anybody's help. The pages of agent and proxy say how long there is.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble
from testing.case import MeshTestCase, main
from testing.issuer import Issuer
from testing.mesh import parse_metrics, sleep_through
from testing.process import wait_until

LIFE = 10
BUDGET = "byrnie_certagent_cert_outage_budget_seconds"


class CaOutageTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        cls.ca = CaDouble(mesh.network.host("ca", 3), issuer=Issuer.of_control_plane(mesh))
        cls.ca.life = LIFE
        cls.ca.start()
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        cls.pods = (cls.client, cls.server)
        for pod in cls.pods:
            pod.extra_agent_flags = [f"--ca_address={cls.ca.target}"]
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.start()
        cls.server.app("echo", 8080)

    @classmethod
    def tearDownClass(cls):
        cls.ca.stop()
        super().tearDownClass()

    def budget(self, pod):
        return parse_metrics(pod.agent_admin("/metrics")[1])[BUDGET]

    def test_service_until_the_end_nothing_after_it_and_recovery(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.ca.stop()
        gone = time.monotonic()
        left = min(self.budget(pod) for pod in self.pods)
        self.assertGreater(left, 0.35 * LIFE)
        # Whole seconds are what certificates and proxies count in.
        sleep_through(left - 1.2, lambda: self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n"))
        wait_until(lambda: all(self.budget(pod) < -1 for pod in self.pods), LIFE, "both certificates' end")
        for pod in self.pods:
            page = pod.agent_admin("/")[1]
            self.assertIn("Outage budget</th><td>-", page)
            self.assertAlmostEqual(pod.metrics()["byrnie_proxy_cert_outage_budget_seconds"], self.budget(pod), delta=0.5)
            self.assertFalse(json.loads(pod.agent_admin("/certs")[1])["valid"])

        def closed():
            try:
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80, timeout=2), b"")
            except OSError:
                pass
        sleep_through(max(0, gone + 2 * LIFE - time.monotonic()), closed)
        for pod in self.pods:
            failed = parse_metrics(pod.agent_admin("/metrics")[1])['byrnie_certagent_renewals_total{result="issue_failed"}']
            self.assertGreater(failed, 2)
            self.assertLessEqual(failed, 2 * LIFE)
            self.assertTrue(pod.agent.running() and pod.proxy.running())
        self.ca.start()
        back = time.monotonic()
        wait_until(lambda: all(self.budget(pod) > 0 for pod in self.pods), 7.5, "a certificate after the return")
        wait_until(lambda: self.ask(self.client, self.mesh.vip, 80) == b"ping\n", 3, "traffic after the return")
        print(f"     recovered {time.monotonic() - back:.1f} s after the authority's return")
        for pod in self.pods:
            mine = [call.at for call in self.ca.calls if call.spiffe_id == pod.spiffe_id]
            self.assertGreaterEqual(min(later - earlier for earlier, later in zip(mine, mine[1:])), 1)


if __name__ == "__main__":
    sys.exit(main())
