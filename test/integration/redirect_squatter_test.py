#!/usr/bin/python3
"""Who listens on the proxy's ports while it is dead answers nobody; the proxy does, and a port without a listener refuses.

Proved for the tunnel, metrics and readiness ports and for both ports of the redirect, over IPv4 and IPv6, with listeners of
the application's user, of one that is let out and of root: whoever connects is refused at once, as where nobody listens.
With SYN cookies, when the kernel answers by itself, and on connections older than the rules no byte passes either way.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.process import wait_until
from testing.redirect_case import RedirectCase

SQUATTER, LET_OUT, ROOT = 1000, 2000, 0
OPEN = (15008, 15020, 15021)
OPTIONS = ([f"--exclude_uids={LET_OUT}"], ["--include_inbound_ports=8080"], ["--include_outbound_ports=8080"],
           ["--exclude_inbound_ports=9100", "--exclude_outbound_cidrs=192.0.2.0/24,2001:db8::/32"])
AT_ONCE = 0.5


class RedirectSquatterTest(RedirectCase):

    def ways(self):
        """(the port listened on, who connects, to where): each port as the network reaches it, 15001 as applications do."""
        for v6 in (False, True):
            ours = self.pod.address6 if v6 else self.pod.address
            theirs = self.peer.address6 if v6 else self.peer.address
            for port in OPEN:
                yield port, self.peer, (ours, port)
            yield 15006, self.peer, (ours, 8080)
            yield 15001, self.pod, (theirs, 8080)

    def assert_refused_at_once(self, who, where):
        started = time.monotonic()
        self.assertRaises(ConnectionRefusedError, who.connect, *where, timeout=3)
        self.assertLess(time.monotonic() - started, AT_ONCE)

    def assert_refuses_squatters(self, *uids):
        for port, who, where in self.ways():
            for uid in uids:
                with self.subTest(port=port, where=where, uid=uid), self.pod.listen(port, timeout=0.05, uid=uid) as listener:
                    self.assert_refused_at_once(who, where)
                    self.assertRaises(TimeoutError, listener.accept)

    def assert_answers(self, port, who, where):
        """A listener of the proxy's user and who connects exchange bytes, also such that come before it accepts."""
        with self.pod.listen(port, uid=PROXY_UID) as listener, who.connect(*where) as connection:
            connection.sendall(b"question")
            time.sleep(0.05)
            with self.pod.accept(listener, PROXY_UID) as accepted:
                accepted.settimeout(3)
                self.assertEqual(accepted.recv(100), b"question")
                accepted.sendall(b"answer")
                self.assertEqual(connection.recv(100), b"answer")
                accepted.sendall(b"last words")
            self.assertEqual(connection.recv(100), b"last words")
            self.assertEqual(connection.recv(100), b"")

    def test_whoever_is_not_the_proxy_is_refused_at_once(self):
        for options in OPTIONS:
            with self.subTest(options=options):
                self.redirect("apply", *options)
                self.assert_refuses_squatters(SQUATTER, LET_OUT, ROOT)

    def test_it_is_refused_in_tproxy_mode_too(self):
        self.redirect("apply", "--mode=tproxy")
        self.assert_refuses_squatters(SQUATTER)

    def test_it_is_refused_while_a_copy_of_the_rules_is_held(self):
        watch = self.mesh.spawn("watch", self.pod, [self.mesh.binary("byrnie-redirect"), "watch"],
                                self.mesh.log_path("watch", unique=True))
        try:
            wait_until(lambda: "byrnie_held" in self.pod.run("nft", "list", "tables").stdout, 10, "the copy")
            wait_until(lambda: "repaired" in watch.log_text(), 10, "the rules")
            self.assert_refuses_squatters(SQUATTER)
            for way in self.ways():
                with self.subTest(way=way):
                    self.assert_answers(*way)
        finally:
            watch.end()

    def test_the_proxy_answers(self):
        for options in OPTIONS:
            self.redirect("apply", *options)
            for way in self.ways():
                with self.subTest(options=options, way=way):
                    self.assert_answers(*way)

    def test_a_port_without_a_listener_refuses_at_once(self):
        for options in OPTIONS:
            self.redirect("apply", *options)
            for port, who, where in self.ways():
                with self.subTest(options=options, port=port, where=where):
                    self.assert_refused_at_once(who, where)

    def always_send_cookies(self):
        self.pod.run("sh", "-c", "echo 2 > /proc/sys/net/ipv4/tcp_syncookies")
        self.addCleanup(self.pod.run, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies")

    def test_with_syn_cookies_the_proxy_answers(self):
        self.redirect("apply")
        self.always_send_cookies()
        for port, who, where in self.ways():
            if port != 15001:  # Within the pod there are none.
                with self.subTest(port=port, where=where):
                    self.assert_answers(port, who, where)

    def test_with_syn_cookies_nobody_else_hears_or_says_a_byte(self):
        self.redirect("apply", *OPTIONS[0])
        self.always_send_cookies()
        for port, who, where in self.ways():
            for uid in (SQUATTER, LET_OUT):
                with self.subTest(port=port, where=where, uid=uid), self.pod.listen(port, timeout=1, uid=uid) as listener:
                    if port == 15001:
                        self.assertRaises(OSError, who.connect, *where, timeout=0.5)
                        continue
                    # The counter-proof: the kernel has answered without asking whose listener it is.
                    with who.connect(*where) as connection:
                        connection.sendall(b"question")
                        time.sleep(0.05)
                        with self.pod.accept(listener, uid) as accepted:
                            accepted.settimeout(0.3)
                            self.assertEqual(self.heard(accepted), b"")
                            try:
                                accepted.sendall(b"answer")
                            except ConnectionError:
                                pass
                        connection.settimeout(0.3)
                        self.assertEqual(self.heard(connection), b"")

    def heard(self, connection):
        try:
            return connection.recv(100)
        except (TimeoutError, ConnectionError):
            return b""

    def test_what_was_taken_before_the_rules_ends(self):
        for port, v6, peer_first in ((15008, False, True), (15008, True, False), (15021, True, True)):
            with self.subTest(port=port, peer_first=peer_first, v6=v6):
                self.setUp()
                self.assert_cut(*self.opened(True, v6, port, SQUATTER), peer_first, lambda: self.redirect("apply"))

    def test_what_was_written_and_closed_before_the_rules_stays_in_the_pod(self):
        self.assert_kept(*self.written_and_closed(True, 15008, SQUATTER), lambda: self.redirect("apply"))


if __name__ == "__main__":
    sys.exit(main())
