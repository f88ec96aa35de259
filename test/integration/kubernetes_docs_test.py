#!/usr/bin/python3
"""Every command of docs/kubernetes.md, as it is written there, against a real API server with a real kubectl.

Proved: each line of its `sh` blocks does what the page says, in order, from the state that its section begins with: nothing of Byrnie there, or Byrnie and the sample; it ends with 0, or with what a comment says ("# ends with 5"); and the page's promises of what is there
afterwards: everything installed and ready, all gone after uninstall.

What stands in for what is not there: `kubectl exec` runs its command here, with the paths of the pod's volumes, because there is no kubelet; `byrniectl inject` and `manifests` are given --sidecars=classic, because this API server knows no native ones.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.cache import cached
from testing.case import main
from testing.cluster_case import SYSTEM, ClusterTestCase
from testing.kubernetes_node import wait_for
from testing.mesh import REPOSITORY, binary_path

PAGE = os.path.join(REPOSITORY, "docs", "kubernetes.md")
SAMPLE = "byrnie-sample"
# What a section begins with; every section that has commands is here.
FRESH = {"Install in five minutes", "With kubectl alone"}
# image_test.py runs what it says, but for the copy to a registry.
ELSEWHERE = {"The image"}
INSTALLED = {"Upgrade", "Uninstall", "Offline", "When something is wrong", "From Istio", "From Linkerd"}

WEB = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
        - name: web
          image: web:1
"""

KUBECTL = """#!/usr/bin/python3
import os, sys
words, real = sys.argv[1:], {kubectl!r}
if "exec" not in words:
    os.execv(real, [real, *words])
command = words[words.index("--") + 1:]
command[0] = os.path.join({binaries!r}, os.path.basename(command[0]))
for theirs, mine in (line.split("=", 1) for line in open({mounts!r}).read().split()):
    command = [word.replace(theirs, mine) for word in command]
os.execv(command[0], command)
"""

BYRNIECTL = """#!/bin/sh
case "$1" in
  inject|manifests) exec {program} "$@" --sidecars=classic ;;
esac
exec {program} "$@"
"""


def sections():
    """[(heading, [line of a command, ...])] of the page, lines that go on joined."""
    found = []
    with open(PAGE, encoding="utf-8") as text:
        for part in re.split(r"^##+ ", text.read(), flags=re.M)[1:]:
            heading = part.partition("\n")[0]
            lines = []
            for block in re.findall(r"^```sh\n(.*?)^```", part, re.M | re.S):
                lines += block.replace("\\\n", " ").splitlines()
            if lines:
                found.append((heading, lines))
    return found


