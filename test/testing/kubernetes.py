"""A real API server on loopback: etcd, kube-apiserver and kube-controller-manager, with certificates made up for it.

    with Cluster() as cluster:
        cluster.start()
        cluster.namespace("demo", accounts=["web"], labels={"byrnie.io/inject": "true"})
        pod = cluster.pod("demo", "web-1", "web", ip="10.1.0.1", labels={"app": "web"})
        token = cluster.token(pod, "byrnie")
        plane.flags.append(f"--kubeconfig={cluster.control_plane_kubeconfig()}")

There is no kubelet: a pod is what the test says of it. The programs are those that tools/lib/kubernetes.sh makes.
"""

import atexit
import base64
import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .cache import cached

ETCD = "/usr/bin/etcd"
ISSUER = "https://kubernetes.default.svc"
API_AUDIENCE = "https://kubernetes.default.svc"
SERVICE_RANGE, SERVICE_RANGE6 = "10.96.0.0/16", "fd96::/112"
_DIRECTORY = "kubernetes-1.20.2"
_MANIFESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "deploy", "kubernetes", "base")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"  # What kubectl get asks for.


def manifests(name):
    """The objects of a file of deploy/kubernetes/base."""
    with open(os.path.join(_MANIFESTS, name), encoding="utf-8") as text:
        return [item for item in yaml.safe_load_all(text) if item]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    """A CA in memory, and what it issues."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue(name, self.key.public_key(), None, [], [])

    def _issue(self, name, public_key, issuer, groups, hosts):
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
                            + [x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(issuer.subject if issuer else subject).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True))
        if issuer:
            builder = builder.add_extension(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        if hosts:
            names = []
            for host in hosts:
                try:
                    names.append(x509.IPAddress(ipaddress.ip_address(host)))
                except ValueError:
                    names.append(x509.DNSName(host))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, groups=(), hosts=()):
        """PEM of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(name, key.public_key(), self.certificate, groups, hosts)
        return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def kubeconfig(url, authority, user):
    """What a control plane takes as --kubeconfig, and a controller manager."""
    return {"kind": "Config", "apiVersion": "v1", "preferences": {}, "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": url, "certificate-authority-data": base64.b64encode(authority.pem()).decode()}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}


class ApiError(Exception):
    """What the API server answered that is no success."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]}")
        self.status, self.body = status, body


class _Connections(urllib.request.HTTPSHandler):
    """Connections that are opened where `entered()` leads to."""

    def __init__(self, context, entered):
        super().__init__(context=context)

        class Connection(http.client.HTTPSConnection):
            def connect(self):
                with entered():
                    super().connect()
        self._connection, self._tls = Connection, context

    def https_open(self, request):
        return self.do_open(self._connection, request, context=self._tls)


class Client:
    """Asks the API server as somebody. Paths are "/api/v1/namespaces/demo/pods"."""

    def __init__(self, cluster, certificate=None, token=None):
        self.cluster, self.token = cluster, token
        self.warnings = []  # Of the latest answer that was a success.
        self.context = ssl.create_default_context(cafile=cluster.path("ca.pem"))
        if certificate:
            self.context.load_cert_chain(*certificate)
        self._opener = urllib.request.build_opener(_Connections(self.context, cluster.entered))

    def call(self, method, path, body=None, content_type="application/json", accept="application/json"):
        request = urllib.request.Request(self.cluster.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": content_type, "Accept": accept})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=15) as answer:
                text, self.warnings = answer.read(), answer.headers.get_all("Warning", [])
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if text.startswith(b"{") else text.decode()

    def get(self, path):
        return self.call("GET", path)

    def table(self, path):
        """As kubectl get -o wide shows it: the columns' names, and their cells of each object by its name."""
        table = self.call("GET", path, accept=TABLE)
        return ([column["name"] for column in table["columnDefinitions"]],
                {row["object"]["metadata"]["name"]: row["cells"] for row in table["rows"]})

    def create(self, path, body):
        return self.call("POST", path, body)

    def apply(self, path, body):
        """Server-side apply."""
        return self.call("PATCH", path + "?fieldManager=test&force=true", body, "application/apply-patch+yaml")

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path, grace_seconds=0):
        return self.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace_seconds})


