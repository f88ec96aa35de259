#!/usr/bin/python3
"""There is no way around the proxy and no way to its admin pages: each port from each place, with the exact outcome.

Proved for every port of the sidecar, the application's and an unused one, over IPv4 and IPv6, from a captured pod, from a
host outside the mesh, and from inside the pod as the application, as another user and as the proxy's own: what is asked is
an admin action that would end the proxy or the agent. Whatever the cell, both live on, no connection goes round in circles
(connections are counted) and no CPU is spent afterwards. The same in both modes of the redirect.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.netns import APPLICATION_UID

OTHER_UID = 4242

# What comes back:
REFUSED = "refused"  # No connection: the kernel answers with a reset.
RESET = "reset"      # A connection that ends without a byte; on 15008 because it speaks mutual TLS and nothing else.
HTTP = "http"        # An HTTP answer, not to the action asked for.
APP = "app"          # The application's answer.

SIDECAR = (15000, 15001, 15006, 15008, 15010, 15020, 15021)
PORTS = SIDECAR + (8080, 8099)

# From the network: the admin pages, the redirect's ports and the application's in plaintext are no way in.
OUTSIDE = {**dict.fromkeys(PORTS, RESET), 15006: REFUSED, 15020: HTTP, 15021: HTTP}
# Through the own proxy and a tunnel: the application's port, metrics and readiness; the peer's proxy refuses its other ports.
CAPTURED = {**dict.fromkeys(PORTS, RESET), 15020: HTTP, 15021: HTTP, 8080: APP}
# Inside, by the pod's address: the kernel delivers; who listens on loopback only is not there.
INSIDE = {15000: REFUSED, 15001: RESET, 15006: RESET, 15008: RESET, 15010: REFUSED, 15020: HTTP, 15021: HTTP, 8080: APP,
          8099: REFUSED}
# Inside, on loopback: the admin pages are for whoever is in the pod, on 127.0.0.1.
LOOPBACK4 = {**INSIDE, 15000: HTTP, 15010: HTTP}
LOOPBACK6 = INSIDE


class BypassTableTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            cls.configure(pod)
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.outsider = cls.mesh.outsider()

    @classmethod
    def configure(cls, pod):
        pass

    def outcome(self, host, address, port, uid, action):
        try:
            connection = host.connect(address, port, timeout=5, uid=uid)
        except ConnectionRefusedError:
            return REFUSED
        except ConnectionResetError:
            return RESET  # Accepted and reset before we looked.
        with connection:
            answer = b""
            try:
                connection.sendall(b"%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                                   % (action, port))
                answer = connection.recv(4096)
            except ConnectionError:
                pass
        if not answer:
            return RESET
        return HTTP if answer.startswith(b"HTTP/1.") else APP

    def origins(self):
        """(name, host, uid, the server pod's address as seen from there, the expected outcomes)."""
        s = self.server
        for v6 in (False, True):
            own = s.address6 if v6 else s.address
            family = "v6" if v6 else "v4"
            yield f"captured pod {family}", self.client.host, APPLICATION_UID, own, CAPTURED
            yield f"captured pod, other user {family}", self.client.host, OTHER_UID, own, CAPTURED
            yield f"outsider {family}", self.outsider, APPLICATION_UID, own, OUTSIDE
            # The client pod's proxy user speaks plaintext past its proxy; to the server it is a stranger.
            yield f"captured pod, proxy's user {family}", self.client.host, PROXY_UID, own, OUTSIDE
            for uid in (APPLICATION_UID, OTHER_UID, PROXY_UID):
                yield f"inside as {uid} {family}", s.host, uid, own, INSIDE
                yield (f"loopback as {uid} {family}", s.host, uid, "::1" if v6 else "127.0.0.1",
                       LOOPBACK6 if v6 else LOOPBACK4)

    def opened(self):
        return sum(value for pod in (self.client, self.server) for series, value in pod.metrics().items()
                   if series.startswith("byrnie_proxy_connections_opened_total"))

    def cpu(self):
        """Seconds of CPU that both proxies have used."""
        total = 0
        for pod in (self.client, self.server):
            with open(f"/proc/{pod.proxy.pid}/stat", encoding="ascii") as stat:
                fields = stat.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def test_every_port_from_everywhere(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        before = self.opened()
        asked, wrong = 0, []
        for name, host, uid, address, expected in self.origins():
            for port in PORTS:
                # On loopback the admin pages obey by design; there the question is a harmless one.
                action = b"GET /" if address == "127.0.0.1" and port in (15000, 15010) else b"POST /quitquitquit"
                got = self.outcome(host, address, port, uid, action)
                asked += 1
                if got != expected[port]:
                    wrong.append(f"{name}, port {port}: {got}, not {expected[port]}")
        self.assertEqual(wrong, [])
        # At most one connection at each of two proxies for each of ours: nothing goes round.
        self.assertLessEqual(self.opened() - before, 2 * asked)
        for pod in (self.client, self.server):
            self.assertTrue(pod.proxy.running() and pod.agent.running(), "an admin action was performed from outside")
            self.assertTrue(pod.ready())
        used = self.cpu()
        time.sleep(1)
        self.assertLess(self.cpu() - used, 0.1, "something goes on after the last connection has ended")
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def test_the_redirects_ports_of_the_own_pod_cannot_be_made_a_loop(self):
        """A hundred connections to the proxy's own ports, by all names the pod has for itself: a hundred ends."""
        before = self.opened()
        for _ in range(5):
            for address in ("127.0.0.1", "::1", self.server.address, self.server.address6):
                for port in (15001, 15006):
                    for uid in (APPLICATION_UID, PROXY_UID, 0):
                        self.assertEqual(self.outcome(self.server.host, address, port, uid, b"POST /quitquitquit"), RESET)
        self.assertEqual(self.opened() - before, 5 * 4 * 2 * 3)


class TproxyBypassTableTest(BypassTableTest):

    @classmethod
    def configure(cls, pod):
        pod.redirect_flags = ["--mode=tproxy"]
        pod.extra_proxy_flags = ["--inbound_interception=tproxy"]
        pod.proxy_capabilities = ["net_admin"]


if __name__ == "__main__":
    sys.exit(main())
