#!/usr/bin/python3
"""The control plane moves to its next root, killed after every move and rolled back from every step, and no handshake fails on the way.

Proved with two pods that talk all the time in both directions, over tunnels that are made anew with every certificate and every bundle: the
control plane, killed after every move, goes on with what was decided; rollback works from every step. One of the agents has the bundle file of
the first root all the time.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.rotation_case import FORWARD, STEP_AFTER, RotationCase


class TrustRotationTest(RotationCase):

    workload_ttl = "8s"

    @classmethod
    def build(cls):
        cls.make_pods()
        # The client's bundle file stays what it was: what comes later it learns from the control plane.
        cls.mesh.registry.write()
        cls.mesh.control_plane.start()
        kept = os.path.join(cls.mesh.directory, "kept.pem")
        shutil.copyfile(cls.mesh.control_plane.bundle, kept)
        arguments = cls.client.agent_arguments
        cls.client.agent_arguments = lambda: [f"--trust_bundle={kept}" if argument.startswith("--trust_bundle=") else argument
                                              for argument in arguments()]
        cls.mesh.start()
        cls.start_applications()

    def kill_and_start_again(self):
        self.mesh.control_plane.process.kill()
        self.mesh.control_plane.start()

    def test_killed_after_every_move_it_goes_on(self):
        finish = self.talking()
        root = self.signing_root()
        for name in FORWARD:
            self.move(name)
            self.kill_and_start_again()
            self.assertEqual(self.step(), STEP_AFTER[name])
        self.assertNotEqual(self.signing_root(), root)
        finish()

    def test_rollback_from_every_step(self):
        finish = self.talking()
        root = self.signing_root()
        for depth in range(1, len(FORWARD)):
            for name in FORWARD[:depth]:
                self.move(name)
            while self.step():
                self.roll_back()
            self.assertEqual(self.signing_root(), root)
            self.assertEqual(len(self.status()["roots"]), 1)
        finish()


if __name__ == "__main__":
    sys.exit(main())
