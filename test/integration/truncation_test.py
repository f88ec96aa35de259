#!/usr/bin/python3
"""Nobody on the network can make a stream look complete that is not.

Proved with a host between the two proxies that ends the TCP connection of a tunnel properly (FIN, no close_notify) in the middle of
TLS records, between them and while nothing flows: the applications at both ends read some of what was sent, in order, and then a
reset, never an end.
"""

import errno
import os
import random
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.mesh import PROXY_UID
from testing.tcp import RESET, read_to_end

BEFORE_PROXY = 25008
DATA = random.Random(1).randbytes(4 << 20)
CUTS = 25
AT_ONCE = 4


class Between:
    """Passes every tunnel of a pod on to its proxy, until told to end it."""

    def __init__(self, pod):
        self._pod, self._tunnels = pod, []
        pod.host.run("nft", "-f", "-", stdin=(
            "table inet between {\n chain in {\n type nat hook prerouting priority -150;\n"
            f" iifname eth0 tcp dport 15008 redirect to :{BEFORE_PROXY}\n }}\n}}\n"))
        self._listener = pod.listen(BEFORE_PROXY, timeout=None)
        threading.Thread(target=self._accept, daemon=True).start()
        self.ended = threading.Event()
        self._left = None

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
                far = self._pod.host.connect(self._pod.address, 15008, timeout=None, uid=PROXY_UID)
            except OSError:
                return
            self._tunnels.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while block := source.recv(1 << 14):
                if self.ended.is_set():
                    continue  # Read, so that an end of ours stays an end.
                if self._left is not None:
                    block, self._left = block[:self._left], self._left - len(block)
                sink.sendall(block)
                if self._left is not None and self._left <= 0:
                    self.end()
        except OSError:
            pass

    def tunnels(self):
        return len(self._tunnels)

    def end_after(self, size):
        """Ends every tunnel once `size` more bytes have passed, wherever that is in a record."""
        self._left = size

    def end(self):
        self.ended.set()
        for end in sum(self._tunnels, ()):
            try:
                end.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # Ended already.

    def begin_anew(self):
        self._tunnels, self._left = [], None
        self.ended.clear()

    def close(self):
        socket.socket.shutdown(self._listener, socket.SHUT_RDWR)
        self._listener.close()


class TruncationTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        # The host in between is played inside the server's pod: its port has to be reachable past the proxy.
        cls.server.redirect_flags = [f"--exclude_inbound_ports={BEFORE_PROXY}"]
        cls.mesh.start()
        cls.between = Between(cls.server)
        cls.listener = cls.server.listen(8080)

    @classmethod
    def tearDownClass(cls):
        cls.between.close()
        cls.listener.close()
        super().tearDownClass()

    def pairs(self):
        self.between.begin_anew()
        made = []
        for _ in range(AT_ONCE):
            near = self.client.connect(self.mesh.vip, 80)
            far, _ = self.listener.accept()
            near.sendall(b"?")
            self.assertEqual(far.recv(1), b"?")
            made.append((near, far))
        self.assertGreater(self.between.tunnels(), 0, "the tunnels take another way")
        return made

    def test_an_end_in_mid_stream_is_a_reset_at_both_ends(self):
        leaks, truncated = Leaks(self.client, self.server), 0
        for number in range(CUTS):
            pairs, seen, threads, met_by_sender = self.pairs(), [], [], set()
            self.between.end_after(random.Random(number).randrange(1, 3 << 20))

            def send(connection):
                try:
                    connection.sendall(DATA)
                    connection.shutdown(socket.SHUT_WR)
                except ConnectionResetError:
                    met_by_sender.add(connection)  # The kernel tells it once: the reader sees an end then.
                except OSError as error:
                    # After the reader has met it, or, of an end behind all the data, for the reader to meet.
                    if error.errno not in (errno.EPIPE, errno.ENOTCONN):
                        raise

            def receive(connection):
                seen.append((connection, *read_to_end(connection)))
            for near, far in pairs:
                for end in (near, far):
                    threads += [threading.Thread(target=send, args=(end,)), threading.Thread(target=receive, args=(end,))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertTrue(self.between.ended.is_set())
            self.assertEqual(len(seen), 2 * AT_ONCE)
            for connection, data, how in seen:
                if how == "end" and connection in met_by_sender:
                    how = RESET
                if len(data) == len(DATA) and how == "end":
                    continue  # Over before the cut.
                self.assertEqual(how, RESET, f"cut {number}, after {len(data)} bytes")
                self.assertEqual(data, DATA[:len(data)])
                truncated += 1
            for end in sum(pairs, ()):
                end.close()
        self.assertGreater(truncated, CUTS * AT_ONCE)
        print(f"{truncated} streams truncated in {CUTS} cuts", flush=True)
        leaks.check()

    def test_an_end_while_nothing_flows_is_a_reset_at_both_ends(self):
        for _ in range(CUTS):
            pairs = self.pairs()
            self.between.end()
            for end in sum(pairs, ()):
                self.assertEqual(read_to_end(end), (b"", RESET))
                end.close()

    def test_an_end_behind_one_that_has_ended_is_a_reset(self):
        """The one who has spoken to the end waits for an answer that is cut off."""
        for _ in range(CUTS):
            pairs = self.pairs()
            for near, far in pairs:
                near.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(far), (b"", "end"))
                far.sendall(b"the first half")
                self.assertEqual(near.recv(14, socket.MSG_WAITALL), b"the first half")
            self.between.end()
            for near, far in pairs:
                self.assertEqual(read_to_end(near), (b"", RESET))
                near.close()
                far.close()


if __name__ == "__main__":
    sys.exit(main())
