#!/usr/bin/python3
"""An agent with two authorities uses one, goes to the other when it fails, and follows the file of roots they are trusted by.

Proved: with the one in use gone certificates come from the other, and go on coming from it when the first is back; the
metrics say which is used and what failed; an authority that shows a certificate of a root that is not in the file is not
talked to, and is, without a restart, once the root is there; the bundle stream moves with it.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.ca_double import CaDouble
from testing.case import MeshTestCase, main
from testing.issuer import Issuer, pem
from testing.mesh import parse_metrics
from testing.process import wait_until


class CaEndpointsTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        mesh.control_plane.start()
        root = Issuer.of_control_plane(mesh)
        cls.first = CaDouble(mesh.network.host("first", 3), issuer=root)
        cls.second = CaDouble(mesh.network.host("second", 4), issuer=root)
        cls.doubles = (cls.first, cls.second)
        for double in cls.doubles:
            double.life = 10
            double.start()
        cls.roots = cls.first.write_bundle(os.path.join(mesh.directory, "ca-roots.pem"))
        cls.pod = mesh.pod("client")
        cls.pod.extra_agent_flags = [f"--ca_address={cls.first.target},{cls.second.target}", f"--ca_roots={cls.roots}"]
        mesh.start()

    @classmethod
    def tearDownClass(cls):
        for double in cls.doubles:
            double.stop()
        super().tearDownClass()

    def in_use(self):
        metrics = parse_metrics(self.pod.agent_admin("/metrics")[1])
        return [double for double in self.doubles
                if metrics[f'byrnie_certagent_endpoint_in_use{{service="ca",endpoint="{double.target}"}}'] == 1]

    def renewed_by(self, double, deadline=10):
        count = len(double.calls)
        wait_until(lambda: len(double.calls) > count, deadline, "a renewal there")
        wait_until(lambda: self.in_use() == [double], 2, "its use")

    def test_another_takes_over_and_stays(self):
        used = self.in_use()[0]
        other = self.second if used is self.first else self.first
        asked = len(other.calls)
        self.renewed_by(used)
        self.assertEqual(len(other.calls), asked)
        used.stop()
        self.renewed_by(other)
        used.start()
        asked = len(used.calls)
        self.renewed_by(other)
        self.assertEqual(len(used.calls), asked)
        failures = parse_metrics(self.pod.agent_admin("/metrics")[1])[
            f'byrnie_certagent_endpoint_failures_total{{service="ca",endpoint="{used.target}"}}']
        self.assertGreaterEqual(failures, 1)

    def test_roots_are_read_again_when_the_file_changes(self):
        successor = Issuer(name="the authorities' next root")
        with open(self.roots, encoding="ascii") as file:
            before = file.read()
        for double in self.doubles:
            double.stop()
            double.server_issuer = successor
            double.start()
        asked = [len(double.calls) for double in self.doubles]
        wait_until(lambda: "certificate not renewed" in self.pod.agent.log_text().rsplit("rotated", 1)[-1], 10,
                   "a renewal that fails")
        self.assertEqual([len(double.calls) for double in self.doubles], asked)
        with open(self.roots + ".new", "w", encoding="ascii") as file:
            file.write(before + pem(successor.certificate))
        os.replace(self.roots + ".new", self.roots)
        wait_until(lambda: sum(len(double.calls) for double in self.doubles) > sum(asked), 5, "a renewal that works")
        current = self.in_use()[0]
        version = current.publish([current.issuer.root, successor.root])
        wait_until(lambda: version in [acknowledged for acknowledged, _ in current.acknowledged], 5,
                   "the acknowledgement of a new bundle")


if __name__ == "__main__":
    sys.exit(main())
