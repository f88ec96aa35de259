#!/usr/bin/python3
"""A packet that connection tracking calls invalid does not reset a healthy connection, in either mode of the redirect.

Proved by forging segments far outside the window of an open connection to the pod, over IPv4 and IPv6: no reset leaves the
pod and the connection goes on. The counter-proof: with the rules that drop them, and what answers them, taken out, the same segments draw resets.
"""

import os
import random
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh, PROXY_UID

RESETS = "(ip and tcp[tcpflags] & tcp-rst != 0) or (ip6 and ip6[53] & 4 != 0)"
ACK = 0x10
FORGED = 50


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source, destination, payload):
    """A TCP segment with random sequence numbers, from and to the addresses of sockets."""
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    header = struct.pack(">HHIIBBHHH", source[1], destination[1], random.getrandbits(32), random.getrandbits(32), 5 << 4, ACK,
                         1000, 0, 0)
    ends = socket.inet_pton(family, source[0]) + socket.inet_pton(family, destination[0])
    length = len(header) + len(payload)
    pseudo = ends + (struct.pack(">IHBB", length, 0, 0, 6) if family == socket.AF_INET6 else struct.pack(">BBH", 0, 6, length))
    return header[:16] + struct.pack(">H", checksum(pseudo + header + payload)) + header[18:] + payload


class RedirectInvalidTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.pod, cls.peer = cls.mesh.outsider("pod"), cls.mesh.outsider("peer")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def forge(self, connection):
        source, destination = connection.getsockname()[:2], connection.getpeername()[:2]
        family = connection.family
        with self.peer.entered(uid=0):
            raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        with raw:
            raw.bind((source[0], 0))
            for _ in range(FORGED):
                raw.sendto(segment(source, destination, b"forged"), (destination[0], 0))

    def resets_drawn(self, v6):
        """Resets seen while segments are forged into an open connection that must go on."""
        with self.listener() as listener:
            with self.peer.connect(self.pod.address6 if v6 else self.pod.address, 8080) as connection:
                with self.pod.accept(listener, PROXY_UID) as accepted:
                    connection.sendall(b"before")
                    self.assertEqual(accepted.recv(100), b"before")
                    capture = self.mesh.capture(self.pod, RESETS)
                    self.forge(connection)
                    time.sleep(0.2)
                    resets = len(list(capture.stop().packets()))
                    for _ in range(3):
                        connection.sendall(b"after")
                        self.assertEqual(accepted.recv(100), b"after")
                        accepted.sendall(b"and back")
                        self.assertEqual(connection.recv(100), b"and back")
        return resets

    def listener(self):
        """In the proxy's place."""
        made = self.pod.socket(socket.AF_INET6, PROXY_UID)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(5)
        made.bind(("::", 15006))
        made.listen()
        return made

    def test_invalid_segments_draw_no_reset(self):
        for mode in ("redirect", "tproxy"):
            for v6 in (False, True):
                with self.subTest(mode=mode, v6=v6):
                    self.pod.run(self.mesh.binary("byrnie-redirect"), "apply", f"--mode={mode}")
                    self.assertEqual(self.resets_drawn(v6), 0)

    def test_the_same_segments_draw_resets_where_they_are_let_in(self):
        self.pod.run(self.mesh.binary("byrnie-redirect"), "apply")
        for chain in ("inbound_guard", "outbound_guard"):
            self.pod.run("nft", "insert", "rule", "inet", "byrnie", chain, "ct", "state", "invalid", "accept")
        for v6 in (False, True):
            with self.subTest(v6=v6):
                self.assertGreater(self.resets_drawn(v6), FORGED // 2)


if __name__ == "__main__":
    sys.exit(main())
