#!/usr/bin/python3
"""An application that asks for it is told whose connection it gets: a PROXY protocol v2 header with the SPIFFE ID.

Proved over tunnels, direct mTLS and plaintext, IPv4 and IPv6: the header comes before the first byte of the client, names the
client's address, the address it asked for and, where there is one, the identity verified; it is in no byte count; a
port of the workload's own takes such connections where discovery names one.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, receive

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


class Header:
    """Read from a connection, byte for byte as the specification says."""

    def __init__(self, connection):
        start = receive(connection, 16)
        assert start[:12] == SIGNATURE and start[12] == 0x21, start
        rest = receive(connection, struct.unpack(">H", start[14:])[0])
        family, size = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[start[13]]
        self.source = socket.inet_ntop(family, rest[:size])
        self.destination = socket.inet_ntop(family, rest[size:2 * size])
        self.source_port, self.destination_port = struct.unpack(">HH", rest[2 * size:2 * size + 4])
        self.fields, rest = {}, rest[2 * size + 4:]
        while rest:
            kind, length = struct.unpack(">BH", rest[:3])
            assert kind not in self.fields and len(rest) >= 3 + length
            self.fields[kind], rest = rest[3:3 + length].decode(), rest[3 + length:]


class ProxyProtocolTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.tunnel = cls.mesh.pod("tunnel")
        cls.direct = cls.mesh.pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.told = cls.mesh.pod("told", application_tunnel={"protocol": "PROXY", "port": 9000})
        for pod in (cls.tunnel, cls.direct):
            pod.extra_proxy_flags = ["--proxy_protocol_ports=8080", "--mtls_mode=permissive"]
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()

    def headers(self, source, pod, address, listen_on=8080):
        """What a server learns of a connection to port 8080 that says "question" and hears it again."""
        seen = []

        def handle(connection):
            seen.append(Header(connection))
            echo(connection)
        with InlineApp(pod, listen_on, handle):
            with source.connect(address, 8080) as connection:
                local = connection.getsockname()
                connection.sendall(b"question")
                self.assertEqual(receive(connection, 8), b"question")
        return seen, local

    def expect(self, header, source, destination, identity):
        self.assertEqual((header.source, header.destination, header.destination_port), (source, destination, 8080))
        self.assertEqual(header.fields, {0xd0: identity} if identity else {})

    def test_over_a_tunnel(self):
        for address, source in ((self.tunnel.address, self.client.address),
                                (self.tunnel.address6, self.client.address6)):
            seen, _ = self.headers(self.client, self.tunnel, address)
            self.assertEqual(len(seen), 1)
            self.expect(seen[0], source, address, self.client.spiffe_id)
        record = self.tunnel.wait_access_log(direction="inbound", protocol="hbone")[-1]
        self.assertEqual((record["bytes_sent"], record["bytes_received"]), (8, 8))

    def test_over_direct_mtls(self):
        seen, _ = self.headers(self.client, self.direct, self.direct.address)
        self.expect(seen[-1], self.client.address, self.direct.address, self.client.spiffe_id)
        record = self.direct.wait_access_log(direction="inbound", protocol="mtls")[-1]
        self.assertEqual((record["bytes_sent"], record["bytes_received"]), (8, 8))

    def test_plaintext_has_no_identity(self):
        for address, source in ((self.tunnel.address, self.outsider.address),
                                (self.tunnel.address6, self.outsider.address6)):
            seen, local = self.headers(self.outsider, self.tunnel, address)
            self.expect(seen[0], source, address, None)
            self.assertEqual(seen[0].source_port, local[1])
        record = self.tunnel.wait_access_log(direction="inbound", protocol="plaintext")[-1]
        self.assertEqual((record["bytes_sent"], record["bytes_received"]), (8, 8))

    def test_a_server_that_speaks_after_the_header_is_heard_before_the_client(self):
        def handle(connection):
            Header(connection)
            connection.sendall(b"220\r\n")
        with InlineApp(self.tunnel, 8080, handle), self.outsider.connect(self.tunnel.address, 8080) as connection:
            self.assertEqual(receive(connection, 5), b"220\r\n")

    def test_discovery_may_name_a_port_of_its_own(self):
        seen, _ = self.headers(self.client, self.told, self.told.address, listen_on=9000)
        self.expect(seen[0], self.client.address, self.told.address, self.client.spiffe_id)
        record = self.told.wait_access_log(direction="inbound")[-1]
        self.assertEqual((record["destination"], record["original_destination"]),
                         (f"{self.told.address}:9000", f"{self.told.address}:8080"))


if __name__ == "__main__":
    sys.exit(main())
