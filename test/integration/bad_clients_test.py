#!/usr/bin/python3
"""The tunnel port answers only to clients of the mesh, and only to those that keep the rules of tunnels.

Proved with OpenSSL as the client: a valid certificate of the mesh is accepted; one of another trust domain, an expired, not
yet valid or unknown one, and none, are refused with a reason in the log. Of a client of the mesh, requests that are no CONNECT,
malformed or too large, and streams past the limit, are refused one by one, and floods and errors of HTTP/2 end its tunnel: each
with a reason in the answer, the metrics and the log, which names the peer, and with no more lines than the limits of floods let
it cause.
"""

import os
import ssl
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context, try_tunnel
from testing.process import wait_until
from testing.raw_http2 import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, RawTunnel,
                                frame, request)


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

    def test_a_valid_client_that_is_slow_to_begin_is_accepted(self):
        with self.peer.connect(self.server.address, 15008, timeout=10) as connection:
            time.sleep(1.5)
            context = tls_context(False, self.mesh_ca.issue(self.client.spiffe_id))
            with context.wrap_socket(connection) as tunnel:
                tunnel.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
                self.assertEqual(tunnel.recv(9)[3], SETTINGS)

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

    # What a client of the mesh may not do.

    def tunnel(self):
        made = RawTunnel(self.peer, self.server.address, self.mesh_ca.issue(self.client.spiffe_id))
        self.addCleanup(made.close)
        return made

    def counted(self, reason):
        return self.server.metrics()[f'byrnie_proxy_refused_total{{reason="{reason}"}}']

    def records(self, reason):
        return self.server.access_log(reason=reason, peer_identity=self.client.spiffe_id)

    def assert_counted(self, reason, detail, act, count=1):
        """`act` is refused `count` times for `reason`, in metrics and in the log, which says `detail`."""
        counted, known = self.counted(reason), len(self.records(reason))
        act()
        records = wait_until(lambda: (found := self.records(reason)[known:])[count - 1:] and found, 10, f"{count} records of {reason}")
        self.assertEqual(len(records), count, records)
        self.assertEqual(self.counted(reason) - counted, count)
        for record in records:
            self.assertIn(detail, record["detail"])
            self.assertTrue(record["source"].startswith(self.peer.address), record)
            self.assertEqual(record["direction"], "inbound", record)

    def test_requests_that_are_no_connect_are_refused(self):
        tunnel = self.tunnel()
        extra = [(":scheme", "https"), (":path", "/")]
        for stream, method in ((1, "GET"), (3, "POST")):
            def ask():
                tunnel.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, request("a", method, extra)))
                _, _, fields = tunnel.answer([HEADERS], stream)
                self.assertEqual((fields[":status"], fields["x-byrnie-deny-reason"]), ("400", "bad-connect-request"))
            self.assert_counted("bad-connect-request", f"the request is {method}, not CONNECT", ask)

    def test_a_malformed_connect_is_refused(self):
        tunnel = self.tunnel()
        def ask():
            tunnel.send(frame(HEADERS, END_HEADERS, 1, request("a:1", fields=[(":authority", "b:1")])))
            self.assertEqual(tunnel.answer([RST_STREAM], 1)[2], struct.pack(">I", 1))
        self.assert_counted("bad-connect-request", "malformed", ask)

    def test_headers_that_are_too_large_are_refused(self):
        tunnel = self.tunnel()
        def ask():
            block = request("a:1", fields=[(f"x{number}", "y" * 1000) for number in range(17)])
            tunnel.send(frame(HEADERS, 0, 1, block[:16000]) + frame(9, END_HEADERS, 1, block[16000:]))
            _, _, fields = tunnel.answer([HEADERS], 1)
            self.assertEqual((fields[":status"], fields["x-byrnie-deny-reason"]), ("431", "bad-connect-request"))
        self.assert_counted("bad-connect-request", "larger than 16384 bytes", ask)

    def test_streams_past_the_limit_are_refused(self):
        tunnel = self.tunnel()
        # Nobody listens there, but the refusals of the first two hundred come later.
        authority = f"{self.server.address}:8080"
        with self.server.listen(8080, backlog=300):
            self.assert_counted("stream-limit", "200 streams are open through the tunnel", lambda: tunnel.send(b"".join(
                frame(HEADERS, END_HEADERS, 2 * number + 1, request(authority)) for number in range(250))), count=50)
            tunnel.close()

    def test_a_flood_ends_the_tunnel_and_is_one_line(self):
        authority = f"{self.server.address}:8080"
        connect = frame(HEADERS, END_HEADERS, 1, request(authority))
        floods = (
            ("reset before the answer", b"".join(
                frame(HEADERS, END_HEADERS, stream, request(authority)) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
                for stream in range(1, 3000, 2))),
            ("frames that carry nothing", connect + frame(DATA, 0, 1) * 12000),
            ("frames that carry nothing", frame(PING, ACK, 0, bytes(8)) * 12000),
            ("frames that carry nothing", frame(0x42, 0, 0) * 12000),
            ("frames that carry nothing", frame(0x42, 0, 0, bytes(16384)) * 2000),
            ("frames about streams", connect + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)) * 12000),
            ("frames about streams", frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 12000),
        )
        for detail, flood in floods:
            def act():
                tunnel = self.tunnel()
                for at in range(0, len(flood), 16384):
                    if not tunnel.send(flood[at:at + 16384]):
                        break
                tunnel.read_to_the_end()
            with self.subTest(detail=detail, flood=flood[-20:]), self.server.listen(8080, backlog=300):
                self.assert_counted("tunnel-flood", detail, act)

    def test_pings_whose_answers_are_not_read_end_the_tunnel(self):
        tunnel = self.tunnel()
        def act():
            while tunnel.send(frame(PING, 0, 0, b"12345678") * 2000):
                pass
        self.assert_counted("tunnel-flood", "the tunnel was ended", act)

    def test_an_error_of_the_protocol_ends_the_tunnel_and_is_one_line(self):
        tunnel = self.tunnel()
        def act():
            tunnel.send(frame(DATA, 0, 5, b"xx"))
            self.assertEqual(tunnel.read_to_the_end(), [1])
        self.assert_counted("tunnel-protocol", "PROTOCOL_ERROR", act)

    def test_refused_requests_without_end_cost_no_more_than_their_limit(self):
        counted, known = self.counted("bad-connect-request"), len(self.records("bad-connect-request"))
        def act():
            tunnel = self.tunnel()
            block = request("a", "GET", [(":scheme", "https"), (":path", "/")])
            for first in range(1, 20000, 200):
                if not tunnel.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
                                            for stream in range(first, first + 200, 2))):
                    break
            tunnel.read_to_the_end()
        # Its requests or the answers that it leaves unread, whichever are too many first.
        self.assert_counted("tunnel-flood", "the tunnel was ended", act)
        self.assertLessEqual(len(self.records("bad-connect-request")) - known, 500)
        self.assertLessEqual(self.counted("bad-connect-request") - counted, 500)


if __name__ == "__main__":
    sys.exit(main())
