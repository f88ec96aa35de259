#!/usr/bin/python3
"""A clock that jumps is noticed by the running agent within seconds, and costs neither a certificate for long nor CPU.

Proved with libfaketime around the real agent, whose monotonic clock stays as it is, which is what a machine that slept looks
like: two lives ahead, together with the authority, it has a valid certificate again in 5 s; an hour behind, alone, it has none
(and says whose clock is wrong) in 5 s and asks at most once a second; right again, it has one in 6 s.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble
from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, parse_metrics
from testing.issuer import Issuer
from testing.process import wait_until
from testing.sanitized import measured
from testing.shifted_clock import ShiftedClock

LIFE = 3600


class ClockJumpTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        cls.ca = CaDouble(mesh.network.host("ca", 3), issuer=Issuer.of_control_plane(mesh))
        cls.ca.life = LIFE
        cls.ca.start()
        cls.clock = ShiftedClock(mesh.directory)
        pod = cls.pod = mesh.pod("client")
        pod.extra_agent_flags = [f"--ca_address={cls.ca.target}"]
        pod.write_token()
        pod.agent = mesh.spawn("agent", pod.host, [*cls.clock.command, *pod.agent_arguments()], mesh.log_path("agent"),
                               uid=PROXY_UID)
        wait_until(lambda: cls.certs()["valid"], 10, "the first certificate")

    @classmethod
    def tearDownClass(cls):
        cls.ca.stop()
        super().tearDownClass()

    @classmethod
    def certs(cls):
        return json.loads(cls.pod.agent_admin("/certs")[1])

    def metric(self, name):
        return parse_metrics(self.pod.agent_admin("/metrics")[1])[name]

    def test_clocks_that_jump(self):
        jumps = self.metric("byrnie_certagent_clock_jumps_total")
        with self.subTest("a machine that slept two lives"):
            self.ca.clock_offset = 2.0 * LIFE
            self.clock.set(2 * LIFE)
            wait_until(lambda: not self.certs()["valid"], 2, "the old certificate's end")
            wait_until(lambda: self.certs()["valid"], 5, "a renewal")
            self.assertEqual(self.metric("byrnie_certagent_clock_jumps_total"), jumps + 1)
            self.assertAlmostEqual(self.metric("byrnie_certagent_cert_outage_budget_seconds"), LIFE, delta=10)
        with self.subTest("a clock set back an hour, alone"):
            self.ca.clock_offset = 2.0 * LIFE
            asked = len(self.ca.calls)
            self.clock.set(LIFE)
            started = time.monotonic()
            wait_until(lambda: "your clock is 3600 s behind the mesh" in self.certs()["renewal"]["last_error"]
                       or "your clock is 3599 s behind the mesh" in self.certs()["renewal"]["last_error"], 5, "a word about it")
            self.assertFalse(self.certs()["valid"])
            self.assertAlmostEqual(self.metric("byrnie_certagent_authority_clock_offset_seconds"), LIFE, delta=1)
            before = self.pod.agent.cpu_seconds()
            time.sleep(8)
            # Three or four handshakes; a loop that spins would use eight seconds.
            with measured():
                self.assertLess(self.pod.agent.cpu_seconds() - before, 0.08)
            self.assertFalse(self.certs()["valid"])
            self.assertLessEqual(len(self.ca.calls) - asked, time.monotonic() - started + 1)
        with self.subTest("right again"):
            self.clock.set(2 * LIFE)
            wait_until(lambda: self.certs()["valid"], 6, "a valid certificate")


if __name__ == "__main__":
    sys.exit(main())
