#!/usr/bin/python3
"""A connection of the proxy's own that is led back to it ends at once: the proxy never carries its own bytes.

Proved over IPv4 and IPv6 with a rule of somebody else's that translates what the proxy opens to its own port 15001: the
application's connection ends, the log names the loop, and the proxy has not gone on from connection to connection.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID

FOREIGN = """table inet foreign {{ chain out {{
  type nat hook output priority -110
  meta skuid {uid} tcp dport 9000 dnat ip to {address}:15001
  meta skuid {uid} tcp dport 9000 dnat ip6 to [{address6}]:15001
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
                looped = self.client.wait_access_log(direction="outbound", reason="loop", original_destination=destination)
                # One, but where the other worker accepts it before connect() has returned to this one: then it is found a
                # moment later, and what was dialled for it meanwhile is the next.
                self.assertLessEqual(len(looped), 3)
                self.assertIn("this proxy's own", looped[-1]["detail"])
                self.assertEqual(looped[-1]["bytes_sent"], 0)


if __name__ == "__main__":
    sys.exit(main())
