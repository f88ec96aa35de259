#!/usr/bin/python3
"""byrniectl puts Byrnie into a cluster, and takes it out again: against a real API server, whose pods run as far as they have to.

Proved: check --pre finds nothing in the way, and what is, and what the API server is a client of; a dry run changes nothing and says what would; install makes everything and waits until the control plane is ready and the webhook in place, which then injects the pods of a
Deployment that the real controllers make; a second install changes nothing, one with other settings only what they are about, and the sidecars' image when the control plane runs; what somebody else has set is not overwritten unless that is wanted, and nothing is changed then; the rights that install grants are enough, and check --pre
names those that its caller lacks; install and uninstall need no more than check --pre asks for; uninstall is refused while pods have a sidecar, takes the webhook first and leaves nothing that keeps pods from being made, keeps the CA, with which a second
installation goes on, or takes all of it; kubeconfigs with tokens, client certificates and exec plugins are taken.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from testing.case import main
from testing.cluster_case import KEY, SELECTOR, SET, SYSTEM, WEBHOOKS, ClusterTestCase
from testing.kubernetes import API_AUDIENCE
from testing.kubernetes_node import wait_for
from testing.mesh import REPOSITORY, binary_path


class InstallTest(ClusterTestCase):

    def setUp(self):
        # Whatever image another test has left there.
        self.ctl("install", "--image=byrnie:0.1.0", "--wait", "--timeout=60s")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.see_the_first_time()

    @classmethod
    def see_the_first_time(cls):
        """What is said before and while it is installed for the first time."""
        return {"check": cls.ctl("check", "--pre", "-o", "json").stdout, "dry": cls.ctl("install", "--dry_run", expect=5),
                "after dry": cls.admin.get(f"{WEBHOOKS}?{SELECTOR}")["items"], "install": cls.ctl("install", "--wait", "--timeout=60s")}

    def test_an_image_that_cannot_be_pulled_is_left_by_the_next_installation(self):
        self.node.unpullable.add("registry.example/byrnie:nowhere")
        held = self.ctl("install", "--image=registry.example/byrnie:nowhere", "--wait", "--timeout=10s", expect=7)
        # Nor do other pods get sidecars of it meanwhile.
        self.assertIn("the injector's configuration is as it was", held.stderr)
        self.assertEqual(self.images(), ("registry.example/byrnie:nowhere", "byrnie:0.1.0"))
        # Nobody deletes its pod.
        self.ctl("install", "--image=byrnie:0.1.0", "--wait", "--timeout=60s")
        self.assertEqual(self.images(), ("byrnie:0.1.0", "byrnie:0.1.0"))

    def images(self):
        """Of the control plane and of new pods' sidecars."""
        config = json.loads(self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"])
        return self.admin.get(SET)["spec"]["template"]["spec"]["containers"][0]["image"], config["image"]

    def test_the_first_installation(self):
        checks = {each["name"]: each["outcome"] for each in json.loads(self.first["check"])}
        # This cluster is older than 1.25, and has no storage.
        self.assertEqual({name for name, outcome in checks.items() if outcome != "good"}, {"server-version", "storage"})
        self.assertNotIn("bad", checks.values())
        self.assertIn("would be created  StatefulSet byrnie-system/byrnie-controlplane", self.first["dry"].stdout)
        self.assertEqual(self.first["after dry"], [])
        done = self.first["install"]
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "created    Namespace byrnie-system")
        self.assertEqual(lines[-1], "created    MutatingWebhookConfiguration byrnie-injector")
        self.assertIn("keep a copy of the Secret byrnie-system/byrnie-store-key", done.stderr)
        self.assertIn("the control plane is ready", done.stderr)
        key = base64.b64decode(self.admin.get(KEY)["data"]["key"]).decode()
        self.assertNotIn(key, done.stdout + done.stderr + self.node.log())

    def test_pods_that_controllers_make_are_injected(self):
        self.meshed_namespace("shop")
        self.deploy("shop", "web")
        pods = wait_for(lambda: len(found := self.pods("shop")) == 2 and found, 30, "pods of the Deployment")
        for pod in pods:
            # Classic: install has seen what this cluster is.
            self.assertEqual([each["name"] for each in pod["spec"]["containers"]], ["byrnie-agent", "byrnie-proxy", "app"])
            self.assertEqual(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet")
            self.assertIn("byrnie.io/status", pod["metadata"]["annotations"])
        wait_for(lambda: self.admin.get("/apis/apps/v1/namespaces/shop/deployments/web")["status"].get("readyReplicas") == 2, 30, "ready pods")
        # And what they find their control plane by.
        self.assertIn("BEGIN CERTIFICATE", wait_for(lambda: self.there("/api/v1/namespaces/shop/configmaps/byrnie-trust-bundle"), 10, "the trust bundle")["data"]["bundle.pem"])
        # While they are there Byrnie stays.
        refused = self.ctl("uninstall", expect=1)
        self.assertIn("2 pods have Byrnie's sidecar: shop/web-", refused.stderr)
        self.assertTrue(self.there(SET))

    def meshed_namespace(self, name):
        """One that is gone when the test is over, with what is in it."""
        self.cluster.namespace(name, labels={"byrnie.io/inject": "true"})
        self.addCleanup(self.wait_gone, f"/api/v1/namespaces/{name}")
        self.addCleanup(self.admin.delete, f"/api/v1/namespaces/{name}")

    def test_who_has_kubernetes_own_roles_has_them_for_policies(self):
        rbac = "/apis/rbac.authorization.k8s.io/v1/clusterroles"

        def verbs(role):
            return {verb for rule in self.admin.get(f"{rbac}/{role}")["rules"] or [] if "accesspolicies" in rule.get("resources", []) for verb in rule["verbs"]}
        look, change = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
        for role, expected in (("view", look), ("edit", look | change), ("admin", look | change)):
            wait_for(lambda role=role, expected=expected: verbs(role) == expected, 30, f"the rights of {role}")

    def test_again_changes_nothing(self):
        before = {path: self.admin.get(path)["metadata"]["resourceVersion"] for path in (KEY, f"{WEBHOOKS}/byrnie-injector", f"/api/v1/namespaces/{SYSTEM}")}
        self.assertEqual(set(self.steps("install").values()), {"unchanged"})
        self.assertEqual(self.steps("install", "--dry_run").keys(), self.steps("install").keys())
        for path, version in before.items():
            self.assertEqual(self.admin.get(path)["metadata"]["resourceVersion"], version, path)
        self.assertEqual({name: each["outcome"] for name, each in self.checks().items()}["installation"], "good")

    def test_check_tries_a_pod_that_is_not_made(self):
        self.meshed_namespace("tried")
        wait_for(lambda: self.there("/api/v1/namespaces/tried/serviceaccounts/default"), 30, "an account")
        check = self.checks()["webhook"]
        self.assertEqual(check["outcome"], "good", check)
        self.assertIn("a new pod of tried would have its sidecar", check["message"])
        self.assertEqual(self.pods("tried"), [])
        # Nobody answers any more.
        self.admin.patch(SET, {"spec": {"replicas": 0}})
        try:
            wait_for(lambda: not self.admin.get(SET)["status"].get("readyReplicas"), 60, "the end of the control plane")
            check = self.checks(expect=1)["webhook"]
            self.assertEqual(check["outcome"], "bad", check)
            self.assertIn("failed calling webhook", check["message"])
            self.assertIn("15017", check["remedy"])
        finally:
            self.admin.patch(SET, {"spec": {"replicas": 1}})

    def test_check_names_services_that_the_api_server_calls(self):
        self.meshed_namespace("served")
        service = {"name": "hook", "namespace": "served"}
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        self.admin.create(path, {"metadata": {"name": "theirs"}, "webhooks": [{
            "name": "theirs.example.org", "clientConfig": {"service": service}, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "rules": [{"apiGroups": ["example.org"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}]}]})
        self.addCleanup(self.admin.delete, f"{path}/theirs")
        apis = "/apis/apiregistration.k8s.io/v1/apiservices"
        self.admin.create(apis, {"metadata": {"name": "v1.things.example.org"}, "spec": {
            "group": "things.example.org", "version": "v1", "service": service, "groupPriorityMinimum": 100, "versionPriority": 100}})
        # Until then nothing is known to be gone of any namespace.
        self.addCleanup(self.admin.delete, f"{apis}/v1.things.example.org")
        check = self.checks()["api-server-calls"]
        self.assertEqual(check["outcome"], "note", check)
        self.assertIn("served/hook (ValidatingWebhookConfiguration theirs)", check["message"])
        self.assertIn("served/hook (APIService v1.things.example.org)", check["message"])
        nobody = self.user("nobody", self.LOOK)
        check = self.checks(expect=1, kubeconfig=nobody)["api-server-calls"]
        self.assertEqual(check["outcome"], "note", check)
        self.assertIn("could not be looked at: MutatingWebhookConfiguration: the API server answered 403", check["message"])

    def test_other_settings_change_what_they_are_about(self):
        dry = self.ctl("install", "--image=registry.example/byrnie:2", "--dry_run", expect=5)
        self.assertIn('spec/template/spec/containers/0/image: "byrnie:0.1.0" -> "registry.example/byrnie:2"', dry.stdout)
        self.assertEqual(self.admin.get(SET)["spec"]["template"]["spec"]["containers"][0]["image"], "byrnie:0.1.0")
        changed = {name for name, outcome in self.steps("install", "--image=registry.example/byrnie:2", "--wait").items() if outcome != "unchanged"}
        self.assertEqual(changed, {"StatefulSet byrnie-controlplane", "ConfigMap byrnie-injector"})
        self.assertEqual(self.admin.get(SET)["status"]["updatedReplicas"], 1)
        config = json.loads(self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"])
        self.assertEqual(config, {"image": "registry.example/byrnie:2", "defaults": {"sidecars": "classic"}})

    def previous_image(self):
        return self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"].get("previous-image")

    def test_the_image_before_is_named_until_new_pods_get_the_other(self):
        self.ctl("install", "--image=registry.example/byrnie:2", "--wait", "--timeout=60s")
        self.assertIsNone(self.previous_image())
        # Nobody waits, and nobody knows.
        self.ctl("install", "--image=registry.example/byrnie:3")
        self.assertEqual(self.previous_image(), "registry.example/byrnie:2")
        # Nor by the next one that does not wait, which may follow at once.
        again = self.ctl("install")
        self.assertIn("previous-image", again.stderr)
        self.assertEqual(self.previous_image(), "registry.example/byrnie:2")
        self.assertNotIn("previous-image", self.ctl("install", "--wait", "--timeout=60s").stderr)
        self.assertIsNone(self.previous_image())
        self.ctl("install", "--dry_run")
        # Also what kubectl has written, and byrniectl has applied since.
        self.admin.patch(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector", {"data": {"previous-image": "registry.example/byrnie:2"}})
        self.assertIn("kubectl -n byrnie-system patch configmap byrnie-injector", self.ctl("install").stderr)
        self.assertEqual(self.previous_image(), "registry.example/byrnie:2")
        self.assertNotIn("previous-image", self.ctl("install", "--wait", "--timeout=60s").stderr)
        self.assertIsNone(self.previous_image())
        self.ctl("install", "--dry_run")

    def arguments(self):
        return self.admin.get(SET)["spec"]["template"]["spec"]["containers"][0]["args"]

    def purge(self):
        self.ctl("uninstall", "--purge", "--force")
        self.wait_gone(f"/api/v1/namespaces/{SYSTEM}")

    def test_what_is_installed_keeps_its_settings(self):
        self.purge()
        self.addCleanup(self.purge)
        path = self.cluster.path("injector.json")
        with open(path, "w", encoding="ascii") as out:
            json.dump({"deny_refused": True, "defaults": {"mtls-mode": "permissive"}}, out)
        self.ctl("install", "--trust_domain=corp.example", "--image=registry.example/byrnie:1", f"--injector_config={path}", "--wait", "--timeout=60s")
        key = self.admin.get(KEY)["data"]
        # Nothing but what a flag is about.
        check = self.checks("--image=registry.example/byrnie:2")["settings"]
        self.assertEqual(check["outcome"], "note")
        self.assertIn("change: image registry.example/byrnie:1 -> registry.example/byrnie:2; and keep: trust domain corp.example", check["message"])
        changed = {name for name, outcome in self.steps("install", "--image=registry.example/byrnie:2", "--wait").items() if outcome != "unchanged"}
        self.assertEqual(changed, {"StatefulSet byrnie-controlplane", "ConfigMap byrnie-injector"})
        config = json.loads(self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"])
        self.assertEqual(config, {"image": "registry.example/byrnie:2", "trust_domain": "corp.example", "deny_refused": True, "defaults": {"mtls-mode": "permissive", "sidecars": "classic"}})
        self.assertIn("--trust_domain=corp.example", self.arguments())
        again = self.ctl("install", "--dry_run")
        self.assertIn("trust domain corp.example, overlay sqlite, image registry.example/byrnie:2", again.stderr)
        self.assertEqual(self.checks()["settings"]["outcome"], "good")
        # And what cannot be is refused before anything is changed.
        before = self.admin.get(SET)["metadata"]["resourceVersion"]
        for flag, remedy in (("--trust_domain=cluster.local", "leave --trust_domain out"), ("--overlay=etcd", "leave --overlay out")):
            self.assertIn(remedy, self.ctl("install", flag, expect=1).stderr)
            check = self.checks(flag, expect=1)["settings"]
            self.assertEqual((check["outcome"], "install would be refused" in check["message"]), ("bad", True))
            self.assertIn(remedy, check["remedy"])
        self.assertEqual(self.admin.get(SET)["metadata"]["resourceVersion"], before)
        # The trust domain stays with the store.
        self.ctl("uninstall")
        self.wait_gone(f"/api/v1/namespaces/{SYSTEM}/pods/byrnie-controlplane-0")
        self.ctl("install", "--wait", "--timeout=60s")
        self.assertIn("--trust_domain=corp.example", self.arguments())
        self.assertEqual(self.admin.get(KEY)["data"], key)

    def test_another_namespace_is_found_again(self):
        self.purge()
        self.addCleanup(self.wait_gone, "/api/v1/namespaces/mesh")
        self.addCleanup(self.ctl, "uninstall", "--purge", "--force")
        self.ctl("install", "--namespace=mesh", "--wait", "--timeout=60s")
        self.assertEqual(set(self.steps("install").values()), {"unchanged"})
        self.assertEqual(self.checks()["installation"]["outcome"], "good")
        self.assertIn("give --namespace=mesh", self.ctl("install", f"--namespace={SYSTEM}", expect=1).stderr)

    def size(self):
        spec = self.admin.get(SET)["spec"]
        resources = spec["template"]["spec"]["containers"][0]["resources"]
        return resources["limits"]["memory"], resources["requests"], spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]

    def test_the_size_of_the_control_plane_is_kept(self):
        before = {"cpu": "100m", "memory": "128Mi"}
        self.assertEqual(self.size(), ("1Gi", before, "1Gi"))
        self.addCleanup(self.ctl, "install", "--force", "--memory_limit=1Gi", "--memory_request=128Mi", "--cpu_request=100m", "--wait")
        # As kubectl set resources does it.
        self.admin.call("PATCH", f"{SET}?fieldManager=somebody", {"spec": {"template": {"spec": {"containers": [
            {"name": "controlplane", "resources": {"limits": {"memory": "4Gi"}}}]}}}}, "application/strategic-merge-patch+json")
        for flags in ((), ("--force",)):
            self.assertIn("memory limit 4Gi", self.ctl("install", "--wait", *flags).stderr)
            self.assertEqual(self.size(), ("4Gi", before, "1Gi"))
        check = self.checks("--memory_limit=3Gi", "--cpu_request=500m")["settings"]
        self.assertIn("change: memory limit 4Gi -> 3Gi, CPU request 100m -> 500m; and keep:", check["message"])
        self.ctl("install", "--force", "--memory_limit=3Gi", "--memory_request=1Gi", "--cpu_request=500m")
        self.assertEqual(self.size(), ("3Gi", {"cpu": "500m", "memory": "1Gi"}, "1Gi"))
        self.assertEqual(set(self.steps("install", "--force").values()), {"unchanged"})
        # A volume that is there is not another one.
        self.assertIn("leave --volume_size and --storage_class out", self.ctl("install", "--volume_size=5Gi", expect=1).stderr)
        self.ctl("install", "--memory_limit=lots", expect=2)

    def test_the_size_of_the_volume(self):
        self.purge()
        self.addCleanup(self.purge)
        self.ctl("install", "--volume_size=3Gi", "--wait", "--timeout=60s")
        self.assertEqual(self.size()[2], "3Gi")
        claim = self.admin.get(f"/api/v1/namespaces/{SYSTEM}/persistentvolumeclaims/store-byrnie-controlplane-0")
        self.assertEqual(claim["spec"]["resources"]["requests"]["storage"], "3Gi")
        self.assertEqual(set(self.steps("install").values()), {"unchanged"})
        self.assertEqual(self.size()[2], "3Gi")

    def test_what_others_have_set_is_theirs_unless_taken_over(self):
        self.admin.call("PATCH", f"{SET}?fieldManager=somebody", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 77}}}},
                        "application/strategic-merge-patch+json")
        refused = self.ctl("install", "--image=registry.example/byrnie:2", expect=1)
        self.assertIn("StatefulSet byrnie-system/byrnie-controlplane", refused.stderr)
        self.assertIn("somebody", refused.stderr)
        self.assertIn("--force", refused.stderr)
        # It was told so before the first change.
        self.assertIn("nothing has been changed", refused.stderr)
        self.assertEqual((refused.stdout, self.images()), ("", ("byrnie:0.1.0", "byrnie:0.1.0")))
        self.assertEqual(self.steps("install", "--force", "--wait")["StatefulSet byrnie-controlplane"], "changed")
        self.assertEqual(self.admin.get(SET)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 30)

    def test_it_says_why_it_is_not_ready(self):
        self.node.held.add("byrnie-controlplane-0")
        try:
            wait_for(lambda: not self.admin.get(SET)["status"].get("readyReplicas"), 10, "an end of readiness")
            done = self.ctl("install", "--wait", "--timeout=2s", expect=7)
            self.assertIn("0 of 1 control planes ready", done.stderr)
            self.assertIn("is not ready after 2 s", done.stderr)
            self.assertEqual(self.checks(expect=1)["installation"]["outcome"], "bad")
        finally:
            self.node.held.clear()

    def test_uninstall_keeps_the_ca_and_leaves_nothing_in_the_way(self):
        key, roots = self.admin.get(KEY)["data"], self.roots()
        self.meshed_namespace("before")
        wait_for(lambda: self.there("/api/v1/namespaces/before/configmaps/byrnie-trust-bundle"), 10, "the trust bundle")
        self.assertEqual(set(self.steps("uninstall", "--dry_run").values()), {"would be deleted", "would be kept"})
        done = self.steps("uninstall")
        self.assertEqual(next(iter(done)), "MutatingWebhookConfiguration byrnie-injector")
        kept = {name for name, outcome in done.items() if outcome == "kept" and not name.startswith("CustomResourceDefinition")}
        self.assertEqual(kept, {"Namespace byrnie-system", "Secret byrnie-store-key", "ConfigMap byrnie-trust-bundle", "Namespace before"})
        self.wait_gone(f"/api/v1/namespaces/{SYSTEM}/pods/byrnie-controlplane-0")
        self.assertEqual(sorted(self.ours()), ["namespaces/byrnie-system", "secrets/byrnie-store-key"])
        # Nobody is asked about pods any more.
        self.meshed_namespace("later")
        self.deploy("later", "web", replicas=1)
        pod, = wait_for(lambda: self.pods("later"), 30, "a pod")
        self.assertEqual([each["name"] for each in pod["spec"]["containers"]], ["app"])
        # The next installation goes on with the same CA.
        self.ctl("install", "--wait", "--timeout=60s")
        self.assertEqual(self.admin.get(KEY)["data"], key)
        self.assertEqual(self.roots(), roots)

    def roots(self):
        webhook, = self.admin.get(f"{WEBHOOKS}/byrnie-injector")["webhooks"]
        return webhook["clientConfig"]["caBundle"]

    def test_purge_takes_all_of_it(self):
        claims = f"/api/v1/namespaces/{SYSTEM}/persistentvolumeclaims"
        self.assertEqual([each["metadata"]["name"] for each in self.admin.get(claims)["items"]], ["store-byrnie-controlplane-0"])
        done = self.steps("uninstall", "--purge")
        self.assertNotIn("kept", done.values())
        self.assertEqual(done["PersistentVolumeClaim store-byrnie-controlplane-0"], "deleted")
        self.wait_gone(f"/api/v1/namespaces/{SYSTEM}")
        self.assertEqual(self.ours(), [])
        self.assertIn("nothing here that byrniectl has installed", self.ctl("uninstall").stderr)

    # Who may, and as whom.

    def user(self, name, rules):
        """The kubeconfig of somebody who may do what `rules` say."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        self.admin.apply(f"{rbac}/clusterroles/{name}", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                                                         "metadata": {"name": name}, "rules": rules})
        self.admin.apply(f"{rbac}/clusterrolebindings/{name}", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}]})
        self.cluster.client(name)
        return self.write(f"{name}.conf", {"client-certificate": f"client-{name}.pem", "client-key": f"client-{name}.key"})

    def write(self, name, user):
        """As people have them, in YAML."""
        path = self.cluster.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            yaml.safe_dump(self.cluster.kubeconfig_of(user), out)
        return path

    LOOK = [{"apiGroups": [""], "resources": ["nodes", "namespaces", "persistentvolumeclaims"], "verbs": ["list"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["list"]}]

    def test_the_rights_it_asks_for_are_those_it_needs(self):
        nobody = self.user("nobody", self.LOOK)
        checks = self.checks(expect=1, kubeconfig=nobody)
        self.assertEqual(checks["permissions"]["outcome"], "bad")
        self.assertIn("and ", checks["permissions"]["message"])
        refused = self.ctl("install", expect=4, kubeconfig=nobody)
        self.assertIn("403", refused.stderr)
        # What install, uninstall and check do, and what they give the control plane.
        rules = list(self.LOOK)
        for group, plurals in (("", ["namespaces", "serviceaccounts", "services", "configmaps"]), ("apps", ["statefulsets"]),
                               ("rbac.authorization.k8s.io", ["clusterroles", "clusterrolebindings"]), ("scheduling.k8s.io", ["priorityclasses"]),
                               ("networking.k8s.io", ["networkpolicies"]), ("policy", ["poddisruptionbudgets"]),
                               ("apiextensions.k8s.io", ["customresourcedefinitions"]),
                               ("admissionregistration.k8s.io", ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"])):
            rules.append({"apiGroups": [group], "resources": plurals, "verbs": ["get", "list", "create", "patch", "delete"]})
        rules += [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "create"]},
                  {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
                  {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["escalate", "bind"]}]
        somebody = self.user("installer", rules)
        check = self.checks(kubeconfig=somebody)["permissions"]
        self.assertEqual(check["outcome"], "note")
        self.assertIn("not what uninstall --purge does: delete secrets in byrnie-system, delete persistentvolumeclaims in byrnie-system", check["message"])
        self.ctl("uninstall", kubeconfig=somebody)
        self.ctl("install", "--wait", "--timeout=60s", kubeconfig=somebody)
        self.ctl("uninstall", "--purge", expect=4, kubeconfig=somebody)
        somebody = self.user("installer", [*rules, {"apiGroups": [""], "resources": ["secrets", "persistentvolumeclaims"], "verbs": ["delete"]}])
        self.assertEqual(self.checks(kubeconfig=somebody)["permissions"]["outcome"], "good")
        self.ctl("uninstall", "--purge", kubeconfig=somebody)
        self.wait_gone(f"/api/v1/namespaces/{SYSTEM}")

    def test_tokens_and_plugins_say_who_asks(self):
        self.cluster.namespace("people", accounts=["alice"])
        token = self.cluster.service_account_token("people", "alice", [API_AUDIENCE])
        self.assertIn("installation", self.checks(expect=1, kubeconfig=self.write("token.conf", {"token": token})))
        plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "sh", "interactiveMode": "Never",
                  "env": [{"name": "TOKEN", "value": token}],
                  "args": ["-c", 'echo "{\\"kind\\": \\"ExecCredential\\", \\"status\\": {\\"token\\": \\"$TOKEN\\"}}"']}
        self.assertIn("installation", self.checks(expect=1, kubeconfig=self.write("exec.conf", {"exec": plugin})))
        wrong = self.ctl("install", expect=4, kubeconfig=self.write("wrong.conf", {"token": "no.such.token"}))
        self.assertIn("401", wrong.stderr)
        away = self.write("away.conf", {"token": token})
        with open(away, encoding="ascii") as text:
            config = text.read().replace(str(self.cluster.port), "9")
        with open(away, "w", encoding="ascii") as out:
            out.write(config)
        self.ctl("install", expect=3, kubeconfig=away)
        other = self.cluster.kubeconfig_of({"token": token})
        other["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(type(self.cluster.authority)("another").pem()).decode()
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as out:
            json.dump(other, out)
            out.flush()
            self.ctl("install", expect=4, kubeconfig=out.name)
        self.ctl("install", "--kubeconfig=/nonexistent", expect=2)
        self.ctl("install", "--context=nowhere", expect=2)


class ManifestsTest(unittest.TestCase):

    def test_manifests_are_those_of_the_repository(self):
        for overlay in ("sqlite", "etcd"):
            done = subprocess.run([binary_path("byrniectl"), "manifests", f"--overlay={overlay}"], capture_output=True, text=True, check=True, timeout=30)
            other = subprocess.run([binary_path("byrniectl"), "manifests", f"--overlay={overlay}", "--manifests", os.path.join(REPOSITORY, "deploy/kubernetes")],
                                   capture_output=True, text=True, check=True, timeout=30)
            self.assertEqual(done.stdout, other.stdout)
            self.assertEqual([each["kind"] for each in yaml.safe_load_all(done.stdout)][0], "Namespace")


if __name__ == "__main__":
    sys.exit(main())
