#!/usr/bin/python3
"""A rotation of the root waits for the file of --trust_bundle_out, by which new pods, agents that start and operators go.

Proved with a directory in that file's place: a rotation that goes by itself stays at `distributed` and names the control plane, the path and
why; `check` is bad; once the directory is gone the file is written without anybody's doing, with both roots, and the rotation goes on to its end, while
two pods talk all the time. `revoke` waits likewise, and can be told not to, for the file alone. A file that somebody has taken away or changed is put back;
with somebody who writes a bundle of his own there again and again it is not fought for: `check` and the rotation say so, until it stops.
"""

import json
import os
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.certificates import Authority
from testing.process import wait_until
from testing.rotation_case import FORWARD, RotationCase

AGENT = "controlplane:plane/trust_bundle_out"


class TrustBundleFileTest(RotationCase):

    workload_ttl = "8s"

    @classmethod
    def build(cls):
        plane = cls.mesh.control_plane
        plane.extra_flags = ["--name=plane"]
        cls.path = plane.bundle
        cls.make_pods()
        cls.mesh.registry.write()
        plane.start()
        # What the operator and the agents have does not go away with it.
        plane.bundle = os.path.join(plane.directory, "handed-out.pem")
        cls.hand_out()
        cls.mesh.start()
        cls.start_applications()

    @classmethod
    def hand_out(cls):
        shutil.copyfile(cls.path, cls.mesh.control_plane.bundle)

    def setUp(self):
        self.addCleanup(self.restore)
        self.addCleanup(self.give_back)

    def take_away(self):
        os.unlink(self.path)
        os.mkdir(self.path)

    def give_back(self):
        if os.path.isdir(self.path):
            os.rmdir(self.path)

    def roots(self):
        """How many are in the file."""
        if not os.path.isfile(self.path):
            return 0
        with open(self.path, encoding="ascii") as file:
            return file.read().count("BEGIN CERTIFICATE")

    def wait_condition(self, outcome, deadline=5, words=""):
        """Of the file, which is judged once a second."""
        def condition():
            results = json.loads(self.mesh.control_plane.ctl("check", "-o", "json", check=False).stdout)
            return [result for result in results
                    if (result["name"], result["outcome"]) == ("bundle-file", outcome) and words in str(result)]
        return wait_until(condition, deadline, f"a file that is {outcome}", every=0.3)[0]

    def test_a_rotation_waits_until_it_is_written(self):
        finish = self.talking()
        self.take_away()
        self.trust("rotate")
        wait_until(lambda: self.step() == "distributed" and self.blockers() == [AGENT], 20, "the control plane's name alone", every=0.3)
        reason = self.status()["blockers"][0]["reason"]
        self.assertEqual(reason, f"cannot write --trust_bundle_out {self.path}: Is a directory")
        condition = self.wait_condition("bad")
        self.assertIn(reason, str(condition))
        self.assertTrue(condition["remedy"])
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 3, 10, "some turns of the rotation")
        self.assertEqual(self.step(), "distributed")
        self.give_back()
        wait_until(lambda: self.roots() == 2, 5, "the file with both roots", every=0.1)
        self.hand_out()
        self.wait_condition("good")
        wait_until(lambda: not self.step(), 60, "the end of the rotation", every=0.3)
        wait_until(lambda: self.roots() == 1, 5, "the file with the next root", every=0.1)
        self.hand_out()
        self.assertEqual(len(self.status()["roots"]), 1)
        finish()

    def test_revoke_waits_and_can_be_told_not_to(self):
        for name in FORWARD[:-1]:
            self.move(name)
        self.hand_out()
        wait_until(lambda: not self.blockers(), 40, "nobody in the way", every=0.3)
        self.take_away()
        why = f"{AGENT} cannot write --trust_bundle_out {self.path}: Is a directory"
        wait_until(lambda: AGENT in self.blockers(), 10, "the control plane's name", every=0.2)
        self.assertIn(why, self.refused("revoke"))
        told = self.trust("rotate", "--step=revoke", "--dry_run", f"--exclude={AGENT}")
        self.assertEqual(told["blockers"], [])
        self.give_back()
        self.move("revoke")
        wait_until(lambda: self.roots() == 1, 5, "the file with the next root", every=0.1)
        self.hand_out()

    def test_it_is_put_back(self):
        with open(self.path, encoding="ascii") as file:
            wanted = file.read()

        def is_back():
            if not os.path.exists(self.path):
                return False
            with open(self.path, encoding="ascii") as file:
                return file.read() == wanted
        os.unlink(self.path)
        wait_until(is_back, 5, "the file", every=0.1)
        with open(self.path, "w", encoding="ascii") as file:
            file.write("another mesh's")
        wait_until(is_back, 5, "its content", every=0.1)
        self.wait_condition("good")

    def test_somebody_else_who_writes_it_too_is_named(self):
        with open(self.path, encoding="ascii") as file:
            ours = file.read()
        with open(Authority(self.mesh.control_plane.directory).certificate, encoding="ascii") as file:
            others = file.read()
        ending = threading.Event()

        def write():
            while not ending.wait(0.2):
                with open(f"{self.path}.other", "w", encoding="ascii") as file:
                    file.write(others)
                os.replace(f"{self.path}.other", self.path)
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(ending.set)
        self.wait_condition("bad", 15, f"somebody else writes --trust_bundle_out {self.path}")
        ending.set()
        writer.join()
        self.wait_condition("good", 60)
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), ours)


if __name__ == "__main__":
    sys.exit(main())
