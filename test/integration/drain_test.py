#!/usr/bin/python3
"""SIGTERM drains: running transfers finish, new ones are refused, a deadline ends what does not end by itself.

Proved on the server's proxy: a transfer that runs when the signal comes arrives whole and the exit code is 0; meanwhile the
pod is not ready and takes no new connection; a stuck transfer is reset at --drain_timeout, exit code 0 as well.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class DrainTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def restart(self, *flags):
        if self.server.proxy.running():
            self.server.proxy.terminate(40)
        self.server.extra_proxy_flags = list(flags)
        self.server.start_proxy()
        self.server.wait_ready()
        wait_until(lambda: self.works(), 10, "the restarted proxy's first connection")

    def works(self):
        try:
            return self.ask(self.client, self.mesh.vip, 80, timeout=5) == b"ping\n"
        except OSError:
            return False

    def test_a_running_transfer_finishes_and_new_ones_are_refused(self):
        self.restart("--drain_timeout=20s")
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"before\n")
            self.assertEqual(connection.recv(100), b"before\n")
            self.server.proxy.signal(signal.SIGTERM)
            wait_until(lambda: not self.server.ready(), 5, "the end of readiness")
            # Each worker begins by itself, and what it has accepted by then is served.
            wait_until(lambda: not any(self.works() for _ in range(5)), 5, "refusal of new connections")
            self.assert_fails_fast(self.client, self.mesh.vip, 80)
            self.assertTrue(self.server.proxy.running(), "it did not wait for the transfer")
            for number in range(20):
                line = f"during {number}\n".encode()
                connection.sendall(line)
                self.assertEqual(connection.recv(100), line)
            connection.shutdown(1)
            self.assertEqual(connection.recv(100), b"", "a clean end")
        ended = time.monotonic()
        self.assertEqual(self.server.proxy.wait(10), 0)
        self.assertLess(time.monotonic() - ended, 3, "it should end with its last connection")

    def test_a_deadline_ends_what_is_stuck(self):
        self.restart("--drain_timeout=2s")
        with self.client.connect(self.mesh.vip, 80, timeout=15) as connection:
            connection.sendall(b"stuck\n")
            self.assertEqual(connection.recv(100), b"stuck\n")
            started = time.monotonic()
            self.server.proxy.signal(signal.SIGTERM)
            with self.assertRaises(ConnectionResetError, msg="a cut transfer must not look like a clean end"):
                if connection.recv(100) == b"":
                    self.fail("a clean end")
            self.assertGreater(time.monotonic() - started, 1.5)
        self.assertEqual(self.server.proxy.wait(5), 0)
        self.assertLess(time.monotonic() - started, 6)
        self.server.wait_access_log(reason="drained")
        record = self.client.wait_access_log(peer_reason="drained")[-1]
        self.assertEqual((record["reason"], record["result"]), ("reset-by-upstream", "failed"), record)

    def test_an_idle_proxy_ends_at_once(self):
        self.restart("--drain_timeout=20s")
        started = time.monotonic()
        self.assertEqual(self.server.proxy.terminate(10), 0)
        self.assertLess(time.monotonic() - started, 3)

    def test_the_agent_and_the_control_plane_end_cleanly_too(self):
        self.restart()
        self.assertEqual(self.server.agent.terminate(10), 0)
        self.assertEqual(self.mesh.control_plane.process.terminate(10), 0)


if __name__ == "__main__":
    sys.exit(main())
