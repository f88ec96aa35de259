#!/usr/bin/python3
"""A control plane that signs with an intermediate under somebody else's root, in files with the names of Istio's secret.

Proved: two pods talk, their certificates come with the intermediate and lead to the root, whose key nobody here has; another intermediate in
the files signs from then on, without a restart; files that do not go together change nothing and are counted; a start with such files, or with
a key that cannot sign, ends with one line that names the file, and one with a CA that does not permit the host names of the control plane's own
certificate with one that names those; revoking is refused as long as nobody vouches for the intermediate itself; with the root's list given, which does, nobody is refused before,
while and after something is revoked. A root
in the files signs by itself, without a chain file, and what it signed can be revoked. Keys may be RSA, as Istio's own scripts make them, the
root's and the intermediate's, and P-384.
"""

import json
import os
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.files import replace_file
from testing.issuer import Issuer, key_pem, list_of, pem
from testing.mesh import parse_metrics
from testing.process import wait_until

REJECTED = 'byrnie_controlplane_plugged_ca_reads_total{result="rejected"}'


class PluggedCase(MeshTestCase):

    @classmethod
    def start(cls, issuer, *flags):
        cls.plane = cls.mesh.control_plane
        cls.directory = cls.mesh.make_directory("cacerts", 0o700)
        cls.plug(issuer)
        cls.plane.extra_flags = [f"--ca=plugged:{cls.directory}", *flags]
        cls.client, cls.server = cls.mesh.pair()
        cls.server.app("echo", 8080)

    @classmethod
    def write(cls, name, text):
        replace_file(os.path.join(cls.directory, name), text)

    @classmethod
    def plug(cls, issuer):
        # With the text around them that openssl writes with -text, as such files often have it.
        above, below = "Certificate:\r\n    Data:\r\n        Version: 3 (0x2)\r\n", "Bag Attributes: <No Attributes>\n"
        cls.write("ca-cert.pem", above + pem(issuer.certificate))
        cls.write("ca-key.pem", key_pem(issuer.key))
        if issuer.above:
            cls.write("cert-chain.pem", above + pem(issuer.certificate) + below + pem(issuer.root))
        cls.write("root-cert.pem", "\ufeff" + above + pem(issuer.root) + below)

    def chain(self, pod=None):
        return json.loads((pod or self.client).agent_admin("/certs")[1])["certificate_chain"]


class PluggedRootTest(PluggedCase):

    @classmethod
    def build(cls):
        cls.start(Issuer(name="a root of somebody else's"))

    def test_a_root_signs_by_itself_and_what_it_signed_can_be_revoked(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(len(self.chain()), 1, self.chain())
        rotate = self.plane.ctl("trust", "rotate", check=False)
        self.assertEqual(rotate.returncode, 1)
        self.assertIn("the CA is plugged", rotate.stderr)
        self.plane.ctl("revoke", self.chain()[0]["serial"])

        def refused():
            try:
                return self.ask(self.client, self.mesh.vip, 80, timeout=5) == b""
            except OSError:
                return True
        wait_until(refused, 10, "the end of what was revoked")


class RsaCaTest(PluggedCase):
    """4096 bits each and "RSA PRIVATE KEY", as the Makefile that comes with Istio has it."""

    @classmethod
    def build(cls):
        root, key = (rsa.generate_private_key(65537, 4096) for _ in range(2))
        cls.start(Issuer(name="intermediate", key=key, above=Issuer(name="offline root", key=root)))

    @classmethod
    def plug(cls, issuer):
        super().plug(issuer)
        cls.write("ca-key.pem", issuer.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                                         serialization.NoEncryption()))

    def test_pods_talk_by_a_ca_with_rsa_keys(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(len(self.chain()), 2, self.chain())
        self.assertEqual(self.plane.ctl("status").returncode, 0)


class P384CaTest(PluggedRootTest):

    @classmethod
    def build(cls):
        cls.start(Issuer(name="a root with a longer key", key=ec.generate_private_key(ec.SECP384R1())))


class PluggedWithListsTest(PluggedCase):

    workload_ttl = "10s"

    @classmethod
    def build(cls):
        root = Issuer(name="offline root")
        cls.lists = os.path.join(cls.mesh.make_directory("lists", 0o700), "root.crl")
        replace_file(cls.lists, list_of(root))
        cls.leaver = cls.mesh.pod("leaver")
        cls.start(Issuer(name="intermediate", above=root), f"--crl={cls.lists}")

    def renewals(self, count):
        """Until the client has had so many other certificates, and is understood with each."""
        for _ in range(count):
            serial = self.chain()[0]["serial"]
            wait_until(lambda serial=serial: self.chain()[0]["serial"] != serial, 15, "the next certificate", every=0.2)
            self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def revoked(self):
        return parse_metrics(self.plane.admin("/metrics")[1])["byrnie_controlplane_revoked_certificates"]

    def check(self, name):
        checks = json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout)
        return next(check for check in checks if check["name"] == name)

    def test_nobody_is_refused_with_the_roots_list_whether_something_is_revoked_or_not(self):
        self.renewals(2)
        self.assertEqual(self.check("revocation-lists")["outcome"], "good")
        self.plane.ctl("revoke", self.chain(self.leaver)[0]["serial"])
        self.assertEqual(self.revoked(), 1)
        # Until it has ended, and on.
        rounds = 0
        while self.revoked():
            self.renewals(1)
            rounds += 1
            self.assertLess(rounds, 10, "what is revoked does not end")
        self.renewals(2)
        self.assertEqual(self.check("revocation-lists")["outcome"], "good")


