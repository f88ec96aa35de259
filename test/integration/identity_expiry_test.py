#!/usr/bin/python3
"""A connection does not outlive the certificates it was made with, unless told so.

Proved: with --identity_expiry=drain an open connection ends, as a reset, when the first of the two certificates of
its tunnel expires, and not before; new connections work all the time.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf


class IdentityExpiryTest(MeshTestCase):
    workload_ttl = "10s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.extra_proxy_flags = ["--identity_expiry=drain"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def test_an_open_connection_ends_with_its_certificates(self):
        expiry = leaf_facts(served_leaf(self.probe, self.server.address))["not_after"]
        with self.client.connect(self.mesh.vip, 80, timeout=20) as connection:
            exchanged = 0
            with self.assertRaises(ConnectionResetError, msg="the connection should be reset, not end cleanly"):
                while True:
                    connection.sendall(b"still here\n")
                    if not connection.recv(100):
                        break
                    exchanged += 1
                    # Another connection beside it always works.
                    self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"new\n"), b"new\n")
                    self.assertLess(time.time(), expiry + 5, "the connection outlived its certificates")
                    time.sleep(0.1)
            self.assertGreater(exchanged, 5)


if __name__ == "__main__":
    sys.exit(main())
