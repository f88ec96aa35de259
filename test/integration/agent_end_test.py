#!/usr/bin/python3
"""An agent that is ended while it connects, asks and opens streams ends in order: exit status 0, whenever the signal comes."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.process import wait_until

RUNS = 40


class AgentEndTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.mesh.control_plane.start()
        cls.pod = cls.mesh.pod("client")

    def test_it_ends_in_order_whenever_it_is_told_to(self):
        moments = random.Random(7)
        for run in range(RUNS):
            self.pod.write_token()
            agent = self.mesh.spawn(f"agent-{run}", self.pod.host, self.pod.agent_arguments(), self.mesh.log_path(f"agent-{run}"),
                                    uid=PROXY_UID)
            for line in ("agent started", "certificate rotated")[:1 + run % 2]:
                wait_until(lambda a=agent, l=line: l in a.log_text(), 10, line)
            time.sleep(moments.random() * 0.03)
            self.assertEqual(agent.terminate(), 0, agent.log_text()[-500:])


if __name__ == "__main__":
    sys.exit(main())
