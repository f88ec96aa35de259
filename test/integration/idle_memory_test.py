#!/usr/bin/python3
"""Thousands of idle connections cost a proxy little, and when they are gone so is what they cost.

Proved on both proxies of a hop, with 5 000 connections: at most 12 KiB of memory for each connection, 0.5 % of a CPU while they are idle, and within
60 s of their end at most 1.3 times the memory there was before.

BYRNIE_IDLE_CONNECTIONS=20000 test/integration/idle_memory_test.py is the long form; it needs as many descriptors for a process.
"""

import contextlib
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.sanitized import measured

COUNT = int(os.environ.get("BYRNIE_IDLE_CONNECTIONS", "5000"))


class IdleMemoryTest(MeshTestCase):

    @classmethod
    def build(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Each of both applications and both proxies holds as many.
        assert hard > COUNT + 100, f"{COUNT} connections do not fit into {hard} descriptors"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = [f"--max_streams_per_peer={max(20_000, 2 * COUNT)}"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()

    @contextlib.contextmanager
    def held(self, count):
        """Connections that have carried a byte each way, until the block is left."""
        server, made = self.server.app("hold", 8080), []
        try:
            for _ in range(count):
                connection = self.client.connect(self.mesh.vip, 80, timeout=10)
                made.append(connection)
                connection.sendall(b"x")
                self.assertEqual(connection.recv(1), b"x")
            yield
        finally:
            for connection in made:
                connection.close()
            server.end()

    def cpu_seconds(self, process):
        # Of all threads, in nanoseconds: too little to be counted in ticks.
        total = 0
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{thread}/schedstat", encoding="ascii") as text:
                total += int(text.read().split()[0])
        return total / 1e9

    def test_idle_connections_are_cheap_and_leave_nothing(self):
        proxies = {"client": self.client.proxy, "server": self.server.proxy}
        # What a first connection makes stays: the tunnel, its buffers, the allocator's first pages.
        with self.held(20):
            pass
        time.sleep(1)
        base = {name: proxy.memory_kib("Rss") for name, proxy in proxies.items()}
        with self.held(COUNT):
            loaded = {name: proxy.memory_kib("Rss") for name, proxy in proxies.items()}
            before = {name: self.cpu_seconds(proxy) for name, proxy in proxies.items()}
            started = time.monotonic()
            time.sleep(8)
            elapsed = time.monotonic() - started
            for name, proxy in proxies.items():
                each = (loaded[name] - base[name]) / COUNT
                share = (self.cpu_seconds(proxy) - before[name]) / elapsed
                print(f"    {name}: base {base[name]} KiB, {COUNT} connections, {each:.2f} KiB each, idle CPU {share:.2%}", flush=True)
                with self.subTest(proxy=name):
                    with measured():
                        self.assertLess(each, 12)
                    with measured():
                        self.assertLessEqual(share, 0.005)

        closed = time.monotonic()
        for name, proxy in proxies.items():
            with self.subTest(proxy=name), measured():
                wait_until(lambda p=proxy, n=name: p.memory_kib("Rss") <= 1.3 * base[n], 60 - (time.monotonic() - closed),
                           f"the memory of {name} back at 1.3 x {base[name]} KiB", every=0.5)
            print(f"    {name}: {proxy.memory_kib('Rss')} KiB, {proxy.memory_kib('Rss') / base[name]:.2f} x base, "
                  f"{time.monotonic() - closed:.0f} s after the end", flush=True)
        for pod in (self.client, self.server):
            self.assertEqual(sum(value for name, value in pod.metrics().items()
                                 if name.startswith("byrnie_proxy_connections_open{")), 0)


if __name__ == "__main__":
    sys.exit(main())
