#!/usr/bin/python3
"""A cluster that has IPv6 alone: deploy/kubernetes comes up in it, and pods that a real API server has injected live in it from the image.

Proved, for native and for classic sidecars: agents find the control plane and have certificates for their pods' tokens; pods talk by mutual TLS, by name and to a pod's address; a kubelet's probes pass in strict mode and other plaintext does not; the control plane finds the API server.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kubernetes.world import NATIVE, PLANE, SYSTEM
from kubernetes.world_case import NAMESPACE, WorldCase, container
from testing.case import main
from testing.process import json_lines

KINDS = ("native", "classic")
WEB, PLAIN = 8080, 8081


def pod(name, kind, account, *containers):
    return {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}, "annotations": {NATIVE: "yes"} if kind == "native" else {}},
            "spec": {"serviceAccountName": account, "terminationGracePeriodSeconds": 5, "containers": list(containers)}}


class KubernetesIpv6Test(WorldCase):

    world_options = {"families": "6"}

    @classmethod
    def build(cls):
        world, probe = cls.world, {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1}
        cls.servers, cls.clients = {}, {}
        for kind in KINDS:
            name = f"web-{kind}"
            world.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
                          "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": WEB}]}})
            cls.servers[kind] = world.pod(pod(name, kind, "web", container("web", "serve", str(WEB), name, ports=[{"name": "http", "containerPort": WEB}],
                                                                           readinessProbe=probe), container("plain", "serve", str(PLAIN), name)), wait=False)
            cls.clients[kind] = world.pod(pod(f"client-{kind}", kind, "client", container("app", "serve", str(WEB), name)), wait=False)
        for each in [*cls.servers.values(), *cls.clients.values()]:
            world.wait(each.ready, 60, f"readiness of {each.name}")

    def test_nobody_has_an_ipv4_address(self):
        plane = self.world.node.pod(SYSTEM, PLANE)
        for run in [plane, *self.servers.values(), *self.clients.values()]:
            self.assertEqual(run.addresses, [run.host.address6])
            self.assertEqual(run.host.run("ip", "-4", "-o", "addr", "show", "dev", "eth0").stdout, "")
            self.assertEqual([each["ip"] for each in self.world.api.get(run.path)["status"]["podIPs"]], run.addresses)

    def test_pods_talk_by_mutual_tls(self):
        for client in self.clients.values():
            for kind, server in self.servers.items():
                for asked in (f"web-{kind}.{NAMESPACE}", f"[{server.host.address6}]:{WEB}"):
                    with self.subTest(client=client.name, asked=asked):
                        where = f"[{server.host.address6}]:{WEB}"
                        leaves = self.next_access(client, direction="outbound", result="allowed", destination=where, peer_identity=self.identity("web"))
                        arrives = self.next_access(server, direction="inbound", result="allowed", original_destination=where, peer_identity=self.identity("client"))
                        self.assertEqual(self.get(client, f"http://{asked}/"), f"hello from web-{kind}\n")
                        outbound, inbound = leaves(), arrives()
                        self.assertEqual((outbound["own_identity"], outbound["protocol"]), (self.identity("client"), "hbone"))
                        self.assertEqual((inbound["own_identity"], inbound["protocol"]), (self.identity("web"), "hbone"))

    def test_the_api_server_made_their_tokens(self):
        issued = [record for record in json_lines(self.world.node.pod(SYSTEM, PLANE)["controlplane"].log_text())
                  if record.get("proof", "").startswith("kubernetes")]
        for run in [*self.servers.values(), *self.clients.values()]:
            self.assertTrue([record for record in issued if run.object["metadata"]["uid"] in record["subject"]], run.name)

    def test_probes_pass_in_strict_mode_and_nothing_else_does(self):
        for run in self.servers.values():
            with self.subTest(run.name):
                self.access(run, protocol="probe", result="allowed", original_destination=f"[{run.host.address6}]:{WEB}")
                self.assertTrue(self.passes(run.host.address6, WEB))
                self.assertFalse(self.passes(run.host.address6, PLAIN))
                self.access(run, direction="inbound", reason="plaintext-refused", original_destination=f"[{run.host.address6}]:{PLAIN}")


if __name__ == "__main__":
    sys.exit(main())
