#!/usr/bin/python3
"""Pods that share an identity, as those of a Deployment do, are told apart where their agents are looked for.

Proved: with two of them and one agent killed, `byrniectl check` names the pod whose agent is gone, with its address, its node
and when it was last seen, and `workloads list` says of that one alone that its agent is not connected; with the agent back all
is well again. After a restart of the control plane the one that does not come back is named, too.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class AgentsOfOneIdentityTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.first = cls.mesh.pod("web-1", account="web", node="node-1")
        cls.second = cls.mesh.pod("web-2", account="web", node="node-2")
        cls.mesh.start()

    def agents_connected(self):
        done = self.mesh.control_plane.ctl("check", "-o", "json", check=False)
        return next(result for result in json.loads(done.stdout) if result["name"] == "agents-connected")

    def connected(self):
        workloads = json.loads(self.mesh.control_plane.ctl("workloads", "list", "-o", "json").stdout)
        return {workload["name"]: workload["agent_connected"] for workload in workloads}

    def wait_good(self):
        wait_until(lambda: self.agents_connected()["outcome"] == "good", 15, "both agents")
        self.assertEqual(self.connected(), {"web-1": True, "web-2": True})

    def assert_second_is_missing(self, since):
        wait_until(lambda: self.agents_connected()["outcome"] == "bad", 15, "the agent to be missed")
        result = self.agents_connected()
        self.assertRegex(result["message"], rf"no agent is connected of demo/web-2 \({self.second.address}, \S+ on node node-2, {since}\)\Z")
        self.assertIn("byrnie-certagent", result["remedy"])
        self.assertEqual(self.connected(), {"web-1": True, "web-2": False})

    def test_the_one_that_is_gone_is_named(self):
        self.wait_good()
        self.second.agent.kill()
        self.assert_second_is_missing(r"last seen \d+ s ago")
        plane = self.mesh.control_plane
        plane.process.terminate()
        plane.start()
        wait_until(lambda: self.connected()["web-1"], 15, "the first agent at the control plane again")
        self.assert_second_is_missing("never seen")
        self.second.write_token()
        self.second.start_agent()
        self.wait_good()


if __name__ == "__main__":
    main()
