"""A real API server that asks a control plane about new pods, for the tests of the injection webhook."""

import base64
import http.client
import json
import os
import ssl
import unittest
import urllib.error
import urllib.request

import yaml
from cryptography import x509

from .exposition import parse
from .kubernetes import ApiError, Cluster, free_port
from .loopback_control_plane import LoopbackControlPlane
from .mesh import REPOSITORY
from .process import wait_until

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
NAME = "byrnie-injector"
LIFE = 10  # Of the certificate, the shortest there is.
OURS = ["byrnie-agent", "byrnie-proxy"]
REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
    "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "shop",
    "object": {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}}}}


def configuration(port):
    """As the manifests have it, but for where it is: there is no network of services here."""
    with open(os.path.join(REPOSITORY, "deploy/kubernetes/base/injector.yaml"), encoding="utf-8") as text:
        found, = [item for item in yaml.safe_load_all(text) if item["kind"] == "MutatingWebhookConfiguration"]
    for webhook in found["webhooks"]:
        webhook["clientConfig"] = {"url": f"https://localhost:{port}/inject"}
    return found


class WebhookCase(unittest.TestCase):
    """One cluster and one control plane for all tests of a class. The namespace shop is meshed, plain is not."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        cluster.start()
        cluster.namespace("shop", accounts=["web"], labels={"byrnie.io/inject": "true"})
        cluster.namespace("plain", accounts=["web"])
        cls.port = free_port()
        cls.plane = plane = LoopbackControlPlane(
            f"--kubeconfig={cluster.control_plane_kubeconfig()}", f"--webhook_listen=127.0.0.1:{cls.port}",
            "--webhook_names=localhost", f"--webhook_certificate_ttl={LIFE}s", registry="kubernetes")
        # This API server's version knows no native sidecars.
        injector = plane.write_secret("injector.json", json.dumps({"image": "byrnie:test", "defaults": {"sidecars": "classic"}}))
        plane.flags.append(f"--injector_config={injector}")
        cls.addClassCleanup(plane.__exit__)
        cluster.admin.create(CONFIGURATIONS, configuration(cls.port))
        plane.start()
        wait_until(lambda: cls.readiness(plane)[0] == 200, 10, "the caBundle in its place", every=0.1)
        wait_until(cls.asked, 10, "the API server to know whom to ask", every=0.2)

    @staticmethod
    def readiness(plane):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{plane.admin_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @classmethod
    def create(cls, name, namespace="shop", labels=None, annotations=None, dry_run=False, **spec):
        """What the API server answers; `warnings` are what it says beside it."""
        admin = cls.cluster.admin
        pod = admin.create(f"/api/v1/namespaces/{namespace}/pods" + ("?dryRun=All" if dry_run else ""), {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "none", "command": ["app"]}], **spec}})
        cls.warnings = admin.warnings
        return pod

    def pod(self, name, namespace="shop", **more):
        """What the API server has made of it and keeps."""
        pod = self.create(name, namespace, **more)
        self.addCleanup(self.cluster.delete_pod, pod)
        kept = self.cluster.admin.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        self.assertEqual(kept["spec"], pod["spec"])
        return kept

    @classmethod
    def asked(cls):
        """Whether a pod of a meshed namespace is injected now."""
        try:
            return cls.is_injected(cls.create("asked", dry_run=True))
        except ApiError:
            return False

    @staticmethod
    def is_injected(pod):
        return [container["name"] for container in pod["spec"]["containers"]] == OURS + ["app"]

    def outcomes(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/metrics", timeout=5) as answer:
            family = parse(answer.read().decode())["byrnie_controlplane_webhook_requests_total"]
        return {sample.labels["outcome"]: sample.value for sample in family.samples}

    def bundle(self):
        webhook, = self.cluster.admin.get(f"{CONFIGURATIONS}/{NAME}")["webhooks"]
        return base64.b64decode(webhook["clientConfig"].get("caBundle", "")).decode()

    def change(self, member, value):
        self.cluster.admin.call("PATCH", f"{CONFIGURATIONS}/{NAME}", [{"op": "replace", "path": f"/webhooks/0/{member}", "value": value}],
                                "application/json-patch+json")

    def connection(self, ciphers=None, **tls):
        """To the webhook, as the API server would connect: the caBundle vouches for it."""
        context = ssl.create_default_context(cadata=self.bundle())
        if ciphers:
            context.set_ciphers(ciphers)
        for name, value in tls.items():
            setattr(context, name, value)
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=5)

    def certificate(self):
        connection = self.connection()
        connection.connect()
        self.addCleanup(connection.close)
        return x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))

    def assert_as_it_was(self, pod):
        self.assertEqual([container["name"] for container in pod["spec"]["containers"]], ["app"])
        self.assertNotIn("initContainers", pod["spec"])
        self.assertNotIn("byrnie.io/status", pod["metadata"].get("annotations", {}))

    def ask(self, method, path, body, headers):
        connection = self.connection()
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
