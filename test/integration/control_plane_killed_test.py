#!/usr/bin/python3
"""The control plane is killed, authority and discovery at once, for two lives of a certificate, and comes back.

Proved with pods that prove themselves with tokens of an issuer, because what they have had has ended: until the certificates end all connections
succeed; from then on not a byte passes; the agents ask no more than once a second; and within seconds of the control plane's return everything
works again, without anybody's help.
"""

import datetime
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.outage_case import OutageCase
from testing.process import json_lines
from testing.token_issuer import SigningKey, TokenIssuer


class ControlPlaneKilledTest(OutageCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        issuer = TokenIssuer("https://ci.example", [SigningKey("ES256", "e1")])
        config = os.path.join(mesh.directory, "jwt.json")
        issuer.write_config(config, os.path.join(mesh.directory, "ci.jwks"))
        mesh.control_plane.attest, mesh.control_plane.extra_flags = "jwt", [f"--jwt_config={config}"]
        cls.client, cls.server = mesh.pod("client", namespace="ci"), mesh.pod("server", namespace="ci")
        for pod in (cls.client, cls.server):
            pod.give_token(issuer.token(f"repo:{pod.name}"))
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.start()
        cls.server.app("echo", 8080)

    def asked_at(self, pod):
        """All times at which it was answered, by the log: with certificates that last it asks for none that it does not get."""
        with open(self.mesh.control_plane.log_path, encoding="utf-8") as log:
            records = [record for record in json_lines(log.read()) if record["message"] == "certificate issued"]
        return [datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()
                for record in records if record["identity"] == pod.spiffe_id]

    def test_service_until_the_end_nothing_after_it_and_recovery(self):
        plane = self.mesh.control_plane
        self.outage(lambda: plane.process.kill(), plane.start)


if __name__ == "__main__":
    sys.exit(main())
