#!/usr/bin/python3
"""Who ends first, when, and how late the other answers: every byte and every end arrives.

Proved for {client, server ends first} x {before, amid, after its data} x {answer after 0, 2, 30 s} x {through a tunnel, over
direct mTLS, plaintext to a host outside the mesh, plaintext from outside into a permissive pod}: all bytes of both directions;
each end passed on within 50 ms, not counting how long the proxies and this test were ready to run and had no CPU; the proxies'
descriptors back to where they were.
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
from testing.process import waited_seconds
from testing.ways import Ways

SMALL, BIG = os.urandom(64 << 10), os.urandom(2 << 20)
DELAYS = (0, 2, 30)
FORWARDED = 0.050


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
        ways = cls.ways = Ways(cls.mesh)
        cls.mesh.start()
        ways.listen()
        # And past all proxies, to see that the test itself is fast enough.
        ways.open["direct"] = (ways.outsider.listen(9001),
                               lambda: ways.client.connect(ways.outsider.address, 9001, uid=PROXY_UID))

    @classmethod
    def tearDownClass(cls):
        cls.ways.close()
        super().tearDownClass()

    def pair(self, path):
        near, far = self.ways.pair(path)
        for end in (near, far):
            end.settimeout(45)
        return near, far

    def first_half(self, path, first, when, ending, other):
        """One end speaks and ends; returns seconds from that to its arrival, but for those without a CPU."""
        if when == "before":
            waited = self.waited()
            ended = time.monotonic()
            ending.shutdown(socket.SHUT_WR)
            got = Reader(other)
            wanted = b""
        elif when == "amid":
            moment = []
            sender = threading.Thread(target=lambda: (ending.sendall(BIG), ending.shutdown(socket.SHUT_WR),
                                                      moment.extend((time.monotonic(), self.waited()))))
            sender.start()
            got = Reader(other)
            sender.join()
            wanted, ended, waited = BIG, max(moment[0], got.last), moment[1]
        else:
            ending.sendall(SMALL)
            data = other.recv(len(SMALL), socket.MSG_WAITALL)
            waited = self.waited()
            ended = time.monotonic()
            ending.shutdown(socket.SHUT_WR)
            got = Reader(other)
            got.data[:0] = data
            wanted = SMALL
        if bytes(got.data) != wanted:
            self.wrong.append(f"{path}, {first} ends {when} its data: {len(got.data)} of {len(wanted)} bytes")
        return max(0.0, got.end - ended - (self.waited() - waited))

    def waited(self):
        """Seconds without a CPU up to now of whoever passes an end on or looks at it."""
        return waited_seconds(os.getpid()) + sum(pod.proxy.waited_seconds() for pod in self.ways.pods)

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
        leaks = Leaks(*self.ways.pods)
        self.wrong, taken, threads = [], {path: [] for path in self.ways.open}, []
        # The first halves one after the other, for they are timed; the waits all at once, the longest first.
        for delay in sorted(DELAYS, reverse=True):
            for first in ("client", "server"):
                for when in ("before", "amid", "after"):
                    for path in self.ways.open:
                        near, far = self.pair(path)
                        ending, other = (near, far) if first == "client" else (far, near)
                        taken[path].append(self.first_half(path, first, when, ending, other))
                        name = f"{path}, {first} ends {when} its data, answer after {delay} s"
                        threads.append(threading.Thread(target=self.second_half, args=(name, delay, ending, other)))
                        threads[-1].start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.wrong, [])
        for path, times in taken.items():
            text = f"{path}: median {statistics.median(times) * 1e3:.1f} ms, longest {max(times) * 1e3:.1f} ms"
            print(text, flush=True)
            self.assertEqual(len(times), 18)
            self.assertLess(max(times), FORWARDED, text)
        leaks.check()


if __name__ == "__main__":
    sys.exit(main())
