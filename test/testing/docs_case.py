"""Tests of docs/kubernetes.md: its commands, as they are written there, against a real API server with a real kubectl.

What stands in for what is not there: `kubectl exec` runs its command here, with the paths of the pod's volumes, because there is no kubelet; `byrniectl inject` and `manifests` are run as they stand, and what they write is valid by
Kubernetes' schema; what goes on from there is made with --sidecars=classic, because this API server knows no native ones.
"""

import os
import re
import subprocess
import tempfile

import yaml

from .cache import cached
from .cluster_case import SYSTEM, ClusterTestCase
from .kubernetes_schema import what_is_wrong
from .mesh import REPOSITORY, binary_path

PAGE = os.path.join(REPOSITORY, "docs", "kubernetes.md")
SAMPLE = "byrnie-sample"
# What a section begins with; every section that has commands is here.
FRESH = {"Install in five minutes", "With kubectl alone", "A control plane in the cluster", "A private registry"}
# image_registry_test.py runs what it says.
ELSEWHERE = {"The image"}
INSTALLED = {"Upgrade", "Uninstall", "Offline", "When something is wrong", "One installation in a cluster", "Policies in the cluster",
             "Clients that are not meshed yet"}
# A namespace of another mesh in the place of the sample.
OTHER_MESH = {"From Istio", "From Linkerd"}

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

OTHER = """apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels: {labels}
  annotations: {annotations}
"""

KUBECTL = """#!/usr/bin/python3
import os, sys
words, real = sys.argv[1:], {kubectl!r}
if "exec" not in words or "--" not in words:
    os.execv(real, [real, *words])
command = words[words.index("--") + 1:]
command[0] = os.path.join({binaries!r}, os.path.basename(command[0]))
for theirs, mine in (line.split("=", 1) for line in open({mounts!r}).read().split()):
    command = [word.replace(theirs, mine) for word in command]
os.execv(command[0], command)
"""

BYRNIECTL = """#!/usr/bin/python3
import os, subprocess, sys, tempfile
program, words = {program!r}, sys.argv[1:]
if words[:1] not in (["inject"], ["manifests"]) or "--help" in words:
    os.execv(program, [program, *words])
given = sys.stdin.buffer.read() if "-" in words else b""
with tempfile.NamedTemporaryFile(dir={literal!r}, delete=False) as out:
    done = subprocess.run([program, *words], input=given, stdout=out)
if done.returncode == 0:
    done = subprocess.run([program, *words, "--sidecars=classic"], input=given)
sys.exit(done.returncode)
"""

# What the code of a sentence begins with where it is something to type; alone such a word is a name.
PROGRAMS = r"(?:umask 077; )?(?:kubectl|byrniectl|byrnie-[a-z]+|skopeo|istioctl|etcdctl|openssl|nft|curl|deploy/image/build)"


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


def inline(page=PAGE):
    """The commands in sentences and tables of a page, in its order, each once."""
    with open(page, encoding="utf-8") as text:
        prose = re.sub(r"^```.*?^```", "", text.read(), flags=re.M | re.S)
    spans = [re.sub(r"\s+", " ", span) for _, span in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", prose, flags=re.S)]
    return list(dict.fromkeys(span for span in spans if re.match(PROGRAMS + " .", span)))


class DocsTestCase(ClusterTestCase):
    """See the module's comment."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory(prefix="byr-docs-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.write("bin/kubectl", KUBECTL.format(kubectl=cached("kubernetes-1.20.2", "kubectl"), mounts=cls.file("mounts"),
                                                binaries=os.path.dirname(binary_path("byrniectl"))), 0o755)
        os.mkdir(cls.file("literal"))
        cls.write("bin/byrniectl", BYRNIECTL.format(program=binary_path("byrniectl"), literal=cls.file("literal")), 0o755)
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

    def sh(self, line, kubeconfig=None):
        """What a line says that ends as it should. What byrniectl has written in it as it stands is valid, and is in `literal`."""
        expected = re.search(r"# ends with (\d+)", line)
        done = self.typed(line, kubeconfig)
        self.assertEqual(done.returncode, int(expected[1]) if expected else 0, f"{line}\n{done.stdout}{done.stderr}")
        self.literal = self.take_literal()
        return done.stdout

    def typed(self, line, kubeconfig=None, environment=None):
        # As somebody types it; what a pipe begins with counts, too.
        return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=self.file("work"), capture_output=True, text=True, timeout=180,
                              stdin=subprocess.DEVNULL, env={"PATH": f"{self.file('bin')}:/usr/bin:/bin", "KUBECONFIG": kubeconfig or self.kubeconfig,
                                                             "HOME": self.file("work"), **(environment or {})})

    def take_literal(self):
        """The objects that `byrniectl inject` and `manifests` have written as they were typed: for a cluster that knows native sidecars."""
        found = []
        for name in os.listdir(self.file("literal")):
            with open(self.file(f"literal/{name}"), encoding="utf-8") as text:
                found += [item for item in yaml.safe_load_all(text) if item]
            os.unlink(self.file(f"literal/{name}"))
        for item, wrong in zip(found, what_is_wrong(found) if found else []):
            # A schema within is of any form to this one.
            wrong = [what for what in wrong if not what.startswith("/spec/versions/0/schema/openAPIV3Schema/")]
            self.assertEqual(wrong, [], (item["kind"], item["metadata"]["name"]))
        return found

    def bring_mounts(self, **more):
        """Where the pod's volumes are now, for `kubectl exec`."""
        self.write("mounts", "".join(f"{theirs}={mine}\n" for theirs, mine in {**getattr(self.node, "mounts", {}), **more}.items()))

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

    def prepare(self, heading):
        if heading in FRESH:
            self.purge()
        elif heading in INSTALLED:
            self.install()

    def run_section(self, heading):
        self.prepare(heading)
        said, self.written = [], []
        for line in dict(sections())[heading]:
            self.bring_mounts()
            if line.strip():
                said.append(self.sh(line))
                self.written += self.literal
            # uninstall goes in the background, as far as it may: what comes next is typed by a person.
            if re.match(r"byrniectl uninstall.*--purge|kubectl delete -f", line):
                self.wait_gone(f"/api/v1/namespaces/{SYSTEM}")
        return "".join(said)
