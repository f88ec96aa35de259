#!/usr/bin/python3
"""Pods join with the token that their kubelet projects, as a real API server judges it, and nobody with another one.

Proved: a token of our audience gets its account's identity, and the audit log has the pod; one for the API server, one that is bound to no pod, one whose pod is gone or has finished, also if the control plane was not there to see it, and one that somebody else has signed are answered in the same words, while the log says why; one whose signature the server's keys show to be wrong is not shown to it, and whoever has the server asked about many keeps nobody else out;
a token that does not come from its pod is taken and written down, or refused where the address has to be right, and one of a pod whose address is not known then has to wait;
while the API server is away its keys judge, but not the token of a pod that was seen to go, and it judges again when it is back. The control plane's account may do what docs/operations.md lists, and no more.
"""

import base64
import concurrent.futures
import json
import os
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography import x509

from testing.case import main
from testing.issuer import uri_of
from testing.kubernetes import Cluster
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import parse_metrics
from testing.process import json_lines, wait_until
from testing.token_issuer import SigningKey, TokenIssuer

HERE, ELSEWHERE = "127.0.0.1", "10.1.0.1"  # Where tests ask from, and where they do not.
REFUSED = "the credential is not accepted; the control plane's log says why"


class KubernetesAttestationTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()
        cls.cluster.namespace("shop", accounts=["cart"])
        cls.plane = LoopbackControlPlane("--attest=kubernetes", f"--kubeconfig={cls.cluster.control_plane_kubeconfig()}")
        cls.addClassCleanup(cls.plane.__exit__)
        cls.plane.start()

    def pod(self, name, ip=HERE):
        pod = self.cluster.pod("shop", name, "cart", ip=ip)
        self.addCleanup(lambda: self.cluster.delete_pod(pod))
        return pod

    def take(self, token, pod, proof, plane=None):
        """A certificate for the token, and what the log says of it when it says `proof`: a pod is not known as soon as it is there."""
        plane = plane or self.plane

        def taken():
            certificate = x509.load_pem_x509_certificate(plane.issue_for(token).chain)
            self.assertEqual(uri_of(certificate), "spiffe://cluster.local/ns/shop/sa/cart")
            record = self.issued(certificate, plane)
            self.assertIn(pod["metadata"]["uid"], record["subject"])
            self.assertIn(pod["metadata"]["name"], record["subject"])
            return record if record["proof"] == proof else None
        return wait_until(taken, 5, f"a certificate by {proof}", every=0.1)

    def issued(self, certificate, plane=None):
        """What the log says of it."""
        return wait_until(lambda: next((record for record in json_lines((plane or self.plane).log_text())
                                        if record.get("serial") == f"{certificate.serial_number:032x}"), None),
                          5, "the line of an issuance")

    def refuse(self, token, reason, plane=None):
        plane = plane or self.plane
        with self.assertRaises(grpc.RpcError) as caught:
            plane.issue_for(token)
        self.assertEqual((caught.exception.code(), caught.exception.details()), (grpc.StatusCode.UNAUTHENTICATED, REFUSED))
        refusals = [record for record in json_lines(plane.log_text()) if "reason" in record]
        self.assertEqual(refusals[-1]["reason"], reason, refusals[-1])
        self.assertNotIn(token, plane.log_text())
        return refusals[-1]

    def code(self, token, plane=None):
        try:
            (plane or self.plane).issue_for(token)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def test_a_pods_token_gets_its_accounts_identity(self):
        pod = self.pod("cart-1")
        record = self.take(self.cluster.token(pod, "byrnie"), pod, "kubernetes")
        # Such a server does not say the node; the pod that it has does.
        self.assertEqual(record["subject"], f"pod cart-1 ({pod['metadata']['uid']}) on node-1")

    # Where it comes from.

    def test_a_token_from_elsewhere_than_its_pod_is_written_down(self):
        pod = self.pod("cart-10", ELSEWHERE)
        record = self.take(self.cluster.token(pod, "byrnie"), pod, "kubernetes:other-address")
        said = f"it comes from {HERE}, which is no address of pod shop/cart-10 ({ELSEWHERE})"
        self.assertTrue(record["subject"].endswith(said), record)
        self.assertIn(said, self.plane.ctl("events").stdout)
        self.assertGreaterEqual(self.count('byrnie_controlplane_pod_addresses_total{at="elsewhere"}'), 1)

    def test_where_the_address_has_to_be_right_it_is_refused(self):
        with LoopbackControlPlane("--attest=kubernetes", f"--kubeconfig={self.cluster.control_plane_kubeconfig()}",
                                  "--kubernetes_pod_address=require") as plane:
            right, wrong = self.pod("cart-11"), self.pod("cart-12", ELSEWHERE)
            self.await_known(right, plane)
            self.take(self.cluster.token(right, "byrnie"), right, "kubernetes", plane)
            token = self.cluster.token(wrong, "byrnie")
            self.await_known(wrong, plane)
            refusal = self.refuse(token, "other-address", plane)
            self.assertIn(f"it comes from {HERE}, which is no address of pod shop/cart-12 ({ELSEWHERE})", refusal["error"])
            # Some networks give what leaves a pod its node's address.
            self.cluster.admin.patch("/api/v1/namespaces/shop/pods/cart-12/status", {"status": {"hostIP": HERE}})
            wait_until(lambda: self.code(token, plane) == grpc.StatusCode.OK, 5, "the node's address to be taken", every=0.1)

    def test_where_the_address_has_to_be_right_a_pod_waits_until_it_is_known(self):
        with LoopbackControlPlane("--attest=kubernetes", f"--kubeconfig={self.cluster.control_plane_kubeconfig()}",
                                  "--kubernetes_pod_address=require") as plane:
            pod = self.cluster.pod("shop", "cart-13", "cart", ip=None)
            self.addCleanup(lambda: self.cluster.delete_pod(pod))
            token = self.cluster.token(pod, "byrnie")
            for _ in range(5):
                self.assertEqual(self.code(token, plane), grpc.StatusCode.UNAVAILABLE)
                time.sleep(0.1)
            self.assertIn("no address of pod shop/cart-13 is known here yet", plane.log_text())
            self.cluster.pod_status("shop", "cart-13", HERE)
            wait_until(lambda: self.code(token, plane) == grpc.StatusCode.OK, 5, "its address to be taken", every=0.1)

    def await_known(self, pod, plane):
        """Its address to have come to the control plane."""
        token = self.cluster.token(pod, "byrnie")
        wait_until(lambda: self.code(token, plane) != grpc.StatusCode.UNAVAILABLE, 5, "the pod to be known", every=0.1)

    # What it says.

    def test_a_token_for_somebody_else_is_refused(self):
        pod = self.pod("cart-2")
        self.refuse(self.cluster.token(pod), "wrong-audience")

    def test_a_token_without_a_pod_is_refused(self):
        self.refuse(self.cluster.unbound_token("shop", "cart", "byrnie"), "wrong-claims")

    def test_a_token_that_somebody_else_has_signed_is_refused(self):
        pod = self.pod("cart-3")
        self.refuse(self.forged(pod, "r1"), "unknown-token")

    def forged(self, pod, key_id, key=None, life=600):
        forger = TokenIssuer("https://kubernetes.default.svc", [key or SigningKey("RS256", key_id)])
        return forger.token("system:serviceaccount:shop:cart", life=life, **{"kubernetes.io": {
            "namespace": "shop", "pod": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
            "serviceaccount": {"name": "cart", "uid": "u"}}})

    def count(self, series):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/metrics", timeout=5) as answer:
            return parse_metrics(answer.read().decode())[series]

    def reviews(self):
        return self.count('byrnie_controlplane_token_reviews_total{by="api_server"}')

    def await_keys(self, pod):
        """Somebody else's key by the name of the server's, once the control plane knows that one."""
        header = self.cluster.token(pod, "byrnie").partition(".")[0]
        key_id = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
        key = SigningKey("RS256", key_id)

        def is_shown_forged():
            # Before the keys have been fetched the server is asked about it.
            self.assertNotEqual(self.code(self.forged(pod, key_id, key)), grpc.StatusCode.OK)
            reasons = [record["reason"] for record in json_lines(self.plane.log_text()) if "reason" in record]
            return reasons[-1] == "bad-signature"
        wait_until(is_shown_forged, 10, "the server's keys", every=0.2)
        return key

    def test_a_forged_token_by_a_known_key_costs_the_server_nothing(self):
        pod = self.pod("cart-8")
        key = self.await_keys(pod)
        before = self.reviews()
        for _ in range(5):
            self.refuse(self.forged(pod, key.kid, key), "bad-signature")
        self.assertEqual(self.reviews(), before)
        self.take(self.cluster.token(pod, "byrnie"), pod, "kubernetes")
        self.assertEqual(self.reviews(), before + 1)

    def test_who_sends_many_forged_tokens_keeps_nobody_out(self):
        pod = self.pod("cart-9")
        good = [self.cluster.token(pod, "byrnie") for _ in range(10)]
        # By a key that the server has not published, so that it has to be asked; each is another token.
        key = SigningKey("ES256", "r2")
        forged = [self.forged(pod, "r2", key, life=600 + number) for number in range(200)]
        self.await_keys(pod)
        before, began = self.reviews(), time.monotonic()
        away = self.count("byrnie_controlplane_token_reviews_sent_away_total")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            flood = pool.map(self.code, forged)
            self.assertEqual([self.code(token) for token in good], [grpc.StatusCode.OK] * len(good))
            codes = set(flood)
        seconds = time.monotonic() - began
        self.assertLessEqual(codes, {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE})
        # Ten at once and ten a second of one address. On a slow machine that may be all of them.
        asked = self.reviews() - before - len(good)
        self.assertLessEqual(asked, 10 + 10 * seconds)
        self.assertEqual(self.count("byrnie_controlplane_token_reviews_sent_away_total") - away, len(forged) - asked)

    def test_a_token_dies_with_its_pod(self):
        pod = self.cluster.pod("shop", "cart-4", "cart", ip=HERE)
        known, unknown = self.cluster.token(pod, "byrnie"), self.cluster.token(pod, "byrnie")
        self.take(known, pod, "kubernetes")
        self.cluster.delete_pod(pod)
        # As soon as the pod is seen to go: the server itself, which remembers for ten seconds, would take it.
        for token in (known, unknown):
            self.await_refusal(token)

    def await_refusal(self, token):
        wait_until(lambda: self.code(token) == grpc.StatusCode.UNAUTHENTICATED, 5,
                   "the refusal of a token of a pod that is gone", every=0.2)
        self.refuse(token, "unknown-token")

    def test_a_token_of_a_pod_that_has_finished_is_refused_also_after_a_restart(self):
        pod = self.pod("cart-7")
        tokens = [self.cluster.token(pod, "byrnie") for _ in range(3)]
        self.take(tokens[0], pod, "kubernetes")
        self.cluster.admin.patch("/api/v1/namespaces/shop/pods/cart-7/status", {"status": {"phase": "Succeeded"}})
        for token in tokens[:2]:
            self.await_refusal(token)
        self.plane.stop()
        self.plane.start()
        # The server itself, which still has the pod, would take it.
        for token in tokens:
            self.await_refusal(token)

    def test_the_servers_keys_judge_while_it_is_away(self):
        pod = self.pod("cart-5")
        gone = self.cluster.pod("shop", "cart-6", "cart", ip=HERE)
        first, second, third, dead = [self.cluster.token(each, "byrnie") for each in (pod, pod, pod, gone)]
        # Both are known to the control plane before the server goes.
        self.take(first, pod, "kubernetes")
        self.take(dead, gone, "kubernetes")
        self.cluster.delete_pod(gone)
        wait_until(lambda: self.code(dead) == grpc.StatusCode.UNAUTHENTICATED, 5, "the end of the pod to be seen",
                   every=0.2)
        self.cluster.stop_api_server()
        self.take(second, pod, "kubernetes:keys")
        self.refuse(dead, "unknown-token")
        self.cluster.start_api_server()
        wait_until(lambda: self.judged_by_server(third), 20, "the API server to be asked again")

    def judged_by_server(self, token):
        certificate = x509.load_pem_x509_certificate(self.plane.issue_for(token).chain)
        return self.issued(certificate)["proof"] == "kubernetes"


if __name__ == "__main__":
    sys.exit(main())
