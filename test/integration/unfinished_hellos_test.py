#!/usr/bin/python3
"""Who has proven nothing holds up nobody: not with ClientHellos without an end, and not by saying nothing.

Proved with one address that opens 240 connections to a port of the application and sends on each a ClientHello of 16 KiB in
records of one byte, but for its end, where plaintext may not pass and where it may: a declared health probe, a mesh peer by
direct mTLS and, where it may pass, a stranger's plaintext get their answers meanwhile, what open connections may hold is
left to them, one address has no more than half of the room for hellos, and whoever is refused for it is the attacker; where
plaintext may pass its bytes are the application's. And with a pod of the mesh that has left a port out of it: the server
there, which takes direct mTLS and speaks first, is heard after the second that others have for their first byte.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, greet
from testing.process import wait_until
from testing.sanitized import measured, patience

CONNECTIONS = 240
HELLO = b"\x01" + (16380).to_bytes(3, "big") + b"\x03\x03" + bytes(16200)
PART = b"".join(b"\x16\x03\x01\x00\x01" + HELLO[at:at + 1] for at in range(len(HELLO)))
QUESTION = b"GET / HTTP/1.1\r\n\r\n"
PORT, GREETING_PORT = 8080, 3306
WORKERS = 2
GREETING = b"220 ready\r\n"


class UnfinishedHellosTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.client.redirect_flags = [f"--exclude_outbound_ports={GREETING_PORT}"]
        cls.kubelet, cls.attacker, cls.stranger = (cls.mesh.outsider(name) for name in ("kubelet", "attacker", "stranger"))
        cls.pods = {}
        for mode in ("strict", "permissive"):
            pod = cls.pods[mode] = cls.mesh.pod(mode, tunnel_protocol="LEGACY_ISTIO_MTLS")
            pod.extra_proxy_flags = [f"--max_buffered_bytes={16 << 20}", f"--workers={WORKERS}", f"--mtls_mode={mode}", f"--probe_ports={PORT}",
                                     f"--probe_sources={cls.kubelet.address}"]
        cls.mesh.start()

    def answer(self, host, pod):
        with host.connect(pod.address, PORT, timeout=patience(5)) as connection:
            connection.sendall(QUESTION)
            return connection.recv(len(QUESTION))

    def send_hellos(self, pod):
        held = []
        for _ in range(CONNECTIONS):
            connection = self.attacker.connect(pod.address, PORT, timeout=patience(5))
            held.append(connection)
            try:
                connection.sendall(PART)
            except OSError:
                pass  # Refused, as it may be.
        return held

    def hold_up(self, mode, others, counted):
        pod = self.pods[mode]
        with InlineApp(pod, PORT, echo):
            held = self.send_hellos(pod)
            try:
                wait_until(lambda: pod.metrics()[counted] > 0, patience(5), "no hello was too much")
                self.assertLessEqual(pod.metrics()["byrnie_proxy_unfinished_hello_bytes"], WORKERS << 18)
                self.assertLess(pod.metrics()["byrnie_proxy_buffered_bytes"], 1 << 20)
                for host in others:
                    self.assertEqual(self.answer(host, pod), QUESTION, host.name)
            finally:
                for connection in held:
                    connection.close()
        wait_until(lambda: pod.metrics()["byrnie_proxy_unfinished_hello_bytes"] == 0, patience(5), "their room is not given back")

    def test_1_hellos_without_an_end_where_plaintext_may_not_pass(self):
        self.hold_up("strict", (self.kubelet, self.client), 'byrnie_proxy_refused_total{reason="buffers-full"}')
        refused = {line["source"].rsplit(":", 1)[0] for line in self.pods["strict"].access_log() if line["reason"] == "buffers-full"}
        self.assertEqual(refused, {self.attacker.address})

    def test_2_hellos_without_an_end_where_it_may(self):
        self.hold_up("permissive", (self.kubelet, self.client, self.stranger),
                     'byrnie_proxy_redirected_total{kind="unfinished_hello"}')

    def test_3_a_peer_that_left_the_port_out_hears_a_server_that_speaks_first(self):
        pod = self.pods["permissive"]
        with InlineApp(pod, GREETING_PORT, greet(GREETING)):
            with self.client.connect(pod.address, GREETING_PORT, timeout=patience(5)) as connection:
                started = time.monotonic()
                self.assertEqual(connection.recv(len(GREETING)), GREETING)
                with measured():
                    self.assertLess(time.monotonic() - started, 2)


if __name__ == "__main__":
    sys.exit(main())
