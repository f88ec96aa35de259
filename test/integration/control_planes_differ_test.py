#!/usr/bin/python3
"""Control planes over one etcd that do not go together say so.

Proved with two of them: with a plugged CA, too, each hears of the other, two of one name are found, and one that was killed is silent, not
gone. Roots that only one of them has are a warning, another CA altogether is bad, at both, with the name of the other, and is logged once;
it passes when the files are the same again. One with a plugged CA does not start beside one whose root its files do not have, unless that
one is of its own name; with both roots it does, as when a mesh moves to a plugged CA, and a rotation of the other's roots then waits for it. Flags
that have to be the same and are not are named, those of files by what the files say now.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.files import replace_file
from testing.issuer import Issuer, key_pem, pem
from testing.loopback_control_plane import LoopbackControlPlane
from testing.loopback_etcd import LoopbackEtcd
from testing.process import wait_until
from testing.sanitized import patience
from testing.token_issuer import SigningKey, TokenIssuer

REFUSES, DIFFERS = "does not sign and trust as this one does", "another control plane of the store has other roots"


class ControlPlanesDifferTest(unittest.TestCase):

    def setUp(self):
        self.etcd = LoopbackEtcd()
        self.addCleanup(self.etcd.stop)

    def plug(self, directory, issuer, *roots):
        for name, text in (("ca-cert.pem", pem(issuer.certificate)), ("ca-key.pem", key_pem(issuer.key)),
                           ("root-cert.pem", pem(*(roots or (issuer.root,))))):
            replace_file(os.path.join(directory, name), text)

    def plugged(self, issuer, *roots):
        directory = tempfile.mkdtemp(prefix="byr-cacerts-")
        self.addCleanup(shutil.rmtree, directory)
        self.plug(directory, issuer, *roots)
        return directory

    def plane(self, name, *flags):
        plane = LoopbackControlPlane(f"--name={name}", "--operator_token_of=a", "--issuance_spool=memory", *flags)
        plane.store_flags = self.etcd.store_flags("mesh")
        self.addCleanup(shutil.rmtree, plane.directory)
        self.addCleanup(plane.stop)
        return plane

    def start(self, name, *flags):
        """A control plane that the operator of the first one, `a`, may ask."""
        plane = self.plane(name, *flags)
        plane.start(20)
        if name == "a":
            self.token = plane.path("operator.token")
        return plane

    def checks(self, plane):
        done = plane.ctl("check", "-o", "json", token=self.token, check=False)
        return {check["name"]: check for check in json.loads(done.stdout)}

    def wait_for(self, plane, name, outcome, words=""):
        """The check, once it is so."""
        def found():
            check = self.checks(plane)[name]
            return check["outcome"] == outcome and words in check["message"] and check
        return wait_until(found, patience(20), f"{name} that is {outcome}: {words}", every=0.2)

    def logged(self, plane, words):
        return sum(words in line for line in plane.log_text().splitlines())

    def test_with_a_plugged_ca_each_hears_of_the_other(self):
        x = Issuer(name="root X")
        first, second = self.plugged(x), self.plugged(x)
        a = self.start("a", f"--ca=plugged:{first}")
        b = self.start("b", f"--ca=plugged:{second}")
        for plane, other in ((a, "b"), (b, "a")):
            self.wait_for(plane, "control-planes", "good", f"also heard of: {other}")
            self.wait_for(plane, "same-roots", "good", "the same roots")
        # Whoever asks one alone is told that there is another.
        self.assertIn("b", self.checks(a)["fleet"]["message"])
        both = {"BYRNIE_CONTROL_PLANE": f"127.0.0.1:{a.port},127.0.0.1:{b.port}"}
        self.assertIn("asked 2 control planes", a.ctl("check", environment=both, check=False).stdout)
        # The same name.
        again = self.start("b", f"--ca=plugged:{second}")
        self.wait_for(b, "control-planes", "bad", "is called b, too")
        again.stop()
        b.stop(kill=True)
        self.wait_for(a, "control-planes", "good", "also heard of: b")

    def test_other_roots_are_found_at_both(self):
        x, y = Issuer(name="root X"), Issuer(name="root Y")
        first, second = self.plugged(x), self.plugged(x)
        a, b = self.start("a", f"--ca=plugged:{first}"), self.start("b", f"--ca=plugged:{second}")
        self.plug(second, x, x.root, y.root)
        self.assertIn("only b has the root", self.wait_for(a, "same-roots", "note")["message"])
        self.assertIn("root-cert.pem", self.wait_for(b, "same-roots", "note", "only here is the root")["remedy"])
        self.plug(second, y)
        self.wait_for(a, "same-roots", "bad", "what b issues leads to the root")
        self.assertIn("its agents refuse it", self.wait_for(b, "same-roots", "bad", "what a issues")["message"])
        self.plug(second, x)
        for plane in (a, b):
            self.wait_for(plane, "same-roots", "good")
            wait_until(lambda plane=plane: (self.logged(plane, DIFFERS), self.logged(plane, "the same roots again")) == (1, 1), 5,
                       "a line for each")
            self.assertGreaterEqual(self.logged(plane, REFUSES), 1)

    def test_one_that_others_would_refuse_does_not_start(self):
        x, y = Issuer(name="root X"), Issuer(name="root Y")
        directory = self.plugged(x)
        a = self.start("a", f"--ca=plugged:{directory}")
        other = self.plugged(y)
        b = self.plane("b", f"--ca=plugged:{other}")
        with self.assertRaisesRegex(AssertionError, r'--ca: root-cert.pem has not the root [0-9a-f]{12}.*\\?"a\\?", another control plane'):
            b.start(20)
        self.assertFalse(os.path.exists(b.path("bundle.pem")))
        # In the middle of a move.
        self.plug(other, y, x.root, y.root)
        b.start(20)
        self.wait_for(a, "same-roots", "bad", "what b issues leads to the root")
        b.stop()
        self.wait_for(a, "same-roots", "good")
        # The same one, with the files of another CA.
        self.plug(directory, y)
        a.stop(kill=True)
        a.start(20)

    def test_a_plugged_ca_beside_roots_of_its_own(self):
        a = self.start("a")
        y = Issuer(name="root Y")
        other = self.plugged(y)
        b = self.plane("b", f"--ca=plugged:{other}")
        with self.assertRaisesRegex(AssertionError, "signs with roots of its own"):
            b.start(20)
        # The move that docs/operations.md has: the present root, and the CA's.
        with open(os.path.join(other, "root-cert.pem"), "ab") as out:
            out.write(a.read("bundle.pem"))
        b.start(20)
        self.wait_for(a, "control-planes", "good", "also heard of: b")
        self.wait_for(a, "same-roots", "bad", "what b issues leads to the root")
        wait_until(lambda: self.logged(a, REFUSES) == 1, 5, "the line of it")
        for step in ("prepare", "distribute"):
            a.ctl("trust", "rotate", f"--step={step}")
        refused = a.ctl("trust", "rotate", "--step=activate", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("controlplane:b signs with a plugged CA", refused.stderr)
        # Moved: the other one follows.
        a.stop()
        a.flags.append(f"--ca=plugged:{other}")
        a.start(20)
        for plane in (a, b):
            self.wait_for(plane, "same-roots", "good")

    def test_flags_that_differ_are_named(self):
        a = self.start("a")
        b = self.start("b")
        self.wait_for(a, "same-configuration", "good", "the same flags")
        b.stop()
        partner = b.write_secret("partner.pem", pem(Issuer("partner.example", name="partner").certificate))
        TokenIssuer("https://ci.example", [SigningKey("ES256", "e1")]).write_config(b.path("jwt.json"), b.path("jwks.json"))
        b.flags += ["--attest=join_token,jwt", f"--jwt_config={b.path('jwt.json')}", f"--federated_bundle=partner.example={partner}",
                    "--operators=spiffe://cluster.local/ns/ops/sa/o=admin", "--workload_ttl=30m", "--key_types=p256,rsa",
                    "--issuance_log_age=1h", "--issuance_log_size=1000"]
        b.start(20)
        flags = "--attest, --federated_bundle, --issuance_log_age, --issuance_log_size, --jwt_config, --key_types, --operators, --workload_ttl"
        for plane, other in ((a, "b"), (b, "a")):
            self.wait_for(plane, "same-configuration", "note", f"not the same as here: {flags} at {other}")
        b.stop()
        self.wait_for(a, "same-configuration", "good")

    def test_files_are_compared_by_what_they_say(self):
        key, roots = SigningKey("ES256", "e1"), [pem(Issuer("partner.example", name="partner").certificate) for _ in range(2)]
        planes = {}
        for name in ("a", "b"):
            plane = planes[name] = self.plane(name)
            TokenIssuer("https://ci.example", [key]).write_config(plane.path("jwt.json"), os.path.join(self.etcd.directory, "jwks.json"))
            partner = plane.write_secret("partner.pem", roots[0])
            plane.flags += ["--attest=jwt,join_token", f"--jwt_config={plane.path('jwt.json')}", f"--federated_bundle=partner.example={partner}"]
            plane.start(20)
        a, b = planes.values()
        self.token = a.path("operator.token")
        for plane in (a, b):
            self.wait_for(plane, "control-planes", "good", "also heard of")
            self.wait_for(plane, "same-configuration", "good")
        replace_file(b.path("partner.pem"), roots[1])
        self.wait_for(a, "same-configuration", "note", "not the same as here: --federated_bundle at b")
        replace_file(b.path("partner.pem"), roots[0])
        TokenIssuer("https://ci.example", [key], audience="other").write_config(b.path("jwt.json"), os.path.join(self.etcd.directory, "jwks.json"))
        self.wait_for(a, "same-configuration", "note", "not the same as here: --jwt_config at b")


if __name__ == "__main__":
    sys.exit(main())
