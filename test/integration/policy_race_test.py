#!/usr/bin/python3
"""What two control planes over one etcd acknowledge goes together, and is kept whoever dies; what does not go together stops nobody.

Proved, over https with client certificates: of the deletion of a policy at one control plane and a workload that names it at the
other, at the same moment, one is refused, every time, and both have the same afterwards; while policies are applied and deleted
at both, kill -9 of each control plane and of etcd loses nothing that was acknowledged; with a record taken out of etcd by hand,
so that a workload names a policy that is not there, both start, `byrniectl check` names the workload and the remedy, an
emergency policy applied at one is in force at the other, and once the policy is applied again all is well.
"""

import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import grpc_call
from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane
from testing.messages import Messages
from testing.policy_writer import PolicyWriter, policy_document, policy_names
from testing.process import wait_until

OK = 0
PREFIX = "test/mesh"
ROUNDS = 25


def workload(name, address, *policies):
    return json.dumps({"workloads": [{"name": name, "namespace": "demo", "service_account": name, "addresses": [address],
                                      "authorization_policies": list(policies)}]})


class PolicyRaceTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.messages = Messages("byrnie/operator/v1/operator.proto")
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.planes = [mesh.control_plane, ControlPlane(mesh, "control3", 3)]
        mesh.registry.write()
        for plane in cls.planes:
            plane.store_flags = cls.etcd.store_flags(PREFIX)
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
            plane.start()
        cls.trust = grpc_call.context_for(mesh.control_plane.bundle)
        with open(mesh.control_plane.operator_token, encoding="ascii") as token:
            cls.operator_token = token.read().strip()
        cls.caller = mesh.outsider("caller")

    def call(self, plane, method, **fields):
        """(code, response)"""
        request = self.messages[f"byrnie.operator.v1.{method}Request"](**fields)
        answer = grpc_call.call(self.caller, self.planes[plane].host.address, ControlPlane.PORT, self.trust,
                                f"/byrnie.operator.v1.Operator/{method}", request.SerializeToString(), self.operator_token, 15.0)
        return answer.code, self.messages[f"byrnie.operator.v1.{method}Response"].FromString(answer.response)

    def apply(self, plane, document):
        return self.call(plane, "ApplyPolicy", document=document, accept_findings=True)[0]

    def policies(self, plane):
        return policy_names(self.call, plane)

    def workloads(self, plane):
        return {entry.name for entry in self.call(plane, "ListWorkloads", page_size=1000)[1].workloads if entry.namespace == "demo"}

    def troubles(self, plane):
        return list(self.call(plane, "GetStatus")[1].stored_troubles)

    def restart_all(self):
        for plane in self.planes:
            plane.process.kill()
        for plane in self.planes:
            plane.start()

    def test_what_refers_to_each_other_goes_together(self):
        refused = 0
        for number in range(ROUNDS):
            name, pod = f"p{number}", f"q{number}"
            self.assertEqual(self.apply(0, policy_document(name, "WORKLOAD_SELECTOR")), OK)
            wait_until(lambda: f"demo/{name}" in self.policies(1), 3, "the policy at the other control plane", every=0.02)
            codes, barrier = {}, threading.Barrier(2)

            def both(what, plane, method, fields):
                barrier.wait()
                codes[what] = self.call(plane, method, **fields)[0]
            threads = [
                threading.Thread(target=both, args=("delete", 0, "DeletePolicy", {"name": f"demo/{name}"})),
                threading.Thread(target=both, args=("name", 1, "ApplyRegistry",
                                                    {"document": workload(pod, f"10.88.1.{number + 1}", f"demo/{name}")}))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertNotEqual(set(codes.values()), {OK}, f"round {number}: both were acknowledged")
            self.assertIn(OK, codes.values(), codes)
            refused += codes["delete"] != OK
        wait_until(lambda: self.policies(0) == self.policies(1) and self.workloads(0) == self.workloads(1), 3,
                   "the same at both control planes")
        self.assertEqual(len([name for name in self.policies(0) if name.startswith("demo/p")]), refused)
        self.assertEqual(self.troubles(0) + self.troubles(1), [])
        self.restart_all()
        self.assertEqual(len([name for name in self.policies(1) if name.startswith("demo/p")]), refused)

    def test_what_is_acknowledged_is_there_whoever_dies(self):
        writers = [PolicyWriter(f"k{number}", len(self.planes), self.call) for number in range(2)]
        for writer in writers:
            writer.start()

        def written():
            return sum(len(writer.kept) for writer in writers)

        def progress():
            before = written()
            wait_until(lambda: written() >= before + 10, 20, "writes that go on")
        try:
            progress()
            for plane in self.planes:
                plane.process.kill()
                progress()
                plane.start()
            self.etcd.members[0].kill()
            time.sleep(0.5)
            self.etcd.start()
            progress()
        finally:
            for writer in writers:
                writer.finish()
        self.restart_all()
        for writer in writers:
            self.assertEqual(writer.odd, [])
            self.assertGreater(min(len(writer.there), len(writer.gone)), 3)
            for plane in range(2):
                self.assertEqual(writer.there - self.policies(plane), set())
                self.assertEqual(writer.gone & self.policies(plane), set())

    def delete_from_etcd(self, key):
        self.etcd.call("deleterange", seconds=2, key=f"{PREFIX}/entries/{key}".encode())

    def test_what_does_not_go_together_stops_nobody(self):
        self.assertEqual(self.apply(0, policy_document("guard", "WORKLOAD_SELECTOR")), OK)
        self.assertEqual(self.call(0, "ApplyRegistry", document=workload("guarded", "10.88.2.1", "demo/guard"))[0], OK)
        self.delete_from_etcd("policies/demo/guard")
        for again in (False, True):
            for plane in range(2):
                troubles = wait_until(lambda plane=plane: self.troubles(plane), 3, "a word about it")
                self.assertEqual(len(troubles), 1)
                for words in ('"static//pod/demo/guarded" that was applied', 'no policy "demo/guard"', "apply it, or take it out"):
                    self.assertIn(words, troubles[0])
                self.assertIn("guarded", self.workloads(plane))
                # It looks at itself every second.
                check = wait_until(lambda plane=plane: re.search(
                    r"BAD +stored-registry[^\n]+", self.planes[plane].ctl("check", check=False).stdout), 3, "the check")
                self.assertIn("demo/guard", check[0])
            emergency = f"emergency{int(again)}"
            self.assertEqual(self.apply(0, policy_document(emergency)), OK)
            wait_until(lambda name=emergency: f"demo/{name}" in self.policies(1), 3, "the emergency policy at the other one")
            if not again:
                self.restart_all()
        self.assertEqual(self.apply(1, policy_document("guard", "WORKLOAD_SELECTOR")), OK)
        for plane in range(2):
            wait_until(lambda plane=plane: not self.troubles(plane), 3, "that all is well")
        self.assertIn("what is stored does not go with the rest", self.planes[0].process.log_text())


if __name__ == "__main__":
    main()
