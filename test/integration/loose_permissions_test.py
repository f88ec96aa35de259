#!/usr/bin/python3
"""A secret that others on the machine can read, or a socket they can replace, is not passed over in silence.

Proved: the agent warns once of a join token that others may read, with its mode and the remedy, and works with it; of one for
its owner alone, and of a projected token of Kubernetes, it says nothing; byrniectl warns of the operator's token; the control
plane makes a store that others could get at 0600 and says so; the agent warns of a directory in which others may replace the
link's socket.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh
from testing.process import wait_until


class LoosePermissionsTest(unittest.TestCase):

    def setUp(self):
        self.mesh = Mesh()
        self.addCleanup(self.mesh.cleanup)
        self.control_plane = self.mesh.control_plane
        self.pod = self.mesh.pod("pod")
        self.mesh.registry.write()
        self.control_plane.start()

    def warnings(self):
        return [record for record in self.pod.agent.log_records() if "token file is open" in record["message"]]

    def start_agent(self, mode):
        self.pod.write_token()
        os.chmod(self.pod.token, mode)
        self.pod.start_agent()
        wait_until(lambda: "certificate rotated" in self.pod.agent.log_text(), 10, "the first certificate")

    def test_a_join_token_that_others_may_read(self):
        self.start_agent(0o644)
        warning, = self.warnings()
        self.assertEqual(warning["level"], "warning")
        for words in (self.pod.token, "0644", f"chmod 600 {self.pod.token}"):
            self.assertIn(words, warning["detail"])
        with open(self.pod.token, encoding="ascii") as token:
            self.assertNotIn(token.read().strip(), self.pod.agent.log_text())

    def test_a_join_token_for_its_owner_alone(self):
        self.start_agent(0o600)
        self.assertEqual(self.warnings(), [])
        self.assertNotIn("open to others", self.pod.agent.log_text())

    def test_a_projected_token(self):
        with open(self.pod.token, "w", encoding="ascii") as out:
            out.write("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln")
        os.chmod(self.pod.token, 0o644)
        self.pod.start_agent()
        wait_until(lambda: "certificate not renewed" in self.pod.agent.log_text(), 10, "the refusal of a token nobody made")
        self.assertEqual(self.warnings(), [])

    def test_a_link_socket_that_others_may_replace(self):
        os.chmod(self.pod.link_directory, 0o777)
        self.start_agent(0o600)
        warning, = [record for record in self.pod.agent.log_records()
                    if record["message"] == "the directory of the link socket is open to others"]
        self.assertEqual(warning["level"], "warning")
        for words in ("0777", f"chmod 700 {self.pod.link_directory}"):
            self.assertIn(words, warning["detail"])

    def test_the_operators_token(self):
        self.assertEqual(self.control_plane.ctl("status").stderr, "")
        os.chmod(self.control_plane.operator_token, 0o640)
        done = self.control_plane.ctl("status")
        self.assertRegex(done.stderr, r"\Abyrniectl: warning: [^\n]+\n\Z")
        for words in (self.control_plane.operator_token, "0640", "chmod 600"):
            self.assertIn(words, done.stderr)

    def test_the_store(self):
        self.assertNotIn("others could get at the store", self.control_plane.process.log_text())
        self.control_plane.process.terminate()
        os.chmod(self.control_plane.store, 0o644)
        self.control_plane.start()
        self.assertEqual(os.stat(self.control_plane.store).st_mode & 0o777, 0o600)
        warning, = [record for record in self.control_plane.process.log_records()
                    if record["message"].startswith("others could get at the store")]
        self.assertEqual(warning["level"], "warning")
        self.assertEqual((warning["path"], warning["mode"]), (self.control_plane.store, "0644"))


if __name__ == "__main__":
    sys.exit(main())
