#!/usr/bin/python3
"""A connection older than the redirect rules carries no application byte once they are there, in either direction.

Proved with connections that connection tracking knew before `apply` and with such that it did not, over IPv4 and IPv6,
opened from inside and from outside, whoever speaks first afterwards: both ends get a reset, and the capture holds nothing
of what they sent. What an application wrote and closed before `apply` does not go on leaving after it either.
"""

import os
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh, PROXY_UID

TRACKING = "table inet tracking { chain seen { type filter hook input priority 10; ct state established accept; }; }"


class RedirectOlderTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.pod, cls.peer = cls.mesh.outsider("pod"), cls.mesh.outsider("peer")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def setUp(self):
        self.redirect("remove")
        self.pod.run("nft", "flush", "ruleset")

    def redirect(self, *arguments):
        return self.pod.run(self.mesh.binary("byrnie-redirect"), *arguments)

    def opened(self, inbound, v6, port=8080, uid=65534):
        """A connection between the pod and the peer that has carried a byte each way: (the pod's end, the peer's end)."""
        server, client = (self.pod, self.peer) if inbound else (self.peer, self.pod)
        with server.listen(port) as listener:
            opener = client.connect(server.address6 if v6 else server.address, port, uid=uid)
            accepted, _ = listener.accept()
        for one, other in ((opener, accepted), (accepted, opener)):
            one.sendall(b"x")
            self.assertEqual(other.recv(1), b"x")
            one.settimeout(3)
        return (accepted, opener) if inbound else (opener, accepted)

    def assert_reset(self, end):
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                end.sendall(b"again")
                time.sleep(0.01)
            self.fail("it can still be written to")

    def older_connection_ends(self, inbound, v6, tracked, peer_first):
        self.setUp()
        if tracked:
            self.pod.run("nft", "-f", "-", stdin=TRACKING)
        ours, theirs = self.opened(inbound, v6)
        with ours, theirs:
            capture = self.mesh.capture(self.pod)
            self.redirect("apply")
            marker = b"OLDER-" + os.urandom(8).hex().encode()
            first, second = (theirs, ours) if peer_first else (ours, theirs)
            first.sendall(marker)
            second.settimeout(0.3)
            try:
                self.assertEqual(second.recv(100), b"", "an application byte passed")
            except OSError:
                pass
            try:
                second.sendall(marker)
            except OSError:
                pass
            first.settimeout(0.3)
            try:
                self.assertEqual(first.recv(100), b"", "an application byte passed back")
            except OSError:
                pass
            self.assert_reset(first)
            self.assert_reset(second)
            capture.stop()
            leaving = sum(len(payload) for source, _, _, _, _, payload in capture.packets()
                          if source in (self.pod.address, self.pod.address6))
            self.assertEqual(leaving, 0, "application bytes left the pod")

    def test_both_ends_get_a_reset_and_no_byte_passes(self):
        for inbound in (True, False):
            for tracked in (True, False):
                for peer_first in (True, False):
                    v6 = tracked == peer_first
                    with self.subTest(inbound=inbound, tracked=tracked, peer_first=peer_first, v6=v6):
                        self.older_connection_ends(inbound, v6, tracked, peer_first)

    def test_it_ends_as_well_when_the_rules_had_been_there_before(self):
        for inbound in (True, False):
            for v6 in (True, False):
                with self.subTest(inbound=inbound, v6=v6):
                    self.setUp()
                    self.redirect("apply")
                    self.redirect("remove")
                    self.older_connection_ends(inbound, v6, True, True)

    def test_what_was_written_and_closed_before_stays_in_the_pod(self):
        for tracked in (True, False):
            with self.subTest(tracked=tracked):
                self.setUp()
                if tracked:
                    self.pod.run("nft", "-f", "-", stdin=TRACKING)
                with self.peer.listen(8080, receive_buffer=4096) as listener:
                    ours = self.pod.connect(self.peer.address, 8080)
                    theirs, _ = listener.accept()
                with theirs:
                    ours.setblocking(False)
                    written = 0
                    try:
                        while written < 1 << 20:
                            written += ours.send(b"\xa5" * 65536)
                    except BlockingIOError:
                        pass
                    time.sleep(0.2)
                    ours.close()
                    capture = self.mesh.capture(self.pod)
                    self.redirect("apply")
                    time.sleep(0.2)
                    theirs.settimeout(1)
                    got = 0
                    try:
                        while block := theirs.recv(65536):
                            got += len(block)
                    except OSError:
                        pass
                    capture.stop()
                    self.assertLess(got, written)
                    self.assertEqual(sum(len(payload) for source, _, _, _, _, payload in capture.packets()
                                         if source == self.pod.address), 0)

    def test_the_proxys_own_older_connections_go_on(self):
        for inbound in (True, False):
            for tracked in (True, False):
                for peer_first in (True, False):
                    if not tracked and peer_first:
                        continue  # Tracking takes what it sees first for the opening, and redirects it.
                    with self.subTest(inbound=inbound, tracked=tracked, peer_first=peer_first):
                        self.setUp()
                        if tracked:
                            self.pod.run("nft", "-f", "-", stdin=TRACKING)
                        # Inbound: a port that is open. Outbound: by the proxy's user.
                        ours, theirs = self.opened(inbound, False, port=15021, uid=PROXY_UID)
                        with ours, theirs:
                            self.redirect("apply")
                            first, second = (theirs, ours) if peer_first or inbound else (ours, theirs)
                            for _ in range(3):
                                first.sendall(b"on")
                                self.assertEqual(second.recv(2), b"on")
                                second.sendall(b"and")
                                self.assertEqual(first.recv(3), b"and")


if __name__ == "__main__":
    sys.exit(main())
