"""A whole mesh of real processes: a control plane and pods, in network namespaces of their own.

    with Mesh(workload_ttl="20s") as mesh:
        client, server = mesh.pair()
        ...

Everything a Mesh makes (processes, namespaces with their links and rules, files) is gone when the block is left,
also by an exception or a signal.
"""

import atexit
import http.client
import os
import shutil
import stat
import sys
import tempfile
import time

from . import exposition
from .capture import Capture
from .interruption import uninterrupted, uninterruptible, unwind_on_signals
from .netns import APPLICATION_UID, Network
from .process import Process, json_lines, wait_until
from .registry import Registry

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXY_UID = 1337
TRUST_DOMAIN = "cluster.local"

BINARIES = {
    "byrnie-proxy": "proxy/byrnie-proxy",
    "byrnie-certagent": "certagent/byrnie-certagent",
    "byrnie-controlplane": "controlplane/byrnie-controlplane",
    "byrnie-redirect": "deploy/redirect/byrnie-redirect",
    "byrniectl": "ctl/byrniectl",
    "agent_fleet": "test/fleet/agent_fleet",
}


def binary_path(name):
    """Where a binary was built: below $BYRNIE_BIN, or below bazel-bin."""
    root = os.environ.get("BYRNIE_BIN", os.path.join(REPOSITORY, "bazel-bin"))
    for path in (os.path.join(root, BINARIES[name]), os.path.join(root, name)):
        if os.path.exists(path):
            return os.path.realpath(path)
    raise FileNotFoundError(f"{name} is not below {root}; build it with: bazel build //{':'.join(os.path.split(BINARIES[name]))}")


def http_request(namespace, port, path, method="GET", address="127.0.0.1", timeout=5, headers=None, uid=0):
    """(status, body text) of an HTTP request made inside a namespace, by root unless told otherwise."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    connection.sock = namespace.connect(address, port, timeout=timeout, uid=uid)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def parse_metrics(text):
    """Prometheus text as {'name{label="value"}': number}."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            values[series] = float(value)
    return values


class ControlPlane:
    """byrnie-controlplane in its own namespace. start() and kill() may alternate; its files stay."""

    PORT, ADMIN = 15012, 15014

    def __init__(self, mesh, name="control", number=2, trust_domain=TRUST_DOMAIN):
        self.mesh, self.trust_domain = mesh, trust_domain
        self.host = mesh.network.host(name, number)
        self.directory = mesh.make_directory(name, 0o755)
        self.bundle = os.path.join(self.directory, "bundle.pem")
        self.operator_token = os.path.join(self.directory, "operator.token")
        self.store, self.spool = os.path.join(self.directory, "store.db"), os.path.join(self.directory, "spool.db")
        self.registry_path = os.path.join(self.directory, "registry.json")
        self.log_path = mesh.log_path("controlplane" if name == "control" else name)
        self.process = None
        self.admin_address = "127.0.0.1"
        self.attest = "join_token"
        # Instead of a file of its own.
        self.store_flags = None
        self.extra_flags = []

    def arguments(self, store=None, bundle=None):
        return [self.mesh.binary("byrnie-controlplane"), f"--listen=0.0.0.0:{self.PORT}",
                f"--admin={self.admin_address}:{self.ADMIN}", f"--trust_domain={self.trust_domain}",
                *self._store_flags(store), f"--workload_ttl={self.mesh.workload_ttl}",
                f"--attest={self.attest}", f"--registry=static:{self.registry_path}",
                f"--trust_bundle_out={bundle or self.bundle}", f"--operator_token_out={self.operator_token}",
                "--log_format=json", *self.extra_flags]

    def _store_flags(self, store):
        if not self.store_flags:
            return [f"--store=sqlite:{store or self.store}"]
        return [*self.store_flags, f"--issuance_spool={self.spool}"]

    def start(self, **other):
        self.process = self.mesh.spawn("controlplane", self.host, self.arguments(**other), self.log_path)
        self.wait_ready()

    def wait_ready(self):
        def ready():
            if not self.process.running():
                raise AssertionError(f"the control plane ended with {self.process.returncode}: "
                                     f"{self.process.log_text()[-2000:]}")
            for port in (self.PORT, self.ADMIN):
                self.host.connect("127.0.0.1", port, timeout=1).close()
            return os.path.exists(self.bundle) and os.path.exists(self.operator_token)
        wait_until(ready, 10, "the control plane's start")

    def admin(self, path, method="GET", **options):
        return http_request(self.host, self.ADMIN, path, method, **options)

    def ctl(self, *arguments, check=True):
        """byrniectl, as an operator beside the control plane."""
        return self.host.run(
            self.mesh.binary("byrniectl"), f"--control_plane=127.0.0.1:{self.PORT}", f"--trust_bundle={self.bundle}",
            f"--trust_domain={self.trust_domain}", f"--token={self.operator_token}", *arguments, check=check)

    def create_token(self, spiffe_id, ttl="10m"):
        return self.ctl("token", "create", "--identity", spiffe_id, "--ttl", ttl).stdout.strip()


