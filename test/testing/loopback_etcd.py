"""A real etcd of one member on the loopback address, without namespaces and without TLS.

    etcd = LoopbackEtcd()
    plane.store_flags = etcd.store_flags("one-mesh")
    etcd.stop()
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import urllib.request

from .etcd import PROGRAM
from .process import wait_until


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LoopbackEtcd:
    """See the module's comment. It is there when the constructor returns."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="byr-etcd-")
        self.url, peer_url = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
        # What private keys are sealed with.
        self.store_key = os.path.join(self.directory, "store.key")
        with open(os.open(self.store_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(secrets.token_hex(32))
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, f"--data-dir={self.directory}/data", f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
                 f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}", f"--initial-cluster=default={peer_url}",
                 "--log-level=error", "--unsafe-no-fsync"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, 15, "etcd's readiness", every=0.1)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
                return b"true" in response.read()
        except OSError:
            return False

    def store_flags(self, prefix):
        """What a control plane takes to keep its records here."""
        return [f"--store=etcd:{self.url}/{prefix}", f"--store_key={self.store_key}"]

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
