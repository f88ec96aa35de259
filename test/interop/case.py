"""A mesh with a peer that is not ours: certificates for it, and an application's connections through the client's proxy."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading

from testing.cache import cached
from testing.case import MeshTestCase
from testing.certificates import Authority

MEBIBYTE = bytes(random.Random(7).randbytes(1 << 20))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def node_command():
    """Node, with the packages that tools/setup has put into the cache."""
    node = shutil.which("node") or shutil.which("nodejs")
    packages = cached("node", "node_modules")
    assert node and os.path.isdir(packages), "Node or its packages are not there; tools/setup installs them"
    return ["env", f"NODE_PATH={packages}", node]


def go_program(source):
    """The program that Go makes of this one file, kept in the cache until the file or Go is another one."""
    go = shutil.which("go")
    assert go, "Go is not installed; tools/setup installs it"
    with open(source, "rb") as text:
        made_of = text.read() + subprocess.run([go, "version"], check=True, capture_output=True).stdout
    name = os.path.splitext(os.path.basename(source))[0]
    program = cached("go", f"{name}-{hashlib.sha256(made_of).hexdigest()[:16]}")
    if os.path.exists(program):
        return program
    folder = os.path.dirname(program)
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.startswith(name + "-"):
            os.unlink(os.path.join(folder, old))
    with tempfile.TemporaryDirectory() as work:
        built = os.path.join(work, name)
        # The standard library alone, and nothing of the caller's settings: nothing is downloaded.
        subprocess.run([go, "build", "-trimpath", "-o", built, source], check=True, cwd=work, env={
            "PATH": os.environ["PATH"], "HOME": work, "GOCACHE": os.path.join(work, "cache"), "GOPATH": os.path.join(work, "path"),
            "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"})
        shutil.copy(built, program + ".new")
    os.rename(program + ".new", program)
    return program


class InteropTestCase(MeshTestCase):
    """self.peer: a host outside the pods, registered as the workload `peer` of the mesh, with its SVID in
    self.certificate; self.bundle: the path of the mesh's roots."""

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        # One pool of tunnels, so that which connections share one is known.
        cls.client.extra_proxy_flags = ["--workers=1"]
        cls.peer = cls.mesh.outsider("peer")
        cls.peer_id = "spiffe://cluster.local/ns/demo/sa/peer"
        cls.mesh.registry.workload("peer", "demo", "peer", [cls.peer.address, cls.peer.address6])
        cls.mesh.start()
        control_plane = cls.mesh.control_plane
        cls.bundle = control_plane.bundle
        with open(cls.bundle, encoding="ascii") as bundle:
            cls.authority = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        cls.certificate = cls.authority.issue(cls.peer_id)

    def exchange(self, port, data, address=None):
        """Sends `data` through the client's proxy to the peer, ends, and returns everything that comes back."""
        with self.client.connect(address or self.peer.address, port, timeout=20) as connection:
            sender = threading.Thread(target=self._send, args=(connection, data))
            sender.start()
            received = bytearray()
            while block := connection.recv(65536):
                received += block
            sender.join()
        return bytes(received)

    @staticmethod
    def _send(connection, data):
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # What comes back says so.
