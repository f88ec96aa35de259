#!/usr/bin/python3
"""A service's connections go to its endpoints by capacity and by where they are.

Proved: of 400 connections each endpoint gets its part of the capacity; with failover the nearest endpoint gets all, until it is
not healthy, or its proxy is dead, and the next nearest takes over without a failed request; that its certificate is renewed
meanwhile, which ends its tunnels, is no reason to go elsewhere; strict never leaves its scope and
says so; a scope works as soon as the registry says it, on connections made from then on.
"""

import collections
import json
import math
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.process import wait_until


class BalancingTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client = mesh.pod("client", locality={"region": "eu", "zone": "eu-1"})
        cls.servers = {
            "near": mesh.pod("near", capacity=1, locality={"region": "eu", "zone": "eu-1"}),
            "next": mesh.pod("next", capacity=3, locality={"region": "eu", "zone": "eu-2"}),
            "far": mesh.pod("far", capacity=4, locality={"region": "us", "zone": "us-1"}),
        }
        pods = list(cls.servers.values())
        cls.any, _ = mesh.service("any", pods)
        cls.failover, _ = mesh.service("failover", pods, load_balancing={
            "mode": "FAILOVER", "routing_preference": ["REGION", "ZONE"]})
        cls.strict, _ = mesh.service("strict", pods, load_balancing={
            "mode": "STRICT", "routing_preference": ["ZONE"]})
        mesh.start()
        for name, pod in cls.servers.items():
            pod.app("greet", "8080", name)

    def answers(self, vip, count):
        """Who answered how often; a failed connection raises."""
        seen = collections.Counter()
        for _ in range(count):
            seen[self.ask(self.client, vip, 80).split()[2].rstrip(b",").decode()] += 1
        return dict(seen)

    def change(self, name, **fields):
        """Changes a workload in the registry, and returns when the client's proxy knows."""
        for workload in self.mesh.registry.workloads:
            if workload["name"] == name:
                workload.update(fields)
        self.mesh.registry.write()

        def known():
            dump = json.loads(self.client.admin("/config_dump")[1])
            entry = next(each for each in dump["workloads"] if each["name"] == name)
            return all(entry["healthy"] == value if field == "healthy" else entry["placement"]["zone"] == value["zone"]
                       for field, value in fields.items())
        wait_until(known, 10, f"{name}'s change in the client's proxy")

    def test_1_each_endpoint_gets_its_part_of_the_capacity(self):
        count = 400
        seen = self.answers(self.any, count)
        for name, part in (("near", 1 / 8), ("next", 3 / 8), ("far", 4 / 8)):
            self.assertAlmostEqual(seen.get(name, 0), count * part, delta=5 * math.sqrt(count * part * (1 - part)), msg=seen)

    def test_2_failover_goes_to_the_nearest_that_is_healthy(self):
        self.assertEqual(self.answers(self.failover, 40), {"near": 40})
        self.change("near", healthy=False)
        self.assertEqual(self.answers(self.failover, 40), {"next": 40})
        self.change("next", healthy=False)
        self.assertEqual(self.answers(self.failover, 40), {"far": 40})
        self.change("next", healthy=True)
        self.change("near", healthy=True)
        self.assertEqual(self.answers(self.failover, 40), {"near": 40})

    def test_3_strict_never_leaves_its_scope(self):
        self.assertEqual(self.answers(self.strict, 40), {"near": 40})
        self.change("near", healthy=False)
        self.assert_fails_fast(self.client, self.strict, 80)
        self.client.wait_access_log(reason="no-healthy-endpoint", original_destination=f"{self.strict}:80")
        self.change("near", healthy=True, locality={"region": "eu", "zone": "eu-3"})
        self.assert_fails_fast(self.client, self.strict, 80)
        record = self.client.wait_access_log(reason="no-endpoint", original_destination=f"{self.strict}:80")[-1]
        self.assertEqual(record["result"], "denied", record)
        self.assertIn("none of the 3 endpoints", record["detail"])
        self.change("near", locality={"region": "eu", "zone": "eu-1"})
        self.assertEqual(self.answers(self.strict, 20), {"near": 20})

    def test_4_a_renewed_certificate_sends_nobody_elsewhere(self):
        near = self.servers["near"]
        outsider = self.mesh.outsider()

        def serial():
            return leaf_facts(served_leaf(outsider, near.address))["serial"]
        for _ in range(2):
            old = serial()
            self.assertEqual(self.answers(self.failover, 10), {"near": 10})
            wait_until(lambda: near.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal", every=0.2)
            end = time.monotonic() + 15
            while serial() == old and time.monotonic() < end:
                self.assertEqual(self.answers(self.failover, 5), {"near": 5})
            self.assertNotEqual(serial(), old)
            # As long as one that says that it goes would be left alone.
            end = time.monotonic() + 2
            while time.monotonic() < end:
                self.assertEqual(self.answers(self.failover, 5), {"near": 5})

    def test_5_a_dead_proxy_nearby_costs_no_request(self):
        self.servers["near"].proxy.kill()
        self.assertEqual(self.answers(self.failover, 60), {"next": 60})


if __name__ == "__main__":
    sys.exit(main())
