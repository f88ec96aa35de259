#!/usr/bin/python3
"""An endpoint that is cut off behind open tunnels costs the applications seconds, once, and no connection.

Proved with one of two endpoints whose packets are dropped, both ways and without a word, while tunnels to it are open: every
new connection to the service is answered by the other one, within 4 s and, while the endpoint is ejected, at once; the access
log says why; what was open through the tunnel goes on where it was when the endpoint is back, which then serves again. A peer
that is there and only has a slow application is waited for.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.silent_endpoint_case import SilentEndpointCase


CUT_OFF = "".join(f"table inet gone {{\n chain {hook} {{\n type filter hook {hook} priority -300;\n {interface} eth0 drop\n }}\n}}\n"
                  for hook, interface in (("output", "oifname"), ("input", "iifname")))


class LostEndpointTest(SilentEndpointCase):

    def test_1_an_endpoint_that_is_cut_off(self):
        connections = self.open_to_both()
        self.bad.host.run("nft", "-f", "-", stdin=CUT_OFF)
        try:
            self.meanwhile()
        finally:
            self.bad.host.run("nft", "delete", "table", "inet", "gone")
        for connection in connections.values():
            connection.sendall(b"here again")
        self.assert_goes_on(connections, b"here again")

    def test_2_a_slow_application_is_waited_for(self):
        name, _, connection = self.who(self.good.address, 8080)
        self.assertEqual(name, "good")
        # Its SYNs get no answer: the peer's proxy is there, and tries for six seconds.
        self.good.host.run("nft", "-f", "-", stdin="table inet slow {\n chain input {\n type filter hook input priority -300;\n"
                           " iifname lo tcp dport 9000 drop\n }\n}\n")
        how, took, _ = self.who(self.good.address, 9000)
        self.good.host.run("nft", "delete", "table", "inet", "slow")
        self.assertIn(how, ("", "ConnectionResetError"))
        self.assertGreater(took, 5.5)
        record = self.client.wait_access_log(original_destination=f"{self.good.address}:9000")[-1]
        self.assertEqual((record["reason"], record.get("peer_reason")), ("connect-failed", "connect-timeout"), record)
        self.assertNotIn("last_failure", record)
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