class Pod:
    """A pod: a namespace with redirect rules, an agent and a proxy of user 1337, and applications of other users."""

    def __init__(self, mesh, name, account, number, namespace, control_plane=None):
        self.mesh, self.name, self.namespace, self.account = mesh, name, namespace, account
        self.control_plane = control_plane or mesh.control_plane
        self.spiffe_id = f"spiffe://{self.control_plane.trust_domain}/ns/{namespace}/sa/{account}"
        self.host = mesh.network.host(name, number)
        self.address, self.address6 = self.host.address, self.host.address6
        self.directory = mesh.make_directory(f"pod-{name}", 0o755)
        self.link_directory = os.path.join(self.directory, "link")
        os.mkdir(self.link_directory, 0o700)
        os.chown(self.link_directory, PROXY_UID, PROXY_UID)
        self.link_socket = os.path.join(self.link_directory, "agent.sock")
        self.token = os.path.join(self.directory, "token")
        # "HOST:PORT", of control planes that share a store.
        self.control_planes = [f"{self.control_plane.host.address}:{ControlPlane.PORT}"]
        self.proxy = self.agent = None
        self.extra_proxy_flags, self.extra_agent_flags = [], []
        self.redirect_flags, self.proxy_capabilities, self.agent_capabilities = [], [], []

    # The application's side.

    def connect(self, address, port, **options):
        return self.host.connect(address, port, **options)

    def listen(self, port, **options):
        return self.host.listen(port, **options)

    def app(self, role, *arguments):
        """An ordinary application in this pod (see apps.py); a server is listening on return."""
        name = f"{self.name}-{role}"
        process = self.mesh.spawn(
            name, self.host, ["/usr/bin/python3", "-I", "-S", self.mesh.apps, role, *arguments],
            self.mesh.log_path(name, unique=True), uid=APPLICATION_UID)
        if role in ("echo", "greet", "web", "sink", "source", "hold"):
            wait_until(lambda: '"listening"' in process.log_text(), 10, f"{name}'s start")
        return process

    # The mesh's side.

    def write_token(self, spiffe_id=None):
        self._store_token(self.control_plane.create_token(spiffe_id or self.spiffe_id))

    def give_token(self, text):
        """This one in place of the join token that start() would make."""
        self._store_token(text)
        self.write_token = lambda: None

    def _store_token(self, text):
        fd = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as out:
            out.write(text + "\n")
        os.chown(self.token, PROXY_UID, PROXY_UID)

    def make_agent_directory(self, name):
        """A directory of the pod that only the agent's user may enter."""
        path = os.path.join(self.directory, name)
        os.mkdir(path, 0o700)
        os.chown(path, PROXY_UID, PROXY_UID)
        return path

    def redirect(self, command, *flags, check=True):
        return self.host.run(self.mesh.binary("byrnie-redirect"), command, *flags, check=check)

    def agent_arguments(self):
        return [self.mesh.binary("byrnie-certagent"),
                f"--control_plane={','.join(self.control_planes)}",
                f"--trust_domain={self.control_plane.trust_domain}", f"--trust_bundle={self.control_plane.bundle}",
                f"--token={self.token}", f"--spiffe_id={self.spiffe_id}", f"--link_socket={self.link_socket}",
                "--admin=127.0.0.1:15010", "--log_format=json", *self.extra_agent_flags]

    def proxy_arguments(self):
        return [self.mesh.binary("byrnie-proxy"), f"--link_socket={self.link_socket}", "--admin=127.0.0.1:15000",
                "--log_format=json", *self.extra_proxy_flags]

    def start_agent(self):
        self.agent = self.mesh.spawn(f"{self.name}-agent", self.host, self.agent_arguments(),
                                     self.mesh.log_path(f"{self.name}-agent"), uid=PROXY_UID,
                                     capabilities=self.agent_capabilities)

    def start_proxy(self):
        self.proxy = self.mesh.spawn(f"{self.name}-proxy", self.host, self.proxy_arguments(),
                                     self.mesh.log_path(f"{self.name}-proxy"), uid=PROXY_UID,
                                     capabilities=self.proxy_capabilities)

    def start(self):
        """Rules first, as an injected pod does: nothing can leave before the proxy is there."""
        self.redirect("apply", *self.redirect_flags)
        self.write_token()
        self.start_agent()
        self.start_proxy()

    def ready(self):
        try:
            return http_request(self.host, 15021, "/healthz/ready", address=self.address, timeout=2)[0] == 200
        except OSError:
            return False

    def wait_ready(self, deadline=15):
        def ready():
            for process in (self.agent, self.proxy):
                if process and not process.running():
                    raise AssertionError(
                        f"{process.name} ended with {process.returncode}: {process.log_text()[-2000:]}")
            return self.ready()
        wait_until(ready, deadline, f"readiness of {self.name}")

    def admin(self, path, method="GET", **options):
        """The proxy's admin page."""
        return http_request(self.host, 15000, path, method, **options)

    def agent_admin(self, path, method="GET", **options):
        return http_request(self.host, 15010, path, method, **options)

    def metrics(self):
        return parse_metrics(http_request(self.host, 15020, "/metrics", address=self.address)[1])

    def families(self):
        """The proxy's metrics as {name: exposition.Family}; raises unless the page is as Prometheus wants it."""
        return exposition.parse(http_request(self.host, 15020, "/metrics", address=self.address)[1])

    def log(self):
        """All log records of the proxy, over its restarts."""
        with open(self.mesh.log_path(f"{self.name}-proxy"), encoding="utf-8", errors="replace") as text:
            return json_lines(text.read())

    def access_log(self, **wanted):
        """The access log's records whose fields have the values given."""
        return [record for record in self.log()
                if record.get("log") == "access" and all(record.get(name) == value for name, value in wanted.items())]

    def wait_access_log(self, deadline=5, **wanted):
        return wait_until(lambda: self.access_log(**wanted), deadline, f"a record {wanted} in {self.name}'s access log")


