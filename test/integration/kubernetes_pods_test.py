#!/usr/bin/python3
"""Injected pods live in a cluster as they are written: a real API server has them injected, and what it keeps is run from the image.

Proved, with the control plane run from deploy/kubernetes and the image too, and agents attested by the tokens that the API server makes for their pods: pods with native and with classic sidecars find each other by name and talk by mutual TLS; the containers are what
their security contexts say, and only the agent has a token; the kubelet's probes by HTTP, TCP, gRPC and command pass in strict mode, other plaintext does not; rewritten ones pass by way of the proxy, and no plaintext; an application's init container has the mesh's network; Jobs finish; an end lets a
request that is under way have its answer, and all end with 0, the proxy after the application, the agent after the proxy; a sidecar that is killed comes back; the control plane's pod is replaced while pods talk, and those that come later are of the same mesh.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kubernetes.world import APP_IMAGE, NATIVE, PLANE, SYSTEM
from kubernetes.world_case import APP, NAMESPACE, PROXY, WorldCase, container
from testing.case import main
from testing.mesh import PROXY_UID
from testing.process import json_lines

KINDS = ("native", "classic")
AGENT, REDIRECT = "byrnie-agent", "byrnie-redirect"
WEB, HEALTH, GRPC = 8080, 8081, 8082


def idle(name="app"):
    """It does nothing, and ends when it is told."""
    return {"name": name, "image": APP_IMAGE, "command": ["/usr/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]}


def annotations(kind):
    return {NATIVE: "yes"} if kind == "native" else {}


def pod(name, kind, *containers, labels=None, account=None, **spec):
    return {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name, **(labels or {})}, "annotations": annotations(kind)},
            "spec": {"serviceAccountName": account or "web", "terminationGracePeriodSeconds": 20, "containers": list(containers), **spec}}


class KubernetesPodsTest(WorldCase):

    accounts = ["web", "client", "setup"]

    @classmethod
    def build(cls):
        world = cls.world
        for kind in KINDS:
            world.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"web-{kind}", "namespace": NAMESPACE},
                          "spec": {"selector": {"app": f"web-{kind}"}, "ports": [{"port": 80, "targetPort": WEB}]}})
        cls.servers = {kind: world.pod(cls.server(f"web-{kind}", kind), wait=False) for kind in KINDS}
        cls.clients = {kind: world.pod(pod(f"client-{kind}", kind, idle(), account="client"), wait=False) for kind in KINDS}
        for each in [*cls.servers.values(), *cls.clients.values()]:
            world.wait(each.ready, 60, f"readiness of {each.name}")

    @staticmethod
    def server(name, kind, **spec):
        return pod(name, kind, container("web", "serve", str(WEB), name, ports=[{"name": "http", "containerPort": WEB}],
                                         readinessProbe={"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1}), **spec)

    @staticmethod
    def records(run, name):
        return json_lines(run[name].log_text())

    def test_two_of_them_talk_by_mutual_tls(self):
        for client in self.clients.values():
            for kind, server in self.servers.items():
                with self.subTest(client=client.name, server=server.name):
                    arrives = self.next_access(server, direction="inbound", result="allowed", peer_identity=self.identity("client"))
                    leaves = self.next_access(client, direction="outbound", result="allowed", peer_identity=self.identity("web"))
                    self.assertEqual(self.get(client, f"http://web-{kind}.{NAMESPACE}/"), f"hello from web-{kind}\n")
                    inbound, outbound = arrives(), leaves()
                    self.assertEqual((inbound["own_identity"], inbound["protocol"]), (self.identity("web"), "hbone"))
                    self.assertEqual(outbound["own_identity"], self.identity("client"))

    def test_the_api_server_made_their_tokens(self):
        runs = [run for run in [*self.world.node.past, *self.world.node.pods.values()] if run.name == PLANE]
        issued = [record for run in runs for record in json_lines(run["controlplane"].log_text()) if record.get("proof", "").startswith("kubernetes")]
        for run in [*self.servers.values(), *self.clients.values()]:
            uid = run.object["metadata"]["uid"]
            self.assertTrue([record for record in issued if uid in record["subject"]], run.name)

    def test_they_are_what_their_security_contexts_say(self):
        for run in [*self.servers.values(), *self.clients.values()]:
            self.assertEqual(run[REDIRECT].exit_codes, [0])
            for name in (AGENT, PROXY):
                with self.subTest(pod=run.name, container=name):
                    status = run[name].container.status()
                    self.assertEqual((status["Uid"].split(), status["Gid"].split(), status["Groups"]), ([str(PROXY_UID)] * 4, [str(PROXY_UID)] * 4, ""))
                    self.assertEqual({status[each] for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {"0" * 16})
                    self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                    self.assertIn("ro", self.mounts(run[name])[0].split()[3].split(","))
                    self.assertEqual(run[name].run("sh").returncode, 127)
            # Also under a runtime's seccomp profile.
            self.assertEqual(self.records(run, AGENT)[0]["key_memory"], "hidden")
            self.assertEqual([name for name in (AGENT, PROXY) if self.has(run[name], "/run/secrets/byrnie/token")], [AGENT])
            self.assertEqual([life.name for life in run.inits + run.apps if life.name != REDIRECT
                              and self.has(life, "/var/run/secrets/kubernetes.io/serviceaccount/token")], [run.apps[-1].name])

    @staticmethod
    def mounts(life):
        with open(f"/proc/{life.container.pid}/mounts", encoding="utf-8") as text:
            return text.read().splitlines()

    @staticmethod
    def has(life, path):
        return os.path.exists(f"/proc/{life.container.pid}/root{path}")

    # Probes.

    def test_probes_pass_in_strict_mode_and_nothing_else_does(self):
        probed = {
            "startupProbe": {"tcpSocket": {"port": "health"}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "health"}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": [*APP, "get", f"http://127.0.0.1:{HEALTH}/healthz"]}, "periodSeconds": 1, "timeoutSeconds": 5}}
        for kind in KINDS:
            with self.subTest(kind):
                name = f"probed-{kind}"
                other = {"grpc": {"readinessProbe": {"grpc": {"port": GRPC}, "periodSeconds": 1, "timeoutSeconds": 2}}} if kind == "native" else {}
                run = self.world.pod(pod(name, kind, container("app", "serve", str(HEALTH), name, ports=[{"name": "health", "containerPort": HEALTH}], **probed),
                                         container("grpc", "health", str(GRPC)), container("web", "serve", str(WEB), name)), newer=other)
                self.addCleanup(self.delete_now, run)
                self.assertEqual([life.exit_codes for life in run.apps], [[]] * len(run.apps))
                self.access(run, protocol="probe", result="allowed", original_destination=f"{run.host.address}:{HEALTH}")
                self.assertTrue(self.passes(run.host.address, HEALTH))
                self.assertEqual(self.passes(run.host.address, GRPC, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"), kind == "native")
                self.assertFalse(self.passes(run.host.address, WEB))
                self.access(run, direction="inbound", reason="plaintext-refused", original_destination=f"{run.host.address}:{WEB}")

    def test_rewritten_probes_pass_and_open_nothing(self):
        probed = {"startupProbe": {"tcpSocket": {"port": "health"}, "periodSeconds": 1, "failureThreshold": 30},
                  "readinessProbe": {"httpGet": {"path": "/healthz", "port": "health"}, "periodSeconds": 1, "failureThreshold": 1}}
        for kind in KINDS:
            with self.subTest(kind):
                name = f"rewritten-{kind}"
                other = {"grpc": {"readinessProbe": {"grpc": {"port": GRPC}, "periodSeconds": 1, "timeoutSeconds": 2}}} if kind == "native" else {}
                item = pod(name, kind, container("app", "serve", str(HEALTH), name, ports=[{"name": "health", "containerPort": HEALTH}], **probed),
                           container("grpc", "health", str(GRPC)))
                item["metadata"]["annotations"]["byrnie.io/probes"] = "rewrite"
                run = self.world.pod(item, newer=other)
                self.addCleanup(self.delete_now, run)
                for app in ("app", "grpc") if kind == "native" else ("app",):
                    self.assertEqual(run[app].spec["readinessProbe"]["httpGet"]["port"], 15021)
                self.assertFalse(self.passes(run.host.address, GRPC, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"))
                self.assertFalse(self.passes(run.host.address, HEALTH))
                self.access(run, direction="inbound", reason="plaintext-refused", original_destination=f"{run.host.address}:{HEALTH}")
                run["app"].container.signal(signal.SIGSTOP)
                try:
                    self.world.wait(lambda run=run: not run.ready(), 15, "the probe of an application that hangs to fail")
                finally:
                    run["app"].container.signal(signal.SIGCONT)
                self.world.wait(run.ready, 15, "it to pass again")
                self.assertIn("a probe of the application fails", run[PROXY].log_text())

    # Beginnings and ends.

    def test_an_init_container_has_the_meshs_network(self):
        init = container("setup", "get", f"http://web-native.{NAMESPACE}/", "5")
        run = self.world.pod(pod("with-setup", "native", idle(), account="setup", initContainers=[init]))
        self.addCleanup(self.delete_now, run)
        self.assertEqual([life.name for life in run.inits], [AGENT, PROXY, REDIRECT, "setup"])
        self.assertEqual((run["setup"].exit_codes, run["setup"].log_text()), ([0], "hello from web-native\n"))
        self.assertLess(run["setup"].ended, run["app"].began)
        self.access(self.servers["native"], direction="inbound", result="allowed", peer_identity=self.identity("setup"))

    def test_jobs_finish(self):
        jobs = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        for kind in KINDS:
            with self.subTest(kind):
                name = f"job-{kind}"
                self.world.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"template": {
                    "metadata": {"annotations": annotations(kind)},
                    "spec": {"serviceAccountName": "client", "restartPolicy": "OnFailure",
                             "containers": [container("once", "get", f"http://web-{kind}.{NAMESPACE}/", "10")]}}}})
                self.world.wait(lambda: self.world.api.get(f"{jobs}/{name}").get("status", {}).get("succeeded") == 1, 40, f"the end of {name}")
                run, = [run for run in self.world.node.pods.values() if run.name.startswith(name)]
                self.world.wait(lambda: run.over, 5, "the end of its pod")
                self.assertEqual(run["once"].log_text(), f"hello from web-{kind}\n")
                self.assert_ended_well(run, "once")
                self.assertEqual(run.phase, "Succeeded")

    def assert_ended_well(self, run, app):
        """All of themselves, and without an error: first the application."""
        self.assertEqual({life.name: life.exit_codes for life in (run[app], run[PROXY], run[AGENT])}, {app: [0], PROXY: [0], AGENT: [0]})
        self.assertLess(run[app].ended, run[PROXY].ended)

    def test_an_end_waits_for_what_is_under_way(self):
        for kind in KINDS:
            with self.subTest(kind):
                name = f"ending-{kind}"
                self.world.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
                                   "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": WEB}]}})
                run = self.world.pod(self.server(name, kind))
                self.assertEqual(self.get(self.clients["native"], f"http://{name}.{NAMESPACE}/"), f"hello from {name}\n")
                with self.clients["native"]["app"].container.open([*APP, "get", f"http://{name}.{NAMESPACE}/slow/3"]) as request:
                    self.assertEqual(request.stdout.readline(), "begun\n")
                    asked = time.monotonic()
                    self.world.delete(run)
                    self.assertEqual(request.stdout.read(), f"hello from {name}\n")
                    self.assertEqual(request.wait(), 0)
                self.world.wait(lambda: run.over, 20, "the end of the pod")
                self.assert_ended_well(run, "web")
                self.assertEqual([record["reason"] for record in self.records(run, AGENT) if record["message"] == "proxy disconnected"],
                                 ["it ended the link"], "the agent was there until then")
                self.assertGreater(run["web"].ended - asked, 2)
                self.assertLess(run[AGENT].ended - asked, 18, "before the kubelet would have killed it")
                self.assertEqual(self.records(run, PROXY)[-1]["message"], "ended")
                self.world.wait(lambda: self.world.node.pod(NAMESPACE, name) is None, 5, "the pod to be gone")

    def test_a_sidecar_that_is_killed_comes_back(self):
        client = self.clients["native"]
        for name in (PROXY, AGENT):
            with self.subTest(name):
                client[name].container.signal(signal.SIGKILL)
                self.world.wait(lambda name=name: client[name].exit_codes and client[name].ended is None and client.ready(), 20, "it to be back")
                self.assertEqual(client[name].exit_codes, [137])
                self.assertEqual(self.get(client, f"http://web-native.{NAMESPACE}/"), "hello from web-native\n")

    def test_a_control_plane_that_is_replaced_is_not_missed(self):
        old = self.world.node.pod(SYSTEM, PLANE)
        self.world.delete(old)
        self.world.wait(lambda: old.over, 20, "its end")
        self.assertEqual(old["controlplane"].exit_codes, [0])
        self.assertEqual(self.get(self.clients["classic"], f"http://web-classic.{NAMESPACE}/"), "hello from web-classic\n")
        new = self.world.wait_plane()
        self.assertIsNot(new, old)
        # Of the same CA, which is on the volume: who comes now is trusted by who was there.
        late = self.world.pod(pod("late", "native", idle(), account="client"))
        self.addCleanup(self.delete_now, late)
        self.assertEqual(self.get(late, f"http://web-classic.{NAMESPACE}/"), "hello from web-classic\n")

    def delete_now(self, run):
        self.world.api.delete(run.path, 1)
        self.world.wait(lambda: run.over, 10, f"the end of {run.name}")


if __name__ == "__main__":
    sys.exit(main())
