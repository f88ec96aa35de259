#!/usr/bin/python3
"""Authorization policies decide who may connect, and a change holds for open connections too.

Proved with a registry file that changes under a running mesh: without a policy everyone of the trust domain may; an ALLOW for
others and a DENY keep the client out before the application sees anything; a connection that is no longer allowed is closed.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class PolicyTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.other = cls.mesh.pod("other")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.echo = cls.server.app("echo", 8080)
        cls.server.app("echo", 8081)

    def setUp(self):
        self.policies()

    def policies(self, *policies):
        """Puts exactly these in force. Each: (name, action, match)."""
        registry = self.mesh.registry
        registry.policies = []
        for name, action, match in policies:
            registry.policy(name, action, **match)
        registry.write()
        if not policies:
            self.wait_allowed(self.client)
            self.wait_allowed(self.other)

    def allowed(self, pod, port=8080):
        try:
            return self.ask(pod, self.server.address, port, timeout=5) == b"ping\n"
        except OSError:
            return False

    def wait_allowed(self, pod, port=8080):
        wait_until(lambda: self.allowed(pod, port), 5, f"permission for {pod.name}", every=0.1)

    def wait_denied(self, pod, reason, port=8080):
        """Until connections fail for `reason`, which the server's log gives; returns the last record of it."""
        destination = f"{self.server.address}:{port}"

        def denials():
            return [record for record in self.server.access_log(
                direction="inbound", result="denied", peer_identity=pod.spiffe_id, original_destination=destination)
                if record["reason"].startswith(reason)]
        known = len(denials())
        wait_until(lambda: not self.allowed(pod, port) and denials()[known:], 5, f"denial of {pod.name}", every=0.1)
        self.assert_fails_fast(pod, self.server.address, port)
        return denials()[-1]

    def test_without_a_policy_everyone_of_the_trust_domain_may(self):
        self.assertTrue(self.allowed(self.client))
        self.assertTrue(self.allowed(self.other))

    def test_an_allow_policy_keeps_everyone_else_out(self):
        self.policies(("allow-other", "ALLOW", {"principals": [{"exact": "cluster.local/ns/demo/sa/other"}]}))
        self.wait_denied(self.client, "no-allow-match")
        self.assertTrue(self.allowed(self.other))

    def test_a_deny_policy_wins_over_an_allow_policy(self):
        self.policies(("allow-all", "ALLOW", {"namespaces": [{"exact": "demo"}]}),
                      ("deny-client", "DENY", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}))
        record = self.wait_denied(self.client, "policy-deny")
        self.assertIn("deny-client", str(record))
        self.assertTrue(self.allowed(self.other))

    def test_a_policy_may_name_a_port(self):
        self.policies(("deny-8081", "DENY", {"destination_ports": [8081]}))
        self.wait_denied(self.client, "policy-deny", port=8081)
        self.assertTrue(self.allowed(self.client, 8080))

    def test_a_denied_connection_never_reaches_the_application(self):
        self.policies(("deny-8090", "DENY", {"destination_ports": [8090]}))
        self.wait_denied(self.client, "policy-deny", port=8090)
        with self.server.listen(8090, timeout=0.5) as listener:
            self.assert_fails_fast(self.client, self.server.address, 8090)
            with self.assertRaises(TimeoutError):
                listener.accept()

    def test_an_open_connection_that_is_no_longer_allowed_is_closed(self):
        with self.client.connect(self.mesh.vip, 80) as denied, self.other.connect(self.mesh.vip, 80) as kept:
            for connection in (denied, kept):
                connection.sendall(b"open\n")
                self.assertEqual(connection.recv(100), b"open\n")
            self.policies(("deny-client", "DENY", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}))
            try:
                self.assertEqual(denied.recv(100), b"", "more data came")
            except ConnectionResetError:
                pass
            kept.sendall(b"still\n")
            self.assertEqual(kept.recv(100), b"still\n")
        record = self.server.wait_access_log(reason="policy-changed")[-1]
        self.assertEqual((record["peer_identity"], record["result"]), (self.client.spiffe_id, "denied"))
        # The client's operator learns as much, but not the policy's name.
        record = self.client.wait_access_log(peer_reason="policy-changed")[-1]
        self.assertEqual((record["direction"], record["reason"], record["result"]),
                         ("outbound", "reset-by-upstream", "denied"), record)
        self.assertNotIn("deny-client", str(record))

    def test_a_broken_registry_file_changes_nothing(self):
        self.policies(("deny-client", "DENY", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}))
        self.wait_denied(self.client, "policy-deny")
        logged = len(self.mesh.control_plane.process.log_records())
        self.mesh.registry.write_raw('{"workloads": [], "policies": [')
        wait_until(lambda: [record for record in self.mesh.control_plane.process.log_records()[logged:]
                            if record.get("level") in ("error", "warning")], 5, "a word about it in the log")
        self.assertFalse(self.allowed(self.client))
        self.assertTrue(self.allowed(self.other))


if __name__ == "__main__":
    sys.exit(main())
