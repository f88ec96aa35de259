#!/usr/bin/python3
"""The commands of docs/kubernetes.md about other ways than the first, as they are written there: see testing/docs_case.py.

Proved: with kubectl alone, by `byrniectl manifests` and by kustomize, what is installed is what byrniectl installs, and it goes again; control planes over etcd; a registry that wants a password; one installation in a cluster, whose roots come back when those of a lost one are deleted; a kubeconfig for a control plane elsewhere.
`kubectl apply -k` is run by a kubectl whose kustomize is 2.0.3, and by the machine's own where it has one.
"""

import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from testing.cache import cached
from testing.case import main
from testing.cluster_case import KEY, SYSTEM
from testing.docs_case import PAGE, SAMPLE, DocsTestCase, sections
from testing.kubernetes import API_AUDIENCE
from testing.kubernetes_node import wait_for
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import REPOSITORY, binary_path


def own_kubectl():
    """This machine's own kubectl, whose kustomize is another one; none."""
    found = shutil.which("kubectl", path="/usr/local/bin:/usr/bin:/bin")
    return [] if found is None else [found]


def sorted_json(item):
    return json.dumps(item, sort_keys=True, default=str)


class KubernetesDocsWaysTest(DocsTestCase):

    def test_with_kubectl_alone(self):
        said = self.run_section("With kubectl alone")
        self.assertIn("statefulset.apps/byrnie-controlplane created", said)
        self.assertRegex(said, "partitioned roll out complete|rolling update complete|1 pods at revision")
        self.assertEqual(self.ours(), [])
        # As it stands the command is for newer clusters: nothing of it names classic sidecars.
        self.assertIn("StatefulSet", {item["kind"] for item in self.written})
        config, = [item for item in self.written if item["kind"] == "ConfigMap"]
        self.assertNotIn("classic", config["data"]["injector.json"])

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
        # As a control plane finds it that has lost its store: none of its roots anywhere.
        other = type(self.cluster.authority)("another").pem().decode()
        scale = f"kubectl -n {SYSTEM} scale statefulset byrnie-controlplane --replicas="
        self.sh(scale + "0")
        wait_for(lambda: not self.there(f"/api/v1/namespaces/{SYSTEM}/pods/byrnie-controlplane-0"), 60, "an end of the control plane")
        for namespace in (SAMPLE, SYSTEM):
            self.admin.call("PATCH", f"/api/v1/namespaces/{namespace}/configmaps/byrnie-trust-bundle?fieldManager=byrnie&force=true",
                            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "byrnie-trust-bundle"}, "data": {"bundle.pem": other}},
                            "application/apply-patch+yaml")
        self.sh(scale + "1")
        wait_for(lambda: "another mesh's roots are in the cluster" in self.node.log(), 60, "a word of the other roots")
        self.assertEqual(self.there(path)["data"]["bundle.pem"], other)
        self.run_section("One installation in a cluster")
        wait_for(lambda: self.there(path), 90, "roots again")
        self.assertEqual(self.there(path)["data"]["bundle.pem"], ours)

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


if __name__ == "__main__":
    sys.exit(main())
