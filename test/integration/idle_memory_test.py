#!/usr/bin/python3
"""5 000 idle connections cost a proxy little, and when they are gone so is what they cost.

Proved on both proxies of a hop: at most 12 KiB of memory for each connection, 0.5 % of a CPU while they are idle, and within
60 s of their end at most 1.3 times the memory there was before.
"""

import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

COUNT = 5000


class IdleMemoryTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * COUNT), hard))

    def open(self, listener, count):
        """Pairs of connected sockets, ends of connections that have carried a byte each way."""
        pairs = []
        for _ in range(count):
            connection = self.client.connect(self.mesh.vip, 80, timeout=10)
            connection.sendall(b"x")
            peer, _ = listener.accept()
            self.assertEqual(peer.recv(1), b"x")
            peer.sendall(b"y")
            self.assertEqual(connection.recv(1), b"y")
            pairs.append((connection, peer))
        return pairs

    def cpu_seconds(self, process):
        # Of all threads, in nanoseconds: too little to be counted in ticks.
        total = 0
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{thread}/schedstat", encoding="ascii") as text:
                total += int(text.read().split()[0])
        return total / 1e9

    def test_idle_connections_are_cheap_and_leave_nothing(self):
        proxies = {"client": self.client.proxy, "server": self.server.proxy}
        with self.server.listen(8080, backlog=4096) as listener:
            # What a first connection makes stays: the tunnel, its buffers, the allocator's first pages.
            for connection, peer in self.open(listener, 20):
                connection.close()
                peer.close()
            time.sleep(1)
            base = {name: proxy.memory_kib("Rss") for name, proxy in proxies.items()}
            pairs = self.open(listener, COUNT)
            try:
                loaded = {name: proxy.memory_kib("Rss") for name, proxy in proxies.items()}
                before = {name: self.cpu_seconds(proxy) for name, proxy in proxies.items()}
                started = time.monotonic()
                time.sleep(8)
                elapsed = time.monotonic() - started
                for name, proxy in proxies.items():
                    each = (loaded[name] - base[name]) / COUNT
                    share = (self.cpu_seconds(proxy) - before[name]) / elapsed
                    print(f"    {name}: base {base[name]} KiB, {each:.2f} KiB a connection, idle CPU {share:.2%}",
                          file=sys.stderr)
                    with self.subTest(proxy=name):
                        self.assertLess(each, 12)
                        self.assertLessEqual(share, 0.005)
            finally:
                for connection, peer in pairs:
                    connection.close()
                    peer.close()

        closed = time.monotonic()
        for name, proxy in proxies.items():
            with self.subTest(proxy=name):
                wait_until(lambda p=proxy, n=name: p.memory_kib("Rss") <= 1.3 * base[n], 60 - (time.monotonic() - closed),
                           f"the memory of {name} back at 1.3 x {base[name]} KiB", every=0.5)
            print(f"    {name}: {proxy.memory_kib('Rss')} KiB, {proxy.memory_kib('Rss') / base[name]:.2f} x base, "
                  f"{time.monotonic() - closed:.0f} s after the end", file=sys.stderr)
        for pod in (self.client, self.server):
            self.assertEqual(sum(value for name, value in pod.metrics().items()
                                 if name.startswith("byrnie_proxy_connections_open{")), 0)


if __name__ == "__main__":
    sys.exit(main())
