#!/usr/bin/python3
"""`byrniectl explain` names the first step at which a connection fails, for what is broken in a real mesh, in under two seconds.

Proved: with a working mesh it finds nothing; then one thing at a time is broken (registry, policies, agents, certificates,
clocks, proxies, applications, redirect rules, packets between the pods), the connection indeed fails, and the step named is
that one. What only the pods know is found by --probe from the source's pod and by readiness pages; without them the answer
says that it does not know.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import sys
import textwrap
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, TRUST_DOMAIN, ControlPlane, Pod, http_request
from testing.process import wait_until
from testing.registry import Registry
from testing.sanitized import SANITIZED

TIME_LIMIT = 2.0
GUESTS = "guests.example"


class ExplainTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client, cls.server, cls.other = mesh.pod("client"), mesh.pod("server"), mesh.pod("other")
        cls.late = mesh.pod("late")
        cls.build_guests(mesh)
        cls.vip, _ = mesh.service("server", [cls.server])
        cls.empty_vip, _ = mesh.service("empty", [])
        mesh.registry.write()
        mesh.control_plane.start()
        for pod in (cls.client, cls.server, cls.other):
            pod.start()
        for pod in (cls.client, cls.server, cls.other):
            pod.wait_ready()
        cls.outsider = mesh.outsider()
        cls.app = cls.server.app("echo", "8080")
        cls.guest.start()
        cls.guest.wait_ready()
        cls.guest.app("echo", "8080")

    @classmethod
    def build_guests(cls, mesh):
        """A mesh whose bundle this one has, and which is not given this one's until a test does."""
        cls.trusted = os.path.join(mesh.directory, "trusted.pem")
        cls.guests = ControlPlane(mesh, "guests", 3, GUESTS)
        cls.guests.extra_flags = [f"--federated_bundle={TRUST_DOMAIN}={cls.trusted}"]
        cls.guest = Pod(mesh, "guest", "guest", 50, "demo", cls.guests)
        registry = Registry(cls.guests.registry_path)
        for kept in (registry, mesh.registry):
            kept.workload("guest", "demo", "guest", [cls.guest.address, cls.guest.address6], trust_domain=GUESTS)
        registry.workload("client", "demo", "client", [cls.client.address, cls.client.address6])
        registry.policy("meshes", "ALLOW", principals=[{"prefix": f"{TRUST_DOMAIN}/"}])
        registry.write()
        cls.trust(b"")
        cls.guests.start()
        mesh.control_plane.extra_flags = [f"--federated_bundle={GUESTS}={cls.guests.bundle}"]

    @classmethod
    def trust(cls, pem):
        with open(cls.trusted + ".new", "wb") as out:
            out.write(pem)
        os.replace(cls.trusted + ".new", cls.trusted)

    def explain(self, source, destination, *flags, namespace=None, uid=None, token=None):
        """(name of the first failed step, the answer), by byrniectl, where it is run."""
        plane = self.mesh.control_plane
        where = namespace or plane.host
        address = "127.0.0.1" if where is plane.host else plane.host.address
        started = time.monotonic()
        done = where.run(
            self.mesh.binary("byrniectl"), "explain", source, destination, f"--control_plane={address}:{plane.PORT}",
            f"--trust_bundle={plane.bundle}", f"--token={token or plane.operator_token}", "-o", "json", *flags, check=False, uid=uid)
        took = time.monotonic() - started
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertLess(took, TIME_LIMIT)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 1 if answer["first_failed"] else 0)
        return answer["first_failed"], answer

    def probe(self, destination):
        """Asked in the client's pod, as an application connects."""
        return self.explain(self.client.address, destination, "--probe", namespace=self.client.host)

    def assert_step(self, wanted, source, destination, *flags, within=6, **options):
        """The step named; what the control plane hears of takes a moment."""
        def named():
            name, self.answer = self.explain(source, destination, *flags, **options)
            return name == wanted
        try:
            wait_until(named, within, wanted, every=0.2)
        except AssertionError:
            self.fail(f"expected {wanted}, got {self.answer['verdict']}")
        step = next(step for step in self.answer["steps"] if step["name"] == wanted)
        self.assertTrue(step["reason"] and step["remedy"], step)
        return step

    @contextlib.contextmanager
    def stopped(self, process, pod):
        """It hangs: the kernel goes on taking connections for it and acknowledging what is sent to it."""
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)
            pod.wait_ready()

    def assert_step_both_ways(self, wanted):
        """Asked from outside the pods, and by a connection from the client."""
        self.assert_step(wanted, self.client.address, f"{self.vip}:80", within=0.1)
        name, answer = self.probe(f"{self.vip}:80")
        self.assertEqual(name, wanted, answer["verdict"])

    @contextlib.contextmanager
    def registry_changed(self):
        """The registry as the test changes it, and as it was."""
        registry = self.mesh.registry
        kept = json.dumps([registry.workloads, registry.services, registry.policies])
        try:
            yield registry
        finally:
            registry.workloads, registry.services, registry.policies = json.loads(kept)
            registry.write()
            wait_until(lambda: not self.explain(self.client.address, f"{self.vip}:80")[0], 10, "the mesh as it was")

    def entry(self, registry, name):
        return next(workload for workload in registry.workloads if workload["name"] == name)

    # All is well.

    def test_01_nothing_is_in_the_way_of_a_mesh_that_works(self):
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
        for source in (self.client.address, "demo/client", self.client.spiffe_id):
            for destination in (f"{self.vip}:80", "demo/server:80", f"{self.server.address}:8080"):
                self.assertEqual(self.explain(source, destination)[0], "")
        name, answer = self.explain(self.client.address, f"{self.vip}:80")
        # The control plane does not claim to know what it cannot.
        self.assertEqual(answer["steps"][-1]["outcome"], "OUTCOME_UNKNOWN")
        name, answer = self.probe(f"{self.vip}:80")
        self.assertEqual((name, answer["steps"][-1]["outcome"]), ("", "OUTCOME_OK"))

    # The registry.

    def test_02_an_unknown_source(self):
        self.assert_step("source", "demo/nobody", f"{self.vip}:80")

    def test_03_an_unknown_address(self):
        self.assert_step("destination", self.client.address, "10.77.0.250:80")

    def test_04_an_unknown_service(self):
        self.assert_step("destination", self.client.address, "nothing.demo.svc.cluster.local:80")

    def test_05_a_port_the_service_does_not_have(self):
        self.assert_step("service-port", self.client.address, f"{self.vip}:81")

    def test_06_a_service_without_endpoint(self):
        self.assert_step("endpoint", self.client.address, f"{self.empty_vip}:80")

    def test_07_an_endpoint_that_is_not_healthy(self):
        with self.registry_changed() as registry:
            self.entry(registry, "server")["healthy"] = False
            registry.write()
            self.assert_step("endpoint-health", self.client.address, f"{self.vip}:80")

    def test_08_a_strict_service_without_an_endpoint_nearby(self):
        with self.registry_changed() as registry:
            registry.services[0]["load_balancing"] = {"mode": "STRICT", "routing_preference": ["ZONE"]}
            registry.write()
            self.assert_step("endpoint-locality", self.client.address, f"{self.vip}:80")

    def test_09_a_protocol_the_destination_does_not_speak(self):
        with self.registry_changed() as registry:
            self.entry(registry, "server")["tunnel_protocol"] = "NONE"
            registry.write()
            self.assert_step("protocol", self.client.address, f"{self.server.address}:8080")

    def test_10_another_identity_than_the_registry_expects(self):
        with self.registry_changed() as registry:
            self.entry(registry, "server")["service_account"] = "somebody"
            registry.write()
            self.assert_step("destination-identity", self.client.address, f"{self.vip}:80")
            self.assert_fails_fast(self.client, self.vip, 80)

    def test_11_a_trust_domain_without_a_bundle(self):
        with self.registry_changed() as registry:
            registry.workload("partner", "demo", "partner", ["10.77.0.240"], trust_domain="partner.example")
            registry.write()
            self.assert_step("trust", self.client.address, "10.77.0.240:80")

    def test_12_a_client_of_a_trust_domain_without_a_bundle(self):
        with self.registry_changed() as registry:
            registry.workload("partner", "demo", "partner", ["10.77.0.240"], trust_domain="partner.example")
            registry.write()
            self.assert_step("trust", "10.77.0.240", f"{self.vip}:80")

    # Policies.

    def test_13_a_policy_that_denies(self):
        with self.registry_changed() as registry:
            registry.policy("no", "DENY", principals=[{"exact": "cluster.local/ns/demo/sa/client"}])
            registry.write()
            step = self.assert_step("policy", self.client.address, f"{self.vip}:80")
            self.assertIn("demo/no denies it by rules[0]", step["reason"])
            self.assert_fails_fast(self.client, self.vip, 80)

    def test_14_no_policy_that_allows(self):
        with self.registry_changed() as registry:
            registry.policy("only", "ALLOW", principals=[{"exact": "cluster.local/ns/demo/sa/other"}])
            registry.write()
            step = self.assert_step("policy", self.client.address, f"{self.vip}:80")
            self.assertIn("demo/only", step["reason"])
            self.assert_fails_fast(self.client, self.vip, 80)
            self.assertEqual(self.explain(self.other.address, f"{self.vip}:80")[0], "")

    def test_15_a_policy_of_the_api_that_denies_a_port(self):
        plane = self.mesh.control_plane
        path = os.path.join(self.mesh.directory, "policy.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"name": "port", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                       "rules": [{"clauses": [{"matches": [{"destination_ports": [8080]}]}]}]}, out)
        plane.ctl("policy", "apply", "-f", path)
        try:
            self.assert_step("policy", self.client.address, f"{self.vip}:80")
            wait_until(lambda: self.assert_fails_fast(self.client, self.vip, 80), 5, "the policy in force")
        finally:
            plane.ctl("policy", "delete", "demo/port")
        wait_until(lambda: self.ask(self.client, self.vip, 80) == b"ping\n", 5, "the policy's end")

    def test_16_a_dry_run_policy_stops_nothing(self):
        with self.registry_changed() as registry:
            registry.policy("try", "DENY", destination_ports=[8080])["dry_run"] = True
            registry.write()
            wait_until(lambda: "demo/try would deny" in json.dumps(self.explain(self.client.address, f"{self.vip}:80")[1]),
                       6, "the dry run")
            self.assertEqual(self.explain(self.client.address, f"{self.vip}:80")[0], "")
            self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")

    # Clients outside the mesh.

    def test_17_an_unmeshed_client_and_a_strict_server(self):
        name, answer = self.explain(self.outsider.address, f"{self.server.address}:8080")
        self.assertEqual(name, "")
        mode = next(step for step in answer["steps"] if step["name"] == "inbound-mode")
        self.assertEqual(mode["outcome"], "OUTCOME_UNKNOWN")
        # In the server's pod the proxy itself is asked.
        self.assert_step("inbound-mode", self.outsider.address, f"{self.server.address}:8080",
                         "--destination_admin=127.0.0.1:15000", namespace=self.server.host)

    # Certificates and agents.

    def test_18_no_certificate_was_issued(self):
        self.assert_step("source-certificate", self.late.address, f"{self.vip}:80")
        self.assert_step("destination-certificate", self.client.address, f"{self.late.address}:80")

    def test_19_an_agent_that_is_gone(self):
        self.other.agent.kill()
        try:
            self.assert_step("source-agent", self.other.address, f"{self.vip}:80")
            self.assert_step("destination-agent", self.client.address, f"{self.other.address}:80")
        finally:
            self.other.write_token()
            self.other.start_agent()
            self.other.wait_ready()

    def test_20_a_certificate_that_has_ended(self):
        # Its agent ends before it could renew it.
        self.other.agent.terminate()
        self.other.extra_agent_flags = ["--certificate_ttl=5s"]
        self.other.write_token()
        self.other.start_agent()
        self.other.wait_ready()
        wait_until(lambda: any(re.search("is valid for another [0-5]s", step["reason"])
                               for step in self.explain(self.other.address, f"{self.vip}:80")[1]["steps"]
                               if step["name"] == "source-certificate"), 5, "the short certificate")
        self.other.agent.kill()
        try:
            self.assert_step("source-certificate", self.other.address, f"{self.vip}:80", within=10)
        finally:
            self.other.extra_agent_flags = []
            self.other.write_token()
            self.other.start_agent()
            self.other.wait_ready()

    def test_21_a_clock_that_is_wrong(self):
        if SANITIZED:
            return  # libfaketime hangs where a sanitizer's runtime is.
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.assertTrue(library, "libfaketime is not installed; tools/setup installs it")
        self.late.write_token()
        agent = self.mesh.spawn(
            "late-agent", self.late.host,
            ["env", f"LD_PRELOAD={library[0]}", "FAKETIME=+1200s", "FAKETIME_DONT_FAKE_MONOTONIC=1",
             *self.late.agent_arguments()], self.mesh.log_path("late-agent"), uid=PROXY_UID)
        try:
            self.assert_step("source-clock", self.late.address, f"{self.vip}:80", within=10)
        finally:
            agent.kill()

    # What only the pods know.

    def test_22_an_application_that_does_not_listen(self):
        self.app.kill()
        try:
            self.assertEqual(self.probe(f"{self.vip}:80")[0], "application")
        finally:
            type(self).app = self.server.app("echo", "8080")

    def test_23_redirect_rules_that_are_missing(self):
        self.client.redirect("remove")
        try:
            self.assertEqual(self.probe(f"{self.server.address}:8080")[0], "redirect")
        finally:
            self.client.redirect("apply")

    def test_24_packets_that_are_dropped_between_the_pods(self):
        # As a network policy does. A tunnel that is open goes on until it hears of it: a new one is needed.
        self.server.host.run("nft", "-f", "-", stdin=(
            "table inet dropped {\nchain in {\ntype filter hook prerouting priority -400;\n"
            f"ip saddr {self.client.address} tcp dport 15008 drop\n}}\n}}\n"))
        try:
            self.client.proxy.terminate()
            self.client.start_proxy()
            self.client.wait_ready()
            self.assertEqual(self.probe(f"{self.vip}:80")[0], "network")
        finally:
            self.server.host.run("nft", "delete", "table", "inet", "dropped")

    def test_25_a_proxy_that_does_not_run(self):
        self.server.proxy.kill()
        try:
            self.assert_step("destination-proxy", self.client.address, f"{self.vip}:80")
        finally:
            self.server.start_proxy()
            self.server.wait_ready()

    def test_26_a_proxy_that_is_not_ready(self):
        self.late.redirect("apply")
        self.late.start_proxy()
        try:
            wait_until(lambda: http_request(self.late.host, 15021, "/healthz/ready", address=self.late.address)[0] == 503, 5,
                       "a proxy without an agent")
            name, answer = self.explain(self.late.address, f"{self.vip}:80")
            self.assertIn(name, ("source-certificate", "source-agent", "source-clock"))
            step = next(step for step in answer["steps"] if step["name"] == "source-proxy")
            self.assertEqual(step["outcome"], "OUTCOME_FAILED")
        finally:
            self.late.proxy.kill()
            self.late.redirect("remove")

    # What hangs, and what is only half there.

    def test_27_an_agent_that_hangs(self):
        with self.stopped(self.client.agent, self.client):
            self.assert_step_both_ways("source-agent")
        with self.stopped(self.server.agent, self.server):
            self.assert_step_both_ways("destination-agent")
        self.assertEqual(self.probe(f"{self.vip}:80")[0], "")

    def test_28_a_proxy_that_hangs(self):
        with self.stopped(self.client.proxy, self.client):
            self.assert_step_both_ways("source-proxy")
        with self.stopped(self.server.proxy, self.server):
            self.assert_step_both_ways("destination-proxy")
        wait_until(lambda: self.probe(f"{self.vip}:80")[0] == "", 10, "the mesh as it was")

    def test_29_a_proxy_that_hangs_where_only_its_agent_is_reached(self):
        # Readiness is not reached, as from a machine that has no way to the pods.
        plane = self.mesh.control_plane
        plane.host.run("nft", "-f", "-", stdin=(
            "table inet away {\nchain out {\ntype filter hook output priority 0;\ntcp dport 15021 drop\n}\n}\n"))
        try:
            name, answer = self.explain(self.client.address, f"{self.vip}:80")
            self.assertEqual(name, "")
            with self.stopped(self.server.proxy, self.server):
                self.assert_step("destination-proxy", self.client.address, f"{self.vip}:80", within=0.1)
        finally:
            plane.host.run("nft", "delete", "table", "inet", "away")

    def test_30_a_dead_proxy_of_the_destination_is_named_by_a_connection_too(self):
        self.server.proxy.kill()
        try:
            self.assert_step_both_ways("destination-proxy")
        finally:
            self.server.start_proxy()
            self.server.wait_ready()

    def test_31_a_probe_of_the_proxys_own_user_is_none(self):
        plane = self.mesh.control_plane
        token = os.path.join(self.mesh.directory, "proxys.token")
        shutil.copyfile(plane.operator_token, token)
        os.chown(token, PROXY_UID, PROXY_UID)
        os.chmod(token, 0o600)

        def probe():
            return self.explain(self.client.address, f"{self.vip}:80", "--probe", namespace=self.client.host, uid=PROXY_UID, token=token)
        name, answer = probe()
        self.assertEqual(name, "", answer["verdict"])
        self.assertIn("pod", answer["verdict"])
        last = answer["steps"][-1]
        self.assertEqual((last["name"], last["outcome"]), ("pod", "OUTCOME_UNKNOWN"))
        self.assertIn(f"uid {PROXY_UID}", last["reason"])
        # What is wrong is named all the same.
        with self.stopped(self.server.proxy, self.server):
            self.assertEqual(probe()[0], "destination-proxy")

    def test_32_a_trust_bundle_that_one_end_does_not_have(self):
        destination = f"{self.guest.address}:8080"
        self.assertEqual(self.explain(self.client.address, destination)[0], "")
        name, answer = self.probe(destination)
        self.assertEqual(name, "trust", answer["verdict"])
        with open(self.mesh.control_plane.bundle, "rb") as bundle:
            self.trust(bundle.read())
        wait_until(lambda: self.probe(destination)[0] == "", 10, "the guests' trust")

    def test_33_a_control_plane_that_hangs_is_said_to_within_the_time(self):
        plane = self.mesh.control_plane
        plane.process.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            done = plane.ctl("explain", self.client.address, f"{self.vip}:80", check=False)
            self.assertLess(time.monotonic() - started, TIME_LIMIT)
        finally:
            plane.process.signal(signal.SIGCONT)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("is not reachable", done.stderr)

    # From a machine that reaches the control plane and no pod.

    @contextlib.contextmanager
    def cut_off_from_the_pods(self, *way):
        """An operator's machine, with a way to the control plane alone; `way`: what becomes of the rest."""
        plane, machine = self.mesh.control_plane, self.outsider
        machine.run("ip", "route", "add", f"{plane.host.address}/32", "dev", "eth0")
        machine.run("ip", "route", "add", *way, "10.77.0.0/24")
        machine.run("ip", "route", "add", *way, "fd77::/112")
        try:
            yield machine
        finally:
            machine.run("ip", "route", "del", *way, "fd77::/112")
            machine.run("ip", "route", "del", *way, "10.77.0.0/24")
            machine.run("ip", "route", "del", f"{plane.host.address}/32", "dev", "eth0")

    def assert_true_verdicts(self, machine):
        """What is in the way is named, and what is not is not."""
        def explained(source=self.client.address):
            return self.explain(source, f"{self.vip}:80", namespace=machine)
        name, answer = explained()
        self.assertEqual(name, "", answer["verdict"])
        with self.registry_changed() as registry:
            registry.policy("no", "DENY", principals=[{"exact": "cluster.local/ns/demo/sa/client"}])
            registry.write()
            self.assert_step("policy", self.client.address, f"{self.vip}:80", namespace=machine)
        # An agent says of its own proxy what nobody can see from here.
        self.server.proxy.kill()
        try:
            self.assert_step("destination-proxy", self.client.address, f"{self.vip}:80", namespace=machine)
        finally:
            self.server.start_proxy()
            self.server.wait_ready()
        wait_until(lambda: explained()[0] == "", 10, "the mesh as it was")

    def test_44_a_machine_without_a_way_to_the_pods(self):
        for way in (("unreachable",), ("prohibit",), ("throw",)):
            with self.subTest(way=way), self.cut_off_from_the_pods(*way) as machine:
                # No route to host, permission denied, network is unreachable.
                for source in (self.client.address, self.client.address6):
                    name, answer = self.explain(source, f"{self.vip}:80", namespace=machine)
                    self.assertEqual(name, "", answer["verdict"])
                self.assert_true_verdicts(machine)

    def test_45_a_firewall_that_refuses_does_not_outvote_the_agent(self):
        self.outsider.run("nft", "-f", "-", stdin=(
            "table inet refuse {\nchain out {\ntype filter hook output priority 0;\n"
            "tcp dport 15021 reject with tcp reset\n}\n}\n"))
        try:
            name, answer = self.explain(self.client.address, f"{self.vip}:80", namespace=self.outsider)
            self.assertEqual(name, "", answer["verdict"])
            self.assertIn("to be looked at: source-proxy, destination-proxy", answer["verdict"])
            self.assert_true_verdicts(self.outsider)
        finally:
            self.outsider.run("nft", "delete", "table", "inet", "refuse")

    def test_46_a_name_that_service_and_workload_have_in_common(self):
        # As flows print a destination: the workload, with its application's port.
        name, answer = self.explain("demo/client", "demo/server:8080")
        self.assertEqual(name, "", answer["verdict"])
        self.assertEqual(answer["destination_address"], f"{self.server.address}:8080")
        step = next(step for step in answer["steps"] if step["name"] == "destination")
        self.assertRegex(step["reason"], "is workload .*; service .* has no port 8080")
        # Whoever means the service is told.
        self.assertIn("for the service use 80", step["remedy"])
        self.assertRegex(answer["verdict"], "to be looked at: (.*, )?destination[,;]")
        # A slip of the pen is nobody's port.
        name, answer = self.explain("demo/client", "demo/server:81")
        self.assertEqual(name, "service-port", answer["verdict"])

    # Behind the destination's proxy, and before the source's.

    def stand_in(self, program):
        """Another application than the usual one at the server's port."""
        self.app.kill()
        return self.mesh.spawn("stand-in", self.server.host, ["/usr/bin/python3", "-c", textwrap.dedent(program)], self.mesh.log_path("stand-in", unique=True))

    @contextlib.contextmanager
    def instead_of_the_application(self, program):
        process = self.stand_in(program)
        try:
            wait_until(lambda: ":8080 " in self.server.host.run("ss", "-Hltn").stdout, 10, "the application's stand-in")
            yield
        finally:
            process.kill()
            type(self).app = self.server.app("echo", "8080")
            wait_until(lambda: self.probe(f"{self.vip}:80")[0] == "", 10, "the mesh as it was")

    def assert_probe(self, wanted, within=10):
        """Each probe is a new connection; what the proxies make of it may be that of an earlier fault for a moment."""
        def named():
            name, self.answer = self.probe(f"{self.vip}:80")
            return name == wanted
        try:
            wait_until(named, within, wanted, every=0.3)
        except AssertionError:
            self.fail(f"expected {wanted}, got {self.answer['verdict']}")

    def test_34_an_application_that_accepts_nothing(self):
        with self.instead_of_the_application("""
            import socket, time
            listener = socket.create_server(("0.0.0.0", 8080), backlog=0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                try:
                    filler.connect(("127.0.0.1", 8080))
                except BlockingIOError:
                    pass
            time.sleep(600)
            """):
            self.assert_probe("application")

    def test_35_an_application_that_resets_what_it_accepts(self):
        with self.instead_of_the_application("""
            import socket, struct
            listener = socket.create_server(("0.0.0.0", 8080))
            while True:
                taken = listener.accept()[0]
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                taken.close()
            """):
            self.assert_probe("application")

    def test_36_packets_that_are_dropped_inside_the_pod(self):
        self.server.host.run("nft", "-f", "-", stdin=(
            "table inet dropped {\nchain in {\ntype filter hook input priority 0;\niif lo tcp dport 8080 drop\n}\n}\n"))
        try:
            self.assert_probe("application")
        finally:
            self.server.host.run("nft", "delete", "table", "inet", "dropped")
        self.assert_probe("")

    def test_37_packets_of_an_open_tunnel_that_are_dropped(self):
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
        self.server.host.run("nft", "-f", "-", stdin=(
            "table inet dropped {\nchain in {\ntype filter hook prerouting priority -400;\n"
            f"ip saddr {self.client.address} tcp dport 15008 drop\n}}\n}}\n"))
        try:
            # At once, while the tunnel still looks open.
            name, answer = self.probe(f"{self.vip}:80")
            self.assertEqual(name, "network", answer["verdict"])
        finally:
            self.server.host.run("nft", "delete", "table", "inet", "dropped")
        self.assert_probe("", within=20)

    def test_38_a_route_that_leads_nowhere(self):
        route = ("blackhole", f"{self.server.address}/32")
        self.client.host.run("ip", "route", "add", *route)
        try:
            self.client.proxy.terminate()
            self.client.start_proxy()
            self.client.wait_ready()
            self.assert_probe("network")
        finally:
            self.client.host.run("ip", "route", "del", *route)
        self.assert_probe("")

    # What is not as it looks.

    def test_39_another_address_in_the_registry_than_the_pods(self):
        with self.registry_changed() as registry:
            self.entry(registry, "server")["addresses"] = ["10.77.0.239"]
            registry.write()
            wait_until(lambda: "10.77.0.239" in json.dumps(self.explain(self.client.address, f"{self.vip}:80")[1]), 10, "the other address")
            steps = {step["name"]: step for step in self.explain(self.client.address, f"{self.vip}:80")[1]["steps"]}
            for name in ("destination-agent", "destination-proxy"):
                self.assertEqual(steps[name]["outcome"], "OUTCOME_UNKNOWN", steps[name])
                self.assertIn("10.77.0.239", steps[name]["reason"])

    def test_40_one_dead_endpoint_of_two(self):
        with self.registry_changed() as registry:
            entry = self.entry(registry, "other")
            entry["services"] = dict(self.entry(registry, "server")["services"])
            registry.write()
            self.other.agent.kill()
            try:
                def warned():
                    name, self.answer = self.explain(self.client.address, f"{self.vip}:80")
                    return "to be looked at: endpoint-health" in self.answer["verdict"]
                wait_until(warned, 10, "the warning")
                self.assertEqual(self.answer["first_failed"], "")
                step = next(step for step in self.answer["steps"] if step["name"] == "endpoint-health")
                self.assertIn("demo/other at destination-agent", step["reason"])
                self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
            finally:
                self.other.write_token()
                self.other.start_agent()
                self.other.wait_ready()

    def test_41_an_agent_that_is_cut_off(self):
        self.server.host.run("nft", "-f", "-", stdin=(
            "table inet cut {\nchain out {\ntype filter hook output priority 0;\ntcp dport 15012 drop\n}\n}\n"))
        try:
            step = self.assert_step("destination-agent", self.client.address, f"{self.vip}:80")
            self.assertIn("or it is cut off from the control plane", step["reason"])
        finally:
            self.server.host.run("nft", "delete", "table", "inet", "cut")
        wait_until(lambda: self.explain(self.client.address, f"{self.vip}:80")[0] == "", 30, "the agent's return")

    def test_42_a_client_whose_certificate_is_revoked(self):
        plane = self.mesh.control_plane
        serials = [issued["serial"] for issued in json.loads(plane.ctl("issuances", "-o", "json").stdout)
                   if issued["spiffe_id"] == self.client.spiffe_id]
        plane.ctl("revoke", serials[0])
        try:
            self.assert_probe("source-certificate")
            self.assertEqual([step["name"] for step in self.answer["steps"] if step["outcome"] == "OUTCOME_FAILED"
                              and step["name"].startswith("destination")], [])
        finally:
            self.client.agent.kill()
            self.client.write_token()
            self.client.start_agent()
            self.client.wait_ready()
        self.assert_probe("", within=20)

    def test_43_a_control_plane_that_was_just_started_again(self):
        plane = self.mesh.control_plane
        plane.process.kill()
        plane.start()
        seen = set()

        def back():
            name, answer = self.explain(self.client.address, f"{self.vip}:80")
            seen.add(name)
            return all(step["outcome"] == "OUTCOME_OK" for step in answer["steps"] if step["name"].endswith("-agent"))
        wait_until(back, 30, "the agents' return", every=0.1)
        self.assertEqual(seen, {""})


if __name__ == "__main__":
    sys.exit(main())
