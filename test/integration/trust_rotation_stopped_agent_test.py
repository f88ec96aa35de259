#!/usr/bin/python3
"""An agent that stands still keeps the next root from signing, by its name, until it goes on or is excluded.

Proved with certificates that outlive the test, so that the agent is one that is connected and says nothing: `activate` is refused and names it,
and so does a dry run, which moves nothing; only who keeps a move back may be excluded, and with that the move is made; an agent that goes on is
waited for no more. A proxy that stands still is the same with certificates that end sooner than it goes on: its agent renews and comes back
with the next root beside its certificate, and is named all the time.
"""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.process import wait_until
from testing.rotation_case import RotationCase


class TrustRotationStoppedAgentTest(RotationCase):

    workload_ttl = "10m"

    def distribute_past_a_stopped_client(self):
        self.addCleanup(self.restore)
        self.move("prepare")
        self.client.agent.signal(signal.SIGSTOP)
        self.addCleanup(self.client.agent.signal, signal.SIGCONT)
        self.move("distribute")
        wait_until(lambda: self.server.spiffe_id not in self.blockers(), 10, "the other agent's acknowledgement")

    def test_it_is_waited_for_by_name_until_it_goes_on(self):
        self.distribute_past_a_stopped_client()
        why = self.refused("activate")
        self.assertIn(self.client.spiffe_id, why)
        self.assertIn("has not acknowledged", why)
        told = self.trust("rotate", "--step=activate", "--dry_run")
        self.assertIn(self.client.spiffe_id, [blocker["agent"] for blocker in told["blockers"]])
        self.assertFalse(told["moved"])
        self.assertIn("does not keep activate back", self.refused("activate", f"--exclude={self.server.spiffe_id}"))
        self.assertEqual(self.step(), "distributed")
        self.client.agent.signal(signal.SIGCONT)
        wait_until(lambda: not self.blockers(), 10, "the agent's acknowledgement")
        # Nothing is signed with the next root: the way back is open.
        self.roll_back()

    def test_it_may_be_excluded(self):
        self.distribute_past_a_stopped_client()
        told = self.trust("rotate", "--step=activate", "--dry_run", f"--exclude={self.client.spiffe_id}")
        self.assertEqual(told.get("blockers", []), [])
        self.assertFalse(told["moved"])
        self.assertEqual([], self.status()["exclusions"])
        self.assertIn(self.client.spiffe_id, self.blockers())
        self.client.agent.signal(signal.SIGCONT)


class TrustRotationStoppedProxyTest(RotationCase):

    workload_ttl = "20s"

    def serial(self):
        agents = json.loads(self.mesh.control_plane.ctl("agents", "--output=json").stdout)
        return next(agent["certificate_serial"] for agent in agents if agent["spiffe_id"] == self.client.spiffe_id)

    def test_its_agent_is_waited_for_by_name_whatever_it_renews(self):
        self.addCleanup(self.restore)
        self.client.proxy.signal(signal.SIGSTOP)
        self.addCleanup(self.client.proxy.signal, signal.SIGCONT)
        self.trust("rotate")
        wait_until(lambda: self.step() == "distributed", 10, "the next root in the bundles")
        wait_until(lambda: self.server.spiffe_id not in self.blockers(), 10, "the other agent's acknowledgement")
        seen, ends = set(), time.monotonic() + 25
        while time.monotonic() < ends:
            status = self.status()
            self.assertEqual(status["step"], "distributed")
            self.assertIn(self.client.spiffe_id, [blocker["agent"] for blocker in status["blockers"]])
            seen.add(self.serial())
            time.sleep(0.5)
        conditions = json.loads(self.mesh.control_plane.ctl("status", "--output=json").stdout)["conditions"]
        held_up = next(condition for condition in conditions if condition["name"] == "root-rotation")
        self.assertEqual(held_up["state"], "STATE_WARN")
        self.assertIn(f"activate is held up by {self.client.spiffe_id}@{self.client.address}: ", held_up["message"])
        self.assertGreaterEqual(len(seen), 2, "it has not renewed")
        self.client.proxy.signal(signal.SIGCONT)
        wait_until(lambda: self.step() != "distributed", 30, "the next move")
        self.restore()


if __name__ == "__main__":
    sys.exit(main())
