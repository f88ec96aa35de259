#!/usr/bin/python3
"""A control plane has the rights of deploy/kubernetes and uses each of them, and no other.

Proved: over all that a control plane does at a real API server (registry, policies and their status, trust bundle, webhook's caBundle, attestation and the keys for when the server is away), the server's audit log has each verb, resource and name that
the manifests grant, and nothing else; nothing of it was refused. Beyond that: what is near and not granted is refused.
"""

import os
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes import API_AUDIENCE, ApiError, Client, Cluster, free_port, manifests
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import wait_until

ACCOUNT = f"system:serviceaccount:{Cluster.SYSTEM}:{Cluster.ACCOUNT}"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
PATIENCE = 20


def granted():
    """(group, resource, name, verb) of all rules, and ("", path, "", verb); the name is empty where any will do."""
    rights = set()
    role, = [item for item in manifests("access.yaml") if item["kind"] == "ClusterRole"]
    for rule in role["rules"]:
        for verb in rule["verbs"]:
            rights |= {("", path, "", verb) for path in rule.get("nonResourceURLs", [])}
            rights |= {(group, resource, name, verb) for group in rule.get("apiGroups", []) for resource in rule.get("resources", [])
                       for name in rule.get("resourceNames", [""])}
    return rights


class KubernetesRightsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster(audited=ACCOUNT)
        cls.addClassCleanup(cluster.close)
        cluster.start()
        cluster.namespace("shop", accounts=["cart"], labels={"byrnie.io/inject": "true"})
        configuration, = [item for item in manifests("injector.yaml") if item["kind"] == "MutatingWebhookConfiguration"]
        # It is not asked: there is no network of services here, and the pod below is not injected.
        for webhook in configuration["webhooks"]:
            webhook["failurePolicy"] = "Ignore"
            webhook["timeoutSeconds"] = 1
        cluster.admin.create(CONFIGURATIONS, configuration)
        cls.plane = LoopbackControlPlane(
            f"--kubeconfig={cluster.control_plane_kubeconfig()}", "--attest=kubernetes", f"--webhook_listen=127.0.0.1:{free_port()}",
            registry="kubernetes")
        cls.addClassCleanup(cls.plane.__exit__)
        cls.plane.start()

    def used(self):
        """What the audit log has of the account, in the terms of granted()."""
        named = {(group, resource): name for group, resource, name, _ in granted() if name}
        rights = set()
        for event in self.cluster.audit():
            self.assertEqual(event["user"]["username"], ACCOUNT)
            code = event.get("responseStatus", {}).get("code")
            self.assertNotIn(code, (401, 403), event)
            reference = event.get("objectRef")
            if reference is None:
                rights.add(("", urllib.parse.urlsplit(event["requestURI"]).path, "", event["verb"]))
                continue
            resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
            group = reference.get("apiGroup", "")
            name = reference.get("name", "") if (group, resource) in named else ""
            rights.add((group, resource, name, event["verb"]))
            # What is applied and was not there is made, for which the server looks at the right to make it, too.
            if event["verb"] == "patch" and code == 201:
                rights.add((group, resource, name, "create"))
        return rights

    def bundle(self):
        try:
            return self.cluster.admin.get("/api/v1/namespaces/shop/configmaps/byrnie-trust-bundle")["data"]["bundle.pem"]
        except ApiError as error:
            if error.status != 404:
                raise
            return ""

    def wait(self, condition, what):
        wait_until(condition, PATIENCE, what, every=0.2)

    def test_what_is_granted_is_what_is_used(self):
        admin = self.cluster.admin
        policy = admin.create(f"{Cluster.POLICIES}/namespaces/shop/accesspolicies", {
            "apiVersion": "byrnie.io/v1", "kind": "AccessPolicy", "metadata": {"name": "a"}, "spec": {"scope": "NAMESPACE", "action": "ALLOW"}})
        path = f"{Cluster.POLICIES}/namespaces/shop/accesspolicies/{policy['metadata']['name']}"
        self.wait(lambda: "conditions" in admin.get(path).get("status", {}), "the policy's status")
        self.wait(lambda: all("caBundle" in webhook["clientConfig"] for webhook in admin.get(f"{CONFIGURATIONS}/byrnie-injector")["webhooks"]),
                  "the caBundle")
        pod = self.cluster.pod("shop", "cart-1", "cart", ip="10.1.0.1")
        self.plane.issue_for(self.cluster.token(pod, "byrnie"))
        self.plane.call("RotateTrust")
        self.wait(lambda: self.bundle().count("BEGIN") == 2, "both roots of a rotation")
        self.cluster.delete_pod(pod)
        admin.delete(path)
        # A watch is in the log when it has ended, or has told something.
        self.plane.stop()
        try:
            self.wait(lambda: self.used() == granted(), "all that is granted to be used")
        except AssertionError:
            pass
        used, rights = self.used(), granted()
        self.assertEqual((sorted(rights - used), sorted(used - rights)), ([], []), "granted and not used, used and not granted")

    def test_what_is_near_is_refused(self):
        client = Client(self.cluster, token=self.cluster.unbound_token(Cluster.SYSTEM, Cluster.ACCOUNT, API_AUDIENCE))
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {}}
        policies = f"{Cluster.POLICIES}/namespaces/shop/accesspolicies"
        # They are in the audit log, and so for another test's eyes: this one is the last by its name.
        for ask in (lambda: client.get("/api/v1/secrets"), lambda: client.get("/api/v1/configmaps"),
                    lambda: client.create("/api/v1/namespaces/shop/configmaps", config_map),
                    lambda: client.apply("/api/v1/namespaces/shop/configmaps/other", config_map),
                    lambda: client.get("/api/v1/namespaces/shop/pods/cart-1"), lambda: client.delete("/api/v1/namespaces/shop/pods/cart-1"),
                    lambda: client.patch(f"{policies}/a", {"spec": {"action": "ALLOW"}}), lambda: client.delete(f"{policies}/a"),
                    lambda: client.get(CONFIGURATIONS), lambda: client.patch(f"{CONFIGURATIONS}/other", {}),
                    lambda: client.create(f"/api/v1/namespaces/shop/serviceaccounts/cart/token", {})):
            with self.assertRaises(ApiError) as caught:
                ask()
            self.assertEqual(caught.exception.status, 403)


if __name__ == "__main__":
    sys.exit(main())
