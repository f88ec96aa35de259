#!/usr/bin/python3
"""An agent that stands still keeps the next root from signing, by its name, until it goes on or is excluded.

Proved with certificates that outlive the test, so that the agent is one that is connected and says nothing: `activate` is refused and names it,
and so does a dry run, which moves nothing; only who keeps a move back may be excluded, and with that the move is made; an agent that goes on is
waited for no more.
"""

import os
import signal
import sys

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


if __name__ == "__main__":
    sys.exit(main())
