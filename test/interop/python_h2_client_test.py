#!/usr/bin/python3
"""Python's h2 opens tunnels to our proxy: bytes, ends, resets, PINGs, SETTINGS and every shape of frame are understood.

Proved with an HTTP/2 implementation that is not the proxy's, over OpenSSL with an SVID of the mesh: a mebibyte each way with
equal checksums, also in one-byte and padded frames; both half-closes; a reset that reaches the application as one and no
other stream; PINGs answered; a window made small and large again half way; headers in CONTINUATION frames; GOAWAY from the
peer; and the answers 400, 401, 403 and 503, each with its reason.
"""

import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h2.errors
import h2.events
import h2.settings

from case import MEBIBYTE, InteropTestCase, sha256
from h2_peer import dial
from testing.case import main
from testing.process import wait_until

DENY_REASON = "x-byrnie-deny-reason"


class PythonH2ClientTest(InteropTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", "8080")
        cls.server.app("sink", "8081")
        cls.server.app("source", "8082", str(len(MEBIBYTE)))

    def setUp(self):
        self.tunnel = dial(self.peer, self.server.address, self.certificate)
        self.addCleanup(self.tunnel.close)

    def open(self, port, address=None, headers=()):
        stream = self.tunnel.connect(f"{address or self.server.address}:{port}", headers)
        self.tunnel.pump(lambda: stream.status)
        self.assertEqual(stream.status, "200", stream.headers)
        return stream

    def echo(self, stream, data, deadline=30):
        stream.outgoing += data
        stream.end_when_sent = True
        self.tunnel.pump(lambda: stream.ended or stream.reset is not None, deadline)
        self.assertIsNone(stream.reset)
        self.assertEqual(sha256(stream.received), sha256(data))

    def test_carries_a_mebibyte_each_way_and_both_ends(self):
        self.echo(self.open(8080), MEBIBYTE)

    def test_carries_several_streams_at_once(self):
        streams = [self.open(8080) for _ in range(8)]
        for number, stream in enumerate(streams):
            stream.outgoing += MEBIBYTE[number:] + MEBIBYTE[:number]
            stream.end_when_sent = True
        self.tunnel.pump(lambda: all(stream.ended for stream in streams), 30)
        for number, stream in enumerate(streams):
            self.assertEqual(sha256(stream.received), sha256(MEBIBYTE[number:] + MEBIBYTE[:number]))

    def test_takes_frames_of_one_byte(self):
        stream = self.open(8080)
        stream.chunk = 1
        self.echo(stream, MEBIBYTE[:4000])

    def test_takes_padded_frames_and_gives_their_window_back(self):
        stream = self.open(8080)
        # More padding than data: the window would be used up many times over.
        stream.chunk, stream.padding = 100, 200
        self.echo(stream, MEBIBYTE[:200000])

    def test_takes_headers_in_continuation_frames(self):
        self.tunnel.h2.max_outbound_frame_size = 400
        stream = self.tunnel.connect(f"{self.server.address}:8080",
                                     [("baggage", "k8s.pod.name=peer," + "x=y," * 500)])
        self.tunnel.h2.max_outbound_frame_size = 16384
        self.tunnel.pump(lambda: stream.status)
        self.assertEqual(stream.status, "200")
        self.echo(stream, MEBIBYTE[:10000])

    def test_keeps_the_applications_half_close_open(self):
        stream = self.open(8081)
        stream.outgoing += MEBIBYTE
        stream.end_when_sent = True
        self.tunnel.pump(lambda: stream.ended, 30)
        answer = json.loads(bytes(stream.received))
        self.assertEqual((answer["bytes"], answer["sha256"]), (len(MEBIBYTE), sha256(MEBIBYTE)))

    def test_keeps_the_peers_direction_open_after_the_applications_end(self):
        stream = self.open(8082)
        self.tunnel.pump(lambda: stream.ended, 30)
        self.assertEqual(len(stream.received), len(MEBIBYTE))
        stream.outgoing += b"still here"
        stream.end_when_sent = True
        self.tunnel.pump(lambda: stream.end_sent)

    def test_passes_a_reset_on_and_leaves_other_streams_alone(self):
        listener = self.server.listen(8083)
        self.addCleanup(listener.close)
        bystander = self.open(8080)
        stream = self.open(8083)
        app, _ = listener.accept()
        with app:
            stream.outgoing += b"before the reset"
            self.tunnel.pump(lambda: not stream.outgoing)
            self.assertEqual(app.recv(100), b"before the reset")
            self.tunnel.h2.reset_stream(stream.number, h2.errors.ErrorCodes.CANCEL)
            self.tunnel.flush()
            app.settimeout(5)
            with self.assertRaises(ConnectionResetError):
                app.recv(100)
        self.echo(bystander, MEBIBYTE[:100000])

    def test_resets_the_stream_of_an_application_that_resets(self):
        listener = self.server.listen(8084)
        self.addCleanup(listener.close)
        stream = self.open(8084)
        app, _ = listener.accept()
        app.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        app.close()
        self.tunnel.pump(lambda: stream.reset is not None)
        self.assertEqual(stream.reset, h2.errors.ErrorCodes.CONNECT_ERROR)

    def test_answers_pings_while_bytes_flow(self):
        stream = self.open(8080)
        stream.outgoing += MEBIBYTE
        stream.end_when_sent = True
        for number in range(20):
            payload = b"ping%04d" % number
            self.tunnel.h2.ping(payload)
            self.tunnel.pump(lambda: any(event.ping_data == payload
                                         for event in self.tunnel.seen(h2.events.PingAckReceived)), 5)
        self.tunnel.pump(lambda: stream.ended, 30)
        self.assertEqual(sha256(stream.received), sha256(MEBIBYTE))

    def test_follows_settings_that_change_half_way(self):
        codes = h2.settings.SettingCodes
        stream = self.open(8080)
        stream.outgoing += MEBIBYTE
        stream.end_when_sent = True
        for settings in ({codes.INITIAL_WINDOW_SIZE: 1000}, {codes.HEADER_TABLE_SIZE: 0},
                         {codes.INITIAL_WINDOW_SIZE: 0, codes.MAX_FRAME_SIZE: 1 << 20},
                         {codes.INITIAL_WINDOW_SIZE: 1 << 20, codes.HEADER_TABLE_SIZE: 4096}):
            acknowledged = len(self.tunnel.seen(h2.events.SettingsAcknowledged))
            self.tunnel.h2.update_settings(settings)
            self.tunnel.pump(lambda: len(self.tunnel.seen(h2.events.SettingsAcknowledged)) > acknowledged, 5)
        self.tunnel.pump(lambda: stream.ended, 30)
        self.assertEqual(sha256(stream.received), sha256(MEBIBYTE))
        self.echo(self.open(8080), MEBIBYTE[:1000])

    def test_a_peer_that_does_not_read_stops_its_writer_alone(self):
        slow = self.open(8080)
        slow.reading = False
        slow.outgoing += MEBIBYTE
        slow.end_when_sent = True
        self.echo(self.open(8080), MEBIBYTE)
        self.assertFalse(slow.ended)
        self.assertLessEqual(len(slow.received), 65535)
        self.tunnel.release(slow)
        self.tunnel.pump(lambda: slow.ended, 30)
        self.assertEqual(sha256(slow.received), sha256(MEBIBYTE))

    def test_carries_open_streams_on_after_the_peers_goaway(self):
        stream = self.open(8080)
        # Sent by hand: h2 takes itself for closed after it.
        self.tunnel.sock.sendall(b"\0\0\x08\x07\0\0\0\0\0" + bytes(8))
        self.echo(stream, MEBIBYTE)

    def refused(self, authority, method="CONNECT"):
        stream = self.tunnel.connect(authority, method=method)
        self.tunnel.pump(lambda: stream.status)
        return stream.status, stream.headers.get(DENY_REASON)

    def test_answers_400_to_what_is_no_connect_to_this_pod(self):
        self.assertEqual(self.refused(f"{self.server.address}:8080", "GET")[0], "400")
        for authority in (f"{self.client.address}:8080", "server.demo:8080", f"{self.server.address}:0", "nonsense",
                          f"{self.server.address}:8080@{self.server.address}:8081"):
            self.assertEqual(self.refused(authority), ("400", "bad-connect-request"), authority)

    def test_answers_403_to_the_sidecars_private_ports(self):
        for port in (15000, 15001, 15006, 15008, 15010):
            self.assertEqual(self.refused(f"{self.server.address}:{port}"), ("403", "loop"))

    def test_answers_503_when_the_application_does_not_listen(self):
        self.assertEqual(self.refused(f"{self.server.address}:8099"), ("503", "connect-failed"))

    def test_answers_401_to_whom_a_policy_denies(self):
        registry = self.mesh.registry
        registry.policy("no-peer", "DENY", principals=[{"exact": self.peer_id.removeprefix("spiffe://")}])
        registry.write()
        try:
            answer = wait_until(lambda: (seen := self.refused(f"{self.server.address}:8080"))[0] != "200" and seen, 10,
                                "the policy", every=0.2)
            self.assertEqual(answer, ("401", "policy-deny"))
        finally:
            registry.policies = []
            registry.write()
            wait_until(lambda: self.refused(f"{self.server.address}:8080")[0] == "200", 10, "the policy's end",
                       every=0.2)

    def test_a_policy_resets_an_open_stream_of_its_port_and_no_other(self):
        registry = self.mesh.registry
        denied, kept = self.open(8081), self.open(8080)
        registry.policy("no-8081", "DENY", principals=[{"exact": self.peer_id.removeprefix("spiffe://")}],
                        destination_ports=[8081])
        registry.write()
        try:
            self.tunnel.pump(lambda: denied.reset is not None, 10)
            # To whoever does not know the number an error like any other.
            self.assertEqual(denied.reset, 0x62797201)
            self.echo(kept, MEBIBYTE[:100000])
        finally:
            registry.policies = []
            registry.write()
            wait_until(lambda: self.refused(f"{self.server.address}:8081")[0] == "200", 10, "the policy's end",
                       every=0.2)

    def test_hostile_headers_never_reach_the_log_as_they_are(self):
        stream = self.tunnel.connect(
            f"{self.server.address}:8080",
            [("baggage", 'k8s.pod.name=evil"}{,k8s.namespace.name=%0a%00'), ("forwarded", 'for="\u00e9\\"";host="<b>"'),
             ("traceparent", "00-" + "f" * 32 + "-zzz")])
        self.tunnel.pump(lambda: stream.status)
        self.echo(stream, b"hello")
        record = self.server.wait_access_log(direction="inbound", bytes_sent=5)[-1]
        self.assertEqual(record["result"], "allowed")
        self.assertNotIn("evil", json.dumps(record))


if __name__ == "__main__":
    sys.exit(main())
