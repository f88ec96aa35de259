#!/usr/bin/python3
"""Whether plaintext may pass is said for the pod, for single ports of it, and by policies; the strictest word counts.

Proved: a port's own mode wins over the pod's either way; in permissive mode a policy that needs an identity makes its port
strict, so that nothing is dialled for plaintext, and so does Istio's static strict policy (DENY whoever has none);
mesh peers pass everywhere.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo
from testing.process import wait_until

PLAIN, STRICT, OTHER = 8080, 8081, 8082


class InboundModesTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.strict, cls.permissive = cls.mesh.pod("strict"), cls.mesh.pod("permissive")
        cls.strict.extra_proxy_flags = ["--mtls_mode=strict", f"--mtls_port_modes={PLAIN}=permissive"]
        cls.permissive.extra_proxy_flags = ["--mtls_mode=permissive", f"--mtls_port_modes={STRICT}=strict"]
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()

    def passes(self, source, pod, port):
        try:
            with source.connect(pod.address, port, timeout=3) as connection:
                connection.sendall(b"question")
                return connection.recv(100) == b"question"
        except OSError:
            return False

    def table(self, pod, expected):
        """{port: whether plaintext passes}; what does not pass never reaches the application, mesh peers always do."""
        for port, passes in expected.items():
            with self.subTest(pod=pod.name, port=port), InlineApp(pod, port, echo) as app:
                self.assertEqual(self.passes(self.outsider, pod, port), passes)
                self.assertEqual(app.accepted, 1 if passes else 0)
                self.assertTrue(self.passes(self.client, pod, port))

    def test_a_port_has_the_mode_it_was_given(self):
        self.table(self.strict, {PLAIN: True, STRICT: False, OTHER: False})
        self.table(self.permissive, {PLAIN: True, STRICT: False, OTHER: True})

    def with_policy(self, reason, *policies):
        """In force until the end of the test: plaintext to OTHER is refused for `reason`."""
        def restore():
            self.mesh.registry.policies = []
            self.mesh.registry.write()
            with InlineApp(self.permissive, OTHER, echo):
                wait_until(lambda: self.passes(self.outsider, self.permissive, OTHER), 5, "the policies' end", every=0.1)
        self.addCleanup(restore)
        for name, action, fields in policies:
            self.mesh.registry.policy(name, action, **fields)
        self.mesh.registry.write()
        with InlineApp(self.permissive, OTHER, echo):
            # The first to be kept out may be one that the policy found open.
            wait_until(lambda: not self.passes(self.outsider, self.permissive, OTHER)
                       and self.permissive.access_log(direction="inbound", result="denied", reason=reason),
                       5, "the policy", every=0.1)

    def test_a_policy_that_needs_an_identity_makes_a_port_strict(self):
        self.with_policy("no-allow-match",
                         ("allow-client", "ALLOW", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}))
        self.table(self.permissive, {PLAIN: False, OTHER: False})

    def test_istios_static_strict_policy_makes_the_pod_strict(self):
        self.with_policy("policy-deny", ("istio_converted_static_strict", "DENY",
                                         {"scope": "GLOBAL", "namespace": "istio-system",
                                          "not_principals": [{"presence": True}]}))
        self.table(self.permissive, {PLAIN: False, OTHER: False})


if __name__ == "__main__":
    sys.exit(main())
