#!/usr/bin/python3
"""Every command of docs/kubernetes.md, as it is written there, against a real API server with a real kubectl.

Proved: each line of its `sh` blocks does what the page says, in order, from the state that its section begins with: nothing of Byrnie there, or Byrnie and the sample; it ends with 0, or with what a comment says ("# ends with 5"); and the page's promises of what is there
afterwards: everything installed and ready, all gone after uninstall.

What stands in for what is not there: `kubectl exec` runs its command here, with the paths of the pod's volumes, because there is no kubelet; `byrniectl inject` and `manifests` are given --sidecars=classic, because this API server knows no native ones; pods that begin as Istio's or Linkerd's have their labels and
annotations, and no sidecar of theirs, because nobody here would inject it. `kubectl apply -k` is run by that kubectl, whose kustomize is 2.0.3, and by the machine's own where it has one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from testing.cache import cached
from testing.case import main
from testing.cluster_case import KEY, SYSTEM, ClusterTestCase
from testing.loopback_control_plane import LoopbackControlPlane
from testing.kubernetes import API_AUDIENCE
from testing.kubernetes_node import wait_for
from testing.mesh import REPOSITORY, binary_path

PAGE = os.path.join(REPOSITORY, "docs", "kubernetes.md")
SAMPLE = "byrnie-sample"
# What a section begins with; every section that has commands is here.
FRESH = {"Install in five minutes", "With kubectl alone", "A control plane in the cluster", "A private registry"}
# image_test.py runs what it says, but for the copy to a registry.
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


def own_kubectl():
    """This machine's own kubectl, whose kustomize is another one; none."""
    found = shutil.which("kubectl", path="/usr/local/bin:/usr/bin:/bin")
    return [] if found is None else [found]


