#!/usr/bin/python3
"""Workloads join with a token of an OpenID Connect issuer, and nobody with anything else.

Proved with two issuers that the test plays, one of ES256 and one of RS256: two pods get the identities that the control plane's
mapping gives their tokens and talk to each other, beside one with a join token; each wrong token is answered in the same words,
while log and metric say why; keys and issuers change while it runs, a broken file changes nothing; a token of an issuer whose
tokens work once gives one certificate of 20 tried at the same time.
"""

import concurrent.futures
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography import x509

from testing.ca_caller import CaCaller
from testing.case import MeshTestCase, main
from testing.issuer import uri_of
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.token_issuer import SigningKey, TokenIssuer, base64url

HOST = "ca.example"
REFUSED = "the credential is not accepted; the control plane's log says why"


class JwtAttestationTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.ci = TokenIssuer("https://ci.example", [SigningKey("ES256", "e1")])
        cls.vms = TokenIssuer("https://vms.example/", [SigningKey("RS256", "r1")], audience="mesh")
        cls.config = {"leeway": "5s", "issuers": [
            {"issuer": cls.ci.name, "audiences": ["byrnie"], "jwks_file": cls.path("ci.jwks"), "max_life": "1h",
             "identities": [{"claims": {"sub": "repo:acme/{repo}:ref:refs/heads/main"},
                             "spiffe_id": "spiffe://cluster.local/ns/demo/sa/{repo}"}]},
            {"issuer": cls.vms.name, "audiences": ["x", "mesh"], "jwks_file": cls.path("vms.jwks"), "single_use": True,
             "identities": [{"claims": {"compute/project": "prod", "compute/vm": "{vm}"},
                             "spiffe_id": "spiffe://cluster.local/ns/demo/sa/{vm}"}]}]}
        cls.ci.write_keys(cls.path("ci.jwks"))
        cls.vms.write_keys(cls.path("vms.jwks"))
        cls.write_config(cls.config)
        control_plane = cls.mesh.control_plane
        control_plane.attest = "join_token,jwt"
        control_plane.extra_flags = [f"--jwt_config={cls.path('jwt.json')}", f"--server_names={HOST}"]
        cls.client, cls.server, cls.third = (cls.mesh.pod(name) for name in ("client", "server", "third"))
        cls.client.give_token(cls.ci.token("repo:acme/client:ref:refs/heads/main"))
        cls.server.give_token(cls.vm_token("server"))
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.caller = CaCaller(control_plane, HOST)

    @classmethod
    def tearDownClass(cls):
        cls.caller.close()
        super().tearDownClass()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.mesh.directory, name)

    @classmethod
    def write_config(cls, config):
        with open(cls.path("jwt.json.new"), "w", encoding="ascii") as out:
            out.write(config if isinstance(config, str) else json.dumps(config))
        os.replace(cls.path("jwt.json.new"), cls.path("jwt.json"))

    @classmethod
    def vm_token(cls, vm, **claims):
        return cls.vms.token(f"vm-{vm}", jti=os.urandom(8).hex(), compute={"project": "prod", "vm": vm}, **claims)

    def records(self, message):
        return [record for record in self.mesh.control_plane.process.log_records() if record["message"] == message]

    def count(self, attestor, result):
        return parse_metrics(self.mesh.control_plane.admin("/metrics")[1])[
            f'byrnie_controlplane_attestations_total{{attestor="{attestor}",result="{result}"}}']

    def identity(self, token):
        return uri_of(x509.load_der_x509_certificate(self.caller.issue(token).certificate_chain[0]))

    def refusal(self, token):
        """What the log says of a token that is refused; whoever sent it hears the same of each."""
        before = len(self.records("certificate refused"))
        with self.assertRaises(grpc.RpcError) as caught:
            self.caller.issue(token)
        self.assertEqual((caught.exception.code(), caught.exception.details()), (grpc.StatusCode.UNAUTHENTICATED, REFUSED))
        return wait_until(lambda: self.records("certificate refused")[before:], 5, "the log")[0]

    def accepted(self, token):
        try:
            self.caller.issue(token)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
            return False
        return True

    def test_pods_have_the_identities_of_their_tokens(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(self.ask(self.third, self.mesh.vip, 80), b"ping\n")
        issued = {record["identity"]: record for record in self.records("certificate issued")}
        for pod, proof, subject in ((self.client, "jwt:https://ci.example", "repo:acme/client:ref:refs/heads/main"),
                                    (self.server, "jwt:https://vms.example/", "vm-server"),
                                    # The token's id.
                                    (self.third, "join_token", r"[0-9a-f]{64}")):
            record = issued[pod.spiffe_id]
            self.assertEqual((record["proof"], record["protocol"]), (proof, "byrnie"))
            self.assertRegex(record["subject"], rf"\A{subject}\Z")
        self.assertIn("jwt:https://ci.example", self.mesh.control_plane.admin("/")[1])
        # The table has what the proofs say.
        listed = self.mesh.control_plane.ctl("issuances").stdout
        self.assertIn("  SUBJECT  ", listed.splitlines()[0])
        self.assertIn("  repo:acme/client:ref:refs/heads/main  ", listed)
        self.assertIn(f"  {issued[self.third.spiffe_id]['subject']}  ", listed)

    def test_a_token_gives_its_identity_whatever_the_request_says(self):
        self.assertEqual(self.identity(self.ci.token("repo:acme/shop:ref:refs/heads/main")), "spiffe://cluster.local/ns/demo/sa/shop")

    def test_wrong_tokens_are_refused_in_the_same_words(self):
        now, good = int(time.time()), "repo:acme/shop:ref:refs/heads/main"
        stranger = SigningKey("ES256", "e1")
        # Signed by nobody, in the shape that a symmetric algorithm's would have.
        hmac = ".".join((base64url({"alg": "HS256", "kid": "e1"}), base64url({"iss": self.ci.name}), base64url(b"x" * 32)))
        for reason, token in (
                ("unknown-token", "guess"), ("unrecognized", TokenIssuer("https://evil.example", [stranger]).token(good)),
                ("bad-signature", self.ci.token(good, key=stranger)), ("malformed", hmac),
                ("malformed", self.ci.token(good, header={"crit": ["exp"]})), ("malformed", self.ci.token(good, exp=None)),
                ("unknown-key", self.ci.token(good, header={"kid": "e9"})),
                ("unknown-key", self.ci.token(good, header={"alg": "RS256"})),
                ("expired", self.ci.token(good, iat=now - 600, exp=now - 60)), ("not-yet-valid", self.ci.token(good, nbf=now + 60)),
                ("too-long-lived", self.ci.token(good, life=7200)), ("wrong-audience", self.ci.token(good, aud=["sts.example"])),
                ("wrong-claims", self.ci.token("repo:acme/shop:ref:refs/heads/side")),
                ("wrong-claims", self.ci.token("repo:evil/shop:ref:refs/heads/main")),
                ("wrong-claims", self.ci.token("repo:acme/..:ref:refs/heads/main"))):
            attestor = {"unknown-token": "join_token", "unrecognized": "none"}.get(reason, "jwt")
            before = self.count(attestor, reason)
            record = self.refusal(token)
            self.assertEqual(record["reason"], reason, record)
            self.assertEqual(self.count(attestor, reason), before + 1)
        # No token, nor any part of one, is in the log.
        with open(self.mesh.control_plane.log_path, encoding="utf-8") as log:
            self.assertNotIn("eyJ", log.read())

    def test_keys_and_issuers_change_while_it_runs(self):
        old, new = self.ci.keys[0], SigningKey("RS256", "r7")
        subject = "repo:acme/shop:ref:refs/heads/main"

        def restore():
            self.ci.keys = [old]
            self.ci.write_keys(self.path("ci.jwks"))
            self.write_config(self.config)
            wait_until(lambda: self.accepted(self.ci.token(subject)), 5, "what was before", every=0.2)
        self.addCleanup(restore)
        self.ci.keys = [old, new]
        self.assertFalse(self.accepted(self.ci.token(subject, key=new)))
        self.ci.write_keys(self.path("ci.jwks"))
        wait_until(lambda: self.accepted(self.ci.token(subject, key=new)), 5, "the new key", every=0.2)
        self.assertTrue(self.accepted(self.ci.token(subject, key=old)))
        self.ci.keys = [new]
        self.ci.write_keys(self.path("ci.jwks"))
        wait_until(lambda: not self.accepted(self.ci.token(subject, key=old)), 5, "the old key's end", every=0.2)
        # What is broken, or gone, ends nothing.
        rejected = len(self.records("file of JWT issuers or keys rejected, what it said before stays in force"))
        with open(self.path("ci.jwks"), "w", encoding="ascii"):
            pass
        self.write_config("{")
        wait_until(lambda: len(self.records(
            "file of JWT issuers or keys rejected, what it said before stays in force")) == rejected + 2, 5, "two complaints")
        self.assertTrue(self.accepted(self.ci.token(subject, key=new)))
        # An issuer that is taken out is out.
        self.write_config({"issuers": self.config["issuers"][1:]})
        wait_until(lambda: not self.accepted(self.ci.token(subject, key=new)), 5, "the issuer's end", every=0.2)
        self.assertTrue(self.accepted(self.vm_token("another")))

    def test_a_token_that_works_once_gives_one_certificate(self):
        token = self.vm_token("once")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            results = list(pool.map(lambda _: self.accepted(token), range(20)))
        self.assertEqual(results.count(True), 1)
        self.assertEqual(self.refusal(token)["reason"], "replayed")
        self.assertTrue(self.accepted(self.vm_token("once")))


if __name__ == "__main__":
    sys.exit(main())
