"""A certificate authority that a test plays: byrnie.ca.v1 and istio.v1.auth, by grpcio, over TLS.

    with CaDouble(mesh.network.host("ca", 3)) as ca:
        ca.error = Refusal("UNAVAILABLE", "not today")
        ...
        ca.publish([ca.issuer.root, other.root])

Whoever asks gets a certificate for the SPIFFE ID of its request, or for `spiffe_id`; what it proves itself with is written
down, not judged. All attributes may be changed at any time, from the test's thread. It runs in the test's process, on
threads of its own, and listens in the namespace it is given.
"""

import concurrent.futures
import contextlib
import ipaddress
import socket
import struct
import threading
import time

import grpc
from cryptography import x509

from .issuer import Issuer, der, key_pem, new_key, pem, uri_of
from .messages import Messages

BYRNIE, ISTIO = "byrnie.ca.v1.CertificateAuthority", "istio.v1.auth.IstioCertificateService"


class Refusal:
    """An error to answer with. `retry_info`: seconds, as google.rpc.RetryInfo; `retry_after`: text of the metadata."""

    def __init__(self, code, message="", retry_info=None, retry_after=None):
        self.code = grpc.StatusCode[code] if isinstance(code, str) else code
        self.message, self.retry_info, self.retry_after = message, retry_info, retry_after


class Call:
    """One request for a certificate, as it came."""

    def __init__(self, protocol, request, context, csr):
        self.protocol, self.request, self.csr = protocol, request, csr
        self.at = time.time()
        self.metadata = dict(context.invocation_metadata())
        authorization = self.metadata.get("authorization", "")
        self.token = authorization.removeprefix("Bearer ") if authorization.startswith("Bearer ") else None
        # Known only to a double that requires client certificates.
        certificates = context.auth_context().get("x509_pem_cert", [])
        self.peer = uri_of(x509.load_pem_x509_certificate(certificates[0])) if certificates else None
        self.spiffe_id = uri_of(csr)


