#!/usr/bin/python3
"""In tproxy mode an application sees the address of its client, and nothing else is different.

Proved over IPv4 and IPv6, for plaintext and through tunnels: the application's peer is the client pod's address, bytes,
half-closes and resets pass, many connections at once too. Rules and routing come and go together: apply is idempotent,
remove and a failed apply leave nothing, check finds a lost rule, and without the routing not a byte of an answer leaves.
The proxy says what it needs and exits 2 when it lacks the capability.
"""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID

MODE = "--mode=tproxy"


def plain(address):
    """An address as accept() of a listener for both families gives it."""
    return address[0].removeprefix("::ffff:")


class TproxyTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.redirect_flags = [MODE]
        cls.server.extra_proxy_flags = ["--inbound_interception=tproxy", "--mtls_mode=permissive"]
        cls.server.proxy_capabilities = ["net_admin"]
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.outsider = cls.mesh.outsider()

    def ways(self):
        """(name, who connects, to where, whom the application must see)."""
        s, c, o = self.server, self.client, self.outsider
        return (("tunnel v4", c, (self.mesh.vip, 80), c.address), ("tunnel v6", c, (self.mesh.vip6, 80), c.address6),
                ("direct v4", c, (s.address, 8080), c.address), ("direct v6", c, (s.address6, 8080), c.address6),
                ("plaintext v4", o, (s.address, 8080), o.address), ("plaintext v6", o, (s.address6, 8080), o.address6),
                ("itself v4", s, (self.mesh.vip, 80), s.address), ("itself v6", s, (self.mesh.vip6, 80), s.address6))

    def test_the_application_sees_its_clients_address(self):
        for name, who, where, expected in self.ways():
            with self.subTest(way=name), self.server.listen(8080) as listener:
                with who.connect(*where) as connection:
                    connection.sendall(b"question")
                    accepted, peer = listener.accept()
                    with accepted:
                        self.assertEqual(plain(peer), expected)
                        self.assertIn(plain(accepted.getsockname()), (self.server.address, self.server.address6))
                        accepted.settimeout(5)
                        self.assertEqual(accepted.recv(100), b"question")
                        accepted.sendall(b"answer")
                        connection.shutdown(socket.SHUT_WR)
                        self.assertEqual(accepted.recv(100), b"")
                        accepted.sendall(b" and more")
                        accepted.shutdown(socket.SHUT_WR)
                        got = b""
                        while block := connection.recv(100):
                            got += block
                        self.assertEqual(got, b"answer and more")

    def test_a_reset_passes_both_ways(self):
        for name, who, where, _ in self.ways():
            for from_client in (True, False):
                with self.subTest(way=name, from_client=from_client), self.server.listen(8080) as listener:
                    connection = who.connect(*where)
                    connection.sendall(b"x")
                    accepted, _ = listener.accept()
                    accepted.settimeout(5)
                    self.assertEqual(accepted.recv(1), b"x")
                    one, other = (connection, accepted) if from_client else (accepted, connection)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    one.close()
                    self.assertRaises(ConnectionResetError, other.recv, 1)
                    other.close()

    def test_many_connections_at_once_stay_apart(self):
        count, size = 60, 200_000
        with self.server.listen(8080, backlog=512) as listener:
            def serve():
                for _ in range(3 * count):
                    accepted, _ = listener.accept()
                    threading.Thread(target=echo, args=(accepted,)).start()

            def echo(accepted):
                with accepted:
                    while block := accepted.recv(65536):
                        accepted.sendall(block)

            failures = []

            def one(who, where):
                try:
                    sent = os.urandom(size)
                    got = hashlib.sha256()
                    with who.connect(*where, timeout=30) as connection:
                        sender = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
                        sender.start()
                        while block := connection.recv(65536):
                            got.update(block)
                        sender.join()
                    if got.digest() != hashlib.sha256(sent).digest():
                        failures.append("bytes differ")
                except OSError as error:
                    failures.append(f"{where}: {error!r}")
            server = threading.Thread(target=serve)
            server.start()
            threads = [threading.Thread(target=one, args=way) for _ in range(count) for way in
                       ((self.outsider, (self.server.address, 8080)), (self.outsider, (self.server.address6, 8080)),
                        (self.client, (self.mesh.vip, 80)))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            server.join(10)
        self.assertEqual(failures, [])

    # Clients that choose their ports from those the proxy borrows.

    def from_port(self, port, listener, timeout=5):
        """A connection of the outsider from that port: (its end, the application's, the port borrowed for it)."""
        made = self.outsider.socket(socket.AF_INET)
        try:
            made.settimeout(timeout)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("", port))
            made.connect((self.server.address, 8080))
            made.sendall(b"x")
            accepted, peer = listener.accept()
        except BaseException:
            made.close()
            raise
        accepted.settimeout(timeout)
        self.assertEqual(accepted.recv(1), b"x")
        return made, accepted, peer[1]

    def assert_alive(self, one, other):
        for _ in range(3):
            one.sendall(b"question")
            self.assertEqual(other.recv(100), b"question")
            other.sendall(b"answer")
            self.assertEqual(one.recv(100), b"answer")

    def test_a_client_that_comes_from_a_borrowed_port_ends_nobodys_connection(self):
        # How long connection tracking remembers what a guard has reset.
        closed = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close"
        before = self.server.host.run("cat", closed).stdout.strip()
        self.addCleanup(self.server.host.run, "sh", "-c", f"echo {before} > {closed}")
        self.server.host.run("sh", "-c", f"echo 1 > {closed}")
        with self.server.listen(8080) as listener:
            client, accepted, borrowed = self.from_port(40000, listener)
            with client, accepted:
                self.assertRaises(TimeoutError, self.from_port, borrowed, listener, 1)
                time.sleep(2)
                self.assert_alive(accepted, client)
            # It is served when that one is over.
            client, accepted, _ = self.from_port(borrowed, listener, 10)
            with client, accepted:
                self.assert_alive(client, accepted)

    def test_no_port_is_borrowed_that_the_client_uses_itself(self):
        """Of 600 ports of 22 768, eight would be, at random."""
        taken, made = set(), []
        with self.server.listen(8080, backlog=512) as listener:
            for port in range(20000, 21000):
                if len(made) == 600:
                    break
                if port not in taken:
                    client, accepted, borrowed = self.from_port(port, listener)
                    made.append((client, accepted))
                    taken.add(borrowed)
            for client, accepted in made:
                with client, accepted:
                    self.assert_alive(client, accepted)

    # Rules and routing.

    def routing(self, host):
        return [host.run("ip", family, *what, check=False).stdout for family in ("-4", "-6")
                for what in (("rule", "list"), ("route", "list", "table", "15006"))]

    def test_rules_and_routing_come_and_go_together(self):
        host = self.mesh.outsider("bare")

        def redirect(*arguments, code=0):
            done = host.run(self.mesh.binary("byrnie-redirect"), *arguments, check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done.stdout
        clean = self.routing(host)
        redirect("apply", MODE)
        once = self.routing(host), host.run("nft", "list", "ruleset").stdout
        self.assertEqual("".join(once[0]).count("fwmark 0x20000/0x20000 lookup 15006"), 2)
        redirect("apply", MODE)
        self.assertEqual((self.routing(host), host.run("nft", "list", "ruleset").stdout), once)
        redirect("check", MODE)
        for family, name in (("-4", "IPv4"), ("-6", "IPv6")):
            host.run("ip", family, "rule", "del", "fwmark", "0x20000/0x20000")
            self.assertEqual(redirect("check", MODE, code=1), f"- {name} rule: fwmark 0x20000/0x20000 lookup 15006\n")
            host.run("ip", family, "route", "flush", "table", "15006")
            self.assertEqual(redirect("check", MODE, code=1).splitlines()[1:],
                             [f"- {name} route: local default dev lo table 15006"])
            redirect("apply", MODE)
            redirect("check", MODE)
        redirect("apply")
        self.assertEqual(self.routing(host), clean, "the other mode needs no routing")
        redirect("check")
        redirect("apply", MODE)
        self.assertIn("+ IPv6 route: local default dev lo table 15006\n", redirect("check", code=1))
        redirect("remove")
        redirect("remove")
        self.assertEqual((self.routing(host), host.run("nft", "list", "ruleset").stdout), (clean, ""))

    def test_an_apply_that_fails_half_way_leaves_nothing(self):
        host = self.mesh.outsider("busy")
        clean = self.routing(host)
        # Somebody else's table of our name, that nobody but its owner may replace.
        owner = subprocess.Popen(host.command(["nft", "-i"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            owner.stdin.write("table inet byrnie { flags owner; }\n")
            owner.stdin.flush()
            end = time.monotonic() + 5
            while "byrnie" not in host.run("nft", "list", "tables").stdout and time.monotonic() < end:
                time.sleep(0.05)
            done = host.run(self.mesh.binary("byrnie-redirect"), "apply", MODE, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Abyrnie-redirect: error: [^\n]+; nothing was changed\n\Z")
            self.assertEqual(self.routing(host), clean)
        finally:
            owner.stdin.close()
            owner.wait(5)
            owner.stdout.close()

    def test_without_the_routing_no_answer_leaves_in_plaintext(self):
        marker = b"ANSWER-" + os.urandom(12).hex().encode()
        with self.server.listen(8080) as listener, self.client.connect(self.mesh.vip, 80) as connection:
            connection.sendall(b"question")
            accepted, _ = listener.accept()
            with accepted:
                self.assertEqual(accepted.recv(100), b"question")
                capture = self.mesh.capture(self.server.host)
                self.server.host.run("ip", "rule", "del", "fwmark", "0x20000/0x20000")
                try:
                    accepted.sendall(marker)
                    connection.settimeout(1)
                    self.assertRaises(TimeoutError, connection.recv, 100)
                finally:
                    self.server.redirect("apply", MODE)
                capture.stop()
                self.assertEqual(capture.count(marker), 0)
                connection.settimeout(10)
                self.assertEqual(connection.recv(100), marker)

    def test_a_dead_proxy_lets_nothing_through(self):
        with self.server.listen(8080, timeout=0.3) as listener:
            self.server.proxy.kill()
            try:
                for address in (self.server.address, self.server.address6):
                    for _ in range(5):
                        started = time.monotonic()
                        self.assertRaises(ConnectionRefusedError, self.outsider.connect, address, 8080, 3)
                        self.assertLess(time.monotonic() - started, 0.5)
                self.assertRaises(TimeoutError, listener.accept)
            finally:
                self.server.start_proxy()
                self.server.wait_ready()

    def test_a_proxy_in_the_other_mode_refuses_and_passes_nothing_by(self):
        try:
            self.server.redirect("apply")
            with self.server.listen(8080, timeout=0.3) as listener:
                self.assert_fails_fast(self.outsider, self.server.address, 8080)
                self.assertRaises(TimeoutError, listener.accept)
        finally:
            self.server.redirect("apply", MODE)

    def test_a_proxy_without_the_capability_says_so_and_ends(self):
        done = self.outsider.run(self.mesh.binary("byrnie-proxy"), f"--link_socket={self.server.link_socket}x",
                                 "--inbound_interception=tproxy", uid=PROXY_UID, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"\Abyrnie-proxy: error: --inbound_interception=tproxy: [^\n]*NET_ADMIN; grant it [^\n]+\n\Z")


if __name__ == "__main__":
    sys.exit(main())
