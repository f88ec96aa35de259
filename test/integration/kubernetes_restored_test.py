#!/usr/bin/python3
"""A control plane that runs while its cluster's etcd is restored from an older copy follows the cluster that is there then.

The API server then counts its resource versions from where the copy was. It takes a watch from one that it has not come to yet, and tells nothing below it.

Proved: within seconds new pods are known, an address is the pod's that has it now, pods that the copy does not have are nobody any more, and a namespace that becomes meshed has the trust bundle; also where the control plane sees no API server that is away,
as behind a load balancer. The log and a metric say what happened.
"""

import contextlib
import os
import signal
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes import ApiError, Cluster
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import parse_metrics
from testing.process import json_lines, wait_until

INJECTED = {"byrnie.io/status": "{}"}
SET_BACK = "the API server has an older state than before, as after a restore: all is listed anew"
# More than what a starting API server writes, so that what is restored has not come as far again by the time that it is asked.
CHANGES = 300
# An API server that is away for a quarter of a minute is tried again after up to as much.
PATIENCE = 40


class KubernetesRestoredTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()
        cls.plane = LoopbackControlPlane(f"--kubeconfig={cls.cluster.control_plane_kubeconfig()}", registry="kubernetes")
        cls.addClassCleanup(cls.plane.__exit__)
        cls.plane.start()

    def pod(self, name, account, ip):
        self.cluster.pod(self.namespace, name, account, ip=ip, annotations=INJECTED)

    def known(self):
        """Accounts and addresses of pods by their names."""
        return {entry.name: (entry.spiffe_id.rsplit("/", 1)[1], list(entry.addresses))
                for entry in self.plane.call("ListWorkloads").workloads if entry.namespace == self.namespace}

    def bundle(self, namespace):
        with contextlib.suppress(ApiError):
            return self.cluster.admin.get(f"/api/v1/namespaces/{namespace}/configmaps/byrnie-trust-bundle")["data"]["bundle.pem"]
        return ""

    def said(self):
        return [record for record in json_lines(self.plane.log_text()) if record.get("message") == SET_BACK]

    def counted(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/metrics", timeout=5) as answer:
            metrics = parse_metrics(answer.read().decode())
        return sum(value for series, value in metrics.items() if series.startswith("byrnie_controlplane_kubernetes_set_back_total{"))

    def restored_while(self, context, namespace, net):
        self.namespace, first, second = namespace, f"{net}.1", f"{net}.2"
        self.cluster.namespace(namespace, accounts=["web", "other"], labels={"byrnie.io/inject": "true"})
        self.pod("early", "web", first)
        wait_until(lambda: "early" in self.known(), PATIENCE, "the pod before the copy", every=0.1)
        self.cluster.back_up_etcd()
        for number in range(CHANGES):
            self.cluster.admin.patch(f"/api/v1/namespaces/{namespace}/pods/early", {"metadata": {"labels": {"changed": str(number)}}})
        self.pod("later", "web", second)
        wait_until(lambda: "later" in self.known(), PATIENCE, "the pod after the copy", every=0.1)
        before = len(self.said())
        with context:
            self.cluster.restore_etcd()
        self.pod("fresh", "other", second)
        self.cluster.namespace(f"{namespace}-new", labels={"byrnie.io/inject": "true"})
        expected = {"early": ("web", [first]), "fresh": ("other", [second])}
        wait_until(lambda: self.known() == expected, PATIENCE, "the pods that are there", every=0.1)
        roots = self.plane.read("bundle.pem").decode()
        wait_until(lambda: self.bundle(f"{namespace}-new") == roots, PATIENCE, "the bundle in a new namespace", every=0.1)
        said = self.said()
        self.assertGreater(len(said), before)
        for record in said:
            self.assertEqual(record["level"], "warning")
            self.assertLess(int(record["now"]), int(record["known"]))
        self.assertEqual(self.counted(), len(said))

    def test_pods_and_namespaces_are_those_of_the_restored_cluster(self):
        self.restored_while(contextlib.nullcontext(), "shop", "10.1.0")

    @contextlib.contextmanager
    def paused(self):
        self.plane.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.plane.process.send_signal(signal.SIGCONT)

    def test_nor_need_the_api_server_be_seen_to_be_away(self):
        self.restored_while(self.paused(), "store", "10.1.1")


if __name__ == "__main__":
    sys.exit(main())
