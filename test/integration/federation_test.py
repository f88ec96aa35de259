#!/usr/bin/python3
"""Two meshes trust each other as far as bundles and policies say, and no longer.

Proved with two control planes and their pods: without the other's bundle its pods are refused at the handshake; with it
they are known, and let in only where a policy names their trust domain; when the bundle file is emptied their
connections end within 2 s and new ones are refused, while those of the own trust domain go on.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import TRUST_DOMAIN, ControlPlane, Pod
from testing.process import wait_until
from testing.registry import Registry

PARTNER = "partner.example"


class FederationTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.bundle = os.path.join(mesh.directory, "partner.pem")
        cls.trust(b"")
        mesh.control_plane.extra_flags = [f"--federated_bundle={PARTNER}={cls.bundle}"]
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        cls.partner = ControlPlane(mesh, "partner", 3, PARTNER)
        cls.partner.extra_flags = [f"--federated_bundle={TRUST_DOMAIN}={mesh.control_plane.bundle}"]
        cls.guest = Pod(mesh, "guest", "guest", 50, "demo", cls.partner)
        mesh.pods.append(cls.guest)
        everybody = ((cls.client, TRUST_DOMAIN), (cls.server, TRUST_DOMAIN), (cls.guest, PARTNER))
        cls.partner_registry = Registry(cls.partner.registry_path)
        for registry in (mesh.registry, cls.partner_registry):
            for pod, trust_domain in everybody:
                registry.workload(pod.name, "demo", pod.account, [pod.address, pod.address6], trust_domain=trust_domain)
        cls.partner_registry.policy("meshes", "ALLOW",
                                    principals=[{"prefix": f"{TRUST_DOMAIN}/"}, {"prefix": f"{PARTNER}/"}])
        cls.partner_registry.write()
        mesh.registry.write()
        mesh.control_plane.start()
        cls.partner.start()
        mesh.start()
        cls.server.app("echo", 8080)
        cls.guest.app("echo", 8080)

    @classmethod
    def trust(cls, pem):
        with open(cls.bundle + ".new", "wb") as out:
            out.write(pem)
        os.replace(cls.bundle + ".new", cls.bundle)
        return time.monotonic()

    def trust_partner(self):
        with open(self.partner.bundle, "rb") as bundle:
            return self.trust(bundle.read())

    def echoes(self, pod, address):
        try:
            return self.ask(pod, address, 8080, b"x\n", timeout=5) == b"x\n"
        except OSError:
            return False

    def open_echo(self, pod, address):
        connection = pod.connect(address, 8080)
        connection.sendall(b"open\n")
        self.assertEqual(connection.recv(100), b"open\n")
        self.addCleanup(connection.close)
        return connection

    def test_1_a_pod_of_a_trust_domain_without_a_bundle_is_nobody(self):
        self.assertFalse(self.echoes(self.guest, self.server.address))
        record = self.server.wait_access_log(direction="inbound", reason="tls-failed", result="denied")[-1]
        self.assertIn(f"is of trust domain {PARTNER}, for which there is no trust bundle", record["detail"])
        self.assertTrue(self.echoes(self.client, self.server.address))

    def test_2_with_a_bundle_it_is_known_and_not_let_in(self):
        self.trust_partner()
        self.mesh.registry.policies = []
        self.mesh.registry.write()

        def denied():
            self.assertFalse(self.echoes(self.guest, self.server.address))
            return self.server.access_log(direction="inbound", reason="foreign-trust-domain")
        record = wait_until(denied, 5, "a refusal by policy")[-1]
        self.assertEqual((record["result"], record["peer_identity"]), ("denied", self.guest.spiffe_id))
        # A policy that does not name the trust domain does not speak of its pods, whatever it says else.
        self.mesh.registry.policy("all", "ALLOW", destination_ports=[8080])
        self.mesh.registry.policy("names", "ALLOW", principals=[{"suffix": "/sa/guest"}, {"presence": True}])
        self.mesh.registry.write()
        wait_until(lambda: not self.echoes(self.guest, self.server.address) and
                   self.server.access_log(direction="inbound", reason="no-allow-match"), 5, "a refusal by the new policies")
        self.assertTrue(self.echoes(self.client, self.server.address))

    def test_3_a_policy_that_names_it_lets_it_in_and_the_way_back_works(self):
        self.mesh.registry.policies = []
        self.mesh.registry.policy("meshes", "ALLOW",
                                  principals=[{"exact": f"{PARTNER}/ns/demo/sa/guest"}, {"prefix": f"{TRUST_DOMAIN}/"}])
        self.mesh.registry.write()
        wait_until(lambda: self.echoes(self.guest, self.server.address), 5, "the guest's admission")
        record = self.server.wait_access_log(direction="inbound", result="allowed", peer_identity=self.guest.spiffe_id)[-1]
        self.assertEqual(record["own_identity"], self.server.spiffe_id)
        wait_until(lambda: self.echoes(self.client, self.guest.address), 5, "the way back")
        record = self.client.wait_access_log(direction="outbound", result="allowed",
                                             peer_identity=self.guest.spiffe_id)[-1]
        self.assertEqual(record["destination"], f"{self.guest.address}:8080")

    def test_4_without_the_bundle_its_connections_end(self):
        guests, back = self.open_echo(self.guest, self.server.address), self.open_echo(self.client, self.guest.address)
        own = self.open_echo(self.client, self.server.address)
        since = self.trust(b"")
        for connection in (guests, back):
            connection.settimeout(5)
            try:
                self.assertEqual(connection.recv(100), b"")
            except ConnectionError:
                pass
            self.assertLess(time.monotonic() - since, 2.0)
        self.assertFalse(self.echoes(self.guest, self.server.address))
        self.assertFalse(self.echoes(self.client, self.guest.address))
        own.sendall(b"still\n")
        self.assertEqual(own.recv(100), b"still\n")
        for pod, direction in ((self.server, "inbound"), (self.client, "outbound")):
            record = pod.wait_access_log(direction=direction, reason="trust-removed")[-1]
            self.assertEqual(record["peer_identity"], self.guest.spiffe_id)
        self.trust_partner()
        wait_until(lambda: self.echoes(self.guest, self.server.address), 5, "trust again")


if __name__ == "__main__":
    sys.exit(main())
