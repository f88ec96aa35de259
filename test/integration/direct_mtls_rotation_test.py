#!/usr/bin/python3
"""Certificates that live 10 seconds rotate under direct mTLS: no new connection fails, and no open one ends.

Proved: a checksummed stream runs across three rotations of both ends with every byte intact, while every short connection
beside it succeeds. With a peer that makes no handshake for the proof's sake (it keeps its connections), an open one is reset by
the end that does not (the default) when a certificate of the last handshake of the two expires, with the reason in the log.
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
        cls.client, cls.keeper = cls.mesh.pod("client"), cls.mesh.pod("keeper")
        cls.server = cls.mesh.pod("server", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.drainer = cls.mesh.pod("drainer", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.keeper.extra_proxy_flags = ["--identity_expiry=keep"]
        cls.mesh.start()
        cls.server.app("sink", 8080)
        cls.server.app("echo", 8081)
        cls.drainer.app("echo", 8080)
        # All through both tests.
        cls.before = {pod: cls.rotations(pod) for pod in (cls.client, cls.server)}
        cls.stream = cls.client.app("stream", cls.server.address, 8080, 20, 4e6)
        cls.short = cls.client.app("short", cls.server.address, 8081, 20, 0.02)

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
        with self.keeper.connect(self.drainer.address, 8080, timeout=20) as connection:
            exchanged = 0
            with self.assertRaises(ConnectionResetError, msg="the connection should be reset, not end cleanly"):
                while True:
                    connection.sendall(b"still here")
                    if receive(connection, 10) != b"still here":
                        break
                    exchanged += 1
                    self.assertLess(time.monotonic() - started, 14, "the connection outlived its certificates")
                    time.sleep(0.1)
        self.assertGreater(exchanged, 5)
        record = self.drainer.wait_access_log(direction="inbound", protocol="mtls", reason="identity-expired")[-1]
        self.assertEqual(record["peer_identity"], self.keeper.spiffe_id)
        self.assertEqual(self.ask(self.keeper, self.drainer.address, 8080, b"new\n"), b"new\n")


if __name__ == "__main__":
    sys.exit(main())
