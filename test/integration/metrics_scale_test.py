#!/usr/bin/python3
"""Metrics stay bounded and cheap, whoever the proxy talks to.

Proved: with many more destinations than there is room for, /metrics is strict Prometheus text of at most 2000 series, is
served in less than 50 ms each time, also under load, and says how many connections were folded (what a hundred thousand peers are
folded into is proved on the class, in proxy/tcp_metrics_test); Prometheus' own `promtool check metrics` has nothing to
say about that page, the agent's and the control plane's; both proxies name who talks to whom as Istio does, in the same
words; a scrape every second, fifteen times what Prometheus does by itself, changes the 99th percentile of a
ping-pong by no more than a tenth beyond what it differs by between two windows without, in the middle one of nine rounds. Times of
scrapes do not count how long whoever scrapes was ready to run and had no CPU; without other load, nor whoever answers.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.cache import cached
from testing.case import MeshTestCase, main
from testing.mesh import http_request
from testing.process import thread_times, wait_until, waited_seconds
from testing.sanitized import fewer, measured

SERVICES = 600
SCRAPED_WITHIN = 0.05
ROUNDS, WINDOW = fewer(9, 3), 1.5
# Reads the page as Prometheus does, on a connection that it keeps.
SCRAPER = """
import socket, time
page = memoryview(bytearray(1 << 22))
def waited():
    with open("/proc/self/schedstat") as stat:
        return int(stat.read().split()[1]) / 1e9
with socket.create_connection(("127.0.0.1", 15020), timeout=10) as connection:
    while True:
        had_waited, began = waited(), time.monotonic()
        due = began + 1
        connection.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        got, size = 0, None
        while size is None or got < size:
            count = connection.recv_into(page[got:])
            assert count, "no whole page"
            got += count
            head, end, _ = bytes(page[:min(got, 2000)]).partition(b"\\r\\n\\r\\n")
            if end:
                size = len(head) + 4 + int(head.lower().split(b"content-length: ")[1].split(b"\\r")[0])
        print(got, time.monotonic() - began - (waited() - had_waited), flush=True)
        time.sleep(max(0, due - time.monotonic()))
