#!/usr/bin/python3
"""The tunnel port answers only to clients of the mesh.

Proved with OpenSSL as the client: a valid certificate of the mesh is accepted; one of another trust domain, an expired, not
yet valid or unknown one, and none, are refused with a reason in the log.
"""

import os
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context, try_tunnel
from testing.process import wait_until


class BadClientsTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        control_plane = cls.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            cls.mesh_ca = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.peer = cls.mesh.outsider()

    def refused(self, certificate):
        """The proxy refuses the peer and says so in its log; returns the record."""
        known = len(self.server.access_log(result="denied") + self.server.access_log(result="failed"))
        outcome, reason = try_tunnel(self.peer, self.server.address, certificate)
        self.assertEqual(outcome, "refused", reason)
        records = wait_until(
            lambda: (self.server.access_log(result="denied") + self.server.access_log(result="failed"))[known:],
            5, "a record of the refusal")
        self.assertEqual(records[-1]["direction"], "inbound")
        self.assertTrue(records[-1]["source"].startswith(self.peer.address), records[-1])
        return records[-1]

    def test_a_valid_client_of_the_mesh_is_accepted(self):
        outcome, reason = try_tunnel(self.peer, self.server.address, self.mesh_ca.issue(self.client.spiffe_id))
        self.assertEqual(outcome, "accepted", reason)

    def test_a_client_of_another_trust_domain_is_refused(self):
        record = self.refused(self.mesh_ca.issue("spiffe://other.example/ns/demo/sa/client"))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_an_expired_client_is_refused(self):
        record = self.refused(self.mesh_ca.issue(self.client.spiffe_id, begins=-7200, ends=-60))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_a_client_not_yet_valid_is_refused(self):
        self.refused(self.mesh_ca.issue(self.client.spiffe_id, begins=3600, ends=7200))

    def test_a_client_of_an_unknown_root_is_refused(self):
        other = Authority(self.mesh.directory)
        record = self.refused(other.issue(self.client.spiffe_id))
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_a_client_without_a_certificate_is_refused(self):
        record = self.refused(None)
        self.assertEqual(record["reason"], "tls-failed", record)

    def test_a_client_that_speaks_only_tls_12_is_refused(self):
        context = tls_context(False, self.mesh_ca.issue(self.client.spiffe_id), minimum=ssl.TLSVersion.TLSv1_2)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with context.wrap_socket(self.peer.connect(self.server.address, 15008)):
                pass

    def test_plaintext_on_the_tunnel_port_is_refused(self):
        with self.peer.connect(self.server.address, 15008, timeout=8) as connection:
            try:
                connection.sendall(b"CONNECT 127.0.0.1:8080 HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
                answer = connection.recv(4096)
            except ConnectionError:
                answer = b""
            # At most a TLS alert, never an answer in plaintext.
            self.assertNotIn(b"HTTP", answer)
            self.assertIn(answer[:1], (b"", b"\x15"))


if __name__ == "__main__":
    sys.exit(main())
