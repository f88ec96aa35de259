#!/usr/bin/python3
"""Sockets that are bound to an interface or to a source address are carried through the mesh like all others.

Proved over IPv4, IPv6 and IPv4 in an IPv6 socket, from a pod with the redirect and from one with tproxy, to peers by tunnel and
by direct mTLS, and by service: the application is answered, both logs name both identities, nothing is seen on the wire in the
clear, and the source is the one that was chosen. A dead proxy refuses them at once. What comes from an address that is not the
pod's does not leave it.
"""

import contextlib
import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import receive

INTERFACE = b"eth0"
IPV6_FREEBIND = 78
NOBODYS = "2001:db8::bad"
MARKER = b"BOUND-" + os.urandom(12).hex().encode()


class BoundInterfaceTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client, cls.transparent = mesh.pod("client"), mesh.pod("transparent")
        cls.transparent.redirect_flags = ["--mode=tproxy"]
        cls.transparent.extra_proxy_flags = ["--inbound_interception=tproxy"]
        cls.transparent.proxy_capabilities = ["net_admin"]
        cls.server, cls.direct = mesh.pod("server"), mesh.pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.vip, cls.vip6 = mesh.service("server", [cls.server])
        for pod in (cls.client, cls.transparent):
            # Of which the kernel would not choose the second.
            pod.second, pod.second6 = f"10.77.9.{pod.host.number}", f"fd77::9:{pod.host.number:x}"
            pod.host.ip(f"addr add {pod.second}/16 dev eth0", f"addr add {pod.second6}/64 dev eth0 nodad")
            pod.extra_agent_flags = [f"--workload_addresses={pod.address},{pod.address6}"]
        mesh.start()
        for pod in (cls.server, cls.direct):
            pod.app("echo", 8080)

    def connect(self, pod, address, port, interface=None, source=None, mapped=False, timeout=5):
        """A connection of a socket that is bound to an interface, to a source address, or to both."""
        made = pod.host.socket(socket.AF_INET6 if ":" in address or mapped else socket.AF_INET)
        made.settimeout(timeout)
        try:
            if interface:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface)
            if source:
                made.bind((source, 0))
            made.connect((f"::ffff:{address}" if mapped else address, port))
        except BaseException:
            made.close()
            raise
        return made

    @contextlib.contextmanager
    def hidden(self, pod):
        """What assert_carried() sends from a pod meanwhile is seen on the wire in TLS alone."""
        capture = self.mesh.capture(pod.host)
        yield
        self.assertEqual(capture.stop().count(MARKER), 0, "the application's bytes are on the wire")
        self.assertGreater(capture.tls_records(), 0)

    def assert_carried(self, pod, peer, address, port, **how):
        """Returns the source address."""
        marker = MARKER + os.urandom(random.randrange(1, 1000))
        with self.connect(pod, address, port, **how) as connection:
            source = connection.getsockname()
            connection.sendall(marker)
            self.assertEqual(receive(connection, len(marker)), marker)
        host = source[0].removeprefix("::ffff:")
        named = f"[{host}]:{source[1]}" if ":" in host else f"{host}:{source[1]}"
        record = pod.wait_access_log(direction="outbound", source=named, result="allowed")[-1]
        self.assertEqual((record["own_identity"], record["peer_identity"]), (pod.spiffe_id, peer.spiffe_id))
        record = peer.wait_access_log(direction="inbound", result="allowed", peer_identity=pod.spiffe_id,
                                      bytes_sent=len(marker))[-1]
        self.assertEqual(record["protocol"], "mtls" if peer is self.direct else "hbone")
        return host

    def ways(self, pod):
        """(name, the peer, address, port) of each way that starts at a pod."""
        for peer in (self.server, self.direct):
            for address in (peer.address, peer.address6):
                yield f"{pod.name} to {peer.name} at {address}", peer, address, 8080
        for address in (self.vip, self.vip6):
            yield f"{pod.name} to the service at {address}", self.server, address, 80

    def test_a_socket_bound_to_the_interface_is_carried(self):
        for pod in (self.client, self.transparent):
            with self.hidden(pod):
                for name, peer, address, port in self.ways(pod):
                    with self.subTest(way=name):
                        self.assert_carried(pod, peer, address, port, interface=INTERFACE)
                        if ":" not in address:
                            self.assert_carried(pod, peer, address, port, interface=INTERFACE, mapped=True)

    def test_a_chosen_source_is_kept(self):
        for pod in (self.client, self.transparent):
            for interface in (None, INTERFACE):
                with self.subTest(pod=pod.name, interface=interface), self.hidden(pod):
                    for peer, address, source in ((self.server, self.server.address, pod.second),
                                                  (self.server, self.server.address6, pod.second6),
                                                  (self.direct, self.direct.address, pod.second)):
                        got = self.assert_carried(pod, peer, address, 8080, interface=interface, source=source)
                        self.assertEqual(got, source)

    def test_the_loopback_address_as_source_is_carried(self):
        # With IPv4 the kernel itself lets nothing from 127.0.0.1 go elsewhere.
        for pod in (self.client, self.transparent):
            with self.subTest(pod=pod.name), self.hidden(pod):
                self.assert_carried(pod, self.server, self.server.address6, 8080, source="::1")

    def test_a_dead_proxy_refuses_them_at_once(self):
        self.client.proxy.kill()
        try:
            for address in (self.server.address, self.server.address6):
                with self.subTest(address=address):
                    started = time.monotonic()
                    self.assertRaises(ConnectionRefusedError, self.connect, self.client, address, 8080, interface=INTERFACE)
                    self.assertLess(time.monotonic() - started, 0.5)
        finally:
            self.client.start_proxy()
            self.client.wait_ready()

    def test_what_is_not_from_the_pod_does_not_leave_it(self):
        for pod in (self.client, self.transparent):
            with self.subTest(pod=pod.name):
                capture = self.mesh.capture(pod.host)
                stranger = pod.host.socket(socket.AF_INET6)
                with stranger:
                    stranger.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                    stranger.bind((NOBODYS, 0))
                    stranger.settimeout(1)
                    self.assertRaises(OSError, stranger.connect, (self.server.address6, 8080))
                self.assertEqual([packet for packet in capture.stop().packets() if packet[0] == NOBODYS], [])
                self.assertFalse([record for record in pod.access_log() if NOBODYS in record["source"]])


if __name__ == "__main__":
    sys.exit(main())
