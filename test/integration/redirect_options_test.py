#!/usr/bin/python3
"""byrnie-redirect's lists say what goes through the proxy and what does not, over IPv4 and IPv6, in both directions.

Proved on the kernel's rules with listeners in the proxy's place: each include and exclude list by where connections end,
each combination by `check` finding what `apply` installed, and contradictions by one line that names the flag.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh, PROXY_UID
from testing.netns import APPLICATION_UID, ip_batch

CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"


class RedirectOptionsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.pod, cls.peer = cls.mesh.outsider("pod"), cls.mesh.outsider("peer")
        # A second network between the two.
        ip_batch(f"link add net1 netns {cls.pod.name} type veth peer name net1 netns {cls.peer.name}")
        cls.second = {}
        for number, host in enumerate((cls.pod, cls.peer), 1):
            host.ip(f"addr add 10.78.0.{number}/24 dev net1", f"addr add fd78::{number}/64 dev net1 nodad",
                    "link set net1 up")
            cls.second[host] = (f"10.78.0.{number}", f"fd78::{number}")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def redirect(self, *arguments, code=0):
        done = self.pod.run(self.mesh.binary("byrnie-redirect"), *arguments, check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def apply(self, *options):
        self.redirect("apply", *options)
        self.redirect("check", *options)

    def first(self, host):
        return host.address, host.address6

    def outbound(self, addresses, port, expected, connect=None):
        """What the pod opens ends at `expected`: "proxy" or "peer"."""
        with self.pod.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(port) as target:
            for address in addresses:
                with self.subTest(address=address, port=port, expected=expected):
                    wanted, other = (proxy, target) if expected == "proxy" else (target, proxy)
                    if connect:
                        connect(address, port)
                    else:
                        self.pod.connect(address, port, timeout=3).close()
                    wanted.settimeout(3)
                    wanted.accept()[0].close()
                    other.settimeout(0.05)
                    self.assertRaises(TimeoutError, other.accept)

    def inbound(self, addresses, port, expected):
        """What the peer opens ends at `expected`: "proxy", "app" or "reset"."""
        with self.pod.listen(15006, uid=PROXY_UID) as proxy, self.pod.listen(15001, uid=PROXY_UID), \
                self.pod.listen(port) if port not in (15001, 15006) else self.pod.listen(1) as app:
            for address in addresses:
                with self.subTest(address=address, port=port, expected=expected):
                    if expected == "reset":
                        self.assertRaises(ConnectionRefusedError, self.peer.connect, address, port, 3)
                        continue
                    wanted = proxy if expected == "proxy" else app
                    with self.peer.connect(address, port, timeout=3) as connection:
                        wanted.settimeout(3)
                        with self.pod.accept(wanted, PROXY_UID if wanted is proxy else APPLICATION_UID) as accepted:
                            connection.sendall(b"question")
                            self.assertEqual(accepted.recv(100), b"question")
                            accepted.sendall(b"answer")
                            self.assertEqual(connection.recv(100), b"answer")

    def test_inbound_ports(self):
        ours = self.first(self.pod)
        self.apply("--exclude_inbound_ports=22,9100-9102")
        for port, expected in ((22, "app"), (9101, "app"), (9103, "proxy"), (8080, "proxy"), (15006, "reset")):
            self.inbound(ours, port, expected)
        self.apply("--include_inbound_ports=8080,8090-8099", "--exclude_inbound_ports=22")
        for port, expected in ((8080, "proxy"), (8095, "proxy"), (8089, "app"), (22, "app"), (15001, "reset"),
                               (15006, "reset")):
            self.inbound(ours, port, expected)

    def test_outbound_ports(self):
        theirs = self.first(self.peer)
        self.apply("--exclude_outbound_ports=9090,9200-9300")
        for port, expected in ((9090, "peer"), (9250, "peer"), (9199, "proxy")):
            self.outbound(theirs, port, expected)
        self.apply("--include_outbound_ports=9090")
        self.outbound(theirs, 9090, "proxy")
        self.outbound(theirs, 9091, "peer")

    def test_outbound_networks(self):
        first, second = self.first(self.peer), self.second[self.peer]
        self.apply("--exclude_outbound_cidrs=10.78.0.0/16,fd78::/64")
        self.outbound(first, 8080, "proxy")
        self.outbound(second, 8080, "peer")
        self.apply("--include_outbound_cidrs=10.78.0.0/16,fd78::/64")
        self.outbound(first, 8080, "peer")
        self.outbound(second, 8080, "proxy")
        self.apply("--include_outbound_cidrs=10.78.0.0/16,fd78::/64", "--include_outbound_ports=443",
                   "--exclude_outbound_cidrs=10.78.0.2,fd78::2")
        self.outbound(first, 443, "proxy")
        self.outbound(first, 8080, "peer")
        self.outbound(second, 443, "peer")

    def test_everything_as_istio_writes_it(self):
        v4, v6 = [[address] for address in self.first(self.peer)]
        self.apply("--include_outbound_cidrs=*", "--include_inbound_ports=*", "--exclude_outbound_ports=443")
        self.outbound(v4 + v6, 8080, "proxy")
        self.outbound(v4 + v6, 443, "peer")
        self.inbound(self.first(self.pod), 8080, "proxy")
        self.apply("--include_outbound_ports=*", "--include_outbound_cidrs=192.0.2.0/24")
        self.outbound(v4 + v6, 8080, "proxy")
        self.apply("--include_outbound_cidrs=0.0.0.0/0")
        self.outbound(v4, 8080, "proxy")
        self.outbound(v6, 8080, "peer")
        self.apply("--include_outbound_cidrs=0.0.0.0/0,::/0")
        self.outbound(v4 + v6, 8080, "proxy")

    def test_users_and_groups(self):
        theirs = self.first(self.peer)

        def as_user(uid):
            return lambda address, port: self.pod.run("/usr/bin/python3", "-I", "-S", "-c", CONNECT, address, str(port), uid=uid)
        self.apply("--exclude_uids=2000-2002,65533")
        for uid, expected in ((2001, "peer"), (65533, "peer"), (2003, "proxy"), (0, "proxy")):
            self.outbound(theirs, 8080, expected, as_user(uid))
        self.apply("--exclude_gids=2000")
        self.outbound(theirs, 8080, "peer", as_user(2000))
        self.outbound(theirs, 8080, "proxy", as_user(2001))

    def test_interfaces(self):
        for options, first, second in ((["--exclude_interfaces=net1"], "proxy", "open"),
                                       (["--include_interfaces=net1"], "open", "proxy"),
                                       (["--include_interfaces=net1,eth0"], "proxy", "proxy")):
            self.apply(*options)
            for addresses, expected in ((self.first(self.peer), first), (self.second[self.peer], second)):
                self.outbound(addresses, 8080, "peer" if expected == "open" else "proxy")
            for addresses, expected in ((self.first(self.pod), first), (self.second[self.pod], second)):
                self.inbound(addresses, 8080, "app" if expected == "open" else "proxy")

    def test_check_knows_every_combination(self):
        groups = (["--include_inbound_ports=1-10,80,443", "--include_outbound_ports=80"],
                  ["--exclude_inbound_ports=1-10,11,80", "--exclude_outbound_ports=443,444"],
                  ["--include_outbound_cidrs=10.0.0.0/8,192.0.2.7,2001:db8::/32,::1,0.0.0.0/0"],
                  ["--exclude_outbound_cidrs=10.1.0.0/16,192.0.2.8/32,2001:db8:1::/48"],
                  ["--exclude_uids=0,1000-1999,4294967294", "--exclude_gids=3000"],
                  ["--include_interfaces=eth0,net1,a", "--exclude_interfaces=wlan0.5,veth-x_1"])
        for mode in ("redirect", "tproxy"):
            for number in range(1 << len(groups)):
                if number.bit_count() not in (1, len(groups)):
                    continue
                options = [f"--mode={mode}"]
                for bit, group in enumerate(groups):
                    if number >> bit & 1:
                        options += group
                if number & 3 == 3:
                    options = [option.replace("=1-10,80,443", "=500-510") for option in options]
                with self.subTest(options=options):
                    self.apply(*options)
                    printed = self.redirect("print", *options).stdout
                    self.assertEqual(self.pod.run("nft", "-s", "-y", "list", "table", "inet", "byrnie").stdout, printed)

    def test_a_list_of_thousands_costs_a_packet_one_lookup(self):
        networks = [f"20.{number // 125}.{number % 125 * 2}.0/24" for number in range(2500)]
        networks += [f"2001:db8:{number:x}::/48" for number in range(0, 2000, 2)] + ["99.0.0.1", "99.0.0.2", "99.0.0.0/30"]
        for option in ("--exclude_outbound_cidrs=", "--include_outbound_cidrs="):
            with self.subTest(option=option):
                lines = len(self.redirect("print", option + "10.0.0.0/8,fd00::/8").stdout.splitlines())
                self.apply(option + ",".join(networks))
                printed = self.redirect("print", option + ",".join(networks)).stdout
                self.assertEqual(self.pod.run("nft", "-s", "-y", "list", "table", "inet", "byrnie").stdout, printed)
                self.assertEqual(len(printed.splitlines()), lines)
                self.assertEqual(self.redirect("print", "--diff", option + ",".join(networks)).stdout, "")

    def test_print_shows_a_difference_and_changes_nothing(self):
        self.apply()
        self.assertEqual(self.redirect("print", "--diff").stdout, "")
        before = self.pod.run("nft", "list", "ruleset").stdout
        self.assertEqual(self.redirect("print", "--diff", "--exclude_interfaces=net1").stdout,
                         "- chain inbound: iifname \"net1\" return\n"
                         "- chain outbound: oifname \"net1\" return\n"
                         "- chain inbound_guard: iifname \"net1\" accept\n"
                         "- chain outbound_guard: oifname \"net1\" accept\n")
        self.assertEqual(self.pod.run("nft", "list", "ruleset").stdout, before)
        self.redirect("remove")
        self.assertTrue(self.redirect("print", "--diff").stdout.startswith("- table inet byrnie {\n"))

    def test_the_proxys_own_user_is_let_out_anyhow_and_naming_it_is_warned_of(self):
        done = self.redirect("apply", "--exclude_uids=1337")
        self.assertRegex(done.stderr, r"\Abyrnie-redirect: warning: --exclude_uids: 1337 is the proxy's own user[^\n]+\n\Z")
        self.assertEqual(self.redirect("apply", "--exclude_uids=1000-1999").stderr, "")

    def test_options_that_are_none_or_contradict_are_refused_in_one_line(self):
        self.apply()
        before = self.pod.run("nft", "list", "ruleset").stdout
        for flag, *others in (["--mode=iptables"], ["--include_inbound_ports=0"], ["--exclude_inbound_ports=70000"],
                              ["--include_outbound_ports=a-b"], ["--exclude_outbound_ports=90-80"],
                              ["--include_outbound_cidrs=*,10.0.0.0/8"], ["--exclude_outbound_cidrs=10.0.0.1/8"],
                              ["--include_outbound_cidrs=::ffff:10.0.0.0/104"], ["--exclude_outbound_cidrs=0.0.0.0/0"],
                              ["--exclude_inbound_ports=*"], ["--proxy_uid=4294967295"], ["--exclude_uids=4294967295"],
                              ["--exclude_outbound_ports=1-65535"], ["--exclude_inbound_ports=1-15000,15002-15005,15007-65535"],
                              ["--exclude_uids=0-4294967294"], ["--exclude_gids=0-4294967294"],
                              ["--exclude_outbound_cidrs=0.0.0.0/1,128.0.0.0/1,::/1,8000::/1"], ["--exclude_interfaces=eth0,net1"],
                              ["--include_outbound_cidrs=127.0.0.0/8"], ["--include_interfaces=net0"],
                              ["--include_outbound_cidrs=10.1.0.0/16", "--exclude_outbound_cidrs=10.0.0.0/8"],
                              ["--exclude_uids=root"], ["--exclude_gids=-1"], ["--include_interfaces=lo"],
                              ["--exclude_interfaces=not an interface"], ["--on_drift=ignore"],
                              ["--include_outbound_ports=80-90", "--exclude_outbound_ports=85"],
                              ["--include_interfaces=eth0", "--exclude_interfaces=eth0"]):
            with self.subTest(flag=flag):
                done = self.redirect("apply", flag, *others, code=2)
                self.assertRegex(done.stderr, r"\Abyrnie-redirect: error: [^\n]+\n\Z")
                self.assertIn(flag.partition("=")[0], done.stderr)
                self.assertEqual(self.pod.run("nft", "list", "ruleset").stdout, before)


if __name__ == "__main__":
    sys.exit(main())
