#!/usr/bin/python3
"""A proxy with --redirect_check_port knows, without any privilege, whether the redirect's rules are in place, and is not ready while they are not.

Proved: while the rules are in place, in both modes and with every list, it is ready; rules that are deleted, emptied, flushed with everything else or closed make the pod not ready, for the kubelet
as within the pod, with one line in the log, the gauge at 0 and a reason that says what to do; rules that are put back make it ready again; one that `watch`
repairs stays ready; before the rules are made the first time it has started and is not ready; nobody else can listen on the port; a proxy without the flag looks at nothing.
"""

import errno
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import http_request
from testing.process import wait_until

CHECK_PORT = 15022
GONE = "the redirect rules are gone: "
LISTS = ["--include_inbound_ports=8080", "--include_outbound_ports=80", "--include_interfaces=eth0", "--exclude_outbound_cidrs=127.0.0.0/8"]
LOSSES = {
    "the table is deleted": "delete table inet byrnie",
    "everything is deleted": "flush ruleset",
    "the rules of the chain are deleted": "flush chain inet byrnie outbound",
    "the table is emptied": "flush table inet byrnie",
}


class RedirectCheckTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.client.extra_proxy_flags = [f"--redirect_check_port={CHECK_PORT}"]
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def tearDown(self):
        self.client.redirect("apply")
        self.wait_ready()

    def in_place(self):
        """As the gauge says; asked from within, which rules that drop everything else let pass."""
        return self.client.metrics()["byrnie_proxy_redirect_in_place"]

    def readiness(self, host=None):
        return http_request(host or self.client.host, 15021, "/healthz/ready", address=self.client.address)

    def wait_ready(self):
        wait_until(lambda: self.in_place() == 1 and self.readiness()[0] == 200, 20, "a ready pod")

    def lines(self, text):
        return [record for record in self.client.proxy.log_records() if record.get("message", "").startswith(text)]

    def lose(self, commands):
        self.client.host.run("nft", "-f", "-", stdin=commands + "\n")

    def test_rules_that_go_make_the_pod_not_ready_until_they_are_back(self):
        for what, commands in LOSSES.items():
            with self.subTest(what=what):
                before = len(self.lines(GONE))
                self.wait_ready()
                self.lose(commands)
                if what == "the table is emptied":
                    # Its guards drop everything, questions of this test included.
                    wait_until(lambda: len(self.lines(GONE)) == before + 1, 30, "the log")
                    self.client.redirect("apply")
                else:
                    wait_until(lambda: self.in_place() == 0, 20, "the gauge")
                    # The node's question comes in where nothing guards the pod any more; else it is for the pod's own.
                    for asker in (self.client.host, self.outsider):
                        status, text = self.readiness(asker)
                        self.assertEqual(status, 503)
                        self.assertIn(GONE, text)
                        self.assertIn("byrnie-redirect apply", text)
                    self.assertEqual(len(self.lines(GONE)), before + 1)
                    self.client.redirect("apply")
                self.wait_ready()
                self.assertEqual(len(self.lines(GONE)), before + 1)
                self.assertEqual(self.readiness(self.outsider)[0], 200)
                self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(len(self.lines("the redirect rules are in place again")), len(self.lines(GONE)))

    def test_rules_that_are_closed_are_not_in_place(self):
        watch = self.mesh.spawn("watch", self.client.host, [self.mesh.binary("byrnie-redirect"), "watch", "--on_drift=fail-closed"],
                                self.mesh.log_path("watch", unique=True))
        self.addCleanup(watch.end)
        wait_until(lambda: any("watching" in record["message"] for record in watch.log_records()), 20, "the watch")
        # The rest of the table stays, and would lead the question as before.
        self.lose("add rule inet byrnie outbound tcp dport 9 return")
        wait_until(lambda: self.in_place() == 0, 20, "the gauge")
        self.assertEqual(self.readiness(self.outsider)[0], 503)
        self.assertEqual(watch.terminate(), 0)

    def test_a_watch_that_repairs_leaves_the_pod_ready(self):
        watch = self.mesh.spawn("watch", self.client.host, [self.mesh.binary("byrnie-redirect"), "watch"],
                                self.mesh.log_path("watch", unique=True))
        self.addCleanup(watch.end)
        wait_until(lambda: "byrnie_held" in self.client.host.run("nft", "list", "tables").stdout, 20, "the held copy")
        before = len(self.lines(GONE))
        for _ in range(5):
            self.lose("flush ruleset")
            wait_until(lambda: self.client.redirect("check", check=False).returncode == 0, 20, "the repair")
        self.assertEqual(len(self.lines(GONE)), before)
        self.assertEqual(watch.terminate(), 0)

    def test_every_list_leaves_the_way_to_the_page(self):
        for flags in (LISTS, ["--exclude_interfaces=lo0"], ["--mode=tproxy"]):
            with self.subTest(flags=flags):
                self.lose("flush ruleset")
                wait_until(lambda: self.in_place() == 0, 20, "the gauge")
                self.client.redirect("apply", *flags)
                self.wait_ready()

    def test_nobody_else_can_listen_on_the_port(self):
        with self.assertRaises(OSError) as refused:
            self.client.host.listen(CHECK_PORT).close()
        self.assertEqual(refused.exception.errno, errno.EADDRINUSE)
        # Nor is it a way into the pod, or out of it.
        for address in (self.client.address, self.client.address6):
            self.assert_fails_fast(self.server, address, CHECK_PORT)
            self.assert_fails_fast(self.outsider, address, CHECK_PORT)

    def test_before_the_rules_it_has_started_and_is_not_ready(self):
        before = len(self.lines(GONE))
        self.assertEqual(self.client.proxy.terminate(), 0)
        self.client.redirect("remove")
        self.client.start_proxy()

        def started():
            try:
                return http_request(self.client.host, 15021, "/healthz/started", address=self.client.address)[0] == 200
            except OSError:
                return False
        wait_until(started, 20, "the start")
        status, text = self.readiness()
        self.assertEqual((status, text), (503, "the redirect rules are not in place yet\n"))
        self.client.redirect("apply")
        self.wait_ready()
        self.assertLessEqual(len(self.lines(GONE)), before)

    def test_without_the_flag_nobody_looks(self):
        self.assertEqual(self.server.metrics()["byrnie_proxy_redirect_in_place"], -1)
        self.server.redirect("remove")
        try:
            self.assertEqual(http_request(self.server.host, 15021, "/healthz/ready", address=self.server.address)[0], 200)
        finally:
            self.server.redirect("apply")


if __name__ == "__main__":
    sys.exit(main())
