#!/usr/bin/python3
"""The node's health probes pass in strict mode, on declared ports and from the node's addresses only.

Proved: plaintext from the pod's default gateway reaches a declared port, is logged as a probe and counted, also where a policy
denies everyone without an identity; from anywhere else, or to another port, it is refused; a gateway that changes is
learnt; --probe_sources names other sources instead.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class ProbeTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.server, cls.named = cls.mesh.pod("server"), cls.mesh.pod("named")
        cls.node, cls.outsider = cls.mesh.network.switch, cls.mesh.outsider()
        cls.server.extra_proxy_flags = ["--probe_ports=8080"]
        cls.named.extra_proxy_flags = ["--probe_ports=8080", f"--probe_sources={cls.outsider.address}/32"]
        cls.mesh.start()
        for pod in (cls.server, cls.named):
            pod.app("echo", 8080)
            pod.app("echo", 8081)

    def passes(self, source, pod, port=8080, address=None):
        try:
            with source.connect(address or pod.address, port, timeout=3) as connection:
                connection.sendall(b"GET /healthz\n")
                return connection.recv(100) == b"GET /healthz\n"
        except OSError:
            return False

    def probes(self):
        return self.server.metrics()['byrnie_proxy_redirected_total{kind="probe"}']

    def test_from_the_gateway_a_probe_passes_and_is_counted(self):
        before = self.probes()
        self.assertTrue(self.passes(self.node, self.server))
        self.assertTrue(self.passes(self.node, self.server, address=self.server.address6))
        self.assertEqual(self.probes() - before, 2)
        records = [record for record in self.server.wait_access_log(protocol="probe", result="allowed")
                   if record["source"].startswith(f"{self.mesh.network.GATEWAY}:")]
        self.assertTrue(records)
        self.assertNotIn("peer_identity", records[0])

    def test_from_elsewhere_or_to_another_port_it_is_plaintext(self):
        self.assertFalse(self.passes(self.outsider, self.server))
        self.assertFalse(self.passes(self.node, self.server, 8081))
        for source, port in ((self.outsider.address, 8080), (self.mesh.network.GATEWAY, 8081)):
            records = self.server.wait_access_log(direction="inbound", reason="plaintext-refused",
                                                  original_destination=f"{self.server.address}:{port}")
            self.assertTrue(any(record["source"].startswith(f"{source}:") for record in records), records)

    def test_a_policy_against_everyone_without_identity_spares_probes(self):
        def in_force():
            return len([record for record in self.server.log() if record.get("message") == "policies in force"])
        before = in_force()
        self.mesh.registry.policy("static-strict", "DENY", scope="GLOBAL", namespace="istio-system",
                                  not_principals=[{"presence": True}])
        self.mesh.registry.write()
        try:
            wait_until(lambda: in_force() > before, 5, "the policy")
            self.assertTrue(self.passes(self.node, self.server))
        finally:
            self.mesh.registry.policies = []
            self.mesh.registry.write()

    def test_a_gateway_that_changes_is_learnt(self):
        self.assertFalse(self.passes(self.outsider, self.server))
        self.server.host.ip(f"route replace default via {self.outsider.address}")
        try:
            wait_until(lambda: self.passes(self.outsider, self.server), 13, "the new gateway's probes", every=0.5)
            self.assertFalse(self.passes(self.node, self.server))
        finally:
            self.server.host.ip(f"route replace default via {self.mesh.network.GATEWAY}")
            wait_until(lambda: self.passes(self.node, self.server), 13, "the old gateway's probes", every=0.5)

    def test_named_sources_replace_the_gateway(self):
        self.assertTrue(self.passes(self.outsider, self.named))
        self.assertFalse(self.passes(self.node, self.named))


if __name__ == "__main__":
    sys.exit(main())
