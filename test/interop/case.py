"""A mesh with a peer that is not ours: certificates for it, and an application's connections through the client's proxy."""

import hashlib
import os
import random
import shutil
import socket
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
