#!/usr/bin/python3
"""The policy that keeps NET_ADMIN to the redirect, for Kubernetes 1.30 and newer: its expressions, run on pods.

Proved: what the injector makes of a pod passes, with the redirect's watch too and, while an upgrade is under way, with the image before, and so does a change of such a pod that is not of an
image; a container that is privileged, that adds another capability, or that is called like the redirect and differs from it in
anything that could make it something else does not, nor does an image that is changed afterwards, a debugging container, or a pod
that the injector is not asked about. Run by an interpreter of CEL: the API server of the tests is older than such policies.
"""

import copy
import os
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.admission_policy import AdmissionPolicy
from testing.case import main
from testing.manifests import ROOT, documents
from testing.mesh import binary_path

IMAGE = "registry.example/byrnie:0.1.0"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}, annotations: {byrnie.io/redirect-watch: repair}}
spec: {containers: [{name: app, image: app}]}
"""


def container(pod, name):
    found, = [item for key in ("initContainers", "containers", "ephemeralContainers") for item in pod["spec"].get(key, []) if item["name"] == name]
    return found


class PrivilegesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.spec = documents(os.path.join(ROOT, "privileges", "privileges.yaml"))[0]["spec"]
        cls.policy = AdmissionPolicy(cls.spec, {"data": {"injector.json": f'{{"image": "{IMAGE}"}}\n'}})
        done = subprocess.run([binary_path("byrniectl"), "inject", "-f", "-", f"--image={IMAGE}"], input=POD, capture_output=True, text=True, timeout=30, check=True)
        cls.pod = yaml.safe_load(done.stdout)

    def upgraded(self, **data):
        """The policy after the injector's configuration has got the image of another release."""
        return AdmissionPolicy(self.spec, {"data": {"injector.json": '{"image": "registry.example/byrnie:0.2.0"}\n', **data}})

    def changed(self, change, pod=None):
        pod = copy.deepcopy(pod or self.pod)
        change(pod)
        return pod

    def redirect(self, name="byrnie-redirect", **fields):
        """The injected pod with these fields of that container."""
        return self.changed(lambda pod: container(pod, name).update(fields))

    def security(self, **fields):
        return self.redirect(securityContext={**container(self.pod, "byrnie-redirect")["securityContext"], **fields})

    @staticmethod
    def fill(pod):
        volume, = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "byrnie-nothing"]
        volume.pop("emptyDir")
        volume["configMap"] = {"name": "mine"}

    def expect(self, passes, requests):
        for (what, *_), refusals in zip(requests, self.policy.refusals([request[1:] for request in requests])):
            with self.subTest(what):
                self.assertEqual(not refusals, passes, refusals)

    def test_it_is_asked_about_everything_that_brings_an_image(self):
        asked = {(operation, resource) for rule in self.spec["matchConstraints"]["resourceRules"] for operation in rule["operations"]
                 for resource in rule["resources"]}
        self.assertEqual(asked, {("CREATE", "pods"), ("UPDATE", "pods"), ("UPDATE", "pods/ephemeralcontainers")})

    def test_what_the_injector_makes_passes(self):
        labelled = self.changed(lambda pod: pod["metadata"]["labels"].update(other="b"))
        older = self.redirect(image="registry.example/byrnie:0.0.9")
        before = self.changed(lambda pod: pod["spec"].update(hostNetwork=True, volumes=[{"name": "root", "hostPath": {"path": "/"}}],
                                                             securityContext={"seccompProfile": {"type": "Unconfined"}}), yaml.safe_load(POD))
        before["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
        self.expect(True, [
            ("injected", self.pod, None),
            ("no sidecar", yaml.safe_load(POD), None),
            ("a label later", labelled, self.pod),
            ("a label on the release before", self.changed(lambda pod: pod["metadata"]["labels"].update(other="b"), older), older),
            ("a Job's pod that was there before the policy, of which its controller takes the finalizer",
             self.changed(lambda pod: pod["metadata"].pop("finalizers"), before), before),
            ("another image of the application", self.changed(lambda pod: container(pod, "app").update(image="app:2")), self.pod),
            ("a debugging container", self.changed(lambda pod: pod["spec"].update(ephemeralContainers=[{"name": "debug", "image": "b"}])), self.pod),
        ])

    def test_while_it_is_upgraded_the_image_before_passes(self):
        def refused(policy, pod):
            refusals, = policy.refusals([(pod, None)])
            return bool(refusals)

        newer = self.redirect(image="registry.example/byrnie:0.2.0")
        container(newer, "byrnie-watch")["image"] = "registry.example/byrnie:0.2.0"
        during, afterwards = self.upgraded(**{"previous-image": IMAGE}), self.upgraded()
        self.assertEqual([refused(during, pod) for pod in (self.pod, newer)], [False, False])
        self.assertEqual([refused(afterwards, pod) for pod in (self.pod, newer)], [True, False])
        for image in ("evil", IMAGE + "1", IMAGE[:-1], ""):
            self.assertTrue(refused(during, self.redirect(image=image)), image)

    def test_what_could_be_something_else_does_not(self):
        def as_application(pod):
            pod["spec"]["containers"].append(container(pod, "byrnie-redirect"))
            pod["spec"]["initContainers"] = [item for item in pod["spec"]["initContainers"] if item["name"] != "byrnie-redirect"]

        self.expect(False, [
            ("another image", self.redirect(image="evil"), None),
            ("another image of the watch", self.redirect("byrnie-watch", image="evil"), None),
            ("another command", self.redirect(command=["/bin/sh"]), None),
            ("no command", self.changed(lambda pod: container(pod, "byrnie-redirect").pop("command")), None),
            ("a variable", self.redirect(env=[{"name": "LD_PRELOAD", "value": "/a"}]), None),
            ("variables of others", self.redirect(envFrom=[{"configMapRef": {"name": "a"}}]), None),
            ("a hook", self.redirect(lifecycle={"preStop": {"exec": {"command": ["/a"]}}}), None),
            ("a probe", self.redirect(livenessProbe={"exec": {"command": ["/a"]}}), None),
            ("a volume", self.redirect(volumeMounts=[{"name": "mine", "mountPath": "/usr/local/bin"}]), None),
            ("the volume elsewhere", self.redirect(volumeMounts=[{"name": "byrnie-nothing", "mountPath": "/usr/local/bin", "readOnly": True}]), None),
            ("the volume with something in it", self.changed(self.fill), None),
            ("a device", self.redirect(volumeDevices=[{"name": "mine", "devicePath": "/dev/mine"}]), None),
            ("another capability", self.security(capabilities={"add": ["NET_ADMIN", "SYS_ADMIN"]}), None),
            ("privileged", self.security(privileged=True), None),
            ("without seccomp", self.security(seccompProfile={"type": "Unconfined"}), None),
            ("an unmasked /proc", self.security(procMount="Unmasked"), None),
            ("a process of the host", self.security(windowsOptions={"hostProcess": True}), None),
            ("a port of the node", self.redirect(ports=[{"containerPort": 80, "hostPort": 80}]), None),
            ("among the application's", self.changed(as_application), None),
            ("opted out by a label", self.changed(lambda pod: pod["metadata"]["labels"].update({"byrnie.io/inject": "false"})), None),
            ("opted out by an annotation", self.changed(lambda pod: pod["metadata"]["annotations"].update({"byrnie.io/inject": "false"})), None),
        ])

    def test_an_image_that_is_changed_later_does_not(self):
        out = self.changed(lambda pod: pod["metadata"]["labels"].update({"byrnie.io/inject": "false"}))
        self.expect(False, [
            ("of the redirect", self.redirect(image="evil"), self.pod),
            ("of the watch", self.redirect("byrnie-watch", image="evil"), self.pod),
            ("of who has opted out", self.changed(lambda pod: container(pod, "byrnie-redirect").update(image="evil"), out), out),
        ])

    def test_what_baseline_refuses_does_not(self):
        def application(**fields):
            return self.changed(lambda pod: container(pod, "app").update(fields))

        def spec(**fields):
            return self.changed(lambda pod: pod["spec"].update(fields))

        self.expect(False, [
            ("NET_ADMIN", application(securityContext={"capabilities": {"add": ["NET_ADMIN"]}}), None),
            ("privileged", application(securityContext={"privileged": True}), None),
            ("without seccomp", application(securityContext={"seccompProfile": {"type": "Unconfined"}}), None),
            ("a port of the node", application(ports=[{"containerPort": 80, "hostPort": 80}]), None),
            ("the pod without seccomp", spec(securityContext={"seccompProfile": {"type": "Unconfined"}}), None),
            ("the node's network", spec(hostNetwork=True), None),
            ("the node's processes", spec(hostPID=True), None),
            ("the node's memory", spec(hostIPC=True), None),
            ("the node's files", spec(volumes=[{"name": "root", "hostPath": {"path": "/"}}]), None),
            ("a debugging container that is privileged",
             spec(ephemeralContainers=[{"name": "debug", "image": "b", "securityContext": {"privileged": True}}]), self.pod),
            ("a debugging container called like the redirect",
             spec(ephemeralContainers=[{**container(self.pod, "byrnie-redirect"), "name": "byrnie-watch2"}]), self.pod),
        ])


if __name__ == "__main__":
    sys.exit(main())
