#!/usr/bin/python3
"""A reader that does not read stops the sender; nothing is piled up in between.

Proved: with a stalled reader the sender blocks after what the buffers of the kernels hold, both proxies' memory stays
bounded, other connections of the same tunnel flow, and once the reader reads every byte arrives intact.
"""

import hashlib
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.sanitized import measured

TOTAL = 96 << 20
BLOCK = os.urandom(1 << 20)


class BackpressureTest(MeshTestCase):

    def fill(self, connection, digest, left):
        """Sends until nothing has moved for a second; returns what was taken."""
        connection.setblocking(False)
        sent, stuck = 0, None
        while sent < left:
            piece = memoryview(BLOCK)[sent % len(BLOCK):]
            try:
                taken = connection.send(piece)
                digest.update(piece[:taken])
                sent, stuck = sent + taken, None
            except BlockingIOError:
                stuck = stuck or time.monotonic()
                if time.monotonic() - stuck > 1:
                    break
                time.sleep(0.005)
        connection.settimeout(30)
        return sent

    def check(self, sender, receiver):
        proxies = (self.client.proxy, self.server.proxy)
        before = [proxy.memory_kib() for proxy in proxies]
        digest = hashlib.sha256()
        sent = self.fill(sender, digest, TOTAL)
        self.assertLess(sent, TOTAL // 2, "the sender never blocked")
        for proxy, kib in zip(proxies, before):
            with measured():
                self.assertLess(proxy.memory_kib() - kib, 8 * 1024, f"KiB more in {proxy.name} while the reader stalls")
        # The stall is that connection's alone.
        self.assertEqual(self.ask(self.client, self.server.address, 8081), b"ping\n")

        def send_rest():
            at = sent
            while at < TOTAL:
                piece = memoryview(BLOCK)[at % len(BLOCK):][:TOTAL - at]
                sender.sendall(piece)
                digest.update(piece)
                at += len(piece)
            sender.shutdown(1)

        rest = threading.Thread(target=send_rest)
        rest.start()
        received, arrived = hashlib.sha256(), 0
        while block := receiver.recv(1 << 18):
            received.update(block)
            arrived += len(block)
        rest.join()
        self.assertEqual(arrived, TOTAL)
        self.assertEqual(received.hexdigest(), digest.hexdigest())

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8081)

    def setUp(self):
        self.listener = self.server.listen(8080)
        self.near = self.client.connect(self.mesh.vip, 80)
        self.near.sendall(b"?")
        self.far, _ = self.listener.accept()
        self.far.settimeout(30)
        self.far.recv(1)

    def tearDown(self):
        for made in (self.near, self.far, self.listener):
            made.close()

    def test_a_server_that_does_not_read_stops_the_client(self):
        self.check(self.near, self.far)

    def test_a_client_that_does_not_read_stops_the_server(self):
        self.check(self.far, self.near)


if __name__ == "__main__":
    sys.exit(main())
