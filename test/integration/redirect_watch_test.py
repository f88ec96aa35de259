#!/usr/bin/python3
"""`byrnie-redirect watch` keeps the rules in place whatever somebody does to them, and no plaintext leaves meanwhile.

Proved while an application connects and sends all the time and the table is emptied, deleted, altered, or the whole
ruleset flushed: repaired within 2 s, counted, not one byte of the application on the wire (capture), not one open
connection lost. `report` changes nothing, `fail-closed` rejects everything but the proxy's own until the next apply, and the pod is not
ready and says why; SIGTERM ends it with exit 0 and the rules stay.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, http_request, parse_metrics
from testing.process import wait_until

MARKER = b"WATCHED-" + os.urandom(12).hex().encode()

TAMPERING = {
    "the table is emptied": "flush table inet byrnie",
    "the table is deleted": "delete table inet byrnie",
    "everything is deleted": "flush ruleset",
    "a rule is added": "insert rule inet byrnie outbound accept",
    "a rule is added to the guard": "insert rule inet byrnie outbound_guard accept",
    "a chain is emptied": "flush chain inet byrnie outbound",
    "a chain is deleted": "flush chain inet byrnie inbound; delete chain inet byrnie inbound",
}


class RedirectWatchTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def start_watch(self, *flags):
        metrics = os.path.join(self.mesh.directory, f"watch-{os.urandom(3).hex()}.prom")
        watch = self.mesh.spawn("watch", self.client.host,
                                [self.mesh.binary("byrnie-redirect"), "watch", f"--metrics_file={metrics}", *flags],
                                self.mesh.log_path("watch", unique=True))
        self.addCleanup(watch.end)
        wait_until(lambda: os.path.exists(metrics), 10, "the first check")
        return watch, lambda: parse_metrics(open(metrics, encoding="ascii").read())

    def tearDown(self):
        self.client.redirect("apply")

    def in_place(self):
        return self.client.redirect("check", check=False).returncode == 0

    def test_repairs_while_traffic_flows_and_nothing_leaves_in_plaintext(self):
        watch, counts = self.start_watch()
        capture = self.mesh.capture(self.client.host)
        stop = threading.Event()
        answers = {"mesh": 0}

        def ask_the_mesh():
            while not stop.is_set():
                try:
                    self.ask(self.client, self.mesh.vip, 80, MARKER, timeout=3)
                    answers["mesh"] += 1
                except OSError:
                    pass

        with self.client.connect(self.mesh.vip, 80) as long_lived:
            thread = threading.Thread(target=ask_the_mesh)
            thread.start()
            try:
                for what, commands in TAMPERING.items():
                    with self.subTest(what=what):
                        before = counts()["byrnie_redirect_repairs_total"]
                        self.client.host.run("nft", "-f", "-", stdin=commands.replace("; ", "\n") + "\n")
                        started = time.monotonic()
                        wait_until(lambda: counts()["byrnie_redirect_repairs_total"] > before and self.in_place(), 2, "the repair")
                        self.assertLess(time.monotonic() - started, 2)
                        long_lived.sendall(MARKER)
                        self.assertEqual(long_lived.recv(100), MARKER)
                before = answers["mesh"]
                wait_until(lambda: answers["mesh"] > before + 3, 10, "connections after it all")
            finally:
                stop.set()
                thread.join()
        capture.stop()
        self.assertEqual(capture.count(MARKER), 0, "plaintext on the wire")
        final = counts()
        self.assertGreaterEqual(final["byrnie_redirect_drifts_total"], len(TAMPERING))
        self.assertEqual(final["byrnie_redirect_rules_in_place"], 1)
        self.assertEqual(watch.terminate(), 0)
        self.assertTrue(self.in_place(), "the rules stay")
        ended = [record for record in watch.log_records() if record["message"] == "ended; the rules stay"]
        self.assertEqual(ended[0]["repairs"], final["byrnie_redirect_repairs_total"])
        self.assertNotIn("byrnie_held", self.client.host.run("nft", "list", "tables").stdout)

    def test_a_second_watch_says_that_there_is_one(self):
        self.start_watch()
        second, _ = self.start_watch()
        told = [record["error"] for record in second.log_records() if "error" in record]
        self.assertTrue(told and "another process watches these rules already" in told[0], told)

    def test_a_flush_of_everything_opens_nothing_even_for_a_moment(self):
        """A storm of connection attempts during twenty flushes, each of which would be open for milliseconds."""
        _, counts = self.start_watch()
        with self.outsider.listen(9001, backlog=1024) as listener:
            stop = threading.Event()

            def storm():
                while not stop.is_set():
                    try:
                        self.client.connect(self.outsider.address, 9001, timeout=0.3).close()
                    except OSError:
                        pass
            # The proxy refuses what it is given while it has no way to pass it on: what arrives came around it.
            self.client.proxy.kill()
            thread = threading.Thread(target=storm)
            thread.start()
            try:
                for _ in range(20):
                    self.client.host.run("nft", "flush", "ruleset")
                    # Else one repair, on a busy machine, would be for many flushes of what is gone already.
                    wait_until(self.in_place, 30, "the repair")
            finally:
                stop.set()
                thread.join()
                self.client.start_proxy()
                self.client.wait_ready()
            listener.settimeout(0.2)
            self.assertRaises(TimeoutError, listener.accept)
        wait_until(lambda: counts()["byrnie_redirect_repairs_total"] >= 20, 10, "a repair counted for each flush")

    def test_report_changes_nothing(self):
        watch, counts = self.start_watch("--on_drift=report")
        self.client.host.run("nft", "insert", "rule", "inet", "byrnie", "outbound", "tcp", "dport", "9", "return")
        wait_until(lambda: counts()["byrnie_redirect_drifts_total"] == 1, 2, "the report")
        time.sleep(1.2)
        self.assertFalse(self.in_place())
        self.assertEqual(counts(), {"byrnie_redirect_drifts_total": 1, "byrnie_redirect_repairs_total": 0,
                                    "byrnie_redirect_failures_total": 0, "byrnie_redirect_rules_in_place": 0})
        warning = [record for record in watch.log_records() if record["level"] == "warning"]
        self.assertEqual([record["difference"] for record in warning], ["+ chain outbound: tcp dport 9 return\n"])
        self.client.redirect("apply")
        wait_until(lambda: counts()["byrnie_redirect_rules_in_place"] == 1, 2, "the end of the drift")
        self.assertEqual(watch.terminate(), 0)

    def test_fail_closed_rejects_all_but_the_proxys_own(self):
        watch, counts = self.start_watch("--on_drift=fail-closed")
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.client.host.run("nft", "flush", "ruleset")
        wait_until(lambda: counts()["byrnie_redirect_rules_in_place"] == 0, 2, "the closing")
        for _ in range(2):
            for address, port in ((self.mesh.vip, 80), (self.mesh.vip6, 80), (self.server.address, 8080),
                                  (self.outsider.address6, 9000), ("127.0.0.1", 8080)):
                self.assert_fails_fast(self.client, address, port, within=1)
            # Whoever puts the rules back one by one does not open it, nor whoever takes the closed ones away.
            self.client.host.run("nft", "flush", "ruleset")
            time.sleep(1.2)
        with self.outsider.listen(9000) as listener:
            self.client.connect(self.outsider.address, 9000, uid=PROXY_UID, timeout=3).close()
            listener.accept()[0].close()
        # As a kubelet asks, and who is in the pod.
        for asker, address in ((self.outsider, self.client.address), (self.outsider, self.client.address6),
                               (self.client.host, self.client.address), (self.client.host, "127.0.0.1")):
            status, text = http_request(asker, 15021, "/healthz/ready", address=address)
            self.assertEqual(status, 503, address)
            self.assertIn("byrnie-redirect has failed closed", text)
        self.assertEqual(http_request(self.outsider, 15020, "/metrics", address=self.client.address)[0], 200)
        self.assertEqual(http_request(self.client.host, 15000, "/")[0], 200)
        self.assertEqual(watch.terminate(), 0)
        self.assert_fails_fast(self.client, self.mesh.vip, 80, within=1)
        self.assertIn("byrnie_closed", self.client.redirect("check", check=False).stdout)
        self.client.redirect("apply")
        self.assertTrue(self.in_place())
        self.assertEqual(http_request(self.outsider, 15021, "/healthz/ready", address=self.client.address)[0], 200)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")


if __name__ == "__main__":
    sys.exit(main())