class Cluster:
    """See the module's comment. Everything is under one temporary directory and on ports of its own; close() ends it all.

    In a `namespace`, it is there that the loopback address is, and the API server listens on all others too: on `port`, as `address`.
    """

    def __init__(self, keep_logs=os.environ.get("BYRNIE_KEEP_LOGS"), namespace=None, address="192.0.2.1", port=None, audited=None):
        """`audited`: a user whose requests `audit()` has."""
        if not os.access(cached(_DIRECTORY, "kube-apiserver"), os.X_OK):
            raise AssertionError("there is no API server in the cache; tools/lib/kubernetes.sh makes one")
        self.directory = tempfile.mkdtemp(prefix="byrnie-kube-")
        # What an interrupted test leaves undone.
        atexit.register(self.close)
        self.keep_logs = keep_logs
        self._namespace, self._address = namespace, address
        self.processes = {}
        self.admin = None
        # Of service accounts, in each of their pods, as a cluster has it. Without it a pod needs no account that exists.
        self.mount_tokens = False
        # Of pods' and services' addresses, the first one's first: "4", "6" or "46".
        self.families = "4"
        self.port, self.etcd_port, self.etcd_peer_port = port or free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.authority = Authority("kube test CA")
        self._token_seconds = 3600
        self.audited = audited
        self._write("ca.pem", self.authority.pem())
        for name, groups, hosts in (("server", (), ("127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1", "fd96::1")),
                                    ("etcd", (), ("127.0.0.1",)),
                                    ("controller-manager", ("system:masters",), ())):
            self._write_pair(name, self.authority.issue(f"system:{name}", groups, hosts))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write("service-account.key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
        self._write("service-account.pub", key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, name):
        return os.path.join(self.directory, name)

    def _write(self, name, content):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)

    def issue_pair(self, name, hosts):
        """The files of a certificate of the cluster's CA for `hosts`, and of its key."""
        self._write_pair(name, self.authority.issue(name, (), hosts))
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def _write_pair(self, name, pair):
        self._write(f"{name}.pem", pair[0])
        self._write(f"{name}.key", pair[1])

    def entered(self):
        """A context in which connections reach the API server."""
        return self._namespace.entered(uid=0) if self._namespace else contextlib.nullcontext()

    def _spawn(self, name, argv):
        if self._namespace:
            argv = ["nsenter", f"--net={self._namespace.path}", "--", *argv]
        with open(self.path(f"{name}.log"), "ab") as log:
            # In a session of its own: an interrupt of the terminal is ours to pass on.
            self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    cwd=self.directory, start_new_session=True)

    def _end(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def start(self, controllers=False, grant=True):
        """Starts all of it; returns when the API server is ready. With `controllers`, slices are made of services, and default
        service accounts in namespaces. Without `grant` nothing of Byrnie is there."""
        self.start_etcd()
        self.start_api_server()
        if grant:
            self._grant()
        if controllers:
            self.start_controllers()

    def start_etcd(self):
        client, peer = f"https://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer_port}"
        self._spawn("etcd", [
            ETCD, "--name=one", f"--data-dir={self.path('etcd')}", f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=one={peer}", f"--cert-file={self.path('etcd.pem')}", f"--key-file={self.path('etcd.key')}",
            "--client-cert-auth", f"--trusted-ca-file={self.path('ca.pem')}", "--unsafe-no-fsync",
            "--logger=zap", "--log-level=warn", "--log-outputs=stderr"])

    def start_api_server(self, *extra):
        """The API server alone; what `stop_api_server` ended comes back with the same data and the same port."""
        self._spawn("kube-apiserver", [
            cached(_DIRECTORY, "kube-apiserver"), f"--bind-address={'::' if self._namespace else '127.0.0.1'}",
            f"--advertise-address={self._address}",
            f"--secure-port={self.port}", "--insecure-port=0", f"--etcd-servers=https://127.0.0.1:{self.etcd_port}",
            f"--etcd-cafile={self.path('ca.pem')}", f"--etcd-certfile={self.path('etcd.pem')}",
            f"--etcd-keyfile={self.path('etcd.key')}", f"--client-ca-file={self.path('ca.pem')}",
            f"--tls-cert-file={self.path('server.pem')}", f"--tls-private-key-file={self.path('server.key')}",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=" + ",".join({"4": SERVICE_RANGE, "6": SERVICE_RANGE6}[each] for each in self.families),
            f"--service-account-issuer={ISSUER}", f"--api-audiences={API_AUDIENCE}",
            f"--service-account-key-file={self.path('service-account.pub')}",
            f"--service-account-signing-key-file={self.path('service-account.key')}",
            *([] if self.mount_tokens else ["--disable-admission-plugins=ServiceAccount"]),
            "--event-ttl=10m", *self._feature_gates(), *self._audit_flags(), *extra])
        self.admin = self.client("admin", groups=["system:masters"])
        self._wait(lambda: self.admin.get("/readyz"), 120, "the API server's readiness")

    def _feature_gates(self):
        gates = ["BoundServiceAccountTokenVolume=true"] * self.mount_tokens + ["IPv6DualStack=true"] * (len(self.families) > 1)
        return ["--feature-gates=" + ",".join(gates)] if gates else []

    def _audit_flags(self):
        if not self.audited:
            return []
        self._write("audit-policy.yaml", json.dumps({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [self.audited]}, {"level": "None"}]}).encode())
        return [f"--audit-policy-file={self.path('audit-policy.yaml')}", f"--audit-log-path={self.path('audit.log')}",
                "--audit-log-mode=blocking"]

    def audit(self):
        """The events of the audit log so far: one or two of a request."""
        with open(self.path("audit.log"), encoding="utf-8") as text:
            return [json.loads(line) for line in text if line.endswith("\n")]

    def stop_api_server(self, how=signal.SIGTERM):
        self._end("kube-apiserver", how)

    def back_up_etcd(self):
        """Keeps a copy of what etcd has now; the API server starts anew."""
        self.stop_api_server()
        self._end("etcd")
        shutil.copytree(self.path("etcd"), self.path("etcd-copy"))
        self.start_etcd()
        self.start_api_server()

    def restore_etcd(self):
        """Makes the copy what etcd has, as an administrator would: while no API server runs."""
        self.stop_api_server()
        self._end("etcd")
        shutil.rmtree(self.path("etcd"))
        os.rename(self.path("etcd-copy"), self.path("etcd"))
        self.start_etcd()
        self.start_api_server()

    # What makes endpoints and pods; others wait for nodes and volumes, or end with the API server.
    CONTROLLERS = ["daemonset", "deployment", "endpoint", "endpointslice", "job", "namespace", "replicaset", "root-ca-cert-publisher",
                   "serviceaccount", "serviceaccount-token", "statefulset"]

    def start_controllers(self):
        self._write("controller-manager.conf", self._config({
            "client-certificate": self.path("controller-manager.pem"),
            "client-key": self.path("controller-manager.key")}))
        self._spawn("kube-controller-manager", [
            cached(_DIRECTORY, "kube-controller-manager"), f"--kubeconfig={self.path('controller-manager.conf')}",
            "--use-service-account-credentials=true", "--port=0", f"--secure-port={free_port()}", "--bind-address=127.0.0.1",
            f"--cert-dir={self.path('controller-manager')}",
            f"--service-account-private-key-file={self.path('service-account.key')}", f"--root-ca-file={self.path('ca.pem')}",
            "--leader-elect=false", "--controllers=" + ",".join(self.CONTROLLERS), *(["--feature-gates=IPv6DualStack=true"] * (len(self.families) > 1))])
        # It ends when the API server goes before all of them have begun.
        self._wait(self._controllers_have_begun, 120, "controllers")

    def _controllers_have_begun(self):
        said = self.log("kube-controller-manager")
        # That of tokens is begun by itself, before the others, and without a word.
        return all(f'Started "{name}"' in said for name in self.CONTROLLERS if name != "serviceaccount-token")

    def kubeconfig_of(self, user):
        return kubeconfig(self.url, self.authority, user)

    def _config(self, user):
        return json.dumps(self.kubeconfig_of(user)).encode()

    def admin_kubeconfig(self):
        """The path of what an administrator has, for kubectl and byrniectl: with a client certificate."""
        self.client("admin", groups=["system:masters"])
        self._write("admin.conf", self._config({"client-certificate": "client-admin.pem", "client-key": "client-admin.key"}))
        return self.path("admin.conf")

    # What a control plane is given.

    ACCOUNT = "byrnie-controlplane"
    SYSTEM = "byrnie-system"
    POLICIES = "/apis/byrnie.io/v1"

    def _grant(self):
        """What the manifests bring before a control plane: its account with its rights, and the policies' definition."""
        self.namespace(self.SYSTEM)
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        paths = {"ServiceAccount": f"/api/v1/namespaces/{self.SYSTEM}/serviceaccounts", "ClusterRole": f"{rbac}/clusterroles",
                 "ClusterRoleBinding": f"{rbac}/clusterrolebindings",
                 "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}
        for item in manifests("access.yaml") + manifests("access-policies.yaml"):
            self.admin.create(paths[item["kind"]], item)
        self._wait(lambda: self.admin.get(f"{self.POLICIES}/accesspolicies"), 30, "the policies' definition")

    def control_plane_kubeconfig(self):
        """The path of a file for --kubeconfig, with a token of an account that may do what a control plane needs, no more."""
        token = self.service_account_token(self.SYSTEM, self.ACCOUNT, [API_AUDIENCE])
        self._write("kubeconfig", self._config({"token": token}))
        return self.path("kubeconfig")

    def client(self, name, groups=()):
        """One that shows a certificate of that user."""
        file = "client-" + urllib.parse.quote(name, safe="")
        if not os.path.exists(self.path(f"{file}.pem")):
            self._write_pair(file, self.authority.issue(name, groups))
        return Client(self, certificate=(self.path(f"{file}.pem"), self.path(f"{file}.key")))

    # What is in it.

    def namespace(self, name, accounts=(), labels=None):
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        for account in accounts:
            self.admin.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": account}})

    def pod(self, namespace, name, account, ip, node="node-1", labels=None, annotations=None):
        """A pod that runs and is ready, as a kubelet would have made of it; without an `ip` the kubelet has not said a word yet."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        containers = [{"name": "app", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}]
        if "byrnie.io/status" in (annotations or {}):
            containers.insert(0, {"name": "byrnie-proxy", "image": "none", "command": ["/usr/local/bin/byrnie-proxy"]})
        self.admin.create(path, {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"serviceAccountName": account, "nodeName": node, "terminationGracePeriodSeconds": 0, "containers": containers}})
        return self.pod_status(namespace, name, ip) if ip else self.admin.get(f"{path}/{name}")

    def pod_status(self, namespace, name, ip, ready=True):
        return self.admin.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}})

    def delete_pod(self, pod):
        self.admin.delete(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}")

    def token(self, pod, audience=API_AUDIENCE):
        """A token as the pod's kubelet has it made: of this audience, bound to the pod."""
        return self.service_account_token(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"], [audience], {
            "kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]})

    def unbound_token(self, namespace, account, audience):
        return self.service_account_token(namespace, account, [audience])

    def service_account_token(self, namespace, account, audiences, bound_to=None):
        # Two of the same second would be the same token.
        self._token_seconds += 1
        spec = {"audiences": audiences, "expirationSeconds": self._token_seconds}
        if bound_to:
            spec["boundObjectRef"] = bound_to
        return self.admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec})["status"]["token"]

    def _wait(self, look, seconds, what):
        deadline = time.monotonic() + seconds
        error = None
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode}:\n{self.log(name)[-2000:]}")
            try:
                found = look()
                if found:
                    return found
            except (ApiError, OSError) as reason:
                error = reason
            time.sleep(0.2)
        raise AssertionError(f"no {what} within {seconds} s: {error}")

    def log(self, name):
        with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as text:
            return text.read()

    def close(self):
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name)
        if self.keep_logs and os.path.isdir(self.directory):
            os.makedirs(self.keep_logs, exist_ok=True)
            for name in os.listdir(self.directory):
                if name.endswith(".log"):
                    shutil.copy(self.path(name), os.path.join(self.keep_logs, name))
        shutil.rmtree(self.directory, ignore_errors=True)
