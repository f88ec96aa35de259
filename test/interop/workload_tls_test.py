#!/usr/bin/python3
"""Programs that know nothing of us do mutual TLS with our proxy, with the SVID they got through our workload API.

Proved with Python's ssl, Node's tls, openssl and gnutls, in both directions: as clients of a pod by direct mTLS (ALPN istio,
the proxy's port 15006) with bytes there and back, and at its tunnel port 15008 (ALPN h2) to the first HTTP/2 frame; as
servers that a pod's proxy dials by direct mTLS. The proxy's log names their identity. After a rotation the new SVID does too.
"""

import contextlib
import os
import select
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from case import node_command
from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, receive
from testing.process import wait_until
from testing.svid import write_files
from testing.workload import WorkloadClient

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workload_peer.js")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
TLS13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
# How a connection ends, as the log has it. Programs that the test ends, and Python's sockets, do without close_notify.
WITH_CLOSE_NOTIFY = ("allowed", "closed")
WITHOUT = ("failed", "tls-truncated")


class WorkloadTlsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.server = cls.mesh.pod("server", tunnel_protocol="LEGACY_ISTIO_MTLS")
        # A workload with an agent and no proxy: its programs speak TLS themselves.
        cls.app = cls.mesh.pod("app", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.mesh.registry.write()
        cls.mesh.control_plane.start()
        for pod in (cls.client, cls.server):
            pod.start()
        cls.socket = os.path.join(cls.app.link_directory, "workload.sock")
        cls.app.extra_agent_flags = [f"--workload_api=unix://{cls.socket}", "--workload_api_uids=0"]
        cls.app.write_token()
        cls.app.start_agent()
        for pod in (cls.client, cls.server):
            pod.wait_ready()
        cls.server.app("echo", 8080)
        # Before there is a certificate the answer is that there is none.
        wait_until(lambda: cls.app.agent_admin("/healthz/ready")[0] == 200, 10, "the agent's certificate")
        cls.fetch()

    @classmethod
    def fetch(cls):
        """The present SVID, as files."""
        with WorkloadClient(cls.socket) as api:
            watch = api.watch("FetchX509SVID")
            wait_until(lambda: watch.messages, 10, "an SVID")
            watch.cancel()
            cls.certificate, cls.key, cls.bundle = write_files(watch.messages[-1].svids[0], cls.app.directory)

    # As clients.

    def exchange(self, argv, request, expected):
        """Runs a client inside, gives it `request`, and reads until `expected` is among what it prints."""
        process = subprocess.Popen(self.app.host.command(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            process.stdin.write(request)
            process.stdin.flush()
            printed, end = b"", time.monotonic() + 10
            while expected not in printed and time.monotonic() < end:
                if select.select([process.stdout], [], [], 0.2)[0]:
                    block = os.read(process.stdout.fileno(), 65536)
                    if not block:
                        break
                    printed += block
            if expected not in printed:
                process.kill()
                self.fail(f"{argv[0]} printed {printed!r}, {process.stderr.read()!r}")
            return printed
        finally:
            process.kill()
            process.communicate()

    def openssl_client(self, port, alpn):
        return ["openssl", "s_client", "-connect", f"{self.server.address}:{port}", "-cert", self.certificate, "-key", self.key,
                "-CAfile", self.bundle, "-verify_return_error", "-alpn", alpn, "-tls1_3", "-quiet"]

    def gnutls_client(self, port, alpn):
        # It has no word for a certificate whose name is an identity: its only complaint must be the host's name.
        return ["gnutls-cli", "--port", str(port), "--x509certfile", self.certificate, "--x509keyfile", self.key,
                "--x509cafile", self.bundle, "--alpn", alpn, "--priority", TLS13, "--insecure", self.server.address]

    def assert_seen_inbound(self, before, end=WITH_CLOSE_NOTIFY):
        record = wait_until(lambda: self.server.access_log(direction="inbound", peer_identity=self.app.spiffe_id)[before:], 5,
                            "the record of the server's proxy")[-1]
        self.assertEqual((record["protocol"], record["result"], record["reason"]), ("mtls", *end), record)

    def inbound(self):
        return len(self.server.access_log(direction="inbound", peer_identity=self.app.spiffe_id))

    def python_context(self, server_side, alpn):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.bundle)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols([alpn])
        return context

    def python_hello(self):
        raw = self.app.connect(self.server.address, 8080)
        with self.python_context(False, "istio").wrap_socket(raw) as connection:
            self.assertEqual(connection.selected_alpn_protocol(), "istio")
            self.assertIn(("URI", self.server.spiffe_id), connection.getpeercert()["subjectAltName"])
            connection.sendall(b"hello from python")
            self.assertEqual(receive(connection, 17), b"hello from python")

    def test_pythons_ssl_is_a_client(self):
        before = self.inbound()
        self.python_hello()
        self.assert_seen_inbound(before, WITHOUT)
        raw = self.app.connect(self.server.address, 15008)
        with self.python_context(False, "h2").wrap_socket(raw) as connection:
            connection.sendall(PREFACE)
            self.assertEqual(receive(connection, 9)[3], 4, "the first frame is no SETTINGS")

    def node(self, *arguments):
        return self.mesh.spawn("node", self.app.host, [*node_command(), PEER, *map(str, arguments)],
                               self.mesh.log_path("node", unique=True))

    def test_nodes_tls_is_a_client(self):
        before = self.inbound()
        process = self.node("client", self.certificate, self.key, self.bundle, self.server.address, 8080, "istio")
        self.assertEqual(process.result(10), {"answer": "hello from node"})
        said = process.log_records()[0]
        self.assertEqual(said, {"authorized": True, "alpn": "istio", "peer": f"URI:{self.server.spiffe_id}"})
        self.assert_seen_inbound(before)

    def test_openssl_is_a_client(self):
        before = self.inbound()
        self.exchange(self.openssl_client(8080, "istio"), b"hello from openssl\n", b"hello from openssl\n")
        self.assert_seen_inbound(before, WITHOUT)
        self.assertEqual(self.exchange(self.openssl_client(15008, "h2"), PREFACE, b"\x04\x00\x00\x00\x00\x00")[3], 4)

    def test_gnutls_is_a_client(self):
        before = self.inbound()
        printed = self.exchange(self.gnutls_client(8080, "istio"), b"hello from gnutls\n", b"hello from gnutls\n")
        self.assertIn(b"The name in the certificate does not match the expected", printed)
        for complaint in (b"issuer is unknown", b"expired", b"not yet", b"insecure"):
            self.assertNotIn(complaint, printed)
        self.assert_seen_inbound(before, WITHOUT)
        self.exchange(self.gnutls_client(15008, "h2"), PREFACE, b"\x04\x00\x00\x00\x00\x00")

    # As servers.

    def assert_serves(self, port, question=b"hello\n", answer=b"hello\n", end=WITH_CLOSE_NOTIFY):
        """The client's application reaches the program through its proxy, which verifies it."""
        with self.client.connect(self.app.address, port) as connection:
            connection.sendall(question)
            self.assertEqual(receive(connection, len(answer)), answer)
        record = self.client.wait_access_log(direction="outbound", destination=f"{self.app.address}:{port}")[-1]
        self.assertEqual((record["protocol"], record["result"], record["reason"], record["peer_identity"]),
                         ("mtls", *end, self.app.spiffe_id), record)

    @contextlib.contextmanager
    def serving(self, argv, port):
        process = self.mesh.spawn(os.path.basename(argv[0]), self.app.host, argv,
                                  self.mesh.log_path(os.path.basename(argv[0]), unique=True))
        try:
            # Listening: /proc's table has the port in state 0A.
            wait_until(lambda: f":{port:04X} " in self.app.host.run("sh", "-c", "grep ' 0A ' /proc/net/tcp /proc/net/tcp6").stdout,
                       10, f"{argv[0]}'s start")
            yield process
        finally:
            process.end()

    def test_pythons_ssl_is_a_server(self):
        context, peers = self.python_context(True, "istio"), []

        def handle(connection):
            with context.wrap_socket(connection, server_side=True) as secured:
                peers.append(secured.getpeercert()["subjectAltName"])
                echo(secured)
        with InlineApp(self.app.host, 9001, handle):
            self.assert_serves(9001, end=WITHOUT)
        self.assertEqual(peers, [(("URI", self.client.spiffe_id),)])

    def test_nodes_tls_is_a_server(self):
        process = self.node("server", self.certificate, self.key, self.bundle, 9002)
        wait_until(lambda: '"listening"' in process.log_text(), 10, "Node's start")
        self.assert_serves(9002)
        self.assertIn({"peer": f"URI:{self.client.spiffe_id}", "alpn": "istio"}, process.log_records())
        process.end()

    def test_openssl_is_a_server(self):
        argv = ["openssl", "s_server", "-accept", "9003", "-cert", self.certificate, "-key", self.key, "-CAfile", self.bundle,
                "-Verify", "4", "-verify_return_error", "-alpn", "istio", "-tls1_3", "-rev"]
        with self.serving(argv, 9003):
            self.assert_serves(9003, b"hello\n", b"olleh\n")

    def test_gnutls_is_a_server(self):
        argv = ["gnutls-serv", "--echo", "--port", "9004", "--x509certfile", self.certificate, "--x509keyfile", self.key,
                "--x509cafile", self.bundle, "--require-client-cert", "--verify-client-cert", "--alpn", "istio",
                "--priority", TLS13]
        with self.serving(argv, 9004):
            self.assert_serves(9004)

    def test_z_the_next_svid_does_too(self):
        with open(self.certificate, encoding="ascii") as old:
            before = old.read()
        self.app.agent_admin("/renew", "POST")

        def renewed():
            self.fetch()
            with open(self.certificate, encoding="ascii") as new:
                return new.read() != before
        wait_until(renewed, 10, "another SVID", every=0.2)
        self.python_hello()


if __name__ == "__main__":
    sys.exit(main())
