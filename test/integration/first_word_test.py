#!/usr/bin/python3
"""Whoever speaks first is heard at once: the inbound proxy waits for nobody to find out what a connection is.

Proved in permissive mode, for a client outside the mesh: a server that speaks first, a client that does, both at once,
TLS of the application, a post-quantum ClientHello one byte at a time, and connections silent for 30 seconds. A server that
speaks first also in a pod that takes direct mTLS, for an address that nobody knows, while discovery answers, while the
control plane does not, and while the agent does not. Each adds less than 5 ms (median) to the same exchange over a port
that is not redirected, measured in turns in the same run. Not counted is what the proxy stood ready without a CPU, which
others had, while the client waited for nothing else.
"""

import os
import signal
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.hello import HelloTrap
from testing.inline_app import InlineApp, echo, greet, receive
from testing.mesh import sleep_through
from testing.process import thread_times
from testing.tls_app import TlsApp

ROUNDS = 40
LIMIT = 0.005
GREETING = b"220 ready\r\n"
MESH, PLAIN = 8080, 9090


class FirstWordTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.server, cls.client = cls.mesh.pod("server"), cls.mesh.pod("client")
        cls.legacy = cls.mesh.pod("legacy", tunnel_protocol="LEGACY_ISTIO_MTLS")
        for pod in (cls.server, cls.legacy):
            pod.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.trap = HelloTrap(cls.mesh)
        cls.outsider = cls.mesh.outsider()
        cls.mesh.start()
        # The baseline: the kernel's path alone, between the same two ends.
        for pod in (cls.server, cls.legacy):
            pod.redirect("apply", f"--exclude_inbound_ports={PLAIN}")
        cls.strangers = (f"10.77.{net}.{number}" for net in (3, 4) for number in range(1, 250))

    def compare(self, handle, exchange, pod=None, before=lambda: None):
        """Times exchange(connect) in turns on both ports, before() first; the proxy adds less than LIMIT to the median."""
        pod = pod or self.server
        times = {MESH: [], PLAIN: []}
        with InlineApp(pod, MESH, handle), InlineApp(pod, PLAIN, handle):
            for _ in range(ROUNDS):
                before()
                for port, taken in times.items():
                    self.wait_for(pod)
                    started = time.monotonic()
                    with self.outsider.connect(pod.address, port) as connection:
                        exchange(connection)
                    taken.append(time.monotonic() - started - self.without_cpu())
        self.judge(times)
        return times[MESH]

    def wait_for(self, pod):
        """From now on the client has nothing to do but wait for the pod's proxy."""
        self.awaited = pod.proxy.pid, thread_times(pod.proxy.pid), time.monotonic()

    def without_cpu(self):
        """How long since then the one of its threads that carries the connection was ready to run and others had the CPUs."""
        pid, before, since = self.awaited
        waited = max(waited - before.get(thread, (0, 0))[1] for thread, (_, waited) in thread_times(pid).items())
        # The kernel counts a wait when it is over, also what there was of it before.
        return min(waited, time.monotonic() - since)

    def judge(self, times):
        medians = {port: statistics.median(taken) for port, taken in times.items()}
        added = medians[MESH] - medians[PLAIN]
        print(f"    {self.id().split('.')[-1]}: {1e3 * medians[PLAIN]:.2f} ms without the proxy, "
              f"{1e3 * added:+.2f} ms with it", flush=True)
        self.assertLess(added, LIMIT, times)

    def carried(self, protocol, kind):
        """It was the proxy that carried it, as what it is."""
        self.server.wait_access_log(direction="inbound", protocol=protocol, result="allowed",
                                    original_destination=f"{self.server.address}:{MESH}")
        self.assertGreaterEqual(self.server.metrics()[f'byrnie_proxy_redirected_total{{kind="{kind}"}}'], ROUNDS)

    def test_a_server_that_speaks_first(self):
        def exchange(connection):
            self.assertEqual(receive(connection, len(GREETING)), GREETING)
        self.compare(greet(GREETING), exchange)
        self.carried("plaintext", "server_first")

    def test_a_server_that_speaks_first_to_who_is_not_known(self):
        def exchange(connection):
            self.assertEqual(receive(connection, len(GREETING)), GREETING)

        def another():
            """The outsider comes from an address that the proxy has not seen."""
            address = next(self.strangers)
            self.outsider.ip(f"addr add {address}/32 dev eth0",
                             f"route replace {self.legacy.address}/32 dev eth0 src {address}")
            # Else the first of each is its ARP's.
            with self.outsider.connect(self.legacy.address, PLAIN):
                pass
        self.legacy.host.ip("route add 10.77.3.0/24 dev eth0", "route add 10.77.4.0/24 dev eth0")
        stopped = (("nothing", None), ("the control plane", self.mesh.control_plane.process), ("the agent", self.legacy.agent))
        for name, process in stopped:
            with self.subTest(stopped=name):
                if process:
                    process.signal(signal.SIGSTOP)
                try:
                    times = self.compare(greet(GREETING), exchange, self.legacy, another)
                finally:
                    if process:
                        process.signal(signal.SIGCONT)
                self.assertLess(max(times), 0.5)

    def test_a_client_that_speaks_first(self):
        def exchange(connection):
            connection.sendall(b"question")
            self.assertEqual(receive(connection, 8), b"question")
        self.compare(echo, exchange)
        self.carried("plaintext", "plaintext")

    def test_both_at_once(self):
        def exchange(connection):
            connection.sendall(b"question")
            self.assertEqual(receive(connection, len(GREETING) + 8), GREETING + b"question")
        self.compare(greet(GREETING), exchange)

    def test_tls_of_the_application(self):
        app = TlsApp(self.mesh.make_directory("tls", 0o755))

        def exchange(connection):
            with app.secure(connection) as secured:
                secured.sendall(b"question")
                self.assertEqual(receive(secured, 8), b"question")
        self.compare(app.handle, exchange)
        self.carried("tls", "tls")

    def test_a_post_quantum_hello_byte_by_byte(self):
        hello = self.trap.call(self.client)
        self.assertGreater(len(hello), 1400, "no post-quantum key share")

        def swallow(connection):
            # In one call: what Python does for each byte would be most of what is measured without the proxy.
            connection.settimeout(None)
            self.assertEqual(connection.recv(len(hello), socket.MSG_WAITALL), hello)
            connection.sendall(b"all of it")

        def exchange(connection):
            for byte in hello:
                connection.sendall(bytes([byte]))
            self.wait_for(self.server)
            self.assertEqual(receive(connection, 9), b"all of it")
        self.compare(swallow, exchange)
        self.carried("tls", "tls")

    def test_silent_for_30_seconds(self):
        times = {MESH: [], PLAIN: []}
        with InlineApp(self.server, MESH, echo), InlineApp(self.server, PLAIN, echo):
            connections = [(taken, self.outsider.connect(self.server.address, port))
                           for _ in range(ROUNDS) for port, taken in times.items()]
            try:
                sleep_through(30)
                for taken, connection in connections:
                    started = time.monotonic()
                    connection.sendall(b"at last")
                    self.assertEqual(receive(connection, 7), b"at last")
                    taken.append(time.monotonic() - started)
            finally:
                for _, connection in connections:
                    connection.close()
        self.judge(times)
        self.assertLess(max(times[MESH]), 1.0)


if __name__ == "__main__":
    sys.exit(main())
