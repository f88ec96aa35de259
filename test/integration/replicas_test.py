#!/usr/bin/python3
"""Three control planes over one etcd of three members are one control plane, whichever of them dies.

Proved, over https with client certificates: while each control plane and each member of etcd, its leader too, is killed and
started again in turn, tokens are made and used and policies applied and deleted at all of them; every token that was acknowledged
is there and gives exactly one certificate, no serial comes twice, and all three have every policy that was acknowledged and none
that was deleted; a token used at all of them at the same time works once; an agent goes to another
control plane within five seconds; keys of JWT-SVIDs are made by one and had by all; an operator's token that is taken back at
one ends what was opened with it at all; a control plane that may not issue any more is alive and not ready, and says so and
why, each of the others for how long it will go on; with all of etcd
away agents go on renewing, changes are refused with what to do, and work again when it is back.
"""

import collections
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from testing import grpc_call
from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.etcd import EtcdCluster
from testing.issuer import der, new_key
from testing.mesh import ControlPlane, parse_metrics
from testing.messages import Messages
from testing.policy_writer import PolicyWriter, policy_names
from testing.process import wait_until
from testing.sanitized import patience

OK, UNAVAILABLE, UNAUTHENTICATED = 0, 14, 16
ISSUE = "/byrnie.ca.v1.CertificateAuthority/Issue"
CREATE_TOKEN = "/byrnie.operator.v1.Operator/CreateJoinToken"
IDENTITY = "spiffe://cluster.local/ns/demo/sa/client"
WORKERS = 3
FAIL_OVER = 5.0


