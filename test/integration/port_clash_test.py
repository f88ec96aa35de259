#!/usr/bin/python3
"""An application and its proxy may draw the same source ports: neither's connection is ever taken for the other's.

Connection tracking remembers a connection that its server has reset for nf_conntrack_tcp_timeout_close (10 s). Proved with a
pod that has 50 ports, all of which the application uses in turn or as the kernel chooses, and a server that resets every
connection, in plaintext and by direct mTLS, over IPv4 and IPv6: of connections made one after the other, far more than there are ports, none is refused, each
is one record in the log, and no byte reaches the server that the application did not send.
"""

import collections
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp
from testing.process import wait_until
from testing.tcp import reset

CONNECTIONS = 200
FIRST_PORT, PORTS = 40000, 50


def one_after_the_other(number):
    return FIRST_PORT + number % PORTS


class PortClashTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.legacy = cls.mesh.pod("legacy", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.client.host.run("sysctl", "-w", f"net.ipv4.ip_local_port_range={FIRST_PORT} {FIRST_PORT + PORTS - 1}")
        cls.mesh.start()
        cls.outsider = cls.mesh.outsider()

    def records(self):
        return len(self.client.access_log(direction="outbound"))

    def connect(self, address, port, source_port):
        made = self.client.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.settimeout(10)
            if source_port is not None:
                made.bind(("", source_port))
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def connections_that_are_reset(self, host, port, address, source_port):
        seen, ends, before = collections.Counter(), collections.Counter(), self.records()

        def answer_and_reset(connection):
            seen[connection.recv(100)] += 1
            connection.sendall(b"answer")
            connection.recv(1)
            reset(connection)

        with InlineApp(host, port, answer_and_reset) as app:
            for number in range(CONNECTIONS):
                try:
                    with self.connect(address, port, source_port(number)) as connection:
                        connection.sendall(b"question")
                        ends[connection.recv(100)] += 1
                        connection.sendall(b"z")
                        connection.recv(1)
                        self.fail("the server's reset did not come through")
                except ConnectionRefusedError:
                    ends["refused"] += 1
                except ConnectionResetError:
                    ends["reset"] += 1
            wait_until(lambda: self.records() - before >= CONNECTIONS, 10, "the records of all connections")
            self.assertEqual(ends, {b"answer": CONNECTIONS, "reset": CONNECTIONS})
            self.assertEqual(seen, {b"question": CONNECTIONS})
            self.assertEqual(app.accepted, CONNECTIONS)
        self.assertEqual(self.records() - before, CONNECTIONS, "connections in the log")

    def test_in_plaintext(self):
        for address in (self.outsider.address, self.outsider.address6):
            with self.subTest(address=address):
                self.connections_that_are_reset(self.outsider, 9000, address, one_after_the_other)

    def test_by_direct_mtls(self):
        for address in (self.legacy.address, self.legacy.address6):
            with self.subTest(address=address):
                self.connections_that_are_reset(self.legacy, 8080, address, one_after_the_other)

    def test_the_kernels_choice(self):
        for host, port in ((self.outsider, 9001), (self.legacy, 8081)):
            with self.subTest(port=port):
                self.connections_that_are_reset(host, port, host.address, lambda number: None)


if __name__ == "__main__":
    sys.exit(main())
