#!/usr/bin/python3
"""A pod that calls itself is served: by its service's address, by its own address, and on loopback.

Proved over IPv4 and IPv6: through the service address the call goes through the proxy and both identities are the pod's own;
to its own addresses it stays in the kernel and the proxy sees nothing; nothing of it is on the wire.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

MARKER = b"MYSELF-" + os.urandom(12).hex().encode()


class SelfCallTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def opened(self):
        return sum(value for series, value in self.server.metrics().items()
                   if series.startswith("byrnie_proxy_connections_opened_total"))

    def test_by_the_address_of_its_service(self):
        capture = self.mesh.capture(self.server.host)
        for address in (self.mesh.vip, self.mesh.vip6):
            for _ in range(3):
                self.assertEqual(self.ask(self.server, address, 80, MARKER), MARKER)
        capture.stop()
        self.assertEqual([packet for packet in capture.packets() if packet[5]
                          and {packet[0], packet[2]} <= {self.server.address, self.server.address6, self.mesh.vip,
                                                         self.mesh.vip6}], [])
        self.assertEqual(capture.count(MARKER), 0)
        for direction in ("inbound", "outbound"):
            record = self.server.wait_access_log(direction=direction, result="allowed")[-1]
            self.assertEqual(record["peer_identity"], self.server.spiffe_id)
            self.assertEqual(record["protocol"], "hbone")

    def test_by_its_own_addresses_without_the_proxy(self):
        before = self.opened()
        for address in (self.server.address, self.server.address6, "127.0.0.1", "::1"):
            with self.subTest(address=address):
                self.assertEqual(self.ask(self.server, address, 8080, MARKER), MARKER)
        self.assertEqual(self.opened(), before)


if __name__ == "__main__":
    sys.exit(main())
