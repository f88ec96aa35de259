#!/usr/bin/python3
"""Policies as objects of a real API server, with the definition and the rights of deploy/kubernetes.

Proved: an AccessPolicy is in force within a second, and a discovery stream is told of it, of each change and of its end; its status says so, kubectl's columns show it, and byrniectl shows where it comes from and may not change it; the schema refuses
what is no policy, and the control plane what only it can judge, saying why, also in `byrniectl check`, while what the object said before stays in force, also over a restart of all control planes; one that selects pods is named by those, also by one that gets the label later; the
mesh as a whole is the root namespace's to decide about; of two control planes one writes each status; a port that a Service has and its pods do not is remarked upon, once; what is in force stays so while the API server is away, and a control plane that starts meanwhile lets no agent follow; a policy that was applied
through the API is not displaced by an object of its name.
"""

import json
import os
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc

from testing.case import main
from testing.discovery_follower import AUTHORIZATION, Follower
from testing.exposition import parse
from testing.kubernetes import ApiError, Cluster
from testing.loopback_control_plane import LoopbackControlPlane, details, policy
from testing.process import wait_until

PATIENCE = 10
CLIENT = "spiffe://cluster.local/ns/shop/sa/cart"
PORT_80 = [{"clauses": [{"matches": [{"destinationPorts": [80]}]}]}]
FULL = {"scope": "NAMESPACE", "action": "ALLOW", "dryRun": True, "rules": [{"clauses": [{"matches": [{
    "namespaces": [{"exact": "shop"}], "notNamespaces": [{"prefix": "x-"}], "principals": [{"suffix": "/sa/cart"}],
    "notPrincipals": [{"exact": "cluster.local/ns/shop/sa/till"}], "sourceIPs": ["10.0.0.0/8", "fd00::/8"],
    "notSourceIPs": ["10.9.0.1"], "destinationIPs": ["10.1.0.0/16"], "notDestinationIPs": ["10.1.9.0/24"],
    "destinationPorts": [80, 443], "notDestinationPorts": [22],
    "serviceAccounts": [{"namespace": "shop", "serviceAccount": "cart"}],
    "notServiceAccounts": [{"namespace": "shop", "serviceAccount": "till"}]}, {"principals": [{"presence": True}]}]}]}]}


def spec(action="DENY", scope="NAMESPACE", rules=None, **more):
    return {"scope": scope, "action": action, "rules": PORT_80 if rules is None else rules, **more}


def one_match(**match):
    return spec(rules=[{"clauses": [{"matches": [match]}]}])


class KubernetesPoliciesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        cluster.start()
        cluster.namespace("shop", accounts=["cart"])
        cls.planes = []
        for _ in range(2):
            plane = LoopbackControlPlane(f"--kubeconfig={cluster.control_plane_kubeconfig()}", registry="kubernetes")
            cls.planes.append(plane)
            cls.addClassCleanup(plane.__exit__)
            plane.start()
        cls.plane = cls.planes[0]

    # What is in the cluster.

    @staticmethod
    def path(name="", namespace="shop"):
        return f"{Cluster.POLICIES}/namespaces/{namespace}/accesspolicies" + (f"/{name}" if name else "")

    def create(self, name, content, namespace="shop"):
        self.addCleanup(self.delete, name, namespace)
        return self.cluster.admin.create(self.path("", namespace), {
            "apiVersion": "byrnie.io/v1", "kind": "AccessPolicy", "metadata": {"name": name}, "spec": content})

    def change(self, name, content):
        """To this spec and no other. A control plane may write its status at any time."""
        def put():
            found = self.cluster.admin.get(self.path(name))
            found["spec"] = content
            try:
                return self.cluster.admin.call("PUT", self.path(name), found)
            except ApiError as error:
                if error.status != 409:
                    raise
                return None
        return wait_until(put, 10, f"a change of {name}")

    def delete(self, name, namespace="shop"):
        try:
            self.cluster.admin.delete(self.path(name, namespace))
        except ApiError as error:
            if error.status != 404:
                raise
        self.wait(lambda: all(self.policy(f"{namespace}/{name}", plane) is None for plane in self.planes), "the end of a policy")

    def condition(self, name, namespace="shop"):
        """The one there is, once it is about what the object says now."""
        found = self.cluster.admin.get(self.path(name, namespace))
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return None
        condition, = status["conditions"]
        self.assertEqual((condition["type"], condition["observedGeneration"]), ("Accepted", found["metadata"]["generation"]))
        return condition

    def accepted(self, name, namespace="shop"):
        condition = self.wait(lambda: self.condition(name, namespace), "a status")
        self.assertEqual((condition["status"], condition["reason"]), ("True", "Accepted"), condition)
        return condition

    def refused(self, name, reason="Invalid", namespace="shop"):
        def look():
            found = self.condition(name, namespace)
            return found if found and found["status"] == "False" else None
        condition = self.wait(look, "a refusal")
        self.assertEqual(condition["reason"], reason)
        return condition["message"]

    # What is in force.

    def policy(self, name, plane=None):
        try:
            return (plane or self.plane).call("GetPolicy", name=name)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def in_force(self, name, action):
        for plane in self.planes:
            self.wait(lambda plane=plane: (found := self.policy(name, plane)) and found.action == action, f"{name} in force")

    def follow(self, *names, type_url=AUTHORIZATION, plane=None):
        plane = plane or self.plane
        follower = Follower(plane, plane.issue(CLIENT), *names, type_url=type_url)
        self.addCleanup(follower.close)
        return follower

    def wait(self, condition, what):
        return wait_until(condition, PATIENCE, what, every=0.05)

    # The tests.

    def test_an_object_is_a_policy(self):
        follower = self.follow()
        self.create("round", spec())
        begun = time.monotonic()
        told = self.wait(lambda: follower.last.get("shop/round"), "the stream to be told")
        self.assertLess(time.monotonic() - begun, 2)
        self.assertEqual((told.name, told.namespace, told.action, list(told.rules[0].clauses[0].matches[0].destination_ports)),
                         ("round", "shop", 1, [80]))
        first = self.accepted("round")
        self.assertEqual(first["message"], "in force")
        self.in_force("shop/round", "DENY")
        # A change, and its end.
        self.change("round", spec(action="ALLOW"))
        self.wait(lambda: follower.last["shop/round"].action == 0, "the change")
        second = self.accepted("round")
        self.assertEqual((second["observedGeneration"], second["lastTransitionTime"]), (2, first["lastTransitionTime"]))
        self.delete("round")
        self.wait(lambda: follower.last["shop/round"] is None, "the end")

    def test_all_that_can_be_said_comes_over(self):
        created = self.create("full", FULL)
        self.assertEqual(created["spec"], FULL)
        self.assertIn("dry run", self.accepted("full")["message"])
        done = self.plane.ctl("policy", "get", "shop/full")
        self.assertIn("it is from the cluster and is changed there", done.stderr)
        shown = done.stdout
        for word in ("not_namespaces", "presence", "10.9.0.1/32", "fd00::/8", "443", "not_destination_ports", "till"):
            self.assertIn(word, shown)

    def test_columns(self):
        self.create("good", FULL)
        self.create("bad", one_match(sourceIPs=["10.0.0.0/33"]))
        self.accepted("good")
        self.refused("bad")
        names, cells = self.cluster.admin.table(self.path())
        self.assertEqual(names, ["Name", "Action", "Scope", "Dry-Run", "Accepted", "Reason", "Age", "Message"])
        self.assertEqual(cells["good"][:6], ["good", "ALLOW", "NAMESPACE", True, "True", "Accepted"])
        self.assertEqual(cells["bad"][:6], ["bad", "DENY", "NAMESPACE", None, "False", "Invalid"])
        self.assertRegex(cells["good"][6], r"^\d+s$")
        self.assertIn("prefix length", cells["bad"][7])

    def test_operators_see_where_it_is_from_and_change_it_there(self):
        self.create("kept", spec())
        self.accepted("kept")
        line, = [line for line in self.plane.ctl("policy", "list").stdout.splitlines() if line.startswith("shop/kept")]
        self.assertRegex(line, r"shop/kept +DENY +NAMESPACE +cluster +\w+")
        for call in (lambda: self.plane.call("DeletePolicy", name="shop/kept"),
                     lambda: self.plane.call("ApplyPolicy", document=policy("kept", namespace="shop"), accept_findings=True)):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            self.assertEqual(details(caught.exception)["PreconditionFailure"].violations[0].type, "CONFLICT")
            self.assertIn("kubectl -n shop edit accesspolicies.byrnie.io kept", caught.exception.details())
        events = self.plane.ctl("events").stdout
        self.assertRegex(events, r"shop/kept.*applied in the cluster")

    def test_the_schema_refuses_what_is_no_policy(self):
        for wrong in ({"action": "DENY"}, {"scope": "NAMESPACE"}, spec(action="AUDIT"), spec(scope="MESH"), spec(dryRun="yes"),
                      spec(rules=[{}]), spec(rules=[{"clauses": []}]), spec(rules=[{"clauses": [{"matches": []}]}]),
                      # What a misspelt name would leave.
                      one_match(), one_match(principal=[{"exact": "a"}]),
                      one_match(principals=[]), one_match(principals=[{}]), one_match(principals=[{"exact": ""}]),
                      one_match(principals=[{"exact": "a", "prefix": "b"}]), one_match(principals=[{"exact": "a/*"}]),
                      one_match(principals=[{"presence": False}]), one_match(namespaces="shop"),
                      one_match(sourceIPs=["ten"]), one_match(sourceIPs=["10.0.0.0/8/8"]),
                      one_match(destinationPorts=[0]), one_match(destinationPorts=[65536]), one_match(destinationPorts=["80"]),
                      one_match(serviceAccounts=[{"namespace": "shop"}]),
                      one_match(serviceAccounts=[{"namespace": "Shop", "serviceAccount": "cart"}]),
                      spec(selector={}), spec(selector={"matchLabels": {}}), spec(selector={"matchLabels": {"app": "a b"}}),
                      # A DENY that nobody has accepted would keep nobody out.
                      spec(scope="WORKLOAD_SELECTOR"), spec(selector={"matchLabels": {"app": "cart"}}), spec(scope="GLOBAL", selector={"matchLabels": {"app": "cart"}}),
                      one_match(principals=[{"exact": CLIENT}]), one_match(notPrincipals=[{"prefix": "spiffe://cluster.local/ns/"}]),
                      spec(rules=PORT_80 * 257)):
            with self.assertRaises(ApiError, msg=str(wrong)[:200]) as caught:
                self.create("wrong", wrong)
            self.assertIn(caught.exception.status, (400, 422), str(wrong)[:200])
        for right in (spec(), spec(scope="WORKLOAD_SELECTOR", selector={"matchLabels": {"app": "cart"}}),
                      one_match(principals=[{"suffix": "/sa/cart"}])):
            self.create("right", right)
            self.cluster.admin.delete(self.path("right"))

    def test_what_is_not_known_is_not_kept(self):
        created = self.create("unknown", {**spec(), "more": 1})
        self.assertEqual(created["spec"], spec())

    def test_the_last_good_state_stays(self):
        self.create("last", spec())
        self.accepted("last")
        for number, (wrong, word) in enumerate((
                (one_match(sourceIPs=["10.0.0.0/33"]), "prefix length"), (spec(scope="GLOBAL"), "byrnie-system alone"),
                # Dropped, they would leave it about other pods than was meant.
                (spec(scope="WORKLOAD_SELECTOR", selector={"matchLabels": {"app": "cart"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}),
                 "\"matchExpressions\" are not supported"))):
            self.change("last", wrong)
            message = self.refused("last")
            self.assertIn(word, message)
            self.assertIn("generation 1 said stays in force", message)
            self.assertEqual(self.cluster.admin.get(self.path("last"))["status"]["lastAccepted"]["generation"], 1)
            self.in_force("shop/last", "DENY")
            self.assertEqual(self.condition("last")["observedGeneration"], number + 2)
        # A control plane that has seen nothing of it.
        for plane in self.planes:
            plane.stop()
            plane.start()
        self.in_force("shop/last", "DENY")
        self.change("last", spec(action="ALLOW"))
        self.accepted("last")
        self.in_force("shop/last", "ALLOW")

    def test_what_was_never_good_has_no_effect(self):
        self.create("never", one_match(sourceIPs=["10.0.0.0/33"]))
        self.assertIn("nothing of it is in force", self.refused("never"))
        self.assertIsNone(self.policy("shop/never"))
        self.change("never", spec())
        self.accepted("never")
        self.in_force("shop/never", "DENY")

    def test_who_looks_after_the_mesh_hears_of_a_refusal(self):
        def told(plane):
            condition, = [each for each in plane.call("GetStatus").conditions if each.name == "cluster-policies"]
            return condition.message
        self.create("mistaken", one_match(sourceIPs=["10.0.0.0/33"]))
        for plane in self.planes:
            self.wait(lambda plane=plane: told(plane).startswith("1 AccessPolicy refused: shop/mistaken (Invalid: "), "the policy's name")
        check, = [each for each in json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout) if each["name"] == "cluster-policies"]
        self.assertEqual(check["outcome"], "bad")
        self.assertIn("shop/mistaken (Invalid: ", check["message"])
        self.change("mistaken", spec())
        for plane in self.planes:
            self.wait(lambda plane=plane: told(plane) == "every AccessPolicy of the cluster is accepted", "the end of it")

    def test_the_mesh_is_the_root_namespaces(self):
        self.create("everywhere", spec(scope="GLOBAL"), namespace="byrnie-system")
        self.accepted("everywhere", "byrnie-system")
        self.assertEqual(self.policy("byrnie-system/everywhere").scope, "GLOBAL")

    def named_by(self, uid):
        for workload in self.plane.call("ListWorkloads").workloads:
            if workload.uid == uid:
                return list(workload.policies)
        return None

    def test_pods_name_what_selects_them(self):
        uid = "Kubernetes//Pod/shop/cart-1"
        pod = self.cluster.pod("shop", "cart-1", "cart", ip="10.1.0.1", labels={"app": "cart"})
        self.addCleanup(self.cluster.delete_pod, pod)
        self.wait(lambda: self.named_by(uid) == [], "the pod")
        follower = self.follow("/10.1.0.1", type_url="type.googleapis.com/istio.workload.Address")
        self.create("selecting", spec(scope="WORKLOAD_SELECTOR", selector={"matchLabels": {"app": "cart"}}))
        self.wait(lambda: self.named_by(uid) == ["shop/selecting"], "the pod to name the policy")
        self.wait(lambda: (told := follower.last.get("/10.1.0.1")) and list(told.workload.authorization_policies) == ["shop/selecting"],
                  "the stream to be told")
        labels = f"/api/v1/namespaces/shop/pods/cart-1"
        self.cluster.admin.patch(labels, {"metadata": {"labels": {"app": "till"}}})
        self.wait(lambda: self.named_by(uid) == [], "the pod to name it no more")
        self.cluster.admin.patch(labels, {"metadata": {"labels": {"app": "cart"}}})
        self.wait(lambda: self.named_by(uid) == ["shop/selecting"], "the pod to name it again")
        self.delete("selecting")
        self.wait(lambda: self.named_by(uid) == [], "the pod to name nothing that is gone")
        for plane in self.planes:
            self.assertNotIn("does not go with the rest", plane.log_text())

    def writes(self):
        total = 0
        for plane in self.planes:
            with urllib.request.urlopen(f"http://127.0.0.1:{plane.admin_port}/metrics", timeout=5) as answer:
                family = parse(answer.read().decode())["byrnie_controlplane_policy_status_writes_total"]
            total += sum(sample.value for sample in family.samples if sample.labels["result"] == "ok")
        return total

    def test_each_status_is_written_once(self):
        before = self.writes()
        for number in range(10):
            self.create(f"many-{number}", spec())
        for number in range(10):
            self.accepted(f"many-{number}")
        # As long as it would take the other one to have its say.
        time.sleep(3)
        self.assertEqual(self.writes() - before, 10)
        for number in range(10):
            fields = [entry["manager"] for entry in self.cluster.admin.get(self.path(f"many-{number}"))["metadata"]["managedFields"]]
            self.assertIn("byrnie", fields)

    def test_a_services_port_is_remarked_upon_once(self):
        pod = self.cluster.pod("shop", "till-1", "cart", ip="10.1.0.2", labels={"app": "till"})
        self.addCleanup(self.cluster.delete_pod, pod)
        self.cluster.admin.create("/api/v1/namespaces/shop/services", {
            "metadata": {"name": "till"}, "spec": {"selector": {"app": "till"}, "ports": [{"port": 80, "targetPort": 8080}]}})
        self.addCleanup(self.cluster.admin.delete, "/api/v1/namespaces/shop/services/till")
        # By hand: this cluster has no controllers.
        self.cluster.admin.create("/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices", {
            "metadata": {"name": "till-a", "labels": {"kubernetes.io/service-name": "till"}}, "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.1.0.2"], "conditions": {"ready": True},
                           "targetRef": {"kind": "Pod", "namespace": "shop", "name": "till-1", "uid": pod["metadata"]["uid"]}}]})
        self.addCleanup(self.cluster.admin.delete, "/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices/till-a")
        before = self.writes()
        self.create("mistaken", spec(scope="WORKLOAD_SELECTOR", selector={"matchLabels": {"app": "till"}}))
        self.assertEqual(self.accepted("mistaken")["message"], "in force")
        remark = wait_until(lambda: (found := self.condition("mistaken")["message"]) != "in force" and found, 2 * PATIENCE, "the remark")
        self.assertRegex(remark, "^in force; compared with the registry at 2.*Z: warning: rules.0..*: 80 is the port of service "
                                 "shop/till.*, and policies see the port that it leads to, 8080")
        # The other control plane has found the same, and says nothing any more.
        time.sleep(4)
        self.assertEqual(self.condition("mistaken")["message"], remark)
        self.assertEqual(self.writes() - before, 2)

    def test_a_status_that_somebody_changes_is_put_right(self):
        self.create("meddled", spec())
        self.accepted("meddled")
        self.cluster.admin.patch(self.path("meddled") + "/status", {"status": {"conditions": [], "lastAccepted": None}})
        self.accepted("meddled")
        # Who may write the object may not write its status by it.
        self.cluster.admin.patch(self.path("meddled"), {"status": {"conditions": []}})
        self.accepted("meddled")

    def test_what_is_in_force_outlasts_the_server(self):
        self.create("outlasting", spec())
        self.accepted("outlasting")
        follower = self.follow()
        self.wait(lambda: follower.last.get("shop/outlasting"), "the stream to be told")
        self.cluster.stop_api_server()
        self.wait(lambda: "cannot follow the API server" in self.plane.log_text(), "a word of the outage")
        self.assertIsNotNone(self.policy("shop/outlasting"))
        # Another one starts, which knows nothing: nobody follows it.
        other = self.planes[1]
        other.stop()
        other.start()
        early = self.follow(plane=other)
        wait_until(early.ended, 5, "the end of a stream that came too early")
        self.assertEqual((early.error.code(), early.last), (grpc.StatusCode.UNAVAILABLE, {}))
        self.assertTrue(follower.last["shop/outlasting"])
        self.cluster.start_api_server()
        self.change("outlasting", spec(action="ALLOW"))
        wait_until(lambda: follower.last["shop/outlasting"].action == 0, 40, "what happened after the outage", every=0.1)
        wait_until(lambda: self.policy("shop/outlasting", other), 40, "the other one to know", every=0.1)
        self.in_force("shop/outlasting", "ALLOW")

    def test_what_was_applied_through_the_api_has_precedence(self):
        for plane in self.planes:
            plane.call("ApplyPolicy", document=policy("taken", namespace="shop", action="ALLOW"), accept_findings=True)
        self.create("taken", spec())
        self.assertIn("byrniectl policy delete shop/taken", self.refused("taken", "NameTaken"))
        self.in_force("shop/taken", "ALLOW")
        for plane in self.planes:
            plane.call("DeletePolicy", name="shop/taken")
        self.in_force("shop/taken", "DENY")
        self.wait(lambda: (found := self.condition("taken")) and found["status"] == "True", "the object to be accepted")


if __name__ == "__main__":
    sys.exit(main())
