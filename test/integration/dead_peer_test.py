#!/usr/bin/python3
"""A peer that vanished is noticed, one that is only slow is waited for.

Proved: when a host's link goes down without a word, connections to it end within 40 s at the application, idle ones and ones
with data under way, through a tunnel and in plaintext to a host outside the mesh; a reader that stops for longer than that loses
nothing.
"""

import hashlib
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

PAUSE = 42
NOTICED = 40


class DeadPeerTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.gone = cls.mesh.pod("gone")
        cls.mesh.start()
        cls.outsider = cls.mesh.outsider()

    def pair_through(self, listener, address, port):
        """A connection of the client's application and what the other side accepted, both used once."""
        connection = self.client.connect(address, port, timeout=10)
        connection.sendall(b"x")
        accepted, _ = listener.accept()
        accepted.settimeout(10)
        self.assertEqual(accepted.recv(1), b"x")
        return connection, accepted

    def test_the_dead_are_noticed_and_the_slow_are_waited_for(self):
        # The slow reader: the client writes until everything between them is full, and the server reads nothing.
        slow_listener = self.server.listen(8080)
        slow, reader = self.pair_through(slow_listener, self.mesh.vip, 80)
        block = os.urandom(1024 * 1024)
        digest, sent = hashlib.sha256(), 0
        slow.settimeout(1)
        try:
            while True:
                count = slow.send(block)
                digest.update(block[:count])
                sent += count
        except TimeoutError:
            pass
        self.assertGreater(sent, 0)

        # The dead: two connections each to a pod and to a host outside the mesh, whose links then go down.
        in_mesh, outside = self.gone.listen(9000), self.outsider.listen(9000)
        dying = {}
        for name, listener, address in (("tunnel", in_mesh, self.gone.address), ("plaintext", outside, self.outsider.address)):
            dying[f"{name}, idle"] = self.pair_through(listener, address, 9000)
            dying[f"{name}, sending"] = self.pair_through(listener, address, 9000)
        for host in (self.gone.host, self.outsider):
            host.run("ip", "link", "set", "eth0", "down")
        started = time.monotonic()
        for name, (connection, _) in dying.items():
            connection.settimeout(NOTICED + 5)
            if name.endswith("sending"):
                connection.sendall(b"y" * 4096)
        for name, (connection, _) in dying.items():
            try:
                self.assertEqual(connection.recv(1), b"", name)
            except TimeoutError:
                self.fail(f"{name}: nothing noticed within {NOTICED + 5} s")
            except OSError:
                pass
            self.assertLess(time.monotonic() - started, NOTICED, name)

        # The slow one reads again.
        time.sleep(max(0.0, PAUSE - (time.monotonic() - started)))
        reader.settimeout(10)
        received = hashlib.sha256()
        got = 0
        slow.shutdown(socket.SHUT_WR)
        while data := reader.recv(1 << 20):
            received.update(data)
            got += len(data)
        self.assertEqual(got, sent)
        self.assertEqual(received.hexdigest(), digest.hexdigest())


if __name__ == "__main__":
    sys.exit(main())
