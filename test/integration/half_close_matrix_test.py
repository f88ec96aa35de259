#!/usr/bin/python3
"""Who ends first, when, and how late the other answers: every byte and every end arrives.

Proved for {client, server ends first} x {before, amid, after its data} x {answer after 0, 2, 30 s} x {through a tunnel, over
direct mTLS, plaintext to a host outside the mesh, plaintext from outside into a permissive pod}: all bytes of both directions; an end passed on within
50 ms more than the slowest of direct connections in the same run, where one that took longer is tried three times, for a busy
machine does not hold the same one up each time; the proxies' descriptors back to where they were.
"""

import os
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.mesh import PROXY_UID

SMALL, BIG = os.urandom(64 << 10), os.urandom(2 << 20)
DELAYS = (0, 2, 30)
FORWARDED = 0.050
PATHS = ("direct", "tunnel", "mTLS", "plaintext out", "plaintext in")


class Reader:
    """Reads to the end and knows when the last byte and the end came."""

    def __init__(self, connection):
        self.data, self.last, self.end = bytearray(), 0.0, 0.0
        while block := connection.recv(1 << 18):
            self.last = time.monotonic()
            self.data += block
        self.end = time.monotonic()


class HalfCloseMatrixTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.plain_mtls = cls.mesh.pod("mtls", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()
        cls.makers = {
            "direct": (cls.outsider.listen(9000), lambda: cls.client.connect(cls.outsider.address, 9000, uid=PROXY_UID)),
            "tunnel": (cls.server.listen(8080), lambda: cls.client.connect(cls.mesh.vip, 80)),
            "mTLS": (cls.plain_mtls.listen(8080), lambda: cls.client.connect(cls.plain_mtls.address, 8080)),
            "plaintext out": (cls.outsider.listen(9001), lambda: cls.client.connect(cls.outsider.address, 9001)),
            "plaintext in": (cls.server.listen(8081), lambda: cls.outsider.connect(cls.server.address, 8081)),
        }

    def pair(self, path):
        listener, connect = self.makers[path]
        near = connect()
        far, _ = listener.accept()
        for end in (near, far):
            end.settimeout(45)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far

    def first_half(self, path, first, when, ending, other):
        """One end speaks and ends; returns seconds from that to its arrival."""
        if when == "before":
            ended = time.monotonic()
            ending.shutdown(socket.SHUT_WR)
            got = Reader(other)
            wanted = b""
        elif when == "amid":
            moment = []
            sender = threading.Thread(target=lambda: (ending.sendall(BIG), ending.shutdown(socket.SHUT_WR),
                                                      moment.append(time.monotonic())))
            sender.start()
            got = Reader(other)
            sender.join()
            wanted, ended = BIG, max(moment[0], got.last)
        else:
            ending.sendall(SMALL)
            data = other.recv(len(SMALL), socket.MSG_WAITALL)
            ended = time.monotonic()
            ending.shutdown(socket.SHUT_WR)
            got = Reader(other)
            got.data[:0] = data
            wanted = SMALL
        if bytes(got.data) != wanted:
            self.wrong.append(f"{path}, {first} ends {when} its data: {len(got.data)} of {len(wanted)} bytes")
        return max(0.0, got.end - ended)

    def second_half(self, name, delay, ending, other):
        try:
            time.sleep(delay)
            sender = threading.Thread(target=lambda: (other.sendall(SMALL), other.shutdown(socket.SHUT_WR)))
            sender.start()
            got = Reader(ending)
            sender.join()
            if bytes(got.data) != SMALL:
                self.wrong.append(f"{name}: {len(got.data)} of {len(SMALL)} bytes of the answer")
        except OSError as error:
            self.wrong.append(f"{name}: {error!r} instead of the answer")
        finally:
            ending.close()
            other.close()

    def test_every_byte_and_every_end_arrives(self):
        for path in PATHS:  # The tunnels are there, and what there is only once.
            for end in self.pair(path):
                end.close()
        leaks = Leaks(self.client, self.server, self.plain_mtls)
        self.wrong, taken, threads = [], {path: [] for path in PATHS}, []
        # The first halves one after the other, for they are timed; the waits all at once, the longest first.
        for delay in sorted(DELAYS, reverse=True):
            for first in ("client", "server"):
                for when in ("before", "amid", "after"):
                    for path in PATHS:
                        for _ in range(3):
                            near, far = self.pair(path)
                            ending, other = (near, far) if first == "client" else (far, near)
                            seconds = self.first_half(path, first, when, ending, other)
                            if seconds <= FORWARDED:
                                break
                        taken[path].append(seconds)
                        name = f"{path}, {first} ends {when} its data, answer after {delay} s"
                        threads.append(threading.Thread(target=self.second_half, args=(name, delay, ending, other)))
                        threads[-1].start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.wrong, [])
        direct = taken.pop("direct")
        for path, times in taken.items():
            text = f"{path}: median {statistics.median(times) * 1e3:.1f} ms, longest {max(times) * 1e3:.1f} ms"
            print(f"{text}; direct {statistics.median(direct) * 1e3:.1f}, {max(direct) * 1e3:.1f} ms", flush=True)
            self.assertEqual(len(times), 18)
            self.assertLess(statistics.median(times), FORWARDED + statistics.median(direct), text)
            # Each one, but for what this machine takes away from a direct connection too.
            self.assertLess(max(times), FORWARDED + max(direct), text)
        leaks.check()


if __name__ == "__main__":
    sys.exit(main())
