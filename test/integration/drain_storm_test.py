#!/usr/bin/python3
"""A proxy that drains under a storm of connections cuts none that it, or the kernel for it, has taken.

Proved: while the server's proxy drains, five transfers of 8 MiB arrive whole, and of clients that connect as fast as they
can, each that got a connection got its answer; later ones are refused before they have one. Exit code 0, at the deadline at
the latest; --drain_hold keeps taking connections for its time, with readiness off; --drain_quiet keeps the proxy for an
application that makes its last connections with pauses; a second SIGTERM ends all.
"""

import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

MIB = 1024 * 1024


class Storm:
    """Threads that connect, ask and expect an answer, one connection after the other."""

    def __init__(self, host, address, port, threads):
        self.answered, self.refused, self.cut = 0, 0, []
        self._host, self._target = host, (address, port)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                connection = self._host.connect(*self._target, timeout=10)
            except OSError:
                with self._lock:
                    self.refused += 1
                time.sleep(0.01)
                continue
            connected = time.monotonic()
            try:
                with connection:
                    connection.sendall(b"ping\n")
                    answer = connection.recv(16)
                    if answer != b"ping\n":
                        raise OSError(f"answered {answer!r}")
                with self._lock:
                    self.answered += 1
            except OSError as error:
                with self._lock:
                    self.cut.append(f"{time.monotonic() - connected:.3f} s after connecting: {error}")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(15)


class DrainStormTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.sink, _ = cls.mesh.service("sink", [cls.server], 80, 8081)
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.server.app("sink", 8081)
        cls.client.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()
        # A thin line: what a client sends waits for some milliseconds, so that at any time some of them are in the
        # middle of TCP's handshake, connected in their own eyes and not yet in the server's.
        cls.outsider.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "2k",
                         "latency", "200ms")

    def restart(self, *flags):
        if self.server.proxy.running():
            self.server.proxy.terminate(40)
        self.server.extra_proxy_flags = ["--mtls_mode=permissive", *flags]
        self.server.start_proxy()
        self.server.wait_ready()
        wait_until(self.works, 10, "the restarted proxy's first connection")

    def works(self, pod=None, address=None, port=80):
        try:
            return self.ask(pod or self.client, address or self.mesh.vip, port, timeout=5) == b"ping\n"
        except OSError:
            return False

    def carried(self):
        """Bytes sent over each of the connections open in the server's proxy."""
        workers = json.loads(self.server.admin("/connections")[1])
        found = []

        def collect(value):
            if isinstance(value, dict):
                if "bytes_sent" in value:
                    found.append(value["bytes_sent"])
                value = list(value.values())
            if isinstance(value, list):
                for part in value:
                    collect(part)
        collect(workers)
        return found

    def test_nothing_that_was_taken_is_cut(self):
        self.restart("--drain_timeout=30s")
        transfers = [self.client.app("stream", self.sink, 80, 4, 2 * MIB) for _ in range(5)]
        wait_until(lambda: len([connection for connection in self.carried() if connection > MIB // 4]) == 5, 10,
                   "five transfers under way")
        storm = Storm(self.outsider, self.server.address, 8080, 16)
        try:
            wait_until(lambda: storm.answered > 100, 10, "the storm")
            before = storm.answered
            self.server.proxy.signal(signal.SIGTERM)
            wait_until(lambda: not self.server.ready(), 2, "the end of readiness")
            wait_until(lambda: storm.refused > 0, 5, "a refusal")
        finally:
            storm.stop()
        self.assertEqual(storm.cut, [], f"of {storm.answered} connections ({before} before the stop)")
        for transfer in transfers:
            result = transfer.result(20)
            self.assertTrue(result["intact"], result)
            self.assertGreater(result["sent"], 7 * MIB)
        self.assertEqual(self.server.proxy.wait(5), 0)

    def test_the_deadline_holds_under_a_storm(self):
        self.restart("--drain_timeout=3s")
        storm = Storm(self.client, self.mesh.vip, 80, 2)
        try:
            with self.client.connect(self.mesh.vip, 80) as stuck:
                stuck.sendall(b"x")
                stuck.recv(1)
                started = time.monotonic()
                self.server.proxy.signal(signal.SIGTERM)
                self.assertEqual(self.server.proxy.wait(10), 0)
                took = time.monotonic() - started
        finally:
            storm.stop()
        self.assertGreater(took, 2.0)
        self.assertLess(took, 4.0)

    def test_a_hold_takes_connections_while_readiness_is_off(self):
        self.restart("--drain_timeout=20s", "--drain_hold=2s")
        started = time.monotonic()
        self.server.proxy.signal(signal.SIGTERM)
        wait_until(lambda: not self.server.ready(), 1, "the end of readiness")
        while time.monotonic() - started < 1.5:
            self.assertTrue(self.works(), "through a tunnel")
            self.assertTrue(self.works(self.outsider, self.server.address, 8080), "in plaintext")
            time.sleep(0.1)
        self.assertEqual(self.server.proxy.wait(5), 0)
        self.assertGreater(time.monotonic() - started, 1.9)

    def test_an_application_that_pauses_between_its_last_connections_keeps_its_proxy(self):
        self.restart("--drain_timeout=30s", "--drain_quiet=3s")
        self.server.proxy.signal(signal.SIGTERM)
        wait_until(lambda: not self.server.ready(), 2, "the end of readiness")
        for _ in range(5):
            time.sleep(0.9)
            self.assertTrue(self.works(self.server, self.client.address, 8080), "from the pod that ends")
        last = time.monotonic()
        self.assertEqual(self.server.proxy.wait(10), 0)
        self.assertGreater(time.monotonic() - last, 2.5)

    def test_a_second_signal_ends_everything(self):
        self.restart("--drain_timeout=30s", "--drain_hold=10s")
        with self.client.connect(self.mesh.vip, 80) as stuck:
            stuck.sendall(b"x")
            stuck.recv(1)
            self.server.proxy.signal(signal.SIGTERM)
            wait_until(lambda: not self.server.ready(), 2, "the end of readiness")
            started = time.monotonic()
            self.server.proxy.signal(signal.SIGTERM)
            self.assertEqual(self.server.proxy.wait(5), 0)
            self.assertLess(time.monotonic() - started, 2.5)
            with self.assertRaises(ConnectionResetError):
                if stuck.recv(1) == b"":
                    self.fail("a clean end")


if __name__ == "__main__":
    sys.exit(main())
