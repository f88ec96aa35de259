#!/usr/bin/python3
"""Python's grpcio and Node's grpc-js follow a workload's identity through our workload API and secret discovery.

Proved across rotations of 10-second certificates and changes of the bundles: both see the same serials in the same order, in
X.509 contexts and in secrets, each with the key that fits; the keys of JWT-SVIDs and the roots of another trust domain change in
both at once, and a JWT-SVID is verified by Node's own crypto; the server describes itself by reflection.
"""

import hashlib
import os
import shutil
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from case import node_command
from testing.case import MeshTestCase, main
from testing.certificates import Authority
from testing.messages import API
from testing.process import wait_until
from testing.svid import serial
from testing.workload import WorkloadClient, secret_request, secrets_of

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workload_peer.js")


class WorkloadApiInteropTest(MeshTestCase):
    workload_ttl = "10s"

    @classmethod
    def build(cls):
        cls.foreign = os.path.join(cls.mesh.directory, "foreign.pem")
        cls.trust_foreign()
        cls.mesh.control_plane.extra_flags = ["--jwt_key_rotation=16s", "--jwt_svid_ttl=5s",
                                              f"--federated_bundle=other.example={cls.foreign}"]
        cls.pod = cls.mesh.pod("client")
        cls.socket = os.path.join(cls.pod.link_directory, "workload.sock")
        cls.pod.extra_agent_flags = [f"--workload_api=unix://{cls.socket}", "--workload_api_uids=0"]
        cls.mesh.start()

    @classmethod
    def trust_foreign(cls):
        """Another trust domain, with a root of its own; a new one each time. The root's DER."""
        root = Authority(cls.mesh.directory, "other.example").certificate
        shutil.copyfile(root, cls.foreign + ".new")
        os.rename(cls.foreign + ".new", cls.foreign)
        with open(root, encoding="ascii") as pem:
            return ssl.PEM_cert_to_DER_cert(pem.read())

    def node(self, *arguments):
        return self.mesh.spawn(f"node-{arguments[0]}", self.pod.host, [*node_command(), PEER, *arguments],
                               self.mesh.log_path(f"node-{arguments[0]}", unique=True))

    def test_both_see_the_same_rotations_and_bundles(self):
        node = self.node("watch", API, self.socket)
        with WorkloadClient(self.socket) as api:
            watch, bundles, keys = (api.watch(method) for method in ("FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"))
            secrets = api.secrets()
            secrets.send(secret_request(["default", "ROOTCA", "ALL"]))
            for stream in (watch, bundles, keys, secrets):
                wait_until(lambda: stream.messages, 5, "the first message")

            def said(field):
                return [record[field] for record in node.log_records() if field in record]

            wait_until(lambda: said("x509") and said("jwt"), 10, "Node's first messages")
            begun = len(watch.messages)

            def done():
                rotated = len({serial(message.svids[0]) for message in watch.messages}) >= 4
                return rotated and len({message.bundles["spiffe://cluster.local"] for message in keys.messages}) >= 2
            wait_until(done, 40, "three rotations and another key of JWT-SVIDs", every=0.2)
            last = serial(watch.messages[-1].svids[0])
            wait_until(lambda: int(said("x509")[-1], 16) == last and int(said("serial")[-1], 16) == last, 5,
                       "Node's last rotation")
            self.assertGreater(len(watch.messages), begun)
            python_serials = distinct(serial(message.svids[0]) for message in watch.messages)
            node_serials = distinct(int(text, 16) for text in said("x509"))
            node_secrets = distinct(int(text, 16) for text in said("serial"))
            # Each began when it began; from then on they saw the same.
            self.assertEqual(node_serials[-3:], python_serials[-3:])
            self.assertEqual(node_secrets[-3:], python_serials[-3:])
            self.assertEqual(set(said("usable")), {True})
            self.assertEqual(set(said("id")), {self.pod.spiffe_id})
            self.assertEqual(said("bundles")[-1], ["spiffe://cluster.local", "spiffe://other.example"])
            self.assertEqual(said("federated")[-1], ["spiffe://other.example"])
            self.assertEqual(said("secrets")[-1], ["default", "ROOTCA", "ALL"])
            self.assertGreaterEqual(len({tuple(record["spiffe://cluster.local"]) for record in said("jwt")}), 2)
            self.assertEqual(said("ended"), [])
            self.assertIn(b"BEGIN PRIVATE KEY",
                          secrets_of(secrets.messages[0])["default"].tls_certificate.private_key.inline_bytes)
            for stream in (watch, bundles, keys, secrets):
                stream.cancel()

    def test_both_see_a_change_of_another_trust_domains_bundle(self):
        node = self.node("watch", API, self.socket)
        with WorkloadClient(self.socket) as api:
            watch, bundles = api.watch("FetchX509SVID"), api.watch("FetchX509Bundles")
            secrets = api.secrets()
            secrets.send(secret_request(["spiffe://other.example"]))
            for stream in (watch, bundles, secrets):
                wait_until(lambda: stream.messages, 5, "the first message")
            wait_until(lambda: '"versions"' in node.log_text(), 10, "Node's first message")
            root = self.trust_foreign()
            name = "spiffe://other.example"
            wait_until(lambda: watch.messages[-1].federated_bundles[name] == root, 5, "the other root in X.509 contexts")
            wait_until(lambda: bundles.messages[-1].bundles[name] == root, 5, "the other root among the bundles")
            wait_until(lambda: ssl.PEM_cert_to_DER_cert(secrets_of(secrets.messages[-1])[name].validation_context.trusted_ca
                                                        .inline_bytes.decode()) == root, 5, "the other root as a secret")
            digest = hashlib.sha256(root).hexdigest()
            wait_until(lambda: any(record.get("versions", {}).get(name) == digest for record in node.log_records()), 5,
                       "the other root at Node")
            for stream in (watch, bundles, secrets):
                stream.cancel()
        node.end()

    def test_node_verifies_a_jwt_svid_with_its_own_crypto(self):
        result = self.node("call", API, self.socket).result(20)
        self.assertIs(result["verified"], True)
        self.assertEqual(result["claims"]["sub"], self.pod.spiffe_id)
        self.assertEqual(result["validated"], self.pod.spiffe_id)
        self.assertEqual((result["elsewhere"], result["headerless"], result["fetched"]), (3, 3, 2))

    def test_a_jwt_svid_is_replaced_at_half_of_its_life(self):
        with WorkloadClient(self.socket) as api:
            first = api.call("FetchJWTSVID", audience=["db"]).svids[0].svid
            self.assertEqual(api.call("FetchJWTSVID", audience=["db"]).svids[0].svid, first)
            started = time.monotonic()
            wait_until(lambda: api.call("FetchJWTSVID", audience=["db"]).svids[0].svid != first, 5, "another token", every=0.1)
            self.assertGreater(time.monotonic() - started, 1)

    def test_the_server_describes_itself(self):
        with WorkloadClient(self.socket) as api:
            # ServerReflectionRequest{list_services=7: "*"}; the answer holds the names of the services.
            call = api.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
            answer = next(call(iter([b"\x3a\x01*"]), timeout=5))
            for name in (b"SpiffeWorkloadAPI", b"envoy.service.secret.v3.SecretDiscoveryService"):
                self.assertIn(name, answer)


def distinct(values):
    """Without repetitions, in order."""
    return list(dict.fromkeys(values))


if __name__ == "__main__":
    sys.exit(main())
