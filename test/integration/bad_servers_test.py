#!/usr/bin/python3
"""A proxy gives an application's bytes only to the server that was meant.

Proved with a rogue TLS server on the tunnel port of a registered workload: with a certificate of another workload, of
another trust domain, expired or of an unknown root it gets no byte, the application's connection fails at once and the
log says why; with the right one it would get them, and where it floods a tunnel that carries nothing the log says that too.
"""

import os
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context
from testing.process import wait_until
from testing.raw_http2 import frame

MARKER = b"for the right server only"


class RogueServer:
    """Accepts TLS on 15008 with a given certificate and keeps what it hears after the handshake."""

    def __init__(self, host, certificate):
        self.heard = b""
        # Said once, when something is heard.
        self.say = b""
        self.handshakes = 0
        self._connection = None
        self._context = tls_context(True, certificate)
        self._listener = host.listen(15008, timeout=30)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            raw.settimeout(5)
            try:
                with self._context.wrap_socket(raw, server_side=True) as connection:
                    self._connection = connection
                    self.handshakes += 1
                    while block := connection.recv(65536):
                        self.heard += block
                        said, self.say = self.say, b""
                        connection.sendall(said)
            except (ssl.SSLError, OSError):
                pass

    def close(self):
        # Wakes the thread; a descriptor closed under its feet might be another file's by then.
        for sock in filter(None, (self._listener, self._connection)):
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass  # Ended already.
        self._thread.join(10)
        self._listener.close()


class BadServersTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        # Registered like any workload, but what runs there is ours. A host of its own per test: a proxy may remember
        # that one was bad.
        cls.rogues = [cls.mesh.outsider(f"rogue{number}") for number in range(9)]
        for number, host in enumerate(cls.rogues):
            cls.mesh.registry.workload(f"rogue{number}", "demo", "rogue", [host.address, host.address6])
        cls.mesh.start()
        control_plane = cls.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            cls.mesh_ca = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.right = "spiffe://cluster.local/ns/demo/sa/rogue"

    def meet(self, number, certificate):
        """The client dials a workload whose tunnel port shows `certificate`; returns the rogue and the log's record."""
        host = self.rogues[number]
        rogue = RogueServer(host, certificate)
        try:
            self.assert_fails_fast(self.client, host.address, 8080, within=12, question=MARKER)
        finally:
            rogue.close()
        record = self.client.wait_access_log(original_destination=f"{host.address}:8080")[-1]
        self.assertNotEqual(record["result"], "allowed", record)
        self.assertNotIn(MARKER, rogue.heard)
        self.assertNotIn(b"PRI * HTTP/2.0", rogue.heard, "the client spoke HTTP/2 to an unverified server")
        return rogue, record

    def test_another_workload_of_the_mesh_is_not_the_server(self):
        _, record = self.meet(0, self.mesh_ca.issue(self.server.spiffe_id))
        self.assertEqual(record["reason"], "peer-identity-mismatch", record)

    def test_a_server_of_another_trust_domain_is_refused(self):
        _, record = self.meet(1, self.mesh_ca.issue("spiffe://other.example/ns/demo/sa/rogue"))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_an_expired_server_is_refused(self):
        _, record = self.meet(2, self.mesh_ca.issue(self.right, begins=-7200, ends=-60))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_a_server_of_an_unknown_root_is_refused(self):
        _, record = self.meet(3, Authority(self.mesh.directory).issue(self.right))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_the_right_server_is_spoken_to(self):
        """The counter-proof: the same rogue with the right certificate is sent HTTP/2."""
        host = self.rogues[4]
        rogue = RogueServer(host, self.mesh_ca.issue(self.right))
        with self.client.connect(host.address, 8080) as connection:
            connection.sendall(MARKER)
            wait_until(lambda: b"PRI * HTTP/2.0" in rogue.heard, 10, "HTTP/2 from the client's proxy")
        rogue.close()

    def test_a_flood_on_an_idle_tunnel_is_logged_and_counted(self):
        # Of SETTINGS, and without end of PRIORITY; of answers to PINGs that nobody sent; of window for nothing; of what nobody knows.
        for number, flood in ((5, frame(2, 0, 1, b"\0\0\0\0\1")), (6, frame(6, 1, 0, bytes(8))), (7, frame(8, 0, 0, b"\0\0\0\1")),
                              (8, frame(0x42, 0, 0))):
            with self.subTest(flood=flood):
                self.flooded(self.rogues[number], flood)

    def flooded(self, host, flood):
        def counted():
            return sum(value for series, value in self.client.metrics().items()
                       if series.startswith("byrnie_proxy_refused_total{") and 'reason="tunnel-flood"' in series)
        before = counted()
        rogue = RogueServer(host, self.mesh_ca.issue(self.right))
        with self.client.connect(host.address, 8080):
            wait_until(lambda: b"PRI * HTTP/2.0" in rogue.heard, 10, "HTTP/2 from the client's proxy")
            # Once the proxy says that the only stream is gone.
            rogue.say = frame(4, 0, 0) + 6000 * flood
        record = self.client.wait_access_log(deadline=10, direction="outbound", reason="tunnel-flood",
                                             destination=f"{host.address}:15008")[-1]
        self.assertEqual((record["result"], record["peer_identity"]), ("denied", self.right))
        self.assertIn("the proxy at destination", record["detail"])
        self.assertEqual(counted() - before, 1)
        rogue.close()


if __name__ == "__main__":
    sys.exit(main())
