#!/usr/bin/python3
"""A log that nobody reads costs log lines, never traffic, and the metrics say how many.

Proved on all three processes: with stderr a pipe that is full, they serve on and count what they dropped.
"""

import fcntl
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, parse_metrics
from testing.process import wait_until


class LostLogTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def test_the_proxy_carries_on_and_counts(self):
        name = "byrnie_proxy_log_lines_dropped_total"
        self.assertEqual(self.server.metrics()[name], 0)
        self.client.proxy.terminate()
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)
        proxy = subprocess.Popen(self.client.host.command(self.client.proxy_arguments(), uid=PROXY_UID),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer, cwd="/")
        try:
            wait_until(self.client.ready, 15, "readiness")
            before = self.client.metrics()[name]
            self.assertGreater(before, 0, "the lines of the start were dropped")
            for _ in range(20):
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
            wait_until(lambda: self.client.metrics()[name] >= before + 20, 5, "one dropped line per connection")
        finally:
            proxy.kill()
            proxy.wait()
            os.close(reader)
            os.close(writer)
            self.client.start_proxy()
            self.client.wait_ready()

    def test_agent_and_control_plane_count_too(self):
        agent = parse_metrics(self.client.agent_admin("/metrics")[1])
        self.assertEqual(agent["byrnie_certagent_log_lines_dropped_total"], 0)
        control = parse_metrics(self.mesh.control_plane.admin("/metrics")[1])
        self.assertEqual(control["byrnie_controlplane_log_lines_dropped_total"], 0)


if __name__ == "__main__":
    sys.exit(main())
