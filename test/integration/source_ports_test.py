#!/usr/bin/python3
"""The proxy's connections come from other source ports than the kernel gives to applications, so that neither is taken for the other.

Connection tracking keeps a connection that its server has reset for seconds and takes a new one between the same ends for the
old one: an application's is then refused by the guard, and one of the proxy's is taken to the proxy itself. Proved with hundreds
of connections by direct mTLS that servers reset one after the other: each is made and reset, and reaches the server once. Before
Linux 6.3 the proxy has no say in its ports.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.sanitized import fewer
from testing.tcp import RESET, read_to_end, reset

CONNECTIONS = fewer(600, 200)


def kernel():
    return tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])


class SourcePortsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.server = cls.mesh.pod("server", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.mesh.start()

    def test_they_are_apart_from_those_of_applications(self):
        of_applications = set()
        with self.server.listen(8080) as listener:
            for number in range(CONNECTIONS if kernel() >= (6, 3) else 1):
                with self.client.connect(self.server.address, 8080) as near:
                    of_applications.add(near.getsockname()[1])
                    reset(listener.accept()[0])
                    self.assertEqual(read_to_end(near, timeout=5), (b"", RESET), f"connection {number}")
            listener.settimeout(0.2)
            self.assertRaises(TimeoutError, listener.accept)
        closed = dict(event="close", direction="inbound", protocol="mtls")
        wait_until(lambda: len(self.server.access_log(**closed)) >= number + 1, 5, "the last record")
        sources = [int(record["source"].rpartition(":")[2]) for record in self.server.access_log(**closed)]
        self.assertEqual(len(sources), number + 1)
        if kernel() >= (6, 3):
            self.assertEqual({port % 2 for port in of_applications} & {port % 2 for port in sources}, set(),
                             (sorted(of_applications), sorted(sources)))


if __name__ == "__main__":
    sys.exit(main())
