#!/usr/bin/python3
"""The proxy makes the kubelet's health probes of the application, which then needs no port that plaintext reaches.

Proved, from the node's address and in strict mode without --probe_ports: probes by HTTP, HTTPS, TCP and gRPC (of gRPC's own servers, by service) are
answered with a status and nothing of the application's; the application's port refuses plaintext from the node; an application that does not answer fails its probe when its
time is over, one that is gone at once, which the log says and counters count; what is not in the list is 404; many who ask at once do not
make many probes; all goes on while the proxy drains.
"""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import APPLICATION_UID, http_request
from testing.process import wait_until

PROBES = {"app": {"readiness": {"httpGet": {"port": 8080, "path": "/healthz"}, "timeoutSeconds": 1},
                  "liveness": {"tcpSocket": {"port": 8080}}, "startup": {"tcpSocket": {"port": 9999}}},
          "grpc": {"readiness": {"grpc": {"port": 9090, "service": "shop.Cart"}, "timeoutSeconds": 2}, "liveness": {"grpc": {"port": 9090}},
                   "startup": {"grpc": {"port": 8080}}},
          "till": {"readiness": {"grpc": {"port": 9090, "service": "shop.Till"}}, "liveness": {"grpc": {"port": 9090, "service": "shop.Nothing"}}},
          "tls": {"readiness": {"httpGet": {"port": 8443, "scheme": "HTTPS"}, "timeoutSeconds": 5},
                  "liveness": {"httpGet": {"port": 8080, "scheme": "HTTPS"}}}}
STATUS = 15021
GRPC_SERVER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "testing", "grpc_health_server.py")


class AppProbesTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.server, cls.node = cls.mesh.pod("server"), cls.mesh.network.switch
        cls.server.extra_proxy_flags = [f"--app_probes={json.dumps(PROBES)}"]
        cls.mesh.start()
        cls.app = cls.server.app("web", 8080, "server")

    def ask(self, kind, pod=None, address=None, container="app"):
        return http_request(self.node, STATUS, f"/app-health/{container}/{kind}", address=address or (pod or self.server).address,
                            headers={"User-Agent": "kube-probe/1.29"})

    @staticmethod
    def open_connections(pod):
        return json.loads(pod.admin("/connections")[1])["connections"]

    def count(self, result):
        return self.server.metrics()[f'byrnie_proxy_app_probes_total{{result="{result}"}}']

    def test_the_proxy_answers_for_the_application(self):
        before = self.count("passed")
        self.assertEqual(self.ask("readiness"), (200, "the application's probe passes: it answered 200\n"))
        self.assertEqual(self.ask("readiness", address=self.server.address6)[0], 200)
        self.assertEqual(self.ask("liveness"), (200, "the application's probe passes: it took the connection\n"))
        self.assertEqual(self.count("passed") - before, 3)

    def test_the_application_is_not_to_be_reached(self):
        with self.node.connect(self.server.address, 8080, timeout=3) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            try:
                self.assertEqual(connection.recv(100), b"")
            except ConnectionResetError:
                pass
        self.server.wait_access_log(direction="inbound", reason="plaintext-refused", original_destination=f"{self.server.address}:8080")

    def test_nobody_at_the_port_fails_it(self):
        status, body = self.ask("startup")
        self.assertEqual(status, 503)
        self.assertIn("refused", body)

    def test_what_is_not_in_the_list_is_not_there(self):
        for path in ("/app-health/other/readiness", "/app-health/app/postStart", "/app-health/app/readiness/x", "/app-health/"):
            self.assertEqual(http_request(self.node, STATUS, path, address=self.server.address)[0], 404, path)
        self.assertEqual(http_request(self.node, STATUS, "/app-health/app/readiness", "POST", address=self.server.address)[0], 405)

    def test_by_https_any_certificate_will_do(self):
        both = os.path.join(self.mesh.make_directory("tls-app", 0o755), "both")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=nobody",
                        "-keyout", both, "-out", both + ".chain"], check=True, capture_output=True)
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                process = self.mesh.spawn("tls-app", self.server.host, ["openssl", "s_server", "-accept", "8443", "-cert", both + ".chain", "-key", both,
                                                                       "-WWW", "-quiet", version], self.mesh.log_path("tls-app", unique=True), uid=0)
                try:
                    # Of its files, which it has none of, it says 200 with an error in the body.
                    wait_until(lambda: self.ask("readiness", container="tls")[0] == 200, 10, "the server")
                finally:
                    process.kill()
        self.assertEqual(self.ask("liveness", container="tls")[0], 504, "what speaks no TLS waits for more")

    def test_by_grpc_its_service_is_asked_for(self):
        process = self.mesh.spawn("grpc-health", self.server.host, ["/usr/bin/python3", "-I", GRPC_SERVER, "9090"],
                                  self.mesh.log_path("grpc-health", unique=True), uid=APPLICATION_UID)
        try:
            wait_until(lambda: "listening" in process.log_text(), 10, "the server")
            for kind in ("readiness", "liveness"):
                self.assertEqual(self.ask(kind, container="grpc"), (200, "the application's probe passes: it is SERVING\n"))
            self.assertEqual(self.ask("readiness", container="grpc", address=self.server.address6)[0], 200)
            self.assertEqual(self.ask("readiness", container="till"), (503, "the application's probe fails: it is NOT_SERVING\n"))
            self.assertEqual(self.ask("liveness", container="till"), (503, "the application's probe fails: it answered with gRPC's code 5\n"))
            process.signal(signal.SIGSTOP)
            try:
                self.assertEqual(self.ask("liveness", container="grpc"), (504, "the application's probe fails: no answer within 1s\n"))
            finally:
                process.signal(signal.SIGCONT)
        finally:
            process.kill()
        self.assertEqual(self.ask("startup", container="grpc")[0], 503, "what speaks HTTP/1.1 alone")

    def test_an_application_that_hangs_fails_it_in_time(self):
        before = self.count("failed")
        self.app.signal(signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                answers = list(pool.map(lambda _: self.ask("readiness"), range(10)))
            self.assertEqual(set(answers), {(504, "the application's probe fails: no answer within 1s\n")})
            # The kernel takes connections for a program that has stopped.
            self.assertEqual(self.ask("liveness")[0], 200)
        finally:
            self.app.signal(signal.SIGCONT)
        wait_until(lambda: self.ask("readiness")[0] == 200, 5, "the application to answer again")
        self.assertLess(self.count("failed") - before, 10)
        said = [(record["message"], record.get("reason")) for record in self.server.log() if record.get("probe") == "app/readiness"]
        self.assertIn(("a probe of the application fails", "no answer within 1s"), said)
        self.assertIn(("a probe of the application passes again", "it answered 200"), said)

    def test_it_goes_on_while_the_proxy_drains(self):
        pod = self.mesh.pod("leaving")
        pod.extra_proxy_flags = [f"--app_probes={json.dumps(PROBES)}"]
        self.mesh.start()
        pod.app("web", 8080, "leaving")
        client = self.mesh.pod("client")
        self.mesh.start()
        with client.connect(pod.address, 8080) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            wait_until(lambda: self.open_connections(pod), 5, "the connection to be carried")
            self.assertEqual(self.ask("readiness", pod)[0], 200)
            self.assertEqual(pod.admin("/drain", "POST")[0], 200)
            wait_until(lambda: not pod.ready(), 5, "the end of readiness")
            self.assertEqual(self.ask("readiness", pod)[0], 200)
            self.assertEqual(self.ask("liveness", pod)[0], 200)
            self.assertTrue(pod.proxy.running())


if __name__ == "__main__":
    sys.exit(main())
