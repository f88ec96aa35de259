#!/usr/bin/python3
"""What is done to the TLS of direct mTLS has a reason of its own, is counted, and never looks like an end to the application.

Proved at the inbound port with a peer that has a certificate of the mesh and whose connection the policies allow: floods of key
updates and of empty records, records in the clear and made up amid the session, a forged end, a TCP end without close_notify
between records and amid one. The application gets what came before and a reset each time; log and metrics name the reason and the
peer. A clean end is still one. The floods of a tunnel are in hostile_tls_test.py.
"""

import os
import queue
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context
from testing.inline_app import InlineApp, receive
from testing.process import wait_until
from testing.tcp import END, RESET, read_to_end
from testing.tls_floods import EmptyRecords, KeyUpdates

ALPN = "istio"
QUESTION, ANSWER = b"question", b"answer"


def in_the_clear(kind, content):
    """A TLS record that nobody has sealed."""
    return bytes([kind]) + b"\x03\x03" + len(content).to_bytes(2, "big") + content


class DirectMtlsAttackTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.server = cls.mesh.pod("server", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.mesh.start()
        cls.peer = cls.mesh.outsider()
        control_plane = cls.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.certificate = authority.issue(cls.client.spiffe_id)
        cls.ends = queue.Queue()
        cls.app = InlineApp(cls.server, 8080, cls.serve)
        cls.app.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.app.__exit__()
        super().tearDownClass()

    @classmethod
    def serve(cls, connection):
        """Answers the first bytes, where they are a question, and tells how the rest ended."""
        try:
            first = connection.recv(len(QUESTION))
        except ConnectionResetError:
            cls.ends.put((b"", RESET))
            return
        if first == QUESTION:
            connection.sendall(ANSWER)
        data, how = read_to_end(connection)
        cls.ends.put((first + data, how))

    def counted(self, result, reason):
        metrics = self.server.metrics()
        return (metrics.get(f'byrnie_proxy_refused_total{{reason="{reason}"}}', 0),
                sum(value for series, value in metrics.items()
                    if series.startswith("byrnie_proxy_connections_closed_total{") and 'direction="inbound"' in series
                    and f'result="{result}"' in series and f'reason="{reason}"' in series))

    def check(self, attack, result, reason, detail, how=RESET):
        """Runs attack(); one connection is counted and logged for it. Returns what the application has got."""
        refused, closed = self.counted(result, reason)
        lines = len(self.server.access_log(direction="inbound", reason=reason))
        attack()
        got, ended = self.ends.get(timeout=10)
        self.assertEqual(ended, how)
        wait_until(lambda: len(self.server.access_log(direction="inbound", reason=reason)) > lines, 5, "one more record")
        records = self.server.access_log(direction="inbound", reason=reason)
        self.assertEqual(len(records) - lines, 1)
        record = records[-1]
        self.assertEqual((record["result"], record["protocol"], record["peer_identity"], record["bytes_sent"]),
                         (result, "mtls", self.client.spiffe_id, len(got)))
        self.assertIn(detail, record.get("detail", ""))
        self.assertEqual(self.counted(result, reason), (refused + (reason != "closed"), closed + 1))
        return got

    def flood(self, attack):
        def run():
            with self.peer.connect(self.server.address, 8080, timeout=None) as raw:
                sent, seconds = attack(raw).run(5)
                self.assertLess(seconds, 2, f"still connected after {sent}")
        return run

    def test_a_flood_of_key_updates_is_named_as_such(self):
        self.check(self.flood(lambda raw: KeyUpdates(raw, self.certificate, ALPN)), "denied", "tls-flood", "key updates")

    def test_a_flood_of_empty_records_is_named_as_such(self):
        for between, detail in ((False, "too many empty fragments"), (True, "records without data")):
            with self.subTest(between=between):
                self.check(self.flood(lambda raw, between=between: EmptyRecords(
                    raw, self.certificate, between, self.mesh.directory, ALPN)), "denied", "tls-flood", detail)

    def interrupted(self, act):
        """A conversation that `act(socket)` does something to, below TLS; afterwards nothing is sent any more."""
        def run():
            with self.peer.connect(self.server.address, 8080) as raw, raw.dup() as wire:
                context = tls_context(False, self.certificate)
                context.set_alpn_protocols([ALPN])
                with context.wrap_socket(raw) as secured:
                    secured.sendall(QUESTION)
                    self.assertEqual(receive(secured, len(ANSWER)), ANSWER)
                    act(wire, secured)
                    # The proxy has ended it before this end does.
                    read_to_end(wire)
        return run

    def test_what_is_not_of_the_session_is_named_as_such(self):
        for name, record in (("data in the clear", in_the_clear(23, b"in the clear, and long enough")),
                             ("a forged end", in_the_clear(21, b"\x01\x00")),
                             ("a forged handshake", in_the_clear(22, b"\x18\x00\x00\x01\x00")),
                             ("made up", in_the_clear(23, os.urandom(100))),
                             ("no TLS at all", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")):
            with self.subTest(record=name):
                attack = self.interrupted(lambda wire, _, record=record: wire.sendall(record))
                self.assertEqual(self.check(attack, "denied", "tls-protocol", "TLS session broken"), QUESTION)

    def test_an_end_without_a_word_is_a_reset_and_named_as_such(self):
        for name, before in (("between records", b""), ("amid a record", in_the_clear(23, os.urandom(100))[:50]),
                             ("amid a header", b"\x17\x03")):
            with self.subTest(end=name):
                def act(wire, _, before=before):
                    wire.sendall(before)
                    wire.shutdown(socket.SHUT_WR)
                attack = self.interrupted(act)
                self.assertEqual(self.check(attack, "failed", "tls-truncated", "without close_notify"), QUESTION)

    def test_a_clean_end_is_still_one(self):
        attack = self.interrupted(lambda _, secured: secured.unwrap())
        self.assertEqual(self.check(attack, "allowed", "closed", "", how=END), QUESTION)


if __name__ == "__main__":
    sys.exit(main())
