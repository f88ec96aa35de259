#!/usr/bin/python3
"""A pod is reached through an interface that has no address of its own.

Proved with a pod whose IPv4 address is on its loopback interface while its only other one has none, as some networks make
them: direct mTLS and tunnels from another pod carry, plaintext of a stranger is refused at once, and the log names the
address that was meant.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main


class RedirectUnnumberedTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client = mesh.pod("client")
        cls.direct, cls.tunnel = mesh.pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS"), mesh.pod("tunnel")
        for pod in (cls.direct, cls.tunnel):
            pod.host.ip(f"addr del {pod.address}/16 dev eth0", f"addr add {pod.address}/32 dev lo",
                        f"route add 10.77.0.0/16 dev eth0 scope link src {pod.address}",
                        f"route add default via {mesh.network.GATEWAY} dev eth0 src {pod.address}")
            # The agent looks for addresses on other interfaces than the loopback one.
            pod.extra_agent_flags = [f"--workload_addresses={pod.address},{pod.address6}"]
        mesh.start()
        for pod in (cls.direct, cls.tunnel):
            pod.app("echo", 8080)

    def test_another_pod_reaches_it(self):
        for pod, protocol in ((self.direct, "mtls"), (self.tunnel, "hbone")):
            for address in (pod.address, pod.address6):
                with self.subTest(protocol=protocol, address=address):
                    self.assertEqual(self.ask(self.client, address, 8080, b"hello"), b"hello")
                    named = f"[{address}]:8080" if ":" in address else f"{address}:8080"
                    pod.wait_access_log(direction="inbound", protocol=protocol, result="allowed",
                                        peer_identity=self.client.spiffe_id, original_destination=named)

    def test_it_reaches_another_pod(self):
        self.assertEqual(self.ask(self.direct, self.tunnel.address, 8080, b"hello"), b"hello")

    def test_plaintext_from_outside_is_refused_at_once(self):
        outsider = self.mesh.outsider()
        with self.assertRaises(ConnectionError):
            with outsider.connect(self.direct.address, 8080, timeout=3) as connection:
                connection.sendall(b"hello")
                if not connection.recv(100):
                    raise ConnectionResetError("closed")
        self.direct.wait_access_log(direction="inbound", result="denied", reason="plaintext-refused")


if __name__ == "__main__":
    sys.exit(main())
