#!/usr/bin/python3
"""Every handshake is a whole one: nothing of a session is ever resumed, and no byte is taken early.

Proved with OpenSSL as the peer, which wants both: the tunnel port gives out no ticket; a session of another server, with a ticket and early
data, is not resumed and its early bytes are not accepted; nor is one offered again and again, whose binders are all the same. Each of
these peers is verified anew, so one whose certificate the mesh does not know is refused each time.
"""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority
from testing.process import wait_until

REPLAYS = 20


class ResumptionTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.peer = cls.mesh.outsider()
        cls.directory = cls.mesh.make_directory("sessions", 0o700)
        with open(cls.mesh.control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(cls.mesh.directory, cls.mesh.control_plane.store, bundle.read())
        cls.known = authority.issue(cls.client.spiffe_id)
        cls.unknown = Authority(cls.mesh.directory).issue(cls.client.spiffe_id)
        cls.early = os.path.join(cls.directory, "early")
        with open(cls.early, "wb") as out:
            out.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")

    def s_client(self, address, port, certificate, *options):
        """What `openssl s_client` says of a connection from the outsider that ends after a second of silence."""
        argv = self.peer.command(["openssl", "s_client", "-connect", f"{address}:{port}", "-alpn", "h2", "-tls1_3",
                                  "-cert", certificate[0], "-key", certificate[1], *options])
        client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(0.3)  # Tickets come after the handshake.
        try:
            return client.communicate(b"Q\n", timeout=10)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            client.kill()
            return client.communicate()[0].decode("utf-8", "replace")

    def session_of_another_server(self):
        """A session with a ticket that allows early data, as a server gives it that is not ours."""
        port = 4433
        server = self.mesh.spawn("s_server", self.peer, [
            "openssl", "s_server", "-accept", str(port), "-cert", self.known[0], "-key", self.known[1], "-alpn", "h2", "-tls1_3",
            "-early_data", "-max_early_data", "16384", "-quiet"], self.mesh.log_path("s_server"))

        def listening():
            self.peer.connect("127.0.0.1", port, timeout=1).close()
            return True
        wait_until(listening, 5, "s_server")
        session = os.path.join(self.directory, "session.pem")
        self.s_client("127.0.0.1", port, self.known, "-sess_out", session)
        server.end()
        said = subprocess.run(["openssl", "sess_id", "-in", session, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
        self.assertIn("Max Early Data: 16384", said)
        self.assertIn("TLS session ticket", said)
        return session

    def test_there_are_no_tickets(self):
        out = os.path.join(self.directory, "own.pem")
        said = self.s_client(self.server.address, 15008, self.known, "-sess_out", out)
        self.assertIn("New, TLSv1.3", said)
        self.assertNotIn("Post-Handshake New Session Ticket", said)
        self.assertFalse(os.path.exists(out) and "ticket" in subprocess.run(
            ["openssl", "sess_id", "-in", out, "-noout", "-text"], capture_output=True, text=True).stdout, "a session with a ticket")

    def test_sessions_and_early_data_are_not_taken_however_often_they_are_offered(self):
        session = self.session_of_another_server()
        for certificate, name in ((self.known, "known"), (self.unknown, "unknown")):
            reused = accepted = 0
            for _ in range(REPLAYS // 2):
                said = self.s_client(self.server.address, 15008, certificate, "-sess_in", session, "-early_data", self.early)
                self.assertIn("Early data was", said)
                reused += "Reused, TLSv1.3" in said
                accepted += "Early data was accepted" in said
            self.assertEqual((reused, accepted), (0, 0), f"sessions reused, early data accepted, with the {name} certificate")
        wait_until(lambda: self.server.access_log(reason="tls-failed") or self.server.metrics(), 5, "the refusals")
        refused = self.server.metrics()
        failed = [value for series, value in refused.items()
                  if re.match(r'byrnie_proxy_handshakes_total{direction="inbound",result="(?!ok)', series)]
        self.assertGreaterEqual(sum(failed), REPLAYS // 2, "the unknown certificate was not refused each time")


if __name__ == "__main__":
    sys.exit(main())
