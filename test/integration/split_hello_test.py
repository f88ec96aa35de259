#!/usr/bin/python3
"""A client that has sent a part of a ClientHello has spoken first: a server's greeting waits for the rest of it.

Proved in permissive mode, for a pod that takes tunnels and one that takes direct mTLS, with a server that speaks first: a
mesh peer whose hello comes in two pieces, with the greeting between them, gets no byte outside its TLS, and the greeting in
it. A client that sends two bytes that may begin a hello and then waits for the greeting gets it after 5 seconds, counted.
"""

import os
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context
from testing.inline_app import InlineApp, receive

GREETING = b"220 a greeting of its own\r\n"


class SplitHelloTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.pods = [cls.mesh.pod("tunnels"), cls.mesh.pod("legacy", tunnel_protocol="LEGACY_ISTIO_MTLS")]
        for pod in cls.pods:
            pod.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.mesh.start()
        cls.outsider = cls.mesh.outsider()
        control_plane = cls.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.context = tls_context(False, authority.issue(cls.client.spiffe_id))
        cls.context.set_alpn_protocols(["istio"])

    def app(self, pod):
        """Greets 0.2 s after it has a connection; then whatever comes."""
        self.heard = []

        def handle(connection):
            time.sleep(0.2)
            connection.sendall(GREETING)
            while block := connection.recv(65536):
                self.heard.append(block)
        return InlineApp(pod, 8080, handle)

    def test_the_greeting_waits_for_the_rest_of_a_mesh_peers_hello(self):
        for pod in self.pods:
            for size in (1, 3, 100):
                with self.subTest(pod=pod.name, size=size), self.app(pod) as app:
                    self.split(pod, app, size)

    def split(self, pod, app, size):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.context.wrap_bio(incoming, outgoing)
        with self.assertRaises(ssl.SSLWantReadError):
            session.do_handshake()
        hello = outgoing.read()
        with self.outsider.connect(pod.address, 8080, timeout=1) as connection:
            connection.sendall(hello[:size])
            with self.assertRaises(TimeoutError, msg="something was said before the hello was whole"):
                connection.recv(100)
            self.assertEqual(app.accepted, 1)
            connection.settimeout(5)
            connection.sendall(hello[size:])

            def complete(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        pass
                    finally:
                        connection.sendall(outgoing.read())
                    block = connection.recv(65536)
                    self.assertTrue(block, "it ended")
                    self.assertNotIn(GREETING, block)
                    incoming.write(block)
            complete(session.do_handshake)
            self.assertEqual(complete(lambda: session.read(100)), GREETING)
            source = "%s:%d" % connection.getsockname()[:2]
        record = pod.wait_access_log(direction="inbound", source=source)[-1]
        self.assertEqual((record["protocol"], record["peer_identity"]), ("mtls", self.client.spiffe_id), record)

    def test_who_stops_in_a_hello_has_the_greeting_after_5_seconds(self):
        for pod in self.pods:
            with self.subTest(pod=pod.name), self.app(pod):
                with self.outsider.connect(pod.address, 8080, timeout=8) as connection:
                    started = time.monotonic()
                    connection.sendall(b"\x16\x03")
                    self.assertEqual(receive(connection, len(GREETING)), GREETING)
                    taken = time.monotonic() - started
                    connection.sendall(b"the rest")
                    source = "%s:%d" % connection.getsockname()[:2]
                self.assertGreater(taken, 4.5)
                self.assertLess(taken, 6)
                record = pod.wait_access_log(direction="inbound", source=source)[-1]
                self.assertEqual((record["protocol"], record["result"]), ("plaintext", "allowed"), record)
                self.assertEqual(b"".join(self.heard), b"\x16\x03the rest")
                self.assertEqual(pod.metrics()['byrnie_proxy_redirected_total{kind="unfinished_hello"}'], 1)


if __name__ == "__main__":
    sys.exit(main())
