#!/usr/bin/python3
"""The sample of deploy/kubernetes does what docs/kubernetes.md says of it: applied as it is, its pods are made by the API server's controllers, injected, and run.

Proved, with a static BusyBox for the image it names: both servers and the client become ready in a strict mesh; the client's log has the server's page, again and again; each connection arrives by HBONE, from the identity of its service account; somebody
without a sidecar is refused. The page's `kubectl exec` and `kubectl logs` do what it says in the containers that run: as it is typed, by a stand-in for kubectl, because the API server would ask a kubelet.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kubernetes.container import RootImage
from kubernetes.world import PLANE, SYSTEM, World
from testing import manifests
from testing.cache import cached
from testing.case import main
from testing.docs_case import inline, sections
from testing.process import json_lines

NAMESPACE = "byrnie-sample"
IMAGE = "busybox:1.36"
PAGE = "hello from behind a coat of mail\n"
APPLETS = ("sh", "sleep", "wget", "httpd")

KUBECTL = """#!/usr/bin/python3
import os, sys
if "logs" in sys.argv:
    assert sys.argv[1:] == ["-n", {namespace!r}, "logs", "deployment/client", "-c", "client"], sys.argv
    os.execv("/bin/cat", ["cat", {log!r}])
assert sys.argv[1:6] == ["-n", {system!r}, "exec", {plane!r}, "--"], sys.argv
words = {inside!r} + sys.argv[6:]
os.execve(words[0], words, {environment!r})
"""


def busybox(root):
    """An image as the one of that name is: one program by many names."""
    program = cached("busybox")
    assert os.path.exists(program), f"{program} is not there; tools/setup puts it there"
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy(program, os.path.join(root, "bin", "busybox"))
    for name in APPLETS:
        os.symlink("busybox", os.path.join(root, "bin", name))
    return RootImage(root, (0, 0), {"PATH": "/bin"})


class KubernetesSampleTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        cls.addClassCleanup(world.close)
        try:
            world.start(log_format="json")
            world.node.add_image(IMAGE, busybox(world.path("busybox")))
            with open(os.path.join(manifests.ROOT, "sample", "sample.yaml"), encoding="utf-8") as text:
                for item in yaml.safe_load_all(text):
                    world.create(item)
            world.wait(lambda: len(cls.pods()) == 3 and all(pod.ready() for pod in cls.pods()), 60, "readiness of the sample")
        except Exception:
            world.print_logs()
            raise

    @classmethod
    def pods(cls, app=""):
        return [pod for pod in cls.world.node.pods.values() if pod.namespace == NAMESPACE and pod.name.startswith(app)]

    @staticmethod
    def connections(pod):
        """What its proxy's log says of connections to the server."""
        return [record for record in json_lines(pod["byrnie-proxy"].log_text()) if record.get("log") == "access" and record.get("protocol") == "hbone"]

    def test_the_client_has_the_page_again_and_again(self):
        client, = self.pods("client")
        self.world.wait(lambda: client["client"].log_text().count(PAGE) >= 3, 30, "three pages")
        self.assertEqual(client["client"].log_text().replace(PAGE, ""), "")

    def test_servers_are_asked_by_hbone_and_by_that_client(self):
        records = self.world.wait(lambda: [record for pod in self.pods("web") for record in self.connections(pod)], 30, "a connection")
        self.assertEqual({record["peer_identity"] for record in records}, {f"spiffe://cluster.local/ns/{NAMESPACE}/sa/client"})

    def typed(self, line):
        """What a line of the page says that has kubectl in it."""
        plane, client = self.world.node.pod(SYSTEM, PLANE)["controlplane"].container, self.pods("client")[0]["client"].container
        folder = self.world.path("typed")
        os.makedirs(folder, exist_ok=True)
        with open(os.open(os.path.join(folder, "kubectl"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w", encoding="utf-8") as out:
            out.write(KUBECTL.format(namespace=NAMESPACE, log=client.log_path, system=SYSTEM, plane=PLANE, inside=plane.inside([]), environment=plane.environment))
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env={"PATH": f"{folder}:/usr/bin:/bin"})
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_what_the_page_has_done_in_containers(self):
        lines = [line for line in dict(sections())["Install in five minutes"] if re.search(r"kubectl \S+ \S+ exec ", line)]
        self.assertEqual(len(lines), 2)
        token, status = lines
        self.typed(token)
        path = self.world.path("typed/alice.token")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="ascii") as text:
            self.assertGreater(len(text.read()), 30)
        self.assertIn("trust bundle", self.typed(status))
        logs, = [line for line in inline() if re.match(r"kubectl -n \S+ logs ", line)]
        self.assertIn(PAGE, self.typed(logs))

    def test_somebody_without_a_sidecar_is_refused(self):
        # Not by the service: this node translates what goes there, to its own address, from which declared ports may be probed.
        server = f"http://{self.pods('web')[0].host.address}:8080"
        stranger = self.world.pod({"metadata": {"name": "stranger", "namespace": NAMESPACE, "labels": {"byrnie.io/inject": "false"}},
                                   "spec": {"restartPolicy": "Never", "containers": [
                                       {"name": "stranger", "image": IMAGE, "command": ["wget", "-q", "-O", "-", server]}]}}, wait=False)
        self.world.wait(lambda: stranger.over, 30, "an end of the stranger")
        self.assertEqual([life.name for life in stranger.inits + stranger.apps], ["stranger"])
        self.assertEqual(stranger["stranger"].exit_codes, [1])
        self.assertIn("reset by peer", stranger["stranger"].log_text())


if __name__ == "__main__":
    sys.exit(main())
