#!/usr/bin/python3
"""Node's http2 and our proxy understand each other, in both roles.

Proved over OpenSSL with SVIDs of the mesh: a mebibyte each way with equal checksums, in padded and in one-byte frames, through
windows that change half way, beside PINGs and after a GOAWAY of Node's; resets; and refusals with their reasons.
"""

import os
import select
import shutil
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from case import MEBIBYTE, InteropTestCase, sha256
from testing.case import main
from testing.process import wait_until

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node_peer.js")


class NodeHttp2Test(InteropTestCase):

    @classmethod
    def build(cls):
        super().build()
        node = shutil.which("node") or shutil.which("nodejs")
        assert node, "Node is not installed; tools/setup installs it"
        cls.node = [node, PEER]
        cls.server.app("echo", "8080")
        cls.node_server = cls.mesh.spawn(
            "node-server", cls.peer, [*cls.node, "server", *cls.certificate, cls.bundle], cls.mesh.log_path("node-server"))
        wait_until(lambda: '"listening"' in cls.node_server.log_text(), 10, "Node's start")

    def said(self, field):
        """What Node's server has said of a kind."""
        return [record for record in self.node_server.log_records() if field in record]

    def play(self, name):
        """The result of one case with Node as the client."""
        process = self.mesh.spawn(
            "node-client", self.peer, [*self.node, "client", *self.certificate, self.server.address, name],
            self.mesh.log_path("node-client", unique=True))
        return process.result(30)["result"]

    def test_nodes_client_carries_a_mebibyte_each_way(self):
        self.assertIs(self.play("echo"), True)

    def test_nodes_client_pads(self):
        self.assertIs(self.play("padding"), True)

    def test_nodes_client_changes_its_window_half_way(self):
        self.assertIs(self.play("small-window"), True)

    def test_nodes_client_opens_many_streams_at_once(self):
        self.assertIs(self.play("many"), True)

    def test_nodes_clients_pings_are_answered_while_bytes_flow(self):
        self.assertIs(self.play("ping"), True)

    def test_nodes_client_says_goaway_with_a_stream_open(self):
        self.assertIs(self.play("goaway"), True)

    def test_nodes_client_resets_one_stream_of_two(self):
        self.assertIs(self.play("reset"), True)

    def test_nodes_client_is_refused_with_a_reason(self):
        self.assertEqual(self.play("refused"), {
            "8099": [503, "connect-failed"], "15001": [403, "loop"], "elsewhere8080": [400, "bad-connect-request"],
            "get": 400})

    def test_nodes_server_carries_a_mebibyte_each_way(self):
        self.assertEqual(sha256(self.exchange(8080, MEBIBYTE)), sha256(MEBIBYTE))
        self.assertTrue(self.said("traceparent"))
        self.assertIn(self.client.spiffe_id, self.said("session")[0]["session"])

    def test_nodes_server_answers_in_frames_of_one_byte(self):
        self.assertEqual(sha256(self.exchange(8081, MEBIBYTE[:3000])), sha256(MEBIBYTE[:3000]))

    def assert_broken(self, connection, port, detail):
        """The application's socket says that nothing can be sent any more, and the log says why."""
        poll = select.poll()
        poll.register(connection, 0)  # An end alone is no event here.
        events = dict(poll.poll(5000))
        self.assertTrue(events.get(connection.fileno(), 0) & (select.POLLERR | select.POLLHUP), "no reset came")
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(b"nobody hears this")
        record = self.client.wait_access_log(original_destination=f"{self.peer.address}:{port}")[-1]
        self.assertEqual(record["reason"], "reset-by-upstream", record)
        self.assertIn(detail, record["detail"], record)

    def test_nodes_server_ends_and_resets_after_its_last_words(self):
        with self.client.connect(self.peer.address, 8082) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(100), b"last words")
            try:
                # Node ends before it resets: the end shows when it comes in a segment of its own.
                self.assertEqual(connection.recv(100), b"")
            except ConnectionResetError:
                pass
            self.assert_broken(connection, 8082, "CONNECT_ERROR")

    def test_nodes_server_ends_and_wants_to_hear_no_more(self):
        with self.client.connect(self.peer.address, 8086) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(100), b"last words")
            self.assertEqual(connection.recv(100), b"", "a clean end, however soon the stop follows")
            self.assert_broken(connection, 8086, "NO_ERROR")

    def test_nodes_server_says_goaway_and_changes_its_window_with_a_stream_open(self):
        sessions = len(self.said("session"))
        # Earlier tests may have left several tunnels; each time it is one less.
        for _ in range(sessions + 1):
            self.assertEqual(sha256(self.exchange(8083, MEBIBYTE)), sha256(MEBIBYTE))
        self.assertGreater(len(self.said("session")), sessions, "a new stream on a tunnel that takes none")

    def test_nodes_servers_pings_are_answered(self):
        self.assertEqual(sha256(self.exchange(8084, MEBIBYTE[:1000])), sha256(MEBIBYTE[:1000]))
        self.assertEqual(self.said("ping")[-1]["ping"], "answered")

    def test_nodes_server_refuses_and_the_log_says_why(self):
        self.assert_fails_fast(self.client, self.peer.address, 8503)
        record = self.client.wait_access_log(original_destination=f"{self.peer.address}:8503")[-1]
        self.assertIn("503: overloaded", record["detail"], record)

    def test_a_reset_of_the_application_reaches_nodes_server(self):
        connection = self.client.connect(self.peer.address, 8085)
        connection.sendall(b"x")
        self.assertEqual(connection.recv(10), b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        closed = wait_until(lambda: [record for record in self.said("closed") if record["closed"] == 8085], 5, "the reset")
        self.assertNotEqual(closed[-1]["code"], 0, closed)


if __name__ == "__main__":
    sys.exit(main())
