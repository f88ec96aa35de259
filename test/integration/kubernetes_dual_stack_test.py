#!/usr/bin/python3
"""Injected pods with addresses of both families, whichever of them is the first: a real API server has them injected, and what it keeps is run from the image.

Proved, for native and for classic sidecars: pods talk over IPv6 by mutual TLS, to a pod's address, to a service's, and by the name of a service that has IPv6 alone, and over IPv4 to the same pods; a kubelet's probes over IPv6 pass in strict mode, declared ones and those that the proxy makes, and other plaintext
over IPv6 does not; agents of such pods are attested by the tokens of their pods.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kubernetes.pod import FAMILIES
from kubernetes.world import NATIVE
from kubernetes.world_case import NAMESPACE, WorldCase, container
from testing.case import main
from testing.process import wait_until

WEB, HEALTH = 8080, 8081
KINDS = [(kind, families) for kind in ("native", "classic") for families in ("46", "64")]


def pod(name, kind, families, *containers, account="web", **annotations):
    said = {FAMILIES: families, **({NATIVE: "yes"} if kind == "native" else {}), **{f"byrnie.io/{key}": value for key, value in annotations.items()}}
    return {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}, "annotations": said},
            "spec": {"serviceAccountName": account, "terminationGracePeriodSeconds": 5, "containers": list(containers)}}


class KubernetesDualStackTest(WorldCase):

    world_options = {"families": "46"}

    @classmethod
    def build(cls):
        world, probe = cls.world, {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1}
        cls.services, cls.servers, cls.clients = {}, {}, {}
        for kind, families in KINDS:
            name = f"web-{kind}-{families}"
            cls.services[name] = cls.service(name, name, ipFamilyPolicy="RequireDualStack")
            cls.servers[name] = world.pod(pod(name, kind, families, container("web", "serve", str(WEB), name, ports=[{"name": "http", "containerPort": WEB}],
                                                                              readinessProbe=probe)), wait=False)
        for kind, families in (("native", "46"), ("classic", "64")):
            name = f"client-{kind}-{families}"
            cls.clients[name] = world.pod(pod(name, kind, families, container("app", "serve", str(HEALTH), name), account="client"), wait=False)
        for each in [*cls.servers.values(), *cls.clients.values()]:
            world.wait(each.ready, 60, f"readiness of {each.name}")

    @classmethod
    def service(cls, name, app, **spec):
        """Its addresses."""
        made = cls.world.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
                                 "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": WEB}], **spec}})
        return made["spec"]["clusterIPs"]

    def assert_meshed(self, client, name, server, asked, dialled):
        """`client` asks for the address `asked`, and is answered by mutual TLS from `server`, called `name`, at the address `dialled`."""
        leaves = self.next_access(client, direction="outbound", result="allowed", original_destination=asked, peer_identity=self.identity("web"))
        arrives = self.next_access(server, direction="inbound", result="allowed", original_destination=dialled, peer_identity=self.identity("client"))
        self.assertEqual(self.get(client, f"http://{asked}/"), f"hello from {name}\n")
        outbound, inbound = leaves(), arrives()
        self.assertEqual((outbound["own_identity"], outbound["protocol"]), (self.identity("client"), "hbone"))
        self.assertEqual((inbound["own_identity"], inbound["protocol"]), (self.identity("web"), "hbone"))
        self.assertEqual(outbound["destination"], dialled, outbound)

    def for_all_pairs(self, look):
        """Every client with every server: look(client, the server's name, server)."""
        for client in self.clients.values():
            for name, server in self.servers.items():
                with self.subTest(client=client.name, server=name):
                    look(client, name, server)

    def test_the_cluster_has_both_addresses_of_each(self):
        for run in [*self.servers.values(), *self.clients.values()]:
            status = self.world.api.get(run.path)["status"]
            self.assertEqual([each["ip"] for each in status["podIPs"]], run.addresses)
            self.assertEqual(len(run.addresses), 2)
        self.assertEqual({len(addresses) for addresses in self.services.values()}, {2})

    def test_pods_talk_over_ipv6_to_a_pods_address(self):
        def look(client, name, server):
            where = f"[{server.host.address6}]:{WEB}"
            self.assert_meshed(client, name, server, where, where)
        self.for_all_pairs(look)

    def test_pods_talk_over_ipv6_to_a_services_address(self):
        def look(client, name, server):
            six, = [address for address in self.services[name] if ":" in address]
            self.assert_meshed(client, name, server, f"[{six}]:80", f"[{server.host.address6}]:{WEB}")
        self.for_all_pairs(look)

    def test_pods_talk_over_ipv4_to_the_same_ones(self):
        def look(client, name, server):
            four, = [address for address in self.services[name] if ":" not in address]
            self.assert_meshed(client, name, server, f"{four}:80", f"{server.host.address}:{WEB}")
        self.for_all_pairs(look)

    def test_a_service_of_ipv6_alone_has_a_name(self):
        addresses = self.service("six", "web-native-46", ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack")
        self.assertEqual([":" in address for address in addresses], [True])
        for client in self.clients.values():
            with self.subTest(client.name):
                # What the control plane's watch has not told of yet goes past the mesh.
                def through(client=client):
                    self.assertEqual(self.get(client, f"http://six.{NAMESPACE}/"), "hello from web-native-46\n")
                    return self.access_records(client, direction="outbound", result="allowed", original_destination=f"[{addresses[0]}]:80",
                                        peer_identity=self.identity("web"))
                wait_until(through, 10, "a request through the mesh", every=0.3)

    # Probes.

    def test_probes_over_ipv6_pass_in_strict_mode_and_nothing_else_does(self):
        probed = {"startupProbe": {"tcpSocket": {"port": "health"}, "periodSeconds": 1, "failureThreshold": 30},
                  "readinessProbe": {"httpGet": {"path": "/healthz", "port": "health"}, "periodSeconds": 1}}
        for kind, families in KINDS:
            with self.subTest(kind=kind, families=families):
                name = f"probed-{kind}-{families}"
                run = self.world.pod(pod(name, kind, families, container("app", "serve", str(HEALTH), name, ports=[{"name": "health", "containerPort": HEALTH}],
                                                                         **probed), container("web", "serve", str(WEB), name)))
                self.addCleanup(self.delete_now, run)
                first = f"[{run.host.address6}]" if families == "64" else run.host.address
                self.access(run, protocol="probe", result="allowed", original_destination=f"{first}:{HEALTH}")
                self.assertTrue(self.passes(run.addresses[0], HEALTH))
                # status.hostIP, which is all that classic sidecars are told, is of the family that the kubelet asks over.
                self.assertEqual(self.passes(run.addresses[1], HEALTH), kind == "native")
                for address in run.addresses:
                    self.assertFalse(self.passes(address, WEB))
                self.access(run, direction="inbound", reason="plaintext-refused", original_destination=f"[{run.host.address6}]:{WEB}")

    def test_rewritten_probes_over_ipv6_pass(self):
        for kind in ("native", "classic"):
            with self.subTest(kind):
                name = f"rewritten-{kind}"
                run = self.world.pod(pod(name, kind, "64", container(
                    "app", "serve", str(HEALTH), name, ports=[{"name": "health", "containerPort": HEALTH}],
                    readinessProbe={"httpGet": {"path": "/healthz", "port": "health"}, "periodSeconds": 1}), probes="rewrite"))
                self.addCleanup(self.delete_now, run)
                self.assertEqual(run["app"].spec["readinessProbe"]["httpGet"]["port"], 15021)
                self.assertFalse(self.passes(run.host.address6, HEALTH))

    def delete_now(self, run):
        self.world.api.delete(run.path, 1)
        self.world.wait(lambda: run.over, 10, f"the end of {run.name}")


if __name__ == "__main__":
    sys.exit(main())
