#!/usr/bin/python3
"""A source port that one of the pod's connections had is free for the others at once: the proxy's and the applications' are apart.

Connection tracking keeps a connection that its server has reset for nf_conntrack_tcp_timeout_close (10 s) and takes a new one
between the same ends for the old one. Proved over IPv4 and IPv6 with sockets that have the proxy's priority: an application
that takes the port of one is taken to the proxy, and one that takes an application's is not. What such a socket has written when
it is closed arrives, and a reset of the kernel's for it leaves. Of a socket of the proxy's user without the priority, as the
agent's are, the port is refused to applications until the kernel has forgotten it.
"""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.netns import APPLICATION_UID
from testing.redirect_case import RedirectCase, read
from testing.tcp import reset

REMEMBERED = 3
PRIORITY = 4
NO_RESETS = "table inet no_resets { chain in { type filter hook input priority 0; tcp flags & rst == rst drop; }; }"


class RedirectPortReuseTest(RedirectCase):

    def setUp(self):
        super().setUp()
        self.redirect("apply")
        self.pod.run("sh", "-c", f"echo {REMEMBERED} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close")

    def connect(self, address, source_port, uid, priority=0):
        made = self.pod.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, uid)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
            made.settimeout(3)
            made.bind(("", source_port))
            made.connect((address, 8080))
        except BaseException:
            made.close()
            raise
        return made

    def own(self, address, source_port=0):
        return self.connect(address, source_port, PROXY_UID, PRIORITY)

    def assert_taken(self, proxy, address, source_port, priority=0):
        with self.connect(address, source_port, APPLICATION_UID, priority) as application, \
                self.pod.accept(proxy, PROXY_UID) as taken:
            application.sendall(b"question")
            self.assertEqual(taken.recv(100), b"question")
            taken.sendall(b"answer")
            self.assertEqual(application.recv(100), b"answer")
            reset(taken)
            self.assertRaises(ConnectionResetError, application.recv, 1)

    def assert_not_taken(self, server, address, source_port):
        """A connection of the proxy's, which its server resets; its port."""
        with self.own(address, source_port) as own:
            with server.accept()[0] as theirs:
                self.assert_flows(own, theirs)
                reset(theirs)
            self.assertRaises(ConnectionResetError, own.recv, 1)

    def test_neither_is_taken_for_the_other(self):
        with self.pod.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(8080) as server:
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    for port in (41000, 41001):
                        for _ in range(3):
                            self.assert_not_taken(server, address, port)
                            self.assert_taken(proxy, address, port)
                    # Whatever priority an application has, it gains nothing by it.
                    self.assert_taken(proxy, address, 41002, PRIORITY)
            for listener in (server, proxy):
                listener.settimeout(0.2)
                self.assertRaises(TimeoutError, listener.accept)

    def test_what_it_has_written_arrives_after_it_is_closed(self):
        with self.peer.listen(8080, receive_buffer=4096) as server:
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    own = self.own(address)
                    with server.accept()[0] as theirs:
                        own.setblocking(False)
                        written = 0
                        try:
                            while written < 1 << 20:
                                written += own.send(b"\xa5" * 65536)
                        except BlockingIOError:
                            pass
                        own.close()
                        self.assertEqual(read(theirs, timeout=5), written)

    def test_the_kernels_reset_for_one_that_is_no_more_leaves(self):
        with self.peer.listen(8080) as server:
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    own = self.own(address)
                    with server.accept()[0] as theirs:
                        self.assert_flows(own, theirs)
                        self.peer.run("nft", "-f", "-", stdin=NO_RESETS.replace("; ", "\n"))
                        reset(own)
                        time.sleep(0.1)
                        self.peer.run("nft", "delete", "table", "inet", "no_resets")
                        self.assert_reset(theirs)

    def test_one_without_the_priority_keeps_its_port(self):
        with self.pod.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(8080) as server:
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    with self.connect(address, 0, PROXY_UID) as own:
                        port = own.getsockname()[1]
                        reset(server.accept()[0])
                        self.assertRaises(ConnectionResetError, own.recv, 1)
                    ended = time.monotonic()
                    self.assertRaises(ConnectionRefusedError, self.connect, address, port, APPLICATION_UID)
                    self.assert_taken(proxy, address, 0)
                    time.sleep(max(0, ended + REMEMBERED + 0.5 - time.monotonic()))
                    self.assert_taken(proxy, address, port)
            server.settimeout(0.2)
            self.assertRaises(TimeoutError, server.accept)


if __name__ == "__main__":
    sys.exit(main())
