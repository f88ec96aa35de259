#!/usr/bin/python3
"""IPv6 is carried like IPv4.

Proved: a request through an IPv6 service address and to a pod's IPv6 address, both identities in both logs, no plaintext on
the wire, plaintext from outside refused.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

MARKER = b"SIX-" + os.urandom(12).hex().encode()


class Ipv6Test(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def test_a_request_through_an_ipv6_service_address(self):
        capture = self.mesh.capture(self.client.host)
        self.assertEqual(self.ask(self.client, self.mesh.vip6, 80, MARKER), MARKER)
        outbound = self.client.wait_access_log(direction="outbound", original_destination=f"[{self.mesh.vip6}]:80")[-1]
        self.assertEqual(outbound["peer_identity"], self.server.spiffe_id)
        inbound = self.server.wait_access_log(direction="inbound", peer_identity=self.client.spiffe_id)[-1]
        self.assertEqual(inbound["result"], "allowed")
        capture.stop()
        self.assertEqual(capture.count(MARKER), 0)
        self.assertGreater(capture.tls_records(), 0)

    def test_a_request_to_a_pods_ipv6_address(self):
        self.assertEqual(self.ask(self.client, self.server.address6, 8080, b"hello"), b"hello")
        self.client.wait_access_log(original_destination=f"[{self.server.address6}]:8080", route="tunnel")

    def test_plaintext_over_ipv6_from_outside_is_refused(self):
        outsider = self.mesh.outsider()
        with self.assertRaises(ConnectionError):
            with outsider.connect(self.server.address6, 8080) as connection:
                connection.sendall(b"hello")
                if not connection.recv(100):
                    raise ConnectionResetError("closed")
        self.server.wait_access_log(direction="inbound", result="denied", reason="plaintext-refused")


if __name__ == "__main__":
    sys.exit(main())
