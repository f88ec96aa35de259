#!/usr/bin/python3
"""A peer that vanished is noticed, one that is only slow is waited for.

Proved: when every packet to and from a host is dropped without a word, all of 500 connections to it end within 40 s at the
application, idle ones and ones with data under way, half of them through tunnels and half in plaintext to a host outside the mesh,
and neither proxy holds a descriptor of them any more; a reader that stops for longer than that loses nothing.
"""

import hashlib
import os
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

OPEN_INBOUND = 'byrnie_proxy_connections_open{direction="inbound"}'
PAUSE = 42
NOTICED = 40
CONNECTIONS = 500


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

    @staticmethod
    def sockets(pod):
        """Descriptors of its proxy, but for the one that is kept for each tunnel."""
        metrics = pod.metrics()
        return pod.proxy.descriptors() - sum(value for name, value in metrics.items()
                                             if name.startswith("byrnie_proxy_tunnels_open"))

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

        # The dead: connections to a pod and to a host outside the mesh, all of whose packets are then dropped.
        in_mesh, outside = self.gone.listen(9000), self.outsider.listen(9000)
        warm = [self.pair_through(in_mesh, self.gone.address, 9000) for _ in range(60)]
        for end in sum(warm, ()):
            end.close()
        wait_until(lambda: self.gone.metrics()[OPEN_INBOUND] == 0, 10, "the end of the first connections")
        before = {pod: self.sockets(pod) for pod in (self.client, self.gone)}
        dying = []
        for number in range(CONNECTIONS // 2):
            for listener, address in ((in_mesh, self.gone.address), (outside, self.outsider.address)):
                dying.append((number % 2 == 0, *self.pair_through(listener, address, 9000)))
        for host in (self.gone.host, self.outsider):
            host.run("nft", "-f", "-", stdin="".join(
                f"table inet gone {{\n chain {hook} {{\n type filter hook {hook} priority -300;\n {interface} eth0 drop\n }}\n}}\n"
                for hook, interface in (("output", "oifname"), ("input", "iifname"))))
        started = time.monotonic()
        for sending, connection, _ in dying:
            if sending:
                connection.sendall(b"y" * 4096)
        selector = selectors.DefaultSelector()
        for number, (_, connection, _) in enumerate(dying):
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, number)
        latest = 0.0
        while selector.get_map():
            self.assertLess(time.monotonic() - started, NOTICED,
                            f"{len(selector.get_map())} of {CONNECTIONS} connections to a dead host are still open")
            for key, _ in selector.select(0.2):
                selector.unregister(key.fileobj)
                latest = time.monotonic() - started
                with self.assertRaises(OSError, msg="a clean end"):
                    if not key.fileobj.recv(1):
                        self.fail("a clean end of a connection to a dead host")
        print(f"{CONNECTIONS} connections to dead hosts ended, the last after {latest:.1f} s", flush=True)
        for _, connection, accepted in dying:
            connection.close()
        for pod in (self.client, self.gone):
            wait_until(lambda pod=pod: self.sockets(pod) <= before[pod], NOTICED - (time.monotonic() - started) + 2,
                       f"the end of the sockets of {pod.name}'s proxy, of which there were {before[pod]} before")
        for _, _, accepted in dying:
            accepted.close()

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
