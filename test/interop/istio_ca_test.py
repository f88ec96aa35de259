#!/usr/bin/python3
"""A whole mesh whose certificates come from an Istio CA, which grpcio plays.

Proved: two pods with --ca=istio get their certificates by istio.v1.auth with a projected token, the CSR in PEM and the clusterid
where Istio's agents put it, from a CA whose certificate is for a host name; with discovery at our control plane they carry
traffic, across three rotations without a failed connection; further roots that the CA sends are in
force in the proxies; an error with a time to come back is honoured.
"""

import base64
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble, Refusal
from testing.case import MeshTestCase, main
from testing.issuer import Issuer
from testing.mesh import PROXY_UID
from testing.process import wait_until

LIFE = 12
AUDIENCE = "istio-ca"


def projected_token(audience=AUDIENCE, left=600):
    """As the kubelet writes them; nobody here can verify the signature."""
    def part(content):
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return ".".join((part({"alg": "RS256", "kid": "k"}), part({"aud": [audience], "exp": int(time.time() + left),
                     "sub": "system:serviceaccount:demo:client"}), base64.urlsafe_b64encode(os.urandom(64)).decode().rstrip("=")))


class IstioCaTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        root = Issuer.of_control_plane(mesh)
        cls.ca = CaDouble(mesh.network.host("istiod", 3), issuer=root, dns_names=("istiod.istio-system.svc",))
        cls.ca.server_issuer = Issuer(name="istiod's own root")
        cls.ca.life = LIFE
        cls.ca.start()
        roots = cls.ca.write_bundle(os.path.join(mesh.directory, "istio-root.pem"))
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.extra_agent_flags = ["--ca=istio", f"--ca_address={cls.ca.target}", f"--ca_roots={roots}",
                                     "--ca_server_name=istiod.istio-system.svc", f"--token_audience={AUDIENCE}",
                                     "--cluster_id=east", "--certificate_ttl=1h", "--proof=token"]
            # In place of a join token, which our control plane would not be asked about.
            cls.write_token(pod, projected_token())
            pod.write_token = lambda: None
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.start()
        cls.server.app("echo", 8080)

    @staticmethod
    def write_token(pod, text):
        with open(pod.token + ".new", "w", encoding="ascii") as out:
            out.write(text + "\n")
        os.chown(pod.token + ".new", PROXY_UID, PROXY_UID)
        os.replace(pod.token + ".new", pod.token)

    @classmethod
    def tearDownClass(cls):
        cls.ca.stop()
        super().tearDownClass()

    def certs(self, pod):
        return json.loads(pod.agent_admin("/certs")[1])

    @staticmethod
    def renew(pod):
        # Taken once a second, and not while one is under way.
        wait_until(lambda: pod.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal begun", every=0.1)

    def test_the_authority_is_asked_as_istios_agents_ask(self):
        call = self.ca.calls[0]
        self.assertEqual(call.protocol, "istio")
        self.assertEqual(call.metadata["clusterid"], "east")
        self.assertEqual(call.request.validity_duration, 3600)
        self.assertEqual(call.token.count("."), 2)
        self.assertTrue(call.request.csr.startswith("-----BEGIN CERTIFICATE REQUEST-----\n"))

    def test_traffic_flows_across_rotations_of_certificates(self):
        for pod in (self.client, self.server):
            self.renew(pod)  # Another test's certificates may live for long.
        before = {pod: self.certs(pod)["generation"] for pod in (self.client, self.server)}
        short = self.client.app("short", self.mesh.vip, 80, 60, 0.05)
        wait_until(lambda: all(self.certs(pod)["generation"] >= before[pod] + 3 for pod in before), 3 * LIFE,
                   "three rotations of both pods", every=0.3)
        short.signal(10)
        result = short.result()
        self.assertEqual(result["failures"], [], result)
        self.assertGreater(result["succeeded"], 100)
        certs = self.certs(self.client)
        self.assertEqual(certs["spiffe_id"], self.client.spiffe_id)
        self.assertEqual(len(certs["certificate_chain"]), 1)

    def test_roots_that_come_with_a_certificate_are_in_force(self):
        other = Issuer(name="the next root")
        version = self.certs(self.client)["trust_bundle_version"]
        self.ca.publish([self.ca.issuer.root, other.certificate])
        self.renew(self.client)
        wait_until(lambda: "the next root" in self.client.admin("/certs")[1], 5, "the root in the proxy")
        self.assertEqual(self.certs(self.client)["trust_bundle_version"], version + 1)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def test_a_time_to_come_back_is_honoured_and_a_token_refused_before_it_is_sent(self):
        wait_until(lambda: self.certs(self.client)["renewal"]["state"] == "waiting", 5, "rest")
        self.ca.life = 600
        self.addCleanup(setattr, self.ca, "life", LIFE)
        self.addCleanup(setattr, self.ca, "error", None)
        serial = self.certs(self.client)["generation"]
        self.renew(self.client)
        wait_until(lambda: self.certs(self.client)["generation"] > serial, 5, "a certificate for ten minutes")
        self.ca.error = Refusal("RESOURCE_EXHAUSTED", "later", retry_after="60")
        self.renew(self.client)
        renewal = wait_until(lambda: (found := self.certs(self.client)["renewal"])["failures_in_a_row"] and found, 5,
                             "the refusal")
        due = time.mktime(time.strptime(renewal["next_attempt"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        self.assertGreater(due - time.time(), 55)
        self.ca.error = None
        asked = len(self.ca.calls)
        for token, reason in ((projected_token(left=-90), "expired 1m"), (projected_token("api"), "audience api, not for istio-ca"),
                              ("eyJ.x", "malformed"), ("", "is empty")):
            self.write_token(self.client, token)
            self.renew(self.client)
            wait_until(lambda: reason in self.certs(self.client)["renewal"]["last_error"], 5, reason)
        mine = [call for call in self.ca.calls[asked:] if call.spiffe_id == self.client.spiffe_id]
        self.assertEqual(mine, [])
        self.write_token(self.client, projected_token())
        self.ca.life = LIFE
        self.renew(self.client)
        wait_until(lambda: self.certs(self.client)["renewal"]["failures_in_a_row"] == 0, 5, "the fresh token")


if __name__ == "__main__":
    sys.exit(main())
