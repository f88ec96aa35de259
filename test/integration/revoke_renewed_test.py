#!/usr/bin/python3
"""With a certificate goes what was renewed from it.

Proved: the first certificate of a pod, which has been renewed since and perhaps ended, is revoked by its serial, and the pod, which has
another one by now, opens nothing any more and is issued no other; the command says how many went with it; --only does not do that.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until


class RevokeRenewedTest(MeshTestCase):

    workload_ttl = "20s"

    @classmethod
    def build(cls):
        cls.bad, cls.server = cls.mesh.pod("bad"), cls.mesh.pod("server")
        cls.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def serials(self):
        listed = self.mesh.control_plane.ctl("issuances", f"--identity={self.bad.spiffe_id}", "--output=json").stdout
        return [entry["serial"] for entry in json.loads(listed)]

    def refused(self):
        try:
            return self.ask(self.bad, self.vip, 80, timeout=5) == b""
        except OSError:
            return True

    def test_what_was_renewed_goes_with_it(self):
        wait_until(lambda: len(self.serials()) >= 3, 60, "two renewals")
        first, second, third = self.serials()[:3]
        self.assertEqual(len({first, second, third}), 3)
        # Of one that may have ended, and of nothing else.
        self.mesh.control_plane.ctl("revoke", first, "--only", check=False)
        self.assertEqual(self.ask(self.bad, self.vip, 80), b"ping\n")
        told = self.mesh.control_plane.ctl("revoke", first, "--reason=stolen").stdout
        self.assertIn(self.bad.spiffe_id, told)
        self.assertRegex(told, r"renewed from it: [1-9]")
        wait_until(self.refused, 10, "the pod's end")
        issued = self.serials()
        # Longer than a certificate lives: it would have been renewed.
        wait_until(lambda: self.mesh.control_plane.process.log_text().count("certificate refused") > 0, 30, "a renewal that is refused")
        self.assertEqual(self.serials(), issued)
        self.assertTrue(self.refused())


if __name__ == "__main__":
    sys.exit(main())
