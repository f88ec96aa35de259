#!/usr/bin/python3
"""An endpoint that cannot be connected to costs the applications nothing as long as the service has another one.

Proved: with one of two endpoints whose application, and then whose whole proxy, is gone, 200 of 200 requests are answered, few
after a second attempt because the endpoint is ejected; the access log tells of the attempts and why the first failed; what
policy denies is not asked of another endpoint, and a workload's own address is nobody else's.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

REQUESTS = 200
RETRIES, EJECTIONS = "byrnie_proxy_connect_retries_total", "byrnie_proxy_ejections_total"


class ConnectRetryTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.good, cls.bad = cls.mesh.pod("good"), cls.mesh.pod("bad")
        cls.vip, _ = cls.mesh.service("both", [cls.good, cls.bad])
        cls.mesh.start()
        cls.good.app("greet", "8080", "good")

    def ask_all(self):
        """Asks REQUESTS times; returns what the client's proxy counted meanwhile."""
        before = self.client.metrics()
        for number in range(REQUESTS):
            question = b"question %d\n" % number
            answer = self.ask(self.client, self.vip, 80, question)
            self.assertEqual(answer, b"hello from good, you said: question %d\n" % number)
        after = self.client.metrics()
        return {name: after[name] - before[name] for name in (RETRIES, EJECTIONS)}

    def assert_few_retries(self, counted):
        self.assertGreaterEqual(counted[RETRIES], 1, counted)
        # Each retry is an ejection, which keeps the next connections away: of 100 that would have come upon it, hardly any did.
        self.assertEqual(counted[EJECTIONS], counted[RETRIES], counted)
        self.assertLess(counted[RETRIES], 20, counted)

    def last_retried(self):
        return self.client.wait_access_log(attempts=2, original_destination=f"{self.vip}:80", result="allowed")[-1]

    def test_1_an_application_that_is_gone(self):
        self.assert_few_retries(self.ask_all())
        record = self.last_retried()
        self.assertEqual(record["destination"], f"{self.good.address}:8080", record)
        self.assertIn("connect-failed: the peer's proxy answered 503", record["last_failure"])

    def test_2_a_workloads_own_address_is_tried_once(self):
        self.assert_fails_fast(self.client, self.bad.address, 8080)
        record = self.client.wait_access_log(original_destination=f"{self.bad.address}:8080")[-1]
        self.assertEqual((record["result"], record["reason"]), ("failed", "connect-failed"), record)
        self.assertNotIn("attempts", record)

    def failed_endpoints(self):
        return json.loads(self.client.admin("/connections")[1])["failed_endpoints"]

    def test_3_a_proxy_that_is_gone_is_ejected_and_shown(self):
        # The ejections of before are over, so that connections come upon the endpoint.
        wait_until(lambda: all(entry["ejected_for_seconds"] == 0 for entry in self.failed_endpoints()), 30, "no ejected endpoint")
        self.bad.proxy.kill()
        self.assert_few_retries(self.ask_all())

        def shown():
            self.ask(self.client, self.vip, 80)
            return [entry for entry in self.failed_endpoints() if entry["ejected_for_seconds"] > 0]
        entry = wait_until(shown, 30, "the ejected endpoint on /connections")[0]
        self.assertEqual(entry["endpoint"], f"{self.bad.address}:8080")
        self.assertGreaterEqual(entry["failures"], 1)
        self.assertLessEqual(entry["ejected_for_seconds"], 30)

    def test_4_what_policy_denies_is_not_asked_of_another(self):
        self.bad.start_proxy()
        self.bad.wait_ready()
        self.mesh.registry.policy("nobody", "DENY", principals=[{"presence": True}])
        self.mesh.registry.write()
        for pod in (self.good, self.bad):
            wait_until(lambda: json.loads(pod.admin("/config_dump")[1]).get("policies"), 10, "the policy")
        before = self.client.metrics()
        for _ in range(20):
            self.assert_fails_fast(self.client, self.vip, 80)
        records = wait_until(lambda: (found := self.client.access_log(
            original_destination=f"{self.vip}:80", result="denied"))[19:] and found, 5, "20 records")
        for record in records:
            self.assertNotIn("attempts", record)
        after = self.client.metrics()
        self.assertEqual(after[RETRIES], before[RETRIES])


if __name__ == "__main__":
    sys.exit(main())
