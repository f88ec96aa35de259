#!/usr/bin/python3
"""SIGHUP ends nothing: a terminal that went away, or a hand that expects a reload, costs no connection.

Proved for both proxies, both agents and the control plane: each says once that it changes nothing and runs on; an open
connection and new ones work, and an agent still signs for new tunnels; SIGTERM ends them as before.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class HangupTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def test_a_hangup_costs_nothing(self):
        processes = [self.client.proxy, self.client.agent, self.server.proxy, self.server.agent,
                     self.mesh.control_plane.process]
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"before\n")
            self.assertEqual(connection.recv(100), b"before\n")
            for process in processes:
                process.signal(signal.SIGHUP)
            for process in processes:
                wait_until(lambda: "SIGHUP changes nothing" in process.log_text(), 5, f"{process.name}'s word")
                self.assertTrue(process.running(), process.name)
            connection.sendall(b"after\n")
            self.assertEqual(connection.recv(100), b"after\n")
            self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.client.proxy.kill()
        self.client.start_proxy()
        self.client.wait_ready()
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n", "a new tunnel needs both agents")
        self.mesh.control_plane.create_token(self.client.spiffe_id)
        for process in (self.client.proxy, *processes[1:]):
            self.assertEqual(process.terminate(), 0, process.name)


if __name__ == "__main__":
    sys.exit(main())
