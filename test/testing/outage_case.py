"""Tests of an authority that is gone for two lives of a certificate, and comes back.

    class ATest(OutageCase):
        def test_it(self):
            self.outage(stop=..., start=...)
            self.asked_at(pod)          times at which the agent has asked since, for the test to say
"""

import json
import time

from .case import MeshTestCase
from .mesh import parse_metrics, sleep_through
from .process import wait_until

BUDGET = "byrnie_certagent_cert_outage_budget_seconds"


class OutageCase(MeshTestCase):
    """Two pods, `client` and `server`, which has an application behind `mesh.vip`; certificates live for LIFE seconds."""

    LIFE = 10
    workload_ttl = f"{LIFE}s"

    def budget(self, pod):
        return parse_metrics(pod.agent_admin("/metrics")[1])[BUDGET]

    def outage(self, stop, start):
        """Service until the certificates' end, nothing after it, and recovery; the agents ask no more than once a second."""
        life, pods = self.LIFE, (self.client, self.server)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        stop()
        gone = time.monotonic()
        left = min(self.budget(pod) for pod in pods)
        self.assertGreater(left, 0.35 * life)
        # Whole seconds are what certificates and proxies count in.
        sleep_through(left - 1.2, lambda: self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n"))
        wait_until(lambda: all(self.budget(pod) < -1 for pod in pods), life, "both certificates' end")
        for pod in pods:
            page = pod.agent_admin("/")[1]
            self.assertIn("Outage budget</th><td>-", page)
            self.assertAlmostEqual(pod.metrics()["byrnie_proxy_cert_outage_budget_seconds"], self.budget(pod), delta=0.5)
            self.assertFalse(json.loads(pod.agent_admin("/certs")[1])["valid"])

        def closed():
            try:
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80, timeout=2), b"")
            except OSError:
                pass
        sleep_through(max(0, gone + 2 * life - time.monotonic()), closed)
        for pod in pods:
            failed = parse_metrics(pod.agent_admin("/metrics")[1])['byrnie_certagent_renewals_total{result="issue_failed"}']
            self.assertGreater(failed, 2)
            self.assertLessEqual(failed, 2 * life)
            self.assertTrue(pod.agent.running() and pod.proxy.running())
        start()
        back = time.monotonic()
        wait_until(lambda: all(self.budget(pod) > 0 for pod in pods), 7.5, "a certificate after the return")
        wait_until(lambda: self.ask(self.client, self.mesh.vip, 80) == b"ping\n", 3, "traffic after the return")
        print(f"     recovered {time.monotonic() - back:.1f} s after the authority's return")
        for pod in pods:
            mine = self.asked_at(pod)
            self.assertGreaterEqual(min(later - earlier for earlier, later in zip(mine, mine[1:])), 1)
