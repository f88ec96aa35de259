#!/usr/bin/python3
"""Control planes that share an etcd rotate the root as one, and none signs with a root that may have been left.

Proved with two of them, each with an agent of its own: an agent of the other one that stands still keeps `activate` back by name, and no more
once it goes on; so does a control plane that was killed, until it is back, and one that cannot write its file of the trust bundle, until it
can; one that is cut off from etcd issues nothing after --issue_without_store and says so, keeps the move back by its name meanwhile, and
issues again with the way back; a rotation ordered at one of them is made at both.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane
from testing.process import wait_until
from testing.rotation_case import RotationCase


class TrustRotationReplicasTest(RotationCase):

    workload_ttl = "20s"

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.here, cls.there = mesh.control_plane, ControlPlane(mesh, "control3", 3)
        for name, plane in (("here", cls.here), ("there", cls.there)):
            plane.store_flags = cls.etcd.store_flags("test/mesh")
            plane.extra_flags = [f"--name={name}", "--issue_without_store=10s"]
            plane.operator_token, plane.registry_path = cls.here.operator_token, cls.here.registry_path
            plane.start()
        cls.make_pods()
        cls.server.control_planes = [f"{cls.here.host.address}:{ControlPlane.PORT}"]
        cls.client.control_planes = [f"{cls.there.host.address}:{ControlPlane.PORT}"]
        mesh.start()
        cls.start_applications()

    def setUp(self):
        self.addCleanup(self.restore)
        self.move("prepare")

    def cut_off(self, cut):
        self.there.host.run("ip", "route", "add" if cut else "delete", "blackhole", f"{self.etcd.host.address}/32")

    def client_log(self):
        with open(self.mesh.log_path("client-agent"), encoding="utf-8") as log:
            return log.read()

    def test_an_agent_of_another_control_plane_is_waited_for_by_name(self):
        self.client.agent.signal(signal.SIGSTOP)
        self.addCleanup(self.client.agent.signal, signal.SIGCONT)
        self.move("distribute")

        def is_named():
            why = self.refused("activate")
            return f"{self.client.spiffe_id} at {self.client.address}" in why and self.server.spiffe_id not in why
        wait_until(is_named, 10, "the agent's name alone")
        self.client.agent.signal(signal.SIGCONT)
        finish = self.talking()
        self.trust("rotate")
        wait_until(lambda: not self.step(), 90, "the rotation's end", every=0.2)
        self.assertEqual(len(self.status()["roots"]), 1)
        with open(self.here.bundle, encoding="ascii") as mine:
            wanted = mine.read()

        def is_there():
            with open(self.there.bundle, encoding="ascii") as other:
                return other.read() == wanted
        wait_until(is_there, 5, "the root at the other control plane")
        finish()

    def test_a_control_plane_that_was_killed_is_waited_for_until_it_is_back(self):
        self.there.process.kill()
        self.move("distribute")
        self.assertIn("controlplane:there", self.refused("activate"))
        told = self.trust("rotate", "--step=activate", "--dry_run", "--exclude=controlplane:there")
        self.assertNotIn("controlplane:there", [blocker["agent"] for blocker in told["blockers"]])
        self.there.start()
        wait_until(lambda: not self.blockers(), 40, "everybody's word", every=0.3)
        self.roll_back()

    def test_a_control_plane_that_cannot_write_the_trust_bundle_is_waited_for_by_name(self):
        path = self.there.bundle
        os.unlink(path)
        os.mkdir(path)
        self.addCleanup(lambda: os.path.isdir(path) and os.rmdir(path))
        self.move("distribute")
        wait_until(lambda: f"controlplane:there/trust_bundle_out cannot write --trust_bundle_out {path}: Is a directory" in self.refused("activate"), 20,
                   "why, from another control plane", every=0.3)
        wait_until(lambda: self.blockers() == ["controlplane:there/trust_bundle_out"], 40, "its name alone", every=0.3)
        os.rmdir(path)
        wait_until(lambda: not self.blockers(), 20, "nobody in the way", every=0.3)
        with open(self.here.bundle, encoding="ascii") as mine, open(path, encoding="ascii") as other:
            self.assertEqual(mine.read(), other.read())
        self.roll_back()

    def test_one_that_is_cut_off_issues_nothing_it_should_not(self):
        self.cut_off(True)
        self.addCleanup(self.there.host.run, "ip", "route", "flush", "type", "blackhole", check=False)
        self.move("distribute")
        self.assertIn("controlplane:there", self.refused("activate"))
        said = "has not reached its store"
        before = self.client_log().count(said)
        wait_until(lambda: self.client_log().count(said) > before, 40, "the refusal", every=0.2)
        self.assertIn("controlplane:there", self.blockers())
        self.cut_off(False)
        wait_until(lambda: not self.blockers(), 60, "everybody's word", every=0.3)
        self.assertEqual(self.ask(self.client, self.vips[self.client], 80), b"ping\n")
        self.roll_back()


if __name__ == "__main__":
    sys.exit(main())
