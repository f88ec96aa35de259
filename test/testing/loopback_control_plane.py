"""A control plane on the loopback address, without namespaces, and clients of its API made with grpcio.

    with LoopbackControlPlane() as plane:
        plane.call("GetStatus")
        plane.call("ListAgents", token=None)        grpc.RpcError, UNAUTHENTICATED

It needs no root. Its files stay over start() and stop().
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from .issuer import key_pem, new_key
from .mesh import binary_path
from .messages import Messages
from .process import json_lines, wait_until
from .registry import Registry
from .tls_relay import TlsRelay

OPERATOR, AUTHORITY = "byrnie.operator.v1.Operator", "byrnie.ca.v1.CertificateAuthority"
ADMIN = object()

messages = Messages("byrnie/operator/v1/operator.proto", "byrnie/ca/v1/ca.proto", "byrnie/flow/v1/flow.proto",
                    "envoy/service/discovery/v3/discovery.proto", "grpc/health/v1/health.proto",
                    "istio/v1/auth/ca.proto", "google/rpc/error_details.proto", "google/rpc/status.proto")


def operator_message(message, /, **fields):
    return messages[f"byrnie.operator.v1.{message}"](**fields)


class Identity:
    """A certificate and its key, PEM."""

    def __init__(self, chain, key):
        self.chain, self.key = chain, key


class LoopbackControlPlane:
    """See the module's comment."""

    def __init__(self, *flags, trust_domain="cluster.local", registry=None):
        """`registry`: another --registry than the file that `self.registry` writes; "": none is given."""
        self.command = self.ctl_command = ()  # That it, or byrniectl, runs under.
        self.directory = tempfile.mkdtemp(prefix="byr-plane-")
        self.flags, self.trust_domain = list(flags), trust_domain
        self.store_flags = [f"--store=sqlite:{self.path('store.db')}"]
        self.registry_flag = f"static:{self.path('registry.json')}" if registry is None else registry
        self.registry = Registry(self.path("registry.json"))
        self.registry.write()
        self.process = self.port = None
        self.channels = {}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    # The process.

    def start(self, deadline=10):
        log = open(self.path("log"), "ab")
        offset = log.tell()
        self.process = subprocess.Popen(
            [*self.command, binary_path("byrnie-controlplane"), "--listen=127.0.0.1:0", "--admin=127.0.0.1:0",
             f"--trust_domain={self.trust_domain}", *self.store_flags,
             *([f"--registry={self.registry_flag}"] if self.registry_flag else []), f"--trust_bundle_out={self.path('bundle.pem')}",
             f"--operator_token_out={self.path('operator.token')}", "--log_format=json", *self.flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the control plane ended: {self.log_text()[-2000:]}")
            text = self.read("log")[offset:].decode("utf-8", "replace")
            return [record for record in json_lines(text) if record.get("message") == "control plane ready"]
        record, = wait_until(ready, deadline, "the control plane's start")
        self.port = int(record["listen"].rpartition(":")[2])
        self.admin_port = int(record["admin"].rpartition(":")[2])

    def stop(self, kill=False):
        for channel, relay in self.channels.values():
            channel.close()
            relay.close()
        self.channels = {}
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(10)
            finally:
                self.process.kill()
                self.process.wait()
                self.process = None

    def log_text(self):
        return self.read("log").decode("utf-8", "replace")

    def audit(self, **wanted):
        """The audit log's records whose fields have the values given."""
        return [record for record in json_lines(self.log_text())
                if record.get("log") == "audit" and all(record.get(name) == value for name, value in wanted.items())]

    # Its API.

    @property
    def admin_token(self):
        return self.read("operator.token").decode().strip()

    def channel(self, identity=None):
        """One for each identity, kept until stop()."""
        if identity not in self.channels:
            files = identity and (self.write_secret("client.pem", identity.chain.decode()),
                                  self.write_secret("client.key", identity.key.decode()))
            relay = TlsRelay(self.port, self.read("bundle.pem"), f"spiffe://{self.trust_domain}/byrnie/controlplane", files)
            channel = grpc.insecure_channel(f"127.0.0.1:{relay.port}", options=[("grpc.use_local_subchannel_pool", 1)])
            self.channels[identity] = channel, relay
        return self.channels[identity][0]

    def metadata(self, token=ADMIN):
        token = self.admin_token if token is ADMIN else token
        return () if token is None else (("authorization", f"Bearer {token}"),)

    def call(self, method, /, token=ADMIN, identity=None, timeout=10, **fields):
        """A unary method of the operator's API; grpc.RpcError."""
        caller = messages.caller(self.channel(identity), OPERATOR, method)
        return caller(operator_message(f"{method}Request", **fields), metadata=self.metadata(token), timeout=timeout)

    def watch(self, token=ADMIN, timeout=20, **fields):
        """A WatchEvents stream, as an iterator with cancel()."""
        caller = messages.caller(self.channel(), OPERATOR, "WatchEvents")
        return caller(operator_message("WatchEventsRequest", **fields), metadata=self.metadata(token), timeout=timeout)

    def issue(self, spiffe_id, seconds=0):
        """A certificate, the way an agent gets its first."""
        return self.issue_for(self.call("CreateJoinToken", spiffe_id=spiffe_id).token, seconds)

    def issue_for(self, token, seconds=0):
        """The certificate that a credential gets, for so long or as long as there are; grpc.RpcError."""
        key = new_key()
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        response = messages.caller(self.channel(), AUTHORITY, "Issue")(
            messages["byrnie.ca.v1.IssueRequest"](csr=csr.public_bytes(serialization.Encoding.DER),
                                                  ttl={"seconds": seconds} if seconds else None),
            metadata=self.metadata(token), timeout=10)
        chain = b"".join(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
                         for der in response.certificate_chain)
        pem = key_pem(key)
        return Identity(chain, pem if isinstance(pem, bytes) else pem.encode())

    def ctl_environment(self, token=None):
        """What tells byrniectl where this control plane is."""
        return {"BYRNIE_CONTROL_PLANE": f"127.0.0.1:{self.port}", "BYRNIE_TRUST_BUNDLE": self.path("bundle.pem"),
                "BYRNIE_TRUST_DOMAIN": self.trust_domain, "BYRNIE_TOKEN": token or self.path("operator.token"),
                "PATH": os.environ.get("PATH", "")}

    def ctl(self, *arguments, token=None, environment=None, check=True, stdin=None):
        """byrniectl, with the connection's flags from the environment."""
        variables = {**self.ctl_environment(token), **(environment or {})}
        done = subprocess.run([*self.ctl_command, binary_path("byrniectl"), *arguments], env=variables, capture_output=True, text=True,
                              input=stdin, timeout=30)
        if check and done.returncode != 0:
            raise AssertionError(f"byrniectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def write_secret(self, name, text):
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            out.write(text + "\n")
        return path


def details(error):
    """The google.rpc details of an error, by the short name of their type."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status = messages["google.rpc.Status"].FromString(value)
            return {any_.type_url.rpartition(".")[2]:
                    messages[any_.type_url.rpartition("/")[2]].FromString(any_.value) for any_ in status.details}
    return {}


def policy(name, action="DENY", port=8080, namespace="demo", scope="NAMESPACE", **more):
    """A small policy document."""
    return json.dumps({"name": name, "namespace": namespace, "scope": scope, "action": action,
                       "rules": [{"clauses": [{"matches": [{"destination_ports": [port]}]}]}], **more})


def wait_past(seconds):
    """Lets a token's end pass."""
    time.sleep(seconds)
