#!/usr/bin/python3
"""Many readers that do not read cost little memory, and nobody else a millisecond.

Proved with fifty clients and fifty servers that read nothing while the other end sends at full speed: every sender blocks, and
for 60 s from then on; each proxy holds at most 256 KiB more for each; the slowest answers of another connection (99th
percentile) take less than twice what they take with nothing stalled; once they read, every byte arrives.
"""

import hashlib
import os
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.mesh import sleep_through
from testing.sanitized import measured, patience
from testing.tcp import fill

BLOCK = os.urandom(1 << 20)
STALLED, STALL = 100, 60
# What the kernels between the ends take of one stalled connection is less.
EACH = 64 << 20


class ManyStalledReadersTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8081)

    def slowest_answers(self, seconds):
        """The 99th percentile of questions to a server that does answer, one after the other."""
        times = []
        with self.client.connect(self.server.address, 8081) as connection:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                before = time.monotonic()
                connection.sendall(b"question")
                self.assertEqual(connection.recv(100), b"question")
                times.append(time.monotonic() - before)
                time.sleep(0.002)
        return statistics.quantiles(times, n=100)[98]

    def stall(self, pairs):
        """Fills every connection until nothing moves in any of them; what each has taken."""
        sent = [0] * len(pairs)

        def work(number):
            sent[number] += fill(pairs[number][0], BLOCK, EACH, quiet=2, at=sent[number])
        before = None
        while sent != before:  # The kernels give a little more room now and then.
            before = list(sent)
            self.in_threads(work, len(pairs))
            self.assertLess(max(sent), EACH, "a sender never blocked")
        return sent

    @staticmethod
    def in_threads(work, count):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_many_readers_that_do_not_read(self):
        self.slowest_answers(0.5)
        leaks = Leaks(self.client, self.server)
        quiet = [self.slowest_answers(4)]
        proxies = (self.client.proxy, self.server.proxy)
        pairs = []
        with self.server.listen(8080) as listener:
            for number in range(STALLED):
                near = self.client.connect(self.mesh.vip, 80)
                far, _ = listener.accept()
                pairs.append((far, near) if number % 2 else (near, far))
        base = [proxy.memory_kib() for proxy in proxies]
        sent = self.stall(pairs)
        stalled_at = time.monotonic()
        loaded = self.slowest_answers(8)
        most = [0, 0]

        def measure():
            for number, proxy in enumerate(proxies):
                most[number] = max(most[number], proxy.memory_kib() - base[number])
        sleep_through(STALL - (time.monotonic() - stalled_at), measure)
        for (sender, _), taken in zip(pairs, sent):
            sender.setblocking(False)
            with self.assertRaises(BlockingIOError, msg="a sender got on although nobody reads"):
                sender.send(b"x")
            sender.setblocking(True)
        for proxy, kib in zip(proxies, most):
            print(f"{proxy.name}: {kib / len(pairs):.0f} KiB more per stalled connection", flush=True)
            with measured():
                self.assertLessEqual(kib, 256 * len(pairs), f"KiB more in {proxy.name}")

        wrong = []

        def read(number):
            sender, reader = pairs[number]
            sender.shutdown(socket.SHUT_WR)
            reader.settimeout(patience(60))
            got, digest = 0, hashlib.sha256()
            while block := reader.recv(1 << 18):
                got += len(block)
                digest.update(block)
            whole, rest = divmod(sent[number], len(BLOCK))
            wanted = hashlib.sha256(BLOCK * whole + BLOCK[:rest])
            if got != sent[number] or digest.digest() != wanted.digest():
                wrong.append(f"connection {number}: {got} of {sent[number]} bytes, or others")
        self.in_threads(read, len(pairs))
        self.assertEqual(wrong, [])
        for pair in pairs:
            for end in pair:
                end.close()
        leaks.check()
        quiet.append(self.slowest_answers(4))
        print(f"99 % of answers within {loaded * 1e3:.2f} ms while stalled, {max(quiet) * 1e3:.2f} ms before or after; "
              f"{sum(sent) >> 20} MiB sent", flush=True)
        with measured():
            self.assertLess(loaded, 2 * max(quiet))


if __name__ == "__main__":
    sys.exit(main())
