#!/usr/bin/python3
"""Connections end when they have been told to: idle, half closed, old, or no longer trusted.

Proved, 50 open connections at a time: --idle_timeout, of half-closed ones too, and --max_connection_age with their reason in
the log, on connections that nobody has said anything on too, and none of them by default; a policy that denies the peer, and
the end of the own certificate without a new one, close what is open within two seconds and refuse what is new.
"""

import contextlib
import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.process import wait_until

COUNT = 50


class LifetimesTest(MeshTestCase):
    workload_ttl = "24s"

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    @staticmethod
    def restart_proxy(pod, flags):
        pod.proxy.terminate(40)
        pod.extra_proxy_flags = flags
        pod.start_proxy()
        pod.wait_ready()

    def restart(self, *flags):
        self.restart_proxy(self.client, list(flags))
        wait_until(self.works, 10, "the restarted proxy's first connection")

    @contextlib.contextmanager
    def server_with(self, *flags):
        before = self.server.extra_proxy_flags
        try:
            self.restart_proxy(self.server, [*before, *flags])
            yield
        finally:
            self.restart_proxy(self.server, before)

    def works(self):
        try:
            return self.ask(self.client, self.mesh.vip, 80, timeout=5) == b"ping\n"
        except OSError:
            return False

    def open(self, count=COUNT):
        made = []
        for _ in range(count):
            connection = self.client.connect(self.mesh.vip, 80)
            made.append(connection)
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
        return made

    def wait_all_reset(self, connections, deadline):
        """Seconds until each of them has been reset, from now."""
        started = time.monotonic()
        waiting = {connection.fileno(): connection for connection in connections}
        poller = select.poll()
        for fd in waiting:
            poller.register(fd, select.POLLIN)
        while waiting:
            left = started + deadline - time.monotonic()
            self.assertGreater(left, 0, f"{len(waiting)} of {len(connections)} are open after {deadline} s")
            for fd, _ in poller.poll(left * 1000):
                poller.unregister(fd)
                with self.assertRaises(ConnectionResetError, msg="a clean end"):
                    if waiting.pop(fd).recv(1) == b"":
                        self.fail("a clean end")
        return time.monotonic() - started

    def close(self, connections):
        for connection in connections:
            connection.close()

    def test_an_idle_connection_ends(self):
        self.restart("--idle_timeout=2s")
        connections = self.open()
        try:
            busy, quiet = connections[0], connections[1:]
            ended = 0
            started = time.monotonic()
            while time.monotonic() - started < 4:
                busy.sendall(b"y")
                self.assertEqual(busy.recv(1), b"y", "bytes keep it open")
                time.sleep(0.2)
            ended = self.wait_all_reset(quiet, 1)
            self.assertLess(ended, 1)
            self.client.wait_access_log(reason="idle-timeout")
            self.server.wait_access_log(direction="inbound", reason="reset-by-downstream", peer_reason="idle-timeout")
        finally:
            self.close(connections)

    def test_an_old_connection_ends_however_busy(self):
        self.restart("--max_connection_age=3s")
        started = time.monotonic()
        connections = self.open()
        try:
            took = self.wait_all_reset(connections, 6)
            self.assertGreater(took, 1.5)
            self.assertLess(time.monotonic() - started, 6)
            self.client.wait_access_log(reason="max-age")
            self.server.wait_access_log(direction="inbound", reason="reset-by-downstream", peer_reason="max-age")
            self.assertTrue(self.works(), "new ones are taken")
        finally:
            self.close(connections)

    def test_a_connection_on_which_nobody_speaks_ends(self):
        for flag, reason in (("--idle_timeout=1s", "idle-timeout"), ("--max_connection_age=1s", "max-age")):
            with self.subTest(reason):
                with self.server_with("--mtls_mode=permissive", flag):
                    connections = [self.probe.connect(self.server.address, 8080) for _ in range(5)]
                    try:
                        self.wait_all_reset(connections, 4)
                        self.server.wait_access_log(direction="inbound", reason=reason)
                    finally:
                        self.close(connections)

    def test_an_idle_half_closed_connection_ends(self):
        listener = self.server.listen(8090)
        with listener:
            self.mesh.service("silent", [self.server], 80, 8090)
            silent = self.mesh.registry.services[-1]["addresses"][0]
            self.mesh.registry.write()
            self.restart("--half_close_timeout=1s", "--idle_timeout=3s")

            def connect():
                connection = self.client.connect(silent, 80)
                try:
                    peer, _ = listener.accept()
                    return connection, peer
                except OSError:
                    connection.close()
                    raise
            listener.settimeout(2)
            connection, peer = wait_until(connect, 10, "the service")
            with connection, peer:
                started = time.monotonic()
                connection.shutdown(1)
                self.wait_all_reset([connection], 5)
                self.assertGreater(time.monotonic() - started, 2.8, "both ends are there")
            self.client.wait_access_log(reason="idle-timeout")

    def test_a_policy_closes_what_it_does_not_allow(self):
        self.restart()
        connections = self.open()
        try:
            self.mesh.registry.policy("deny-client", "DENY",
                                      principals=[{"exact": "cluster.local/ns/demo/sa/client"}])
            self.mesh.registry.write()
            written = time.monotonic()
            took = self.wait_all_reset(connections, 5)
            refused = time.monotonic()
            self.assert_fails_fast(self.client, self.mesh.vip, 80)
            self.assertLess(took, 2.0, "closed after the registry's change")
            self.assertLess(time.monotonic() - refused, 1.0, "and new ones refused")
            self.assertGreater(refused, written)
            self.server.wait_access_log(direction="inbound", reason="policy-changed")
            self.client.wait_access_log(direction="outbound", peer_reason="policy-changed", result="denied")
        finally:
            self.close(connections)
            self.mesh.registry.policies = []
            self.mesh.registry.write()
            wait_until(self.works, 5, "permission")

    def test_z_the_own_certificates_end_closes_and_refuses(self):
        self.restart()
        self.mesh.control_plane.process.kill()
        connections = self.open()
        try:
            expiry = leaf_facts(served_leaf(self.probe, self.server.address))["not_after"]
            own = self.client_expiry()
            wait_until(lambda: self.readable(connections), 30, "the first end", every=0.01)
            self.assertGreaterEqual(time.time(), min(expiry, own) - 0.1, "not before")
            self.wait_all_reset(connections, 2)
            self.assertLess(time.time() - min(expiry, own), 2.0)
            self.assert_fails_fast(self.client, self.mesh.vip, 80, within=1.0)
        finally:
            self.close(connections)

    def client_expiry(self):
        return self.client.metrics()["byrnie_proxy_certificate_expiry_timestamp_seconds"]

    def readable(self, connections):
        return bool(select.select(connections, [], [], 0)[0])


if __name__ == "__main__":
    sys.exit(main())
