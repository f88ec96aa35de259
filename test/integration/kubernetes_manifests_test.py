#!/usr/bin/python3
"""The manifests of deploy/kubernetes: what they say is what Kubernetes and the programs know.

Proved: each overlay is whole, every object valid by Kubernetes' schema and there once; every flag is one of the program's, and
the control plane takes them together until it looks for what only a cluster has; what is referred to is there: ports by name,
service accounts, roles, priority classes, selectors, volumes, the webhook's service, and what the control plane keeps of it; containers have no privileges, nothing goes to a Windows node, and no volume keeps a node from being taken away; the role grants what
docs/operations.md says and no more; the sample is injected without a warning and is valid then, too; what the optional policy for privileges says of the redirect is so.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes_schema import what_is_wrong
from testing.manifests import OVERLAYS, ROOT, build, documents, referred
from testing.mesh import REPOSITORY, binary_path

PRIVILEGES = os.path.join(ROOT, "privileges", "privileges.yaml")


def one(objects, kind):
    found, = [item for item in objects if item["kind"] == kind]
    return found


class ManifestsTest(unittest.TestCase):

    def each(self):
        return [(name, build(os.path.join(ROOT, name))) for name in OVERLAYS]

    def assert_valid(self, objects):
        for item, wrong in zip(objects, what_is_wrong(objects)):
            # A schema within is of any form to this one. A real API server takes it in kubernetes_policies_test.
            wrong = [what for what in wrong if not what.startswith("/spec/versions/0/schema/openAPIV3Schema/")]
            self.assertEqual(wrong, [], (item["kind"], item["metadata"]["name"]))

    def test_every_object_is_valid_and_there_once(self):
        for _, objects in self.each():
            names = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
            self.assertEqual(len(names), len(set(names)))
            self.assert_valid(objects)

    def test_every_file_is_used(self):
        used = {os.path.join(ROOT, "sample", "sample.yaml"), PRIVILEGES}

        def walk(folder):
            used.add(os.path.join(folder, "kustomization.yaml"))
            for path in referred(folder):
                walk(path) if os.path.isdir(path) else used.add(path)

        for name in OVERLAYS:
            walk(os.path.join(ROOT, name))
        self.assertEqual({os.path.join(folder, name) for folder, _, names in os.walk(ROOT) for name in names}, used)

    def test_flags_are_the_programs(self):
        for name, objects in self.each():
            container, = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
            program = binary_path(os.path.basename(container["command"][0]))
            shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
            known = set(re.findall(r"^  --(\w+)=", shown, re.M))
            self.assertEqual({re.match(r"--(\w+)=", word)[1] for word in container["args"]} - known, set())
            if name != "sqlite":
                continue
            # All that it takes is there but a cluster, which comes last.
            with tempfile.TemporaryDirectory(prefix="byr-") as folder:
                key = os.path.join(folder, "key")
                with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o440), "wb") as out:
                    out.write(base64.b64encode(os.urandom(32)))
                injector = os.path.join(folder, "injector.json")
                with open(injector, "w", encoding="utf-8") as out:
                    out.write(one(objects, "ConfigMap")["data"]["injector.json"])
                ours = {"/etc/byrnie/store-key/key": key, "/etc/byrnie/injector/injector.json": injector, "/var/lib/byrnie": folder,
                        "[::]:15014": "127.0.0.1:0", "[::]:15017": "127.0.0.1:0"}
                words = container["args"]
                for theirs, mine in ours.items():
                    words = [word.replace(theirs, mine) for word in words]
                done = subprocess.run([program, "--listen=127.0.0.1:0", *words], capture_output=True, text=True, timeout=30, env={})
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("--kubeconfig", done.stderr)

    def test_what_is_referred_to_is_there(self):
        for _, objects in self.each():
            workload = one(objects, "StatefulSet")
            template = workload["spec"]["template"]
            pod, labels = template["spec"], template["metadata"]["labels"]
            namespace = one(objects, "Namespace")["metadata"]["name"]
            for item in objects:
                if item["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "MutatingWebhookConfiguration",
                                        "CustomResourceDefinition"):
                    self.assertEqual(item["metadata"]["namespace"], namespace)
            service = one(objects, "Service")
            selectors = [service["spec"]["selector"], workload["spec"]["selector"]["matchLabels"],
                         one(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
            selectors += [item["spec"]["selector"]["matchLabels"] for item in objects if item["kind"] == "PodDisruptionBudget"]
            selectors += [item["labelSelector"]["matchLabels"] for item in pod.get("topologySpreadConstraints", [])]
            for selector in selectors:
                self.assertLessEqual(selector.items(), labels.items())
            self.assertEqual(pod["serviceAccountName"], one(objects, "ServiceAccount")["metadata"]["name"])
            self.assertEqual(pod["priorityClassName"], one(objects, "PriorityClass")["metadata"]["name"])
            self.assertLess(one(objects, "PriorityClass")["value"], 1000000001)
            binding = one(objects, "ClusterRoleBinding")
            self.assertEqual(binding["roleRef"]["name"], "byrnie-controlplane")
            self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": namespace}])
            container, = pod["containers"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            named = [port["targetPort"] for port in service["spec"]["ports"]]
            named += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
            named += [port["port"] for rule in one(objects, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
            self.assertLessEqual(set(named), set(ports))
            volumes = [item["name"] for item in pod["volumes"]]
            volumes += [item["metadata"]["name"] for item in workload["spec"].get("volumeClaimTemplates", [])]
            self.assertEqual(sorted(volumes), sorted(mount["name"] for mount in container["volumeMounts"]))
            mapped = {item["name"]: item["configMap"]["name"] for item in pod["volumes"] if "configMap" in item}
            self.assertEqual(mapped, {"injector": one(objects, "ConfigMap")["metadata"]["name"]})
            configuration = one(objects, "MutatingWebhookConfiguration")
            webhook, = configuration["webhooks"]
            asked = webhook["clientConfig"]["service"]
            self.assertEqual((asked["name"], asked["namespace"], asked["path"]), (service["metadata"]["name"], namespace, "/inject"))
            self.assertIn((asked["port"], "webhook"), [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]])
            # The flags' defaults; byrnie-system is not asked about.
            shown = subprocess.run([binary_path("byrnie-controlplane"), "--help"], capture_output=True, text=True, check=True).stdout
            for flag, value in (("webhook_names", f"{asked['name']}.{asked['namespace']}.svc"),
                                ("webhook_configuration", configuration["metadata"]["name"])):
                self.assertRegex(shown, rf"--{flag}=[^\n]*{value}")
            self.assertFalse(webhook["namespaceSelector"]["matchLabels"].items() <= one(objects, "Namespace")["metadata"]["labels"].items())
            # What the injector tells agents unless it is told otherwise.
            self.assertEqual(f"{service['metadata']['name']}.{namespace}.svc:{service['spec']['ports'][0]['port']}",
                             "byrnie-controlplane.byrnie-system.svc:15012")

    def test_files_are_on_volumes(self):
        for _, objects in self.each():
            container, = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
            mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
            for word in container["args"]:
                path = re.match(r"--(?!store=etcd)\w+=(?:sqlite:)?(/.*)", word)
                if path:
                    self.assertTrue(any(path[1].startswith(mount) for mount in mounts), word)

    def test_nothing_has_privileges(self):
        for _, objects in self.each():
            pod = one(objects, "StatefulSet")["spec"]["template"]["spec"]
            self.assertEqual((pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]), (True, {"type": "RuntimeDefault"}))
            for container in pod["containers"]:
                self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                                "capabilities": {"drop": ["ALL"]}})

    def test_nothing_goes_to_a_windows_node(self):
        for _, objects in self.each() + [("sample", documents(os.path.join(ROOT, "sample", "sample.yaml")))]:
            workloads = [item for item in objects if "template" in item.get("spec", {})]
            self.assertTrue(workloads)
            for item in workloads:
                self.assertEqual(item["spec"]["template"]["spec"].get("nodeSelector", {}).get("kubernetes.io/os"), "linux", item["metadata"]["name"])

    def test_no_volume_keeps_a_node_from_the_autoscaler(self):
        for _, objects in self.each():
            template = one(objects, "StatefulSet")["spec"]["template"]
            local = [volume["name"] for volume in template["spec"]["volumes"] if "emptyDir" in volume]
            named = template["metadata"].get("annotations", {}).get("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", "")
            self.assertEqual(named.split(",") if named else [], local)

    def test_the_role_grants_what_the_page_says(self):
        granted = set()
        for rule in next(item for item in build(os.path.join(ROOT, "sqlite")) if (item["kind"], item["metadata"]["name"]) == ("ClusterRole", "byrnie-controlplane"))["rules"]:
            for verb in rule["verbs"]:
                granted |= {(resource, verb) for resource in rule.get("resources", rule.get("nonResourceURLs"))}
        with open(os.path.join(REPOSITORY, "docs", "operations.md"), encoding="utf-8") as text:
            table = re.search(r"\| resource \| verbs \| for \|\n\|[-|]+\|\n((?:\|.*\n)+)", text.read())[1]
        said = set()
        for line in table.splitlines():
            _, what, verbs, *_ = (cell.strip() for cell in line.split("|"))
            resources = [name.partition(".")[0] if not name.startswith("/") else name for name in re.findall(r"`([^`]+)`", what)]
            said |= {(resource, verb) for resource in resources if resource not in ("byrnie-trust-bundle", "byrnie-injector") for verb in verbs.split(", ")}
        self.assertEqual(granted, said)

    def test_the_policy_for_privileges_is_about_what_the_injector_makes(self):
        objects = documents(PRIVILEGES)
        self.assert_valid(objects)
        policy, binding = one(objects, "ValidatingAdmissionPolicy"), one(objects, "ValidatingAdmissionPolicyBinding")
        self.assertEqual(binding["spec"]["policyName"], policy["metadata"]["name"])
        base = build(os.path.join(ROOT, "sqlite"))
        config = one(base, "ConfigMap")["metadata"]
        self.assertEqual((binding["spec"]["paramRef"]["name"], binding["spec"]["paramRef"]["namespace"]), (config["name"], config["namespace"]))
        webhook, = one(base, "MutatingWebhookConfiguration")["webhooks"]
        self.assertEqual(policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"], webhook["namespaceSelector"]["matchLabels"])
        # What it says of the redirect's containers is so of them, and of none beside them.
        said = next(item["expression"] for item in policy["spec"]["variables"] if item["name"] == "others")
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {byrnie.io/redirect-watch: repair}}\nspec: {containers: [{name: app, image: app}]}\n"
        done = subprocess.run([binary_path("byrniectl"), "inject", "-f", "-"], input=pod, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        spec = yaml.safe_load(done.stdout)["spec"]
        added = [item for item in spec["initContainers"] + spec["containers"] if item.get("securityContext", {}).get("capabilities", {}).get("add")]
        self.assertEqual(f"[{', '.join(repr(item['name']) for item in added)}]", re.search(r"c\.name in (\[.*?\])", said)[1])
        for item in added:
            self.assertEqual(str(item["command"]), re.search(r"c\.command == (\[.*?\])", said)[1])
            self.assertEqual(str(item["securityContext"]["capabilities"]["add"]), re.search(r"capabilities\.add == (\[.*?\])", said)[1])
            self.assertEqual([mount["name"] for mount in item["volumeMounts"]], re.findall(r"m\.name == '(.*?)'", said))
            self.assertFalse({"env", "envFrom", "lifecycle"} & set(item))

    def test_the_sample_can_be_injected(self):
        path = os.path.join(ROOT, "sample", "sample.yaml")
        self.assert_valid(documents(path))
        done = subprocess.run([binary_path("byrniectl"), "inject", "-f", path, "--image=registry.example/byrnie:0.1.0"], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("injected"), 2, done.stderr)
        self.assertNotIn("warning", done.stderr)
        self.assert_valid([item for item in yaml.safe_load_all(done.stdout) if item])


if __name__ == "__main__":
    sys.exit(main())
