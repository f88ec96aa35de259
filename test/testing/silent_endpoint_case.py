"""One of two endpoints of a service falls silent behind open tunnels."""

import json
import threading
import time

from .case import MeshTestCase
from .inline_app import InlineApp, echo
from .process import wait_until

# Three seconds of silence, and what a busy machine takes.
PATIENCE = 4.5
AT_ONCE = 1.0
CONNECTIONS = 24


class SilentEndpointCase(MeshTestCase):
    """`self.client` calls `self.vip`, whose endpoints are `self.good` and `self.bad`; each says its name and echoes."""

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
