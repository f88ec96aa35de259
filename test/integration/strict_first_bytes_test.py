#!/usr/bin/python3
"""In strict mode nothing reaches the application before its peer is verified, whatever a client sends.

Proved from outside the mesh: plaintext, TLS of the application, garbage, half of a mesh ClientHello and silence are each refused
with their reason in the log, half a hello after 5 seconds and silence after one; the application never sees a connection.
"""

import os
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.hello import HelloTrap
from testing.inline_app import InlineApp, echo
from testing.tls_app import TlsApp


class StrictFirstBytesTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.trap = HelloTrap(cls.mesh, tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()

    def setUp(self):
        self.app = InlineApp(self.server, 8080, echo)
        self.app.__enter__()
        self.addCleanup(self.app.__exit__)

    def record_of(self, connection):
        source = "%s:%d" % connection.getsockname()[:2]
        return self.server.wait_access_log(deadline=8, direction="inbound", source=source)[-1]

    def refused(self, data, reason, detail, within=2.0, at_least=0.0, result="denied"):
        """Sends `data`; the connection ends without an answer, in time and for the reason."""
        with self.outsider.connect(self.server.address, 8080, timeout=10) as connection:
            started = time.monotonic()
            connection.sendall(data)
            try:
                self.assertEqual(connection.recv(100), b"")
            except ConnectionError:
                pass
            taken = time.monotonic() - started
            record = self.record_of(connection)
        self.assertLess(taken, within)
        self.assertGreater(taken, at_least)
        self.assertEqual((record["result"], record["reason"]), (result, reason), record)
        self.assertIn(detail, record["detail"])
        self.assertNotIn("destination", record, "something was dialled")
        self.assertEqual(self.app.accepted, 0, "the application was given a connection")

    def test_plaintext(self):
        self.refused(b"GET / HTTP/1.1\r\n\r\n", "plaintext-refused", "plaintext-in-strict-mode")

    def test_garbage(self):
        for data in (bytes(range(256)), b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x00"):
            with self.subTest(data=data[:10]):
                self.refused(data, "plaintext-refused", "plaintext-in-strict-mode")

    def test_tls_of_the_application(self):
        app = TlsApp(self.mesh.make_directory("tls", 0o755))
        with self.outsider.connect(self.server.address, 8080, timeout=10) as connection:
            name = "%s:%d" % connection.getsockname()[:2]
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                app.secure(connection)
        record = self.server.wait_access_log(direction="inbound", source=name)[-1]
        self.assertEqual(record["reason"], "plaintext-refused")
        self.assertIn("application-tls-in-strict-mode", record["detail"])
        self.assertEqual(self.app.accepted, 0)

    def test_half_a_hello_after_5_seconds(self):
        hello = self.trap.call(self.client)
        self.assertIn(b"\x05istio", hello)
        self.refused(hello[:700], "client-hello-timeout", "700 bytes of an unfinished ClientHello after 5s",
                     within=7.0, at_least=4.5)

    def test_silence_after_5_seconds(self):
        self.refused(b"", "handshake-silent", "no byte within 5s", within=7.0, at_least=4.5, result="failed")

    def test_a_hello_for_the_mesh_without_an_identity(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["istio-peer-exchange", "istio"])
        with self.outsider.connect(self.server.address, 8080, timeout=10) as connection:
            name = "%s:%d" % connection.getsockname()[:2]
            # With TLS 1.3 the client believes it is done before the server has judged it.
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with context.wrap_socket(connection) as secured:
                    self.assertEqual(secured.selected_alpn_protocol(), "istio")
                    secured.sendall(b"question")
                    if not secured.recv(100):
                        raise ConnectionError("closed")
        record = self.server.wait_access_log(direction="inbound", source=name)[-1]
        self.assertEqual((record["result"], record["reason"], record["protocol"]), ("denied", "tls-failed", "mtls"))
        self.assertEqual(self.app.accepted, 0)


if __name__ == "__main__":
    sys.exit(main())
