#!/usr/bin/python3
"""An address that another workload has taken over is noticed by its identity, and asked about anew.

Proved: a client whose agent has not heard of the change yet meets another identity, asks the control plane past what its agent
knows, and reaches the new owner on the same connection of its application; where the control plane does not know the new owner
either, the connection is refused with peer-identity-mismatch and carries no byte.
"""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

STALE = "byrnie_proxy_stale_endpoints_total"


class StaleEndpointTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("greet", 8080, "server")

    def reincarnate(self, account):
        """The server's pod gives way to one of another account, at the same address."""
        server = self.server
        for process in (server.proxy, server.agent):
            process.kill()
        server.spiffe_id = f"spiffe://cluster.local/ns/demo/sa/{account}"
        server.write_token()
        server.start_agent()
        server.start_proxy()
        server.wait_ready()

    def register(self, account):
        for workload in self.mesh.registry.workloads:
            if workload["name"] == "server":
                workload["service_account"] = account
        self.mesh.registry.write()

    def check_takeover(self, account, address, port):
        self.assertIn(b"before", self.ask(self.client, address, port, b"before\n"))
        before = self.client.metrics()[STALE]
        # An answer of the control plane to such a question is believed for a second; the one before is older then.
        time.sleep(1.1)
        # What the control plane sends waits in the stopped agent's socket: the proxy cannot have heard of it.
        self.client.agent.signal(signal.SIGSTOP)
        self.register(account)
        self.reincarnate(account)
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(self.ask(self.client, address, port, b"after\n")))
        asking.start()
        # Until the proxy has shaken hands and asked its agent, which it gives 2 s.
        time.sleep(0.7)
        self.client.agent.signal(signal.SIGCONT)
        asking.join(15)
        self.assertEqual(answers, [b"hello from server, you said: after\n"])
        record = self.client.wait_access_log(original_destination=f"{address}:{port}", attempts=2)[-1]
        self.assertEqual(record["peer_identity"], self.server.spiffe_id, record)
        self.assertIn("peer-identity-mismatch: peer is " + self.server.spiffe_id, record["last_failure"])
        self.assertEqual(self.client.metrics()[STALE] - before, 1)

    def test_1_the_workloads_own_address(self):
        self.check_takeover("second", self.server.address, 8080)

    def test_2_the_address_of_a_service(self):
        self.check_takeover("third", self.mesh.vip, 80)

    def test_3_an_owner_that_the_control_plane_does_not_know_is_refused(self):
        self.reincarnate("stranger")
        before = self.client.metrics()[STALE]
        self.assert_fails_fast(self.client, self.server.address, 8080)
        record = self.client.wait_access_log(reason="peer-identity-mismatch")[-1]
        self.assertEqual(record["result"], "failed", record)
        self.assertIn("peer is spiffe://cluster.local/ns/demo/sa/stranger, expected", record["detail"])
        self.assertEqual(self.client.metrics()[STALE] - before, 1)
        # Known by now, or asked again a moment later: never carried.
        for _ in range(5):
            self.assert_fails_fast(self.client, self.mesh.vip, 80)
        self.assertEqual(self.client.access_log(result="allowed", peer_identity=self.server.spiffe_id), [])


if __name__ == "__main__":
    sys.exit(main())
