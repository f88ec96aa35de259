"""Probes and lifecycle hooks, as the kubelet makes them: from the node's address, or in the container."""

import http.client
import ssl
import subprocess
import urllib.parse
import threading
import time

import h2.config
import h2.connection
import h2.events

from .pod_spec import PodError, port

_SERVING = b"\x08\x01"


def ask(life, handler, timeout):
    """(whether it succeeds, what it said). `handler` is a probe or a hook; `life` the ContainerLife that it is for."""
    try:
        if "exec" in handler:
            done = life.container.run(handler["exec"]["command"], timeout=timeout)
            return done.returncode == 0, (done.stdout + done.stderr).strip()
        if "sleep" in handler:
            time.sleep(handler["sleep"]["seconds"])
            return True, ""
        kind = next((kind for kind in ("httpGet", "tcpSocket", "grpc") if kind in handler), None)
        if kind is None:
            raise PodError(f"no such probe: {handler}")
        said = handler[kind]
        if kind == "httpGet":
            return _http(life, said, timeout)
        with life.machine.connect(said.get("host") or life.address, port(life.spec, said["port"]), timeout) as connection:
            if kind == "grpc":
                return _grpc(connection, said.get("service", ""))
            return True, ""
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired, h2.exceptions.ProtocolError) as error:
        return False, f"{type(error).__name__}: {error}"


def _http(life, said, timeout):
    """Redirects are followed on the host that was asked; one that leads elsewhere is an answer. Certificates are not looked at."""
    host, deadline = said.get("host") or life.address, time.monotonic() + timeout
    url = f"{said.get('scheme', 'HTTP').lower()}://{f'[{host}]' if ':' in host else host}:{port(life.spec, said['port'])}/{said.get('path', '/').removeprefix('/')}"
    headers = {"User-Agent": "kube-probe/1.29", "Accept": "*/*", "Connection": "close", **{header["name"]: header["value"] for header in said.get("httpHeaders", [])}}
    for _ in range(10):
        parts = urllib.parse.urlsplit(url)
        with _connection(life, parts, max(0.01, deadline - time.monotonic())) as connection:
            client = http.client.HTTPConnection(parts.netloc)
            client.sock = connection
            client.request("GET", url.partition(parts.netloc)[2], headers=headers)
            answer = client.getresponse()
            answer.read(10 * 1024)
        location = answer.getheader("Location") if answer.status in (301, 302, 303, 307, 308) else None
        url = location and urllib.parse.urljoin(url, location)
        if not url or urllib.parse.urlsplit(url).hostname != host:
            return 200 <= answer.status < 400, str(answer.status)
    return False, "stopped after 10 redirects"


def _connection(life, parts, timeout):
    connection = life.machine.connect(parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme], timeout)
    if parts.scheme == "http":
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def _grpc(connection, service):
    """grpc.health.v1.Health/Check, whose one message has one text."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    message = bytes([0x0A, len(service)]) + service.encode() if service else b""
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"), (":authority", "probed"),
                            ("content-type", "application/grpc"), ("te", "trailers")])
    client.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
    connection.sendall(client.data_to_send())
    body, status = b"", None
    while status is None and (block := connection.recv(65536)):
        for event in client.receive_data(block):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                status = dict(event.headers).get("grpc-status", dict(event.headers).get(b"grpc-status", status))
        connection.sendall(client.data_to_send())
    return status in ("0", b"0") and body[5:] == _SERVING, f"status {status}, {body[5:]!r}"


class Prober:
    """Asks one of a container's probes until stop(), and tells what it has come to: on_success() and on_failure(why), each when the
    threshold is reached, again only after the other one."""

    def __init__(self, life, probe, on_success, on_failure, until=None):
        """`until`: what has to be so before it begins."""
        self._life, self._probe, self._until = life, probe, until or (lambda: True)
        self._on = {True: on_success, False: on_failure}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        threshold = {True: self._probe.get("successThreshold", 1), False: self._probe.get("failureThreshold", 3)}
        count, last, told = 0, None, None
        while not self._until():
            if self._ending.wait(0.05):
                return
        self._ending.wait(self._probe.get("initialDelaySeconds", 0))
        while not self._ending.is_set():
            succeeds, why = ask(self._life, self._probe, self._probe.get("timeoutSeconds", 1))
            count, last = (count + 1 if succeeds == last else 1), succeeds
            if count >= threshold[succeeds] and told != succeeds and not self._ending.is_set():
                told = succeeds
                self._on[succeeds](why)
            self._ending.wait(self._probe.get("periodSeconds", 10))

    def stop(self):
        """Does not wait for an answer that is under way; nothing is told after it."""
        self._ending.set()
