#!/usr/bin/python3
"""What nobody can say anything about is denied, or passed through where --lookup_failure says so.

Proved: with the control plane gone, and with the agent gone too, an address that nobody has asked about yet is refused by
default, with a reason each and no connection to it; with passthrough it is reached, and log and metrics say why; what was known
before is reached through its tunnel all the time.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

PASSED = 'byrnie_proxy_passthrough_total{why="lookup_failed"}'


class LookupFailureTest(MeshTestCase):

    @classmethod
    def build(cls):
        # One worker, so that the tunnel of the first request is there for all: without an agent nobody makes another.
        cls.client, cls.open = cls.mesh.pod("client"), cls.mesh.pod("open")
        cls.client.extra_proxy_flags = ["--workers=1"]
        cls.open.extra_proxy_flags = ["--workers=1", "--lookup_failure=passthrough"]
        cls.server = cls.mesh.pod("server")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("greet", 8080, "server")
        cls.outsider = cls.mesh.outsider()
        cls.listener = cls.outsider.listen(7000)

    def known_is_reached(self, pod):
        self.assertIn(b"known", self.ask(pod, self.mesh.vip, 80, b"known\n"))

    def check(self, reason):
        # Refused by default.
        self.assert_fails_fast(self.client, self.outsider.address, 7000)
        record = self.client.wait_access_log(reason=reason)[-1]
        self.assertEqual((record["result"], record["route"]), ("failed", "none"), record)
        self.assertEqual(self.client.metrics()[PASSED], 0)
        self.listener.settimeout(0.2)
        self.assertRaises(TimeoutError, self.listener.accept)
        # Carried where it is to be.
        before = self.open.metrics()[PASSED]
        self.listener.settimeout(10)
        with self.open.connect(self.outsider.address, 7000) as connection:
            accepted, _ = self.listener.accept()
            with accepted:
                connection.sendall(b"plain")
                self.assertEqual(accepted.recv(100), b"plain")
        record = self.open.wait_access_log(lookup_failure=reason)[-1]
        self.assertEqual((record["result"], record["route"]), ("allowed", "passthrough"), record)
        self.assertEqual(self.open.metrics()[PASSED] - before, 1)
        for pod in (self.client, self.open):
            self.known_is_reached(pod)

    def test_1_without_the_control_plane(self):
        for pod in (self.client, self.open):
            self.known_is_reached(pod)
        self.mesh.control_plane.process.kill()
        self.check("resolve-unavailable")

    def test_2_without_the_agent(self):
        for pod in (self.client, self.open):
            pod.agent.kill()
        self.check("resolve-timeout")


if __name__ == "__main__":
    sys.exit(main())
