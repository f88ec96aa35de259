#!/usr/bin/python3
"""An application never takes what a killed proxy cut off for the whole.

Proved with kill -9 of either proxy in the middle of a stream, for each way through the mesh and each direction of the data: both
applications are reset, and neither reads an end.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.tcp import RESET, read_to_end

PART = b"p" * 5000


class KilledStreamTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.plain_mtls = cls.mesh.pod("mtls", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()

    def cut(self, listener, connect, victim):
        """What both applications see of two connections, one with data under way in each direction, when the victim is killed."""
        ends = []
        with listener:
            for sender in (0, 1):
                near = connect()
                near.sendall(b"?")
                far, _ = listener.accept()
                far.recv(1)
                pair = (near, far)
                pair[sender].sendall(PART)
                self.assertTrue(pair[1 - sender].recv(100))
                ends += pair
            victim.proxy.kill()
            seen = [read_to_end(end)[1] for end in ends]
            for end in ends:
                end.close()
        victim.start_proxy()
        victim.wait_ready()
        return seen

    def test_both_applications_are_reset(self):
        for victim in (self.client, self.server):
            with self.subTest(way="tunnel", killed=victim.name):
                self.assertEqual(self.cut(self.server.listen(8080), lambda: self.client.connect(self.mesh.vip, 80), victim), [RESET] * 4)
        for victim in (self.client, self.plain_mtls):
            with self.subTest(way="direct mTLS", killed=victim.name):
                self.assertEqual(self.cut(self.plain_mtls.listen(8080),
                                          lambda: self.client.connect(self.plain_mtls.address, 8080), victim), [RESET] * 4)
        with self.subTest(way="plaintext out", killed="client"):
            self.assertEqual(self.cut(self.outsider.listen(9000), lambda: self.client.connect(self.outsider.address, 9000), self.client),
                             [RESET] * 4)
        with self.subTest(way="plaintext in", killed="server"):
            self.assertEqual(self.cut(self.server.listen(8081), lambda: self.outsider.connect(self.server.address, 8081), self.server),
                             [RESET] * 4)


if __name__ == "__main__":
    sys.exit(main())
