#!/usr/bin/python3
"""Others change pods beside the injection webhook: a real API server's admission plugins, and webhooks of other people, after which it is asked again.

Proved: a meshed pod is made where a LimitRange or a quota wants limits of CPU, with the namespace's defaults and without an annotation; where every image is to be pulled; with its images from where another webhook says. What another webhook makes impossible,
as a sidecar of another mesh, has our sidecar taken out again, and whoever made the pod is told so. A webhook that gives every container of a pod the token of a cloud's identity gives our containers none, where it heeds the annotation for that; of one that
does not our containers keep no token, and the redirect keeps nothing.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.foreign_webhook import ForeignWebhook
from testing.kubernetes import ApiError
from testing.process import wait_until
from testing.webhook_case import WebhookCase


SKIP = "eks.amazonaws.com/skip-containers"
ROLE = {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::111122223333:role/app"}
TOKEN = {"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount", "readOnly": True}
OF_THE_APPLICATION = ("app", "prepare")


def all_containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


class KubernetesWebhookOthersTest(WebhookCase):

    def meshed(self, name, **labels):
        self.cluster.namespace(name, accounts=["web"], labels={"byrnie.io/inject": "true", **labels})
        return name

    def limit_range(self, namespace, **limits):
        self.cluster.admin.create(f"/api/v1/namespaces/{namespace}/limitranges", {
            "metadata": {"name": "limits"}, "spec": {"limits": [{"type": "Container", **limits}]}})

    def assert_limited(self, namespace, cpu):
        def made():
            try:
                pod = self.create("limited", namespace, dry_run=True)
            except ApiError as error:
                # Plugins learn of it in their time, and until then say so.
                self.assertIn("status unknown for quota", error.body)
                return None
            return pod if "limits" in pod["spec"]["containers"][-1].get("resources", {}) else None
        pod = wait_until(made, 10, "the LimitRange to be known", every=0.2)
        self.assertTrue(self.is_injected(pod))
        for container in all_containers(pod):
            self.assertEqual(container["resources"]["limits"]["cpu"], cpu, container["name"])
        self.pod("kept", namespace)

    def test_the_most_that_a_limit_range_lets_is_each_containers_limit(self):
        self.limit_range(self.meshed("most"), max={"cpu": "2"})
        self.assert_limited("most", "2")

    def test_a_quota_is_met_by_the_defaults_of_a_limit_range(self):
        namespace, hard = self.meshed("defaults"), {"limits.cpu": "10"}
        self.limit_range(namespace, default={"cpu": "500m"}, defaultRequest={"cpu": "50m"})
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        self.cluster.admin.create(path, {"metadata": {"name": "all"}, "spec": {"hard": hard}})
        # As its controller would, which may not be there.
        self.cluster.admin.patch(f"{path}/all/status", {"status": {"hard": hard, "used": {"limits.cpu": "0"}}})
        self.assert_limited(namespace, "500m")

    def test_every_image_is_pulled_where_the_cluster_says_so(self):
        self.cluster.stop_api_server()
        try:
            self.cluster.start_api_server("--enable-admission-plugins=AlwaysPullImages")
            wait_until(self.asked, 30, "pods to be injected again", every=0.2)
            pod = self.pod("pulled")
            self.assertTrue(self.is_injected(pod))
            self.assertEqual({container["imagePullPolicy"] for container in all_containers(pod)}, {"Always"})
        finally:
            self.cluster.stop_api_server()
            self.cluster.start_api_server()
        wait_until(self.asked, 30, "pods to be injected again", every=0.2)

    def beside(self, name, change, **more):
        """A namespace that is meshed, and whose pods another webhook changes."""
        webhook = ForeignWebhook(self.cluster, name, change, **more)
        self.addCleanup(webhook.close)
        self.meshed(f"beside-{name}", foreign=name)
        wait_until(lambda: self.create("asked", f"beside-{name}", dry_run=True) and webhook.calls, 10, f"{name} to be asked", every=0.2)
        return f"beside-{name}"

    def test_images_stay_where_another_webhook_has_them_pulled_from(self):
        def change(pod):
            return [{"op": "replace", "path": f"/spec/{name}/{i}/image", "value": "mirror.example/" + container["image"]}
                    for name in ("initContainers", "containers") for i, container in enumerate(pod["spec"].get(name, []))
                    if not container["image"].startswith("mirror.example/")]
        pod = self.pod("mirrored", self.beside("zz-mirror", change))
        self.assertTrue(self.is_injected(pod))
        self.assertEqual({container["image"] for container in all_containers(pod)}, {"mirror.example/byrnie:test", "mirror.example/none"})

    @staticmethod
    def give_identity(pod, heeds_annotation):
        """What the webhook of EKS does to a pod whose service account has a role."""
        skipped = pod["metadata"].get("annotations", {}).get(SKIP, "").split(",") if heeds_annotation else []
        patch = []
        for name in ("initContainers", "containers"):
            for i, container in enumerate(pod["spec"].get(name, [])):
                if container["name"] in skipped:
                    continue
                for member, item in (("env", ROLE), ("volumeMounts", TOKEN)):
                    items = container.get(member, [])
                    if item["name"] not in [there["name"] for there in items]:
                        patch.append({"op": "add", "path": f"/spec/{name}/{i}/{member}", "value": items + [item]})
        volumes = pod["spec"].get("volumes", [])
        if TOKEN["name"] not in [volume["name"] for volume in volumes]:
            source = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}
            patch.append({"op": "add", "path": "/spec/volumes", "value": volumes + [{"name": TOKEN["name"], "projected": {"sources": [source]}}]})
        return patch

    def with_identity(self, name, heeds_annotation, **more):
        namespace = self.beside(name, lambda pod: self.give_identity(pod, heeds_annotation), **more)
        pod = self.pod("cloud", namespace, initContainers=[{"name": "prepare", "image": "none"}], annotations={SKIP: "other"})
        self.assertTrue(self.is_injected(pod))
        self.assertEqual(pod["metadata"]["annotations"][SKIP].split(","), ["other", "byrnie-agent", "byrnie-proxy", "byrnie-redirect"])
        having = {member: sorted(container["name"] for container in all_containers(pod)
                                 if item["name"] in [there["name"] for there in container.get(member, [])])
                  for member, item in (("env", ROLE), ("volumeMounts", TOKEN))}
        self.assertEqual(having["volumeMounts"], sorted(OF_THE_APPLICATION))
        return having["env"], [warning for warning in self.warnings if "does not keep" in warning]

    def test_a_webhook_for_identities_of_a_cloud_leaves_our_containers_alone(self):
        variables, warnings = self.with_identity("zz-identity", heeds_annotation=True)
        self.assertEqual(variables, sorted(OF_THE_APPLICATION))
        self.assertEqual(warnings, [])

    def test_of_one_that_does_not_our_containers_keep_no_token(self):
        variables, warnings = self.with_identity("zz-old-identity", heeds_annotation=False, reinvocation="Never")
        self.assertEqual(variables, sorted(("byrnie-agent", "byrnie-proxy") + OF_THE_APPLICATION))
        self.assertEqual(len(warnings), 3, warnings)
        self.assertIn("container byrnie-redirect does not keep what others have added to it (env AWS_ROLE_ARN, volumeMounts aws-iam-token): have the webhook", " ".join(warnings))

    def test_a_pod_that_another_mesh_takes_loses_our_sidecar(self):
        def change(pod):
            if any(container["name"] == "istio-proxy" for container in pod["spec"]["containers"]):
                return []
            return [{"op": "add", "path": "/spec/containers/-", "value": {"name": "istio-proxy", "image": "proxy", "securityContext": {"runAsUser": 1337}}}]
        pod = self.pod("two", self.beside("istio-sidecar-injector", change))
        self.assertEqual([container["name"] for container in all_containers(pod)], ["app", "istio-proxy"])
        self.assert_taken_out(pod, "it has a sidecar of Istio")

    def test_a_pod_whose_port_is_taken_later_loses_our_sidecar(self):
        def change(pod):
            if any(container["name"] == "vault-agent" for container in pod["spec"]["containers"]):
                return []
            return [{"op": "add", "path": "/spec/containers/-", "value": {"name": "vault-agent", "image": "agent", "ports": [{"containerPort": 15020}]}}]
        pod = self.pod("later", self.beside("zz-agent", change))
        self.assertEqual([container["name"] for container in all_containers(pod)], ["app", "vault-agent"])
        self.assert_taken_out(pod, "container vault-agent has port 15020")

    def assert_taken_out(self, pod, why):
        self.assertNotIn("byrnie.io/status", pod["metadata"].get("annotations", {}))
        self.assertNotIn("byrnie.io/rev", pod["metadata"].get("labels", {}))
        self.assertEqual([volume["name"] for volume in pod["spec"].get("volumes", []) if volume["name"].startswith("byrnie")], [])
        self.assertEqual(len(self.warnings), 1, self.warnings)
        self.assertIn(f"byrnie: this pod is not meshed, and its sidecar is taken out: {why}", self.warnings[0])


if __name__ == "__main__":
    sys.exit(main())
