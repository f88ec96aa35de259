#!/usr/bin/python3
"""What runs pods in tests does what Kubernetes would, so that a test of it could fail.

Proved, with an API server that is a few functions: containers start in order, a sidecar's startup probe is waited for, a volume that is not there yet too; at the end the application is told first and the sidecars follow, the last one first; what does not heed SIGTERM is killed
when its grace is over; init containers that fail are tried again, or end the pod; capabilities, users and read-only roots are what is asked for, what takes more memory than its limit is killed, probes by HTTPS take any certificate and redirects on their host, and what cannot be is refused; the JSON patches and variables of specifications are read as they are meant.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kubernetes import pod_spec
from kubernetes.admission import patched
from kubernetes.container import RootImage
from kubernetes.machine import Machine
from kubernetes.pod import PodRun
from kubernetes.probes import ask
from testing.case import main
from testing.cgroup import MemoryGroup
from testing.interruption import unwind_on_signals
from testing.kubernetes import ApiError
from testing.process import wait_until

HEEDS = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
IGNORES = "trap '' TERM; while :; do sleep 0.05; done"

# HTTPS with a certificate of nobody's; what it answers is in the path.
WEB = """
import http.server, ssl

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, _, location = self.path[1:].partition("/to/")
        self.send_response(int(status) if self.headers["X-Asked"] == "yes" else 400)
        if location:
            self.send_header("Location", location)
        self.end_headers()

server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/keys/both")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


class Api:
    """Config maps alone, and the latest status of a pod."""

    def __init__(self):
        self.config_maps, self.status = {}, {}

    def get(self, path):
        name = path.rpartition("/")[2]
        if name not in self.config_maps:
            raise ApiError(404, "not found")
        return {"data": self.config_maps[name]}

    def patch(self, _path, body):
        self.status = body["status"]


class StandIn:
    """In place of a Node."""

    def __init__(self, directory, machine):
        self.machine, self.api, self.services, self.claims = machine, Api(), {}, os.path.join(directory, "claims")
        self._directory, self._image, self.left = directory, RootImage(os.path.join(directory, "image"), (65534, 65534), shown=["/usr"]), []
        os.makedirs(os.path.join(directory, "image", "usr"))
        for name in ("bin", "lib", "lib64"):
            os.symlink(f"usr/{name}", os.path.join(directory, "image", name))

    def image(self, _name):
        return self._image

    def directory_for(self, pod):
        path = os.path.join(self._directory, pod["metadata"]["name"])
        os.makedirs(path)
        return path

    def gone(self, run):
        self.left.append(run.name)


def shell(name, script, **more):
    return {"name": name, "image": "shell", "command": ["sh", "-c", script], **more}


def sidecar(name, script=HEEDS, **more):
    return shell(name, script, restartPolicy="Always", **more)


class KubernetesRunnerTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        unwind_on_signals()
        directory = tempfile.mkdtemp(prefix="byr-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.machine = Machine()
        cls.addClassCleanup(cls.machine.close)
        cls.node = StandIn(directory, cls.machine)

    def pod(self, *containers, init=(), **spec):
        name = self.id().rpartition(".")[2].replace("_", "-")[5:40]
        run = PodRun(self.node, {"metadata": {"name": name, "namespace": "demo", "uid": name}, "spec": {"nodeName": "node-1"}},
                     {"containers": list(containers), "initContainers": list(init), "terminationGracePeriodSeconds": 5, **spec})
        self.addCleanup(self.end, run)
        run.start()
        return run

    @staticmethod
    def end(run):
        run.abandon()
        run.join()

    def wait(self, condition, what):
        return wait_until(condition, 20, what)

    def test_containers_begin_and_end_in_order(self):
        check = {"exec": {"command": ["sh", "-c", "test -e /tmp-of/ready"]}, "periodSeconds": 1, "failureThreshold": 30}
        mount = [{"name": "shared", "mountPath": "/tmp-of"}]
        run = self.pod(shell("app", HEEDS), volumes=[{"name": "shared", "emptyDir": {}}], init=[
            sidecar("first", "sleep 1; touch /tmp-of/ready; " + HEEDS, startupProbe=check, volumeMounts=mount),
            sidecar("second"), shell("setup", "true")])
        self.wait(run.ready, "the pod")
        self.assertGreater(run["second"].began - run["first"].began, 1, "the probe had to be waited for")
        self.assertLess(run["second"].began, run["setup"].began)
        self.assertLess(run["setup"].ended, run["app"].began)
        self.assertEqual(self.node.api.status["phase"], "Running")
        run.delete()
        self.wait(lambda: run.over, "its end")
        ends = [run[name] for name in ("app", "second", "first")]
        self.assertEqual([life.exit_codes for life in ends], [[0]] * 3)
        self.assertEqual(sorted(ends, key=lambda life: life.ended), ends)
        self.assertEqual((self.node.api.status["phase"], self.node.left), ("Succeeded", [run.name]))

    def test_what_does_not_heed_is_killed_when_its_grace_is_over(self):
        # As process 1 of its container a program that says nothing about SIGTERM ignores it.
        for script in (IGNORES, "exec sleep 60"):
            with self.subTest(script):
                run = self.pod(shell("app", script), init=[sidecar("beside")], terminationGracePeriodSeconds=1)
                self.wait(run.ready, "the pod")
                asked = time.monotonic()
                run.delete()
                self.wait(lambda run=run: run.over, "its end")
                self.assertEqual(run["app"].exit_codes, [137])
                self.assertGreaterEqual(run["app"].ended - asked, 1)
                self.assertEqual(run.phase, "Failed")
                shutil.rmtree(run.directory)

    def test_a_pod_waits_for_its_config_map(self):
        run = self.pod(shell("app", "cat /config/greeting && " + HEEDS, volumeMounts=[{"name": "config", "mountPath": "/config", "readOnly": True}]),
                       volumes=[{"name": "config", "configMap": {"name": "greetings"}}])
        self.wait(lambda: "greetings" in (run.error or ""), "the pod to miss it")
        self.assertIsNone(run["app"].container)
        self.node.api.config_maps["greetings"] = {"greeting": "hello"}
        self.wait(run.ready, "the pod")
        self.wait(lambda: run["app"].log_text() == "hello", "its greeting")

    def test_an_init_container_that_fails(self):
        run = self.pod(shell("app", HEEDS), restartPolicy="Never", init=[shell("setup", "exit 3")])
        self.wait(lambda: run.over, "its end")
        self.assertEqual((run.phase, run["setup"].exit_codes, run["app"].container), ("Failed", [3], None))

    def test_an_init_container_is_tried_again(self):
        mount = [{"name": "shared", "mountPath": "/shared"}]
        run = self.pod(shell("app", HEEDS), volumes=[{"name": "shared", "emptyDir": {}}], init=[
            shell("setup", "test -e /shared/tried || { touch /shared/tried; exit 1; }", volumeMounts=mount)])
        self.wait(run.ready, "the pod")
        self.assertEqual(run["setup"].exit_codes, [1, 0])

    def test_a_pod_that_ends_by_itself_ends_its_sidecars(self):
        run = self.pod(shell("app", "exit 0"), restartPolicy="Never", init=[sidecar("beside")])
        self.wait(lambda: run.over, "its end")
        self.assertEqual((run.phase, run["app"].exit_codes, run["beside"].exit_codes), ("Succeeded", [0], [0]))

    def test_a_container_may_do_what_it_says(self):
        only = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}, "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True, "seccompProfile": {"type": "RuntimeDefault"}}
        run = self.pod(shell("admin", "touch /file; ip addr add 10.9.9.9/32 dev lo && echo made; chroot / true; " + HEEDS, securityContext=only),
                       shell("app", "touch /file && echo written; " + HEEDS, securityContext={"runAsUser": 0}), shell("nobody", HEEDS))
        self.wait(run.ready, "the pod")
        admin, app, nobody = [run[name].container.status() for name in ("admin", "app", "nobody")]
        self.assertEqual([int(admin[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")], [1 << 12] * 3)
        self.assertEqual((admin["NoNewPrivs"], admin["Seccomp"], app["NoNewPrivs"], app["Seccomp"]), ("1", "2", "0", "0"))
        self.assertEqual(app["CapEff"], "00000000a80425fb", "what a runtime leaves root")
        self.assertEqual((nobody["Uid"].split()[0], int(nobody["CapEff"], 16)), ("65534", 0))
        self.wait(lambda: "Operation not permitted" in run["admin"].log_text(), "the end of what it may not")
        said = run["admin"].log_text()
        self.assertIn("Read-only file system", said)
        self.assertIn("made", said)
        self.wait(lambda: "written" in run["app"].log_text(), "what others may")

    def test_what_cannot_be_is_refused(self):
        for context in ({"runAsNonRoot": True, "runAsUser": 0}, {"privileged": True}):
            with self.assertRaises(pod_spec.PodError):
                pod_spec.privileges({"name": "c", "securityContext": context}, {}, RootImage("/"))

    def test_probes_by_https(self):
        both = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=nobody",
                               "-keyout", "-", "-out", "-"], check=True, capture_output=True, text=True).stdout
        self.node.api.config_maps["keys"] = {"both": both}
        run = self.pod({"name": "app", "image": "shell", "command": ["python3", "-c", WEB],
                        "ports": [{"name": "web", "containerPort": 8443}],
                        "readinessProbe": {"httpGet": {"path": "/204", "port": "web", "scheme": "HTTPS", "httpHeaders": [{"name": "X-Asked", "value": "yes"}]},
                                           "periodSeconds": 1},
                        "volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}, volumes=[{"name": "keys", "configMap": {"name": "keys"}}])
        self.wait(run.ready, "the pod")
        probe = run["app"].spec["readinessProbe"]["httpGet"]
        for path, passes, said in (("/399", True, "399"), ("/400", False, "400"), ("/302/to//200", True, "200"), ("/302/to//503", False, "503"),
                                   ("/307/to/http://example.com/", True, "307"), ("/302", True, "302")):
            with self.subTest(path):
                self.assertEqual(ask(run["app"], {"httpGet": {**probe, "path": path}}, 3), (passes, said))
        self.assertFalse(ask(run["app"], {"httpGet": {**probe, "scheme": "HTTP"}}, 3)[0])

    def test_what_takes_more_memory_than_its_limit_is_killed(self):
        try:
            MemoryGroup(2**20).remove()
        except OSError as error:
            self.skipTest(f"no control groups for memory: {error}")
        run = self.pod({"name": "app", "image": "shell", "command": ["python3", "-c", "kept = b'x' * (256 << 20)"],
                        "resources": {"limits": {"memory": "64Mi"}}}, shell("beside", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max",
                              resources={"limits": {"memory": "32Mi"}}), restartPolicy="Never")
        self.wait(lambda: run.over, "its end")
        self.assertEqual(run["app"].exit_codes, [137])
        self.assertEqual(run["app"].status()["state"]["terminated"]["reason"], "OOMKilled")
        self.assertEqual((run["beside"].exit_codes, run["beside"].log_text().strip()), ([0], str(32 * 2**20)))

    def test_variables(self):
        self.assertEqual(pod_spec.expand("$(A)-$(B)-$$(A)-$A", {"A": "1"}), "1-$(B)-$(A)-$A")

    def test_patches(self):
        document = {"a": [1, 2], "b/c": {"d": 1}}
        self.assertEqual(patched(document, [
            {"op": "add", "path": "/a/1", "value": 9}, {"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"},
            {"op": "replace", "path": "/b~1c/d", "value": 2}, {"op": "add", "path": "/e", "value": {}}]), {"a": [9, 2, 3], "b/c": {"d": 2}, "e": {}})
        self.assertEqual(document["a"], [1, 2])
        with self.assertRaises(ValueError):
            patched(document, [{"op": "move", "from": "/a", "path": "/z"}])


if __name__ == "__main__":
    sys.exit(main())
