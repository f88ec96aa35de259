#!/usr/bin/python3
"""An automatic rotation of the root goes on through kills of the control plane at any moment, also in the middle of a move.

Proved on a control plane that is killed every few hundred milliseconds, at moments that a printed seed says: what was decided is never taken
back, at every start there are the roots that belong to the step, and in the end one root, another one than before, which the file of
--trust_bundle_out has and certificates are issued from.
"""

import json
import os
import random
import secrets
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane
from testing.rotation_case import FORWARD, STEP_AFTER

STEPS = [STEP_AFTER[name] for name in FORWARD[:-1]]
DEADLINE = 120


class TrustRotationKilledTest(unittest.TestCase):

    def setUp(self):
        self.plane = self.enterContext(LoopbackControlPlane("--workload_ttl=2s"))

    def status(self):
        return json.loads(self.plane.ctl("trust", "status", "-o", "json").stdout)

    def kill_and_start_again(self):
        # As it is: no channel is closed, and nobody told.
        self.plane.process.kill()
        self.plane.stop()
        self.plane.start()

    def test_killed_at_any_moment_it_goes_on(self):
        seed = secrets.randbits(32)
        moments = random.Random(seed)
        first, = self.status()["roots"]
        self.plane.ctl("trust", "rotate")
        seen, kills, end = [STEPS[0]], 0, time.monotonic() + DEADLINE
        while True:
            self.assertLess(time.monotonic(), end, f"seed {seed}: {seen} after {kills} kills")
            # The moment is the input.
            time.sleep(moments.uniform(0.05, 0.9))
            self.kill_and_start_again()
            kills += 1
            status = self.status()
            if not status["step"]:
                break
            with self.subTest(seed=seed, kills=kills):
                self.assertGreaterEqual(STEPS.index(status["step"]), STEPS.index(seen[-1]))
                self.assertEqual(len(status["roots"]), 2)
            seen.append(status["step"])
        print(f"seed {seed}: {kills} kills, steps {list(dict.fromkeys(seen))}")
        last, = status["roots"]
        self.assertNotEqual(last["fingerprint"], first["fingerprint"])
        in_file = x509.load_pem_x509_certificate(self.plane.read("bundle.pem"))
        self.assertEqual(in_file.fingerprint(hashes.SHA256()).hex(), last["fingerprint"])
        self.assertEqual(self.plane.read("bundle.pem").count(b"BEGIN CERTIFICATE"), 1)
        leaf = x509.load_pem_x509_certificate(self.plane.issue("spiffe://cluster.local/ns/demo/sa/late").chain)
        in_file.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))


if __name__ == "__main__":
    main()
