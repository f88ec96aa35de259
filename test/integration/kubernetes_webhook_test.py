#!/usr/bin/python3
"""A real API server asks the control plane for sidecars in new pods, as deploy/kubernetes has it ask.

Proved: a pod of a meshed namespace comes up with the sidecar in it, and the API server takes it; one of another namespace or that opts out is as it was; one that cannot be meshed is as it was, and who made it is warned; a wrong annotation is refused with
its words; while the webhook is down nothing is made in a meshed namespace but what opts out, or, with the other failure policy, without a sidecar; its certificate is rotated without a restart, and pods are injected with the next one; the caBundle is put
back when it is changed, and follows the roots; a pod that should be meshed and is not is named by byrniectl check; a control plane whose caBundle is not in place is not ready; what is no review is answered as HTTP has it, and no TLS before 1.2 is spoken, and 1.2 with ECDHE and an AEAD alone.
"""

import base64
import concurrent.futures
import datetime
import json
import os
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cryptography import x509

from testing.case import main
from testing.kubernetes import ApiError
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import json_lines, wait_until
from testing.webhook_case import LIFE, REVIEW, WebhookCase

class KubernetesWebhookTest(WebhookCase):

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
        container = {"name": "app", "image": "none", "command": ["app"], "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}}
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
        # Where the application's containers are Guaranteed, so are all.
        fixed = self.pod("guaranteed", "quota", containers=[{**container, "resources": {"limits": container["resources"]["limits"]}}])
        self.assertTrue(self.is_injected(fixed))
        self.assertEqual(fixed["status"]["qosClass"], "Guaranteed")

    def test_what_cannot_be_meshed_is_as_it_was_with_a_warning(self):
        pod = self.pod("node", hostNetwork=True)
        self.assert_as_it_was(pod)
        self.assertIn("it has hostNetwork", pod["metadata"]["annotations"]["byrnie.io/not-injected"])
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("byrnie: this pod is not meshed: it has hostNetwork", self.warnings[0])

    def test_a_wrong_annotation_is_refused_in_its_words(self):
        with self.assertRaises(ApiError) as caught:
            self.create("wrong", annotations={"byrnie.io/workers": "many"})
        self.assertIn("byrnie.io/workers=\\\"many\\\"", caught.exception.body)
        self.assertIn("injector.byrnie.io", caught.exception.body)

    def unmeshed(self, name="unmeshed-pods"):
        condition, = [each for each in self.plane.call("GetStatus").conditions if each.name == name]
        return condition.message

    def test_who_should_be_meshed_and_is_not_is_named(self):
        wait_until(lambda: "every pod" in self.unmeshed(), 5, "nobody to be named", every=0.1)
        pod = self.create("bare", hostNetwork=True)
        try:
            wait_until(lambda: "1 pod of meshed namespaces without a sidecar that has their connections: shop/bare (it has hostNetwork" in self.unmeshed(), 5, "the name of a pod without a sidecar", every=0.1)
            self.pod("out-3", annotations={"byrnie.io/inject": "false"})
            # Whoever makes a pod can say that it is another mesh's, which nobody has installed.
            theirs = self.create("theirs", annotations={"ambient.istio.io/redirection": "enabled"})
            self.addCleanup(self.cluster.delete_pod, theirs)
            check, = [each for each in json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout) if each["name"] == "unmeshed-pods"]
            self.assertEqual(check["outcome"], "note")
            self.assertIn("shop/bare", check["message"])
            wait_until(lambda: "byrnie.io/inject=false unless it says otherwise: shop/out-3" in self.unmeshed("opted-out-pods"), 5, "the name of a pod that is opted out", every=0.1)
            wait_until(lambda: "shop/theirs (is in Istio's ambient mesh, by its own annotation)" in self.unmeshed("opted-out-pods"), 5, "the name of one that says it is Istio's", every=0.1)
        finally:
            self.cluster.delete_pod(pod)
        wait_until(lambda: "every pod" in self.unmeshed(), 5, "the end of it", every=0.1)

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

    def test_what_is_no_review_is_answered_as_http_has_it(self):
        kind = {"Content-Type": "application/json"}
        status, text = self.ask("POST", "/inject?timeout=10s", json.dumps(REVIEW), kind)
        self.assertEqual((status, json.loads(text)["response"]["uid"]), (200, "u-1"))
        for method, path, body, headers, expected in (
                ("GET", "/inject", None, {}, 405), ("POST", "/", "{}", kind, 404), ("POST", "/inject", json.dumps(REVIEW), {}, 415),
                ("POST", "/inject", "{}", kind, 400), ("POST", "/inject", "no", kind, 400),
                ("POST", "/inject", None, {**kind, "Content-Length": str(3 * 1024 * 1024 + 1)}, 413)):
            with self.subTest(method=method, path=path, expected=expected):
                self.assertEqual(self.ask(method, path, body, headers)[0], expected)
        self.assertTrue(self.asked())

    def test_tls_1_2_is_spoken_with_ecdhe_and_an_aead_alone(self):
        for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"):
            connection = self.connection(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
            self.addCleanup(connection.close)
            connection.connect()
            self.assertEqual((connection.sock.version(), connection.sock.cipher()[0]), ("TLSv1.2", ciphers))
        self.assert_no_handshake(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256")

    def test_older_tls_is_not_spoken(self):
        # At the level that lets the client itself offer it.
        self.assert_no_handshake(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0")

    def assert_no_handshake(self, **tls):
        with self.assertRaisesRegex(ssl.SSLError, "alert"):
            self.connection(**tls).connect()


if __name__ == "__main__":
    sys.exit(main())
