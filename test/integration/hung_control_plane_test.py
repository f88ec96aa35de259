#!/usr/bin/python3
"""A control plane that hangs, taking connections and never answering, costs its agents a few seconds, and nothing else.

Proved, with two control planes over one etcd: one is stopped (SIGSTOP); every agent that was connected to it is connected to the
other one within fifteen seconds, where it took over twenty before; meanwhile connections succeed and certificates are served as they
were; an agent that starts while it hangs, first in its list, has a certificate and is ready as soon.
"""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane
from testing.process import wait_until

# About seven, where the machine has nothing else to do.
FEW_SECONDS = 15


class HungControlPlaneTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh)
        cls.etcd.start()
        cls.planes = [mesh.control_plane, ControlPlane(mesh, "control3", 3)]
        for number, plane in enumerate(cls.planes):
            plane.store_flags = cls.etcd.store_flags("test/hung")
            plane.extra_flags = [f"--name=plane-{number}"]
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
        cls.client, cls.server, cls.late = mesh.pod("client"), mesh.pod("server"), mesh.pod("late")
        for pod in mesh.pods:
            pod.control_planes = [f"{plane.host.address}:{ControlPlane.PORT}" for plane in cls.planes]
        cls.vip, _ = mesh.service("server", [cls.server])
        mesh.registry.write()
        for plane in cls.planes:
            plane.start()
        for pod in (cls.client, cls.server):
            pod.start()
        for pod in (cls.client, cls.server):
            pod.wait_ready()
        cls.server.app("echo", 8080)
        cls.outsider = mesh.outsider()

    def connected(self):
        """Who is connected to the second."""
        agents = json.loads(self.planes[1].ctl("agents", "-o", "json").stdout)
        return {agent["spiffe_id"] for agent in agents if agent["connected"]}

    def test_agents_go_to_the_next_within_seconds(self):
        first, second = self.planes
        self.assertEqual(self.connected(), set())
        serials = {pod: leaf_facts(served_leaf(self.outsider, pod.address))["serial"] for pod in (self.client, self.server)}
        token = second.create_token(self.late.spiffe_id)
        # What nobody has asked about yet cannot be looked up meanwhile.
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
        short = self.client.app("short", self.vip, 80, 60, 0.05)
        first.process.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            wait_until(lambda: self.connected() == {self.client.spiffe_id, self.server.spiffe_id}, FEW_SECONDS, "agents elsewhere")
            print(f"agents were elsewhere after {time.monotonic() - began:.1f} s")
            # One that starts now asks the one that hangs first.
            self.late.give_token(token)
            began = time.monotonic()
            self.late.start()
            self.late.wait_ready(FEW_SECONDS)
            print(f"a new pod was ready after {time.monotonic() - began:.1f} s")
        finally:
            first.process.signal(signal.SIGCONT)
        short.signal(10)
        result = short.result()
        self.assertEqual(result["failures"], [], result)
        self.assertGreater(result["succeeded"], 50)
        for pod, serial in serials.items():
            self.assertEqual(leaf_facts(served_leaf(self.outsider, pod.address))["serial"], serial)


if __name__ == "__main__":
    sys.exit(main())
