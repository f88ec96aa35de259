#!/usr/bin/python3
"""A connection older than the redirect rules carries no application byte once they are there, in either direction.

Proved with connections that connection tracking knew before `apply` and with such that it did not, over IPv4 and IPv6,
opened from inside and from outside, whoever speaks first afterwards: both ends get a reset, and the capture holds nothing
of what they sent. What an application wrote and closed before `apply` does not go on leaving after it either.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.redirect_case import RedirectCase

TRACKING = "table inet tracking { chain seen { type filter hook input priority 10; ct state established accept; }; }"


class RedirectOlderTest(RedirectCase):

    def older_connection_ends(self, inbound, v6, tracked, peer_first):
        self.setUp()
        if tracked:
            self.pod.run("nft", "-f", "-", stdin=TRACKING)
        self.assert_cut(*self.opened(inbound, v6), peer_first, lambda: self.redirect("apply"))

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
                theirs, written = self.written_and_closed(inbound=False)
                self.assert_kept(theirs, written, lambda: self.redirect("apply"))

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
                        ours, theirs = self.opened(inbound, False, port=15021, uid=PROXY_UID)
                        with ours, theirs:
                            self.redirect("apply")
                            self.assert_flows(*((theirs, ours) if peer_first or inbound else (ours, theirs)))


if __name__ == "__main__":
    sys.exit(main())
