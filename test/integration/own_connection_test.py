#!/usr/bin/python3
"""A connection of the proxy's own that is led back to it ends at once: the proxy never carries its own bytes.

Proved over IPv4 and IPv6 with a rule of somebody else's that translates what the proxy opens to its own port 15001: the
application's connection ends, the log says that nobody could be reached, and the proxy has not gone on from connection to
connection. An application's connection is carried, also where connection tracking gives it a port that the proxy itself has a
connection to the same destination from, as it does for whose own port is taken.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.process import wait_until

FOREIGN = """table inet foreign {{ chain out {{
  type nat hook output priority -110
  meta skuid {uid} tcp dport 9000 dnat ip to {address}:15001
  meta skuid {uid} tcp dport 9000 dnat ip6 to [{address6}]:15001
}}; }}
"""


TAKEN = """table inet taken {{ chain out {{
  type nat hook postrouting priority 110
  oifname "lo" tcp dport 15001 snat ip to {address}:{port}
}}; }}
"""


class OwnConnectionTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.outsider = cls.mesh.outsider()

    def test_it_is_not_carried(self):
        self.client.host.run("nft", "-f", "-", stdin=FOREIGN.format(uid=PROXY_UID, address=self.client.address,
                                                                    address6=self.client.address6))
        for address, destination in ((self.outsider.address, f"{self.outsider.address}:9000"),
                                     (self.outsider.address6, f"[{self.outsider.address6}]:9000")):
            with self.subTest(address=address):
                self.assert_fails_fast(self.client, address, 9000)
                ended = self.client.wait_access_log(direction="outbound", original_destination=destination)
                self.assertEqual([(record["reason"], record["bytes_sent"]) for record in ended], [("connect-failed", 0)])
                self.assertIn("refused", ended[0]["detail"])


    def test_another_connection_from_its_port_is_carried(self):
        with self.outsider.listen(9001) as listener:
            first = self.client.connect(self.outsider.address, 9001)
            far, source = listener.accept()
            port = source[1]
            self.client.host.run("nft", "-f", "-", stdin=TAKEN.format(address=self.client.address, port=port))
            try:
                second = self.client.connect(self.outsider.address, 9001)
                other, _ = listener.accept()
            finally:
                self.client.host.run("nft", "delete", "table", "inet", "taken")
            for near, end in ((first, far), (second, other)):
                with near, end:
                    near.sendall(b"question")
                    self.assertEqual(end.recv(100), b"question")
                    end.sendall(b"answer")
                    self.assertEqual(near.recv(100), b"answer")
        def sources():
            records = self.client.access_log(direction="outbound", original_destination=f"{self.outsider.address}:9001")
            return len(records) == 2 and {record["source"] for record in records}
        self.assertIn(f"{self.client.address}:{port}", wait_until(sources, 5, "both connections in the log"),
                      "nobody came from that port")


if __name__ == "__main__":
    sys.exit(main())
