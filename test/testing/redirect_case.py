"""How the kernel's rules are tested by themselves: a bare pod with rules, a peer outside, sockets in everybody's place."""

import os
import time
import unittest

from .mesh import Mesh
from .netns import APPLICATION_UID


class RedirectCase(unittest.TestCase):
    """`self.pod` has rules as `redirect` makes them and no process of its own; `self.peer` is outside."""

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.pod, cls.peer = cls.mesh.outsider("pod"), cls.mesh.outsider("peer")
        # So that lists of interfaces may name eth0, or not, and leave something to the proxy.
        cls.pod.ip("link add net1 type veth peer name net1peer")
        cls.pod.ip("link set net1 up")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def setUp(self):
        self.redirect("remove")
        self.pod.run("nft", "flush", "ruleset")

    def redirect(self, *arguments):
        return self.pod.run(self.mesh.binary("byrnie-redirect"), *arguments)

    def opened(self, inbound, v6, port=8080, uid=APPLICATION_UID):
        """A connection between the pod and the peer that has carried a byte each way: (the pod's end, the peer's end).

        The pod's end is a socket of `uid`.
        """
        server, client = (self.pod, self.peer) if inbound else (self.peer, self.pod)
        with server.listen(port, uid=uid) as listener:
            opener = client.connect(server.address6 if v6 else server.address, port, uid=uid)
            accepted = server.accept(listener, uid)
        for one, other in ((opener, accepted), (accepted, opener)):
            one.sendall(b"x")
            self.assertEqual(other.recv(1), b"x")
            one.settimeout(3)
        return (accepted, opener) if inbound else (opener, accepted)

    def assert_flows(self, one, other):
        for _ in range(3):
            one.sendall(b"on")
            self.assertEqual(other.recv(2), b"on")
            other.sendall(b"and")
            self.assertEqual(one.recv(3), b"and")

    def assert_reset(self, end):
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                end.sendall(b"again")
                time.sleep(0.01)
            self.fail("it can still be written to")

    def leaving(self, capture):
        """Bytes of payload that have left the pod."""
        return sum(len(payload) for source, _, _, _, _, payload in capture.packets()
                   if source in (self.pod.address, self.pod.address6))

    def assert_cut(self, ours, theirs, peer_first, cut):
        """What `cut()` does ends a connection: no byte passes either way, whoever speaks first; both ends get a reset."""
        with ours, theirs:
            capture = self.mesh.capture(self.pod)
            cut()
            marker = b"MARKER-" + os.urandom(8).hex().encode()
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
            self.assertEqual(self.leaving(capture.stop()), 0, "application bytes left the pod")

    def written_and_closed(self, inbound, port=8080, uid=APPLICATION_UID):
        """(the peer's end, bytes): the pod has written more than the peer takes before it reads, and closed."""
        server, client = (self.pod, self.peer) if inbound else (self.peer, self.pod)
        small = {"receive_buffer": 4096}
        with server.listen(port, uid=uid, **({} if inbound else small)) as listener:
            opener = client.connect(server.address, port, uid=uid, **(small if inbound else {}))
            accepted = server.accept(listener, uid)
        ours, theirs = (accepted, opener) if inbound else (opener, accepted)
        ours.setblocking(False)
        written = 0
        try:
            while written < 1 << 20:
                written += ours.send(b"\xa5" * 65536)
        except BlockingIOError:
            pass
        time.sleep(0.2)
        ours.close()
        return theirs, written

    def assert_kept(self, theirs, written, cut):
        """What was written and closed does not go on leaving after `cut()`."""
        with theirs:
            capture = self.mesh.capture(self.pod)
            cut()
            time.sleep(0.2)
            self.assertLess(read(theirs), written)
            self.assertEqual(self.leaving(capture.stop()), 0)


def read(connection, timeout=1):
    """How many bytes come to the end, a reset or a second without any."""
    connection.settimeout(timeout)
    got = 0
    try:
        while block := connection.recv(65536):
            got += len(block)
    except OSError:
        pass
    return got
