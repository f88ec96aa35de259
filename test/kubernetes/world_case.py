"""Tests of pods that the runner runs, in a namespace of one world.

    class ATest(WorldCase):
        accounts = ["web"]

        @classmethod
        def build(cls):
            cls.server = cls.world.pod(...)
"""

import unittest

from testing.process import json_lines, wait_until

from .world import APP_IMAGE, World

NAMESPACE = "shop"
APP = ["/usr/bin/python3", "-B", "/opt/app.py"]
PROXY = "byrnie-proxy"


def container(name, *words, **more):
    """One that runs the test's application."""
    return {"name": name, "image": APP_IMAGE, "command": [*APP, *words], **more}


class WorldCase(unittest.TestCase):
    """See the module's comment."""

    longMessage = True
    # Of service accounts in NAMESPACE, and what World is made of.
    accounts = ["web", "client"]
    world_options = {}

    @classmethod
    def setUpClass(cls):
        cls.world = world = World(**cls.world_options)
        try:
            world.start(log_format="json")
            world.namespace(NAMESPACE, accounts=cls.accounts)
            cls.build()
        except Exception:
            world.print_logs()
            raise
        cls.addClassCleanup(world.close)

    @classmethod
    def build(cls):
        """What the tests are about."""
        raise NotImplementedError

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.world.print_logs()
        return result

    def get(self, client, url):
        """What an application of that pod is answered."""
        done = client["app"].run(*APP, "get", url, "10")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    @staticmethod
    def access_records(run, **wanted):
        """The access log's records of a pod's proxy whose fields have the values given."""
        return [record for record in json_lines(run[PROXY].log_text()) if record.get("log") == "access"
                and all(record.get(name) == value for name, value in wanted.items())]

    def access(self, run, **wanted):
        """The same; waits for one."""
        return wait_until(lambda: self.access_records(run, **wanted), 5, f"a record {wanted} in {run.name}'s access log")

    def next_access(self, run, **wanted):
        """A function that waits for one more of them than there are now, and has it: of what is asked in between."""
        before = len(self.access_records(run, **wanted))
        return lambda: wait_until(lambda: self.access_records(run, **wanted)[before:], 5, f"one more record {wanted} in {run.name}'s access log")[-1]

    @staticmethod
    def identity(account):
        return f"spiffe://cluster.local/ns/{NAMESPACE}/sa/{account}"

    def passes(self, address, port, question=b"GET /healthz HTTP/1.0\r\n\r\n"):
        """Whether plaintext of the node gets an answer."""
        try:
            with self.world.machine.connect(address, port, 3) as connection:
                connection.sendall(question)
                return connection.recv(100) != b""
        except OSError:
            return False
