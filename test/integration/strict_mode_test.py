#!/usr/bin/python3
"""In strict mode plaintext from outside the mesh is refused, whatever port it tries.

Proved: the application sees no connection, the peer's ends at once, the log gives the reason; the ports of the proxy's and
the agent's admin pages and of the redirect are no way in; permissive mode, asked for, lets plaintext through.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main


class StrictModeTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.outsider = cls.mesh.outsider()

    def from_outside(self, port, question=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        """What a plaintext request from outside gets: an answer, or b"" if it is cut off."""
        try:
            with self.outsider.connect(self.server.address, port, timeout=5) as connection:
                connection.sendall(question)
                return connection.recv(4096)
        except ConnectionError:
            return b""

    def test_plaintext_is_refused_before_the_application_sees_it(self):
        with self.server.listen(8080, timeout=0.3) as listener:
            self.assertEqual(self.from_outside(8080), b"")
            with self.assertRaises(TimeoutError):
                listener.accept()
        record = self.server.wait_access_log(direction="inbound", result="denied",
                                             original_destination=f"{self.server.address}:8080")[-1]
        self.assertEqual(record["reason"], "plaintext-refused")
        self.assertTrue(record["source"].startswith(self.outsider.address), record)
        self.assertNotIn("peer_identity", record)

    def test_the_ports_of_proxy_and_agent_are_no_way_in(self):
        for port in (15000, 15001, 15006, 15010):
            with self.subTest(port=port):
                self.assertEqual(self.from_outside(port), b"")

    def test_a_refusal_is_counted(self):
        def refused():
            return sum(value for series, value in self.server.metrics().items() if "plaintext-refused" in series)
        before = refused()
        self.from_outside(8080)
        self.assertGreater(refused(), before)

    def test_many_refusals_leak_no_descriptors(self):
        self.from_outside(8080)
        before = self.server.proxy.descriptors()
        for _ in range(200):
            self.from_outside(8080)
        self.assertLess(self.server.proxy.descriptors(), before + 10)

    def test_permissive_mode_lets_plaintext_through_when_asked(self):
        self.server.proxy.terminate()
        self.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        self.server.start_proxy()
        self.server.wait_ready()
        try:
            with self.server.listen(8080) as listener:
                with self.outsider.connect(self.server.address, 8080) as connection:
                    connection.sendall(b"hello")
                    accepted, _ = listener.accept()
                    with accepted:
                        accepted.settimeout(5)
                        self.assertEqual(accepted.recv(100), b"hello")
            self.server.wait_access_log(direction="inbound", protocol="plaintext", result="allowed")
        finally:
            self.server.proxy.terminate()
            self.server.extra_proxy_flags = []
            self.server.start_proxy()
            self.server.wait_ready()


if __name__ == "__main__":
    sys.exit(main())
