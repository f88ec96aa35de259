#!/usr/bin/python3
"""Certificates that live 10 seconds rotate under direct mTLS: new connections never fail, open ones end when told to.

Proved with two servers: for one that keeps its connections a checksummed stream runs across three rotations with every byte
intact; for one that drains them (the default) an open connection is reset when a certificate of its handshake
expires, with the reason in the log. Beside both, every short connection succeeds.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import receive


class DirectMtlsRotationTest(MeshTestCase):
    workload_ttl = "10s"

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.keeper = cls.mesh.pod("keeper", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.drainer = cls.mesh.pod("drainer", tunnel_protocol="LEGACY_ISTIO_MTLS")
        for pod in (cls.client, cls.keeper):
            pod.extra_proxy_flags = ["--identity_expiry=keep"]
        cls.mesh.start()
        cls.keeper.app("sink", 8080)
        cls.keeper.app("echo", 8081)
        cls.drainer.app("echo", 8080)
        # All through both tests.
        cls.before = {pod: cls.rotations(pod) for pod in (cls.client, cls.keeper)}
        cls.stream = cls.client.app("stream", cls.keeper.address, 8080, 20, 4e6)
        cls.short = cls.client.app("short", cls.keeper.address, 8081, 20, 0.02)

    @staticmethod
    def rotations(pod):
        return len([record for record in pod.log() if record.get("message") == "identity in force"])

    def test_2_a_stream_and_short_connections_survive(self):
        streamed, connected = self.stream.result(), self.short.result()
        self.assertIsNone(streamed["error"], streamed)
        self.assertTrue(streamed["intact"], streamed)
        self.assertGreater(streamed["sent"], 30e6, streamed)
        self.assertEqual(connected["failures"], [])
        self.assertGreater(connected["succeeded"], 200, connected)
        self.assertLess(connected["slowest"], 1.0, connected)
        for pod, count in self.before.items():
            self.assertGreaterEqual(self.rotations(pod) - count, 3, pod.name)

    def test_1_a_connection_ends_with_its_certificates(self):
        started = time.monotonic()
        with self.client.connect(self.drainer.address, 8080, timeout=20) as connection:
            exchanged = 0
            with self.assertRaises(ConnectionResetError, msg="the connection should be reset, not end cleanly"):
                while True:
                    connection.sendall(b"still here")
                    if receive(connection, 10) != b"still here":
                        break
                    exchanged += 1
                    self.assertEqual(self.ask(self.client, self.drainer.address, 8080, b"new\n"), b"new\n")
                    self.assertLess(time.monotonic() - started, 14, "the connection outlived its certificates")
                    time.sleep(0.1)
        self.assertGreater(exchanged, 5)
        record = self.drainer.wait_access_log(direction="inbound", protocol="mtls", reason="identity-expired")[-1]
        self.assertEqual(record["peer_identity"], self.client.spiffe_id)


if __name__ == "__main__":
    sys.exit(main())
