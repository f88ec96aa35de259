#!/usr/bin/python3
"""A connection that is not allowed any more ends within 2 s of the policy also where its reader takes nothing, or little.

Proved for connections through a tunnel, direct mTLS and plaintext, all full of bytes on their way, with the application as the
reader and as the writer: from the change of the registry file on it takes less than 2 s until both applications of the denying
proxy's side see a reset and the proxy counts no connection. What was on its way when it was denied is dropped, not delivered.
"""

import json
import os
import select
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import tcp
from testing.case import MeshTestCase, main
from testing.process import wait_until
from testing.ways import Ways

LIMIT = 2.0
BLOCK = os.urandom(65536)
FULL = 64 << 20


def ends(connection, timeout):
    """Whether the connection is reset, or is within `timeout` seconds."""
    poll = select.poll()
    poll.register(connection, 0)
    return poll.poll(timeout * 1000)


class DeniedReaderTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.ways = Ways(cls.mesh)
        cls.mesh.start()

    def setUp(self):
        self.ways.listen()

    def tearDown(self):
        self.ways.close()
        # Everybody may again.
        self.mesh.registry.policies = []
        self.mesh.registry.write()
        for pod in (self.ways.server, self.ways.mtls):
            wait_until(lambda pod=pod: not json.loads(pod.admin("/config_dump")[1])["policies"], 5, "the end of the policy", every=0.05)

    def check(self, handle, fill):
        """Has each connection's application, and its client if it is to write, fill it; denies all, and sees them end.

        handle(connection, denied) is the application; `denied` is set when the policy is written."""
        denied, seen, nears, threads = threading.Event(), {}, [], []

        def run(way, connection):
            handle(connection, denied)
            denied.wait(60)
            # What the kernel says by itself: nothing is read.
            told = bool(ends(connection, 10))
            seen[way] = (time.monotonic(), told)
            connection.close()
        ways = [way for way in self.ways.open if self.ways.far[way]]
        for way in ways:
            near, far = self.ways.pair(way)
            near.sendall(b"x")
            far.recv(1)
            nears.append(near)
            threads.append(threading.Thread(target=run, args=(way, far)))
            threads[-1].start()
            if fill:
                self.assertLess(tcp.fill(near, BLOCK, FULL), FULL)
        time.sleep(1)  # The slow ones read, all are full.
        self.mesh.registry.policy("nobody", "DENY", destination_ports=[8080, 8081])
        self.mesh.registry.write()
        since = time.monotonic()
        denied.set()
        gone = {}

        def none_left():
            for pod in (self.ways.server, self.ways.mtls):
                if pod not in gone and pod.metrics()['byrnie_proxy_connections_open{direction="inbound"}'] == 0:
                    gone[pod] = time.monotonic()
            return len(gone) == 2
        try:
            wait_until(none_left, 15, "the end of what is denied", every=0.05)
        finally:
            for thread in threads:
                thread.join()
            for near in nears:
                near.close()
        for way in ways:
            when, told = seen[way]
            closed = gone[self.ways.far[way]]
            print(f"{way}: the application was told after {when - since:.2f} s, closed after {closed - since:.2f} s", flush=True)
            with self.subTest(way=way):
                self.assertTrue(told)
                self.assertLess(when - since, LIMIT)
                self.assertLess(closed - since, LIMIT)

    def test_an_application_that_does_not_read(self):
        self.check(lambda connection, denied: None, fill=True)

    def test_an_application_that_reads_slowly(self):
        def handle(connection, denied):
            try:
                while not ends(connection, 0.05):
                    connection.recv(1024)
            except ConnectionResetError:
                pass
        self.check(handle, fill=True)

    def test_a_client_that_does_not_read(self):
        self.check(lambda connection, denied: tcp.fill(connection, BLOCK, FULL), fill=False)


if __name__ == "__main__":
    sys.exit(main())
