#!/usr/bin/python3
"""Two control planes with a CA each in one cluster, by a real API server.

Proved: the second one changes the roots of no namespace, neither where the first one's are nor where there are none yet, and says why; what it finds damaged is the first one's to repair; once the first one's roots are deleted, as the log says, the second one writes its own; and a control plane goes on with what
it has written itself, over a rotation and a restart.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes import ApiError, Cluster
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import json_lines, wait_until

REFUSED = "another mesh's roots are in a meshed namespace: the trust bundle is not written to any"
PATIENCE = 20


class TwoMeshesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        cluster.start()
        cluster.namespace("shop", labels={"byrnie.io/inject": "true"})

    def plane(self):
        plane = LoopbackControlPlane(f"--kubeconfig={self.cluster.control_plane_kubeconfig()}", registry="kubernetes")
        self.addCleanup(plane.__exit__)
        plane.start()
        return plane

    def path(self, namespace):
        return f"/api/v1/namespaces/{namespace}/configmaps/byrnie-trust-bundle"

    def bundle(self, namespace):
        try:
            return self.cluster.admin.get(self.path(namespace))["data"]["bundle.pem"]
        except ApiError as error:
            if error.status != 404:
                raise
            return ""

    def wait(self, condition, what):
        return wait_until(condition, PATIENCE, what, every=0.2)

    def refusals(self, plane):
        return [record for record in json_lines(plane.log_text()) if record.get("message") == REFUSED]

    def test_the_second_mesh_leaves_the_roots_of_the_first(self):
        first = self.plane()
        roots = first.read("bundle.pem").decode()
        self.wait(lambda: self.bundle("shop") == roots, "the first one's roots")
        second = self.plane()
        theirs = second.read("bundle.pem").decode()
        self.assertNotEqual(theirs, roots)
        refused, = self.wait(lambda: self.refusals(second), "a word of the other mesh")
        self.assertEqual(refused["namespace"], "shop")
        self.assertIn("kubectl delete configmaps --all-namespaces --field-selector metadata.name=byrnie-trust-bundle", refused["error"])
        # A namespace that is meshed later has one mesh, too.
        self.cluster.namespace("later", labels={"byrnie.io/inject": "true"})
        self.wait(lambda: self.bundle("later"), "roots in the later one")
        self.assertEqual((self.bundle("later"), self.bundle("shop")), (roots, roots))
        # While the first one is away it is no other.
        first.stop()
        self.cluster.namespace("meanwhile", labels={"byrnie.io/inject": "true"})
        second.stop()
        second.start()
        self.wait(lambda: len(self.refusals(second)) == 2, "a word of the other mesh after a restart")
        self.assertEqual((self.bundle("meanwhile"), self.bundle("shop")), ("", roots))
        first.start()
        self.wait(lambda: self.bundle("meanwhile") == roots, "the first one's roots where there were none")
        # A rotation is the same mesh.
        first.call("RotateTrust")
        self.wait(lambda: self.bundle("shop").count("BEGIN CERTIFICATE") == 2, "both roots of a rotation")
        self.assertEqual(self.refusals(first), [])
        # What the log says helps.
        first.stop()
        for namespace in ("shop", "later", "meanwhile"):
            self.cluster.admin.delete(self.path(namespace))
        second.stop()
        second.start()
        self.wait(lambda: all(self.bundle(namespace) == theirs for namespace in ("shop", "later", "meanwhile")), "the second one's roots")


if __name__ == "__main__":
    sys.exit(main())
