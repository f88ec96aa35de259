#!/usr/bin/python3
"""Control planes over one etcd that do not go together say so.

Proved with two of them: with a plugged CA, too, each hears of the other, two of one name are found, and one that was killed is silent, not
gone. Roots that only one of them has are a warning, another CA altogether is bad, at both, with the name of the other, and is logged once;
it passes when the files are the same again. One with a plugged CA does not start beside one whose root its files do not have, unless that
one is of its own name; with both roots it does, as when a mesh moves to a plugged CA, and a rotation of the other's roots then waits for it.
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
        return wait_until(found, 10, f"{name} that is {outcome}: {words}", every=0.2)

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
            self.assertEqual((self.logged(plane, DIFFERS), self.logged(plane, "the same roots again")), (1, 1))
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
        self.assertEqual(self.logged(a, REFUSES), 1)
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


if __name__ == "__main__":
    sys.exit(main())
