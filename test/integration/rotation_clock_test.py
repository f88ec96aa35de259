#!/usr/bin/python3
"""A control plane that is alone and whose clock is two hours ahead for a while does not move a rotation of the root on.

Proved with libfaketime, whose monotonic clock stays as it is: by the wall clock the certificate of a pod that is away has ended.
`activate` stays refused, `trust status` says that the clock has jumped, an automatic rotation does not move; once the clock is right the
gate waits for the certificate as before; and a restart with such a clock changes nothing either, nor one before the rotation has begun.
"""

import contextlib
import os
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import wait_until
from testing.shifted_clock import ShiftedClock

AWAY = "spiffe://cluster.local/ns/demo/sa/away"
AHEAD = 2 * 3600


def kept_time(plane):
    """Whether the control plane has written down the time for the next start."""
    with contextlib.closing(sqlite3.connect(f"file:{plane.path('store.db')}?mode=ro", uri=True)) as store:
        return store.execute("SELECT count(*) FROM entries WHERE key = CAST('trust_time' AS BLOB)").fetchone()[0] == 1


class RotationClockTest(unittest.TestCase):

    def test_a_clock_that_jumps_opens_no_gate(self):
        plane = LoopbackControlPlane("--workload_ttl=1h")
        clock = ShiftedClock(plane.directory)
        plane.command = clock.command
        with plane:
            plane.issue(AWAY)
            for step in ("prepare", "distribute"):
                plane.ctl("trust", "rotate", f"--step={step}")
            self.assert_waits(plane, "is not connected and holds a certificate")
            with self.subTest("ahead for five seconds"):
                clock.set(AHEAD)
                wait_until(lambda: "has jumped" in self.status(plane), 5, "a word about the clock")
                refused = plane.ctl("trust", "rotate", "--step=activate", check=False)
                self.assertNotEqual(refused.returncode, 0)
                self.assertRegex(refused.stdout + refused.stderr, "which this control plane's clock says is over; it has jumped (2h|1h59m59s) ahead")
                plane.call("RotateTrust")
                time.sleep(3)
                self.assert_waits(plane, "unless it is set back in")
            with self.subTest("right again"):
                clock.set(0)
                wait_until(lambda: "has jumped" not in self.status(plane), 5, "a word about nothing but the certificate")
                self.assert_waits(plane, "is not connected and holds a certificate")
                clock.set(AHEAD)
            with self.subTest("a restart with such a clock"):
                # Killed: gRPC ends by the wall clock, and the kernel, which it waits with, does not know of this one.
                plane.stop(kill=True)
                plane.start()
                # By another clock nobody takes its certificate.
                plane.ctl_command = clock.command
                time.sleep(2)
                self.assert_waits(plane, "or the process was away so long")
                plane.stop(kill=True)
                clock.set(0)
                plane.start()
                self.assert_waits(plane, "is not connected and holds a certificate")

    def test_a_clock_that_is_wrong_before_the_rotation_begins_opens_no_gate(self):
        plane = LoopbackControlPlane("--workload_ttl=1h")
        clock = ShiftedClock(plane.directory)
        plane.command = clock.command
        with plane:
            plane.issue(AWAY)
            wait_until(lambda: kept_time(plane), 10, "the time in the store")
            plane.stop(kill=True)
            clock.set(AHEAD)
            plane.start()
            plane.ctl_command = clock.command
            for step in ("prepare", "distribute"):
                plane.ctl("trust", "rotate", f"--step={step}")
            refused = plane.ctl("trust", "rotate", "--step=activate", check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assert_waits(plane, "or the process was away so long")

    @staticmethod
    def status(plane):
        return plane.ctl("trust", "status").stdout

    def assert_waits(self, plane, why):
        status = self.status(plane)
        self.assertIn("distributed", status)
        self.assertIn(AWAY, status)
        self.assertIn(why, status)


if __name__ == "__main__":
    sys.exit(main())