class KubernetesDocsTest(ClusterTestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory(prefix="byr-docs-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.write("bin/kubectl", KUBECTL.format(kubectl=cached("kubernetes-1.20.2", "kubectl"), mounts=cls.file("mounts"),
                                                binaries=os.path.dirname(binary_path("byrniectl"))), 0o755)
        cls.write("bin/byrniectl", BYRNIECTL.format(program=binary_path("byrniectl")), 0o755)
        cls.write("work/web.yaml", WEB)
        os.symlink(os.path.join(REPOSITORY, "deploy"), cls.file("work/deploy"))

    @classmethod
    def file(cls, name):
        return os.path.join(cls.folder.name, name)

    @classmethod
    def write(cls, name, text, mode=0o644):
        os.makedirs(os.path.dirname(cls.file(name)), exist_ok=True)
        with open(os.open(cls.file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as out:
            out.write(text)

    def sh(self, line):
        expected = re.search(r"# ends with (\d+)", line)
        # As somebody types it; what a pipe begins with counts, too.
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=self.file("work"), capture_output=True, text=True, timeout=180,
                              env={"PATH": f"{self.file('bin')}:/usr/bin:/bin", "KUBECONFIG": self.kubeconfig, "HOME": self.file("work")})
        self.assertEqual(done.returncode, int(expected[1]) if expected else 0, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout

    def purge(self):
        self.ctl("uninstall", "--purge", "--force")
        for namespace in (SAMPLE, "shop", SYSTEM):
            if self.there(f"/api/v1/namespaces/{namespace}"):
                self.admin.delete(f"/api/v1/namespaces/{namespace}")
            self.wait_gone(f"/api/v1/namespaces/{namespace}")

    def install(self):
        self.ctl("install", "--wait", "--timeout=60s")
        self.sh("kubectl apply -f deploy/kubernetes/sample/sample.yaml")
        for name in ("web", "client"):
            self.sh(f"kubectl -n {SAMPLE} rollout status deployment/{name} --timeout=60s")

    def run_section(self, heading):
        (self.purge if heading in FRESH else self.install)()
        said = []
        for line in dict(sections())[heading]:
            # Where the pod's volumes are now.
            self.write("mounts", "".join(f"{theirs}={mine}\n" for theirs, mine in getattr(self.node, "mounts", {}).items()))
            if line.strip():
                said.append(self.sh(line))
            # uninstall goes in the background, as far as it may: what comes next is typed by a person.
            if re.match(r"byrniectl uninstall.*--purge|kubectl delete -f", line):
                self.wait_gone(f"/api/v1/namespaces/{SYSTEM}")
        return "".join(said)

    def test_every_section_is_run(self):
        self.assertEqual({heading for heading, _ in sections()}, FRESH | INSTALLED | ELSEWHERE)

    def test_install_in_five_minutes(self):
        said = self.run_section("Install in five minutes")
        self.assertRegex(said, r"web-\S+ +3/3 +Running")
        self.assertIn("created    StatefulSet byrnie-system/byrnie-controlplane", said)
        self.assertIn("control plane", said)
        with open(self.file("work/store.key"), encoding="ascii") as key:
            self.assertEqual(len(key.read()), 44)
        with open(self.file("work/alice.token"), encoding="ascii") as token:
            self.assertGreater(len(token.read()), 30)

    def test_upgrade(self):
        said = self.run_section("Upgrade")
        self.assertIn("registry.example/byrnie:0.2.0", said.splitlines()[-1])
        self.assertIn("would be changed  StatefulSet", said)

    def test_uninstall(self):
        said = self.run_section("Uninstall")
        self.assertIn("kept       Secret byrnie-system/byrnie-store-key", said)
        self.assertIn("deleted    Namespace byrnie-system", said)
        self.assertEqual(self.ours(), [])
        for pod in self.pods(SAMPLE):
            self.assertEqual(len(pod["spec"]["containers"]), 1)

    def test_with_kubectl_alone(self):
        said = self.run_section("With kubectl alone")
        self.assertIn("statefulset.apps/byrnie-controlplane created", said)
        self.assertRegex(said, "partitioned roll out complete|rolling update complete|1 pods at revision")
        self.assertEqual(self.ours(), [])

    def test_offline(self):
        said = self.run_section("Offline")
        self.assertIn("deployment.apps/web", said)
        spec = self.admin.get("/apis/apps/v1/namespaces/default/deployments/web")["spec"]["template"]["spec"]
        self.assertEqual([each["name"] for each in spec["containers"]], ["web"])
        with open(self.file("work/meshed.yaml"), encoding="utf-8") as text:
            self.assertIn("byrnie-proxy", text.read())
        self.admin.delete("/apis/apps/v1/namespaces/default/deployments/web")

    def test_when_something_is_wrong(self):
        said = self.run_section("When something is wrong")
        self.assertIn("byrnie-injector", said)
        self.assertRegex(said, rf"{SAMPLE} +Active .*true")

    def test_from_istio_and_linkerd(self):
        for heading in ("From Istio", "From Linkerd"):
            self.run_section(heading)
            wait_for(lambda: all(len(pod["spec"]["containers"]) == 3 for pod in self.pods(SAMPLE)), 30, "sidecars in all pods")


if __name__ == "__main__":
    sys.exit(main())
