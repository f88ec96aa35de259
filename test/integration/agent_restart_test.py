#!/usr/bin/python3
"""The agent dies and comes back while traffic flows.

Proved: with both agents killed, open connections and new ones to a known peer go on; the new agents' certificates are in
force without a restart of the proxies; no connection fails.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import sleep_through
from testing.process import wait_until


class AgentRestartTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.sink, _ = cls.mesh.service("sink", [cls.server], 80, 8080)
        cls.echo, _ = cls.mesh.service("echo", [cls.server], 80, 8081)
        cls.mesh.start()
        cls.server.app("sink", 8080)
        cls.server.app("echo", 8081)
        cls.probe = cls.mesh.outsider()

    def serial(self, pod):
        return leaf_facts(served_leaf(self.probe, pod.address))["serial"]

    def test_traffic_flows_through_the_agents_restart(self):
        pods = (self.client, self.server)
        before = {pod: self.serial(pod) for pod in pods}
        stream = self.client.app("stream", self.sink, 80, 60, 4e6)
        short = self.client.app("short", self.echo, 80, 60, 0.02)
        # The stream becomes bulk and keeps its tunnel to itself; by then every worker has one for the others, and no
        # handshake is under way when its signer dies.
        sleep_through(2.0, lambda: self.assertEqual(self.ask(self.client, self.echo, 80), b"ping\n"))
        for pod in pods:
            pod.agent.kill()
        sleep_through(2.0, lambda: self.assertEqual(self.ask(self.client, self.echo, 80), b"ping\n"))
        for pod in pods:
            # A join token is good for one use.
            pod.write_token()
            pod.start_agent()
        wait_until(lambda: all(self.serial(pod) != before[pod] for pod in pods), 10, "the new agents' certificates")
        sleep_through(1.0, lambda: self.assertEqual(self.ask(self.client, self.echo, 80), b"ping\n"))
        for process in (stream, short):
            process.signal(10)
        streamed, connected = stream.result(), short.result()
        self.assertTrue(streamed["intact"], streamed)
        self.assertEqual(connected["failures"], [])
        for pod in pods:
            self.assertTrue(pod.ready())
            self.assertTrue(pod.proxy.running())


if __name__ == "__main__":
    sys.exit(main())
