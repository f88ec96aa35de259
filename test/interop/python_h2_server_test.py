#!/usr/bin/python3
"""Our proxy opens tunnels to a server made of Python's h2: applications behind it see what they would see without.

Proved with a workload of the mesh that is no pod of ours: its HBONE port is Python's h2 over OpenSSL with an SVID of the
mesh, and ordinary connections of the client's application are carried to it. A mebibyte each way with equal checksums in every
shape of frame; ends and resets; limits of streams and windows that the server sets; GOAWAY with streams open, after which
new ones use another tunnel and those not processed are made again; refusals named in the client's access log; and the
headers of each CONNECT.
"""

import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h2.errors
import h2.events
import h2.settings

from case import MEBIBYTE, InteropTestCase, sha256
from h2_peer import Server
from testing.case import main
from testing.process import wait_until

CODES = h2.settings.SettingCodes


def echo(connection, stream, data):
    stream.outgoing += data


class PythonH2ServerTest(InteropTestCase):

    def serve(self, on_request=None, on_data=echo, on_end=None, settings=None):
        """The peer's HBONE port until the end of the test. on_request(connection, stream) answers; None: 200."""
        def set_up(connection):
            def request(stream):
                if on_request is None or on_request(connection, stream) is None:
                    connection.h2.send_headers(stream.number, [(":status", "200")])

            def end(stream):
                if on_end:
                    on_end(connection, stream)
                else:
                    stream.end_when_sent = True
            connection.on_request = request
            connection.on_data = lambda stream, data: on_data(connection, stream, data)
            connection.on_end = end
        server = Server(self.peer, self.certificate, self.bundle, set_up, settings)
        self.addCleanup(server.close)
        return server

    def tearDown(self):
        # No tunnel is left over for the next test's server.
        wait_until(lambda: self.client.metrics()['byrnie_proxy_connections_open{direction="outbound"}'] == 0, 10,
                   "the end of all connections")

    def echoed(self, data, port=8080):
        self.assertEqual(sha256(self.exchange(port, data)), sha256(data))

    def record(self, port):
        return self.client.wait_access_log(original_destination=f"{self.peer.address}:{port}")[-1]

    def test_carries_a_mebibyte_each_way_and_both_ends(self):
        server = self.serve()
        self.echoed(MEBIBYTE, 8070)
        self.assertEqual(server.errors, [])
        record = self.record(8070)
        self.assertEqual((record["result"], record["peer_identity"]), ("allowed", self.peer_id))
        self.assertEqual((record["bytes_sent"], record["bytes_received"]), (len(MEBIBYTE), len(MEBIBYTE)))

    def test_says_who_asks_in_the_headers_of_each_connect(self):
        server = self.serve()
        self.echoed(b"hello")
        headers = server.requests()[0]
        self.assertEqual(headers[":authority"], f"{self.peer.address}:8080")
        self.assertEqual(headers["baggage"], "k8s.namespace.name=demo,k8s.pod.name=client,service.name=client")
        self.assertRegex(headers["forwarded"], rf'^for="{re.escape(self.client.address)}:\d+"$')
        self.assertRegex(headers["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")

    def test_takes_frames_of_one_byte_and_padding(self):
        def request(connection, stream):
            stream.chunk, stream.padding = 1, 3
        self.serve(request)
        self.echoed(MEBIBYTE[:3000])

    def test_takes_padding_alone_and_informational_answers(self):
        def request(connection, stream):
            connection.h2.send_headers(stream.number, [(":status", "103")])
            connection.h2.send_headers(stream.number, [(":status", "200"), ("baggage", "x=y")])
            for _ in range(10):
                connection.h2.send_data(stream.number, b"", pad_length=100)
            return True
        self.serve(request)
        self.echoed(MEBIBYTE[:100000])

    def test_takes_an_answer_in_continuation_frames(self):
        def request(connection, stream):
            connection.h2.streams[stream.number].max_outbound_frame_size = 800
            connection.h2.send_headers(stream.number, [(":status", "200"), ("x-long", "y" * 4000)])
            connection.h2.streams[stream.number].max_outbound_frame_size = 16384
            return True
        self.serve(request)
        self.echoed(MEBIBYTE[:100000])

    def test_keeps_within_a_small_window_that_changes_half_way(self):
        def data(connection, stream, block):
            stream.outgoing += block
            if not hasattr(stream, "changed"):
                stream.changed = True
                connection.h2.update_settings({CODES.INITIAL_WINDOW_SIZE: 70000})
        self.serve(on_data=data, settings={CODES.INITIAL_WINDOW_SIZE: 500})
        self.echoed(MEBIBYTE[:300000])

    def test_keeps_to_one_stream_where_the_server_says_so(self):
        server = self.serve(settings={CODES.MAX_CONCURRENT_STREAMS: 1})
        # From then on the limit is known, and h2 ends a connection that goes past it.
        first = self.client.connect(self.peer.address, 8080, timeout=20)
        first.sendall(b"hello 0")
        self.assertEqual(first.recv(100, socket.MSG_PEEK), b"hello 0")
        connections = [first] + [self.client.connect(self.peer.address, 8080, timeout=20) for _ in range(5)]
        for number, connection in enumerate(connections[1:], 1):
            connection.sendall(b"hello %d" % number)
        for number, connection in enumerate(connections):
            self.assertEqual(connection.recv(100), b"hello %d" % number)
        self.assertEqual(len(server.connections), 6)
        self.assertEqual(server.errors, [])
        for connection in connections:
            connection.close()

    def test_keeps_the_servers_direction_open_after_the_applications_end(self):
        def end(connection, stream):
            stream.outgoing += MEBIBYTE
            stream.end_when_sent = True
        self.serve(on_data=lambda *_: None, on_end=end)
        self.assertEqual(sha256(self.exchange(8080, b"a question")), sha256(MEBIBYTE))

    def test_keeps_the_applications_direction_open_after_the_servers_end(self):
        heard = bytearray()

        def request(connection, stream):
            connection.h2.send_headers(stream.number, [(":status", "200")])
            connection.h2.end_stream(stream.number)
            stream.end_sent = True
            return True
        self.serve(request, on_data=lambda connection, stream, data: heard.extend(data))
        with self.client.connect(self.peer.address, 8080) as connection:
            self.assertEqual(connection.recv(10), b"")
            connection.sendall(MEBIBYTE)
            connection.shutdown(socket.SHUT_WR)
            wait_until(lambda: len(heard) == len(MEBIBYTE), 10, "all bytes after the server's end")
        self.assertEqual(sha256(heard), sha256(MEBIBYTE))

    def test_passes_a_reset_on_after_the_bytes_before_it(self):
        def data(connection, stream, block):
            connection.h2.send_data(stream.number, b"last words")
            connection.h2.reset_stream(stream.number, h2.errors.ErrorCodes.CONNECT_ERROR)
        self.serve(on_data=data)
        with self.client.connect(self.peer.address, 8080) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(100), b"last words")
            with self.assertRaises(ConnectionResetError):
                connection.recv(100)

    def test_resets_the_stream_of_an_application_that_resets(self):
        server = self.serve()
        connection = self.client.connect(self.peer.address, 8080)
        connection.sendall(b"x")
        self.assertEqual(connection.recv(10), b"x")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        wait_until(lambda: [stream.reset for tunnel in server.connections for stream in tunnel.streams.values()
                            if stream.reset is not None], 5, "the reset")

    def test_answers_the_servers_pings(self):
        def data(connection, stream, block):
            connection.h2.ping(b"hello***")
            stream.outgoing += block
        server = self.serve(on_data=data)
        self.echoed(MEBIBYTE[:100000])
        acknowledged = [event.ping_data for event in server.connections[0].seen(h2.events.PingAckReceived)]
        self.assertIn(b"hello***", acknowledged)

    def test_open_streams_go_on_after_a_goaway_and_new_ones_use_another_tunnel(self):
        def data(connection, stream, block):
            if not hasattr(connection, "said_goaway"):
                connection.said_goaway = True
                connection.sock.sendall(b"\0\0\x08\x07\0\0\0\0\0" + (2**31 - 1).to_bytes(4, "big") + bytes(4))
            stream.outgoing += block
        server = self.serve(on_data=data)
        with self.client.connect(self.peer.address, 8080, timeout=10) as old:
            old.sendall(b"first")
            self.assertEqual(old.recv(10), b"first")
            self.echoed(MEBIBYTE)
            self.assertGreaterEqual(len(server.connections), 2)
            old.sendall(b"again")
            self.assertEqual(old.recv(10), b"again")

    def test_streams_that_an_error_left_unprocessed_are_made_again(self):
        """The GOAWAY names an error and no stream: nothing was processed."""
        refusals = []

        def request(connection, stream):
            if len(refusals) >= 2:
                return None
            refusals.append(stream.number)
            connection.sock.sendall(b"\0\0\x08\x07\0\0\0\0\0" + bytes(4) + (2).to_bytes(4, "big"))
            return True
        server = self.serve(request)
        self.echoed(MEBIBYTE)
        self.assertEqual(len(server.connections), 3)
        self.assertEqual(len(refusals), 2)

    def test_names_in_the_clients_log_why_the_server_refused(self):
        answers = {8401: ("401", "policy-deny"), 8403: ("403", "loop"), 8400: ("400", "bad-connect-request"),
                   8503: ("503", "connect-failed"), 8504: ("503", "overloaded"), 8505: ("503", "drained")}

        def request(connection, stream):
            port = int(stream.headers[":authority"].rpartition(":")[2])
            status, reason = answers[port]
            connection.h2.send_headers(stream.number, [(":status", status), ("x-byrnie-deny-reason", reason)],
                                       end_stream=True)
            return True
        self.serve(request)
        for port, (status, reason) in answers.items():
            self.assert_fails_fast(self.client, self.peer.address, port)
            record = self.record(port)
            self.assertIn(reason, record["detail"], record)
            self.assertIn(status, record["detail"], record)
            self.assertEqual(record["result"], "denied" if status in ("401", "403") else "failed", record)

    def test_a_hostile_refusal_reaches_the_log_cut_and_escaped(self):
        def request(connection, stream):
            connection.h2.send_headers(stream.number, [(":status", "401"),
                                                       ("x-byrnie-deny-reason", '"}{"log":"access' + "x" * 3000)],
                                       end_stream=True)
            return True
        self.serve(request)
        self.assert_fails_fast(self.client, self.peer.address, 8402)
        record = self.record(8402)
        self.assertEqual(record["result"], "denied")
        self.assertLess(len(record["detail"]), 257)


if __name__ == "__main__":
    sys.exit(main())
