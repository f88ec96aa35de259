#!/usr/bin/python3
"""Two control planes with a CA each in one cluster, by a real API server.

Proved: the second one changes the roots of no namespace, neither where the first one's are nor where there are none yet, and says why; what it finds damaged is the first one's to repair; once the first one's roots are deleted, as the log says, the second one writes its own; and a control plane goes on with what
it has written itself, over a rotation and a restart. What a tenant writes into the ConfigMap of their namespace is overwritten, also over a restart, and keeps no other namespace from its roots.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes import ApiError, Cluster
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import json_lines, wait_until

REFUSED = "another mesh's roots are in the cluster: the trust bundle is not written to any namespace"
OVERWRITTEN = "roots of another mesh were in a namespace and have been overwritten"
# Kubernetes' role `edit` lets a tenant write it, and a certificate is what has its marks.
FOREIGN = "-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"
PATIENCE = 20


class TwoMeshesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        cluster.start()
        cluster.namespace("shop", labels={"byrnie.io/inject": "true"})

    def setUp(self):
        # Of the test before.
        self.forget_all()

    def forget_all(self):
        """What the log says is to be done when a mesh is gone."""
        for item in self.cluster.admin.get("/api/v1/configmaps?fieldSelector=metadata.name%3Dbyrnie-trust-bundle")["items"]:
            self.cluster.admin.delete(self.path(item["metadata"]["namespace"]))

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
        # Its home is the same as the first one's here.
        self.assertIn(refused["namespace"], ("shop", Cluster.SYSTEM))
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
        self.forget_all()
        second.stop()
        second.start()
        self.wait(lambda: all(self.bundle(namespace) == theirs for namespace in ("shop", "later", "meanwhile")), "the second one's roots")

    def overwritten(self, plane):
        return [record["namespace"] for record in json_lines(plane.log_text()) if record.get("message") == OVERWRITTEN]

    def test_a_tenants_foreign_roots_are_in_no_other_namespaces_way(self):
        plane = self.plane()
        roots = plane.read("bundle.pem").decode()
        self.wait(lambda: self.bundle("shop") == roots, "the roots")
        self.cluster.namespace("mallory", labels={"byrnie.io/inject": "true"})
        self.wait(lambda: self.bundle("mallory") == roots, "the roots at the tenant's")
        self.cluster.admin.patch(self.path("mallory"), {"data": {"bundle.pem": FOREIGN}})
        self.cluster.namespace("new", labels={"byrnie.io/inject": "true"})
        self.wait(lambda: self.bundle("new") == roots and self.bundle("mallory") == roots, "the roots in the new one and at the tenant's")
        self.wait(lambda: self.overwritten(plane) == ["mallory"], "a word of the tenant's roots")
        condition = lambda: next(each for each in plane.call("GetStatus").conditions if each.name == "trust-bundle")
        self.wait(lambda: condition().state == condition().STATE_WARN and "mallory" in condition().message, "a condition that names the tenant's")
        # Nor after a restart, where nothing is meshed but what they have, made so that it cannot be put right.
        plane.stop()
        for namespace in ("shop", "new"):
            self.cluster.admin.delete(self.path(namespace))
        self.cluster.admin.patch(self.path("mallory"), {"data": {"bundle.pem": FOREIGN}, "immutable": True})
        plane.start()
        self.wait(lambda: self.bundle("shop") == roots and self.bundle("new") == roots, "the roots in the others")
        self.assertEqual(self.bundle("mallory"), FOREIGN)
        self.assertEqual(self.refusals(plane), [])
        self.cluster.admin.delete(self.path("mallory"))
        self.wait(lambda: self.bundle("mallory") == roots, "the roots at the tenant's once more")


if __name__ == "__main__":
    sys.exit(main())
