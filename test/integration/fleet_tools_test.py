#!/usr/bin/python3
"""byrniectl shows a mesh as a whole, whichever of several control planes an agent is connected to.

Proved, with three control planes over one etcd and an agent at each: status, check, agents, certs, identity, workloads, events and
explain given all three show all three agents, and of which control plane each is; given one they show its own, and check says whom it
has not asked; with one killed what the others know is shown, the loss is named, and the exit code says so.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane
from testing.process import wait_until

INCOMPLETE, UNREACHABLE = 6, 3


class FleetToolsTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh)
        cls.etcd.start()
        cls.planes = [mesh.control_plane] + [ControlPlane(mesh, f"control{number}", number) for number in (3, 4)]
        for number, plane in enumerate(cls.planes):
            plane.store_flags = cls.etcd.store_flags("test/mesh")
            plane.extra_flags = [f"--name=plane-{number}"]
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
        cls.pods = [mesh.pod(f"pod{number}") for number in range(3)]
        for pod, plane in zip(cls.pods, cls.planes):
            pod.control_planes = [cls.address(plane)]
        mesh.registry.write()
        for plane in cls.planes:
            plane.start()
        cls.operator = mesh.outsider("operator")
        mesh.start()

    @staticmethod
    def address(plane):
        return f"{plane.host.address}:{ControlPlane.PORT}"

    def ctl(self, planes, *arguments):
        first = self.planes[0]
        return self.operator.run(
            self.mesh.binary("byrniectl"), *arguments, f"--control_plane={','.join(map(self.address, planes))}",
            f"--trust_bundle={first.bundle}", f"--trust_domain={first.trust_domain}", f"--token={first.operator_token}", check=False)

    def json(self, planes, *arguments, code=0):
        done = self.ctl(planes, *arguments, "--output=json")
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return json.loads(done.stdout)

    @staticmethod
    def whose(agents):
        """{SPIFFE ID: control plane}"""
        return {agent["spiffe_id"]: agent["control_plane"] for agent in agents}

    def expected(self, *numbers):
        return {self.pods[number].spiffe_id: f"plane-{number}" for number in numbers}

    def events(self, planes, code=0):
        """{SPIFFE ID: control plane} of the agents that have connected."""
        done = self.ctl(planes, "events", "--kinds=agent_connected", "--output=json")
        self.assertEqual(done.returncode, code, done.stderr)
        decoder, text, seen = json.JSONDecoder(), done.stdout.lstrip(), {}
        while text:
            response, end = decoder.raw_decode(text)
            text = text[end:].lstrip()
            seen[response["event"]["subject"]] = response["control_plane"]
        return seen

    def test_1_all_are_shown_where_all_are_asked(self):
        planes = self.planes
        wait_until(lambda: self.whose(self.json(planes, "agents")) == self.expected(0, 1, 2), 10, "all agents")
        status = self.json(planes, "status")
        self.assertEqual(self.whose(status["agents"]), self.expected(0, 1, 2))
        self.assertEqual([(plane["control_plane"], plane["answered"], plane["agents_connected"]) for plane in status["control_planes"]],
                         [(f"plane-{number}", True, "1") for number in range(3)])
        self.assertEqual(self.whose(self.json(planes, "certs")), self.expected(0, 1, 2))
        for number, pod in enumerate(self.pods):
            self.assertEqual(self.whose(self.json(planes, "identity", pod.spiffe_id)["agents"]), self.expected(number))
        self.assertTrue(all(workload["agent_connected"] for workload in self.json(planes, "workloads", "list")))
        self.assertEqual(self.events(planes), self.expected(0, 1, 2))
        text = self.ctl(planes, "agents").stdout
        for number in range(3):
            self.assertRegex(text, rf"pod{number} .* plane-{number}\n")
        # They hear of each other every minute at the latest.
        wait_until(lambda: self.checks(planes)["fleet"]["outcome"] == "good", 10, "a whole fleet")
        checks = self.checks(planes)
        self.assertEqual([checks[name]["outcome"] for name in ("agents-connected", "control-planes", "store")], ["good"] * 3)

    def test_1_registries_that_differ_are_bad(self):
        self.assertEqual(self.checks(self.planes)["same-registry"]["outcome"], "good")
        last, own = self.planes[-1], os.path.join(self.mesh.directory, "own.json")
        with open(self.mesh.registry.path, encoding="utf-8") as file:
            registry = json.load(file)
        registry["policies"].append({"name": "no", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                                     "rules": [{"clauses": [{"matches": [{"destination_ports": [9]}]}]}]})
        with open(own, "w", encoding="utf-8") as file:
            json.dump(registry, file)
        kept, last.registry_path = last.registry_path, own
        try:
            last.process.terminate()
            last.start()
            checks = self.checks(self.planes)
            self.assertEqual(checks["same-registry"]["outcome"], "bad")
            self.assertIn("policy demo/no", checks["same-registry"]["message"])
        finally:
            last.registry_path = kept
            last.process.terminate()
            last.start()
        self.assertEqual(self.checks(self.planes)["same-registry"]["outcome"], "good")
        wait_until(lambda: self.whose(self.json(self.planes, "agents")) == self.expected(0, 1, 2), 30, "all agents")

    def test_1_explain_knows_the_agents_of_all(self):
        def agents(planes):
            done = self.ctl(planes, "explain", self.pods[0].address, f"{self.pods[1].address}:8080", "--output=json")
            self.assertIn(done.returncode, (0, 1), done.stderr)
            return {step["name"]: step["outcome"] for step in json.loads(done.stdout)["steps"] if step["name"].endswith("-agent")}
        both = {"source-agent": "OUTCOME_OK", "destination-agent": "OUTCOME_OK"}
        wait_until(lambda: agents(self.planes) == both, 10, "both ends' agents")
        self.assertEqual(agents(self.planes[:1])["destination-agent"], "OUTCOME_UNKNOWN")

    def checks(self, planes):
        done = self.ctl(planes, "check", "--output=json")
        return {check["name"]: check for check in json.loads(done.stdout)}

    def test_2_one_knows_its_own_and_who_else_there_is(self):
        one = self.planes[1:2]
        self.assertEqual(self.whose(self.json(one, "agents")), self.expected(1))
        self.assertEqual(self.json(one, "status")["other_control_planes"], ["plane-0", "plane-2"])
        checks = self.checks(one)
        self.assertEqual(checks["fleet"]["outcome"], "note")
        self.assertIn("plane-0, plane-2", checks["fleet"]["message"])
        self.assertEqual(checks["agents-connected"]["outcome"], "note")

    def test_3_a_cursor_is_of_one(self):
        done = self.ctl(self.planes, "events", "--cursor=1-1")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--cursor", done.stderr)

    def test_4_the_loss_of_one_is_named_and_the_rest_is_shown(self):
        lost = self.planes[2]
        lost.process.kill()
        for command in ("agents", "certs"):
            self.assertEqual(self.whose(self.json(self.planes, command, code=INCOMPLETE)), self.expected(0, 1))
        self.assertEqual(self.events(self.planes, code=INCOMPLETE), self.expected(0, 1))
        status = self.json(self.planes, "status", code=INCOMPLETE)
        self.assertEqual(self.whose(status["agents"]), self.expected(0, 1))
        self.assertEqual(status["control_planes"][2]["address"], self.address(lost))
        self.assertFalse(status["control_planes"][2]["answered"])
        done = self.ctl(self.planes, "status")
        self.assertRegex(done.stdout, rf"{self.address(lost)} +HAS NOT ANSWERED")
        self.assertRegex(done.stderr, rf"\Abyrniectl: note: control plane at {self.address(lost)} [^\n]+\n\Z")
        done = self.ctl(self.planes, "check")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, rf"BAD +fleet +has not answered: {self.address(lost)}[^\n]*plane-2")
        self.assertEqual(self.ctl([lost], "status").returncode, UNREACHABLE)


if __name__ == "__main__":
    main()
