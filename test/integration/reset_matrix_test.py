#!/usr/bin/python3
"""A reset in any state of a connection arrives as a reset, after all bytes before it, and leaves nothing behind.

Proved 20 times each, for a reset by the client's application and by the server's: before the destination is known, while the
tunnel connects, amid its TLS handshake, before CONNECT is answered, before the first byte, amid the request, amid the response,
after the client's end, after the server's end, with a reader that stands still, while a proxy drains, and while certificates
rotate; those of open connections also over direct mTLS, for plaintext to a host outside the mesh and from there into a permissive pod. The other application sees ECONNRESET, never an end; what the first proxy's kernel had taken arrives; the
proxies' descriptors and gauges are back to where they were.
"""

import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.leaks import Leaks
from testing.process import wait_until
from testing.tcp import (RESET, broken_after_end, fill, read_to_end, reset, unacknowledged,
                         wait_acknowledged)
from testing.ways import Ways

REPEATS = 20
REQUEST = os.urandom(200_000)
BLOCK = os.urandom(1 << 20)


class Witness:
    """A server's application that reads every connection to its end and keeps (bytes, how it ended)."""

    def __init__(self, listener):
        self.seen = []
        self._listener = listener
        self._threads = []
        listener.settimeout(0.2)
        self._stop = False
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self):
        while not self._stop:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._read, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _read(self, connection):
        with connection:
            self.seen.append(read_to_end(connection, timeout=15))

    def close(self):
        """Waits for what is open; returns what was seen."""
        self._stop = True
        self._thread.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        return self.seen


class ResetMatrixTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.ways = Ways(cls.mesh)
        cls.client, cls.server = cls.ways.client, cls.ways.server
        # Peers the client's proxy has never heard of or has no tunnel to, one for each test that needs it.
        cls.peers = {name: cls.mesh.pod(name) for name in ("unknown", "unasked", "far", "closed", "slow", "dying")}
        cls.mesh.start()

    def setUp(self):
        self.ways.listen()
        self.pair = self.ways.pair
        self.leaks = Leaks(*self.ways.pods)

    def tearDown(self):
        self.ways.close()

    def every_way(self, cell):
        """`cell(near, far, who_resets)`, on every path, for the client and for the server; it returns what the other end saw."""
        for path in self.ways.open:
            for who in ("client", "server"):
                for number in range(REPEATS):
                    near, far = self.pair(path)
                    self.assertEqual(cell(near, far, who), RESET, f"{path}, reset {number} by the {who}")
                    near.close()
                    far.close()
        self.leaks.check()

    def open_and_reset(self, pod, port=8080):
        """REPEATS connections that ask and are reset at once, before anybody answered."""
        for _ in range(REPEATS):
            near = self.client.connect(pod.address, port)
            near.sendall(REQUEST[:5000])
            wait_acknowledged(near)
            reset(near)

    def assert_resets(self, seen):
        """A connection that reached the application was whole and was reset."""
        print(f"{len(seen)} of {REPEATS} reached the application", flush=True)
        self.assertEqual([(len(data), how) for data, how in seen], [(5000, RESET)] * len(seen))

    def assert_client_is_reset(self, pod, port=8080, timeout=10):
        connections = []
        for _ in range(REPEATS):
            try:
                connections.append(self.client.connect(pod.address, port))
            except ConnectionResetError:
                pass  # The reset was there before connect() had looked.
        for connection in connections:
            self.assertEqual(read_to_end(connection, timeout), (b"", RESET))
            connection.close()

    # While there is no tunnel yet.

    def test_before_the_destination_is_known(self):
        peer = self.peers["unknown"]
        witness = Witness(peer.listen(8080))
        self.client.agent.signal(signal.SIGSTOP)
        try:
            self.open_and_reset(peer)
        finally:
            self.client.agent.signal(signal.SIGCONT)
        self.leaks.check()
        self.assert_resets(witness.close())
        # The other end of it: an answer that does not come.
        self.client.agent.signal(signal.SIGSTOP)
        try:
            self.assert_client_is_reset(self.peers["unasked"])
        finally:
            self.client.agent.signal(signal.SIGCONT)
        self.leaks.check()

    def test_while_the_tunnel_connects(self):
        peer = self.peers["far"]
        witness = Witness(peer.listen(8080))
        self.filter(peer, "tcp dport 15008 drop")
        self.open_and_reset(peer)
        self.filter(peer)
        self.leaks.check()
        self.assert_resets(witness.close())
        peer = self.peers["closed"]
        self.filter(peer, "tcp dport 15008 reject with tcp reset")
        self.assert_client_is_reset(peer)
        self.leaks.check()

    def test_amid_the_handshake(self):
        peer = self.peers["slow"]
        witness = Witness(peer.listen(8080))
        peer.proxy.signal(signal.SIGSTOP)
        self.open_and_reset(peer)
        peer.proxy.signal(signal.SIGCONT)
        self.leaks.check()
        self.assert_resets(witness.close())
        peer = self.peers["dying"]
        peer.proxy.signal(signal.SIGSTOP)
        connections = [self.client.connect(peer.address, 8080) for _ in range(REPEATS)]
        time.sleep(0.2)
        peer.proxy.kill()
        for connection in connections:
            self.assertEqual(read_to_end(connection), (b"", RESET))
            connection.close()
        self.leaks.check()

    def test_before_connect_is_answered(self):
        self.filter(self.server, "tcp dport 8083 drop")
        listener = self.server.listen(8083)
        self.open_and_reset(self.server, 8083)
        self.filter(self.server)
        witness = Witness(listener)
        self.leaks.check()
        self.assert_resets(witness.close())
        self.assert_client_is_reset(self.server, 8099)  # Nobody listens there.
        self.leaks.check()

    def filter(self, pod, rule=None):
        """Drops or rejects what comes into a pod by one rule; none: nothing any more."""
        pod.host.run("nft", "-f", "-", stdin="table inet test {}\ndelete table inet test\n" + (
            f"table inet test {{\n chain in {{\n type filter hook input priority 0;\n {rule}\n }}\n}}\n" if rule else ""))

    # Once it is open.

    def test_before_the_first_byte(self):
        def cell(near, far, who):
            resetting, other = (near, far) if who == "client" else (far, near)
            reset(resetting)
            data, how = read_to_end(other)
            self.assertEqual(data, b"")
            return how
        self.every_way(cell)

    def one_speaks(self, who_speaks):
        """A reset by either end while one of them speaks: by the one who speaks after its bytes, by the other amid them."""
        def cell(near, far, who_resets):
            speaker, listener = (near, far) if who_speaks == "client" else (far, near)
            if who_resets == who_speaks:
                speaker.sendall(REQUEST)
                wait_acknowledged(speaker)
                reset(speaker)
                data, how = read_to_end(listener)
                self.assertEqual(data, REQUEST)
                return how
            speaker.sendall(REQUEST[:5000])
            self.assertTrue(listener.recv(1000))
            reset(listener)
            return read_to_end(speaker)[1]
        self.every_way(cell)

    def test_amid_the_request(self):
        self.one_speaks("client")

    def test_amid_the_response(self):
        self.one_speaks("server")

    def one_has_ended(self, who_ended):
        def cell(near, far, who_resets):
            ended, other = (near, far) if who_ended == "client" else (far, near)
            ended.sendall(REQUEST)
            ended.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(other), (REQUEST, "end"))
            if who_resets == who_ended:
                reset(ended)
                return broken_after_end(other)
            reset(other)
            return read_to_end(ended)[1]
        self.every_way(cell)

    def test_after_the_clients_end(self):
        self.one_has_ended("client")

    def test_after_the_servers_end(self):
        self.one_has_ended("server")

    def test_with_a_reader_that_stands_still(self):
        """All that the first kernel had taken is read before the reset, however long the reader stood still before it."""
        for who in ("client", "server"):
            cells = []
            for _ in range(5):
                near, far = self.pair()
                speaker, reader = (near, far) if who == "client" else (far, near)
                cells.append((speaker, reader, fill(speaker, BLOCK, 64 << 20, quiet=0.3)))
            for number, (speaker, reader, sent) in enumerate(cells):
                if number % 2:  # The reader's end resets instead.
                    reset(reader)
                    self.assertEqual(read_to_end(speaker)[1], RESET, f"a reset by the {who}'s reader")
                    speaker.close()
                    continue
                taken = sent - unacknowledged(speaker)
                reset(speaker)
                data, how = read_to_end(reader)
                self.assertEqual(how, RESET, f"a reset by the {who}")
                self.assertGreaterEqual(len(data), taken, f"{sent} sent")
                self.assertEqual(data, (BLOCK * (len(data) // len(BLOCK) + 1))[:len(data)])
                reader.close()
        self.leaks.check()

    # While the proxies have something else to do.

    def test_while_a_proxy_drains(self):
        pairs = [self.pair() for _ in range(2 * REPEATS)]
        for near, far in pairs:
            near.sendall(b"?")
            self.assertEqual(far.recv(1), b"?")
        self.server.proxy.signal(signal.SIGTERM)
        wait_until(lambda: not self.server.ready(), 5, "the end of readiness")
        for number, (near, far) in enumerate(pairs):
            resetting, other = (near, far) if number % 2 else (far, near)
            resetting.sendall(REQUEST)
            wait_acknowledged(resetting)
            reset(resetting)
            data, how = read_to_end(other)
            self.assertEqual((len(data), how), (len(REQUEST), RESET), f"connection {number}")
            other.close()
        self.assertEqual(self.server.proxy.wait(10), 0)
        self.server.start_proxy()
        self.server.wait_ready()
        Leaks(self.client)


class ResetWhileRotatingTest(MeshTestCase):
    workload_ttl = "6s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.probe = cls.mesh.outsider()

    def test_while_certificates_rotate(self):
        serials, resets = set(), 0
        with self.server.listen(8080) as listener:
            ends = time.monotonic() + 30
            while len(serials) < 4:
                self.assertLess(time.monotonic(), ends, "certificates do not rotate")
                serials.add(leaf_facts(served_leaf(self.probe, self.server.address))["serial"])
                for number in range(10):
                    near = self.client.connect(self.mesh.vip, 80)
                    far, _ = listener.accept()
                    resetting, other = (near, far) if number % 2 else (far, near)
                    resetting.sendall(REQUEST)
                    wait_acknowledged(resetting)
                    reset(resetting)
                    data, how = read_to_end(other)
                    self.assertEqual((len(data), how), (len(REQUEST), RESET), f"reset {resets}")
                    other.close()
                    resets += 1
        print(f"{resets} resets in {len(serials) - 1} rotations", flush=True)
        for pod in (self.client, self.server):
            Leaks(pod)


if __name__ == "__main__":
    sys.exit(main())
