#!/usr/bin/python3
"""A control plane gives one identity, and all together, no more certificates than it was told, and says when to come back.

Proved with a caller that asks again and again with good tokens: beyond --identity_issue_rate one identity is refused while others are served,
beyond --issue_rate everybody is; both with RESOURCE_EXHAUSTED and google.rpc.RetryInfo; a token refused so is not used up, and works at the
time it was told.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc

from testing.ca_caller import CaCaller
from testing.case import MeshTestCase, main

HOST = "ca.example.org"


class IssueLimitsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.plane = cls.mesh.control_plane
        cls.mesh.registry.write()

    def start(self, *flags):
        if self.plane.process is not None:
            self.plane.process.terminate()
        self.plane.extra_flags = [f"--server_names={HOST}", *flags]
        self.plane.start()
        caller = CaCaller(self.plane, HOST)
        self.addCleanup(caller.close)
        return caller

    def token(self, name):
        return self.plane.create_token(f"spiffe://cluster.local/ns/demo/sa/{name}")

    def refusal(self, caller, token):
        """When to come back, in seconds; None where a certificate was given."""
        try:
            caller.issue(token)
            return None
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, error.details())
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        for detail in caller.messages["google.rpc.Status"].FromString(details).details:
            if detail.type_url.endswith("/google.rpc.RetryInfo"):
                delay = caller.messages["google.rpc.RetryInfo"].FromString(detail.value).retry_delay
                return delay.seconds + delay.nanos / 1e9
        return self.fail("refused without a time to come back")

    def test_one_identity_leaves_something_for_others(self):
        caller = self.start("--identity_issue_rate=0.5")
        tokens = [self.token("greedy") for _ in range(2)]
        self.assertIsNone(self.refusal(caller, tokens[0]))
        wait = self.refusal(caller, tokens[1])
        self.assertIsNotNone(wait)
        self.assertTrue(0 < wait <= 3, wait)
        self.assertIsNone(self.refusal(caller, self.token("modest")))
        time.sleep(wait)
        self.assertIsNone(self.refusal(caller, tokens[1]), "refused at the time it was told")

    def test_all_together_get_no_more_than_the_rate(self):
        caller = self.start("--issue_rate=2")
        tokens = [self.token(f"one-of-{number}") for number in range(8)]
        began = time.monotonic()
        waits = [self.refusal(caller, token) for token in tokens]
        given = waits.count(None)
        self.assertGreaterEqual(given, 1)
        # Four at once, and then the rate.
        self.assertLessEqual(given, 4 + 2 * (time.monotonic() - began))
        told = [wait for wait in waits if wait is not None]
        # Each at a time of its own.
        self.assertEqual(len(set(told)), len(told), told)
        self.assertTrue(all(0 < wait < 60 for wait in told), told)


if __name__ == "__main__":
    sys.exit(main())
