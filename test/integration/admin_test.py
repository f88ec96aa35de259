#!/usr/bin/python3
"""The admin pages and metrics say what is going on, to those who may ask.

Proved: every page of proxy, agent and control plane answers on loopback, with the identities and peers that are there and
nothing secret; what changes something must be POST and come to a loopback name; from outside only metrics and readiness are
reached, and where the control plane's pages are opened to the network nothing can be changed.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, ControlPlane, http_request, parse_metrics
from testing.netns import APPLICATION_UID
from testing.process import wait_until
from testing.registry import Registry


class AdminTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    def page(self, pod, path):
        status, body = pod.admin(path)
        self.assertEqual(status, 200, body)
        self.assertNotIn("PRIVATE KEY", body)
        return body

    def test_the_proxys_page_names_its_identity(self):
        self.assertIn(self.client.spiffe_id, self.page(self.client, "/"))

    def test_the_proxy_shows_its_certificates_as_json(self):
        self.assertIn(self.client.spiffe_id, json.dumps(json.loads(self.page(self.client, "/certs"))).replace("\\/", "/"))

    def test_the_proxy_shows_its_configuration_as_json(self):
        dump = json.dumps(json.loads(self.page(self.server, "/config_dump")))
        self.assertIn("15008", dump)

    def test_the_proxy_shows_open_connections_with_both_identities(self):
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"x")
            connection.recv(1)
            for pod, peer in ((self.client, self.server), (self.server, self.client)):
                shown = json.dumps(json.loads(self.page(pod, "/connections"))).replace("\\/", "/")
                self.assertIn(peer.spiffe_id, shown)

    def test_the_metrics_count_connections(self):
        def opened(pod):
            return sum(value for series, value in pod.metrics().items()
                       if series.startswith("byrnie_proxy_") and "_total" in series and "connections" in series)
        before = {pod: opened(pod) for pod in (self.client, self.server)}
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        wait_until(lambda: all(opened(pod) > before[pod] for pod in before), 5, "a count in both proxies")

    def test_the_metrics_are_on_the_admin_port_too(self):
        self.assertEqual(set(parse_metrics(self.page(self.client, "/metrics"))), set(self.client.metrics()))

    def test_an_unknown_page_lists_those_there_are(self):
        status, body = self.client.admin("/nothing")
        self.assertEqual(status, 404)
        self.assertIn("/certs", body)

    def test_what_changes_something_must_be_posted(self):
        for path in ("/logging", "/drain", "/quitquitquit"):
            with self.subTest(path=path):
                self.assertEqual(self.client.admin(path)[0], 405)
        self.assertTrue(self.client.ready())

    def test_a_foreign_host_name_is_refused(self):
        for path, method in (("/", "GET"), ("/quitquitquit", "POST")):
            status, _ = self.client.admin(path, method, headers={"Host": "evil.example"})
            self.assertEqual(status, 403)
        self.assertTrue(self.client.proxy.running())

    def test_only_root_and_the_own_user_may_change_something(self):
        admins = {"proxy": (self.client.admin, PROXY_UID), "agent": (self.client.agent_admin, PROXY_UID),
                  "control plane": (self.mesh.control_plane.admin, 0)}
        for name, (admin, own) in admins.items():
            with self.subTest(process=name):
                status, body = admin("/logging?level=info", "POST", uid=APPLICATION_UID)
                self.assertEqual(status, 403, body)
                self.assertIn(f"uid {APPLICATION_UID}", body)
                self.assertIn(f"root and uid {own}", body)
                for uid in (0, own):
                    self.assertEqual(admin("/logging?level=info", "POST", uid=uid)[0], 200)
                self.assertEqual(admin("/metrics", uid=APPLICATION_UID)[0], 200)
        for path in ("/drain", "/quitquitquit"):
            self.assertEqual(self.client.admin(path, "POST", uid=APPLICATION_UID)[0], 403)
        self.assertEqual(self.client.agent_admin("/renew", "POST", uid=APPLICATION_UID)[0], 403)
        self.assertTrue(self.client.ready())

    def test_a_renewal_can_be_asked_for_once_a_second(self):
        self.assertEqual(self.server.agent_admin("/renew", "POST")[0], 202)
        self.assertEqual(self.server.agent_admin("/renew", "POST")[0], 429)
        wait_until(lambda: self.server.agent_admin("/renew", "POST")[0] == 202, 3, "another renewal", every=0.2)

    def test_a_probe_is_answered_however_many_connections_are_idle(self):
        outsider = self.outsider
        hoard = []
        try:
            for _ in range(1000):
                hoard.append(outsider.connect(self.server.address, 15021))
            for _ in range(20):
                self.assertTrue(self.server.ready())
                # The node is one of many clients, not the only one.
                status, _ = http_request(outsider, 15021, "/healthz/ready", address=self.server.address, timeout=2)
                self.assertEqual(status, 200)
        finally:
            for connection in hoard:
                connection.close()
        evicted = self.server.metrics()['byrnie_proxy_http_connections_evicted_total{server="readiness"}']
        self.assertGreater(evicted, 900 - 64)

    def test_the_log_level_changes_at_run_time(self):
        self.assertEqual(self.client.admin("/logging?level=debug", "POST")[0], 200)
        self.assertEqual(self.client.admin("/logging?level=info", "POST")[0], 200)
        self.assertEqual(self.client.admin("/logging?level=loud", "POST")[0], 400)

    def test_a_control_plane_open_to_the_network_shows_and_changes_nothing(self):
        exposed = ControlPlane(self.mesh, "exposed", 3)
        exposed.admin_address = "0.0.0.0"
        Registry(exposed.registry_path).write()
        exposed.start()
        status, body = http_request(self.outsider, exposed.ADMIN, "/", address=exposed.host.address)
        self.assertEqual(status, 200)
        self.assertNotIn("POST", body)
        self.assertEqual(exposed.admin("/logging?level=debug", "POST")[0], 404)
        self.assertIn("POST /logging", self.mesh.control_plane.admin("/")[1])

    def test_only_metrics_and_readiness_are_reached_from_outside(self):
        self.assertEqual(http_request(self.outsider, 15021, "/healthz/ready", address=self.server.address)[0], 200)
        self.assertEqual(http_request(self.outsider, 15020, "/metrics", address=self.server.address)[0], 200)
        for port in (15000, 15010):
            with self.subTest(port=port), self.assertRaises(OSError):
                http_request(self.outsider, port, "/", address=self.server.address)

    def test_the_agents_pages(self):
        for path in ("/", "/metrics"):
            status, body = self.client.agent_admin(path)
            self.assertEqual(status, 200, body)
            self.assertNotIn("PRIVATE KEY", body)
        self.assertIn(self.client.spiffe_id, self.client.agent_admin("/")[1])

    def test_the_control_planes_pages(self):
        for path in ("/", "/metrics"):
            status, body = self.mesh.control_plane.admin(path)
            self.assertEqual(status, 200, body)
            self.assertNotIn("PRIVATE KEY", body)

    def test_the_operator_sees_both_agents(self):
        text = self.mesh.control_plane.ctl("status").stdout
        shown = self.mesh.control_plane.ctl("status", "--output", "json").stdout.replace("\\/", "/")
        json.loads(shown)
        for pod in (self.client, self.server):
            self.assertIn(pod.spiffe_id, text)
            self.assertIn(pod.spiffe_id, shown)

    def test_the_logs_hold_no_secret(self):
        with open(self.mesh.control_plane.operator_token, encoding="ascii") as token:
            secret = token.read().strip()
        self.assertGreater(len(secret), 16)
        logs = [process.log_text() for process in self.mesh.processes]
        for text in logs:
            self.assertNotIn(secret, text)
            self.assertNotIn("PRIVATE KEY", text)
        for pod in (self.client, self.server):
            with open(pod.token, encoding="ascii") as token:
                used = token.read().strip()
            self.assertFalse(any(used in text for text in logs))

    def test_drain_waits_for_open_connections_and_quit_does_not(self):
        pod = self.mesh.pod("leaving")
        self.mesh.start()
        with pod.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"x")
            connection.recv(1)
            self.assertEqual(pod.admin("/drain", "POST")[0], 200)
            wait_until(lambda: not pod.ready(), 5, "the end of readiness")
            connection.sendall(b"y")
            self.assertEqual(connection.recv(1), b"y")
            self.assertEqual(pod.admin("/quitquitquit", "POST")[0], 200)
            self.assertEqual(pod.proxy.wait(10), 0)


if __name__ == "__main__":
    sys.exit(main())
