#!/usr/bin/python3
"""A workload that lies about its connections talks itself into no policy, and is seen to be the only one who says so.

Proved, on certificates of three workloads that report by hand: what one says, as the source, of another that reports and did not let it
in is in no `policy suggest`, in no `policy diff`, and in `byrniectl flows` with a mark; a report with counts that no proxy gets to is refused
as a whole.
"""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane, messages
from testing.process import wait_until

DB = "10.0.0.1:5432"


class FlowTalesTest(unittest.TestCase):

    def setUp(self):
        self.plane = LoopbackControlPlane()
        for number, name in enumerate(("db", "shop", "evil"), 1):
            self.plane.registry.workload(name, "demo", name, [f"10.0.0.{number}"])
        self.plane.registry.write()
        self.enterContext(self.plane)
        wait_until(lambda: len(self.plane.call("ListWorkloads").workloads) == 3, 10, "the registry")

    @staticmethod
    def spiffe_id(name):
        return f"spiffe://cluster.local/ns/demo/sa/{name}"

    def report(self, who, peer, **edge):
        """One edge to the database, as `who` tells it."""
        request = messages["byrnie.flow.v1.ReportRequest"](instance=7)
        told = request.edges.add(path=1, verdict=1, peer_spiffe_id=self.spiffe_id(peer), destination_address=DB, **edge)
        told.first_seen.GetCurrentTime()
        told.last_seen.GetCurrentTime()
        channel = self.plane.channel(self.plane.issue(self.spiffe_id(who)))
        messages.caller(channel, "byrnie.flow.v1.FlowCollector", "Report")(request, timeout=10)

    def test_who_was_not_let_in_does_not_let_himself_in(self):
        self.report("db", "shop", side=1, source_address="10.0.0.2", opened=9)
        suggested = self.plane.ctl("policy", "suggest", "demo").stdout
        self.assertIn("/sa/shop", suggested)
        self.report("evil", "db", side=2, opened=9)
        self.report("shop", "db", side=2, opened=9)
        self.assertEqual(self.plane.ctl("policy", "suggest", "demo").stdout, suggested)
        lines = {line.split()[0]: line for line in self.plane.ctl("flows").stdout.splitlines()}
        self.assertRegex(lines["demo/evil"], r"demo/db:5432 .* allowed \(says source\) ")
        self.assertNotIn("says source", lines["demo/shop"])
        path = self.plane.path("suggested.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(suggested)
        diff = json.loads(self.plane.ctl("policy", "diff", path, "-o", "json").stdout)
        self.assertEqual((diff["changes"], diff["flows"]), ([], "1"))

    def test_counts_that_cannot_be(self):
        for counts in ({"opened": 1 << 63}, {"opened": 1, "closed": (1 << 64) - 1}, {"opened": 1, "bytes_sent": 1 << 60}):
            with self.subTest(counts), self.assertRaises(grpc.RpcError) as refused:
                self.report("db", "shop", side=1, source_address="10.0.0.2", **counts)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(self.plane.ctl("flows").stdout, "no connection was reported\n")


if __name__ == "__main__":
    main()