class Mesh:
    """See the module's comment. Needs root."""

    def __init__(self, workload_ttl="1h"):
        if os.geteuid() != 0:
            raise PermissionError("network namespaces need root; run this as root or with sudo")
        self.workload_ttl = workload_ttl
        self.directory = None
        self.network = None
        self.pods = []
        self.processes = []
        self.captures = []
        self.keep_logs = os.environ.get("BYRNIE_KEEP_LOGS")
        self._next = {"pod": 10, "outsider": 100, "service": 10, "log": 0}
        self._binaries = {}
        unwind_on_signals()
        atexit.register(self.cleanup)
        try:
            self._build()
        except BaseException:
            self.cleanup()
            raise

    def _build(self):
        with uninterrupted():
            self.directory = tempfile.mkdtemp(prefix="byr-")
        os.chmod(self.directory, 0o755)
        self.make_directory("bin", 0o755)
        self.make_directory("logs", 0o755)
        self.apps = self._copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps.py"))
        with uninterrupted():
            self.network = Network()
        self.control_plane = ControlPlane(self)
        self.registry = Registry(self.control_plane.registry_path)
        self.registry.write()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is not None and issubclass(kind, Exception):
                self.print_logs()
        finally:
            # Also when nobody is left to print to.
            self.cleanup()

    # Files.

    def make_directory(self, name, mode):
        path = os.path.join(self.directory, name)
        os.mkdir(path)
        os.chmod(path, mode)
        return path

    def _copy(self, source):
        # The build's output may lie below a home that other users cannot enter.
        target = os.path.join(self.directory, "bin", os.path.basename(source))
        shutil.copyfile(source, target)
        os.chmod(target, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        return target

    def binary(self, name):
        if name not in self._binaries:
            self._binaries[name] = self._copy(binary_path(name))
        return self._binaries[name]

    def log_path(self, name, unique=False):
        if unique:
            self._next["log"] += 1
            name = f"{name}-{self._next['log']}"
        return os.path.join(self.directory, "logs", f"{name}.log")

    # Building.

    def spawn(self, name, namespace, argv, log_path, uid=None, capabilities=(), group=None):
        process = Process(name, namespace, argv, log_path, uid, capabilities, group)
        self.processes.append(process)
        return process

    def pod(self, name, account=None, namespace="demo", **workload_fields):
        """A pod, registered but not started."""
        pod = Pod(self, name, account or name, self._take("pod"), namespace)
        self.pods.append(pod)
        self.registry.workload(name, namespace, pod.account, [pod.address, pod.address6], **workload_fields)
        return pod

    def outsider(self, name="outsider"):
        """A host on the same network that has no part in the mesh."""
        return self.network.host(name, self._take("outsider"))

    def service(self, name, pods, service_port=80, target_port=8080, namespace="demo", **fields):
        """A service over pods; returns its IPv4 and IPv6 addresses."""
        number = self._take("service")
        addresses = (f"10.96.0.{number}", f"fd96::{number:x}")
        self.registry.service(name, namespace, addresses, service_port, target_port,
                              [pod.name for pod in pods], **fields)
        return addresses

    def _take(self, what):
        self._next[what] += 1
        return self._next[what] - 1

    def start(self):
        """The control plane, then all pods at the same time; ready on return."""
        plane = self.control_plane
        seen = None if plane.process is None else self._readings()
        changed = self.registry.write()
        if plane.process is None:
            plane.start()
        fresh = [pod for pod in self.pods if pod.proxy is None]
        for pod in fresh:
            pod.start()
        for pod in fresh:
            pod.wait_ready()
        if seen is not None and changed:
            # One that was there before looks at its registry file twice a second, and pods may be faster.
            wait_until(lambda: self._readings() > seen, 5, "a look of the control plane at its registry")

    def _readings(self):
        text = self.control_plane.process.log_text()
        return text.count('"registry file read"') + text.count('"registry file rejected')

    def pair(self, **service):
        """A started client and server; the server's application port 8080 is port 80 of `self.vip`, `self.vip6`."""
        client, server = self.pod("client"), self.pod("server")
        self.vip, self.vip6 = self.service("server", [server], **service)
        self.start()
        return client, server

    def capture(self, host, expression="tcp"):
        """A packet capture of all that enters or leaves a host."""
        made = Capture(self.network, host.port, self.directory, expression)
        self.captures.append(made)
        return made

    # What must hold at any time.

    def assert_counters_balance(self, deadline=10, pods=None):
        """Every connection has ended, and each was counted once when it began and once, with its reason, when it ended.

        Call it when nothing of the test is open any more. Of all running proxies, or those of `pods`.
        """
        for pod in pods or [pod for pod in self.pods if pod.proxy and pod.proxy.running()]:
            for direction in ("inbound", "outbound"):
                counts = {}

                def balanced():
                    families = pod.families()
                    for word in ("open", "opened_total", "closed_total"):
                        counts[word] = exposition.total(families, f"byrnie_proxy_connections_{word}", direction=direction)
                    return counts["open"] == 0 and counts["opened_total"] == counts["closed_total"]
                try:
                    wait_until(balanced, deadline, "balance")
                except AssertionError:
                    raise AssertionError(f"{direction} connections of {pod.name} do not add up: {counts}") from None

    # The end.

    def print_logs(self, lines=25, out=None):
        """The ends of all logs, for whoever has to find out what went wrong."""
        out = out or sys.stderr
        if not self.directory or not os.path.isdir(os.path.join(self.directory, "logs")):
            return
        for name in sorted(os.listdir(os.path.join(self.directory, "logs"))):
            with open(os.path.join(self.directory, "logs", name), encoding="utf-8", errors="replace") as log:
                # Of connections that went well there may be hundreds after the line that matters.
                tail = [line for line in log.read().splitlines() if '"reason":"closed"' not in line][-lines:]
            if tail:
                print(f"--- {name}", *tail, sep="\n    ", file=out)
        out.flush()

    def cleanup(self):
        """Ends everything; may be called again."""
        if self.directory is None:
            return
        with uninterruptible():
            for capture in self.captures:
                capture.abandon()
            for process in reversed(self.processes):
                process.end()
            if self.network:
                self.network.delete()
            if self.keep_logs:
                target = os.path.join(self.keep_logs, os.path.basename(self.directory))
                shutil.copytree(os.path.join(self.directory, "logs"), target, dirs_exist_ok=True)
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
            atexit.unregister(self.cleanup)


def sleep_through(seconds, check=lambda: None, every=0.25):
    """Lets time pass, which is what some tests are about, and calls `check` meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(every, left))
