#!/usr/bin/python3
"""Go's net/http, whose HTTP/2 is its own, and our proxy understand each other, in both roles.

Proved over Go's TLS with SVIDs of the mesh: a mebibyte each way with equal checksums, in pieces that each give their window
back, in frames of one byte, on many streams at once and after a GOAWAY of Go's; resets, with and without an error, which cost
no other stream; a stream that a policy ends; and refusals with their reasons.
"""

import os
import select
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from case import MEBIBYTE, InteropTestCase, go_program, sha256
from testing.case import main
from testing.process import wait_until

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go_peer.go")


class GoHttp2Test(InteropTestCase):

    @classmethod
    def build(cls):
        cls.program = go_program(SOURCE)
        super().build()
        cls.server.app("echo", "8080")
        cls.go_server = cls.mesh.spawn(
            "go-server", cls.peer, [cls.program, "server", *cls.certificate, cls.bundle], cls.mesh.log_path("go-server"))
        wait_until(lambda: '"listening"' in cls.go_server.log_text(), 10, "Go's start")

    def said(self, field):
        """What Go's server has said of a kind."""
        return [record for record in self.go_server.log_records() if field in record]

    def client_plays(self, name):
        return self.mesh.spawn(
            "go-client", self.peer, [self.program, "client", *self.certificate, self.bundle, self.server.address, name],
            self.mesh.log_path("go-client", unique=True))

    def play(self, name):
        """The result of one case with Go as the client."""
        return self.client_plays(name).result(30)["result"]

    def test_gos_client_carries_a_mebibyte_each_way(self):
        self.assertIs(self.play("echo"), True)

    def test_gos_client_opens_many_streams_at_once(self):
        self.assertIs(self.play("many"), True)

    def test_gos_client_resets_one_stream_of_two(self):
        self.assertIs(self.play("reset"), True)
        record = self.server.wait_access_log(direction="inbound", reason="reset-by-downstream", bytes_sent=1)[-1]
        self.assertIn("CANCEL", record["detail"], record)

    def test_gos_client_is_refused_with_a_reason(self):
        self.assertEqual(self.play("refused"), {
            "8099": [503, "connect-failed"], "15001": [403, "loop"], "elsewhere": [400, "bad-connect-request"], "get": 400})

    def test_gos_client_takes_the_end_by_a_policy_for_an_error_of_the_stream(self):
        registry = self.mesh.registry
        playing = self.client_plays("ended")
        wait_until(lambda: '"open"' in playing.log_text(), 10, "the stream")
        registry.policy("no-8080", "DENY", principals=[{"exact": self.peer_id.removeprefix("spiffe://")}],
                        destination_ports=[8080])
        registry.write()
        try:
            error, other = playing.result(30)["result"]
            self.assertIn("stream error", error)
            self.assertEqual(other, "503 Service Unavailable")
        finally:
            registry.policies = []
            registry.write()
            wait_until(lambda: self.client_plays("echo").wait(30) == 0, 10, "the policy's end", every=0.2)

    def test_gos_server_carries_a_mebibyte_each_way(self):
        self.assertEqual(sha256(self.exchange(8080, MEBIBYTE)), sha256(MEBIBYTE))
        request = self.said("traceparent")[-1]
        self.assertEqual((request["request"], request["peer"]), ("CONNECT", self.client.spiffe_id))
        self.assertTrue(request["traceparent"])

    def test_gos_server_reads_in_small_pieces_and_gives_their_window_back(self):
        for _ in range(4):
            self.assertEqual(sha256(self.exchange(8087, MEBIBYTE)), sha256(MEBIBYTE))
        self.assertEqual(self.client.access_log(reason="tunnel-flood"), [])

    def test_gos_server_answers_in_frames_of_one_byte(self):
        self.assertEqual(sha256(self.exchange(8081, MEBIBYTE[:3000])), sha256(MEBIBYTE[:3000]))

    def assert_broken(self, connection, port, detail):
        """The application's socket says that nothing can be sent any more, and the log says why."""
        poll = select.poll()
        poll.register(connection, 0)  # An end alone is no event here.
        events = dict(poll.poll(5000))
        self.assertTrue(events.get(connection.fileno(), 0) & (select.POLLERR | select.POLLHUP), "no reset came")
        record = self.client.wait_access_log(original_destination=f"{self.peer.address}:{port}")[-1]
        self.assertEqual(record["reason"], "reset-by-upstream", record)
        self.assertIn(detail, record["detail"], record)
        self.assertNotIn("peer_reason", record)

    def test_gos_server_resets_after_its_last_words(self):
        with self.client.connect(self.peer.address, 8082) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(100), b"last words")
            self.assert_broken(connection, 8082, "INTERNAL_ERROR")

    def test_gos_server_ends_and_wants_to_hear_no_more(self):
        with self.client.connect(self.peer.address, 8086) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(100), b"last words")
            self.assertEqual(connection.recv(100), b"", "a clean end, however soon the stop follows")
            self.assert_broken(connection, 8086, "NO_ERROR")

    def test_gos_server_says_goaway_with_a_stream_open(self):
        sessions = len(self.said("session"))
        # Earlier tests may have left several tunnels; each time it is one less.
        for _ in range(sessions + 1):
            self.assertEqual(sha256(self.exchange(8083, MEBIBYTE)), sha256(MEBIBYTE))
        self.assertGreater(len(self.said("session")), sessions, "a new stream on a tunnel that takes none")

    def test_gos_server_refuses_and_the_log_says_why(self):
        self.assert_fails_fast(self.client, self.peer.address, 8503)
        record = self.client.wait_access_log(original_destination=f"{self.peer.address}:8503")[-1]
        self.assertIn("503: overloaded", record["detail"], record)
        self.assertEqual(record["peer_reason"], "overloaded")

    def test_a_reset_of_the_application_reaches_gos_server(self):
        connection = self.client.connect(self.peer.address, 8085)
        connection.sendall(b"x")
        self.assertEqual(connection.recv(10), b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        closed = wait_until(lambda: [record for record in self.said("closed") if record["closed"] == "8085"], 5, "the reset")
        self.assertNotEqual(closed[-1]["how"], "EOF", closed)


if __name__ == "__main__":
    sys.exit(main())
