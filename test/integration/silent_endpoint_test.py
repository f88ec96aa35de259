#!/usr/bin/python3
"""An endpoint that falls silent behind open tunnels costs the applications seconds, once, and no connection.

Proved with one of two endpoints frozen (SIGSTOP), and then cut off without a word, while tunnels to it are open: every new
connection to the service is answered by the other one, within 4 s and, while the endpoint is ejected, at once; the access log
says why; what was open through the tunnel goes on where it was when the endpoint wakes up, which then serves again. Where there
is nobody else the connection ends with a reason in good time. A peer that is there and only has a slow application is waited for.
"""

import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo
from testing.process import wait_until

# Three seconds of silence, and what a busy machine takes.
PATIENCE = 4.5
AT_ONCE = 1.0
CONNECTIONS = 24
CUT_OFF = "".join(f"table inet gone {{\n chain {hook} {{\n type filter hook {hook} priority -300;\n {interface} eth0 drop\n }}\n}}\n"
                  for hook, interface in (("output", "oifname"), ("input", "iifname")))


class SilentEndpointTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.good, cls.bad = (cls.mesh.pod(name) for name in ("client", "good", "bad"))
        # One view of the endpoints, and one set of tunnels.
        cls.client.extra_proxy_flags = ["--workers=1"]
        cls.good.extra_proxy_flags = ["--connect_timeout=6s"]
        cls.vip, _ = cls.mesh.service("both", [cls.good, cls.bad])
        cls.mesh.start()

    def setUp(self):
        for pod in (self.good, self.bad):
            app = InlineApp(pod, 8080, lambda connection, name=pod.name.encode(): self.name_then_echo(connection, name))
            app.__enter__()
            self.addCleanup(app.__exit__)

    @staticmethod
    def name_then_echo(connection, name):
        connection.sendall(name)
        echo(connection)

    def who(self, address=None, port=80):
        """Who answers a new connection, and after how long; the connection stays open."""
        started = time.monotonic()
        connection = self.client.connect(address or self.vip, port, timeout=40)
        try:
            name = connection.recv(64).decode()
        except OSError as error:
            name = type(error).__name__
        return name, time.monotonic() - started, connection

    def open_to_both(self):
        """A connection to each, by the name of whom it is to."""
        found = {}

        def both():
            name, _, connection = self.who()
            found.setdefault(name, connection)
            return len(found) == 2
        wait_until(both, 20, "an answer of each endpoint")
        return found

    def bad_endpoint(self):
        for entry in json.loads(self.client.admin("/connections")[1])["failed_endpoints"]:
            if entry["endpoint"] == f"{self.bad.address}:8080":
                return entry
        return None

    def retried(self):
        return self.client.access_log(attempts=2, original_destination=f"{self.vip}:80", result="allowed")

    def newly_ejected(self):
        """After a connection, which may have been the one that came upon it."""
        self.who()[2].close()
        return (entry := self.bad_endpoint()) and entry["ejected_for_seconds"] > 1

    def meanwhile(self):
        """New connections while the endpoint is silent: all are served by the other one, in time."""
        results, threads = [], []
        known = len(self.retried())

        def one():
            name, took, connection = self.who()
            connection.close()
            results.append((name, took))
        for _ in range(CONNECTIONS):
            threads.append(threading.Thread(target=one))
            threads[-1].start()
            time.sleep(0.3)
        for thread in threads:
            thread.join()
        longest = max(took for _, took in results)
        slow = sum(took > AT_ONCE for _, took in results)
        print(f"     {len(results)} connections, {slow} took longer than {AT_ONCE:g} s, the longest {longest:.1f} s", flush=True)
        self.assertEqual({name for name, _ in results}, {"good"}, results)
        self.assertLess(longest, PATIENCE, results)
        self.assertGreaterEqual(slow, 1, "nobody came upon the silent endpoint")
        # Those that the table keeps away from it notice nothing.
        wait_until(self.newly_ejected, 30, "an ejection")
        for _ in range(3):
            name, took, connection = self.who()
            connection.close()
            self.assertEqual(name, "good")
            self.assertLess(took, AT_ONCE)
        failures = [record["last_failure"] for record in self.retried()[known:]]
        self.assertTrue(any("peer-silent: the peer has been silent for 3s" in failure for failure in failures), failures)

    def assert_goes_on(self, connections, said):
        for name, connection in connections.items():
            connection.settimeout(15)
            got = b""
            while len(got) < len(said):
                got += connection.recv(64)
            self.assertEqual(got, said, name)
        wait_until(lambda: self.who()[0] == "bad", 40, "an answer of the endpoint that is back")
        for connection in connections.values():
            connection.close()

    def test_1_an_endpoint_that_is_frozen(self):
        connections = self.open_to_both()
        self.bad.proxy.signal(signal.SIGSTOP)
        try:
            for connection in connections.values():
                connection.sendall(b"are you there?")
            self.meanwhile()
        finally:
            self.bad.proxy.signal(signal.SIGCONT)
        self.assert_goes_on(connections, b"are you there?")

    def test_2_an_endpoint_that_is_cut_off(self):
        connections = self.open_to_both()
        wait_until(lambda: not self.bad_endpoint(), 40, "a clean record of the endpoint")
        self.bad.host.run("nft", "-f", "-", stdin=CUT_OFF)
        try:
            self.meanwhile()
        finally:
            self.bad.host.run("nft", "delete", "table", "inet", "gone")
        for connection in connections.values():
            connection.sendall(b"here again")
        self.assert_goes_on(connections, b"here again")

    def test_3_where_there_is_nobody_else_the_end_has_a_reason(self):
        name, _, connection = self.who(self.bad.address, 8080)
        self.assertEqual(name, "bad")
        self.bad.proxy.signal(signal.SIGSTOP)
        try:
            how, took, _ = self.who(self.bad.address, 8080)
        finally:
            self.bad.proxy.signal(signal.SIGCONT)
        print(f"     {how or 'closed'} after {took:.1f} s", flush=True)
        self.assertIn(how, ("", "ConnectionResetError"))
        self.assertLess(took, 25)
        record = self.client.wait_access_log(original_destination=f"{self.bad.address}:8080", result="failed")[-1]
        # Of the second attempt, on a new tunnel or on another one that was open.
        self.assertIn(record["reason"], ("connect-timeout", "peer-silent"), record)
        self.assertIn("peer-silent: ", record["last_failure"], record)
        connection.close()

    def test_4_a_slow_application_is_waited_for(self):
        name, _, connection = self.who(self.good.address, 8080)
        self.assertEqual(name, "good")
        # Its SYNs get no answer: the peer's proxy is there, and tries for six seconds.
        self.good.host.run("nft", "-f", "-", stdin="table inet slow {\n chain input {\n type filter hook input priority -300;\n"
                           " iifname lo tcp dport 9000 drop\n }\n}\n")
        how, took, _ = self.who(self.good.address, 9000)
        self.good.host.run("nft", "delete", "table", "inet", "slow")
        self.assertIn(how, ("", "ConnectionResetError"))
        self.assertGreater(took, 5.5)
        record = self.client.wait_access_log(original_destination=f"{self.good.address}:9000")[-1]
        self.assertEqual((record["reason"], record.get("peer_reason")), ("connect-failed", "connect-timeout"), record)
        self.assertNotIn("last_failure", record)
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
