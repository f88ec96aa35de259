#!/usr/bin/python3
"""An application that takes the source port of a connection of the proxy which its server has just reset is refused.

Connection tracking keeps such a connection for nf_conntrack_tcp_timeout_close (10 s) and takes a new one between the same
ends for the old one, which nobody translates. Proved over IPv4 and IPv6 that this fails closed and is over with that time:
nothing reaches the server, another port is taken to the proxy meanwhile, and afterwards this one too.
"""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.netns import APPLICATION_UID
from testing.redirect_case import RedirectCase
from testing.tcp import reset

REMEMBERED = 3


class RedirectPortReuseTest(RedirectCase):

    def connect(self, address, source_port, uid):
        made = self.pod.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, uid)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.settimeout(3)
            made.bind(("", source_port))
            made.connect((address, 8080))
        except BaseException:
            made.close()
            raise
        return made

    def test_it_is_refused_until_the_kernel_has_forgotten(self):
        self.redirect("apply")
        self.pod.run("sh", "-c", f"echo {REMEMBERED} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close")
        with self.pod.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(8080) as server:
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    with self.connect(address, 0, PROXY_UID) as own:
                        port = own.getsockname()[1]
                        reset(server.accept()[0])
                        self.assertRaises(ConnectionResetError, own.recv, 1)
                    ended = time.monotonic()
                    self.assertRaises(ConnectionRefusedError, self.connect, address, port, APPLICATION_UID)
                    with self.connect(address, 0, APPLICATION_UID), self.pod.accept(proxy, PROXY_UID):
                        pass
                    time.sleep(max(0, ended + REMEMBERED + 0.5 - time.monotonic()))
                    with self.connect(address, port, APPLICATION_UID) as again, self.pod.accept(proxy, PROXY_UID) as taken:
                        again.sendall(b"question")
                        self.assertEqual(taken.recv(100), b"question")
            server.settimeout(0.2)
            self.assertRaises(TimeoutError, server.accept)


if __name__ == "__main__":
    sys.exit(main())
