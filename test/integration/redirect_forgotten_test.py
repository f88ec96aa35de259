#!/usr/bin/python3
"""What is let past the proxy goes on when connection tracking has forgotten it, as it forgets a half-closed connection after a minute.

Proved for excluded ports in both directions, for networks and interfaces and for what no include list names, in both modes,
over IPv4 and IPv6: a server that answers, or ends, a client that has said all and waited until the kernel has no entry left
is heard to the last byte. What is to be taken is still taken: a SYN between the same ends, and what has a SYN behind it.
"""

import ipaddress
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.process import wait_until
from testing.redirect_case import RedirectCase

ANSWER = b"late" * 10_000
PEERS = "10.77.0.0/16,fd77::/64"
OUTBOUND = (["--exclude_outbound_ports=8080"],
            [f"--exclude_outbound_cidrs={PEERS}"],
            ["--exclude_interfaces=eth0"],
            ["--include_outbound_ports=9090"],
            ["--include_outbound_cidrs=192.0.2.0/24", "--include_inbound_ports=8080"])
INBOUND = (["--exclude_inbound_ports=8080"],
           ["--exclude_inbound_ports=8000-8100", "--exclude_outbound_ports=443"],
           ["--exclude_interfaces=eth0"])


class RedirectForgottenTest(RedirectCase):

    def setUp(self):
        super().setUp()
        self.remember(established=432000, close_wait=60, fin_wait=120, last_ack=30, time_wait=120, close=10)

    def remember(self, **seconds):
        for state, value in seconds.items():
            self.pod.run("sh", "-c", f"echo {value} > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}")

    def tracked(self, client):
        """The entries of a connection that nobody translates; the kernel drops those that are over as it lists them.

        By both ends: others that had one of the ports are in TIME_WAIT for two minutes.
        """
        ends = [(ipaddress.ip_address(end[0]).exploded, end[1]) for end in (client.getsockname(), client.getpeername())]
        tuples = [f" src={source[0]} dst={destination[0]} sport={source[1]} dport={destination[1]} "
                  for source, destination in (ends, reversed(ends))]
        listing = self.pod.run("cat", "/proc/net/nf_conntrack").stdout
        return [line for line in listing.splitlines() if any(one in line for one in tuples)]

    def forgotten(self, inbound, v6, half_closed):
        """(client's end, server's end) of a connection that connection tracking has known and forgotten."""
        self.remember(established=1, close_wait=1, fin_wait=1)
        ours, theirs = self.opened(inbound, v6)
        client, server = (theirs, ours) if inbound else (ours, theirs)
        self.assertEqual(len(self.tracked(client)), 1)
        if half_closed:
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(server.recv(1), b"")
        wait_until(lambda: not self.tracked(client), 10, "the end of the entry")
        self.remember(established=432000, close_wait=60, fin_wait=120)
        return client, server

    def each(self, lists, inbound):
        for mode in ("redirect", "tproxy"):
            for number, options in enumerate(lists):
                for v6 in (False, True) if number == 0 else (number % 2 == 0,):
                    with self.subTest(options=options, mode=mode, v6=v6, inbound=inbound):
                        self.setUp()
                        self.redirect("apply", f"--mode={mode}", *options)
                        yield lambda half_closed: self.forgotten(inbound, v6, half_closed)

    def the_server_answers(self, lists, inbound):
        for open_one in self.each(lists, inbound):
            client, server = open_one(half_closed=True)
            with client, server:
                server.sendall(ANSWER)
                server.close()
                self.assertEqual(self.read(client), ANSWER)

    def read(self, end):
        got = b""
        while block := end.recv(65536):
            got += block
        return got

    def test_a_server_outside_answers_late(self):
        self.the_server_answers(OUTBOUND, inbound=False)

    def test_a_server_in_the_pod_answers_late(self):
        self.the_server_answers(INBOUND, inbound=True)

    def test_a_server_only_ends(self):
        for lists, inbound in ((OUTBOUND, False), (INBOUND, True)):
            for open_one in self.each(lists[:2], inbound):
                client, server = open_one(half_closed=True)
                with client:
                    server.close()
                    self.assertEqual(client.recv(1), b"")

    def test_an_idle_one_goes_on_whoever_speaks_first(self):
        for lists, inbound in ((OUTBOUND, False), (INBOUND, True)):
            for client_first in (True, False):
                for open_one in self.each(lists[:1], inbound):
                    client, server = open_one(half_closed=False)
                    with client, server:
                        self.assert_flows(*((client, server) if client_first else (server, client)))

    def test_a_narrower_list_ends_it_all_the_same(self):
        for options, inbound in ((OUTBOUND[0], False), (OUTBOUND[1], False), (INBOUND[0], True)):
            for peer_first in (True, False):
                with self.subTest(options=options, peer_first=peer_first):
                    self.setUp()
                    self.redirect("apply", *options)
                    client, server = self.forgotten(inbound, peer_first, half_closed=False)
                    self.assert_flows(server, client)
                    time.sleep(0.2)  # No acknowledgement is under way that would draw the reset.
                    ours, theirs = (server, client) if inbound else (client, server)
                    self.assert_cut(ours, theirs, peer_first, lambda: self.redirect("apply"))

    def connect(self, host, source_port, address, port, uid):
        made = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, uid)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(3)
        made.bind(("", source_port))
        made.connect((address, port))
        return made

    def test_a_syn_between_the_same_ends_is_taken(self):
        """From an open port outwards, and from where connections are let out to."""
        for v6 in (False, True):
            with self.subTest(v6=v6):
                self.setUp()
                self.redirect("apply", "--exclude_inbound_ports=7777", "--exclude_outbound_ports=7777")
                pod, peer = (host.address6 if v6 else host.address for host in (self.pod, self.peer))
                with self.pod.listen(15001, uid=PROXY_UID) as outbound, self.pod.listen(15006, uid=PROXY_UID) as inbound, \
                        self.pod.listen(8080) as app, self.peer.listen(8080) as server:
                    for host, address, proxy, other in ((self.pod, peer, outbound, server), (self.peer, pod, inbound, app)):
                        with self.connect(host, 7777, address, 8080, 65534) as client, self.pod.accept(proxy, PROXY_UID) as taken:
                            for _ in range(3):
                                client.sendall(b"question")
                                self.assertEqual(taken.recv(100), b"question")
                                taken.sendall(b"answer")
                                self.assertEqual(client.recv(100), b"answer")
                        other.settimeout(0.1)
                        self.assertRaises(TimeoutError, other.accept)

    def test_an_older_one_from_outside_is_not_taken_for_a_forgotten_one(self):
        for v6 in (False, True):
            with self.subTest(v6=v6):
                self.setUp()
                self.redirect("apply", "--exclude_interfaces=eth0")
                ours, theirs = self.opened(True, v6)
                with ours, theirs:
                    self.redirect("apply", f"--exclude_outbound_cidrs={PEERS}")
                    theirs.sendall(b"question")
                    self.assert_reset(theirs)
                    ours.settimeout(0.3)
                    self.assertRaises((TimeoutError, ConnectionResetError), ours.recv, 100)

    def test_an_older_one_of_the_pod_from_an_open_port_is_not_taken_for_a_forgotten_one(self):
        for v6 in (False, True):
            with self.subTest(v6=v6):
                self.setUp()
                self.redirect("apply", "--exclude_interfaces=eth0")
                ours, theirs = self.opened(False, v6)
                with ours, theirs:
                    self.redirect("apply", f"--exclude_inbound_ports={ours.getsockname()[1]}")
                    capture = self.mesh.capture(self.pod)
                    ours.sendall(b"question")
                    self.assert_reset(ours)
                    self.assertEqual(self.leaving(capture.stop()), 0, "application bytes left the pod")


if __name__ == "__main__":
    sys.exit(main())
