#!/usr/bin/python3
"""The certificate authority that tests play does what they tell it, in both of its protocols.

Proved with grpcio as its client and without any binary of the product, so that a failure elsewhere is not the double's.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from testing.ca_double import BYRNIE, ISTIO, CaDouble, Refusal
from testing.case import main
from testing.issuer import Issuer, new_key, pem, uri_of
from testing.process import wait_until

ID = "spiffe://cluster.local/ns/demo/sa/client"


class CaDoubleTest(unittest.TestCase):

    def setUp(self):
        self.ca = CaDouble(port=0)
        self.ca.start()
        self.addCleanup(self.ca.stop)
        self.key = new_key()
        self.csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(ID)]), False).sign(self.key, hashes.SHA256())

    def channel(self):
        channel = grpc.secure_channel(self.ca.target, grpc.ssl_channel_credentials(self.ca.bundle_pem().encode()))
        self.addCleanup(channel.close)
        return channel

    def issue(self, channel=None, token="proof"):
        request = self.ca.messages["byrnie.ca.v1.IssueRequest"](csr=self.csr.public_bytes(serialization.Encoding.DER))
        call = self.ca.messages.caller(channel or self.channel(), BYRNIE, "Issue")
        return call(request, timeout=5, metadata=(("authorization", f"Bearer {token}"),))

    def test_issues_to_the_identity_of_the_request_and_writes_the_proof_down(self):
        answer = self.issue()
        leaf = x509.load_der_x509_certificate(answer.certificate_chain[0])
        self.assertEqual(uri_of(leaf), ID)
        self.assertEqual(leaf.public_key().public_numbers(), self.key.public_key().public_numbers())
        self.assertEqual((self.ca.calls[0].token, self.ca.calls[0].spiffe_id), ("proof", ID))
        self.assertEqual(answer.trust_bundles.version, 1)

    def test_speaks_istios_protocol(self):
        request = self.ca.messages["istio.v1.auth.IstioCertificateRequest"](
            csr=self.csr.public_bytes(serialization.Encoding.PEM).decode(), validity_duration=60)
        self.ca.issuer = Issuer(above=self.ca.issuer)
        answer = self.ca.messages.caller(self.channel(), ISTIO, "CreateCertificate")(
            request, timeout=5, metadata=(("clusterid", "c1"),))
        self.assertEqual(len(answer.cert_chain), 3)
        self.assertEqual(answer.cert_chain[-1], pem(self.ca.issuer.root))
        self.assertEqual(self.ca.calls[0].metadata["clusterid"], "c1")
        self.assertEqual(self.ca.calls[0].request.validity_duration, 60)

    def test_refuses_with_what_it_is_told(self):
        self.ca.error = Refusal("RESOURCE_EXHAUSTED", "later", retry_info=7.5, retry_after="8")
        with self.assertRaises(grpc.RpcError) as caught:
            self.issue()
        trailing = dict(caught.exception.trailing_metadata())
        self.assertEqual((caught.exception.code(), trailing["retry-after"]), (grpc.StatusCode.RESOURCE_EXHAUSTED, "8"))
        status = self.ca.messages["google.rpc.Status"].FromString(trailing["grpc-status-details-bin"])
        info = self.ca.messages["google.rpc.RetryInfo"].FromString(status.details[0].value)
        self.assertEqual((info.retry_delay.seconds, info.retry_delay.nanos), (7, 500000000))

    def test_sends_bytes_that_are_no_message(self):
        self.ca.answer = lambda call, answer: b"\xff\xff\xff"
        with self.assertRaises(grpc.RpcError) as caught:
            self.issue()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INTERNAL)

    def test_streams_bundles_and_writes_acknowledgements_down(self):
        request = self.ca.messages["byrnie.ca.v1.WatchTrustBundlesRequest"]
        channel = self.channel()
        stream = self.ca.messages.caller(channel, BYRNIE, "WatchTrustBundles")(iter([request(acknowledged_version=1)]))
        self.assertEqual(next(stream).trust_bundles.version, 1)
        other = Issuer(name="other root")
        self.assertEqual(self.ca.publish([self.ca.issuer.root, other.root]), 2)
        self.assertEqual(len(next(stream).trust_bundles.bundles[0].roots), 2)
        wait_until(lambda: [version for version, _ in self.ca.acknowledged] == [1], 5, "the acknowledgement")
        self.ca.cut_streams()
        with self.assertRaises(grpc.RpcError):
            next(stream)

    def test_shows_another_certificate_and_comes_back_after_a_stop(self):
        self.issue()
        self.ca.stop()
        with self.assertRaises(grpc.RpcError):
            self.issue()
        self.ca.server_issuer = Issuer(name="other root")
        self.ca.start()
        self.assertEqual(uri_of(x509.load_der_x509_certificate(self.issue().certificate_chain[0])), ID)


if __name__ == "__main__":
    sys.exit(main())
