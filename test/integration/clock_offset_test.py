#!/usr/bin/python3
"""An agent whose clock is wrong says so, does no harm, and is well again when the clock is.

Proved against the real control plane, with libfaketime around the agent: two minutes behind from the start, it has no
certificate and says by how much the control plane's certificate is of the future; right, it has one within seconds; forty
minutes of an hour's certificate ahead, it neither loses it nor asks again and again; an hour behind, it has no valid
certificate, says why, and signs nothing.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, parse_metrics
from testing.process import wait_until
from testing.sanitized import measured
from testing.shifted_clock import ShiftedClock

RENEWED = 'byrnie_certagent_renewals_total{result="renewed"}'


class ClockOffsetTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        cls.clock = ShiftedClock(mesh.directory, -120)
        pod = cls.pod = mesh.pod("client")
        pod.write_token()
        pod.agent = mesh.spawn("agent", pod.host, [*cls.clock.command, *pod.agent_arguments()], mesh.log_path("agent"),
                               uid=PROXY_UID)

    def certs(self):
        status, text = self.pod.agent_admin("/certs")[:2]
        return json.loads(text) if status == 200 else {"valid": False, "renewal": {"last_error": ""}}

    def last_error(self):
        return self.certs()["renewal"]["last_error"]

    def test_a_clock_that_is_wrong(self):
        with self.subTest("two minutes behind from the start"):
            wait_until(lambda: "is the clock of this machine behind?" in self.last_error(), 10, "a word about the clock")
            self.assertIn("byrnie/controlplane", self.last_error())
            self.assertFalse(self.certs()["valid"])
        with self.subTest("right"):
            self.clock.set(0)
            wait_until(lambda: self.certs()["valid"], 8, "the first certificate")
        with self.subTest("ahead by two thirds of the certificate's life"):
            self.clock.set(2400)
            self.pod.agent_admin("/renew", "POST")
            time.sleep(2)
            before, cpu = parse_metrics(self.pod.agent_admin("/metrics")[1])[RENEWED], self.pod.agent.cpu_seconds()
            time.sleep(6)
            self.assertTrue(self.certs()["valid"])
            self.assertLessEqual(parse_metrics(self.pod.agent_admin("/metrics")[1])[RENEWED] - before, 1)
            with measured():
                self.assertLess(self.pod.agent.cpu_seconds() - cpu, 0.06)
        with self.subTest("an hour behind"):
            self.clock.set(-3600)
            wait_until(lambda: "is the clock of this machine behind?" in self.last_error(), 8, "a word about the clock")
            self.assertIn("behind the mesh", self.last_error())
            self.assertFalse(self.certs()["valid"])
            self.assertEqual(self.pod.agent_admin("/healthz/ready")[0], 503)
        with self.subTest("right again"):
            self.clock.set(0)
            wait_until(lambda: self.certs()["valid"], 8, "a valid certificate")


if __name__ == "__main__":
    sys.exit(main())
