#!/usr/bin/python3
"""A proxy that is at one of its limits keeps the connections it has when certificates end: what proves the ends anew is no
new connection.

Proved with certificates of 10 s, one pod for each: a client whose --max_tunnels are all in use, a server and a client
without a socket left while others go on trying. Idle connections outlive the certificates they began with, and who asks for
a new one meanwhile is still refused.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, receive

LIFE = 10
PORT = 8080
DESCRIPTORS = 160


def with_few_sockets(pod):
    arguments = pod.proxy_arguments
    pod.proxy_arguments = lambda: ["/usr/bin/prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"] + arguments()
    return pod


class ProvenAtLimitsTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        pod = cls.mesh.pod
        cls.client, cls.crowd = pod("client"), pod("crowd")
        cls.servers = [pod("server-0"), pod("server-1")]
        cls.third = pod("third")
        cls.few_tunnels = pod("few-tunnels")
        cls.few_tunnels.extra_proxy_flags = ["--max_tunnels=2"]
        cls.full_server, cls.full_client = with_few_sockets(pod("full-server")), with_few_sockets(pod("full-client"))
        cls.mesh.start()

    def open(self, client, server):
        """None where it is refused."""
        try:
            connection = client.connect(server.address, PORT, timeout=5)
            self.addCleanup(connection.close)
            connection.sendall(b"first")
            return connection if receive(connection, 5) == b"first" else None
        except OSError:
            return None

    def refused(self, pod, reason):
        return pod.metrics().get(f'byrnie_proxy_refused_total{{reason="{reason}"}}', 0)

    def assert_outlive(self, connections, more):
        """Whatever `more`, which asks for one more connection, asks for meanwhile."""
        began, refused = time.monotonic(), 0
        while time.monotonic() - began < 1.5 * LIFE:
            refused += more() is None
            time.sleep(0.1)
        self.assertGreater(refused, 3)
        for connection in connections:
            connection.sendall(b"and again")
            self.assertEqual(receive(connection, 9), b"and again")

    def fill(self, client, server):
        # One refusal may be for what is about to be given back.
        refused = 0
        while refused < 8:
            refused += self.open(client, server) is None

    def test_all_tunnels_of_a_client_are_in_use(self):
        with InlineApp(self.servers[0], PORT, echo), InlineApp(self.servers[1], PORT, echo), InlineApp(self.third, PORT, echo):
            held = [self.open(self.few_tunnels, server) for server in self.servers]
            self.assertNotIn(None, held)
            self.assert_outlive(held, lambda: self.open(self.few_tunnels, self.third))
            self.assertGreater(self.refused(self.few_tunnels, "tunnel-limit"), 0)

    def test_a_server_has_no_socket_left(self):
        with InlineApp(self.full_server, PORT, echo):
            held = [self.open(self.client, self.full_server) for _ in range(3)]
            self.assertNotIn(None, held)
            self.fill(self.crowd, self.full_server)
            self.assert_outlive(held, lambda: self.open(self.crowd, self.full_server))
            self.assertGreater(self.refused(self.full_server, "too-many-sockets"), 0)

    def test_a_client_has_no_socket_left(self):
        with InlineApp(self.third, PORT, echo), InlineApp(self.servers[0], PORT, echo):
            held = [self.open(self.full_client, self.third) for _ in range(3)]
            self.assertNotIn(None, held)
            self.fill(self.full_client, self.servers[0])
            self.assert_outlive(held, lambda: self.open(self.full_client, self.servers[0]))
            self.assertGreater(self.refused(self.full_client, "too-many-sockets"), 0)


if __name__ == "__main__":
    main()
