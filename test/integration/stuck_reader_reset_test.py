#!/usr/bin/python3
"""An application that does not read still hears that the other end is gone.

Both applications have filled the path in both directions; one waits in send() and reads nothing. Proved for either on every way: when
the other is reset, and when the other pod's proxy is killed, its send() fails within what each proxy on the way may wait for its
reader, five seconds. And when a policy ends the connection, the client's proxy ends it at once and says why. A reader that is slow, but
reads, gets all that came before a reset on every way, for however long it takes, and then the reset.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.tcp import fill, reset, unacknowledged
from testing.ways import MTLS, TUNNEL, Ways

BLOCK = os.urandom(1 << 16)
# What one proxy waits for a reader that takes nothing.
PATIENCE = 5


class Blocked:
    """An application's end that waits in send(); the other end has filled its direction, too."""

    def __init__(self, name, end, other):
        self.name, self.other, self.end = name, other, end
        self.failed_at = None
        fill(other, BLOCK, 64 << 20, quiet=0.3)
        fill(end, BLOCK, 64 << 20, quiet=0.3)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self):
        self.end.settimeout(None)
        try:
            while True:
                self.end.send(BLOCK)
        except OSError:
            self.failed_at = time.monotonic()

    def close(self):
        for end in (self.end, self.other):
            end.close()


class StuckReaderResetTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.ways = Ways(cls.mesh)
        cls.client, cls.server = cls.ways.client, cls.ways.server
        cls.near, cls.far = cls.mesh.pod("near"), cls.mesh.pod("far")
        cls.mesh.start()

    def setUp(self):
        self.blocked = []
        self.ways.listen()

    def tearDown(self):
        for blocked in self.blocked:
            blocked.close()
        self.ways.close()

    def block_each(self, ends):
        """`ends`: (name, blocked end, other end). All at once, because each takes its time."""
        made = [threading.Thread(target=lambda ends=ends: self.blocked.append(Blocked(*ends))) for ends in ends]
        for thread in made:
            thread.start()
        for thread in made:
            thread.join()
        self.assertEqual(len(self.blocked), len(ends))

    def assert_all_fail(self, within, break_them):
        for blocked in self.blocked:
            self.assertIsNone(blocked.failed_at, blocked.name)
        began = time.monotonic()
        break_them()
        wait_until(lambda: all(blocked.failed_at for blocked in self.blocked), within + 5, "the end of every send()")
        for blocked in self.blocked:
            print(f"{blocked.name}: send() failed after {blocked.failed_at - began:.1f} s", flush=True)
            self.assertLess(blocked.failed_at - began, within + 2, blocked.name)

    def test_a_reset_by_the_other_application(self):
        ends = []
        for way in self.ways.open:
            for who in ("client", "server"):
                near, far = self.ways.pair(way)
                ends.append((f"{way}, the {who} waits",) + ((near, far) if who == "client" else (far, near)))
        self.block_each(ends)
        # Two proxies are on the longest way.
        self.assert_all_fail(2 * PATIENCE, lambda: [reset(blocked.other) for blocked in self.blocked])

    def test_a_slow_reader_gets_what_came_before_a_reset(self):
        size, step = 1 << 20, 0.25
        sent = os.urandom(size)
        got = {}

        def talk(way):
            near, far = self.ways.pair(way)
            with near, far:
                writer = threading.Thread(target=far.sendall, args=(sent,))
                writer.start()
                data = b""
                # What the kernel is known to have given on can be lost by the proxies alone.
                while writer.is_alive() or unacknowledged(far):
                    data += near.recv(size // 60)
                    time.sleep(step / 10)
                writer.join()
                reset(far)
                began, left = time.monotonic(), size - len(data)
                try:
                    while True:
                        data += near.recv(max(left // 40, 1024))
                        time.sleep(step)
                except ConnectionResetError:
                    got[way] = (data, left, time.monotonic() - began)
        threads = [threading.Thread(target=talk, args=(way,)) for way in self.ways.open]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for way in self.ways.open:
            data, left, seconds = got[way]
            print(f"{way}: {left} bytes in {seconds:.1f} s after the reset", flush=True)
            self.assertEqual(len(data), size, way)
            self.assertEqual(data, sent, way)
        self.assertGreater(max(seconds for _, _, seconds in got.values()), 2 * PATIENCE, "nobody was slow")

    def test_the_death_of_the_other_pods_proxy(self):
        ends = []
        for pod, who in ((self.far, "client"), (self.near, "server")):
            source, destination = (self.client, pod) if who == "client" else (pod, self.server)
            with destination.listen(8082) as listener:
                near = source.connect(destination.address, 8082)
                far, _ = listener.accept()
            ends.append((f"the {who} waits",) + ((near, far) if who == "client" else (far, near)))
        self.block_each(ends)
        self.assert_all_fail(PATIENCE, lambda: [pod.proxy.kill() for pod in (self.near, self.far)])

    def test_the_policy_that_ends_it(self):
        ends = []
        for way in (TUNNEL, MTLS):
            near, far = self.ways.pair(way)
            ends.append((way, near, far))
        self.block_each(ends)
        before = len(self.client.access_log(peer_reason="policy-changed"))
        self.mesh.registry.policy("deny", "DENY", scope="NAMESPACE", destination_ports=[8080])
        self.mesh.registry.write()
        try:
            for server in (self.server, self.ways.mtls):
                server.wait_access_log(reason="policy-changed", deadline=10)
            # Of the tunnel the reason is known, so that nothing is waited for.
            wait_until(lambda: len(self.client.access_log(peer_reason="policy-changed")) > before, PATIENCE - 1,
                       "the end of what the policy forbids, with its reason")
            wait_until(lambda: all(blocked.failed_at for blocked in self.blocked), PATIENCE + 5, "the end of every send()")
        finally:
            self.mesh.registry.policies = []
            self.mesh.registry.write()
            for server in (self.server, self.ways.mtls):
                wait_until(lambda: [record["policies"] for record in server.log()
                                    if record.get("message") == "policies in force"][-1] == 0, 10, "the policy's end")


if __name__ == "__main__":
    main()
