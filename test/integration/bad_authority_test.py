#!/usr/bin/python3
"""Whatever an authority answers, the agent keeps the certificate it has, says what was wrong, and goes on.

Proved with an authority that the test plays: an empty chain, another identity, a certificate that has expired, one for another
key, one by an unknown root, 10 MiB, garbage in place of the message, of the certificate, of PEM, a connection cut in the middle
of the answer, and an authority that says nothing; in both protocols. After each the served certificate is the same, the
failure is counted and logged with its reason, and the agent runs; then a good answer is taken.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble, CuttingRelay
from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.issuer import Issuer, new_key
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.sanitized import measured

RELAY = 15112


class BadAuthorityTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        cls.ca = CaDouble(mesh.network.host("ca", 3), issuer=Issuer.of_control_plane(mesh))
        cls.ca.start()
        cls.relay = CuttingRelay(cls.ca.host, cls.ca.port, RELAY)
        cls.pods = {}
        for protocol in ("byrnie", "istio"):
            pod = cls.pods[protocol] = mesh.pod(protocol)
            pod.extra_agent_flags = [f"--ca={protocol}", f"--ca_address={cls.ca.address}:{RELAY}"]
        mesh.start()
        cls.probe = mesh.outsider()
        cls.stranger = Issuer(name="unknown root")

    @classmethod
    def tearDownClass(cls):
        cls.relay.close()
        cls.ca.stop()
        super().tearDownClass()

    def setUp(self):
        self.addCleanup(self.behave)

    def behave(self):
        self.ca.answer, self.ca.delay, self.relay.limit = None, 0, None

    # What the agent says.

    def serial(self, pod):
        return leaf_facts(served_leaf(self.probe, pod.address))["serial"]

    def attempts(self, pod, result):
        return parse_metrics(pod.agent_admin("/metrics")[1])[f'byrnie_certagent_renewals_total{{result="{result}"}}']

    def failures(self, pod):
        return self.attempts(pod, "issue_failed") + self.attempts(pod, "rejected")

    def expect_rejection(self, answers, deadline=10):
        """One renewal of each pod is refused: answers is {protocol: (answer(call, good answer), a word of the reason)}."""
        pods = {self.pods[protocol]: reason for protocol, (_, reason) in answers.items()}
        before = {pod: (self.serial(pod), self.failures(pod), len(self.complaints(pod))) for pod in pods}
        self.ca.answer = lambda call, good: (answers[call.protocol][0](call, good) if call.protocol in answers else good)
        for pod in pods:
            # Taken once a second.
            wait_until(lambda: pod.agent_admin("/renew", "POST")[0] == 202, 3, "a renewal begun", every=0.1)
        for pod, reason in pods.items():
            serial, failures, complaints = before[pod]
            wait_until(lambda: self.failures(pod) > failures, deadline, f"a failure counted: {reason}")
            wait_until(lambda: len(self.complaints(pod)) > complaints, 2, f"a word in the log: {reason}")
            self.assertIn(reason.lower(), self.complaints(pod)[complaints]["reason"].lower())
            self.assertEqual(self.serial(pod), serial)
            self.assertTrue(pod.agent.running() and pod.ready())
        self.behave()
        for pod in pods:
            wait_until(lambda: self.rested(pod) and self.serial(pod) != before[pod][0], 10,
                       "a good certificate after it", every=0.1)

    def complaints(self, pod):
        return [record for record in pod.agent.log_records() if record.get("message") == "certificate not renewed"]

    def rested(self, pod):
        certs = pod.agent_admin("/certs")[1]
        return '"state": "waiting"' in certs and '"failures_in_a_row": 0' in certs

    # Ways to answer.

    def chain(self, make):
        """The chain that `make(call)` gives."""
        return lambda call, good: (self.ca.issue_answer if call.protocol == "byrnie" else self.ca.istio_answer)(call, make(call))

    @staticmethod
    def changed(change):
        """The good answer, changed in one place."""
        def answer(call, good):
            change(good)
            return good
        return answer

    # The tests.

    def test_certificates_that_are_wrong(self):
        ca = self.ca
        for reason, make in (
                ("expected spiffe://", lambda call: ca.certify(call, spiffe_id="spiffe://cluster.local/ns/demo/sa/other")),
                ("expired", lambda call: ca.certify(call, begins=-600, ends=-5)),
                ("valid in", lambda call: ca.certify(call, begins=600, ends=1200)),
                ("key", lambda call: ca.certify(call, public_key=new_key().public_key())),
                ("root", lambda call: ca.certify(call, issuer=self.stranger)),
                ("trust domain", lambda call: ca.certify(call, spiffe_id="spiffe://other.domain/ns/demo/sa/x"))):
            with self.subTest(reason):
                self.expect_rejection({protocol: (self.chain(make), reason) for protocol in self.pods})

    def test_answers_that_are_empty(self):
        response = self.ca.messages["istio.v1.auth.IstioCertificateResponse"]
        self.expect_rejection({
            "byrnie": (lambda call, good: self.ca.messages["byrnie.ca.v1.IssueResponse"](), "chain of 0"),
            "istio": (lambda call, good: response(), "0 elements")})
        self.expect_rejection({"istio": (lambda call, good: response(cert_chain=good.cert_chain[:1]), "1 elements")})

    def test_answers_that_are_garbage(self):
        with self.subTest("no message"):
            # The library makes an empty answer of it.
            self.expect_rejection({"byrnie": (lambda call, good: b"\xff" * 200, "chain of 0"),
                                   "istio": (lambda call, good: b"\xff" * 200, "0 elements")})
        pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

        def garble(good):
            good.certificate_chain[0] = os.urandom(600)

        def garble_pem(index):
            def change(good):
                good.cert_chain[index] = pem
            return self.changed(change)
        with self.subTest("no certificate"):
            self.expect_rejection({"byrnie": (self.changed(garble), "certificate"),
                                   "istio": (garble_pem(0), "cert_chain[0]")})
        with self.subTest("no roots"):
            self.expect_rejection({"istio": (garble_pem(1), "cert_chain[1]")})

    def test_answers_of_ten_mebibytes(self):
        def swell(call, good):
            if call.protocol == "byrnie":
                good.certificate_chain.append(b"\0" * (10 << 20))
            else:
                good.cert_chain.append("A" * (10 << 20))
            return good
        memory = {pod: pod.agent.memory_kib() for pod in self.pods.values()}
        self.expect_rejection({protocol: (swell, "larger than max") for protocol in self.pods})
        for pod, before in memory.items():
            with measured():
                self.assertLess(pod.agent.memory_kib(), before + 8 * 1024)

    def test_answers_that_are_cut(self):
        def cut(good):
            # Nothing passes any more, in the middle of the call.
            self.relay.limit = 0
        self.expect_rejection({protocol: (self.changed(cut), "unavailable") for protocol in self.pods})
        self.assertGreaterEqual(self.relay.cut, 2)

    def test_an_authority_that_says_nothing(self):
        self.ca.delay = 11
        self.expect_rejection({protocol: (lambda call, good: good, "deadline") for protocol in self.pods}, deadline=15)


if __name__ == "__main__":
    sys.exit(main())
