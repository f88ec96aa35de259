#!/usr/bin/python3
"""The counters add up: opened = open + closed by reason, per direction, whatever becomes of a connection.

Proved: over clean ends, half-closes, resets of either side, refusals by policy, plaintext, dead ports and unknown services,
each proxy's counts balance to the connection and the reasons are those of what was done; every page is strict Prometheus text.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.case import MeshTestCase, main
from testing.process import wait_until

ROUNDS = 25


def reset(connection):
    """Closes with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class CountersTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def closed(self, pod, direction, **labels):
        return exposition.total(pod.families(), "byrnie_proxy_connections_closed_total", direction=direction, **labels)

    def counted(self, pod, direction, reason, before, count):
        wait_until(lambda: self.closed(pod, direction, reason=reason) == before + count, 10,
                   f"{count} more {direction} ends by {reason} in {pod.name}")

    def tearDown(self):
        self.mesh.assert_counters_balance()

    def test_clean_ends_are_counted_at_both_proxies(self):
        pods = ((self.client, "outbound"), (self.server, "inbound"))
        before = {pod: self.closed(pod, direction, result="allowed", reason="closed") for pod, direction in pods}
        for number in range(ROUNDS):
            with self.client.connect(self.mesh.vip, 80) as connection:
                connection.sendall(b"ping")
                if number % 2:
                    connection.shutdown(socket.SHUT_WR)
                self.assertEqual(connection.recv(64), b"ping")
        for pod, direction in pods:
            self.counted(pod, direction, "closed", before[pod], ROUNDS)

    def test_resets_are_counted_by_the_side_that_made_them(self):
        before = self.closed(self.client, "outbound", reason="reset-by-downstream")
        for _ in range(ROUNDS):
            connection = self.client.connect(self.mesh.vip, 80)
            connection.sendall(b"ping")
            self.assertEqual(connection.recv(64), b"ping")
            reset(connection)
        self.counted(self.client, "outbound", "reset-by-downstream", before, ROUNDS)

    def test_what_the_proxy_refuses_is_counted_once(self):
        before = self.closed(self.client, "outbound", reason="unknown-service-port")
        for _ in range(ROUNDS):
            self.assert_fails_fast(self.client, self.mesh.vip, 81)
        self.counted(self.client, "outbound", "unknown-service-port", before, ROUNDS)

    def test_plaintext_is_counted_where_it_is_refused(self):
        before = self.closed(self.server, "inbound", result="denied", reason="plaintext-refused")
        for _ in range(ROUNDS):
            with self.assertRaises(OSError), self.outsider.connect(self.server.address, 8080, timeout=5) as connection:
                connection.sendall(b"ping\n")
                if not connection.recv(64):
                    raise ConnectionResetError
        self.counted(self.server, "inbound", "plaintext-refused", before, ROUNDS)

    def test_a_dead_port_is_counted_at_both_proxies(self):
        before = self.closed(self.server, "inbound", reason="connect-failed")
        for _ in range(ROUNDS):
            self.assert_fails_fast(self.client, self.server.address, 9)
        self.counted(self.server, "inbound", "connect-failed", before, ROUNDS)

    def test_a_connection_that_is_open_is_counted_as_open(self):
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
            for pod, direction in ((self.client, "outbound"), (self.server, "inbound")):
                families = pod.families()
                count = {word: exposition.total(families, f"byrnie_proxy_connections_{word}", direction=direction)
                         for word in ("open", "opened_total", "closed_total")}
                self.assertGreaterEqual(count["open"], 1)
                self.assertEqual(count["opened_total"], count["open"] + count["closed_total"])


if __name__ == "__main__":
    sys.exit(main())
