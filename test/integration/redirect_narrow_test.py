#!/usr/bin/python3
"""A list that has become narrower cuts what it let out before, at once and in both directions, and nothing else.

Proved for each list, over IPv4 and IPv6, whoever speaks first after `apply`: no byte passes, both ends get a reset, the
capture holds nothing that left; what was written and closed before does not go on leaving either. What the new list still
names goes on, and so do the proxy's own connections, closed ones to their last byte too.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.redirect_case import RedirectCase, read

USER, OTHER = 1000, 1001

# (options, narrower ones) for connections of USER to port 8080.
NARROWED = (
    (["--exclude_outbound_cidrs=10.77.0.0/16,fd77::/64"], []),
    (["--exclude_outbound_cidrs=10.77.0.0/16,fd77::/64"], ["--exclude_outbound_cidrs=10.77.0.1,fd77::1"]),
    (["--exclude_outbound_ports=8080,9090"], ["--exclude_outbound_ports=9090"]),
    (["--exclude_interfaces=eth0"], []),
    ([f"--exclude_uids={USER},{OTHER}"], []),
    ([f"--exclude_uids={USER},{OTHER}"], [f"--exclude_uids={OTHER}"]),
    (["--include_outbound_ports=9090"], ["--include_outbound_ports=8080,9090"]),
    (["--include_outbound_cidrs=192.0.2.0/24"], ["--include_outbound_cidrs=192.0.2.0/24,10.77.0.0/16,fd77::/64"]),
    (["--include_interfaces=net1"], ["--include_interfaces=net1,eth0"]),
    # Somebody else's reason for the same connection.
    ([f"--exclude_uids={USER}"], ["--exclude_outbound_ports=9090", "--exclude_outbound_cidrs=192.0.2.0/24"]),
)
OF_EACH_KIND = (0, 2, 3, 5, 7)
KEPT = (
    (["--exclude_outbound_cidrs=10.77.0.0/16,fd77::/64", "--exclude_outbound_ports=9090"],
     ["--exclude_outbound_cidrs=10.77.0.0/16,fd77::/64"]),
    (["--exclude_outbound_ports=8080,9090"], ["--exclude_outbound_ports=8080"]),
    ([f"--exclude_uids={USER},{OTHER}"], [f"--exclude_uids={USER}"]),
    (["--include_outbound_ports=9090"], ["--include_outbound_ports=9090,9091"]),
    ([f"--exclude_uids={USER}"], ["--exclude_outbound_ports=8080"]),
)


class RedirectNarrowTest(RedirectCase):

    def early_demux(self, on):
        """Without it the kernel does not know whose an incoming packet is when the rules see it."""
        self.pod.run("sh", "-c", f"echo {on:d} > /proc/sys/net/ipv4/tcp_early_demux")

    def cuts(self, options, narrower, v6, peer_first):
        with self.subTest(options=options, narrower=narrower, v6=v6, peer_first=peer_first):
            self.setUp()
            self.redirect("apply", *options)
            self.assert_cut(*self.opened(False, v6, uid=USER), peer_first, lambda: self.redirect("apply", *narrower))

    def test_both_ends_get_a_reset_and_no_byte_passes(self):
        for number, (options, narrower) in enumerate(NARROWED):
            self.cuts(options, narrower, number % 2 == 0, True)
        for number in OF_EACH_KIND:
            self.cuts(*NARROWED[number], number % 2 == 1, False)

    def test_it_does_without_early_demux(self):
        self.early_demux(False)
        self.addCleanup(self.early_demux, True)
        for number in OF_EACH_KIND:
            self.cuts(*NARROWED[number], number % 2 == 0, True)

    def test_an_inbound_port_that_is_closed_again_is_closed_to_who_is_there(self):
        for peer_first in (True, False):
            with self.subTest(peer_first=peer_first):
                self.setUp()
                self.redirect("apply", "--exclude_inbound_ports=8080")
                self.assert_cut(*self.opened(True, peer_first), peer_first, lambda: self.redirect("apply"))

    def test_what_was_written_and_closed_before_stays_in_the_pod(self):
        for number in OF_EACH_KIND:
            options, narrower = NARROWED[number]
            with self.subTest(options=options, narrower=narrower):
                self.setUp()
                self.redirect("apply", *options)
                self.assert_kept(*self.written_and_closed(False, uid=USER), lambda: self.redirect("apply", *narrower))

    def test_what_is_still_named_goes_on(self):
        for options, narrower in KEPT:
            for peer_first in (True, False):
                with self.subTest(options=options, narrower=narrower, peer_first=peer_first):
                    self.setUp()
                    self.redirect("apply", *options)
                    ours, theirs = self.opened(False, peer_first, uid=USER)
                    with ours, theirs:
                        self.redirect("apply", *narrower)
                        self.assert_flows(*((theirs, ours) if peer_first else (ours, theirs)))

    def test_what_was_closed_still_arrives_whole_where_it_is_still_named(self):
        for options, narrower in KEPT[:4]:
            self.arrives_whole(options, narrower, USER)

    def test_the_proxys_own_go_on(self):
        for options, narrower in (NARROWED[0], NARROWED[5], NARROWED[7]):
            for inbound in (True, False):
                for peer_first in (True, False):
                    with self.subTest(options=options, inbound=inbound, peer_first=peer_first):
                        self.setUp()
                        self.redirect("apply", *options)
                        ours, theirs = self.opened(inbound, peer_first, 15008 if inbound else 8080, PROXY_UID)
                        with ours, theirs:
                            self.redirect("apply", *narrower)
                            self.assert_flows(*((theirs, ours) if peer_first else (ours, theirs)))

    def test_the_proxys_own_closed_ones_arrive_whole(self):
        for inbound in (True, False):
            self.arrives_whole(*NARROWED[4], PROXY_UID, inbound)

    def arrives_whole(self, options, narrower, uid, inbound=False):
        with self.subTest(options=options, narrower=narrower, uid=uid, inbound=inbound):
            self.setUp()
            self.redirect("apply", *options)
            theirs, written = self.written_and_closed(inbound, 15008 if inbound else 8080, uid)
            with theirs:
                self.redirect("apply", *narrower)
                self.assertEqual(read(theirs), written)


if __name__ == "__main__":
    sys.exit(main())
