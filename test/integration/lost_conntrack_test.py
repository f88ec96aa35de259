#!/usr/bin/python3
"""A half-closed connection keeps its redirect in the kernel; one that has lost it goes on with the next word of who was
redirected, and does not stay for ever.

Proved with 1 000 connections each, 500 through a tunnel and 500 in plaintext to a host outside the mesh, whose server ends and
whose client says its last words 10 s later: with nf_conntrack_tcp_timeout_close_wait=5 all of them arrive and every connection
ends cleanly; with 1, where the kernel has forgotten the redirect before anybody can keep it, no socket, no descriptor and no open
connection is left at any proxy 60 s after the client's end. Of connections whose redirect is deleted while both sides are open,
outbound through a tunnel and inbound, over IPv4 and IPv6, no byte is lost when the far end speaks next and then the near one.
"""

import os
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.mesh import sleep_through
from testing.process import wait_until

CONNECTIONS = 1000
CLIENT_ENDS = 10
GONE = 60
LAST_WORDS = b"ten seconds later"

# Deletes all that connection tracking knows: IPCTNL_MSG_CT_DELETE without an address, to be acknowledged.
FORGET_ALL = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
s.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 1 | 4, 1, 0, 0, 0, 0))
raise SystemExit(-struct.unpack("=i", s.recv(4096)[16:20])[0])
"""


class LostConntrackTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.outsider = cls.mesh.outsider()
        cls.tunnelled, cls.outside = cls.server.listen(8080), cls.outsider.listen(9000)

    def forget_after(self, seconds):
        for host in (self.client.host, self.server.host):
            host.run("sh", "-c", f"echo {seconds} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait")

    def tracked(self):
        """Redirected connections the kernel of the client remembers as ended by their server."""
        listing = self.client.host.run("cat", "/proc/net/nf_conntrack").stdout
        return sum(" sport=15001 " in line and " CLOSE_WAIT " in line for line in listing.splitlines())

    def proxy_sockets(self):
        """Sockets of the client's proxy whose other end is an application of its pod."""
        listing = self.client.host.run("ss", "-Htan", "sport", "=", ":15001").stdout
        return [line for line in listing.splitlines() if not line.startswith(("LISTEN", "TIME-WAIT"))]

    def pairs(self, count):
        made = []
        for listener, address, port in ((self.tunnelled, self.mesh.vip, 80), (self.outside, self.outsider.address, 9000)):
            for _ in range(count // 2):
                near = self.client.connect(address, port)
                far, _ = listener.accept()
                made.append((near, far))
        return made

    def server_ends(self):
        """Connections whose server has said and heard of the end; none has left a trace before."""
        for near, far in self.pairs(40):  # What stays (tunnels, pages) is there before it is counted.
            far.close()
            near.close()
        leaks = Leaks(self.client, self.server)
        pairs = self.pairs(CONNECTIONS)
        self.assertGreaterEqual(len(self.proxy_sockets()), CONNECTIONS)
        for _, far in pairs:
            far.shutdown(socket.SHUT_WR)
        for number, data in self.read_all([near for near, _ in pairs]).items():
            self.assertEqual(data, b"", f"client {number}")
        return leaks, pairs

    def read_all(self, connections, timeout=10):
        """What each connection reads to its clean end."""
        selector, got = selectors.DefaultSelector(), {}
        for number, connection in enumerate(connections):
            selector.register(connection, selectors.EVENT_READ, number)
            got[number] = b""
        deadline = time.monotonic() + timeout
        while selector.get_map():
            self.assertLess(time.monotonic(), deadline, f"{len(selector.get_map())} connections have not ended")
            for key, _ in selector.select(1):
                data = key.fileobj.recv(1000)
                got[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
        return got

    def test_the_redirect_is_kept_for_last_words(self):
        self.forget_after(5)
        leaks, pairs = self.server_ends()
        sleep_through(CLIENT_ENDS)
        self.assertGreaterEqual(self.tracked(), CONNECTIONS)
        for near, _ in pairs:
            near.sendall(LAST_WORDS)
            near.close()
        for number, data in self.read_all([far for _, far in pairs]).items():
            self.assertEqual(data, LAST_WORDS, f"server {number}")
        for _, far in pairs:
            far.close()
        leaks.check(deadline=5)

    def test_one_whose_far_end_speaks_first_goes_on(self):
        pairs = []
        for listener, opener, host, port in ((self.tunnelled, self.client, self.mesh, 80),
                                             (self.tunnelled, self.outsider, self.server, 8080)):
            for address in (host.vip, host.vip6) if host is self.mesh else (host.address, host.address6):
                near = opener.connect(address, port)
                far, _ = listener.accept()
                for one, other in ((near, far), (far, near)):
                    one.sendall(b"x")
                    self.assertEqual(other.recv(1), b"x")
                pairs.append((near, far))
        for host in (self.client.host, self.server.host):
            host.run("/usr/bin/python3", "-I", "-c", FORGET_ALL)
        for _, far in pairs:
            far.sendall(b"the far end first")
        sleep_through(0.3)  # It has come by then, and is not heard.
        for number, (near, far) in enumerate(pairs):
            with near, far:
                near.sendall(b"then the near one")
                self.assertEqual(far.recv(100), b"then the near one", f"connection {number}")
                self.assertEqual(near.recv(100), b"the far end first", f"connection {number}")

    def test_a_forgotten_connection_is_gone_within_a_minute(self):
        self.forget_after(1)
        leaks, pairs = self.server_ends()
        # The counter-proof: the kernel has forgotten while the clients still have their sockets.
        wait_until(lambda: self.tracked() == 0, CLIENT_ENDS, "the end of the redirects")
        sleep_through(CLIENT_ENDS)
        for near, far in pairs:
            near.close()
            far.close()
        closed = time.monotonic()
        leaks.check(deadline=GONE)
        wait_until(lambda: not self.proxy_sockets(), GONE - (time.monotonic() - closed), "the end of the proxy's sockets")
        print(f"all gone {time.monotonic() - closed:.1f} s after the client's end", flush=True)


if __name__ == "__main__":
    sys.exit(main())
