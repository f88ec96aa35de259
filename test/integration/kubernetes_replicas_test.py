#!/usr/bin/python3
"""Three control planes in a cluster, over an etcd of three members: what `byrniectl manifests --overlay=etcd` writes, applied to a real API
server and run from the image.

Proved: the API server takes every object as it is written; the three are ready together, of one CA and one etcd; any of them answers for the
webhook, and pods that were injected by it talk; while two of the three are killed, and while a member of etcd is gone, new pods are injected
and get certificates of the same CA; the disruption budget lets one be evicted and not a second one meanwhile; the page's command that asks
for an operator's token asks the one that has it, also when containers and pods have started again.

Not proved: that the three are on different nodes (there is one node here, and no scheduler that reads topologySpreadConstraints), and the
budget as policy/v1, which this API server is too old for: it is given the same object as policy/v1beta1.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import yaml

from kubernetes.world import APP_IMAGE, SYSTEM, World
from testing.case import main
from testing.docs_case import PAGE
from testing.etcd import EtcdCluster
from testing.kubernetes import ApiError
from testing.manifests import ROOT
from testing.mesh import binary_path
from testing.process import Process, wait_until

NAMESPACE = "shop"
APP = ["/usr/bin/python3", "-B", "/opt/app.py"]
WEB = 8080
PLANES = [f"byrnie-controlplane-{number}" for number in range(3)]
BUDGET = f"/apis/policy/v1beta1/namespaces/{SYSTEM}/poddisruptionbudgets/byrnie-controlplane"


class Surroundings:
    """What EtcdCluster needs of a mesh."""

    def __init__(self, world):
        self.network, self.processes, self._path = world.machine.network, [], world.path

    def make_directory(self, name, mode):
        os.mkdir(self._path(name), mode)
        return self._path(name)

    def log_path(self, name):
        return self._path(f"{name}.log")

    def spawn(self, name, namespace, argv, log_path):
        self.processes.append(Process(name, namespace, argv, log_path))
        return self.processes[-1]

    def close(self):
        for process in self.processes:
            process.kill()


def encoded(path):
    with open(path, "rb") as text:
        return base64.b64encode(text.read()).decode()


class KubernetesReplicasTest(unittest.TestCase):
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        surroundings = Surroundings(world)
        cls.addClassCleanup(world.close)
        cls.addClassCleanup(surroundings.close)  # Before its network goes.
        try:
            cls.etcd = EtcdCluster(surroundings, number=15)  # Pods are from 20 on.
            world.cluster.CONTROLLERS = [*world.cluster.CONTROLLERS, "disruption"]
            cls.etcd.start()
            world.start(overlay=cls.objects())
            cls.wait_planes()
            world.namespace(NAMESPACE, accounts=["web", "client"])
            world.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NAMESPACE},
                          "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": WEB}]}})
            cls.server = cls.create(cls.pod("web", "web", [*APP, "serve", str(WEB), "web"]))
            cls.client = cls.create(cls.pod("client", "client", cls.idle()))
            for run in (cls.server, cls.client):
                world.wait(run.ready, 60, f"readiness of {run.name}")
        except BaseException:
            world.print_logs()
            raise

    @classmethod
    def objects(cls):
        """Everything that a person would apply."""
        said = subprocess.run([binary_path("byrniectl"), "manifests", "--overlay=etcd", "--sidecars=classic", f"--manifests={ROOT}",
                               "--etcd=" + ",".join(member.url for member in cls.etcd.members)], capture_output=True, text=True, check=True, timeout=30)
        objects = [item for item in yaml.safe_load_all(said.stdout) if item]
        for item in objects:
            if item["kind"] == "PodDisruptionBudget":
                assert item["apiVersion"] == "policy/v1", item
                item["apiVersion"] = "policy/v1beta1"
        secrets = {"byrnie-etcd": {"ca.crt": encoded(cls.etcd.path("ca.pem")), "tls.crt": encoded(cls.etcd.path("client.pem")),
                                   "tls.key": encoded(cls.etcd.path("client.key"))},
                   "byrnie-store-key": {"key": base64.b64encode(base64.b64encode(os.urandom(32))).decode()}}
        return objects + [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SYSTEM}, "data": data}
                          for name, data in secrets.items()]

    @classmethod
    def wait_planes(cls):
        def ready():
            runs = [cls.world.node.pod(SYSTEM, name) for name in PLANES]
            return runs if all(run and run.ready() for run in runs) else None
        return cls.world.wait(ready, 120, "three control planes")

    @staticmethod
    def idle():
        return ["/usr/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]

    @staticmethod
    def pod(name, account, command):
        return {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
                "spec": {"serviceAccountName": account, "terminationGracePeriodSeconds": 5,
                         "containers": [{"name": "app", "image": APP_IMAGE, "command": command}]}}

    def setUp(self):
        self.wait_planes()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.world.print_logs()
        return result

    @classmethod
    def create(cls, item):
        """A pod, as its controller would: again while the API server does not reach the webhook."""
        def made():
            try:
                return cls.world.pod(item, wait=False)
            except ApiError as error:
                if error.status not in (500, 503):
                    raise
                return None
        return wait_until(made, 60, f"the creation of {item['metadata']['name']}", every=0.5)

    def assert_talks(self, run):
        done = run["app"].run(*APP, "get", f"http://web.{NAMESPACE}/", "10")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "hello from web\n", ""))

    def comes_and_talks(self, name):
        run = self.create(self.pod(name, "client", self.idle()))
        self.addCleanup(self.delete_now, run)
        self.world.wait(run.ready, 60, f"readiness of {name}")
        self.assert_talks(run)

    def delete_now(self, run):
        self.world.api.delete(run.path, 1)
        self.world.wait(lambda: run.over, 10, f"the end of {run.name}")

    def test_they_are_one_control_plane(self):
        self.assert_talks(self.client)
        for run in self.wait_planes():
            # The manifests mount it as it has to be.
            self.assertNotIn("others can get at", run["controlplane"].log_text())
        roots = set()
        for run in self.wait_planes():
            with open(f"/proc/{run['controlplane'].container.pid}/root/run/byrnie/bundle.pem", encoding="ascii") as text:
                roots.add(text.read())
        self.assertEqual(len(roots), 1)

    def test_the_page_asks_the_one_that_has_the_operators_token(self):
        with open(PAGE, encoding="utf-8") as text:
            name, command = re.search(r"`umask 077; kubectl -n byrnie-system exec (\S+) -- (/usr/local/bin/byrniectl token create [^`]*/run/byrnie/[^`>]*) > ", text.read()).groups()
        self.assertIn(name, PLANES)

        def make(operator):
            words = command.replace("--operator=alice", f"--operator={operator}").split()
            done = self.world.node.pod(SYSTEM, name)["controlplane"].run(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(len(done.stdout.strip()), 30)
        make("first")
        # It is good for all three.
        for run in self.wait_planes():
            done = self.world.node.pod(SYSTEM, name)["controlplane"].run(
                "/usr/local/bin/byrniectl", "status", f"--control_plane={run.host.address}:15012", "--token=/run/byrnie/operator.token",
                "--trust_bundle=/run/byrnie/bundle.pem")
            self.assertEqual(done.returncode, 0, f"{run.name}: {done.stderr}")
        # Whatever starts again: a container, the others, its own pod.
        for number, other in enumerate([*(other for other in PLANES if other != name), name]):
            life = self.world.node.pod(SYSTEM, other)["controlplane"]
            ends = len(life.exit_codes)
            life.container.signal(signal.SIGKILL)
            self.world.wait(lambda life=life, ends=ends: len(life.exit_codes) > ends, 30, f"the end of {other}'s container")
            self.wait_planes()
            make(f"container-{number}")
        for other in (PLANES[2], name):
            run = self.world.node.pod(SYSTEM, other)
            self.world.api.delete(run.path, 0)
            self.world.wait(lambda run=run: run.over, 40, f"the end of {other}")
            self.wait_planes()
            make(f"pod-{other[-1]}")

    def test_one_that_is_left_is_enough(self):
        # Each in turn is the one that is left, whatever each of them leads.
        for left in PLANES:
            with self.subTest(left):
                gone = [self.world.node.pod(SYSTEM, name) for name in PLANES if name != left]
                for run in gone:
                    self.world.api.delete(run.path, 0)
                self.comes_and_talks(f"with-{left[-1]}")
                self.world.wait(lambda gone=gone: all(run.over for run in gone), 40, "the end of the two")
                self.wait_planes()

    def test_a_member_of_etcd_may_go(self):
        member = self.etcd.leader()
        member.kill()
        try:
            self.comes_and_talks("without-leader")
            self.wait_planes()
        finally:
            self.etcd.start()

    def test_nodes_are_drained_one_after_the_other(self):
        def allowed():
            return self.world.api.get(BUDGET).get("status", {}).get("disruptionsAllowed")
        self.world.wait(lambda: allowed() == 1, 30, "the budget to see the three")
        first, second = (self.world.node.pod(SYSTEM, name) for name in PLANES[:2])
        self.evict(first)
        with self.assertRaises(ApiError) as refused:
            self.evict(second)
        self.assertEqual(refused.exception.status, 429, refused.exception.body)
        self.world.wait(lambda: first.over, 40, "the end of the first")
        self.assertEqual(first["controlplane"].exit_codes, [0])
        self.wait_planes()
        self.world.wait(lambda: allowed() == 1, 30, "the budget to see three again")

    def evict(self, run):
        self.world.api.create(f"{run.path}/eviction", {"apiVersion": "policy/v1beta1", "kind": "Eviction",
                                                       "metadata": {"name": run.name, "namespace": run.namespace}})


if __name__ == "__main__":
    sys.exit(main())