def sorted_json(item):
    return json.dumps(item, sort_keys=True, default=str)


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

    def sh(self, line, kubeconfig=None):
        expected = re.search(r"# ends with (\d+)", line)
        # As somebody types it; what a pipe begins with counts, too.
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=self.file("work"), capture_output=True, text=True, timeout=180,
                              env={"PATH": f"{self.file('bin')}:/usr/bin:/bin", "KUBECONFIG": kubeconfig or self.kubeconfig, "HOME": self.file("work")})
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

    def prepare(self, heading):
        if heading in FRESH:
            self.purge()
        elif heading in INSTALLED:
            self.install()

    def run_section(self, heading):
        self.prepare(heading)
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
        self.assertEqual({heading for heading, _ in sections()}, FRESH | INSTALLED | OTHER_MESH | ELSEWHERE)

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
        self.install()
        # As native sidecars are, in a namespace whose pods nobody is asked about.
        self.admin.create("/api/v1/namespaces/default/pods", {
            "metadata": {"name": "native", "labels": {"byrnie.io/rev": "default"}},
            "spec": {"automountServiceAccountToken": False, "initContainers": [{"name": "byrnie-proxy", "image": "registry.example/byrnie:0.1.0", "command": ["p"]}],
                     "containers": [{"name": "app", "image": "app:1", "command": ["app"]}]}})
        self.addCleanup(self.admin.delete, "/api/v1/namespaces/default/pods/native")
        said = self.run_section("Upgrade")
        self.assertIn("would be changed  StatefulSet", said)
        table = said[said.index("NAMESPACE"):]
        self.assertRegex(table, r"default +native +default +registry.example/byrnie:0.1.0 +<none>\n")
        rows = [line.split() for line in table.splitlines() if line.startswith(SAMPLE)]
        # Those that are going may be there, too.
        self.assertTrue([row for row in rows if row[2:] == ["default", "<none>", "registry.example/byrnie:0.2.0"]], table)
        config = self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"]
        self.assertIn('"revision":"0-2"', config)

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

    def test_with_kubectl_and_kustomize(self):
        for kubectl in [cached("kubernetes-1.20.2", "kubectl"), *own_kubectl()]:
            with self.subTest(kubectl=kubectl):
                self.apply_by_kustomize(kubectl)

    def apply_by_kustomize(self, kubectl):
        self.purge()
        page = dict(sections())["With kubectl alone"]
        for line in page[:2]:
            self.sh(line)
        with open(PAGE, encoding="utf-8") as text:
            line = re.search(r"`(kubectl apply -k [^`]+)`", text.read())[1]
        said = self.sh(line.replace("kubectl", kubectl, 1))
        self.assertIn("statefulset.apps/byrnie-controlplane created", said)
        self.sh(page[4])
        # And it is what byrniectl applies: nothing is changed but the labels that say whose it is.
        for overlay in ("sqlite", "etcd"):
            ours = [item for item in yaml.safe_load_all(self.sh(f"{binary_path('byrniectl')} manifests --overlay={overlay}"))]
            theirs = [item for item in yaml.safe_load_all(self.sh(f"{kubectl} kustomize deploy/kubernetes/{overlay}"))]
            for item in ours:
                for label in ("managed-by", "part-of"):
                    del item["metadata"]["labels"][f"app.kubernetes.io/{label}"]
                if not item["metadata"]["labels"]:
                    del item["metadata"]["labels"]
            self.assertEqual(sorted(map(repr, map(sorted_json, ours))), sorted(map(repr, map(sorted_json, theirs))))

    def test_a_control_plane_over_etcd(self):
        for name in ("ca.crt", "tls.crt", "tls.key"):
            self.write(f"work/{name}", "PEM\n")
        said = self.run_section("A control plane in the cluster")
        self.assertIn("secret/byrnie-etcd created", said)
        self.assertIn("created    StatefulSet byrnie-system/byrnie-controlplane", said)
        self.assertIn("created    PodDisruptionBudget", said)
        args = self.admin.get(f"/apis/apps/v1/namespaces/{SYSTEM}/statefulsets/byrnie-controlplane")["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("--store=etcd:https://etcd-0.example:2379,https://etcd-1.example:2379/byrnie/cluster.local", args)
        self.assertTrue(self.there(KEY))
        self.purge()

    def test_a_private_registry(self):
        self.addCleanup(self.purge)
        said = self.run_section("A private registry")
        self.assertRegex(said, r"good +pull-secrets +they are in all namespaces that need them")
        secrets = [{"name": "regcred"}]
        stateful_set = f"/apis/apps/v1/namespaces/{SYSTEM}/statefulsets/byrnie-controlplane"
        self.assertEqual(self.admin.get(stateful_set)["spec"]["template"]["spec"]["imagePullSecrets"], secrets)
        self.ctl("install", "--wait", "--timeout=60s")
        # A pod has it beside its service account's own.
        self.admin.create("/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "web"}, "imagePullSecrets": [{"name": "own"}]})
        self.admin.create("/api/v1/namespaces/shop/pods", {"metadata": {"name": "web"}, "spec": {
            "serviceAccountName": "web", "containers": [{"name": "web", "image": "web:1", "command": ["web"]}]}})
        pod = self.admin.get("/api/v1/namespaces/shop/pods/web")
        self.assertEqual(pod["spec"]["imagePullSecrets"], [{"name": "own"}, {"name": "regcred"}])
        # What is missing is said, of namespaces before pods wait there, and of the control plane's before anything is changed.
        self.admin.delete("/api/v1/namespaces/shop/secrets/regcred")
        self.assertIn("missing: shop/regcred", self.ctl("check", "--pre", expect=1).stdout)
        self.admin.delete(f"/api/v1/namespaces/{SYSTEM}/secrets/regcred")
        self.assertIn("the Secret byrnie-system/regcred is missing", self.ctl("install", "--image=byrnie:0.2.0", expect=1).stderr)
        self.ctl("install", "--image_pull_secret=")
        self.assertNotIn("imagePullSecrets", self.admin.get(stateful_set)["spec"]["template"]["spec"])
        config = self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"]
        self.assertNotIn("image_pull_secrets", json.loads(config))

    def test_one_installation_in_a_cluster(self):
        self.install()
        path = f"/api/v1/namespaces/{SAMPLE}/configmaps/byrnie-trust-bundle"
        ours = wait_for(lambda: self.there(path), 30, "the roots")["data"]["bundle.pem"]
        # As a control plane finds it that has lost its store.
        other = type(self.cluster.authority)("another").pem().decode()
        self.admin.call("PATCH", f"{path}?fieldManager=byrnie&force=true", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "byrnie-trust-bundle"},
                                                                          "data": {"bundle.pem": other}}, "application/apply-patch+yaml")
        self.sh(f"kubectl -n {SYSTEM} delete pod byrnie-controlplane-0")
        wait_for(lambda: "another mesh's roots are in a meshed namespace" in self.node.log(), 60, "a word of the other roots")
        self.assertEqual(self.there(path)["data"]["bundle.pem"], other)
        self.run_section("One installation in a cluster")
        wait_for(lambda: self.there(path), 90, "roots again")
        self.assertEqual(self.there(path)["data"]["bundle.pem"], ours)

    def test_policies(self):
        with open(PAGE, encoding="utf-8") as text:
            self.write("work/cart-clients.yaml", re.search(r"```yaml\n(apiVersion: byrnie.io/v1\n.*?)```", text.read(), re.S)[1])
        self.install()
        self.sh("kubectl create namespace shop")
        said = self.run_section("Policies in the cluster")
        self.assertIn("condition met", said)
        self.assertRegex(said, r"cart-clients +ALLOW +WORKLOAD_SELECTOR +true +True +Accepted")
        self.assertIn("selector", said[said.index("KIND:"):])
        self.sh("kubectl delete namespace shop")
        self.wait_gone("/api/v1/namespaces/shop")

    def test_offline(self):
        self.sh("kubectl delete namespace shop --ignore-not-found")
        self.ctl("install", "--image=registry.example/byrnie:0.3.0", "--wait", "--timeout=60s")
        self.addCleanup(self.ctl, "install", "--image=byrnie:0.1.0")
        said = self.run_section("Offline")
        self.assertIn("deployment.apps/web created", said)
        self.assertIn("byrnie-trust-bundle", said)
        self.assertIn("successfully rolled out", said)
        spec = self.admin.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["template"]["spec"]
        self.assertEqual([each["name"] for each in spec["containers"]], ["web"])
        with open(self.file("work/meshed.yaml"), encoding="utf-8") as text:
            self.assertIn("image: registry.example/byrnie:0.1.0", text.read())
        # What was applied first had what the webhook would have given, so that this had nothing to do.
        sets = self.admin.get("/apis/apps/v1/namespaces/shop/replicasets")["items"]
        first = min(sets, key=lambda each: int(each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
        template = first["spec"]["template"]
        self.assertEqual({each["image"] for each in template["spec"]["containers"] if each["name"].startswith("byrnie-")}, {"registry.example/byrnie:0.3.0"})
        self.assertIn("byrnie.io/status", template["metadata"]["annotations"])
        self.sh("kubectl delete namespace shop")
        self.wait_gone("/api/v1/namespaces/shop")

    def test_a_kubeconfig_for_a_control_plane_elsewhere(self):
        with open(os.path.join(REPOSITORY, "docs", "operations.md"), encoding="utf-8") as text:
            line = re.search(r"^kubectl config view .*$", text.read(), re.M)[0]
        self.purge()
        # Of a service account's token, and the CA by its file, which is to be in the result.
        self.admin.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "plane"}})
        self.admin.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/plane", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "plane"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "plane", "namespace": "default"}]})
        token = self.cluster.service_account_token("default", "plane", [API_AUDIENCE])
        config = self.file("token.conf")
        with open(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            json.dump(self.cluster.kubeconfig_of({"token": token}), out)
        self.sh(line, kubeconfig=config)
        with LoopbackControlPlane(f"--kubeconfig={self.file('work/byrnie.kubeconfig')}", "--attest=kubernetes") as plane:
            self.assertIn("control plane ready", plane.log_text())
            wait_for(lambda: plane.call("GetStatus"), 10, "an answer")

    @staticmethod
    def modes(spec):
        proxy, = [each for each in spec["containers"] if each["name"] == "byrnie-proxy"]
        return [word for word in proxy["args"] if word.startswith("--mtls_mode")]

    def test_clients_that_are_not_meshed_yet(self):
        self.install()
        line = dict(sections())["Clients that are not meshed yet"][0]
        self.sh(line)
        wait_for(lambda: any(self.modes(pod["spec"]) == ["--mtls_mode=permissive"] for pod in self.pods(SAMPLE)), 60, "a permissive pod")
        self.run_section("Clients that are not meshed yet")
        wait_for(lambda: {pod["metadata"]["annotations"].get("byrnie.io/mtls-mode") for pod in self.pods(SAMPLE)} == {None}, 60, "strict pods alone")
        for pod in self.pods(SAMPLE):
            self.assertNotIn("--mtls_mode=permissive", self.modes(pod["spec"]))

    def test_when_something_is_wrong(self):
        said = self.run_section("When something is wrong")
        self.assertIn("byrnie-injector", said)
        self.assertRegex(said, rf"{SAMPLE} +Active .*true")

    def pods_of_another_mesh(self, labels, annotations, of_pods):
        """The sample's Deployments in a namespace that is another mesh's, with pods that are not ours."""
        self.ctl("install", "--wait", "--timeout=60s")
        self.sh(f"kubectl delete namespace {SAMPLE} --ignore-not-found")
        self.wait_gone(f"/api/v1/namespaces/{SAMPLE}")
        self.write("work/other.yaml", OTHER.format(namespace=SAMPLE, labels=json.dumps(labels), annotations=json.dumps(annotations)))
        self.sh("kubectl apply -f other.yaml")
        for name in ("web", "client"):
            deployment = yaml.safe_load(WEB.replace("web", name))
            deployment["spec"]["template"]["metadata"]["annotations"] = of_pods
            self.admin.apply(f"/apis/apps/v1/namespaces/{SAMPLE}/deployments/{name}", {**deployment, "metadata": {"name": name, "namespace": SAMPLE}})
        wait_for(lambda: len(self.pods(SAMPLE)) == 2, 30, "pods of another mesh")
        for pod in self.pods(SAMPLE):
            self.assertEqual((len(pod["spec"]["containers"]), pod["metadata"]["labels"].get("byrnie.io/rev")), (1, None))

    def moved(self, heading):
        """The namespace's metadata, when all its pods are ours."""
        said = self.run_section(heading)
        self.assertRegex(said, r"web-\S+ +3/3 .* default\n")
        wait_for(lambda: len(pods := self.pods(SAMPLE)) == 2 and all(len(pod["spec"]["containers"]) == 3 for pod in pods), 30, "sidecars in all pods")
        # Nobody who asks them in plaintext is cut off meanwhile.
        self.assertEqual([self.modes(pod["spec"]) for pod in self.pods(SAMPLE)], [["--mtls_mode=permissive"]] * 2)
        return self.admin.get(f"/api/v1/namespaces/{SAMPLE}")["metadata"]

    def test_from_istio(self):
        self.pods_of_another_mesh({"istio-injection": "enabled"}, {}, {"sidecar.istio.io/inject": "true"})
        metadata = self.moved("From Istio")
        self.assertEqual((metadata["labels"].get("byrnie.io/inject"), "istio-injection" in metadata["labels"]), ("true", False))

    def test_from_linkerd(self):
        self.pods_of_another_mesh({}, {"linkerd.io/inject": "enabled"}, {"config.linkerd.io/proxy-log-level": "info"})
        metadata = self.moved("From Linkerd")
        self.assertEqual((metadata["labels"].get("byrnie.io/inject"), "linkerd.io/inject" in metadata.get("annotations", {})), ("true", False))


if __name__ == "__main__":
    sys.exit(main())
