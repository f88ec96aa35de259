#!/usr/bin/python3
"""IPv6 link-local addresses, which mean something only together with an interface, are carried like all others.

Proved with real interfaces: out of a pod to a host that has no part in the mesh and into a pod from one, with the redirect and
with tproxy, from link-local and from global sources; through a tunnel where discovery knows the address; refusals and resets as
with any other address. The log names the interface, and nothing that is sent to another host does.
"""

import hashlib
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import tcp
from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo
from testing.process import wait_until

SIZE = 1 << 20
MARKER = b"LINK-" + os.urandom(12).hex().encode()


class LinkLocalTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        cls.open, cls.transparent = mesh.pod("open"), mesh.pod("transparent")
        cls.open.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.transparent.redirect_flags = ["--mode=tproxy"]
        cls.transparent.extra_proxy_flags = ["--inbound_interception=tproxy", "--mtls_mode=permissive"]
        cls.transparent.proxy_capabilities = ["net_admin"]
        cls.outsider = mesh.outsider()
        cls.address = {}
        for host in [cls.outsider] + [pod.host for pod in mesh.pods]:
            wait_until(lambda: cls.link_local(host), 10, f"{host.name}'s link-local address")
            cls.address[host] = cls.link_local(host)
        # Discovery knows one of them.
        for workload in mesh.registry.workloads:
            if workload["name"] == "server":
                workload["addresses"].append(cls.address[cls.server.host])
        mesh.start()

    @staticmethod
    def link_local(host):
        lines = host.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link", "-tentative").stdout.split()
        return lines[lines.index("inet6") + 1].split("/")[0] if lines else None

    @staticmethod
    def zone(host):
        with host.entered():
            return socket.if_nametoindex("eth0")

    def connect(self, source, target, port=8080, bind=None):
        """A connection from a host to the link-local address of another."""
        connection = source.socket(socket.AF_INET6)
        connection.settimeout(10)
        try:
            if bind:
                connection.bind((bind, 0))
            connection.connect((self.address[target], port, 0, self.zone(source)))
        except OSError:
            connection.close()
            raise
        return connection

    def assert_carries(self, source, target, bind=None):
        """A mebibyte there and back, each direction ending by itself."""
        sent = os.urandom(SIZE)
        with InlineApp(target, 8080, echo), self.connect(source, target, bind=bind) as connection:
            sender = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
            sender.start()
            got, how = tcp.read_to_end(connection)
            sender.join()
        self.assertEqual((hashlib.sha256(got).digest(), how), (hashlib.sha256(sent).digest(), tcp.END))

    def named(self, host, port=8080, seen_from=None):
        """As a log says it."""
        return f"[{self.address[host]}%{self.zone(seen_from or host)}]:{port}"

    def test_out_of_a_pod_to_a_host_without_a_proxy(self):
        for pod in (self.client, self.transparent):
            with self.subTest(pod=pod.name):
                self.assert_carries(pod.host, self.outsider)
                pod.wait_access_log(direction="outbound", route="passthrough", result="allowed",
                                    original_destination=self.named(self.outsider, seen_from=pod.host))
                self.assert_carries(pod.host, self.outsider, bind=pod.address6)

    def test_into_a_pod_from_a_host_without_a_proxy(self):
        for pod in (self.open, self.transparent):
            with self.subTest(pod=pod.name):
                self.assert_carries(self.outsider, pod.host)
                record = pod.wait_access_log(direction="inbound", protocol="plaintext", result="allowed",
                                             original_destination=self.named(pod.host))[-1]
                self.assertTrue(record["source"].startswith(f"[{self.address[self.outsider]}%{self.zone(pod.host)}]:"))
                self.assert_carries(self.outsider, pod.host, bind=self.outsider.address6)

    def test_a_pods_own(self):
        for pod in (self.client, self.transparent):
            with self.subTest(pod=pod.name):
                self.assert_carries(pod.host, pod.host)

    def test_through_a_tunnel_where_discovery_knows_the_address(self):
        capture = self.mesh.capture(self.client.host)
        with InlineApp(self.server, 8080, echo), self.connect(self.client.host, self.server.host) as connection:
            connection.sendall(MARKER)
            self.assertEqual(connection.recv(100), MARKER)
        self.assertEqual(capture.stop().count(MARKER), 0)
        self.client.wait_access_log(direction="outbound", route="tunnel", peer_identity=self.server.spiffe_id)
        record = self.server.wait_access_log(direction="inbound", peer_identity=self.client.spiffe_id, result="allowed")[-1]
        self.assertEqual(record["original_destination"], self.named(self.server.host))
        # What the client's proxy said of its source, in its own zone, says nothing here.
        self.assertTrue(record["forwarded_for"].startswith(f"[{self.address[self.client.host]}]:"), record)

    def test_plaintext_to_a_strict_pod_is_refused(self):
        with InlineApp(self.client, 8080, echo) as app:
            with self.connect(self.outsider, self.client.host) as connection:
                connection.sendall(MARKER)
                self.assertEqual(tcp.read_to_end(connection), (b"", tcp.RESET))
            self.assertEqual(app.accepted, 0)
        self.client.wait_access_log(direction="inbound", result="denied", reason="plaintext-refused")

    def test_who_is_refused_hears_of_it(self):
        for source, target in ((self.client.host, self.outsider), (self.outsider, self.open.host)):
            with self.subTest(source=source.name):
                # The reset may be there before connect() has looked.
                try:
                    with self.connect(source, target, 8099) as connection:
                        self.assertEqual(tcp.read_to_end(connection), (b"", tcp.RESET))
                except ConnectionResetError:
                    pass


if __name__ == "__main__":
    sys.exit(main())
