#!/usr/bin/python3
"""Our control plane is an Istio CA to agents that know no other.

Proved: two pods whose agents speak istio.v1.auth to it get their certificates by a token first and by the certificate after, and
carry traffic across rotations of both without a failed connection; grpcio, as somebody else's agent that knows it by a host name,
gets a chain whose last element is the roots, for whom it has proven to be and no longer than is allowed; what it may not have it is
refused with the codes that Istio's agents know; and of 20 uses of a join token at the same time, in both protocols, one succeeds.
"""

import concurrent.futures
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from testing.ca_caller import CaCaller
from testing.case import MeshTestCase, main
from testing.issuer import new_key, uri_of
from testing.mesh import TRUST_DOMAIN
from testing.process import wait_until

ISTIOD = "istiod.istio-system.svc"
LIFE = 10
ID = "spiffe://cluster.local/ns/demo/sa/foreign"


class ServedIstioCaTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.control_plane = mesh.control_plane
        cls.control_plane.extra_flags = [f"--server_names={ISTIOD},ca.example"]
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        for pod, name in ((cls.client, ISTIOD), (cls.server, f"spiffe://{TRUST_DOMAIN}/byrnie/controlplane")):
            # A day, which is what Istio's agents ask for.
            pod.extra_agent_flags = ["--ca=istio", f"--ca_address={cls.control_plane.host.address}:{cls.control_plane.PORT}",
                                     f"--ca_server_name={name}", "--certificate_ttl=24h"]
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.start()
        cls.server.app("echo", 8080)

    def certs(self, pod):
        return json.loads(pod.agent_admin("/certs")[1])

    def records(self, message):
        return [record for record in self.control_plane.process.log_records() if record["message"] == message]

    def caller(self, **options):
        made = CaCaller(self.control_plane, ISTIOD, **options)
        self.addCleanup(made.close)
        return made

    def refused(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception

    def test_pods_of_ours_rotate_without_a_failed_connection(self):
        before = {pod: self.certs(pod)["generation"] for pod in (self.client, self.server)}
        short = self.client.app("short", self.mesh.vip, 80, 60, 0.05)
        wait_until(lambda: all(self.certs(pod)["generation"] >= before[pod] + 2 for pod in before), 3 * LIFE,
                   "two rotations of both pods", every=0.3)
        short.signal(10)
        result = short.result()
        self.assertEqual(result["failures"], [], result)
        self.assertGreater(result["succeeded"], 50)
        issued = [record for record in self.records("certificate issued") if record["identity"] == self.client.spiffe_id]
        self.assertEqual([record["proof"] for record in issued[:3]], ["join_token", "svid", "svid"])
        self.assertEqual({record["protocol"] for record in issued}, {"istio"})

    def test_gives_a_chain_and_the_roots_to_who_has_proven_to_be_somebody(self):
        caller = self.caller()
        answer = caller.create_certificate(self.control_plane.create_token(ID), life=86400)
        self.assertEqual(len(answer.cert_chain), 2)
        leaf = x509.load_pem_x509_certificate(answer.cert_chain[0].encode())
        self.assertEqual(uri_of(leaf), ID)  # Not whom the CSR names.
        self.assertEqual(leaf.public_key().public_numbers(), caller.key.public_key().public_numbers())
        self.assertLessEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 60 + LIFE)
        with open(self.control_plane.bundle, encoding="ascii") as bundle:
            self.assertEqual(answer.cert_chain[-1], bundle.read())
        # And again by the certificate, for less.
        renewer = self.caller(identity=(answer.cert_chain[0].encode(), caller.key_pem))
        renewed = x509.load_pem_x509_certificate(renewer.create_certificate(life=3).cert_chain[0].encode())
        self.assertEqual(uri_of(renewed), ID)
        self.assertLessEqual((renewed.not_valid_after - renewed.not_valid_before).total_seconds(), 63)

    def test_refuses_with_the_codes_that_istios_agents_know(self):
        caller = self.caller()
        token = self.control_plane.create_token(ID)
        rsa_key = rsa.generate_private_key(65537, 2048)
        pem = caller.csr().public_bytes(serialization.Encoding.PEM).decode()
        of_rsa = caller.csr(key=rsa_key).public_bytes(serialization.Encoding.PEM).decode()
        invalid, nobody = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED
        for code, said, call in (
                (nobody, "neither a client certificate nor a token", caller.create_certificate),
                (nobody, "not accepted", lambda: caller.create_certificate("guess")),
                (nobody, "not accepted", lambda: caller.create_certificate("eyJhbGciOiJub25lIn0.e30.AA")),
                (invalid, "certificate request", lambda: caller.create_certificate(token, csr="")),
                (invalid, "2 certificate requests", lambda: caller.create_certificate(token, csr=pem + pem)),
                (invalid, "not P-256", lambda: caller.create_certificate(token, csr=of_rsa)),
                (invalid, "cannot live -1s", lambda: caller.create_certificate(token, life=-1)),
                (invalid, "CertSigner", lambda: caller.create_certificate(token, metadata={"CertSigner": "x"})),
                (grpc.StatusCode.PERMISSION_DENIED, "somebody else", lambda: caller.create_certificate(
                    token, metadata={"ImpersonatedIdentity": "spiffe://cluster.local/ns/demo/sa/client"}))):
            error = self.refused(call)
            self.assertEqual(error.code(), code, said)
            self.assertIn(said, error.details())
        # What was refused for another reason than the token has not used it up.
        self.assertEqual(len(caller.create_certificate(token).cert_chain), 2)

    def test_of_many_uses_of_a_token_one_succeeds(self):
        token = self.control_plane.create_token(ID)
        callers = [self.caller() for _ in range(4)]

        def use(number):
            caller = callers[number % len(callers)]
            try:
                (caller.create_certificate if number % 2 else caller.issue)(token)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            codes = list(pool.map(use, range(20)))
        self.assertEqual((codes.count(grpc.StatusCode.OK), codes.count(grpc.StatusCode.UNAUTHENTICATED)), (1, 19))

    def test_is_known_by_no_other_host_name(self):
        other = CaCaller(self.control_plane, "istiod.other.svc")
        self.addCleanup(other.close)
        self.assertEqual(self.refused(lambda: other.create_certificate("guess")).code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    sys.exit(main())
