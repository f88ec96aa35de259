#!/usr/bin/python3
"""The control plane moves to its next root, killed after every move and rolled back from every step, and no handshake fails on the way.

Proved with two pods that talk all the time in both directions, over tunnels that are made anew with every certificate and every bundle: the
control plane, killed after every move, goes on with what was decided; rollback works from every step. One of the agents has the bundle file of
the first root all the time.

Connections, busy ones and idle ones, through a tunnel and over direct mTLS, outlive two whole rotations that go by themselves, the end of the
root that they began under included. Where `revoke` is told not to wait for a pod that the control plane does not reach, connections with that
pod are reset (`trust-removed`), and others go on.
"""

import os
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.inline_app import receive
from testing.process import wait_until
from testing.rotation_case import FORWARD, EveryStep, RotationCase
from testing.tcp import RESET
from testing.watched import Watched


class TrustRotationTest(EveryStep, RotationCase):

    workload_ttl = "8s"

    @classmethod
    def build(cls):
        cls.make_pods()
        # The client's bundle file stays what it was: what comes later it learns from the control plane.
        cls.mesh.registry.write()
        cls.mesh.control_plane.start()
        kept = os.path.join(cls.mesh.directory, "kept.pem")
        shutil.copyfile(cls.mesh.control_plane.bundle, kept)
        arguments = cls.client.agent_arguments
        cls.client.agent_arguments = lambda: [f"--trust_bundle={kept}" if argument.startswith("--trust_bundle=") else argument
                                              for argument in arguments()]
        cls.mesh.start()
        cls.start_applications()


class Busy(threading.Thread):
    """A connection through which bytes go all the time, both ways."""

    def __init__(self, client, server, port):
        super().__init__(daemon=True)
        with server.listen(port) as listener:
            self.near = client.connect(server.address, port)
            self.far = server.host.accept(listener)
        self.failure, self.exchanged, self._ending = None, 0, threading.Event()
        self.start()

    def run(self):
        try:
            while not self._ending.is_set():
                for one, other in ((self.near, self.far), (self.far, self.near)):
                    one.sendall(b"still here")
                    if receive(other, 10) != b"still here":
                        raise OSError("another answer")
                self.exchanged += 1
                time.sleep(0.02)
        except OSError as error:
            self.failure = error

    def finish(self):
        self._ending.set()
        self.join()
        self.near.close()
        self.far.close()


class LongConnectionsTest(RotationCase):

    workload_ttl = "10s"

    @classmethod
    def make_pods(cls):
        super().make_pods()
        cls.direct = cls.mesh.pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS")

    def test_they_outlive_whole_rotations(self):
        idle = [Watched(self.client, pod, 8081, patience=300) for pod in (self.server, self.direct)]
        busy = [Busy(self.client, pod, 8082) for pod in (self.server, self.direct)]
        for connection in idle:
            self.addCleanup(connection.close)
        for connection in busy:
            self.addCleanup(connection.finish)
        for _ in range(2):
            root, began = self.signing_root(), time.monotonic()
            self.trust("rotate")
            wait_until(lambda root=root: not self.step() and self.signing_root() != root, 60, "the end of the rotation", every=0.3)
            self.assertEqual(len(self.status()["roots"]), 1)
            print(f"     a rotation took {time.monotonic() - began:.0f} s", flush=True)
            # The proxies may hear of it later than the operator.
            began = time.monotonic()
            wait_until(lambda began=began: time.monotonic() - began > 3, 10, "the bundles at all proxies")
            self.assertEqual([connection.ends for connection in idle], [{}, {}])
            self.assertEqual([connection.failure for connection in busy], [None, None])
        for connection in busy:
            before = connection.exchanged
            wait_until(lambda c=connection, before=before: c.exchanged > before + 10, 10, "bytes")


class NotRenewedTest(RotationCase):

    # Nothing ends by itself here.
    workload_ttl = "10m"

    @classmethod
    def make_pods(cls):
        super().make_pods()
        cls.away = cls.mesh.pod("away")

    def test_whoever_has_not_renewed_under_the_next_root_is_reset(self):
        lasting, cut = Watched(self.client, self.server, 8081), Watched(self.client, self.away, 8081)
        for connection in (lasting, cut):
            self.addCleanup(connection.close)
        for name in FORWARD[:2]:
            self.move(name)
        wait_until(lambda: not self.blockers(), 20, "all acknowledgements")
        self.away.host.ip(f"route add blackhole {self.mesh.control_plane.host.address}")
        for name in FORWARD[2:4]:
            self.move(name)
        # The others prove each other by what they have now, on a connection of its own.
        root = self.signing_root()
        wait_until(lambda: [agent for agent in self.blockers() if agent.startswith("spiffe:")] == [self.away.spiffe_id], 20, "all others")
        self.assertEqual(self.ask(self.client, self.vips[self.client], 80), b"ping\n")
        self.assertEqual(cut.ends, {})
        self.trust("rotate", "--step=revoke", f"--exclude={self.away.spiffe_id}")
        for thread in cut.threads:
            thread.join(5)
        self.assertEqual({name: how for name, (how, _) in cut.ends.items()}, {"near": RESET, "far": RESET})
        self.client.wait_access_log(direction="outbound", peer_identity=self.away.spiffe_id, reason="trust-removed")
        self.assertEqual(self.signing_root(), root)
        self.assertEqual(lasting.ends, {})


if __name__ == "__main__":
    sys.exit(main())
