#!/usr/bin/python3
"""The control plane knows who has talked to whom, and says what other policies would make of it.

Proved with two clients of one server, one of which a policy keeps out: within ten seconds the allowed and the denied edge are in
`byrniectl flows`, the denied one in the events, too; `policy diff` names exactly the edge that a policy would newly deny or allow,
ends with 5 when there is one and with 0 when there is none, and tells a dry run's word without calling it a change; what
`policy suggest` says is applied unchanged, changes nothing for who was seen, and keeps out who was not; an agent, a proxy or a
control plane that starts again loses none of it; and when nothing happens nothing is reported.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import parse_metrics, sleep_through
from testing.process import wait_until

SEEN_WITHIN = 10
CHANGES = 5
DENY_OTHER = {"principals": [{"exact": "cluster.local/ns/demo/sa/other"}]}


def document(name, action, match, **fields):
    return {"name": name, "namespace": "demo", "scope": "NAMESPACE", "action": action,
            "rules": [{"clauses": [{"matches": [match]}]}], **fields}


class FlowsTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client, cls.other, cls.server = mesh.pod("client"), mesh.pod("other"), mesh.pod("server")
        # All its connections share a tunnel, which needs no signature while the server has no agent.
        cls.client.extra_proxy_flags = ["--workers=1"]
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.registry.policy("deny-other", "DENY", **DENY_OTHER)
        mesh.start()
        cls.server.app("echo", 8080)

    def ctl(self, *arguments, **options):
        return self.mesh.control_plane.ctl(*arguments, **options)

    def flows(self, source=None, side="SIDE_DESTINATION", verdict=None):
        """Flows to the server's port, of one side and perhaps one source and verdict."""
        flows = json.loads(self.ctl("flows", "-o", "json").stdout)
        return [flow for flow in flows
                if flow["side"] == side and flow["destination_address"] == f"{self.server.address}:8080"
                and source in (None, flow["source_spiffe_id"]) and verdict in (None, flow["verdict"])]

    def count(self, pod, verdict):
        return sum(int(flow["connections"]) for flow in self.flows(pod.spiffe_id, verdict=verdict))

    def connect(self, pod, fails=False):
        if fails:
            return self.assert_fails_fast(pod, self.mesh.vip, 80)
        self.assertEqual(self.ask(pod, self.mesh.vip, 80), b"ping\n")

    def wait_more(self, pod, verdict, before, more=1):
        wait_until(lambda: self.count(pod, verdict) >= before + more, SEEN_WITHIN,
                   f"{before + more} {verdict} connections of {pod.name}")

    def seen(self):
        """One connection of each client is known."""
        for pod, verdict, fails in ((self.client, "VERDICT_ALLOWED", False), (self.other, "VERDICT_DENIED", True)):
            before = self.count(pod, verdict)
            self.connect(pod, fails)
            self.wait_more(pod, verdict, before)

    def write(self, name, content):
        path = os.path.join(self.mesh.directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def diff(self, *documents, delete="", code=0):
        files = [self.write(f"proposed-{i}.json", proposed) for i, proposed in enumerate(documents)]
        flags = [f"--delete={delete}"] if delete else []
        done = self.ctl("policy", "diff", *files, *flags, "-o", "json", check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return json.loads(done.stdout)

    @staticmethod
    def changes(answer):
        """{(kind, source's account, destination)}"""
        return {(change["kind"].removeprefix("KIND_"), change["flow"]["source_spiffe_id"].rpartition("/")[2],
                 change["flow"]["destination_address"]) for change in answer["changes"]}

    def test_an_allowed_and_a_denied_edge_appear(self):
        self.seen()
        # A flow for each process of the proxy that there was.
        allowed = max(self.flows(self.client.spiffe_id, verdict="VERDICT_ALLOWED"), key=lambda flow: flow["last_seen"])
        self.assertEqual((allowed["destination_spiffe_id"], allowed["destination_workload"], allowed["path"]),
                         (self.server.spiffe_id, "demo/server", "hbone"))
        self.assertEqual(allowed["source_address"], self.client.address)
        self.assertTrue(allowed["reason"].startswith("default-allow"), allowed)
        denied = max(self.flows(self.other.spiffe_id, verdict="VERDICT_DENIED"), key=lambda flow: flow["last_seen"])
        self.assertEqual(denied["reason"], "policy-deny demo/deny-other")
        text = self.ctl("flows").stdout
        self.assertRegex(text, r"demo/client +demo/server:8080 +hbone +allowed")
        self.assertRegex(text, r"demo/other +demo/server:8080 +hbone +DENIED")
        self.assertNotIn("tunnel-refused", text, "what both ends report is there once")
        self.assertIn("demo/server.demo.svc.cluster.local", text, "the source adds the name of the service")
        events = self.ctl("events", "--kinds=connection_denied").stdout
        self.assertIn(f"{self.other.spiffe_id} to {self.server.address}:8080: policy-deny demo/deny-other", events)
        only = json.loads(self.ctl("flows", "--verdict=denied", "-o", "json").stdout)
        self.assertEqual({flow["verdict"] for flow in only}, {"VERDICT_DENIED"})

    def test_an_open_connection_is_known_while_it_is_open(self):
        open_now = lambda: sum(int(flow["open"]) for flow in self.flows(self.client.spiffe_id))
        wait_until(lambda: open_now() == 0, SEEN_WITHIN, "the end of what others opened")
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"x" * 5000)
            wait_until(lambda: open_now() == 1, SEEN_WITHIN, "an open connection")
            wait_until(lambda: any(int(flow["bytes_sent"]) >= 5000 and int(flow["open"]) for flow in
                                   self.flows(self.client.spiffe_id)), SEEN_WITHIN, "its bytes")
        wait_until(lambda: open_now() == 0, SEEN_WITHIN, "its end")

    def test_diff_names_exactly_what_would_be_different(self):
        self.seen()
        server = f"{self.server.address}:8080"
        answer = self.diff(document("deny-client", "DENY", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}),
                           code=CHANGES)
        self.assertEqual(self.changes(answer), {("NEWLY_DENIED", "client", server)})
        self.assertEqual(answer["changes"][0]["reason_after"], "policy-deny demo/deny-client")
        self.assertGreaterEqual(int(answer["connections"]), 2)
        self.assertLess(answer["since"], answer["until"])
        self.assertEqual(self.changes(self.diff(delete="demo/deny-other", code=CHANGES)),
                         {("NEWLY_ALLOWED", "other", server)})
        # What is in force already, and what is about nobody who was seen.
        self.assertEqual(self.changes(self.diff(document("deny-other", "DENY", DENY_OTHER))), set())
        self.assertEqual(self.changes(self.diff(document("ports", "DENY", {"destination_ports": [9]}))), set())
        dry = self.diff(document("try", "DENY", {"namespaces": [{"exact": "demo"}]}, dry_run=True))
        self.assertEqual(self.changes(dry), {("AUDIT_DENY", "client", server)})

    def test_diff_says_to_people_what_it_looked_at(self):
        self.seen()
        path = self.write("people.json", document("all", "DENY", {"destination_ports": [8080]}))
        done = self.ctl("policy", "diff", path, check=False)
        self.assertEqual(done.returncode, CHANGES)
        self.assertRegex(done.stdout, r"newly denied:\n.*\n +demo/client +demo/server:8080 +hbone")
        self.assertRegex(done.stdout, r"looked at \d+ connections? in \d+ flows?, from ")
        for arguments, code in (((), 2), (("/nonexistent",), 2), ((self.write("bad.json", "{"),), 1),
                                (("--delete=demo/none",), 1)):
            done = self.ctl("policy", "diff", *arguments, check=False)
            self.assertEqual(done.returncode, code, done.stderr)

    def test_what_is_suggested_changes_nothing_for_who_was_seen(self):
        self.seen()
        suggested = self.ctl("policy", "suggest", "demo").stdout
        self.assertNotIn("/sa/other", suggested, "who is kept out is not let in")
        self.assertEqual(self.changes(self.diff(suggested)), set())
        self.ctl("policy", "apply", "-f", self.write("suggested.json", suggested))
        try:
            denied = self.count(self.client, "VERDICT_DENIED")
            # The port nobody was seen at is closed.
            wait_until(lambda: self.ask_port(self.client, 9090) or self.reasons_at(9090) >= {"no-allow-match"}, 15,
                       "the policy's denial", every=0.5)
            self.connect(self.client)
            self.assertEqual(self.count(self.client, "VERDICT_DENIED"), denied)
        finally:
            self.ctl("policy", "delete", "demo/suggested")
        self.assertEqual(self.ctl("policy", "suggest", "elsewhere", check=False).returncode, 1)

    def ask_port(self, pod, port):
        try:
            return self.ask(pod, self.server.address, port, timeout=3) or None
        except OSError:
            return None

    def reasons_at(self, port):
        flows = json.loads(self.ctl("flows", "-o", "json").stdout)
        return {flow["reason"] for flow in flows if flow["side"] == "SIDE_DESTINATION"
                and flow["destination_address"] == f"{self.server.address}:{port}"}

    def test_a_new_control_plane_is_told_all_again(self):
        self.seen()
        allowed, denied = self.count(self.client, "VERDICT_ALLOWED"), self.count(self.other, "VERDICT_DENIED")
        plane = self.mesh.control_plane
        plane.process.kill()
        plane.process.wait(10)
        plane.start()
        wait_until(lambda: self.count(self.client, "VERDICT_ALLOWED") >= allowed
                   and self.count(self.other, "VERDICT_DENIED") >= denied, 30, "all that was known before")

    def test_a_new_agent_loses_nothing(self):
        self.seen()
        allowed = self.count(self.client, "VERDICT_ALLOWED")
        self.server.agent.kill()
        self.server.agent.wait(10)
        try:
            self.connect(self.client)
        finally:
            self.server.write_token()
            self.server.start_agent()
        self.wait_more(self.client, "VERDICT_ALLOWED", allowed)

    def test_a_new_proxy_counts_on(self):
        self.seen()
        allowed = self.count(self.client, "VERDICT_ALLOWED")
        with self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"held\n")
            wait_until(lambda: any(int(flow["open"]) for flow in self.flows(self.client.spiffe_id)), SEEN_WITHIN, "it")
            self.server.proxy.kill()
            self.server.proxy.wait(10)
        wait_until(lambda: not any(int(flow["open"]) for flow in self.flows(self.client.spiffe_id)), SEEN_WITHIN,
                   "what was open to have ended with the proxy")
        self.server.start_proxy()
        self.server.wait_ready()
        wait_until(lambda: self.ask_port(self.client, 8080) == b"ping\n", 10, "a connection")
        self.wait_more(self.client, "VERDICT_ALLOWED", allowed, 2)

    def test_nothing_is_reported_while_nothing_happens(self):
        self.seen()

        def reports():
            total = 0
            for pod in self.mesh.pods:
                metrics = parse_metrics(pod.agent_admin("/metrics")[1])
                total += sum(value for name, value in metrics.items()
                             if name.startswith("byrnie_certagent_flow_reports_total"))
            return total
        # What the last connections left behind: ends, the last bytes.
        sleep_through(7)
        before = reports()
        sleep_through(7)
        self.assertEqual(reports(), before)

    def test_what_there_is_is_in_the_metrics(self):
        self.seen()
        metrics = self.server.metrics()
        self.assertGreaterEqual(metrics["byrnie_proxy_flow_edges"], 2)
        self.assertEqual(metrics["byrnie_proxy_flow_edges_left_out_total"], 0)
        plane = parse_metrics(self.mesh.control_plane.admin("/metrics")[1])
        self.assertGreaterEqual(plane["byrnie_controlplane_flows"], 4)
        self.assertEqual(plane['byrnie_controlplane_flow_reports_total{result="refused"}'], 0)
        self.assertEqual(plane["byrnie_controlplane_flows_misplaced_total"], 0)


if __name__ == "__main__":
    sys.exit(main())
