#!/usr/bin/python3
"""What is given to Kubernetes is valid there: objects against its own published schema, whose fields are those of native sidecars.

Proved: the golden files of all kinds and cases, and a pod with all annotations in either kind of sidecar, have no field that the
schema does not know and none of another type; a field in the wrong place would be found.
"""

import os
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes_schema import what_is_wrong
from testing.mesh import REPOSITORY, binary_path

TESTDATA = os.path.join(REPOSITORY, "deploy", "injector", "testdata")


def objects_in(text):
    """What a manifest has, out of its lists."""
    for document in yaml.safe_load_all(text):
        if document:
            yield from document["items"] if document["kind"] == "List" else [document]


def read(name):
    with open(os.path.join(TESTDATA, name), encoding="utf-8") as file:
        return file.read()


class KubernetesSchemaTest(unittest.TestCase):

    def check(self, found):
        """`found` are pairs of where an object is from and the object."""
        for (where, _), wrong in zip(found, what_is_wrong([item for _, item in found])):
            with self.subTest(where):
                self.assertEqual(wrong, [])

    def test_golden_files(self):
        names = [name for name in sorted(os.listdir(TESTDATA)) if name.endswith(".out.yaml")]
        found = [(f"{name}: {item['kind']}", item) for name in names for item in objects_in(read(name))]
        self.assertGreater(len(found), len(names))
        self.check(found)

    def test_all_annotations_in_either_kind(self):
        found = []
        for kind in ("native", "classic"):
            text = read("annotations.in.yaml").replace("sidecars: native", f"sidecars: {kind}")
            done = subprocess.run([binary_path("byrniectl"), "inject", "-f", "-"], input=text, capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 0, done.stderr)
            found += [(kind, item) for item in objects_in(done.stdout)]
        self.assertEqual(len(found), 2)
        self.check(found)

    def test_a_mistake_is_found(self):
        def pod(**container):
            return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", **container}]}}

        wrong = what_is_wrong([pod(image="i"), pod(imge="i"), pod(ports=[{"containerPort": "80"}]), pod(resources={"limits": {"cpu": "much"}}),
                               pod(securityContext={"capabilities": {"added": ["NET_ADMIN"]}})])
        self.assertEqual(wrong[0], [])
        for what, path in zip(wrong[1:], ("/imge", "/ports/0/containerPort", "/resources/limits/cpu", "/capabilities/added")):
            self.assertTrue(any(path in line for line in what), what)


if __name__ == "__main__":
    sys.exit(main())
