#!/usr/bin/python3
"""With --key_types=p256,rsa the control plane serves agents whose keys are RSA, as Istio's sidecars have them unless they are told otherwise.

Proved: such a caller gets a certificate for its RSA key, and with it is a peer by direct mTLS; what is none of the types is refused as ever.
"""

import os
import ssl
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from testing.ca_caller import CaCaller
from testing.case import MeshTestCase, main
from testing.issuer import key_pem, uri_of
from testing.process import wait_until

ISTIOD = "istiod.istio-system.svc"
ID = "spiffe://cluster.local/ns/demo/sa/foreign"


class IstioSidecarKeysTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.control_plane = cls.mesh.control_plane
        cls.control_plane.extra_flags = [f"--server_names={ISTIOD}", "--key_types=p256,rsa"]
        cls.server, cls.stranger = cls.mesh.pod("server"), cls.mesh.outsider("foreign")
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def setUp(self):
        self.caller = CaCaller(self.control_plane, ISTIOD)
        self.addCleanup(self.caller.close)

    def create(self, key):
        csr = self.caller.csr(key=key).public_bytes(serialization.Encoding.PEM).decode()
        return self.caller.create_certificate(self.control_plane.create_token(ID), csr=csr)

    def test_a_peer_with_an_rsa_key_is_spoken_to(self):
        key = rsa.generate_private_key(65537, 2048)
        chain = self.create(key).cert_chain
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
        self.assertEqual((leaf.public_key().key_size, uri_of(leaf)), (2048, ID))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["istio"])
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as identity:
            identity.write(chain[0] + key_pem(key).decode())
            identity.flush()
            context.load_cert_chain(identity.name)
        with context.wrap_socket(self.stranger.connect(self.server.address, 8080)) as connection:
            connection.sendall(b"ping")
            self.assertEqual(connection.recv(16), b"ping")
        record = wait_until(lambda: self.server.access_log(peer_identity=ID), 5, "the access log's line")[-1]
        self.assertEqual((record["protocol"], record["bytes_sent"]), ("mtls", 4))

    def test_other_keys_are_refused(self):
        for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024)):
            with self.assertRaises(grpc.RpcError) as refused:
                self.create(key)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertIn("is not P-256 or RSA of 2048 to 4096 bits", refused.exception.details())


if __name__ == "__main__":
    sys.exit(main())
