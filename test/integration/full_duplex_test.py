#!/usr/bin/python3
"""Both directions at full speed at once, whatever is rotated meanwhile.

Proved: 1 GiB each way, through tunnels and over direct mTLS, over one connection and over 64 at once, while certificates live 10 s
and are replaced every 5 or so: the SHA-256 of what each end received is that of what the other sent, and no connection breaks.
"""

import hashlib
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.sanitized import SANITIZED

TOTAL = 1 << 30
BLOCK = os.urandom(1 << 20)
# How the client's proxy reaches the server's: fields of the server's workload.
PATHS = {"hbone": {}, "direct": {"tunnel_protocol": "LEGACY_ISTIO_MTLS"}}


def send(connection, total, mark, digests):
    """Blocks that differ from each other in their first bytes, and the end; leaves the SHA-256."""
    digest, left, number = hashlib.sha256(), total, 0
    block = bytearray(BLOCK)
    while left:
        block[:16] = struct.pack("!QQ", mark, number)
        piece = memoryview(block)[:min(left, len(block))]
        connection.sendall(piece)
        digest.update(piece)
        left -= len(piece)
        number += 1
        del piece
    connection.shutdown(socket.SHUT_WR)
    digests["sent", mark] = digest.hexdigest()


def receive(connection, mark, digests):
    digest, total = hashlib.sha256(), 0
    buffer = bytearray(1 << 18)
    while size := connection.recv_into(buffer):
        digest.update(memoryview(buffer)[:size])
        total += size
    digests["received", mark] = digest.hexdigest()
    digests["bytes", mark] = total


class FullDuplexTest(MeshTestCase):
    # A sanitizer's proxy is so slow that not even half a certificate's life suffices for proving it anew beside all that.
    workload_ttl = "30s" if SANITIZED else "10s"

    @classmethod
    def build(cls):
        cls.client, cls.probe = cls.mesh.pod("client"), cls.mesh.outsider()
        cls.servers = {name: cls.mesh.pod(f"server-{name}", **fields) for name, fields in PATHS.items()}
        cls.mesh.start()

    def guarded(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except OSError as error:
                self.errors.append(f"{work.__name__}, {arguments[-2]}: {error!r}")
        return threading.Thread(target=run)

    def exchange(self, server, connections):
        self.errors, digests, threads, ends = [], {}, [], []
        each = TOTAL // connections
        with server.listen(8080, backlog=connections) as listener:
            for number in range(connections):
                near = self.client.connect(server.address, 8080)
                far, _ = listener.accept()
                ends += [near, far]
                for end in (near, far):
                    end.settimeout(60)
                for mark, sender, receiver in ((2 * number, near, far), (2 * number + 1, far, near)):
                    threads.append(self.guarded(send, sender, each, mark, digests))
                    threads.append(self.guarded(receive, receiver, mark, digests))
        started, serials = time.monotonic(), set()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            serials.add(leaf_facts(served_leaf(self.probe, server.address))["serial"])
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        for end in ends:
            end.close()
        self.assertEqual(self.errors, [])
        for mark in range(2 * connections):
            self.assertEqual(digests["bytes", mark], each)
            self.assertEqual(digests["received", mark], digests["sent", mark])
        return time.monotonic() - started, serials

    def test_a_gibibyte_each_way_arrives_intact(self):
        for name, server in self.servers.items():
            for connections in (1, 64):
                with self.subTest(path=name, connections=connections):
                    serials = set()
                    while len(serials) < 2:  # A fast machine may be done before the next rotation.
                        seconds, seen = self.exchange(server, connections)
                        serials |= seen
                    print(f"{name}, {connections} at once: 2 GiB in {seconds:.1f} s, {len(serials)} certificates seen",
                          flush=True)


if __name__ == "__main__":
    sys.exit(main())