"""


class MetricsScaleTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        for number in range(SERVICES):
            cls.mesh.registry.service(f"nobody-{number}", "demo", [cls.nobody(number)], 80, 8080)
        cls.mesh.start()
        cls.server.app("echo", 8080)

    @staticmethod
    def nobody(number):
        return f"10.97.{number // 250}.{number % 250 + 1}"

    def samples(self, pod, name, **labels):
        return [sample for sample in pod.families()[name].samples
                if all(sample.labels[label] == value for label, value in labels.items())]

    def test_1_both_proxies_name_who_talks_to_whom(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.mesh.assert_counters_balance()
        expected = {"source_workload_namespace": "demo", "source_principal": self.client.spiffe_id,
                    "destination_workload": "server", "destination_workload_namespace": "demo",
                    "destination_principal": self.server.spiffe_id, "destination_service": "server.demo.svc.cluster.local",
                    "destination_service_name": "server", "destination_service_namespace": "demo", "request_protocol": "tcp",
                    "response_flags": "-", "connection_security_policy": "mutual_tls"}
        for pod, reporter in ((self.client, "source"), (self.server, "destination")):
            for name, value in (("connections_opened", 1), ("connections_closed", 1), ("received_bytes", 5), ("sent_bytes", 5)):
                with self.subTest(reporter=reporter, name=name):
                    (sample,) = self.samples(pod, f"istio_tcp_{name}_total", reporter=reporter, **expected)
                    self.assertEqual(sample.value, value)
                    self.assertIn(sample.labels["source_workload"], ("client", "unknown"))

    def test_1_the_destination_learns_what_the_sources_workload_is_called(self):
        def named():
            self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
            return self.samples(self.server, "istio_tcp_connections_opened_total", reporter="destination", source_workload="client")
        wait_until(named, 10, "the name")

    def test_2_more_destinations_than_room(self):
        for number in range(SERVICES):
            self.assert_fails_fast(self.client, self.nobody(number), 80)
        self.mesh.assert_counters_balance()
        families = self.client.families()
        series = sum(len(family.samples) for family in families.values())
        self.assertLessEqual(series, 2000)
        self.assertGreater(series, 1000)
        self.assertGreater(exposition.total(families, "byrnie_proxy_series_folded_total"), 0)
        # Folded, but not lost.
        opened = exposition.total(families, "byrnie_proxy_connections_opened_total", direction="outbound")
        self.assertEqual(exposition.total(families, "istio_tcp_connections_opened_total"), opened)
        self.assertEqual(exposition.total(families, "istio_tcp_connections_closed_total"), opened)
        took = []
        for _ in range(21):
            before, waited, started = thread_times(self.client.proxy.pid), waited_seconds(os.getpid()), time.monotonic()
            self.assertEqual(http_request(self.client.host, 15020, "/metrics", address=self.client.address)[0], 200)
            seconds = time.monotonic() - started - (waited_seconds(os.getpid()) - waited)
            # One of the proxy's threads answers: the one that has run most.
            after = thread_times(self.client.proxy.pid)
            _, waited = max(tuple(now - then for now, then in zip(after[thread], before[thread])) for thread in before.keys() & after)
            took.append(seconds - waited)
        print(f"{series} series, scraped in {1000 * statistics.median(took):.1f} ms, at most {1000 * max(took):.1f} ms")
        with measured():
            self.assertLess(max(took), SCRAPED_WITHIN)

    def test_3_promtool_is_content(self):
        pages = {"proxy, client": http_request(self.client.host, 15020, "/metrics", address=self.client.address),
                 "proxy, server": http_request(self.server.host, 15020, "/metrics", address=self.server.address),
                 "agent": self.client.agent_admin("/metrics"), "control plane": self.mesh.control_plane.admin("/metrics")}
        promtool = cached("promtool")
        self.assertTrue(os.path.exists(promtool), f"{promtool} is not there; tools/setup puts it there")
        # It is silent about what is right; that it speaks about what is not is seen too.
        for page, (status, text) in pages.items():
            with self.subTest(page=page):
                self.assertEqual(status, 200)
                self.assertEqual(self.promtool(text), (0, ""))
                self.assertNotEqual(self.promtool(text + "# TYPE no_help counter\nno_help 1\n"), (0, ""))

    @staticmethod
    def promtool(text):
        done = subprocess.run([cached("promtool"), "check", "metrics"], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def ping_pong(self, connection):
        """The 99th percentile of the times of questions of 1 KiB and their answers, one after the other."""
        times = []
        end = time.monotonic() + WINDOW
        while (started := time.monotonic()) < end:
            connection.sendall(b"x" * 1024)
            left = 1024
            while left:
                left -= len(connection.recv(left))
            times.append(time.monotonic() - started)
        return statistics.quantiles(times, n=100)[98]

    @contextlib.contextmanager
    def scraped(self):
        # A process of its own: a thread would slow the ping-pong in this interpreter, not in the proxy.
        command = self.client.host.command(["/usr/bin/python3", "-I", "-S", "-c", SCRAPER])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as scraper:
            try:
                for _ in range(2):  # It has started, and has what it needs.
                    self.assertGreater(int(scraper.stdout.readline().split()[0]), 100_000)
                yield
            finally:
                scraper.kill()
                # What it was doing when it was ended may be half a line.
                self.scrapes += [float(line.split()[1]) for line in scraper.stdout.read().split("\n")[:-1]]

    def test_4_what_a_scrape_costs_others(self):
        # Scrapes between two windows without: whatever else this machine does falls on all three alike, and what the two differ
        # by is its doing. What falls on one window alone makes one round an outlier, to either side.
        self.scrapes, changes, noises = [], [], []
        with self.client.connect(self.mesh.vip, 80) as connection:
            for _ in range(ROUNDS):
                before = self.ping_pong(connection)
                with self.scraped():
                    scraped = self.ping_pong(connection)
                after = self.ping_pong(connection)
                quiet = (before + after) / 2
                changes.append(scraped / quiet - 1)
                noises.append(abs(before - after) / quiet)
                print(f"p99 {1e6 * before:.0f} us, scraped every second {1e6 * scraped:.0f} us, and not again {1e6 * after:.0f} us: "
                      f"{100 * changes[-1]:+.1f} %", flush=True)
        change, noise, slowest = statistics.median(changes), statistics.median(noises), max(self.scrapes)
        print(f"p99 changed by {100 * change:+.1f} %, without scrapes by {100 * noise:.1f} %; {len(self.scrapes)} scrapes under load, median "
              f"{1000 * statistics.median(self.scrapes):.1f} ms, at most {1000 * slowest:.1f} ms", flush=True)
        with measured():
            self.assertLessEqual(change, 0.1 + noise)
        with measured():
            self.assertLess(slowest, SCRAPED_WITHIN)


if __name__ == "__main__":
    sys.exit(main())
