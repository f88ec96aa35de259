#!/usr/bin/python3
"""Who connects, sends and resets at once comes from somewhere all the same: policies about addresses hold, and applications and logs have its address.

Proved with strangers of permissive pods, by redirect and by TPROXY, and with a proxy that is stopped while they come, so that it accepts what has been reset already: a DENY of a stranger's address holds and is logged with it; of a stranger who may come what was sent arrives, from its own address
by TPROXY.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import tcp
from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp
from testing.process import wait_until

PORT = 8080
COUNT = 20


class ResetBeforeAcceptTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.redirected, cls.transparent = mesh.pod("redirected"), mesh.pod("transparent")
        cls.transparent.redirect_flags = ["--mode=tproxy"]
        cls.transparent.extra_proxy_flags.append("--inbound_interception=tproxy")
        cls.transparent.proxy_capabilities = ["net_admin"]
        cls.pods = (cls.redirected, cls.transparent)
        for pod in cls.pods:
            pod.extra_proxy_flags.append("--mtls_mode=permissive")
        cls.denied, cls.welcome = mesh.outsider("denied"), mesh.outsider("welcome")
        mesh.registry.policy("deny-one", "DENY", source_ips=[f"{cls.denied.address}/32"])
        mesh.start()

    def come_and_go(self, stranger, pod):
        """COUNT connections that the proxy accepts after their reset."""
        pod.proxy.signal(signal.SIGSTOP)
        try:
            for _ in range(COUNT):
                connection = stranger.connect(pod.address, PORT)
                connection.sendall(b"last words")
                time.sleep(0.002)
                tcp.reset(connection)
        finally:
            pod.proxy.signal(signal.SIGCONT)

    def application(self, pod):
        """[(address of the client, what it sent)] of an application, as it comes."""
        seen = []

        def handle(connection):
            try:
                host = connection.getpeername()[0].removeprefix("::ffff:")
            except OSError:
                host = None  # The reset is here already.
            try:
                seen.append((host, connection.recv(64)))
            except OSError:
                seen.append((host, b""))
        self.enterContext(InlineApp(pod.host, PORT, handle))
        return seen

    def test_a_denied_address_stays_denied(self):
        for pod in self.pods:
            with self.subTest(pod.name):
                seen = self.application(pod)
                self.come_and_go(self.denied, pod)
                records = wait_until(lambda: len(found := self.of(pod, self.denied)) >= COUNT and found, 10, "the access log's lines")
                self.assertEqual({(record["result"], record["reason"]) for record in records}, {("denied", "policy-deny")})
                self.assertEqual(seen, [])

    def test_an_address_that_may_come_is_known(self):
        for pod in self.pods:
            with self.subTest(pod.name):
                seen = self.application(pod)
                self.come_and_go(self.welcome, pod)
                records = wait_until(lambda: len(found := self.of(pod, self.welcome)) >= COUNT and found, 10, "the access log's lines")
                self.assertEqual({record["result"] for record in records}, {"allowed"})
                if pod is self.transparent:
                    self.assertLessEqual({host for host, _ in seen}, {self.welcome.address, None})

    @staticmethod
    def of(pod, stranger):
        return [record for record in pod.access_log() if record["source"].startswith(f"{stranger.address}:")]


if __name__ == "__main__":
    sys.exit(main())
