#!/usr/bin/python3
"""The root of a CA that somebody else made is replaced while a certificate is revoked.

Proved: at each of the three changes of docs/operations.md what the former root signed goes on and renews, and what is revoked is refused, also
over a restart between the second change and the third, after which nobody has the former root's key; the list of another trust domain lets nobody
revoke below an intermediate, its root's does; a control plane does not start with an intermediate that would refuse everything while something is
revoked. Lists of a CA that waits replace none as long as one is missing that it needs, and it signs once all are there.
"""

import json
import os
import shutil
import sys
import tempfile
import time
import unittest

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.files import replace_file
from testing.issuer import Issuer, key_pem, list_of, new_key, pem
from testing.loopback_control_plane import AUTHORITY, LoopbackControlPlane, messages
from testing.process import wait_until

GOOD, BAD = "spiffe://cluster.local/ns/demo/sa/good", "spiffe://cluster.local/ns/demo/sa/bad"


class PluggedCaMoveTest(unittest.TestCase):

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="byr-cacerts-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.plane = None

    def tearDown(self):
        if self.plane is not None:
            self.plane.stop()
            shutil.rmtree(self.plane.directory)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        replace_file(path, text)
        return path

    def plug(self, issuer, *roots):
        self.write("ca-cert.pem", pem(issuer.certificate))
        self.write("ca-key.pem", key_pem(issuer.key))
        self.write("root-cert.pem", pem(*(roots or (issuer.root,))))

    def start(self, *flags):
        self.plane = LoopbackControlPlane(f"--ca=plugged:{self.directory}", *flags)
        self.plane.start(20)

    def revoke(self, identity, **options):
        serial = x509.load_pem_x509_certificate(identity.chain).serial_number
        return self.plane.ctl("revoke", f"{serial:032x}", "--only", **options)

    def renews(self, identity):
        """"" or why not, on a new connection."""
        for channel, relay in self.plane.channels.values():
            channel.close()
            relay.close()
        self.plane.channels = {}
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256())
        message = messages["byrnie.ca.v1.IssueRequest"](csr=request.public_bytes(serialization.Encoding.DER))
        try:
            messages.caller(self.plane.channel(identity), AUTHORITY, "Issue")(message, timeout=10)
            return ""
        except grpc.RpcError as error:
            return error.details()

    def signer(self):
        chain = self.plane.issue("spiffe://cluster.local/ns/demo/sa/new").chain
        return x509.load_pem_x509_certificate(chain).issuer

    def input_files(self):
        checks = json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout)
        return next(check for check in checks if check["name"] == "input-files")["message"]

    def test_lists_of_a_ca_that_cannot_be_used_yet_replace_none(self):
        a, b = Issuer(name="root A"), Issuer(name="root B")
        upper = Issuer(name="upper B", above=b)
        lower = Issuer(name="lower B", above=upper)
        lists = self.write("mesh.crl", list_of(a))
        self.plug(Issuer(name="intermediate A", above=a))
        self.start(f"--crl={lists}")
        good = self.plane.issue(GOOD)
        self.assertEqual(self.renews(good), "")
        self.write("cert-chain.pem", pem(upper.certificate))
        self.plug(lower, b.root)
        # Whatever is read first, and for some time.
        self.write("mesh.crl", list_of(b))
        wait_until(lambda: lists in self.input_files(), 10, "the file with one list of two to be rejected")
        self.assertIn("upper B", self.input_files())
        time.sleep(2)
        self.assertEqual(self.renews(good), "")
        self.assertNotEqual(self.signer(), lower.certificate.subject)
        self.plug(lower, a.root, b.root)
        self.write("mesh.crl", list_of(b) + list_of(upper) + list_of(a))
        wait_until(lambda: self.signer() == lower.certificate.subject, 10, "the CA with all its lists")
        self.assertEqual(self.renews(good), "")
        wait_until(lambda: "in force as it is" in self.input_files(), 10, "all files to be good")

    def test_a_root_is_replaced_while_something_is_revoked(self):
        a, b = Issuer(name="root A"), Issuer(name="root B")
        self.plug(a)
        self.start()
        good, bad = self.plane.issue(GOOD), self.plane.issue(BAD)
        self.revoke(bad)
        wait_until(lambda: "is revoked" in self.renews(bad), 10, "the revocation")

        def check():
            self.assertEqual(self.renews(good), "")
            self.assertIn("is revoked", self.renews(bad))
        check()
        self.plug(a, a.root, b.root)
        time.sleep(2)
        check()
        self.plug(b, a.root, b.root)
        wait_until(lambda: self.signer() == b.certificate.subject, 10, "certificates of the other root")
        check()
        self.plane.stop()
        self.plane.start(20)
        check()
        self.assertEqual(self.renews(self.plane.issue(GOOD)), "")

    def test_below_an_intermediate_only_its_roots_list_lets_revoke(self):
        root, partner = Issuer(name="offline root"), Issuer(name="partner")
        self.plug(Issuer(name="intermediate", above=root), root.root)
        bundle, crl = self.write("partner.pem", pem(partner.certificate)), self.write("partner.crl", list_of(partner))
        self.start(f"--federated_bundle=partner.example={bundle}", f"--crl=partner.example={crl}")
        good, bad = self.plane.issue(GOOD), self.plane.issue(BAD)
        refused = self.revoke(bad, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--crl", refused.stderr)
        self.assertEqual(self.renews(good), "")
        self.plane.stop()
        self.plane.flags.append(f"--crl={self.write('root.crl', list_of(root))}")
        self.plane.flags = [flag for flag in self.plane.flags if "partner" not in flag]
        self.plane.start(20)
        self.revoke(bad)
        wait_until(lambda: "is revoked" in self.renews(bad), 10, "the revocation")
        self.assertEqual(self.renews(good), "")
        # Without the list everything would be refused.
        self.plane.stop()
        self.plane.flags = [flag for flag in self.plane.flags if "crl" not in flag]
        with self.assertRaisesRegex(AssertionError, "certificates are revoked until .*give that list with --crl"):
            self.plane.start(20)


if __name__ == "__main__":
    sys.exit(main())
