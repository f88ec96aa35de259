#!/usr/bin/python3
"""byrnie-redirect puts its rules in place at once and as a whole, finds drift, and takes them away again.

Proved in a network namespace of its own: apply and remove may be repeated, check shows what differs, a refused command
changes nothing, the rules redirect what they should over IPv4 and IPv6 and nothing else.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh, PROXY_UID
from testing.netns import APPLICATION_UID


class RedirectTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.host, cls.peer = cls.mesh.outsider("pod"), cls.mesh.outsider("peer")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def setUp(self):
        self.redirect("remove")

    def redirect(self, *arguments, uid=None, code=0):
        done = self.host.run(self.mesh.binary("byrnie-redirect"), *arguments, uid=uid, check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def rules(self):
        return self.host.run("nft", "list", "ruleset").stdout

    def test_apply_and_remove_may_be_repeated(self):
        self.redirect("apply")
        once = self.rules()
        self.redirect("apply")
        self.assertEqual(self.rules(), once)
        self.redirect("check")
        self.redirect("remove")
        self.redirect("remove")
        self.assertEqual(self.rules(), "")

    def test_check_shows_that_nothing_is_there(self):
        self.assertIn("- table inet byrnie {", self.redirect("check", code=1).stdout)

    def test_check_shows_drift(self):
        self.redirect("apply")
        self.host.run("nft", "insert", "rule", "inet", "byrnie", "outbound", "tcp", "dport", "443", "accept")
        self.assertEqual(self.redirect("check", code=1).stdout, "+ chain outbound: tcp dport 443 accept\n")
        self.host.run("nft", "flush", "chain", "inet", "byrnie", "inbound_take")
        drift = self.redirect("check", code=1).stdout
        for family in ("ip", "ip6"):
            self.assertIn(f"- chain inbound_take: fib daddr type local meta l4proto tcp dnat {family} to {family} daddr:15006\n", drift)
        self.redirect("apply")
        self.redirect("check")

    def test_check_knows_every_option(self):
        options = ("--outbound_port=16001", "--inbound_port=16006", "--proxy_uid=2000", "--exclude_inbound_ports=22,9100",
                   "--exclude_outbound_cidrs=192.0.2.0/24,198.51.100.7,2001:db8::/32,2001:db8:1::5/128")
        self.redirect("apply", *options)
        self.redirect("check", *options)
        self.redirect("check", code=1)

    def test_print_changes_nothing_and_shows_what_apply_installs(self):
        printed = self.redirect("print").stdout
        self.assertEqual(self.rules(), "")
        self.redirect("apply")
        self.assertEqual(self.host.run("nft", "-s", "-y", "list", "ruleset").stdout, printed)

    def test_other_tables_are_left_alone(self):
        self.host.run("nft", "add", "table", "inet", "other")
        try:
            self.redirect("apply")
            self.redirect("remove")
            self.assertIn("table inet other", self.rules())
        finally:
            self.host.run("nft", "delete", "table", "inet", "other")

    def test_bad_options_are_refused_in_one_line_and_change_nothing(self):
        self.redirect("apply")
        before = self.rules()
        for arguments in (["apply", "--proxy_uid=0"], ["apply", "--inbound_port=15001"], ["apply", "--inbound_port=70000"],
                          ["apply", "--exclude_inbound_ports=x"], ["apply", "--exclude_outbound_cidrs=10.0.0.1/8"],
                          ["apply", "--nonsense=1"], ["install"], [], ["apply", "remove"],
                          ["apply", "--config=/nonexistent"]):
            with self.subTest(arguments=arguments):
                done = self.redirect(*arguments, code=2)
                self.assertRegex(done.stderr, r"\Abyrnie-redirect: error: [^\n]+\n\Z")
                self.assertEqual(self.rules(), before)

    def test_a_user_without_the_capability_is_told_so(self):
        for command in ("apply", "remove", "check"):
            done = self.redirect(command, uid=1000, code=2)
            self.assertRegex(done.stderr, r"\Abyrnie-redirect: error: [^\n]*NET_ADMIN[^\n]*\n\Z")
        self.redirect("print", uid=1000)

    def test_applications_are_redirected_and_the_proxy_is_not(self):
        self.redirect("apply")
        with self.host.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(8080) as target:
            for address in ("10.96.0.1", "fd96::1", self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    self.host.connect(address, 8080).close()
                    proxy.accept()[0].close()
            for address in (self.peer.address, self.peer.address6):
                with self.subTest(address=address):
                    self.host.connect(address, 8080, uid=PROXY_UID).close()
                    target.accept()[0].close()

    def test_everything_from_outside_is_redirected_but_the_proxys_ports(self):
        self.redirect("apply", "--exclude_inbound_ports=9100")
        with self.host.listen(15006, uid=PROXY_UID) as proxy:
            for address in (self.host.address, self.host.address6):
                for port in (22, 8080, 15000, 15001, 15010):
                    with self.subTest(address=address, port=port):
                        self.peer.connect(address, port).close()
                        proxy.accept()[0].close()
                for port in (15008, 15020, 15021, 9100):
                    with self.subTest(address=address, port=port):
                        with self.host.listen(port, uid=APPLICATION_UID if port == 9100 else PROXY_UID) as direct:
                            self.peer.connect(address, port).close()
                            direct.accept()[0].close()

    def test_connections_within_the_pod_are_left_alone(self):
        self.redirect("apply")
        with self.host.listen(8080) as listener:
            for address in ("127.0.0.1", "::1", self.host.address, self.host.address6):
                with self.subTest(address=address):
                    self.host.connect(address, 8080).close()
                    listener.accept()[0].close()

    def test_a_connection_older_than_the_rules_cannot_go_on_in_plaintext(self):
        with self.peer.listen(8080) as listener, self.host.connect(self.peer.address, 8080) as older:
            accepted, _ = listener.accept()
            with accepted:
                self.redirect("apply")
                accepted.settimeout(0.5)
                with self.assertRaises(OSError):
                    older.sendall(b"plaintext")
                    older.recv(1)
                with self.assertRaises(OSError):
                    self.assertEqual(accepted.recv(100), b"")
                    raise ConnectionResetError("ended")

    def test_excluded_destinations_are_reached_directly(self):
        self.redirect("apply", f"--exclude_outbound_cidrs={self.peer.address},fd77::/64")
        with self.peer.listen(8080) as target:
            for address in (self.peer.address, self.peer.address6):
                self.host.connect(address, 8080).close()
                target.accept()[0].close()


if __name__ == "__main__":
    sys.exit(main())
