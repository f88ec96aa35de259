#!/usr/bin/python3
"""Certificates rotate hundreds of times under load, and nothing notices.

Proved, for 200 connections that stay open and some 300 new ones a second between two pods whose certificates rotate ten times a second: no
connection is dropped or refused, no byte is wrong, no handshake fails, and what was made for an old certificate goes when its last connection
has gone: memory does not grow by a megabyte, no descriptor is left behind, and one identity is left in each proxy.

BYRNIE_ROTATIONS=10000 test/integration/many_rotations_test.py is the long form (a quarter of an hour).
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.case import MeshTestCase, main
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.sanitized import fewer, measured, patience

ROTATIONS = int(os.environ.get("BYRNIE_ROTATIONS", fewer(500, 100)))
LONG, SHORT_CLIENTS, SHORT_RATE = 200, 13, 325
# Of each pod, in a second. Without a limit they would take what CPU there is from the connections.
ROTATION_RATE = 10
GROWTH_KIB = 1024
RENEWED = 'byrnie_certagent_renewals_total{result="renewed"}'


class LongConnections(threading.Thread):
    """Connections to an echo server that say something every now and then, and compare what comes back."""

    def __init__(self, pod, vip, count):
        super().__init__(daemon=True)
        self._connections = [pod.connect(vip, 80, timeout=30) for _ in range(count)]
        self._ending = threading.Event()
        self.exchanges, self.failures = 0, []

    def run(self):
        number = 0
        while not self._ending.is_set():
            connection = self._connections[number % len(self._connections)]
            number += 1
            question = os.urandom(512)
            try:
                connection.sendall(question)
                answer = b""
                while len(answer) < len(question):
                    block = connection.recv(len(question) - len(answer))
                    if not block:
                        break
                    answer += block
                if answer != question:
                    self.failures.append(f"{len(answer)} bytes came back, or wrong ones")
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.exchanges += 1
            self._ending.wait(0.01)

    def finish(self):
        self._ending.set()
        self.join()
        for connection in self._connections:
            connection.close()


class ManyRotationsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.extra_agent_flags = ["--min_renewal_interval=0s", "--log_level=warning"]
            pod.extra_proxy_flags = ["--access_log=off", "--log_level=warning"]
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def pods(self):
        return self.client, self.server

    def renewed(self, pod):
        return parse_metrics(pod.agent_admin("/metrics")[1])[RENEWED]

    def rotate(self, count, first):
        """`count` rotations of each pod beyond those counted in `first`."""
        deadline = time.monotonic() + patience(30 + count * 0.3)
        due = time.monotonic()
        while True:
            behind = [pod for pod in self.pods() if self.renewed(pod) - first[pod] < count]
            if not behind:
                return
            self.assertLess(time.monotonic(), deadline, "the rotations take too long")
            for pod in behind:
                pod.agent_admin("/renew", "POST")
            due += 1 / ROTATION_RATE
            time.sleep(max(0, due - time.monotonic()))

    def memory(self):
        return {process.name: process.memory_kib("Rss") for pod in self.pods() for process in (pod.proxy, pod.agent)}

    def agent_descriptors(self):
        return {pod.name: len(os.listdir(f"/proc/{pod.agent.pid}/fd")) for pod in self.pods()}

    def test_rotations_cost_no_connection_no_byte_and_no_memory(self):
        long = LongConnections(self.client, self.mesh.vip, LONG)
        long.start()
        seconds = 3600
        short = [self.client.app("short", self.mesh.vip, 80, seconds, SHORT_CLIENTS / SHORT_RATE)
                 for _ in range(SHORT_CLIENTS)]
        started = time.monotonic()
        first = {pod: self.renewed(pod) for pod in self.pods()}
        # What a process needs in this state it has after the first fifth.
        self.rotate(ROTATIONS // 5, first)
        before, descriptors = self.memory(), self.agent_descriptors()
        self.rotate(ROTATIONS, first)
        after = self.memory()
        elapsed = time.monotonic() - started
        for process in short:
            process.signal(10)
        results = [process.result() for process in short]
        long.finish()
        rate = sum(result["succeeded"] for result in results) / elapsed
        print(f"     {ROTATIONS} rotations of each pod in {elapsed:.1f} s, {rate:.0f} connections/s, {long.exchanges} exchanges on {LONG} "
              f"connections, memory {before} -> {after} KiB", flush=True)
        self.assertEqual(long.failures, [])
        for result in results:
            self.assertEqual(result["failures"], [], result)
        for name, kib in before.items():
            with measured():
                self.assertLess(after[name] - kib, GROWTH_KIB, f"{name} grew from {kib} to {after[name]} KiB")
        # Each agent has a handful of connections to the control plane, more only while one replaces another.
        wait_until(lambda: all(now <= descriptors[name] + 3 for name, now in self.agent_descriptors().items()), patience(20),
                   f"the end of the connections for old identities, {descriptors} at first")
        for pod in self.pods():
            families = pod.families()
            total = exposition.total(families, "byrnie_proxy_handshakes_total")
            good = exposition.total(families, "byrnie_proxy_handshakes_total", result="ok")
            self.assertEqual(total, good, f"handshakes failed in {pod.name}")
            self.assertEqual(exposition.total(families, "byrnie_proxy_updates_total", result="rejected"), 0)
            wait_until(lambda p=pod: exposition.total(p.families(), "byrnie_proxy_identities_held") == 1, patience(20),
                       "the end of the old identities")
        self.mesh.assert_counters_balance()


if __name__ == "__main__":
    sys.exit(main())
