#!/usr/bin/python3
"""The agent restarts while the control plane is away: what works, and what waits.

Proved: open connections and new ones through open tunnels go on, because the proxy needs the key for handshakes alone; the key was in the
agent's memory and nowhere else, so handshakes fail within their deadline with the reason, and nothing passes in plaintext. Agent
and proxy say what is missing. When the control plane is back everything is as before without a restart of anything, within seconds.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import sleep_through
from testing.process import wait_until

RECOVERY = 20


class AgentRestartWithoutCaTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server, cls.other = cls.mesh.pod("client"), cls.mesh.pod("server"), cls.mesh.pod("other")
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.other_vip, _ = cls.mesh.service("other", [cls.other])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.other.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def test_what_works_and_what_waits(self):
        serial = leaf_facts(served_leaf(self.probe, self.other.address))["serial"]
        # Known to the client's proxy, but without a tunnel: asked about once, and its tunnel ended by the restart of its proxy.
        self.assertEqual(self.ask(self.client, self.other_vip, 80), b"ping\n")
        self.assertEqual(self.ask(self.other, self.mesh.vip, 80), b"ping\n")
        with self.client.connect(self.mesh.vip, 80) as connection:
            # Every worker gets a tunnel.
            sleep_through(1.5, lambda: self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n"), every=0.02)
            self.mesh.control_plane.process.kill()
            self.client.agent.kill()
            self.client.start_agent()
            wait_until(lambda: self.client.agent_admin("/healthz/ready")[0] == 503, 10, "the new agent's page")
            # Works: what is open, and new connections over tunnels that are open.
            for _ in range(50):
                connection.sendall(b"still here\n")
                self.assertEqual(connection.recv(100), b"still here\n")
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
            self.assertTrue(self.client.ready(), "the proxy has a valid certificate and its policies")
            # Waits for the control plane: handshakes of this pod.
            self.other.proxy.kill()
            self.other.start_proxy()
            self.other.wait_ready()
            self.assert_fails_fast(self.client, self.other_vip, 80, within=12)
            # The certificate is the old agent's, and so was the key.
            wait_until(lambda: [record for record in self.client.access_log(direction="outbound")
                                if "neither the current one nor one just replaced" in record.get("detail", "")], 5, "the reason")
            self.assertIn("no certificate yet", self.client.agent_admin("/healthz/ready")[1])
            page = self.client.agent_admin("/certs")[1]
            self.assertIn('"state": "none"', page)
            self.assertIn("repeats after failure", page)
            # The other pods' agents have kept their keys, and their handshakes go on.
            self.assertEqual(self.ask(self.other, self.mesh.vip, 80), b"ping\n")
            self.assertEqual(leaf_facts(served_leaf(self.probe, self.other.address))["serial"], serial)
            # And then all is well.
            self.mesh.control_plane.start()
            self.client.write_token()
            wait_until(lambda: self.client.agent_admin("/healthz/ready")[0] == 200, RECOVERY, "the agent's certificate")
            wait_until(lambda: self.works(self.other_vip), 5, "a handshake")
            connection.sendall(b"to the end\n")
            self.assertEqual(connection.recv(100), b"to the end\n")

    def works(self, vip):
        try:
            return self.ask(self.client, vip, 80) == b"ping\n"
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(main())
