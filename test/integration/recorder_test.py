#!/usr/bin/python3
"""The flight recorder has the last 1000 connections that ended, and /connections those that are open, to be asked by filters.

Proved: newest first, whatever the worker; by reason, result, direction, peer and slowness; the memory of the ring is taken as it
fills and stays what it is; a filter that is not understood is refused; the home page shows refusals and the slowest stage.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.sanitized import measured

IDLE_KIB = 6 * 1024
RING_KIB = 2 * 1024


class RecorderTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)

    def page(self, pod, path):
        status, body = pod.admin(path)
        self.assertEqual(status, 200, body)
        page = json.loads(body)
        self.assertTrue(page["complete"])
        return page["connections"]

    def short(self, count):
        for _ in range(count):
            with self.client.connect(self.mesh.vip, 80) as connection:
                connection.sendall(b"x")
                self.assertEqual(connection.recv(1), b"x")

    def test_1_it_keeps_the_last_thousand_and_its_memory(self):
        with measured():
            self.assertLess(self.client.proxy.memory_kib(), IDLE_KIB)
        before = self.client.proxy.memory_kib()
        self.short(1200)
        wait_until(lambda: len(self.page(self.client, "/recorder")) == 1000, 5, "a full recorder")
        full = self.client.proxy.memory_kib()
        with measured():
            self.assertLess(full - before, RING_KIB, "KiB for the ring")
        self.short(2200)
        self.mesh.assert_counters_balance()
        with measured():
            self.assertLess(self.client.proxy.memory_kib() - full, 768, "KiB more once the rings of both workers are full")
            self.assertLess(self.client.proxy.memory_kib(), IDLE_KIB)
        times = [record["time"] for record in self.page(self.client, "/recorder")]
        self.assertEqual(len(times), 1000)
        self.assertGreater(times[0], times[-1])

    def test_it_is_asked_by_filters(self):
        self.short(2)
        self.assert_fails_fast(self.client, self.mesh.vip, 81)
        records = wait_until(lambda: self.page(self.client, "/recorder?reason=unknown-service-port"), 5, "the refusal")
        self.assertEqual({(record["reason"], record["result"]) for record in records}, {("unknown-service-port", "denied")})
        self.assertEqual(records[0]["service"], "demo/server.demo.svc.cluster.local")
        self.assertIn(records[0], self.page(self.client, "/recorder?result=denied"))
        self.assertEqual(len(self.page(self.client, "/recorder?limit=1")), 1)
        self.assertEqual(self.page(self.client, "/recorder?direction=inbound"), [])
        mine = self.page(self.server, f"/recorder?peer={self.client.spiffe_id}&limit=2&direction=inbound")
        self.assertEqual([record["peer_identity"] for record in mine], [self.client.spiffe_id] * 2)
        self.assertEqual(self.page(self.server, "/recorder?peer=spiffe://cluster.local/ns/no/sa/body"), [])

    def test_the_slow_ones_are_found(self):
        self.short(1)
        wait_until(lambda: self.page(self.client, "/recorder?slow=1us"), 5, "a connection that took a microsecond")
        self.assertEqual(self.page(self.client, "/recorder?slow=1h"), [])

    def test_a_filter_that_is_not_understood_is_refused(self):
        for query, remedy in (("reason=because", "no such reason"), ("slow=fast", "100ms"), ("limit=0", "1 to 1000"),
                              ("colour=red", "there are")):
            status, body = self.client.admin(f"/recorder?{query}")
            self.assertEqual(status, 400)
            self.assertIn(remedy, body)
        self.assertEqual(self.client.admin("/connections?direction=up")[0], 400)

    def test_open_connections_say_what_admits_them_and_through_which_tunnel(self):
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"x")
            connection.recv(1)
            (outbound,) = self.page(self.client, f"/connections?direction=outbound&peer={self.server.spiffe_id}")
            (inbound,) = self.page(self.server, f"/connections?peer={self.client.spiffe_id}&limit=1")
            self.assertEqual(inbound["admitted_by"], "default-allow-same-trust-domain")
            self.assertEqual((outbound["state"], inbound["state"]), ("open", "open"))
            self.assertGreater(outbound["tunnel"], 0)
            self.assertGreater(inbound["tunnel"], 0)
            # The two ends of one HTTP/2 stream.
            self.assertEqual(outbound["stream"] % 2, 1)
            self.assertEqual(outbound["stream"], inbound["stream"])
            self.assertIn("tunnel_ms", outbound)
            self.assertIn("dial_ms", inbound)
            self.assertEqual(self.page(self.client, "/connections?direction=inbound"), [])
            tunnels = json.loads(self.client.admin("/connections")[1])["tunnels"]
            self.assertIn(outbound["tunnel"], [tunnel["tunnel"] for tunnel in tunnels])

    def test_the_home_page_shows_refusals_and_the_slowest_stage(self):
        self.short(1)
        self.assert_fails_fast(self.client, self.mesh.vip, 81)
        wait_until(lambda: "reason=unknown-service-port" in self.client.admin("/")[1], 5, "the refusal on the home page")
        body = self.client.admin("/")[1]
        self.assertIn("Slowest stages", body)
        self.assertIn("<td>tls<td>", body)
        for path in ("/connections", "/recorder", "/certs", "/config_dump", "/metrics"):
            self.assertIn(f'href="{path}"', body)
            self.assertEqual(self.client.admin(path)[0], 200)


if __name__ == "__main__":
    sys.exit(main())
