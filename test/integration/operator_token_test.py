#!/usr/bin/python3
"""Of several control planes with the same flags one keeps the first operator's token, whoever starts when.

Proved with control planes that come one after the other to one store, and with the manifests: the one that --operator_token_of names makes the token's file, and keeps it when it starts again, and when others have started in between; those make no file and replace nothing, and take the
token; a new file, of a pod that was made anew, is the good one then. The manifests over etcd name a pod that there is, and the page's command that asks for the token asks that pod, by the file that it has.
"""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
import yaml

from testing.case import main
from testing.docs_case import PAGE
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import REPOSITORY


class OperatorTokenTest(unittest.TestCase):

    def setUp(self):
        self.plane = LoopbackControlPlane()
        self.addCleanup(self.plane.__exit__)

    def start(self, name):
        self.plane.stop()
        self.plane.flags = [f"--name={name}", "--operator_token_of=plane-0"]
        self.plane.start()

    def has_file(self):
        return os.path.exists(self.plane.path("operator.token"))

    def test_one_keeps_it(self):
        self.start("plane-1")
        self.assertFalse(self.has_file())
        self.start("plane-0")
        token = self.plane.admin_token
        self.plane.call("GetStatus", token=token)
        # Each pod has a directory of its own.
        os.rename(self.plane.path("operator.token"), self.plane.path("of-plane-0"))
        for name in ("plane-2", "plane-1"):
            self.start(name)
            self.assertFalse(self.has_file())
            self.plane.call("GetStatus", token=token)
        os.rename(self.plane.path("of-plane-0"), self.plane.path("operator.token"))
        self.start("plane-0")
        self.assertEqual(self.plane.admin_token, token)
        self.plane.call("GetStatus")
        # The pod is made anew.
        os.unlink(self.plane.path("operator.token"))
        self.start("plane-0")
        self.assertNotEqual(self.plane.admin_token, token)
        self.plane.call("GetStatus")
        with self.assertRaises(grpc.RpcError) as refused:
            self.plane.call("GetStatus", token=token)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_the_page_asks_the_one_that_has_it(self):
        with open(os.path.join(REPOSITORY, "deploy/kubernetes/etcd/control-plane.yaml"), encoding="utf-8") as text:
            stateful_set, = [each for each in yaml.safe_load_all(text) if each["kind"] == "StatefulSet"]
        flags = dict(flag.split("=", 1) for flag in stateful_set["spec"]["template"]["spec"]["containers"][0]["args"])
        self.assertEqual(flags["--operator_token_of"], f"{stateful_set['metadata']['name']}-0")
        # What it is called is what its host is called, which is the pod's name.
        self.assertNotIn("--name", flags)
        with open(PAGE, encoding="utf-8") as text:
            command, = re.findall(r"`umask 077; (kubectl -n byrnie-system exec \S+ -- /usr/local/bin/byrniectl token create [^`]*/run/byrnie/[^`]*)`", text.read())
        self.assertIn(f" exec {flags['--operator_token_of']} -- ", command)
        self.assertIn(f" --token={flags['--operator_token_out']} ", command)
        self.assertIn(f" --trust_bundle={flags['--trust_bundle_out']} ", command)


if __name__ == "__main__":
    main()
