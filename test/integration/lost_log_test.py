#!/usr/bin/python3
"""A log that nobody reads costs log lines, never service, and the metrics say how many.

Proved on proxy, agent and control plane, each with a stderr that is a full pipe: the proxy carries connections, the agent
renews, the control plane issues, and each counts every line it dropped.
"""

import contextlib
import fcntl
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import PROXY_UID, parse_metrics
from testing.process import wait_until


@contextlib.contextmanager
def with_full_log(host, arguments, uid=None):
    """A process whose stderr takes nothing, until the end of the block."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)
        process = subprocess.Popen(host.command(arguments, uid=uid), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=writer, cwd="/")
        try:
            yield process
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(reader)
        os.close(writer)


class LostLogTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def serial(self, pod):
        return leaf_facts(served_leaf(self.outsider, pod.address))["serial"]

    def renew(self, pod):
        """Asks the agent to renew; returns once the proxy shows the new certificate."""
        old = self.serial(pod)
        # It answers once a second.
        wait_until(lambda: pod.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal", every=0.2)
        wait_until(lambda: self.serial(pod) != old, 15, "a new certificate", every=0.1)

    def dropped(self, name, read):
        return parse_metrics(read("/metrics")[1])[f"byrnie_{name}_log_lines_dropped_total"]

    def test_the_proxy_carries_on_and_counts(self):
        def dropped(pod):
            return pod.metrics()["byrnie_proxy_log_lines_dropped_total"]
        self.assertEqual(dropped(self.server), 0)
        self.client.proxy.terminate()
        with with_full_log(self.client.host, self.client.proxy_arguments(), PROXY_UID):
            wait_until(self.client.ready, 15, "readiness")
            before = dropped(self.client)
            self.assertGreater(before, 0, "the lines of the start were dropped")
            for _ in range(20):
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
            wait_until(lambda: dropped(self.client) >= before + 20, 5, "one dropped line per connection")
        self.client.start_proxy()
        self.client.wait_ready()

    def test_the_agent_carries_on_and_counts(self):
        def dropped(pod):
            return self.dropped("certagent", pod.agent_admin)
        self.assertEqual(dropped(self.server), 0)
        old = self.serial(self.client)
        self.client.agent.terminate()
        self.client.write_token()
        with with_full_log(self.client.host, self.client.agent_arguments(), PROXY_UID):
            wait_until(lambda: self.serial(self.client) != old, 15, "the new agent's certificate", every=0.1)
            before = dropped(self.client)
            self.assertGreater(before, 0, "the lines of the start were dropped")
            self.renew(self.client)
            self.assertGreater(dropped(self.client), before, "the renewal's line was dropped")
            self.assertTrue(self.client.ready())
        self.client.write_token()
        self.client.start_agent()
        wait_until(lambda: "proxy connected" in self.client.agent.log_text(), 15, "the agent that can log again")

    def test_the_control_plane_carries_on_and_counts(self):
        control = self.mesh.control_plane
        self.assertEqual(self.dropped("controlplane", control.admin), 0)
        control.process.terminate()
        with with_full_log(control.host, control.arguments()):
            wait_until(lambda: control.admin("/metrics")[0] == 200, 15, "the control plane's start")
            before = self.dropped("controlplane", control.admin)
            self.assertGreater(before, 0, "the lines of the start were dropped")
            wait_until(lambda: control.ctl("token", "create", "--identity", self.client.spiffe_id, "--ttl", "10m",
                                           check=False).returncode == 0, 10, "an operator's call")
            self.renew(self.server)
            # A token was made, a certificate issued.
            self.assertGreaterEqual(self.dropped("controlplane", control.admin), before + 2)
        control.start()


if __name__ == "__main__":
    sys.exit(main())
