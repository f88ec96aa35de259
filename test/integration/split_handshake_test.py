#!/usr/bin/python3
"""A TLS handshake that stops anywhere, or comes in the smallest pieces there are, holds nothing up and costs next to nothing.

Proved on a proxy's tunnel port with a peer that proves who it is: cut after each byte of either of its flights, by an end, by a
reset and by an alert, the connection is over at once; all of these prefixes at the same time, with nothing behind them, take less
than 5 % of a core and are over with the handshake's deadline; a flight in records of one byte, and one that comes a byte at a
time, is a handshake like any other; what cannot be at a step of it draws the alert of RFC 8446 for that. Nothing is left behind.
"""

import os
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context
from testing.leaks import Leaks
from testing.process import wait_until
from testing.tcp import TIMEOUT, read_to_end, reset

HANDSHAKE_TIMEOUT = 5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
ALERT, HANDSHAKE = 21, 22
UNEXPECTED_MESSAGE, RECORD_OVERFLOW, DECODE_ERROR, PROTOCOL_VERSION, NO_APPLICATION_PROTOCOL = 10, 22, 50, 70, 120
# A user that goes away: user_canceled, then nothing.
GIVES_UP = b"\x15\x03\x03\x00\x02\x02\x5a"


def record(content, kind=HANDSHAKE):
    return bytes([kind]) + b"\x03\x01" + struct.pack(">H", len(content)) + content


class Peer:
    """The TLS of a client whose bytes the test moves."""

    def __init__(self, context):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing)
        self.first = self._step()

    def _step(self):
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def second(self, connection):
        """Its second flight, once the server's, which is read from the connection, is whole."""
        while True:
            block = connection.recv(65536)
            if not block:
                raise ConnectionError("no whole flight of the server's")
            self._incoming.write(block)
            if flight := self._step():
                return flight

    def talk(self, connection):
        """The type of the first HTTP/2 frame that answers a client's preface."""
        self._session.write(PREFACE)
        connection.sendall(self._outgoing.read())
        answer = b""
        while len(answer) < 9:
            block = connection.recv(65536)
            if not block:
                raise ConnectionError("closed")
            self._incoming.write(block)
            try:
                answer += self._session.read(4096)
            except ssl.SSLWantReadError:
                pass
        return answer[3]


class SplitHandshakeTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.server = cls.mesh.pod("server")
        # One address is all of these peers.
        cls.server.extra_proxy_flags = ["--max_handshakes=4096"]
        cls.mesh.start()
        cls.host = cls.mesh.outsider()
        control_plane = cls.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.context = tls_context(False, authority.issue(cls.server.spiffe_id))
        with cls.connect() as connection:
            peer = Peer(cls.context)
            connection.sendall(peer.first)
            cls.sizes = len(peer.first), len(peer.second(connection))

    def setUp(self):
        self.leaks = Leaks(self.server)

    @classmethod
    def connect(cls):
        return cls.host.connect(cls.server.address, 15008)

    def stop_at(self, flight, size):
        """A connection that has got `size` bytes of the peer's first or second flight, and nothing more."""
        connection, peer = self.connect(), Peer(self.context)
        if flight == 0:
            connection.sendall(peer.first[:size])
        else:
            connection.sendall(peer.first)
            # Its length is another one each time: that of the signature in it is.
            second = peer.second(connection)
            connection.sendall(second[:min(size, len(second) - 1)])
        return connection

    def assert_nothing_left(self):
        wait_until(lambda: self.server.metrics()["byrnie_proxy_handshakes_open"] == 0, 2, "the end of all handshakes")
        self.leaks.check()

    def test_each_prefix_ends_with_the_connection(self):
        longest = 0
        for flight, whole in enumerate(self.sizes):
            for size in range(whole):
                with self.stop_at(flight, size) as connection:
                    way = size % 3
                    if way == 2:
                        reset(connection)
                        continue
                    started = time.monotonic()
                    if way == 0:
                        connection.shutdown(1)
                    else:
                        # In a flight's middle it is a part of what it stands in, and with the end after it a truncation.
                        connection.sendall(GIVES_UP)
                        connection.shutdown(1)
                    _, how = read_to_end(connection, HANDSHAKE_TIMEOUT - 1)
                    longest = max(longest, time.monotonic() - started)
                    self.assertNotEqual(how, TIMEOUT, f"flight {flight}, {size} bytes")
        print(f"{sum(self.sizes)} prefixes, the last to end took {longest * 1e3:.1f} ms", flush=True)
        self.assertLess(longest, 1.0)
        self.assert_nothing_left()

    def test_all_prefixes_at_once_cost_nothing_until_the_deadline(self):
        held, lock = [], threading.Lock()
        proxy = self.server.proxy
        started = time.monotonic()
        for flight, whole in enumerate(self.sizes):
            for size in range(1, whole, 4):
                held.append((self.stop_at(flight, size), time.monotonic()))
        print(f"{len(held)} connections stand still, made in {time.monotonic() - started:.1f} s", flush=True)
        begun, spent = time.monotonic(), proxy.cpu_seconds()
        time.sleep(1.5)
        share = (proxy.cpu_seconds() - spent) / (time.monotonic() - begun)
        print(f"{share * 100:.2f} % of a core", flush=True)
        self.assertLess(share, 0.05)
        late = []

        def wait_for(connection, since):
            how = read_to_end(connection, HANDSHAKE_TIMEOUT + 2)[1]
            with lock:
                if how == TIMEOUT or time.monotonic() - since > HANDSHAKE_TIMEOUT + 1:
                    late.append((how, time.monotonic() - since))
            connection.close()
        threads = [threading.Thread(target=wait_for, args=each) for each in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(late, [])
        self.assert_nothing_left()

    def test_the_smallest_pieces_are_a_handshake(self):
        for name, pieces in (("records of one byte", lambda hello: [b"".join(record(hello[i:i + 1]) for i in range(5, len(hello)))]),
                             ("a byte at a time", lambda hello: [hello[i:i + 1] for i in range(len(hello))])):
            with self.subTest(pieces=name), self.connect() as connection:
                peer = Peer(self.context)
                for piece in pieces(peer.first):
                    connection.sendall(piece)
                second = peer.second(connection)
                for at in range(len(second)):
                    connection.sendall(second[at:at + 1])
                self.assertEqual(peer.talk(connection), 4)  # SETTINGS
        self.assert_nothing_left()

    def test_what_cannot_be_draws_its_alert(self):
        hello = Peer(self.context).first
        body = hello[5:]
        other = tls_context(False)
        other.set_alpn_protocols(["http/1.1"])
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        old.set_alpn_protocols(["h2"])
        for name, data, expected in (
                ("application data first", record(b"x" * 16, 23), UNEXPECTED_MESSAGE),
                ("a ServerHello", record(b"\2" + body[1:]), UNEXPECTED_MESSAGE),
                ("a Finished", record(b"\x14\0\0\x20" + b"f" * 32), UNEXPECTED_MESSAGE),
                ("a record that is too long", b"\x16\x03\x01\x50\x00" + b"x" * 0x5000, RECORD_OVERFLOW),
                ("a hello without an end", record(b"\1\0\0\x10" + body[4:20]), DECODE_ERROR),
                ("ALPN of somebody else", Peer(other).first, NO_APPLICATION_PROTOCOL),
                ("TLS 1.2", Peer(old).first, PROTOCOL_VERSION)):
            with self.subTest(what=name), self.connect() as connection:
                connection.sendall(data)
                answer, how = read_to_end(connection, HANDSHAKE_TIMEOUT - 1)
                self.assertNotEqual(how, TIMEOUT)
                self.assertEqual((answer[0], answer[5:7]), (ALERT, bytes([2, expected])), answer)
        self.assert_nothing_left()


if __name__ == "__main__":
    sys.exit(main())
