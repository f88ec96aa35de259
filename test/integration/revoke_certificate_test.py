#!/usr/bin/python3
"""An operator sees who got which certificate, and takes one back.

Proved: every certificate issued is in the log with whom it names, the proof and the address, also over a restart of the control plane; one that
is revoked by its serial opens nothing any more within seconds, what was open with it ends, and everybody else goes on; a restart forgets no
revocation; a serial that is none is refused, and so is one that nobody was given unless the operator insists. Who revoked it and why is in the log, too.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class RevokeCertificateTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.bad, cls.good, cls.server = cls.mesh.pod("bad"), cls.mesh.pod("good"), cls.mesh.pod("server")
        cls.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def issuances(self, pod):
        return json.loads(self.mesh.control_plane.ctl("issuances", f"--identity={pod.spiffe_id}", "--output=json").stdout)

    def serial(self, pod):
        return json.loads(pod.agent_admin("/certs")[1])["certificate_chain"][0]["serial"]

    def assert_refused(self, pod):
        def refused():
            try:
                return self.ask(pod, self.vip, 80, timeout=5) == b""
            except OSError:
                return True
        wait_until(refused, 10, f"{pod.name}'s end")

    def test_a_certificate_is_logged_and_taken_back(self):
        plane = self.mesh.control_plane
        first = self.issuances(self.bad)[0]
        self.assertEqual((first["spiffe_id"], first["proof"]), (self.bad.spiffe_id, "join_token"))
        self.assertTrue(first["address"].startswith(f"{self.bad.address}:"), first)
        self.assertEqual(self.issuances(self.bad)[-1]["serial"], self.serial(self.bad))
        for pod in (self.bad, self.good):
            self.assertEqual(self.ask(pod, self.vip, 80), b"ping\n")
        open_connection = self.bad.connect(self.vip, 80, timeout=10)
        self.addCleanup(open_connection.close)
        open_connection.sendall(b"ping\n")
        self.assertEqual(open_connection.recv(100), b"ping\n")

        wrong = plane.ctl("revoke", "no serial", check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("hexadecimal", wrong.stderr)
        serial = self.serial(self.bad)
        typo = serial[:-1] + ("0" if serial[-1] != "0" else "1")
        wrong = plane.ctl("revoke", typo, check=False)
        self.assertEqual(wrong.returncode, 1)
        for words in (typo, "byrniectl issuances", "--accept_unknown"):
            self.assertIn(words, wrong.stderr)
        self.assertEqual(plane.ctl("revocations").stdout, "nothing is revoked\n")
        self.assertIn("nobody the log knows", plane.ctl("revoke", typo, "--accept_unknown").stdout)
        # Which no list of issuances has.
        self.assertRegex(plane.ctl("revocations").stdout, rf"\n{typo.lower()} +unknown +\S+ +operator-token-file ")
        told = plane.ctl("revoke", serial, "--reason=stolen").stdout
        self.assertIn(self.bad.spiffe_id, told)
        self.assert_refused(self.bad)
        try:
            self.assertEqual(open_connection.recv(100), b"")
        except ConnectionResetError:
            pass
        self.assertEqual(self.ask(self.good, self.vip, 80), b"ping\n")

        plane.process.kill()
        plane.start()
        again = self.issuances(self.bad)
        for field in set(first) - {"revoked_by", "revoked_reason"}:
            self.assertEqual(again[0][field], first[field], field)
        self.assertEqual((again[-1]["revoked_by"], again[-1]["revoked_reason"]), ("operator-token-file", "stolen"))
        self.assertIn(" by operator-token-file: stolen", plane.ctl("issuances", f"--identity={self.bad.spiffe_id}").stdout)
        wait_until(lambda: b"ping\n" == self.ask(self.good, self.vip, 80), 10, "the good pod's connection")
        self.assert_refused(self.bad)
        self.assertEqual(self.ask(self.good, self.vip, 80), b"ping\n")


if __name__ == "__main__":
    sys.exit(main())
