#!/usr/bin/python3
"""The access log says when a connection began, how long each stage of it took, and at both ends why it was refused.

Proved: with --access_log=open_close each carried connection has two lines of one name in each proxy; stages are those of its
way, add up to no more than the whole, and show where an application was slow; a policy's no is machine readable at both ends;
with a stderr that nobody reads neither 1000 short connections nor 100 MB are slowed.
"""

import datetime
import fcntl
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.process import wait_until

SETUP = ("destination_ms", "policy_ms", "dial_ms", "tls_ms", "tunnel_ms")
SHORT = 500
BULK = 50 << 20
BLOCK = bytes(1 << 16)


class AccessLogTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.extra_proxy_flags.append("--access_log=open_close")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.server.app("sink", 8082)

    def lines(self, pod, port, **wanted):
        return [record for record in pod.access_log(**wanted) if record["original_destination"].endswith(f":{port}")]

    @staticmethod
    def seconds(record):
        return datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()

    def test_each_carried_connection_has_two_lines_of_one_name(self):
        # Earlier connections from the same port are none of this one's, and may have lost a line where nobody read.
        began = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        with self.client.connect(self.mesh.vip, 80) as connection:
            host, port = connection.getsockname()[:2]
            connection.sendall(b"ping\n")
            self.assertEqual(connection.recv(64), b"ping\n")
        trace = {"source": f"{host}:{port}"}  # Then the trace that both ends have.
        for pod, port, direction in ((self.client, 80, "outbound"), (self.server, 8080, "inbound")):
            closed = wait_until(lambda: [record for record in self.lines(pod, port, event="close", direction=direction, **trace)
                                         if record["time"] >= began], 5, "the closing line")[-1]
            trace = {"trace_id": closed["trace_id"]}
            # A restarted proxy counts from one again; both clocks are read for each line, so that its time may be a millisecond off.
            opened = [record for record in self.lines(pod, port, event="open", connection=closed["connection"], source=closed["source"])
                      if abs(self.seconds(record) - self.seconds(closed)) < 0.1]
            self.assertEqual(len(opened), 1)
            for field in ("source", "destination", "peer_identity", "own_identity", "tls_group"):
                self.assertEqual(opened[0][field], closed[field])
            self.assertFalse({"result", "reason", "bytes_sent", "duration_ms"} & set(opened[0]))
            self.assertEqual((closed["result"], closed["bytes_sent"]), ("allowed", 5))

    def test_the_stages_are_those_of_the_way(self):
        listener = self.server.listen(8081)
        with listener, self.client.connect(self.server.address, 8081) as near:
            far, _ = listener.accept()
            with far:
                near.sendall(b"question")
                far.recv(64)
                time.sleep(0.3)
                far.sendall(b"answer")
                near.recv(64)
                near.close()
                far.recv(64)
        for pod, stages in ((self.client, SETUP), (self.server, ("destination_ms", "policy_ms", "dial_ms"))):
            record = wait_until(lambda: self.lines(pod, 8081, event="close"), 5, "the closing line")[-1]
            with self.subTest(pod=pod.name, record=record):
                self.assertEqual([stage for stage in SETUP if stage in record], list(stages))
                self.assertLessEqual(sum(record[stage] for stage in stages), record["duration_ms"])
                self.assertLess(record["first_sent_ms"], 300)
                self.assertGreaterEqual(record["first_received_ms"], 299)
                self.assertLessEqual(record["first_received_ms"], record["duration_ms"])

    def test_a_policys_no_is_machine_readable_at_both_ends(self):
        self.mesh.registry.policy("deny-8089", "DENY", destination_ports=[8089])
        self.mesh.registry.write()
        self.addCleanup(self.mesh.registry.write)
        self.addCleanup(self.mesh.registry.policies.clear)

        def denied():
            self.assert_fails_fast(self.client, self.server.address, 8089)
            return self.lines(self.server, 8089, reason="policy-deny")
        wait_until(denied, 5, "the denial", every=0.1)
        there = self.lines(self.server, 8089, reason="policy-deny")[-1]
        self.assertEqual((there["result"], there["policy"]), ("denied", "demo/deny-8089"))
        here = wait_until(lambda: self.lines(self.client, 8089, peer_reason="policy-deny"), 5, "the client's line")[-1]
        self.assertEqual((here["result"], here["reason"]), ("denied", "tunnel-refused"))
        # It was never carried.
        self.assertFalse(self.lines(self.server, 8089, event="open"))

    def seconds_for_short_connections(self):
        started = time.monotonic()
        for _ in range(SHORT):
            with self.client.connect(self.mesh.vip, 80) as connection:
                connection.sendall(b"x")
                self.assertEqual(connection.recv(1), b"x")
        return time.monotonic() - started

    def seconds_for_bulk(self):
        started = time.monotonic()
        with self.client.connect(self.server.address, 8082, timeout=30) as connection:
            for _ in range(BULK // len(BLOCK)):
                connection.sendall(BLOCK)
            connection.shutdown(1)
            self.assertIn(str(BULK).encode(), connection.recv(1024))
        return time.monotonic() - started

    def test_a_reader_that_stalls_slows_nothing(self):
        # Alternately with the log read and not read, twice each, so that what else runs here falls on both.
        measured = {True: [], False: []}
        for stalled in (False, True, True, False):
            self.client.proxy.terminate()
            if stalled:
                reader, writer = os.pipe()
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
                proxy = subprocess.Popen(self.client.host.command(self.client.proxy_arguments(), uid=PROXY_UID),
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer, cwd="/")
            else:
                self.client.start_proxy()
            try:
                wait_until(self.client.ready, 15, "readiness")
                self.ask(self.client, self.mesh.vip, 80)
                measured[stalled].append((self.seconds_for_short_connections(), self.seconds_for_bulk()))
                if stalled:
                    self.mesh.assert_counters_balance(pods=[self.client])
            finally:
                if stalled:
                    proxy.kill()
                    proxy.wait()
                    os.close(reader)
                    os.close(writer)
                    self.client.start_proxy()
                    self.client.wait_ready()
        for what, at in (("1000 short connections", 0), ("100 MB", 1)):
            read, stalled = (statistics.mean(figures[at] for figures in measured[key]) for key in (False, True))
            print(f"{what}: {2 * read:.2f} s with a reader, {2 * stalled:.2f} s with one that stalls")
            self.assertLess(stalled, 1.5 * read + 0.2, what)


if __name__ == "__main__":
    sys.exit(main())
