#!/usr/bin/python3
"""Who may call what: every method of every service of a control plane, with no, wrong, expired and lesser credentials.

Proved on the real control plane over TLS: the methods are those that the server lists itself (reflection), so that a new one
without an expectation fails; what each of byrnie.operator.v1 takes is read from its comment in the API. Mutating calls and
refusals are audit lines with who, role, rpc, target and outcome; no token is in the log. A role is not widened by making
tokens for others' identities. Lists come in pages that lose nothing, field masks trim, errors carry google.rpc details.
"""

import json
import os
import re
import sys
import threading
import time
import unittest

import grpc
from cryptography import x509

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import (OPERATOR, LoopbackControlPlane, details, messages, operator_message, policy,
                                            wait_past)
from testing.mesh import REPOSITORY
from testing.messages import serialize
from testing.process import wait_until

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ALICE, WORKLOAD = "spiffe://cluster.local/ns/ops/sa/alice", "spiffe://cluster.local/ns/demo/sa/client"
ROLES = ["viewer", "operator", "admin"]
UNAUTHENTICATED, DENIED = "UNAUTHENTICATED", "PERMISSION_DENIED"

# What an empty request is answered once the caller has been let in, where that is not OK.
EMPTY_REQUEST = {
    "GetWorkload": "INVALID_ARGUMENT", "GetPolicy": "INVALID_ARGUMENT", "ValidatePolicy": "INVALID_ARGUMENT",
    "ApplyPolicy": "INVALID_ARGUMENT", "DeletePolicy": "INVALID_ARGUMENT", "CreateJoinToken": "INVALID_ARGUMENT",
    "CreateOperatorToken": "INVALID_ARGUMENT", "RevokeJoinToken": "INVALID_ARGUMENT", "RevokeOperatorToken": "INVALID_ARGUMENT", "Explain": "INVALID_ARGUMENT",
    "GetService": "INVALID_ARGUMENT", "ApplyRegistry": "INVALID_ARGUMENT", "DeleteWorkload": "INVALID_ARGUMENT",
    "DeleteService": "INVALID_ARGUMENT",
    "RevokeCertificate": "INVALID_ARGUMENT", "DiffPolicies": "INVALID_ARGUMENT", "SuggestPolicies": "INVALID_ARGUMENT",
}


def api_comments():
    """{method: its comment} of the operator's API."""
    with open(os.path.join(REPOSITORY, "api/byrnie/operator/v1/operator.proto"), encoding="utf-8") as text:
        found = re.findall(r"((?:^  //.*\n)+)  rpc (\w+)\(", text.read(), re.M)
    return {name: re.sub(r"\s*// ?", " ", comment).strip() for comment, name in found}


def least_role(comment):
    """What a method's comment ends with: "… Viewer."."""
    role = re.search(r"(\w+)\.$", comment)[1].lower()
    assert role in ROLES, comment
    return role


class OperatorApiTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane(f"--operators={ALICE}=operator,{ALICE}-root=admin")
        try:
            cls.build()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def build(cls):
        plane = cls.plane
        for number in range(5):
            plane.registry.workload(f"w{number}", "demo", f"w{number}", [f"10.0.0.{number + 1}"])
        plane.registry.service("web", "demo", ["10.96.0.1"], 80, 8080, ["w0", "w1"])
        plane.registry.policy("from-file", "DENY", destination_ports=[9])
        plane.registry.write()
        plane.start()
        cls.tokens = {role: cls.make_token(f"{role}-1", role) for role in ROLES}
        cls.short = cls.make_token("short", "admin", ttl=1)

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    @classmethod
    def make_token(cls, name, role, ttl=None):
        fields = {"ttl": {"seconds": ttl}} if ttl else {}
        return cls.plane.call("CreateOperatorToken", name=name, role=f"ROLE_{role.upper()}", **fields).token

    def code(self, service, method, token=None, identity=None):
        """The status of a call with an empty request."""
        described = next(entry for entry in messages._methods(service) if entry.name == method)
        request = messages[described.input_type.lstrip(".")]()
        caller = messages.caller(self.plane.channel(identity), service, method)
        try:
            answer = caller(iter([request]) if described.client_streaming else request,
                            metadata=self.plane.metadata(token), timeout=10)
            if described.server_streaming:
                try:
                    next(answer, None)
                finally:
                    answer.cancel()
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

    def assert_code(self, code, method, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.plane.call(method, **fields)
        self.assertEqual(caught.exception.code().name, code, caught.exception.details())
        return caught.exception

    # The walk.

    def services(self):
        """Those that the server says it has."""
        stream = self.plane.channel().stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request_serializer=serialize,
            response_deserializer=lambda data: data)(iter([b"\x3a\x01*"]), timeout=10)
        answer = next(iter(stream))
        stream.cancel()
        return set(re.findall(r"[a-z][\w.]*\.[A-Z]\w+", answer.decode("latin-1")))

    def test_every_service_has_an_expectation(self):
        reflection = {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")}
        self.assertEqual(self.services(), set(EXPECTED) | {OPERATOR} | reflection)

    def test_every_method_of_the_operator_api(self):
        comments = api_comments()
        methods = [method.name for method in messages._methods(OPERATOR)]
        self.assertEqual(sorted(methods), sorted(comments))
        workload, alice = self.plane.issue(WORKLOAD), self.plane.issue(ALICE)
        wait_past(1.1)
        for method in methods:
            least = ROLES.index(least_role(comments[method]))
            admitted = EMPTY_REQUEST.get(method, "OK")

            def expected(role):
                return admitted if ROLES.index(role) >= least else DENIED
            with self.subTest(method=method):
                self.assertEqual(self.code(OPERATOR, method), UNAUTHENTICATED)
                self.assertEqual(self.code(OPERATOR, method, token="wrong"), UNAUTHENTICATED)
                self.assertEqual(self.code(OPERATOR, method, token=""), UNAUTHENTICATED)
                self.assertEqual(self.code(OPERATOR, method, token=self.short), UNAUTHENTICATED)
                self.assertEqual(self.code(OPERATOR, method, identity=workload), DENIED)
                self.assertEqual(self.code(OPERATOR, method, identity=alice), expected("operator"))
                self.assertEqual(self.code(OPERATOR, method, identity=alice, token="wrong"), UNAUTHENTICATED)
                for role in ROLES:
                    self.assertEqual(self.code(OPERATOR, method, token=self.tokens[role]), expected(role), role)

    def test_every_method_of_the_other_services(self):
        workload, alice = self.plane.issue(WORKLOAD), self.plane.issue(ALICE)
        for service, methods in EXPECTED.items():
            self.assertEqual(sorted(method.name for method in messages._methods(service)), sorted(methods), service)
            for method, (anonymous, proven) in methods.items():
                with self.subTest(service=service, method=method):
                    self.assertEqual(self.code(service, method), anonymous)
                    self.assertEqual(self.code(service, method, token="wrong"), anonymous)
                    # An operator's token is none of a workload.
                    self.assertEqual(self.code(service, method, token=self.tokens["admin"]), anonymous)
                    self.assertEqual(self.code(service, method, identity=workload), proven)
                    self.assertEqual(self.code(service, method, identity=alice), proven)

    # The audit log.

    def test_what_changes_something_and_what_is_refused_is_in_the_audit_log(self):
        self.plane.call("ApplyPolicy", token=self.tokens["operator"], document=policy("audited"))
        record = self.plane.audit(rpc="ApplyPolicy", target="demo/audited")[-1]
        self.assertEqual((record["who"], record["role"], record["outcome"]), ("operator-1", "operator", "OK"))
        self.assert_code(DENIED, "DeletePolicy", token=self.tokens["viewer"], name="demo/audited")
        record = self.plane.audit(rpc="DeletePolicy", who="viewer-1")[-1]
        self.assertEqual((record["role"], record["outcome"]), ("viewer", DENIED))
        self.assert_code(UNAUTHENTICATED, "GetStatus", token="wrong")
        self.plane.call("RotateTrust", dry_run=True)
        self.assertTrue(self.plane.audit(rpc="RotateTrust", target="all, dry run"))
        record = self.plane.audit(rpc="GetStatus", outcome=UNAUTHENTICATED)[-1]
        self.assertEqual((record["who"], record["role"]), ("", "none"))
        self.plane.call("DeletePolicy", name="demo/audited")
        self.assertEqual(self.plane.audit(rpc="DeletePolicy", outcome="OK")[-1]["who"], "operator-token-file")
        # Looking is not.
        self.plane.call("ListPolicies", token=self.tokens["viewer"])
        self.assertEqual(self.plane.audit(rpc="ListPolicies", outcome="OK"), [])

    def test_no_token_is_in_the_log(self):
        join = self.plane.call("CreateJoinToken", spiffe_id=WORKLOAD).token
        text = self.plane.log_text()
        for token in (join, self.short, self.plane.admin_token, *self.tokens.values()):
            self.assertNotIn(token, text)

    def test_what_was_granted_is_in_the_audit_log(self):
        created = self.plane.call("CreateJoinToken", spiffe_id=f"{WORKLOAD}-audited", ttl={"seconds": 90})
        record = self.plane.audit(rpc="CreateJoinToken", target=f"{WORKLOAD}-audited")[-1]
        self.assertEqual(record["detail"], f"id {created.id}, ttl 1m30s")
        self.assertIn(created.id, [token.id for token in self.plane.call("ListJoinTokens", page_size=1000).join_tokens])
        # What comes of it leads back to it.
        self.plane.issue_for(created.token)
        issued = self.plane.call("ListIssuances", spiffe_id=f"{WORKLOAD}-audited").issuances
        self.assertEqual([(entry.proof, entry.subject) for entry in issued], [("join_token", created.id)])
        self.make_token("granted", "operator", ttl=3600)
        self.assertEqual(self.plane.audit(rpc="CreateOperatorToken", target="granted")[-1]["detail"], "role operator, ttl 1h")
        document = json.dumps({"name": "granted", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY", "rules": [{}]})
        version = self.plane.call("ApplyPolicy", document=document, accept_findings=True).policy.version
        try:
            detail = self.plane.audit(rpc="ApplyPolicy", target="demo/granted")[-1]["detail"]
            self.assertTrue(detail.startswith(f"version {version}, accepted: "), detail)
            self.assertIn("it keeps nobody out", detail)
        finally:
            self.plane.call("DeletePolicy", name="demo/granted")

    def test_a_secret_given_for_a_name_is_its_token_and_in_no_log(self):
        join, other = (self.plane.call("CreateJoinToken", spiffe_id=WORKLOAD) for _ in range(2))
        self.assertEqual(self.plane.call("RevokeJoinToken", id=join.token).id, join.id)
        self.assertEqual(self.plane.audit(rpc="RevokeJoinToken", outcome="OK")[-1]["target"], join.id)
        self.assert_code(UNAUTHENTICATED, "GetStatus", token=join.token)
        self.assert_code("NOT_FOUND", "RevokeJoinToken", id=join.token)
        slip = self.make_token("slip", "viewer")
        self.assert_code("INVALID_ARGUMENT", "CreateOperatorToken", name=slip, role="ROLE_VIEWER")
        self.assertEqual(self.plane.call("RevokeOperatorToken", name=slip).name, "slip")
        self.assertEqual(self.plane.audit(rpc="RevokeOperatorToken", outcome="OK")[-1]["target"], "slip")
        # One that is none of an operator.
        for secret in (slip, other.token):
            self.assertNotIn(secret, self.assert_code("NOT_FOUND", "RevokeOperatorToken", name=secret).details())
        self.assertEqual(self.plane.audit(rpc="RevokeOperatorToken")[-1]["target"], f"sha256:{other.id}")
        self.assert_code("FAILED_PRECONDITION", "RevokeOperatorToken", name=self.plane.admin_token)
        self.plane.call("RevokeJoinToken", id=other.id.upper())
        text = self.plane.log_text()
        for secret in (join.token, other.token, slip, self.plane.admin_token):
            self.assertNotIn(secret, text)

    def test_who_revoked_what_and_why_can_be_read(self):
        revoked = f"{WORKLOAD}-revoked"
        self.plane.issue(revoked)
        serial, = (entry.serial for entry in self.plane.call("ListIssuances", spiffe_id=revoked).issuances)
        for _ in range(2):
            self.plane.call("RevokeCertificate", serial=serial.upper(), reason="laptop stolen")
        entry, = self.plane.call("ListIssuances", serial=serial.upper()).issuances
        self.assertEqual((entry.revoked_by, entry.revoked_reason), ("operator-token-file", "laptop stolen"))
        self.assertGreaterEqual(entry.revoked_at.seconds, entry.issued_at.seconds)
        self.assertEqual(self.plane.audit(rpc="RevokeCertificate", target=serial)[0]["detail"], "laptop stolen; 0 renewed from it")
        listed, = (entry for entry in self.plane.call("ListRevocations", page_size=1000).revocations if entry.serial == serial)
        self.assertEqual((listed.spiffe_id, listed.revoked_by, listed.revoked_reason, listed.revoked_at, listed.not_after),
                         (revoked, "operator-token-file", "laptop stolen", entry.revoked_at, entry.not_after))
        events = [response.event for response in self.plane.watch(kinds=["KIND_TRUST_CHANGED"]) if response.event.subject == serial]
        self.assertEqual([(event.actor, event.message) for event in events],
                         [("operator-token-file", f"certificate of {revoked} revoked: laptop stolen; 0 renewed from it")])

    # Roles are not widened.

    def test_a_join_token_for_an_operators_identity_takes_that_operators_role(self):
        self.assert_code(DENIED, "CreateJoinToken", token=self.tokens["operator"], spiffe_id=f"{ALICE}-root")
        self.plane.call("CreateJoinToken", token=self.tokens["operator"], spiffe_id=ALICE)
        self.plane.call("CreateJoinToken", token=self.tokens["admin"], spiffe_id=f"{ALICE}-root")

    def test_a_revoked_token_is_refused_at_once_and_its_streams_end(self):
        token = self.make_token("leaver", "viewer")
        stream = self.plane.watch(token=token, follow=True)
        next(iter(stream))
        self.plane.call("RevokeOperatorToken", name="leaver")
        self.assert_code(UNAUTHENTICATED, "GetStatus", token=token)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code().name, UNAUTHENTICATED)

    def assert_ends(self, stream, seconds=2.0):
        """Every answer until the end, which comes within `seconds` and says UNAUTHENTICATED."""
        began = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code().name, UNAUTHENTICATED, caught.exception.details())
        self.assertLess(time.monotonic() - began, seconds)

    def test_a_token_of_the_same_name_does_not_keep_the_streams_of_the_revoked_one(self):
        old = self.make_token("again", "viewer")
        stream = self.plane.watch(token=old, follow=True)
        next(iter(stream))
        self.plane.call("RevokeOperatorToken", name="again")
        new = self.plane.watch(token=self.make_token("again", "viewer"), follow=True)
        next(iter(new))
        self.assert_ends(stream)
        self.plane.call("CreateJoinToken", spiffe_id=WORKLOAD)
        self.assertTrue(next(iter(new)))
        new.cancel()

    def discovery(self, identity):
        """A stream that wants everything and acknowledges nothing."""
        stop = threading.Event()
        self.addCleanup(stop.set)

        def requests():
            yield messages["envoy.service.discovery.v3.DeltaDiscoveryRequest"](
                type_url="type.googleapis.com/istio.workload.Address", resource_names_subscribe=["*"])
            stop.wait(30)
        return messages.caller(self.plane.channel(identity), ADS, "DeltaAggregatedResources")(requests(), timeout=30)

    def test_a_revoked_certificate_ends_what_was_opened_with_it(self):
        stolen, kept = self.plane.issue(f"{ALICE}-root"), self.plane.issue(f"{ALICE}-root")
        events = messages.caller(self.plane.channel(stolen), OPERATOR, "WatchEvents")(
            operator_message("WatchEventsRequest", follow=True), timeout=30)
        discovery, other = self.discovery(stolen), self.discovery(kept)
        for stream in (events, discovery, other):
            next(iter(stream))
        serial = f"{x509.load_pem_x509_certificate(stolen.chain).serial_number:x}"
        self.plane.call("RevokeCertificate", serial=serial.zfill(len(serial) + len(serial) % 2), reason="stolen")
        self.assert_ends(events)
        self.assert_ends(discovery)
        self.plane.registry.workload("late", "demo", "late", ["10.0.0.99"])
        try:
            self.plane.registry.write()
            self.assertIn("static//pod/demo/late", [resource.name for resource in next(iter(other)).resources])
        finally:
            self.plane.registry.workloads.pop()
            self.plane.registry.write()
            wait_until(lambda: self.plane.call("GetStatus").workloads == 5, 5, "the registry's change")
        other.cancel()

    def test_tokens_are_listed_without_their_secrets(self):
        listed = self.plane.call("ListOperatorTokens")
        self.assertIn("viewer-1", [token.name for token in listed.operator_tokens])
        self.assertNotIn(self.tokens["viewer"].encode(), listed.SerializeToString())
        self.assert_code("ALREADY_EXISTS", "CreateOperatorToken", name="viewer-1", role="ROLE_VIEWER")
        self.assert_code("NOT_FOUND", "RevokeOperatorToken", name="nobody")
        self.assertEqual(details(self.assert_code("FAILED_PRECONDITION", "RevokeOperatorToken", name="operator-token-file"))
                         ["PreconditionFailure"].violations[0].type, "CONFLICT")

    # Lists.

    def pages(self, method, field, **fields):
        elements, token, count = [], "", 0
        while True:
            page = self.plane.call(method, page_token=token, **fields)
            elements += list(getattr(page, field))
            token, count = page.next_page_token, count + 1
            if not token:
                return elements, count

    def test_pages_lose_and_repeat_nothing(self):
        workloads, count = self.pages("ListWorkloads", "workloads", page_size=2)
        self.assertEqual([workload.name for workload in workloads], [f"w{number}" for number in range(5)])
        self.assertEqual(count, 3)
        self.assertEqual(len(self.pages("ListWorkloads", "workloads")[0]), 5)
        # What a token stands for may be gone by the next page.
        first = self.plane.call("ListWorkloads", page_size=2)
        removed = self.plane.registry.workloads.pop(1)
        try:
            self.plane.registry.write()
            wait_until(lambda: self.plane.call("GetStatus").workloads == 4, 5, "the registry's change")
            rest = self.plane.call("ListWorkloads", page_size=9, page_token=first.next_page_token)
            self.assertEqual([workload.name for workload in rest.workloads], ["w2", "w3", "w4"])
        finally:
            self.plane.registry.workloads.insert(1, removed)
            self.plane.registry.write()
            wait_until(lambda: self.plane.call("GetStatus").workloads == 5, 5, "the registry's change")

    def test_a_page_token_is_of_one_list(self):
        token = self.plane.call("ListWorkloads", page_size=1).next_page_token
        for method, fields in (("ListWorkloads", {"namespace": "demo"}), ("ListServices", {}), ("ListAgents", {})):
            error = self.assert_code("INVALID_ARGUMENT", method, page_token=token, **fields)
            self.assertEqual(details(error)["BadRequest"].field_violations[0].field, "page_token")
        self.assertEqual(details(self.assert_code("INVALID_ARGUMENT", "ListAgents", page_size=-1))
                         ["BadRequest"].field_violations[0].field, "page_size")

    def test_a_field_mask_leaves_what_it_names(self):
        workload = self.plane.call("GetWorkload", name="demo/w0", read_mask={"paths": ["uid", "addresses"]})
        self.assertEqual((workload.uid, list(workload.addresses), workload.name), ("static//pod/demo/w0", ["10.0.0.1"], ""))
        listed = self.plane.call("ListWorkloads", read_mask={"paths": ["name"]}).workloads[0]
        self.assertEqual((listed.name, listed.uid), ("w0", ""))
        for _ in range(2):
            self.plane.call("CreateJoinToken", spiffe_id="spiffe://cluster.local/ns/demo/sa/masked")
        # A page goes on although what it is ordered by was not asked for.
        first = self.plane.call("ListJoinTokens", page_size=1, read_mask={"paths": ["spiffe_id"]})
        second = self.plane.call("ListJoinTokens", page_size=1, page_token=first.next_page_token, read_mask={"paths": ["id"]})
        self.assertEqual((first.join_tokens[0].id, second.join_tokens[0].spiffe_id), ("", ""))
        self.assertTrue(first.join_tokens[0].spiffe_id and second.join_tokens[0].id)
        for method, fields in (("ListWorkloads", {}), ("GetPolicy", {"name": "demo/from-file"}), ("ListFlows", {}), ("ListIssuances", {}),
                               ("ListJoinTokens", {}), ("ListOperatorTokens", {}), ("ListRevocations", {})):
            error = self.assert_code("INVALID_ARGUMENT", method, read_mask={"paths": ["nothing"]}, **fields)
            self.assertEqual(details(error)["BadRequest"].field_violations[0].field, "read_mask")
            self.assert_code("INVALID_ARGUMENT", method, read_mask={"paths": [""]}, **fields)

    def test_a_control_planes_own_certificate_is_in_the_log(self):
        listed = self.plane.call("ListIssuances", spiffe_id="spiffe://cluster.local/byrnie/controlplane").issuances
        self.assertEqual([entry.proof for entry in listed], ["own"])

    def test_page_tokens_of_issuances_are_of_one_list(self):
        for _ in range(2):
            self.plane.issue("spiffe://cluster.local/ns/demo/sa/listed")
        token = self.plane.call("ListIssuances", page_size=1).next_page_token
        self.assertTrue(self.plane.call("ListIssuances", page_size=2, page_token=token).issuances)
        for fields in ({"page_token": token, "serial": "ab"}, {"page_token": "issuances/zzzz"}, {"page_token": "issuances/\x01"}):
            error = self.assert_code("INVALID_ARGUMENT", "ListIssuances", page_size=1, **fields)
            self.assertEqual(details(error)["BadRequest"].field_violations[0].field, "page_token")

    def test_what_is_not_there_is_named(self):
        for method, kind in (("GetWorkload", "workload"), ("GetPolicy", "policy"), ("DeletePolicy", "policy")):
            info = details(self.assert_code("NOT_FOUND", method, name="demo/nothing"))["ResourceInfo"]
            self.assertEqual((info.resource_type, info.resource_name), (kind, "demo/nothing"))

    def test_services_say_how_many_endpoints_are_usable(self):
        service, = self.plane.call("ListServices").services
        self.assertEqual((service.name, list(service.ports), service.endpoints, service.usable_endpoints),
                         ("demo/web.demo.svc.cluster.local", [80], 2, 2))

    # Policies.

    def test_a_policy_is_applied_looked_at_replaced_and_deleted(self):
        first = self.plane.call("ApplyPolicy", document=policy("p"))
        self.assertFalse(first.unchanged)
        self.assertTrue(self.plane.call("ApplyPolicy", document=policy("p")).unchanged)
        got = self.plane.call("GetPolicy", name="demo/p")
        self.assertEqual((got.action, got.version, got.applied_by), ("DENY", first.policy.version, "operator-token-file"))
        self.assertEqual(json.loads(got.document), json.loads(policy("p")))
        self.assert_code("ABORTED", "ApplyPolicy", document=policy("p", port=81), expected_version="none")
        second = self.plane.call("ApplyPolicy", document=policy("p", port=81), expected_version=got.version)
        self.assertNotEqual(second.policy.version, got.version)
        self.assertIn("demo/p", [entry.name for entry in self.plane.call("ListPolicies").policies])
        self.plane.call("DeletePolicy", name="demo/p")
        self.assertNotIn("demo/p", [entry.name for entry in self.plane.call("ListPolicies").policies])

    def test_what_is_not_understood_is_refused_with_its_place(self):
        for document, field in (("{", "document"), (policy("x", action="AUDIT"), "document.action"),
                                (policy("x", colour="red"), "document"),
                                (policy("x", port=0), "document.rules[0].clauses[0].matches[0].destination_ports[0]")):
            for method in ("ValidatePolicy", "ApplyPolicy"):
                error = self.assert_code("INVALID_ARGUMENT", method, document=document)
                self.assertEqual(details(error)["BadRequest"].field_violations[0].field, field)

    def test_what_is_probably_not_meant_has_to_be_accepted(self):
        everything = json.dumps({"name": "all", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                                 "rules": [{"clauses": [{}]}]})
        review = self.plane.call("ValidatePolicy", document=everything)
        self.assertEqual([finding.severity for finding in review.findings], [2])
        self.assertEqual(review.workloads_concerned, 5)
        error = self.assert_code("FAILED_PRECONDITION", "ApplyPolicy", document=everything)
        self.assertEqual([violation.type for violation in details(error)["PreconditionFailure"].violations], ["FINDING"])
        self.plane.call("ApplyPolicy", document=everything, accept_findings=True)
        self.plane.call("DeletePolicy", name="demo/all")

    def test_an_allow_that_lets_in_nobody_who_is_known_has_to_be_accepted(self):
        def allow(account):
            return json.dumps({"name": "typo", "namespace": "demo", "scope": "NAMESPACE", "action": "ALLOW",
                               "rules": [{"clauses": [{"matches": [{"principals": [{"exact": f"cluster.local/ns/demo/sa/{account}"}]}]}]}]})
        error = self.assert_code("FAILED_PRECONDITION", "ApplyPolicy", document=allow("nobody"))
        self.assertIn("it lets in nobody whom the registry has", error.details())
        self.plane.call("ApplyPolicy", document=allow("nobody"), accept_findings=True)
        self.plane.call("DeletePolicy", name="demo/typo")

    def test_the_scheme_of_a_credential_is_a_word_in_any_case(self):
        def status(authorization):
            caller = messages.caller(self.plane.channel(), OPERATOR, "GetStatus")
            return caller(operator_message("GetStatusRequest"), metadata=(("authorization", authorization),), timeout=10)
        for scheme in ("bearer", "BEARER"):
            self.assertEqual(status(f"{scheme} {self.plane.admin_token}").caller, "operator-token-file")
        with self.assertRaises(grpc.RpcError) as caught:
            status(f"Basic {self.plane.admin_token}")
        self.assertEqual(caught.exception.code().name, "UNAUTHENTICATED")
        self.assertIn("another scheme than Bearer", caught.exception.details())

    def test_a_policy_of_the_file_is_changed_there(self):
        error = self.assert_code("FAILED_PRECONDITION", "ApplyPolicy", document=policy("from-file"))
        self.assertEqual(details(error)["PreconditionFailure"].violations[0].type, "CONFLICT")
        self.assert_code("FAILED_PRECONDITION", "DeletePolicy", name="demo/from-file")
        self.assertEqual(self.plane.call("GetPolicy", name="demo/from-file").origin, 1)

    # Events.

    def test_a_reconnect_goes_on_where_the_stream_was(self):
        stream = self.plane.watch(follow=True, kinds=["KIND_POLICY_CHANGED"])
        self.plane.call("ApplyPolicy", document=policy("seen"))
        for response in stream:
            if response.event.subject == "demo/seen":
                break
        stream.cancel()
        self.assertEqual(response.event.actor, "operator-token-file")
        self.plane.call("DeletePolicy", name="demo/seen")
        later = [entry.event.message for entry in
                 self.plane.watch(cursor=response.event.cursor, kinds=["KIND_POLICY_CHANGED"])
                 if entry.event.subject == "demo/seen"]
        self.assertEqual(later, ["deleted"])
        self.assert_code_of_watch("INVALID_ARGUMENT", cursor="yesterday")

    def assert_code_of_watch(self, code, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.plane.watch(**fields))
        self.assertEqual(caught.exception.code().name, code)

    def test_issuances_refusals_and_tokens_are_events(self):
        self.plane.issue(WORKLOAD)
        self.assert_code(UNAUTHENTICATED, "GetStatus", token="wrong")
        kinds = {operator_message("Event").Kind.Name(entry.event.kind) for entry in self.plane.watch()}
        self.assertLessEqual({"KIND_CERTIFICATE_ISSUED", "KIND_TOKEN_CHANGED", "KIND_OPERATOR_REFUSED"}, kinds)


# Of the other services: what an empty request is answered without a certificate, and with one.
EXPECTED = {
    "byrnie.ca.v1.CertificateAuthority": {
        "Issue": (UNAUTHENTICATED, "INVALID_ARGUMENT"), "IssueJwtSvid": (UNAUTHENTICATED, "INVALID_ARGUMENT"),
        "WatchTrustBundles": ("OK", "OK")},
    "envoy.service.discovery.v3.AggregatedDiscoveryService": {"DeltaAggregatedResources": (UNAUTHENTICATED, "INVALID_ARGUMENT")},
    "byrnie.flow.v1.FlowCollector": {"Report": (UNAUTHENTICATED, "INVALID_ARGUMENT")},
    "istio.v1.auth.IstioCertificateService": {"CreateCertificate": (UNAUTHENTICATED, "INVALID_ARGUMENT")},
    "grpc.health.v1.Health": {"Check": ("OK", "OK"), "Watch": ("OK", "OK")},
}


if __name__ == "__main__":
    sys.exit(main())