class CaDouble:
    """See the module's comment. `issuer` signs certificates and the server's own; a new root by default."""

    def __init__(self, host=None, issuer=None, port=15012, trust_domain="cluster.local", dns_names=("ca.test",),
                 require_client_certificate=False):
        self.host, self.port, self.trust_domain = host, port, trust_domain
        self.address = host.address if host else "127.0.0.1"
        self.dns_names = dns_names
        self.require_client_certificate = require_client_certificate
        self.messages = Messages("byrnie/ca/v1/ca.proto", "istio/v1/auth/ca.proto", "google/rpc/status.proto",
                                 "google/rpc/error_details.proto")
        # How it answers.
        self.issuer = issuer or Issuer(trust_domain)
        self.server_issuer = self.issuer
        self.life, self.back_dating = 3600, 60
        self.clock_offset = 0.0   # Of its clock against the machine's, in seconds.
        self.spiffe_id = None     # Who everybody is; None: who they say.
        self.renewal_window = None  # (start, end) in seconds from now.
        self.error = None         # A Refusal for every request.
        self.delay = 0.0          # Before every answer.
        self.answer = None        # function(call, answer): another answer, bytes for garbage, or a Refusal.
        # What happened.
        self.calls = []
        self.acknowledged = []    # (version, at)
        self._bundles = {trust_domain: [self.issuer.root]}
        self._version = 1
        self._changed = threading.Condition()
        self._cuts = 0
        self._server = None
        self._server_key = new_key()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # The server.

    def start(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(64, thread_name_prefix="ca-double")
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)])
        self._server.add_generic_rpc_handlers((
            self.messages.handler(BYRNIE, {"Issue": self._issue, "WatchTrustBundles": self._watch}),
            self.messages.handler(ISTIO, {"CreateCertificate": self._create_certificate})))
        self._shown = None
        credentials = grpc.dynamic_ssl_server_credentials(self._server_certificate(), self._server_certificate,
                                                          self.require_client_certificate)
        # Only the listening socket has to be made inside; it stays where it was made.
        with self.host.entered() if self.host else contextlib.nullcontext():
            bound = self._server.add_secure_port(f"0.0.0.0:{self.port}" if self.host else f"127.0.0.1:{self.port}", credentials)
            if not bound:
                raise OSError(f"cannot listen on port {self.port}")
        self.port = bound
        self._server.start()

    def stop(self):
        """Ends all connections at once; start() may follow."""
        if self._server:
            self.cut_streams()
            self._server.stop(None).wait()
            self._server = None
            self._pool.shutdown(wait=False)

    @property
    def target(self):
        return f"{self.address}:{self.port}"

    def bundle_pem(self):
        """The root that the server's certificate leads to."""
        return pem(self.server_issuer.root)

    def write_bundle(self, path):
        with open(path, "w", encoding="ascii") as out:
            out.write(self.bundle_pem())
        return path

    def _server_certificate(self):
        # Asked at every handshake; None: as before.
        if self._shown is self.server_issuer:
            return None
        self._shown = self.server_issuer
        # For clients whose clock is wrong, too.
        leaf = self.server_issuer.leaf(self._server_key.public_key(), f"spiffe://{self.trust_domain}/byrnie/controlplane",
                                       self.dns_names, [ipaddress.ip_address(self.address)], -86400, 10 * 86400)
        chain = pem(*self.server_issuer.chain(leaf)).encode()
        return grpc.ssl_server_certificate_configuration(((key_pem(self._server_key), chain),),
                                                         pem(self.issuer.root).encode())

    # Certificates.

    def certify(self, call, public_key=None, spiffe_id=None, issuer=None, begins=None, ends=None):
        """The chain that the double would give a call, with what a test wants otherwise."""
        issuer = issuer or self.issuer
        leaf = issuer.leaf(public_key or call.csr.public_key(), spiffe_id or self.spiffe_id or call.spiffe_id,
                           begins=self.clock_offset - self.back_dating if begins is None else begins,
                           ends=self.clock_offset + self.life if ends is None else ends)
        return issuer.chain(leaf)

    def _reply(self, call, context, make):
        with self._changed:
            self.calls.append(call)
        if self.delay:
            time.sleep(self.delay)
        answer = self.error
        if answer is None:
            answer = make(call)
            if self.answer is not None:
                answer = self.answer(call, answer)
        if isinstance(answer, Refusal):
            self._abort(context, answer)
        return answer

    def _abort(self, context, refusal):
        trailing = []
        if refusal.retry_after is not None:
            trailing.append(("retry-after", refusal.retry_after))
        if refusal.retry_info is not None:
            info = self.messages["google.rpc.RetryInfo"]()
            info.retry_delay.seconds = int(refusal.retry_info)
            info.retry_delay.nanos = int(refusal.retry_info % 1 * 1e9)
            status = self.messages["google.rpc.Status"](code=refusal.code.value[0], message=refusal.message)
            status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info.SerializeToString())
            trailing.append(("grpc-status-details-bin", status.SerializeToString()))
        context.set_trailing_metadata(tuple(trailing))
        context.abort(refusal.code, refusal.message)

    # byrnie.ca.v1.

    def _issue(self, request, context):
        call = Call("byrnie", request, context, x509.load_der_x509_csr(request.csr))
        return self._reply(call, context, self.issue_answer)

    def issue_answer(self, call, chain=None):
        """The answer to a call, from which a test makes a worse one."""
        answer = self.messages["byrnie.ca.v1.IssueResponse"]()
        answer.certificate_chain.extend(der(certificate) for certificate in chain or self.certify(call))
        with self._changed:
            self._fill_bundles(answer.trust_bundles)
        now = time.time() + self.clock_offset
        _set_time(answer.authority_time, now)
        if self.renewal_window:
            _set_time(answer.renewal_window.start, now + self.renewal_window[0])
            _set_time(answer.renewal_window.end, now + self.renewal_window[1])
        return answer

    def _fill_bundles(self, message):
        message.version = self._version
        for trust_domain, roots in self._bundles.items():
            message.bundles.add(trust_domain=trust_domain, roots=[der(root) for root in roots])

    def publish(self, roots=None, bundles=None):
        """New bundles in the next version: the roots of the own trust domain, or {trust domain: roots}. Returns the version."""
        with self._changed:
            if roots is not None:
                self._bundles[self.trust_domain] = list(roots)
            if bundles is not None:
                self._bundles = {trust_domain: list(entry) for trust_domain, entry in bundles.items()}
            self._version += 1
            self._changed.notify_all()
            return self._version

    def cut_streams(self):
        """Ends all streams with an error."""
        with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    def _watch(self, requests, context):
        def read():
            try:
                for request in requests:
                    if request.acknowledged_version:
                        with self._changed:
                            self.acknowledged.append((request.acknowledged_version, time.time()))
            except grpc.RpcError:
                pass  # The stream is over.
        threading.Thread(target=read, daemon=True).start()

        def wake():
            with self._changed:
                self._changed.notify_all()
        context.add_callback(wake)
        sent, cuts = 0, self._cuts
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._version != sent or self._cuts != cuts or not context.is_active())
                if not context.is_active():
                    return
                if self._cuts != cuts:
                    break
                answer = self.messages["byrnie.ca.v1.WatchTrustBundlesResponse"]()
                self._fill_bundles(answer.trust_bundles)
                sent = self._version
            yield answer
        context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")

    # istio.v1.auth.

    def _create_certificate(self, request, context):
        call = Call("istio", request, context, x509.load_pem_x509_csr(request.csr.encode()))
        return self._reply(call, context, self.istio_answer)

    def istio_answer(self, call, chain=None):
        answer = self.messages["istio.v1.auth.IstioCertificateResponse"]()
        answer.cert_chain.extend(pem(certificate) for certificate in chain or self.certify(call))
        with self._changed:
            answer.cert_chain.append(pem(*self._bundles[self.trust_domain]))
        return answer


def _set_time(timestamp, seconds):
    timestamp.seconds, timestamp.nanos = int(seconds), int(seconds % 1 * 1e9)


class CuttingRelay:
    """A TCP port before a double that passes on what comes until it has carried `limit` bytes of answers on a connection,
    and then resets it. None: no limit. As CaDouble, in the namespace of `host`."""

    def __init__(self, host, target_port, port):
        self.host, self.address, self.port = host, host.address, port
        self.target_port = target_port
        self.limit = None
        self.cut = 0
        self._open = set()
        self._listener = host.listen(port, timeout=None)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # Wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            _reset(connection)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self.host.connect("127.0.0.1", self.target_port)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            self._open |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source, sink, limited):
        passed = 0
        try:
            while block := source.recv(4096):
                limit = self.limit
                if limited and limit is not None and passed + len(block) > limit:
                    sink.sendall(block[:max(0, limit - passed)])
                    self.cut += 1
                    break
                passed += len(block)
                sink.sendall(block)
        except OSError:
            pass
        for connection in (source, sink):
            _reset(connection)
            self._open.discard(connection)


def _reset(connection):
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes whoever reads it; closing alone would not.
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        pass
