#!/usr/bin/python3
"""byrniectl takes the kubeconfigs that clusters hand out: against a real API server.

Proved: a server with a path, behind a reverse proxy that serves several clusters; a cluster without certificate-authority, whose server somebody vouches for whom the system trusts, and one for whom nobody does; proxy-url, with and without a password,
and HTTPS_PROXY, by CONNECT, for a server whose name means nothing here; proxies that are asked otherwise refused by name; impersonation, which is what the API server judges rights by; keys that mean nothing here passed over, servers that are not to be
verified refused.
"""

import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from testing.case import main
from testing.kubernetes import API_AUDIENCE, Cluster
from testing.kubernetes_node import own_network
from testing.mesh import binary_path

PREFIX = "/k8s/clusters/c-m-abc"


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Connect(http.server.BaseHTTPRequestHandler):
    """A proxy that leads every CONNECT to one place, and keeps what it was asked for."""

    def do_CONNECT(self):
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        if self.server.password is not None and self.headers.get("Proxy-Authorization") != self.server.password:
            self.send_error(407)
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=self.copy, args=(far, self.connection), daemon=True)
            back.start()
            self.copy(self.connection, far)
            back.join(10)
        self.close_connection = True

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Reverse(http.server.BaseHTTPRequestHandler):
    """Serves an API server under a path, with TLS of its own."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if not self.path.startswith(PREFIX + "/"):
            self.send_error(404)
            return
        far = http.client.HTTPSConnection("127.0.0.1", self.server.target, context=ssl.create_default_context(cadata=self.server.roots), timeout=30)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        far.request(self.command, self.path[len(PREFIX):], body or None, headers)
        answer = far.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        far.close()

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_):
        pass


class KubeconfigTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        own_network()
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start(grant=False)
        cls.admin = cls.cluster.admin_kubeconfig()
        with open(cls.admin, encoding="ascii") as text:
            cls.config = json.load(text)
        cls.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Connect)
        cls.addClassCleanup(cls.proxy.server_close)
        cls.addClassCleanup(cls.proxy.shutdown)
        cls.proxy.target = cls.cluster.port
        serve(cls.proxy)

    def setUp(self):
        self.proxy.asked, self.proxy.password = [], None

    def check(self, cluster=None, user=None, expect=1, **environment):
        """check --pre, in which nothing is wrong but that nothing is there; with more in the cluster's entry and the user's."""
        config = json.loads(json.dumps(self.config))
        entry = config["clusters"][0]["cluster"]
        entry.update(cluster or {})
        config["clusters"][0]["cluster"] = {name: value for name, value in entry.items() if value is not None}
        config["users"][0]["user"].update(user or {})
        path = self.cluster.path("tried.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            yaml.safe_dump(config, out)
        done = subprocess.run([binary_path("byrniectl"), "check", "--pre", "-o", "json", f"--kubeconfig={path}"], capture_output=True, text=True,
                              timeout=120, env={"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", **environment})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return {each["name"]: each for each in json.loads(done.stdout)} if expect < 2 else done.stderr

    def proxy_url(self, user=""):
        return f"http://{user}127.0.0.1:{self.proxy.server_address[1]}"

    def assert_asked(self, checks):
        self.assertEqual(checks["api-server"]["outcome"], "good")
        self.assertEqual(checks["permissions"]["outcome"], "good", checks["permissions"])

    def test_a_server_with_a_path(self):
        front = self.cluster.authority
        certificate, key = front.issue("rancher", hosts=["127.0.0.1"])
        path = self.cluster.path("front.pem")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(certificate + key)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reverse)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        server.target, server.roots = self.cluster.port, front.pem().decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serve(server)
        rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        self.cluster.admin.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "rancher"}})
        self.cluster.admin.create(rbac, {"metadata": {"name": "rancher"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                                         "subjects": [{"kind": "ServiceAccount", "name": "rancher", "namespace": "default"}]})
        token = self.cluster.service_account_token("default", "rancher", [API_AUDIENCE])
        url = f"https://127.0.0.1:{server.server_address[1]}{PREFIX}"
        self.addCleanup(self.config["users"][0].__setitem__, "user", self.config["users"][0]["user"])
        self.config["users"][0]["user"] = {"token": token}
        checks = self.check({"server": url}, expect=0)
        self.assert_asked(checks)
        self.assertIn(url, checks["api-server"]["message"])

    def test_a_cluster_whose_ca_the_system_trusts(self):
        store = self.cluster.path("store.pem")
        with open("/etc/ssl/certs/ca-certificates.crt", encoding="utf-8") as system, open(store, "w", encoding="utf-8") as out:
            # As Red Hat's has comments, and something that is not understood.
            out.write("# Somebody\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + system.read() + "# Ours\n" + self.cluster.authority.pem().decode())
        none = {"certificate-authority-data": None}
        self.assert_asked(self.check(none, expect=0, SSL_CERT_FILE=store))
        # Whom it does not trust is not asked.
        self.check(none, expect=4)
        self.assertIn("/nonexistent.pem", self.check(none, expect=2, SSL_CERT_FILE="/nonexistent.pem"))

    def test_a_proxy(self):
        self.assert_asked(self.check({"proxy-url": self.proxy_url()}, expect=0))
        self.assertEqual({each[0] for each in self.proxy.asked}, {f"127.0.0.1:{self.cluster.port}"})
        # The proxy looks it up.
        self.proxy.asked = []
        elsewhere = {"server": "https://kubernetes.inside:6443", "tls-server-name": "127.0.0.1"}
        self.assert_asked(self.check({**elsewhere, "proxy-url": self.proxy_url()}, expect=0))
        self.assert_asked(self.check(elsewhere, expect=0, HTTPS_PROXY=self.proxy_url(), NO_PROXY="10.0.0.0/8,.outside"))
        self.assertEqual({each[0] for each in self.proxy.asked}, {"kubernetes.inside:6443"})
        self.check(elsewhere, expect=3, HTTPS_PROXY=self.proxy_url(), NO_PROXY=".inside")
        # This machine is asked itself.
        self.proxy.asked = []
        self.assert_asked(self.check(expect=0, HTTPS_PROXY=self.proxy_url()))
        self.assertEqual(self.proxy.asked, [])

    def test_a_proxy_with_a_password(self):
        self.proxy.password = "Basic " + base64.b64encode(b"me:p@ss").decode()
        self.assert_asked(self.check({"proxy-url": self.proxy_url("me:p%40ss@")}, expect=0))
        said = self.check({"proxy-url": self.proxy_url("me:wrong@")}, expect=4)
        self.assertIn("407", said)
        self.assertNotIn("wrong", said)

    def test_proxies_that_are_asked_otherwise(self):
        for scheme in ("https", "socks5"):
            self.assertIn(f"asked by {scheme} is not taken", self.check({"proxy-url": f"{scheme}://127.0.0.1:1"}, expect=2))
        self.assertIn("HTTPS_PROXY", self.check({"server": "https://kubernetes.inside"}, expect=2, HTTPS_PROXY="https://127.0.0.1:1"))

    def test_on_behalf_of_somebody(self):
        self.assert_asked(self.check(user={"as": "alice", "as-groups": ["people", "system:masters"], "as-user-extra": {"acme.example/why": ["night"]}}, expect=0))
        checks = self.check(user={"as": "alice", "as-groups": ["people"]}, expect=1)
        self.assertEqual(checks["permissions"]["outcome"], "bad")

    def test_what_means_nothing_here_and_what_would_mean_less_safety(self):
        self.assert_asked(self.check({"disable-compression": True, "of-the-future": {"a": 1}}, {"of-the-future": "x"}, expect=0))
        self.assertIn("insecure-skip-tls-verify", self.check({"insecure-skip-tls-verify": True}, expect=2))
        self.assertIn("auth-provider", self.check(user={"auth-provider": {"name": "gcp"}}, expect=2))


if __name__ == "__main__":
    sys.exit(main())
