#!/usr/bin/python3
"""The certificate authority is gone for two lives of a certificate, and comes back.

Proved: until the certificates end all connections succeed; from then on not a byte passes, though both proxies and their
applications are up; the agents ask no more than once a second; and within seconds of the authority's return everything works
again, without anybody's help. The pages of agent and proxy say how long there is.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble
from testing.case import main
from testing.issuer import Issuer
from testing.outage_case import OutageCase


class CaOutageTest(OutageCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        cls.ca = CaDouble(mesh.network.host("ca", 3), issuer=Issuer.of_control_plane(mesh))
        cls.ca.life = cls.LIFE
        cls.ca.start()
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.extra_agent_flags = [f"--ca_address={cls.ca.target}"]
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.start()
        cls.server.app("echo", 8080)

    @classmethod
    def tearDownClass(cls):
        cls.ca.stop()
        super().tearDownClass()

    def asked_at(self, pod):
        return [call.at for call in self.ca.calls if call.spiffe_id == pod.spiffe_id]

    def test_service_until_the_end_nothing_after_it_and_recovery(self):
        self.outage(self.ca.stop, self.ca.start)


if __name__ == "__main__":
    sys.exit(main())
