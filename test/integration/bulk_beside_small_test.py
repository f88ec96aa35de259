#!/usr/bin/python3
"""A bulk transfer to a pod does not delay the small connections to the same pod.

Proved with a stream of 30 MB/s through a tunnel, shown as bulk on the admin page, while 200 short connections ask and are
answered: they use another tunnel, and half of them take less than twice, 95 in 100 less than four times what they take
without the stream.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.sanitized import measured


class BulkBesideSmallTest(MeshTestCase):

    def tunnels(self):
        return [tunnel for tunnel in json.loads(self.client.admin("/connections")[1])["tunnels"]
                if tunnel["direction"] == "outbound"]

    def short(self, count):
        """Seconds of so many connections, each with a question and its answer, in order of length."""
        times = []
        for _ in range(count):
            started = time.monotonic()
            self.assertEqual(self.ask(self.client, self.server.address, 8080, b"x" * 100), b"x" * 100)
            times.append(time.monotonic() - started)
        return sorted(times)

    def test_small_connections_use_another_tunnel_and_are_as_fast(self):
        self.server.app("echo", "8080")
        self.server.app("sink", "8081")
        self.short(20)
        alone = self.short(200)
        bulk = self.client.app("stream", self.server.address, "8081", "8", "30000000")
        wait_until(lambda: any(tunnel["state"] == "bulk" for tunnel in self.tunnels()), 5, "a bulk tunnel")
        beside = self.short(200)
        self.assertTrue(bulk.running(), "the stream ended before the short connections")
        states = [(tunnel["state"], tunnel["streams"]) for tunnel in self.tunnels()]
        self.assertIn(("bulk", 1), states)
        result = bulk.result(20)
        self.assertTrue(result["intact"], result)
        for part, factor in ((0.5, 2), (0.95, 4)):
            at = int(200 * part)
            print(f"     part {part}: {alone[at] * 1000:.2f} ms alone, {beside[at] * 1000:.2f} ms beside", file=sys.stderr)
            with measured():
                self.assertLess(beside[at], factor * alone[at])


if __name__ == "__main__":
    sys.exit(main())
