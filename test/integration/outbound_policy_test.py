#!/usr/bin/python3
"""What is not in the mesh is passed through or denied, as --outbound_policy says.

Proved: with passthrough, the default, an outsider's application is reached in plaintext, counted and logged as such, and in the
mesh nothing changes; with deny it is refused with unknown-address and sees no connection.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

PASSED = 'byrnie_proxy_passthrough_total{why="not_in_mesh"}'


class OutboundPolicyTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("greet", 8080, "server")
        cls.outsider = cls.mesh.outsider()
        cls.listener = cls.outsider.listen(7000)

    def test_1_passthrough_carries_it_as_it_is(self):
        with self.client.connect(self.outsider.address, 7000) as connection:
            accepted, _ = self.listener.accept()
            with accepted:
                connection.sendall(b"plain")
                self.assertEqual(accepted.recv(100), b"plain")
        record = self.client.wait_access_log(original_destination=f"{self.outsider.address}:7000")[-1]
        self.assertEqual((record["result"], record["route"], record["protocol"]),
                         ("allowed", "passthrough", "plaintext"), record)
        self.assertNotIn("lookup_failure", record)
        self.assertEqual(self.client.metrics()[PASSED], 1)
        self.assertIn(b"mesh", self.ask(self.client, self.mesh.vip, 80, b"mesh\n"))
        self.assertEqual(self.client.metrics()[PASSED], 1)

    def test_2_deny_refuses_it(self):
        self.client.proxy.terminate()
        self.client.extra_proxy_flags = ["--outbound_policy=deny"]
        self.client.start_proxy()
        self.client.wait_ready()
        self.assert_fails_fast(self.client, self.outsider.address, 7000)
        record = self.client.wait_access_log(reason="unknown-address")[-1]
        self.assertEqual((record["result"], record["route"]), ("denied", "none"), record)
        metrics = self.client.metrics()
        self.assertEqual(metrics['byrnie_proxy_refused_total{reason="unknown-address"}'], 1)
        self.assertEqual(metrics[PASSED], 0)
        self.listener.settimeout(0.2)
        self.assertRaises(TimeoutError, self.listener.accept)
        self.assertIn(b"mesh", self.ask(self.client, self.mesh.vip, 80, b"mesh\n"))


if __name__ == "__main__":
    sys.exit(main())
