#!/usr/bin/python3
"""A killed proxy lets nothing out in plaintext, and nothing in.

Proved with kill -9 and a packet capture, over IPv4 and IPv6: what the application opens to a service, to another pod and to
an unregistered host is reset within 50 ms, open connections are reset, and not one byte of it is on the wire; from outside nothing
reaches the application, and whoever tries is reset within 50 ms too. A proxy started again serves at once.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.tcp import RESET, read_to_end

MARKER = b"SECRET-" + os.urandom(12).hex().encode()
CONTROL = b"CONTROL-" + os.urandom(12).hex().encode()


class ProxyKilledTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def assert_reset_at_once(self, connect, address, port):
        """Refused, and the median of twenty attempts takes less than 50 ms; a busy machine may delay a few."""
        took = []
        for _ in range(20):
            started = time.monotonic()
            with self.assertRaises(ConnectionRefusedError):
                connect(address, port, timeout=3).close()
            took.append(time.monotonic() - started)
        self.assertLess(sorted(took)[len(took) // 2], 0.05, (address, port))

    def test_nothing_leaves_in_plaintext(self):
        capture = self.mesh.capture(self.client.host)
        # The counter-proof: plaintext that bypasses the redirect is seen by this capture.
        with self.outsider.listen(9000) as listener:
            with self.client.connect(self.outsider.address, 9000, uid=PROXY_UID) as direct:
                direct.sendall(CONTROL)
                accepted, _ = listener.accept()
                self.assertEqual(accepted.recv(100), CONTROL)
                accepted.close()
            opened = self.client.connect(self.mesh.vip, 80)
            opened.sendall(MARKER)
            self.assertEqual(opened.recv(100), MARKER)
            self.client.proxy.kill()
            self.assertEqual(read_to_end(opened), (b"", RESET))
            for _ in range(3):
                try:
                    opened.sendall(MARKER)
                except OSError:
                    pass
            opened.close()
            for address, port in ((self.mesh.vip, 80), (self.mesh.vip6, 80), (self.server.address, 8080),
                                  (self.server.address6, 8080), (self.outsider.address, 9000), (self.outsider.address6, 9000),
                                  ("203.0.113.9", 443)):
                self.assert_reset_at_once(self.client.connect, address, port)
                for _ in range(3):
                    self.assert_fails_fast(self.client, address, port, within=2, question=MARKER)
            listener.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                listener.accept()
        capture.stop()
        self.assertGreater(capture.count(CONTROL), 0)
        self.assertEqual(capture.count(MARKER), 0)
        self.client.start_proxy()
        self.client.wait_ready()
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def test_nothing_reaches_the_application(self):
        with self.server.listen(8091, timeout=0.3) as listener:
            self.server.proxy.kill()
            for address in (self.server.address, self.server.address6):
                self.assert_reset_at_once(self.outsider.connect, address, 8091)
            with self.assertRaises(TimeoutError):
                listener.accept()
        self.server.start_proxy()
        self.server.wait_ready()
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")


if __name__ == "__main__":
    sys.exit(main())
