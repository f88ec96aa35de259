"""Somebody who asks a control plane for certificates and is no agent of ours: grpcio, in both protocols.

    with CaCaller(mesh.control_plane, "istiod.istio-system.svc") as caller:
        answer = caller.issue(token)             # a message, or a grpc.RpcError
"""

import os
import socket
import tempfile
import threading

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from .ca_double import BYRNIE, ISTIO
from .issuer import key_pem, new_key
from .messages import Messages


class _Way:
    """A Unix socket that leads into a namespace, because the library's threads cannot be sent there."""

    def __init__(self, host, port):
        self._host, self._port = host, port
        self._directory = tempfile.TemporaryDirectory(prefix="byr-way-")
        self.path = os.path.join(self._directory.name, "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)  # Wakes the thread that accepts.
        self._listener.close()
        self._directory.cleanup()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = self._host.connect("127.0.0.1", self._port)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        try:
            while block := source.recv(65536):
                sink.sendall(block)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class CaCaller:
    """See the module's comment. `identity`: a certificate chain and its key to show, both PEM in bytes; it trusts the
    mesh's bundle, and takes only a server with a certificate for `server_name`."""

    def __init__(self, control_plane, server_name, identity=(None, None)):
        self.messages = Messages("byrnie/ca/v1/ca.proto", "istio/v1/auth/ca.proto", "google/rpc/status.proto",
                                 "google/rpc/error_details.proto")
        self.key = new_key()
        self._way = _Way(control_plane.host, control_plane.PORT)
        with open(control_plane.bundle, "rb") as roots:
            credentials = grpc.ssl_channel_credentials(roots.read(), private_key=identity[1], certificate_chain=identity[0])
        # A subchannel that another caller's channel has must not be shared: it has that one's identity.
        self._channel = grpc.secure_channel(f"unix:{self._way.path}", credentials,
                                            (("grpc.ssl_target_name_override", server_name),
                                             ("grpc.use_local_subchannel_pool", 1)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._channel.close()
        self._way.close()

    @property
    def key_pem(self):
        return key_pem(self.key)

    def csr(self, key=None, san="spiffe://cluster.local/ns/kube-system/sa/admin"):
        """A request that asks for more than anybody gets."""
        return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(san)]), critical=True).sign(
                key or self.key, hashes.SHA256())

    def _call(self, service, method, request, token, more=()):
        metadata = list(more) + ([("authorization", f"Bearer {token}")] if token else [])
        return self.messages.caller(self._channel, service, method)(request, metadata=metadata, timeout=10)

    def issue(self, token=None):
        request = self.messages["byrnie.ca.v1.IssueRequest"](csr=self.csr().public_bytes(serialization.Encoding.DER))
        return self._call(BYRNIE, "Issue", request, token)

    def create_certificate(self, token=None, life=0, csr=None, metadata=None):
        request = self.messages["istio.v1.auth.IstioCertificateRequest"](
            csr=csr if csr is not None else self.csr().public_bytes(serialization.Encoding.PEM).decode(),
            validity_duration=life)
        if metadata:
            request.metadata.update(metadata)
        return self._call(ISTIO, "CreateCertificate", request, token, [("clusterid", "Kubernetes")])
