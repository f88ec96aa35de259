#!/usr/bin/python3
"""Who loses the race for a join token has no certificate, and a rotation of the root does not wait for one.

Proved: of 20 parallel uses of a token one succeeds, and `trust status` names one certificate that keeps the next move back.
"""

import concurrent.futures
import os
import sys
import unittest

import grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane

AGENT = "spiffe://cluster.local/ns/demo/sa/racer"
USES = 20


class TokenRaceTest(unittest.TestCase):

    def test_a_rotation_waits_for_the_winner_alone(self):
        with LoopbackControlPlane("--workload_ttl=1h") as plane:
            token = plane.call("CreateJoinToken", spiffe_id=AGENT).token

            def use(_):
                try:
                    plane.issue_for(token)
                    return 1
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
                    return 0
            with concurrent.futures.ThreadPoolExecutor(USES) as threads:
                self.assertEqual(sum(threads.map(use, range(USES))), 1)
            for step in ("prepare", "distribute"):
                plane.ctl("trust", "rotate", f"--step={step}")
            refused = plane.ctl("trust", "rotate", "--step=activate", check=False)
            self.assertIn("is kept back by 1: ", refused.stderr)


if __name__ == "__main__":
    sys.exit(main())
