#!/usr/bin/python3
"""A proxy that ends tells of every connection that it ends, also of those whose readers do not read.

Proved at the drain's deadline and at a second SIGTERM, through a tunnel and over direct mTLS, with bytes under way to an application
at either end that does not read: each has its line, `drained`, in the access log, as an idle one beside it has, the process ends
within two seconds with exit code 0, and the client's proxy at the other end of the tunnel is told why.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.tcp import fill

BLOCK = os.urandom(1 << 16)


class DrainStuckTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.late = {way: cls.mesh.pod(f"late-{way}", **more) for way, more in cls.WAYS.items()}
        cls.twice = {way: cls.mesh.pod(f"twice-{way}", **more) for way, more in cls.WAYS.items()}
        for pod in cls.late.values():
            pod.extra_proxy_flags = ["--drain_timeout=1s"]
        cls.mesh.start()

    WAYS = {"tunnel": {}, "direct": {"tunnel_protocol": "LEGACY_ISTIO_MTLS"}}

    def open_stuck(self, pod):
        """The ends of four connections: towards the client stuck, towards the server, both ways, and an idle one."""
        ends = []
        with pod.listen(8080) as listener:
            for stuck in (("far",), ("near",), ("far", "near"), ()):
                near = self.client.connect(pod.address, 8080)
                near.sendall(b"?")
                far, _ = listener.accept()
                self.assertEqual(far.recv(1), b"?")
                for sender in stuck:
                    fill(near if sender == "near" else far, BLOCK, 64 << 20, quiet=0.3)
                ends += [near, far]
        return ends

    def assert_all_are_told_of(self, pods, end):
        for way, pod in pods.items():
            with self.subTest(way):
                ends = self.open_stuck(pod)
                end(pod)
                began = time.monotonic()
                self.assertEqual(pod.proxy.wait(10), 0)
                self.assertLess(time.monotonic() - began, 4)
                self.assertEqual(len(pod.access_log(direction="inbound", reason="drained")), 4)
                if way == "tunnel":
                    told = lambda: [record for record in self.client.access_log(peer_reason="drained")
                                    if record.get("destination", "").startswith(pod.address + ":")]
                    wait_until(lambda: len(told()) == 4, 12, "the reason at the client's proxy")
                for made in ends:
                    made.close()

    def test_the_deadline(self):
        self.assert_all_are_told_of(self.late, lambda pod: pod.proxy.signal(signal.SIGTERM))

    def test_a_second_sigterm(self):
        def end(pod):
            pod.proxy.signal(signal.SIGTERM)
            wait_until(lambda: any(record.get("message") == "draining" for record in pod.log()), 5, "the drain")
            pod.proxy.signal(signal.SIGTERM)

        self.assert_all_are_told_of(self.twice, end)


if __name__ == "__main__":
    main()
