#!/usr/bin/python3
"""A control plane whose clock is ahead does not move a rotation of the root on by itself.

Proved with two control planes over one etcd, one of which has a wall clock two hours ahead, so that by it every certificate has ended
and the other one is gone: both say whose clock is off in the condition `control-planes`; `distribute` and `activate` are refused by name and reason, as a dry run says, and
an automatic rotation waits for it at both; nobody forgets the other one; once the clock is set the rotation goes on.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane, parse_metrics
from testing.process import wait_until
from testing.shifted_clock import ShiftedClock

BAD = 3
# One that runs says something every minute; that is when clocks are compared.
BEAT = 90


class ShiftedControlPlane(ControlPlane):

    clock = None

    def arguments(self, store=None, bundle=None):
        return [*self.clock.command, *super().arguments(store, bundle)]


class ReplicaClockTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.clock = ShiftedClock(mesh.directory)
        cls.here, cls.there = mesh.control_plane, ShiftedControlPlane(mesh, "control3", 3)
        cls.there.clock = cls.clock
        mesh.registry.write()
        for name, plane in (("here", cls.here), ("there", cls.there)):
            plane.store_flags = cls.etcd.store_flags("test/mesh")
            plane.extra_flags = [f"--name={name}"]
            plane.operator_token, plane.registry_path = cls.here.operator_token, cls.here.registry_path
            plane.start()

    def trust(self, *arguments, check=True):
        done = self.here.ctl("trust", *arguments, "--output=json", check=check)
        return json.loads(done.stdout) if check else done

    def step(self):
        return self.trust("status")["step"]

    @staticmethod
    def condition(plane):
        return parse_metrics(plane.admin("/metrics")[1])['byrnie_controlplane_condition{condition="control-planes"}']

    def test_a_clock_that_is_ahead_moves_nothing(self):
        self.clock.set(2 * 3600)
        # Each move is reported at once.
        self.trust("rotate", "--step=prepare")
        for plane in (self.here, self.there):
            wait_until(lambda plane=plane: self.condition(plane) == BAD, BEAT, "a word about the clocks", every=0.2)
        check = self.here.ctl("check", check=False).stdout
        self.assertRegex(check, r"BAD +control-planes +the clock of this control plane is \S+ behind that of there")
        # What is asked about is what would be done.
        dry = self.here.ctl("trust", "rotate", "--step=distribute", "--dry_run").stdout
        self.assertRegex(dry, r"controlplane:there .* has a clock that is \S+ ahead of this one's")
        refused = self.trust("rotate", "--step=distribute", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"controlplane:there has a clock that is \S+ ahead of this one's")
        self.trust("rotate", "--step=distribute", "--exclude=controlplane:there")
        refused = self.trust("rotate", "--step=activate", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"controlplane:there has a clock that is \S+ ahead of this one's")
        self.trust("rotate")
        for plane, other in ((self.here, "there"), (self.there, "here")):
            wait_until(lambda plane=plane, other=other: any(
                f'"first":"controlplane:{other}"' in line and "has a clock" in line
                for line in plane.process.log_text().splitlines() if "root rotation waits" in line), 70, "a rotation that waits", every=0.2)
        self.assertEqual(self.step(), "distributed")
        self.clock.set(0)
        wait_until(lambda: self.step() != "distributed", BEAT, "the rotation that goes on", every=0.5)
        for plane in (self.here, self.there):
            wait_until(lambda plane=plane: self.condition(plane) != BAD, BEAT, "clocks that agree", every=0.2)
        self.assertNotIn("is forgotten", self.there.process.log_text())


if __name__ == "__main__":
    sys.exit(main())
