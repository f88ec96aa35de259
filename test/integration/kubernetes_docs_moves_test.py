#!/usr/bin/python3
"""The commands of docs/kubernetes.md that bring a running application into the mesh, as they are written there: see testing/docs_case.py.

Proved: pods of Istio's or Linkerd's namespaces, of Deployments and StatefulSets, come back as Byrnie's, permissive, so that nobody who asks them in plaintext is cut off, and are made strict afterwards; no template is ever one that the webhook would make a strict pod of. They begin with the other mesh's labels and annotations, and no
sidecar of its own, because nobody here would inject it; of Istio's PeerAuthentication there is the definition alone.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from testing.case import main
from testing.docs_case import OTHER, PAGE, SAMPLE, WEB, DocsTestCase, inline, sections
from testing.kubernetes_node import wait_for


PEER_AUTHENTICATIONS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "peerauthentications.security.istio.io"},
    "spec": {"group": "security.istio.io", "scope": "Namespaced",
             "names": {"kind": "PeerAuthentication", "listKind": "PeerAuthenticationList", "plural": "peerauthentications", "singular": "peerauthentication"},
             "versions": [{"name": "v1beta1", "served": True, "storage": True,
                           "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


class KubernetesDocsMovesTest(DocsTestCase):

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

    def pods_of_another_mesh(self, labels, annotations, of_pods, labels_of_pods):
        """The sample's Deployments in a namespace that is another mesh's, with pods that are not ours."""
        self.ctl("install", "--wait", "--timeout=60s")
        self.sh(f"kubectl delete namespace {SAMPLE} --ignore-not-found")
        self.wait_gone(f"/api/v1/namespaces/{SAMPLE}")
        self.write("work/other.yaml", OTHER.format(namespace=SAMPLE, labels=json.dumps(labels), annotations=json.dumps(annotations)))
        self.sh("kubectl apply -f other.yaml")
        for name in ("web", "client"):
            deployment = yaml.safe_load(WEB.replace("web", name))
            deployment["spec"]["template"]["metadata"]["annotations"] = of_pods
            deployment["spec"]["template"]["metadata"]["labels"].update(labels_of_pods)
            self.admin.apply(f"/apis/apps/v1/namespaces/{SAMPLE}/deployments/{name}", {**deployment, "metadata": {"name": name, "namespace": SAMPLE}})
        store = yaml.safe_load(WEB.replace("web", "store"))
        store["spec"]["serviceName"] = "store"
        store["spec"]["template"]["metadata"]["annotations"] = of_pods
        store["spec"]["template"]["metadata"]["labels"].update(labels_of_pods)
        self.admin.apply(f"/apis/apps/v1/namespaces/{SAMPLE}/statefulsets/store", {**store, "kind": "StatefulSet", "metadata": {"name": "store", "namespace": SAMPLE}})
        wait_for(lambda: len(self.pods(SAMPLE)) == 3, 30, "pods of another mesh")
        for pod in self.pods(SAMPLE):
            self.assertEqual((len(pod["spec"]["containers"]), pod["metadata"]["labels"].get("byrnie.io/rev")), (1, None))

    def moved(self, heading):
        """The namespace's metadata, when all its pods are ours."""
        said = self.run_section(heading)
        self.assertRegex(said, r"web-\S+ +3/3 .* default\n")
        self.assertRegex(said, r"store-0 +3/3 .* default\n")
        wait_for(lambda: len(pods := self.pods(SAMPLE)) == 3 and all(len(pod["spec"]["containers"]) == 3 for pod in pods), 30, "sidecars in all pods")
        # Nobody who asks them in plaintext is cut off meanwhile.
        self.assertEqual([self.modes(pod["spec"]) for pod in self.pods(SAMPLE)], [["--mtls_mode=permissive"]] * 3)
        # Nor was there a template without the annotation once the namespace had the label, which the restart came after.
        made = self.admin.get(f"/apis/apps/v1/namespaces/{SAMPLE}/replicasets")["items"]
        templates = [each["spec"]["template"]["metadata"].get("annotations", {}) for each in made]
        self.assertEqual([each.get("byrnie.io/mtls-mode") for each in templates if "kubectl.kubernetes.io/restartedAt" in each], ["permissive"] * 2)
        self.assertEqual(len([each for each in templates if "byrnie.io/mtls-mode" not in each]), 2)
        return self.admin.get(f"/api/v1/namespaces/{SAMPLE}")["metadata"]

    def test_from_istio(self):
        with open(PAGE, encoding="utf-8") as text:
            self.write("work/permissive.yaml", re.search(r"```yaml\n(apiVersion: security.istio.io.*?)```", text.read(), re.S)[1])
        self.admin.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/peerauthentications.security.istio.io", PEER_AUTHENTICATIONS)
        wait_for(lambda: self.there("/apis/security.istio.io/v1beta1"), 30, "Istio's definition")
        self.pods_of_another_mesh({"istio-injection": "enabled", "istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "w"}, {},
                                  {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "true", "istio.io/rev": "1-20"})
        metadata = self.moved("From Istio")
        self.assertEqual(metadata["labels"].get("byrnie.io/inject"), "true")
        self.assertEqual([name for name in metadata["labels"] if "istio" in name], [])
        # Nor does a pod ask for Istio's sidecar by itself.
        for pod in self.pods(SAMPLE):
            self.assertEqual([name for name in (*pod["metadata"]["labels"], *pod["metadata"]["annotations"]) if "istio" in name], [])
        look, = [line for line in inline() if "peerauthentications" in line]
        self.assertIn(SAMPLE, self.sh(look))

    def test_from_linkerd(self):
        self.pods_of_another_mesh({}, {"linkerd.io/inject": "enabled"}, {"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-log-level": "info"}, {})
        metadata = self.moved("From Linkerd")
        self.assertEqual((metadata["labels"].get("byrnie.io/inject"), "linkerd.io/inject" in metadata.get("annotations", {})), ("true", False))
        for pod in self.pods(SAMPLE):
            self.assertNotIn("linkerd.io/inject", pod["metadata"]["annotations"])


if __name__ == "__main__":
    sys.exit(main())