class PluggedCaTest(PluggedCase):

    @classmethod
    def build(cls):
        cls.root = Issuer(name="offline root")
        cls.start(Issuer(name="intermediate 1", above=cls.root))

    def test_revoking_waits_for_somebody_who_vouches_for_the_intermediate(self):
        refused = self.plane.ctl("revoke", self.chain()[0]["serial"], check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--crl", refused.stderr)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def test_pods_talk_by_an_intermediate_that_may_be_replaced(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(len(self.chain()), 2, self.chain())
        before = self.chain()[1]["serial"]
        self.plug(Issuer(name="intermediate 2", above=self.root))
        for pod in (self.client, self.server):
            serial = json.loads(pod.agent_admin("/certs")[1])["certificate_chain"][0]["serial"]

            def renewed(pod=pod, serial=serial):
                pod.agent_admin("/renew", "POST")
                chain = json.loads(pod.agent_admin("/certs")[1])["certificate_chain"]
                return chain[0]["serial"] != serial and chain[1]["serial"] != before
            wait_until(renewed, 30, "a certificate of the other intermediate", every=0.5)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def test_files_that_do_not_go_together_change_nothing(self):
        rejected = parse_metrics(self.plane.admin("/metrics")[1])[REJECTED]
        with open(os.path.join(self.directory, "ca-cert.pem"), "rb") as good:
            kept = good.read()
        self.write("ca-cert.pem", pem(Issuer(name="another root").certificate))
        wait_until(lambda: parse_metrics(self.plane.admin("/metrics")[1])[REJECTED] > rejected, 5, "the rejection")
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(self.plane.ctl("status").returncode, 0)
        self.write("ca-cert.pem", kept)

    def start_elsewhere(self, name, *flags):
        """The arguments of a control plane beside this one, which takes its CA from a directory of its own; and that directory."""
        other = self.mesh.make_directory(name, 0o700)
        arguments = [argument.replace(self.directory, other) for argument in self.plane.arguments(store=os.path.join(other, "store.db"))]
        arguments = [argument for argument in arguments if not argument.startswith(("--listen", "--admin=", "--trust_bundle_out",
                                                                                    "--operator_token_out"))]
        return other, [*arguments, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", *flags]

    def refusal(self, arguments):
        done = subprocess.run(self.plane.host.command(arguments), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr.strip().splitlines()[-1]

    def test_a_ca_that_does_not_permit_the_own_host_names_is_refused(self):
        other, arguments = self.start_elsewhere("constrained", "--server_names=mesh.example,istiod.istio-system.svc")
        issuer = Issuer(name="constrained", above=self.root, constraints=x509.NameConstraints([x509.DNSName("mesh.example")], None))
        for name, text in (("ca-cert.pem", pem(issuer.certificate)), ("root-cert.pem", pem(self.root.certificate)),
                           ("ca-key.pem", key_pem(issuer.key))):
            replace_file(os.path.join(other, name), text)
        refusal = self.refusal(arguments)
        for words in (other, "would be refused", "permitted subtree", "istiod.istio-system.svc"):
            self.assertIn(words, refusal)

    def test_a_start_with_bad_files_says_which(self):
        other, arguments = self.start_elsewhere("bad")

        def refusal():
            return self.refusal(arguments)
        self.assertIn("ca-cert.pem", refusal())
        issuer = Issuer(name="intermediate", above=self.root)
        for name, text in (("ca-cert.pem", pem(issuer.certificate)), ("root-cert.pem", pem(self.root.certificate)),
                           ("ca-key.pem", key_pem(self.root.key).decode())):
            with open(os.path.join(other, name), "w", encoding="ascii") as out:
                out.write(text)
            os.chmod(os.path.join(other, name), 0o600)
        self.assertIn("is not the key of", refusal())
        done = subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", os.path.join(other, "ca-key.pem")], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("P-256 or P-384 or RSA", refusal())


if __name__ == "__main__":
    sys.exit(main())
