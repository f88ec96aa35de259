#!/usr/bin/python3
"""A real API server asks the control plane for sidecars in new pods, as deploy/kubernetes has it ask.

Proved: a pod of a meshed namespace comes up with the sidecar in it, and the API server takes it; one of another namespace or that opts out is as it was; one that cannot be meshed is as it was, and who made it is warned; a wrong annotation is refused with
its words; while the webhook is down nothing is made in a meshed namespace but what opts out, or, with the other failure policy, without a sidecar; its certificate is rotated without a restart, and pods are injected with the next one; the caBundle is put
back when it is changed, and follows the roots; a pod that should be meshed and is not is named by byrniectl check; a control plane whose caBundle is not in place is not ready; what is no review is answered as HTTP has it, and TLS 1.2 is not spoken.
"""

import base64
import concurrent.futures
import datetime
import http.client
import json
import os
import ssl
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml
from cryptography import x509

from testing.case import main
from testing.exposition import parse
from testing.kubernetes import ApiError, Cluster, free_port
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import REPOSITORY
from testing.process import json_lines, wait_until

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


class KubernetesWebhookTest(unittest.TestCase):

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

    def connection(self, **tls):
        """To the webhook, as the API server would connect: the caBundle vouches for it."""
        context = ssl.create_default_context(cadata=self.bundle())
        for name, value in tls.items():
            setattr(context, name, value)
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=5)

    def certificate(self):
        connection = self.connection()
        connection.connect()
        self.addCleanup(connection.close)
        return x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))

    # Which pods.

    def test_a_pod_of_a_meshed_namespace_is_injected(self):
        before = self.outcomes()["injected"]
        pod = self.pod("web", labels={"app": "web"})
        self.assertTrue(self.is_injected(pod), pod["spec"])
        self.assertEqual([container["image"] for container in pod["spec"]["containers"]], ["byrnie:test", "byrnie:test", "none"])
        self.assertEqual(pod["spec"]["initContainers"][-1]["name"], "byrnie-redirect")
        self.assertEqual(pod["metadata"]["labels"], {"app": "web", "byrnie.io/rev": "default"})
        self.assertIn("byrnie.io/status", pod["metadata"]["annotations"])
        self.assertEqual(self.warnings, [])
        self.assertEqual(self.outcomes()["injected"], before + 1)
        said, = [record for record in json_lines(self.plane.log_text()) if record.get("pod") == "web"]
        self.assertEqual((said["message"], said["outcome"], said["namespace"]), ("pod reviewed", "injected", "shop"))

    def test_a_pod_of_another_namespace_is_as_it_was(self):
        before = self.outcomes()
        self.assert_as_it_was(self.pod("web", "plain"))
        self.assertEqual(self.outcomes(), before)

    def test_a_pod_that_opts_out_is_as_it_was(self):
        before = self.outcomes()
        self.assert_as_it_was(self.pod("out-1", labels={"byrnie.io/inject": "false"}))
        self.assertEqual(self.outcomes(), before, "the API server does not ask about labels")
        self.assert_as_it_was(self.pod("out-2", annotations={"byrnie.io/inject": "false"}))
        self.assertEqual(self.outcomes(), {**before, "opted_out": before["opted_out"] + 1})
        self.assertEqual(self.warnings, [])

    def test_what_the_cluster_needs_is_as_it_was_whatever_its_label(self):
        # The second label newer API servers set by themselves.
        self.cluster.namespace("core", accounts=["web"], labels={"byrnie.io/inject": "true", "kubernetes.io/metadata.name": "kube-system"})
        before = self.outcomes()
        self.assert_as_it_was(self.pod("dns", "core"))
        self.assertEqual(self.outcomes(), before)

    def test_a_quota_of_cpu_can_be_met(self):
        self.cluster.namespace("quota", accounts=["web"], labels={"byrnie.io/inject": "true"})
        path, hard = "/api/v1/namespaces/quota/resourcequotas", {"limits.cpu": "10", "limits.memory": "10Gi"}
        self.cluster.admin.create(path, {"metadata": {"name": "all"}, "spec": {"hard": hard}})
        # As its controller would, which may not be there.
        self.cluster.admin.patch(f"{path}/all/status", {"status": {"hard": hard, "used": {"limits.cpu": "0", "limits.memory": "0"}}})
        container = {"name": "app", "image": "none", "command": ["app"], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        with self.assertRaises(ApiError) as refused:
            self.create("without", "quota", containers=[container])
        self.assertIn("quota", refused.exception.body)
        limits = {"byrnie.io/proxy-cpu-limit": "500m", "byrnie.io/agent-cpu-limit": "100m"}

        def made():
            try:
                return self.pod("within", "quota", annotations=limits, containers=[container])
            except ApiError as error:
                if error.status != 403 or "status unknown for quota" not in error.body:
                    raise
                return None
        self.assertTrue(self.is_injected(wait_until(made, 10, "the quota to be known", every=0.2)))

    def test_what_cannot_be_meshed_is_as_it_was_with_a_warning(self):
        self.assert_as_it_was(self.pod("node", hostNetwork=True))
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("byrnie: this pod is not meshed: it has hostNetwork", self.warnings[0])

    def test_a_wrong_annotation_is_refused_in_its_words(self):
        with self.assertRaises(ApiError) as caught:
            self.create("wrong", annotations={"byrnie.io/workers": "many"})
        self.assertIn("byrnie.io/workers=\\\"many\\\"", caught.exception.body)
        self.assertIn("injector.byrnie.io", caught.exception.body)

    def unmeshed(self):
        condition, = [each for each in self.plane.call("GetStatus").conditions if each.name == "unmeshed-pods"]
        return condition.message

    def test_who_should_be_meshed_and_is_not_is_named(self):
        wait_until(lambda: "every pod" in self.unmeshed(), 5, "nobody to be named", every=0.1)
        pod = self.create("bare", hostNetwork=True)
        try:
            wait_until(lambda: "1 pod of meshed namespaces without a sidecar: shop/bare" in self.unmeshed(), 5, "the name of a pod without a sidecar", every=0.1)
            self.pod("out-3", annotations={"byrnie.io/inject": "false"})
            check, = [each for each in json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout) if each["name"] == "unmeshed-pods"]
            self.assertEqual(check["outcome"], "note")
            self.assertIn("shop/bare", check["message"])
        finally:
            self.cluster.delete_pod(pod)
        wait_until(lambda: "every pod" in self.unmeshed(), 5, "the end of it", every=0.1)

    def assert_as_it_was(self, pod):
        self.assertEqual([container["name"] for container in pod["spec"]["containers"]], ["app"])
        self.assertNotIn("initContainers", pod["spec"])
        self.assertNotIn("byrnie.io/status", pod["metadata"].get("annotations", {}))

    # When something is down, or becomes another one.

    def test_nothing_is_made_while_the_webhook_is_down(self):
        self.plane.stop()
        try:
            with self.assertRaises(ApiError) as caught:
                self.create("late-1")
            self.assertIn("failed calling webhook \\\"injector.byrnie.io\\\"", caught.exception.body)
            self.assert_as_it_was(self.pod("late-2", labels={"byrnie.io/inject": "false"}))
            self.assert_as_it_was(self.pod("late-3", "plain"))
            self.change("failurePolicy", "Ignore")
            pod = wait_until(lambda: self.try_to_create("late-4"), 10, "the other failure policy", every=0.2)
            self.addCleanup(self.cluster.delete_pod, pod)
            self.assert_as_it_was(pod)
        finally:
            self.change("failurePolicy", "Fail")
            self.plane.start()
        wait_until(self.asked, 10, "the webhook to be back", every=0.2)

    def try_to_create(self, name):
        try:
            return self.create(name)
        except ApiError as error:
            self.assertIn("failed calling webhook", error.body)
            return None

    def test_the_certificate_is_rotated_without_a_restart(self):
        first = self.certificate()
        self.assertEqual(first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName), ["localhost"])
        self.assertTrue(self.is_injected(self.pod("rotated-1")))
        process = self.plane.process.pid
        second = wait_until(lambda: (found := self.certificate()).serial_number != first.serial_number and found, LIFE, "the next certificate", every=0.5)
        self.assertGreater(second.not_valid_after, first.not_valid_after)
        # More at once than the API server has connections of before, also when the first has expired.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual([self.is_injected(pod) for pod in pool.map(lambda n: self.create(f"at-once-{n}", dry_run=True), range(16))], [True] * 16)
        wait_until(lambda: datetime.datetime.utcnow() > first.not_valid_after, LIFE + 1, "the end of the first certificate", every=0.2)
        self.assertTrue(self.is_injected(self.pod("rotated-2")))
        self.assertEqual(self.plane.process.pid, process)
        self.assertIn("own certificate renewed", self.plane.log_text())

    def test_the_ca_bundle_is_kept_current(self):
        roots = self.plane.read("bundle.pem").decode()
        self.assertEqual(self.bundle(), roots)
        self.change("clientConfig/caBundle", base64.b64encode(self.cluster.authority.pem()).decode())
        wait_until(lambda: self.bundle() == roots, 10, "the caBundle to be put back", every=0.1)
        wait_until(self.asked, 10, "the API server to trust the webhook again", every=0.2)
        self.plane.call("RotateTrust")
        wait_until(lambda: self.bundle().count("BEGIN CERTIFICATE") == 2, 10, "both roots of a rotation", every=0.1)
        self.assertIn(roots, self.bundle())
        wait_until(self.asked, 10, "pods to be injected during a rotation", every=0.2)

    def test_without_its_ca_bundle_in_place_it_is_not_ready(self):
        # Another one than its account may look at.
        other = LoopbackControlPlane(f"--kubeconfig={self.cluster.control_plane_kubeconfig()}", "--webhook_listen=127.0.0.1:0",
                                     "--webhook_configuration=other")
        with other:
            status, text = self.readiness(other)
            self.assertEqual(status, 503)
            self.assertIn("\"other\" is not in place yet", text)
            # Agents are served all the same.
            self.assertIn("BEGIN CERTIFICATE", other.issue("spiffe://cluster.local/ns/a/sa/b").chain.decode())

    # Whoever else comes.

    def ask(self, method, path, body, headers):
        connection = self.connection()
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def test_what_is_no_review_is_answered_as_http_has_it(self):
        kind = {"Content-Type": "application/json"}
        status, text = self.ask("POST", "/inject?timeout=10s", json.dumps(REVIEW), kind)
        self.assertEqual((status, json.loads(text)["response"]["uid"]), (200, "u-1"))
        for method, path, body, headers, expected in (
                ("GET", "/inject", None, {}, 405), ("POST", "/", "{}", kind, 404), ("POST", "/inject", json.dumps(REVIEW), {}, 415),
                ("POST", "/inject", "{}", kind, 400), ("POST", "/inject", "no", kind, 400),
                ("POST", "/inject", None, {**kind, "Content-Length": str(8 * 1024 * 1024 + 1)}, 413)):
            with self.subTest(method=method, path=path, expected=expected):
                self.assertEqual(self.ask(method, path, body, headers)[0], expected)
        self.assertTrue(self.asked())

    def test_older_tls_is_not_spoken(self):
        connection = self.connection(maximum_version=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises(ssl.SSLError):
            connection.connect()


if __name__ == "__main__":
    sys.exit(main())
