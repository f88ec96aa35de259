#!/usr/bin/python3
"""An endpoint that falls silent behind open tunnels costs the applications seconds, once, and no connection.

Proved with one of two endpoints frozen (SIGSTOP) while tunnels to it are open: every new connection to the service is
answered by the other one, within 4 s and, while the endpoint is ejected, at once; the access log says why; what was open
through the tunnel goes on where it was when the endpoint wakes up, which then serves again. Where there is nobody else the
connection ends with a reason in good time.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.silent_endpoint_case import SilentEndpointCase


class SilentEndpointTest(SilentEndpointCase):

    def test_1_an_endpoint_that_is_frozen(self):
        connections = self.open_to_both()
        self.bad.proxy.signal(signal.SIGSTOP)
        try:
            for connection in connections.values():
                connection.sendall(b"are you there?")
            self.meanwhile()
        finally:
            self.bad.proxy.signal(signal.SIGCONT)
        self.assert_goes_on(connections, b"are you there?")

    def test_2_where_there_is_nobody_else_the_end_has_a_reason(self):
        name, _, connection = self.who(self.bad.address, 8080)
        self.assertEqual(name, "bad")
        self.bad.proxy.signal(signal.SIGSTOP)
        try:
            how, took, _ = self.who(self.bad.address, 8080)
        finally:
            self.bad.proxy.signal(signal.SIGCONT)
        print(f"     {how or 'closed'} after {took:.1f} s", flush=True)
        self.assertIn(how, ("", "ConnectionResetError"))
        self.assertLess(took, 25)
        record = self.client.wait_access_log(original_destination=f"{self.bad.address}:8080", result="failed")[-1]
        # Of the second attempt, on a new tunnel or on another one that was open.
        self.assertIn(record["reason"], ("connect-timeout", "peer-silent"), record)
        self.assertIn("peer-silent: ", record["last_failure"], record)
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
