#!/usr/bin/python3
"""The workload API and secret discovery tell who may ask, at once and at every change, and nobody else.

Proved with grpcio: without the flag there is no socket; callers of other users are told PermissionDenied, those without the
security header InvalidArgument; both profiles work, and a JWT-SVID is verified by another implementation; secrets are
acknowledged and rejected; all streams are told Unavailable when the agent ends, and come again with the next.
"""

import hashlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from testing.case import MeshTestCase, main
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.svid import serial, split_der
from testing.workload import WorkloadClient, delta_request, secret_request, secrets_of

NOBODY = 65534

# Calls with bytes alone: the repository may lie where other users cannot read.
CALLER = """
import sys
import grpc

with grpc.insecure_channel("unix://" + sys.argv[1]) as channel:
    svid = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID")
    secrets = channel.unary_unary("/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets")
    for call in (lambda: next(svid(b"", metadata=[("workload.spiffe.io", "true")], timeout=10)),
                 lambda: secrets(b"", timeout=10)):
        try:
            call()
            print("OK")
        except grpc.RpcError as error:
            print(error.code().name)
"""


def base64url(text):
    import base64
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class WorkloadApiTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.socket = os.path.join(cls.client.link_directory, "workload.sock")
        cls.client.extra_agent_flags = [f"--workload_api=unix://{cls.socket}", "--workload_api_uids=0,65533", "--min_renewal_interval=0s"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        # Others can reach the socket: what keeps them out is not the directory.
        os.chmod(cls.client.link_directory, 0o711)

    def setUp(self):
        self.api = WorkloadClient(self.socket)
        self.addCleanup(self.api.channel.close)

    def metrics(self):
        return parse_metrics(self.client.agent_admin("/metrics")[1])

    def renew(self):
        status, text = self.client.agent_admin("/renew", "POST")
        self.assertIn(status, (200, 202), text)

    def fails_with(self, code, call, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.code(), code, caught.exception)
        return caught.exception.details()

    def test_without_the_flag_there_is_no_socket(self):
        self.assertEqual(os.listdir(self.server.link_directory), ["agent.sock"])

    def test_the_svid_is_the_agents_own_and_its_key_fits(self):
        response = self.api.first("FetchX509SVID")
        self.assertEqual(len(response.svids), 1)
        self.assertEqual(response.svids[0].spiffe_id, self.client.spiffe_id)
        from cryptography.hazmat.primitives.serialization import load_der_private_key
        key = load_der_private_key(response.svids[0].x509_svid_key, None)
        leaf = split_der(response.svids[0].x509_svid)[0]
        self.assertEqual(leaf.public_key().public_numbers(), key.public_key().public_numbers())
        self.assertEqual(len(split_der(response.svids[0].bundle)), 1)
        bundles = self.api.first("FetchX509Bundles").bundles
        self.assertEqual(dict(bundles), {"spiffe://cluster.local": response.svids[0].bundle})

    def test_a_call_without_the_header_is_refused(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        for metadata in ((), (("workload.spiffe.io", "True"),), (("workload.spiffe.io", "true"),) * 2):
            for method in ("FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"):
                self.fails_with(invalid, self.api.first, method, metadata=metadata)
            self.fails_with(invalid, self.api.call, "FetchJWTSVID", metadata=metadata, audience=["db"])
            self.fails_with(invalid, self.api.call, "ValidateJWTSVID", metadata=metadata, audience="db", svid="x")

    def test_a_caller_of_another_user_has_no_identity(self):
        for uid, expected in ((NOBODY, ["PERMISSION_DENIED"] * 2), (65533, ["OK"] * 2)):
            done = subprocess.run(
                ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-I", "-c", CALLER,
                 self.socket], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.stdout.split(), expected, done.stderr)

    def test_a_rotation_and_a_change_of_bundles_come_at_once(self):
        watches = [self.api.watch(method) for method in ("FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles")]
        for watch in watches:
            self.addCleanup(watch.cancel)
            wait_until(lambda: watch.messages, 5, "the first message")
        before = serial(watches[0].messages[-1].svids[0])
        self.renew()
        wait_until(lambda: serial(watches[0].messages[-1].svids[0]) != before, 5, "the rotation")

    def test_a_jwt_svid_is_verified_by_another_implementation(self):
        response = self.api.call("FetchJWTSVID", audience=["db", "cache"])
        self.assertEqual([svid.spiffe_id for svid in response.svids], [self.client.spiffe_id])
        token = response.svids[0].svid
        head, claims, signature = token.split(".")
        header, said = json.loads(base64url(head)), json.loads(base64url(claims))
        self.assertEqual((header["alg"], said["sub"], sorted(said["aud"])), ("ES256", self.client.spiffe_id, ["cache", "db"]))
        self.assertLessEqual(said["exp"] - said["iat"], 300)
        self.assertLess(abs(said["iat"] - time.time()), 60)
        keys = json.loads(self.api.first("FetchJWTBundles").bundles["spiffe://cluster.local"])["keys"]
        key = next(key for key in keys if key["kid"] == header["kid"])
        point = [int.from_bytes(base64url(key[axis]), "big") for axis in "xy"]
        raw = base64url(signature)
        ec.EllipticCurvePublicNumbers(*point, ec.SECP256R1()).public_key().verify(
            utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
            f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        # The same set of audiences gives the same token, and the agent validates it.
        self.assertEqual(self.api.call("FetchJWTSVID", audience=["cache", "db"]).svids[0].svid, token)
        validated = self.api.call("ValidateJWTSVID", audience="db", svid=token)
        self.assertEqual((validated.spiffe_id, validated.claims["exp"]), (self.client.spiffe_id, said["exp"]))
        # Operators see what was issued, named by what only a holder of the token can tell.
        issued = json.loads(self.mesh.control_plane.ctl("issuances", f"--identity={self.client.spiffe_id}", "--output=json").stdout)
        logged = [one for one in issued if one["serial"] == hashlib.sha256(token.encode()).hexdigest()[:32]]
        self.assertEqual([sorted(one["audience"]) for one in logged], [["cache", "db"]])

    def test_tokens_that_are_not_right_are_refused(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        token = self.api.call("FetchJWTSVID", audience=["db"]).svids[0].svid
        self.fails_with(invalid, self.api.call, "ValidateJWTSVID", audience="mail", svid=token)
        changed = token[:-40] + ("A" if token[-40] != "A" else "B") + token[-39:]
        self.fails_with(invalid, self.api.call, "ValidateJWTSVID", audience="db", svid=changed)
        self.fails_with(invalid, self.api.call, "ValidateJWTSVID", audience="db", svid="x" * 60000)
        self.fails_with(invalid, self.api.call, "FetchJWTSVID", audience=[])
        self.fails_with(invalid, self.api.call, "FetchJWTSVID", audience=["a" * 2000])
        self.fails_with(grpc.StatusCode.PERMISSION_DENIED, self.api.call, "FetchJWTSVID", audience=["db"],
                        spiffe_id=self.server.spiffe_id)

    def test_secrets_are_acknowledged_rejected_and_updated(self):
        stream = self.api.secrets()
        self.addCleanup(stream.cancel)
        stream.send(secret_request(["default", "ROOTCA"]))
        wait_until(lambda: stream.messages, 5, "the secrets")
        first = stream.messages[-1]
        self.assertEqual(sorted(secrets_of(first)), ["ROOTCA", "default"])
        rejections = self.metrics()["byrnie_certagent_secret_rejections_total"]
        stream.send(secret_request(["default", "ROOTCA"], first, error="not to our liking"))
        wait_until(lambda: self.metrics()["byrnie_certagent_secret_rejections_total"] == rejections + 1, 5, "the rejection")
        self.assertEqual(len(stream.messages), 1, "what was rejected came again")
        self.renew()
        wait_until(lambda: len(stream.messages) > 1, 5, "the next certificate")
        second = stream.messages[-1]
        self.assertNotEqual(second.version_info, first.version_info)
        stream.send(secret_request(["default", "ROOTCA"], first))
        stream.send(secret_request(["default", "ROOTCA", "ALL", "spiffe://cluster.local", self.client.spiffe_id], second))
        wait_until(lambda: len(secrets_of(stream.messages[-1])) == 5, 5, "the other names")

    def test_delta_secrets_come_one_by_one(self):
        stream = self.api.secrets(delta=True)
        self.addCleanup(stream.cancel)
        stream.send(delta_request(["default", "ROOTCA", "nobody"]))
        wait_until(lambda: stream.messages, 5, "the secrets")
        self.assertEqual(sorted(secrets_of(stream.messages[0])), ["ROOTCA", "default"])
        self.assertEqual(list(stream.messages[0].removed_resources), ["nobody"])
        stream.send(delta_request(nonce=stream.messages[0].nonce))
        self.renew()
        wait_until(lambda: len(stream.messages) > 1, 5, "the next certificate")
        self.assertEqual(list(secrets_of(stream.messages[-1])), ["default"])

    def test_another_type_ends_the_stream(self):
        stream = self.api.secrets()
        request = secret_request(["default"])
        request.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        stream.send(request)
        wait_until(lambda: stream.error, 5, "the refusal")
        self.assertEqual(stream.error.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_streams_end_with_the_agent_and_come_again(self):
        watch = self.api.watch("FetchX509SVID")
        wait_until(lambda: watch.messages, 5, "the first message")
        self.assertEqual(self.client.agent.terminate(), 0)
        wait_until(lambda: watch.error, 5, "the end")
        self.assertEqual(watch.error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertFalse(os.path.exists(self.socket))
        self.client.write_token()
        self.client.start_agent()
        wait_until(lambda: self.try_first(), 10, "the new agent")

    def try_first(self):
        try:
            return self.api.first("FetchX509SVID", timeout=2)
        except grpc.RpcError:
            return None


if __name__ == "__main__":
    sys.exit(main())
