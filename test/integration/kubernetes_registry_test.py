#!/usr/bin/python3
"""The registry follows the objects of a real API server.

Proved: pods, services and what the server's own controller makes of them come to workloads and services, with the identity of the pod's account and the place of its node; an agent's discovery stream is told of one that comes and of one that goes; while the
API server is away all stays as it was, and what happened meanwhile is made good when it is back; a control plane that starts while it is away issues certificates, but lets no agent follow half a cluster; every meshed namespace has the trust bundle,
also one that becomes meshed, and the new root of a rotation; pods of Istio's are spoken to in plaintext unless roots are shared; a pod that ends and serves is an endpoint where no other is.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc

from testing.case import main
from testing.discovery_follower import Follower
from testing.kubernetes import ApiError, Cluster
from testing.loopback_control_plane import LoopbackControlPlane
from testing.process import wait_until

KUBERNETES = "ORIGIN_KUBERNETES"
INJECTED = {"byrnie.io/status": "{}"}
PATIENCE = 20  # The controllers' own pace is seconds.


class KubernetesRegistryTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        cluster.start(controllers=True)
        cluster.admin.create("/api/v1/nodes", {"metadata": {"name": "node-1", "labels": {
            "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-1"}}})
        cluster.namespace("shop", accounts=["cart"], labels={"byrnie.io/inject": "true"})
        cls.vip = cluster.admin.create("/api/v1/namespaces/shop/services", {
            "metadata": {"name": "cart"}, "spec": {"selector": {"app": "cart"}, "ports": [
                {"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}})["spec"]["clusterIP"]
        cls.plane = LoopbackControlPlane(f"--kubeconfig={cluster.control_plane_kubeconfig()}", registry="kubernetes")
        cls.addClassCleanup(cls.plane.__exit__)
        cls.plane.start()

    def pod(self, name, ip):
        return self.cluster.pod("shop", name, "cart", ip=ip, labels={"app": "cart"}, annotations=INJECTED)

    def workload(self, name):
        for entry in self.plane.call("ListWorkloads").workloads:
            if entry.name == name:
                return entry
        return None

    def service(self):
        return {entry.name: entry for entry in self.plane.call("ListServices").services}.get("shop/cart.shop.svc.cluster.local")

    def follow(self, *names):
        follower = Follower(self.plane, self.plane.issue("spiffe://cluster.local/ns/shop/sa/cart"), *names)
        self.addCleanup(follower.close)
        return follower

    def wait(self, condition, what):
        return wait_until(condition, PATIENCE, what, every=0.1)

    def test_objects_come_to_workloads_and_services(self):
        pod = self.pod("cart-1", "10.1.0.1")
        entry = self.wait(lambda: (found := self.workload("cart-1")) and found.services and found, "the pod behind its service")
        self.assertEqual((entry.uid, entry.namespace, entry.spiffe_id, list(entry.addresses), entry.protocol, entry.healthy, entry.node),
                         ("Kubernetes//Pod/shop/cart-1", "shop", "spiffe://cluster.local/ns/shop/sa/cart", ["10.1.0.1"], "HBONE",
                          True, "node-1"))
        self.assertEqual(list(entry.services), ["shop/cart.shop.svc.cluster.local"])
        service = self.service()
        self.assertEqual((list(service.addresses), list(service.ports), service.endpoints), ([self.vip], [80], 1))
        self.assertEqual((entry.DESCRIPTOR.fields_by_name["origin"].enum_type.values_by_number[entry.origin].name,
                          service.origin), (KUBERNETES, entry.origin))
        # It is changed where it comes from, and nowhere else.
        with self.assertRaises(grpc.RpcError) as caught:
            self.plane.call("DeleteWorkload", name="shop/cart-1")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("kubectl", caught.exception.details())
        follower = self.follow("/10.1.0.1")
        told = self.wait(lambda: follower.last.get("/10.1.0.1"), "the address").workload
        self.assertEqual((told.locality.region, told.locality.zone, told.workload_name), ("eu", "eu-1", "cart-1"))
        ports = told.services["shop/cart.shop.svc.cluster.local"].ports
        self.assertEqual([(port.service_port, port.target_port) for port in ports], [(80, 8080)])
        # One that is not ready any more takes no new connections; one that is gone is nobody's.
        self.cluster.pod_status("shop", "cart-1", "10.1.0.1", ready=False)
        self.wait(lambda: follower.last["/10.1.0.1"].workload.status == 1, "the pod to be unhealthy")
        self.cluster.delete_pod(pod)
        self.wait(lambda: follower.last["/10.1.0.1"] is None, "the end of the pod")
        self.assertIsNone(self.workload("cart-1"))

    def test_pods_of_istios_are_reached_in_plaintext_unless_roots_are_shared(self):
        # As Istio's injector marks every pod of its own, and as its ambient mode does.
        ways = {"sidecar": ({"security.istio.io/tlsMode": "istio"}, {}), "ambient": ({}, {"ambient.istio.io/redirection": "enabled"})}
        for number, (name, (labels, annotations)) in enumerate(ways.items()):
            pod = self.cluster.pod("shop", name, "cart", ip=f"10.1.7.{number + 1}", labels=labels, annotations=annotations)
            self.addCleanup(lambda pod=pod: self.cluster.delete_pod(pod))
        protocols = lambda: {name: entry.protocol for name in ways if (entry := self.workload(name))}
        self.wait(lambda: protocols() == {"sidecar": "NONE", "ambient": "NONE"}, "pods that are spoken to in plaintext")
        self.plane.stop()
        self.plane.flags.append("--istio_peers")
        self.plane.start()
        try:
            self.wait(lambda: protocols() == {"sidecar": "LEGACY_ISTIO_MTLS", "ambient": "HBONE"}, "pods that are spoken to as by Istio's")
        finally:
            self.plane.flags.remove("--istio_peers")
            self.plane.stop()
            self.plane.start()
            # Whoever comes before the cluster is known is sent away.
            self.wait(lambda: protocols() == {"sidecar": "NONE", "ambient": "NONE"}, "the cluster, after the restart")

    def test_a_pod_that_ends_and_serves_has_new_connections_where_no_other_has(self):
        self.cluster.admin.create("/api/v1/namespaces/shop/services", {"metadata": {"name": "last"}, "spec": {"ports": [{"name": "http", "port": 80}]}})
        pods = [self.cluster.pod("shop", f"last-{number}", "cart", ip=f"10.1.8.{number}", annotations=INJECTED) for number in (1, 2)]
        for pod in pods:
            self.addCleanup(lambda pod=pod: self.cluster.delete_pod(pod))
        # By hand, since a controller of this release has none in it that end.
        self.cluster.admin.create("/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices", {
            "metadata": {"name": "last-1", "labels": {"kubernetes.io/service-name": "last", "endpointslice.kubernetes.io/managed-by": "the-test"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": [
                {"addresses": [f"10.1.8.{number}"], "targetRef": {"kind": "Pod", "namespace": "shop", "name": f"last-{number}", "uid": pod["metadata"]["uid"]}}
                for number, pod in enumerate(pods, 1)]})
        state = lambda: [(entry.healthy, len(entry.services)) for name in ("last-1", "last-2") if (entry := self.workload(name))]
        self.wait(lambda: state() == [(True, 1), (True, 1)], "two endpoints")
        self.cluster.admin.delete("/api/v1/namespaces/shop/pods/last-1", grace_seconds=600)
        self.wait(lambda: state() == [(False, 1), (True, 1)], "one that ends beside one that does not")
        self.cluster.pod_status("shop", "last-2", "10.1.8.2", ready=False)
        self.wait(lambda: state() == [(True, 1), (False, 1)], "the one that ends in the place of the other")
        self.cluster.pod_status("shop", "last-2", "10.1.8.2")
        self.wait(lambda: state() == [(False, 1), (True, 1)], "the other again")

    def test_what_is_known_stays_while_the_server_is_away(self):
        kept, gone = self.pod("cart-2", "10.1.0.2"), self.pod("cart-3", "10.1.0.3")
        self.addCleanup(lambda: self.cluster.delete_pod(kept))
        follower = self.follow("/10.1.0.2", "/10.1.0.3", "/10.1.0.4")
        self.wait(lambda: all(follower.last.get(f"/10.1.0.{n}") for n in (2, 3)), "both pods")
        self.cluster.stop_api_server()
        self.wait(lambda: "cannot follow the API server" in self.plane.log_text(), "a word of the outage")
        self.assertTrue(self.workload("cart-2") and self.workload("cart-3"))
        self.assertTrue(follower.last["/10.1.0.2"] and follower.last["/10.1.0.3"])
        self.cluster.start_api_server()
        self.cluster.delete_pod(gone)
        new = self.pod("cart-4", "10.1.0.4")
        self.addCleanup(lambda: self.cluster.delete_pod(new))
        self.wait(lambda: follower.last["/10.1.0.3"] is None and follower.last.get("/10.1.0.4"), "what happened meanwhile")
        self.assertTrue(follower.last["/10.1.0.2"])
        self.assertFalse(follower.ended())

    def test_half_a_cluster_is_followed_by_nobody(self):
        pod = self.pod("cart-5", "10.1.0.5")
        self.addCleanup(lambda: self.cluster.delete_pod(pod))
        self.wait(lambda: self.workload("cart-5"), "the pod")
        self.plane.stop()
        self.cluster.stop_api_server()
        self.plane.start()
        early = self.follow("/10.1.0.5")
        wait_until(early.ended, 5, "the end of a stream that came too early")
        self.assertEqual(early.error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(early.last, {})
        self.cluster.start_api_server()
        self.wait(lambda: self.workload("cart-5"), "the pod, after both restarts")
        follower = self.follow("/10.1.0.5")
        self.wait(lambda: follower.last.get("/10.1.0.5"), "the address")

    def bundle(self, namespace):
        try:
            return self.cluster.admin.get(f"/api/v1/namespaces/{namespace}/configmaps/byrnie-trust-bundle")["data"]["bundle.pem"]
        except ApiError as error:
            if error.status != 404:
                raise
            return ""

    def test_meshed_namespaces_have_the_trust_bundle(self):
        roots = self.plane.read("bundle.pem").decode()
        self.wait(lambda: self.bundle("shop") == roots, "the bundle in a meshed namespace")
        self.cluster.namespace("later")
        self.assertEqual(self.bundle("later"), "")
        self.cluster.admin.patch("/api/v1/namespaces/later", {"metadata": {"labels": {"byrnie.io/inject": "true"}}})
        self.wait(lambda: self.bundle("later") == roots, "the bundle in a namespace that became meshed")
        self.assertEqual(self.bundle("default"), "")
        self.plane.call("RotateTrust")
        self.wait(lambda: self.bundle("shop").count("BEGIN CERTIFICATE") == 2, "both roots of a rotation")
        self.assertIn(roots, self.bundle("shop"))

    def test_a_trust_bundle_that_somebody_deletes_or_changes_is_back(self):
        roots = self.plane.read("bundle.pem").decode()
        path = "/api/v1/namespaces/shop/configmaps/byrnie-trust-bundle"
        self.wait(lambda: self.bundle("shop") == roots, "the bundle in a meshed namespace")
        self.cluster.admin.delete(path)
        wait_until(lambda: self.bundle("shop") == roots, 10, "the bundle that was deleted", every=0.2)
        self.cluster.admin.patch(path, {"data": {"bundle.pem": ""}})
        wait_until(lambda: self.bundle("shop") == roots, 10, "the bundle that was emptied", every=0.2)


if __name__ == "__main__":
    sys.exit(main())
