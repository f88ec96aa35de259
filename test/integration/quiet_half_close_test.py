#!/usr/bin/python3
"""A half-closed connection waits for its answer as long as both ends are there, and is gone soon when one is not.

Proved for {client, server ends first} x {through a tunnel, over direct mTLS, plaintext to a host outside the mesh, plaintext from
outside into a permissive pod}, with --half_close_timeout=3s everywhere: an answer after 20 s arrives, and its end too; when the ended
side's socket is closed for good, its kernel's reset after tcp_fin_timeout (5 s here) frees both proxies within some seconds; and
when every packet of a host is dropped without a word, both are free within 45 s, a plain socket's by half-close-timeout
unless a segment was just on its way.
"""

import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.process import wait_until
from testing.tcp import END, RESET, broken_after_end, read_to_end
from testing.ways import MTLS, PLAINTEXT_IN, PLAINTEXT_OUT, Ways

TIMEOUT = 3
# More than the time within which an end must have answered, so that only its keepalives' answers keep the connection.
ANSWER = 20
FIN_TIMEOUT = 5
# Of the last keepalive after it, and a busy machine.
FREED = FIN_TIMEOUT + 10
# A tunnel's 30 s, and a busy machine.
DEAD = 45
QUESTION, WORDS = b"what do you think?", b"twenty seconds later"


class QuietHalfCloseTest(MeshTestCase):

    @classmethod
    def build(cls):
        ways = cls.ways = Ways(cls.mesh)
        for pod in ways.pods:
            pod.extra_proxy_flags = pod.extra_proxy_flags + [f"--half_close_timeout={TIMEOUT}s"]
        cls.mesh.start()
        ways.listen()
        cls.hosts = [pod.host for pod in ways.pods] + [ways.outsider]

    @classmethod
    def tearDownClass(cls):
        cls.ways.close()
        super().tearDownClass()

    def half_closed(self):
        """{(way, who ended first): (its end, the other one)} of connections that have been used."""
        made = {}
        for way in self.ways.open:
            for first in ("client", "server"):
                near, far = self.ways.pair(way)
                ending, other = (near, far) if first == "client" else (far, near)
                ending.sendall(QUESTION)
                ending.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(other), (QUESTION, END), f"{way}, {first} ends")
                made[way, first] = ending, other
        return made

    def each(self, check, pairs):
        """check(way, ending, other) for all pairs at once."""
        wrong = []

        def run(way, first, ending, other):
            try:
                check(way, ending, other)
            except Exception as error:
                wrong.append(f"{way}, {first} ends first: {error!r}")
            finally:
                ending.close()
                other.close()
        threads = [threading.Thread(target=run, args=(*name, *ends)) for name, ends in pairs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_1_a_late_answer_arrives(self):
        leaks = Leaks(*self.ways.pods)

        def answer(_, ending, other):
            time.sleep(ANSWER)
            other.sendall(WORDS)
            other.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(ending), (WORDS, END))
        self.each(answer, self.half_closed())
        leaks.check()

    def test_2_one_closed_for_good_is_freed(self):
        for host in self.hosts:
            host.run("sh", "-c", f"echo {FIN_TIMEOUT} > /proc/sys/net/ipv4/tcp_fin_timeout")
        leaks = Leaks(*self.ways.pods)
        pairs = self.half_closed()
        started = time.monotonic()

        def freed(_, ending, other):
            ending.close()
            self.assertEqual(broken_after_end(other, FREED), RESET)
            self.assertGreater(time.monotonic() - started, FIN_TIMEOUT - 1, "ended by the proxy, not by the kernel")
        self.each(freed, pairs)
        print(f"closed for good, all freed after {time.monotonic() - started:.1f} s", flush=True)
        leaks.check()

    def test_3_a_dead_host_is_noticed(self):
        leaks = Leaks(*self.ways.pods)
        pairs = self.half_closed()
        # The client's host lives.
        for host in self.hosts[1:]:
            host.run("nft", "-f", "-", stdin="".join(
                f"table inet gone {{\n chain {hook} {{\n type filter hook {hook} priority -300;\n {interface} eth0 drop\n }}\n}}\n"
                for hook, interface in (("output", "oifname"), ("input", "iifname"))))
        started = time.monotonic()
        waits = {}

        def cut(way, ending, other):
            # Of the application whose proxy notices: outside the mesh there is none.
            if (ending in near) == (way != PLAINTEXT_IN):
                self.assertEqual(read_to_end(ending, DEAD), (b"", RESET))
            else:
                self.assertEqual(broken_after_end(other, DEAD), RESET)
            waits[way] = max(waits.get(way, 0), time.monotonic() - started)
        near = {ends[first == "server"] for (_, first), ends in pairs.items()}
        self.each(cut, pairs)
        print("dead hosts noticed: " + ", ".join(f"{way} {wait:.0f} s" for way, wait in waits.items()), flush=True)
        for way, pod, end in ((PLAINTEXT_OUT, self.ways.client, "upstream"), (MTLS, self.ways.client, "upstream"),
                              (PLAINTEXT_IN, self.ways.server, "downstream")):
            with self.subTest(way=way):
                port = self.ways.open[way][0].getsockname()[1]
                destination = {PLAINTEXT_OUT: self.ways.outsider, MTLS: self.ways.mtls, PLAINTEXT_IN: self.ways.server}[way]
                # Where the drop met a segment on its way, the kernel gives up on that first.
                def noticed():
                    return [record for record in pod.access_log(destination=f"{destination.address}:{port}")
                            if f"{end} not heard of for " in record.get("detail", "")
                            or record.get("detail", "").endswith("Connection timed out")]
                wait_until(lambda: len(noticed()) == 2, 5, f"two records of {way}")
                self.assertIn("half-close-timeout", [record["reason"] for record in noticed()])
        leaks.check(deadline=max(1, DEAD - (time.monotonic() - started)))


if __name__ == "__main__":
    sys.exit(main())