class ReplicasTest(MeshTestCase):

    workload_ttl = "10s"

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.messages = Messages("byrnie/ca/v1/ca.proto", "byrnie/operator/v1/operator.proto", "grpc/health/v1/health.proto")
        cls.etcd = EtcdCluster(mesh)
        cls.etcd.start()
        cls.planes = [mesh.control_plane] + [ControlPlane(mesh, f"control{number}", number) for number in (3, 4)]
        for number, plane in enumerate(cls.planes):
            plane.store_flags = cls.etcd.store_flags("test/mesh")
            plane.extra_flags = ["--jwt_key_rotation=10s", f"--name=plane-{number}"]
            # One operator, one registry.
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
            plane.start()
        cls.trust = grpc_call.context_for(mesh.control_plane.bundle)
        with open(mesh.control_plane.operator_token, encoding="ascii") as token:
            cls.operator_token = token.read().strip()
        cls.csr = der(x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256()))
        cls.caller = mesh.outsider("caller")
        cls.pod = mesh.pod("client")
        cls.pod.control_planes = [f"{plane.host.address}:{ControlPlane.PORT}" for plane in cls.planes]
        mesh.start()

    def call(self, plane, path, request, token, timeout=15.0):
        return grpc_call.call(self.caller, plane.host.address, ControlPlane.PORT, self.trust, path,
                              request.SerializeToString(), token, timeout)

    def operator_call(self, number, method, **fields):
        """(answer's code, response) of a control plane by its number."""
        answer = self.call(self.planes[number], f"/byrnie.operator.v1.Operator/{method}",
                           self.messages[f"byrnie.operator.v1.{method}Request"](**fields), self.operator_token)
        return answer.code, self.messages[f"byrnie.operator.v1.{method}Response"].FromString(answer.response)

    def create_token(self, plane):
        """(answer's code, token)"""
        request = self.messages["byrnie.operator.v1.CreateJoinTokenRequest"](spiffe_id=IDENTITY)
        answer = self.call(plane, CREATE_TOKEN, request, self.operator_token)
        token = self.messages["byrnie.operator.v1.CreateJoinTokenResponse"].FromString(answer.response).token
        return answer.code, token

    def issue(self, plane, token):
        """(answer's code, IssueResponse)"""
        answer = self.call(plane, ISSUE, self.messages["byrnie.ca.v1.IssueRequest"](csr=self.csr), token)
        return answer.code, self.messages["byrnie.ca.v1.IssueResponse"].FromString(answer.response)

    @staticmethod
    def serial(response):
        return x509.load_der_x509_certificate(response.certificate_chain[0]).serial_number

    def metrics(self, plane):
        return parse_metrics(plane.admin("/metrics")[1])

    # A token that was acknowledged is kept, by whoever is killed.

    def use(self, number, token, seen):
        """Uses a token at one control plane after the other until one says what has become of it."""
        doubtful = False
        end = time.monotonic() + 60
        while time.monotonic() < end:
            number += 1
            try:
                code, response = self.issue(self.planes[number % len(self.planes)], token)
            except OSError:
                doubtful = True
                continue
            if code == OK:
                seen["serials"].append(self.serial(response))
                return
            if code == UNAUTHENTICATED:
                # Used up by an attempt whose answer got lost, or never known.
                seen["doubtful" if doubtful else "lost"].append(token)
                return
            if code != UNAVAILABLE:
                seen["odd"].append(code)
                return
            doubtful = True
            time.sleep(0.05)
        seen["stuck"].append(token)

    def work(self, worker, stop, kept, seen):
        number = worker
        while not stop.is_set():
            number += 1
            try:
                code, token = self.create_token(self.planes[number % len(self.planes)])
            except OSError:
                time.sleep(0.02)
                continue
            if code == OK:
                if number % 3:
                    self.use(number, token, seen)
                else:
                    kept.append(token)
            elif code == UNAVAILABLE:
                time.sleep(0.05)
            else:
                seen["odd"].append(code)
            # It is not about load.
            time.sleep(0.01)

    def assert_policies_are_kept(self, writer):
        self.assertEqual(writer.odd, [])
        self.assertGreater(min(len(writer.there), len(writer.gone)), 3)
        for number in range(len(self.planes)):
            # What was acknowledged at one comes to the others by etcd's watch.
            wait_until(lambda number=number: writer.there <= policy_names(self.operator_call, number), patience(3), "all policies")
            self.assertEqual(writer.gone & policy_names(self.operator_call, number), set())

    def test_nothing_acknowledged_is_lost_whoever_dies(self):
        stop, kept, seen = threading.Event(), [], collections.defaultdict(list)
        workers = [threading.Thread(target=self.work, args=(worker, stop, kept, seen)) for worker in range(WORKERS)]
        writer = PolicyWriter("kept", len(self.planes), self.operator_call)
        for worker in (*workers, writer):
            worker.start()

        def progress():
            before, policies = len(seen["serials"]) + len(kept), len(writer.kept)
            wait_until(lambda: len(seen["serials"]) + len(kept) >= before + 15 and len(writer.kept) >= policies + 5, 30,
                       "work that goes on")

        try:
            progress()
            for plane in self.planes:
                plane.process.kill()
                progress()
                plane.start()
            leader = self.etcd.leader()
            for member in [member for member in self.etcd.members if member is not leader] + [leader]:
                member.kill()
                progress()
                member.start()
                self.etcd.wait_ready()
            progress()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
            writer.finish()
        self.assert_policies_are_kept(writer)
        self.assertEqual(seen["lost"] + seen["stuck"] + seen["odd"], [])
        # Nobody is killed any more, so nothing is in doubt.
        undisturbed = collections.defaultdict(list)
        for token in kept:
            self.use(len(undisturbed["serials"]), token, undisturbed)
        self.assertEqual(len(undisturbed["serials"]), len(kept), dict(undisturbed))
        serials = seen["serials"] + undisturbed["serials"]
        self.assertEqual(len(set(serials)), len(serials), "a serial came twice")
        for token in kept[:10]:
            self.assertEqual(self.issue(self.planes[0], token)[0], UNAUTHENTICATED, "a token worked twice")
        # Attempts that were cut off may have used their token up; they are few.
        self.assertLess(len(seen["doubtful"]), len(serials) / 4)

    def test_a_token_used_everywhere_at_once_works_once(self):
        for _ in range(20):
            code, token = self.create_token(self.planes[0])
            self.assertEqual(code, OK)
            codes = []
            threads = [threading.Thread(target=lambda plane=plane: codes.append(self.issue(plane, token)[0]))
                       for plane in self.planes * 2]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(codes), [OK] + [UNAUTHENTICATED] * 5)

    # Agents.

    def connected(self):
        """The control planes that an agent is connected to."""
        return [plane for plane in self.planes
                if plane.process.running() and self.metrics(plane)["byrnie_controlplane_agents_connected"] == 1]

    def test_an_agent_goes_to_another(self):
        for _ in range(2):
            used = wait_until(self.connected, 10, "an agent")[0]
            used.process.kill()
            began = time.monotonic()
            wait_until(self.connected, FAIL_OVER, "the agent at another control plane")
            self.assertLess(time.monotonic() - began, FAIL_OVER)
            used.start()

    # Keys.

    def jwt_keys(self, plane):
        code, token = self.create_token(plane)
        self.assertEqual(code, OK)
        code, response = self.issue(plane, token)
        self.assertEqual(code, OK)
        return {key.key_id for bundle in response.trust_bundles.bundles for key in bundle.jwt_keys}

    def makers(self):
        return [plane for plane in self.planes
                if plane.process.running() and self.metrics(plane)["byrnie_controlplane_makes_jwt_keys"] == 1]

    def test_one_makes_the_keys_that_all_have(self):
        maker = wait_until(self.makers, 15, "one that makes keys")
        self.assertEqual(len(maker), 1)
        known = self.jwt_keys(self.planes[0])

        def all_have_the_next():
            keys = [self.jwt_keys(plane) for plane in self.planes]
            return keys[0] - known and all(other == keys[0] for other in keys)
        wait_until(all_have_the_next, 15, "the next key at all of them", every=0.2)
        maker[0].process.kill()
        others = wait_until(self.makers, 15, "another that makes keys")
        self.assertEqual(len(others), 1)
        maker[0].start()
        known = self.jwt_keys(self.planes[0])
        wait_until(all_have_the_next, 20, "the next key at all of them", every=0.2)

    # Streams of operators.

    def follow_events(self, plane, token_file):
        """byrniectl that follows a control plane's events until they end."""
        process = self.mesh.spawn(
            "byrniectl", plane.host,
            [self.mesh.binary("byrniectl"), "events", "--follow", f"--control_plane=127.0.0.1:{ControlPlane.PORT}",
             f"--trust_bundle={plane.bundle}", f"--trust_domain={plane.trust_domain}", f"--token={token_file}"],
            self.mesh.log_path("events", unique=True))
        wait_until(process.log_text, 10, "an event")
        return process

    def assert_end(self, streams):
        began = time.monotonic()
        for stream in streams:
            self.assertEqual(stream.wait(10), 4)
            self.assertIn("no longer valid", stream.log_text())
        self.assertLess(time.monotonic() - began, 2.0)

    def test_a_token_that_is_taken_back_at_one_ends_its_streams_at_all(self):
        first, *others = self.planes
        token_file = os.path.join(self.mesh.directory, "leaver.token")
        with open(token_file, "w", encoding="ascii") as out:
            out.write(first.ctl("token", "create", "--operator=leaver", "--role=viewer").stdout)
        os.chmod(token_file, 0o600)
        streams = [self.follow_events(plane, token_file) for plane in self.planes]
        first.ctl("token", "revoke", "leaver")
        # Another one of that name does not keep them.
        first.ctl("token", "create", "--operator=leaver", "--role=viewer")
        self.assert_end(streams)
        # The first token is replaced by removing its file and starting again.
        streams = [self.follow_events(plane, first.operator_token) for plane in others]
        self.assertEqual(first.process.terminate(), 0)
        os.unlink(first.operator_token)
        first.start()
        self.assert_end(streams)
        with open(first.operator_token, encoding="ascii") as token:
            type(self).operator_token = token.read().strip()
        for plane in self.planes:
            self.assertEqual(plane.ctl("status").returncode, 0)

    # Without a store.

    def leaf_serial(self):
        return leaf_facts(served_leaf(self.caller, self.pod.address))["serial"]

    def test_without_etcd_agents_renew_and_changes_are_refused(self):
        for member in self.etcd.members:
            member.kill()
        serials = {self.leaf_serial()}
        for plane in self.planes:
            began = time.monotonic()
            refused = plane.ctl("token", "create", f"--identity={IDENTITY}", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, r"\Abyrniectl: error: [^\n]+\n\Z")
            for words in ("etcd", "does not answer", "see whether most of its members run", "nothing was changed"):
                self.assertIn(words, refused.stderr)
            self.assertLess(time.monotonic() - began, 8)
            self.assertEqual(plane.ctl("status").returncode, 0)
        for _ in range(2):
            wait_until(lambda: self.leaf_serial() not in serials, 12, "a renewal without a store", every=0.2)
            serials.add(self.leaf_serial())
        self.etcd.start()
        for plane in self.planes:
            wait_until(lambda: self.create_token(plane)[0] == OK, 10, "a token at a control plane whose store is back")
        wait_until(self.makers, 15, "one that makes keys")

    def serving(self, plane):
        """What gRPC's health service says: {service: status}, "" the server as a whole."""
        statuses = {}
        for service in ("", "byrnie.ca.v1.CertificateAuthority", "istio.v1.auth.IstioCertificateService",
                        "envoy.service.discovery.v3.AggregatedDiscoveryService", "byrnie.operator.v1.Operator"):
            answer = self.call(plane, "/grpc.health.v1.Health/Check",
                               self.messages["grpc.health.v1.HealthCheckRequest"](service=service), None)
            self.assertEqual(answer.code, OK, service)
            statuses[service.rpartition(".")[2]] = \
                self.messages["grpc.health.v1.HealthCheckResponse"].FromString(answer.response).status
        return statuses

    @staticmethod
    def checks(plane):
        return {check["name"]: check for check in json.loads(plane.ctl("check", "-o", "json", check=False).stdout)}

    def test_who_may_not_issue_any_more_is_alive_and_not_ready(self):
        plane = self.planes[2]
        self.assertEqual(plane.process.terminate(), 0)
        plane.extra_flags.append("--issue_without_store=10s")
        plane.start()
        all_serve = {"": 1, "CertificateAuthority": 1, "IstioCertificateService": 1, "AggregatedDiscoveryService": 1,
                     "Operator": 1}
        self.assertEqual((plane.admin("/readyz"), self.serving(plane)), ((200, "ready\n"), all_serve))
        for member in self.etcd.members:
            member.kill()
        try:
            status, why = wait_until(lambda: (page := plane.admin("/readyz"))[0] == 503 and page, 25,
                                     "a control plane that is not ready")
            self.assertIn("has not reached its store", why)
            wait_until(lambda: self.metrics(plane)["byrnie_controlplane_ready"] == 0, 2, "the metric")
            self.assertEqual(self.serving(plane), {**all_serve, "": 2, "CertificateAuthority": 2, "IstioCertificateService": 2})
            self.assertEqual(plane.admin("/healthz")[0], 200)
            # The checks are taken anew every second or so, whatever the store takes to answer.
            checks = wait_until(lambda: [(found := self.checks(plane))[name]["outcome"] for name in ("store", "issuing")] == ["bad", "bad"]
                                and found, patience(5), "checks that say so")
            self.assertIn("etcd", checks["store"]["message"])
            # One that may go on says for how long.
            self.assertRegex(self.checks(self.planes[0])["issuing"]["message"], r"issued for another \d+m.*s without the store")
            # Others, who may go on, are as ready as ever.
            self.assertEqual(self.planes[0].admin("/readyz")[0], 200)
        finally:
            self.etcd.start()
        wait_until(lambda: plane.admin("/readyz")[0] == 200, 15, "a control plane that is ready again")
        wait_until(lambda: self.serving(plane) == all_serve, 2, "its health service")
        plane.extra_flags.pop()
        self.assertEqual(plane.process.terminate(), 0)
        plane.start()

    def test_a_control_plane_without_its_etcd_says_so(self):
        plane = self.planes[2]
        self.assertEqual(plane.process.terminate(), 0)
        flags = plane.store_flags
        plane.store_flags = ["--store=etcd:http://127.0.0.1:1", f"--store_key={self.etcd.path('store.key')}"]
        done = plane.host.run(*plane.arguments(), check=False)
        plane.store_flags = flags
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("127.0.0.1:1", done.stderr)
        self.assertIn("does not answer", done.stderr)
        plane.start()


if __name__ == "__main__":
    main()
