#!/usr/bin/python3
"""What a proxy has too little of costs new connections, never the ones it has, and it says what was short.

Proved: --max_connections; the limit on open files (128, 1 000 connections: no exit, no spinning, accepting again
within a second, admin and readiness answering all the time); the memory limit, of a control group of either version, also one
that changes; one identity that holds all the connections it can get, and another one that is served beside it.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.cgroup import MemoryGroup
from testing.mesh import PROXY_UID
from testing.netns import APPLICATION_UID
from testing.process import wait_until
from testing.sanitized import SANITIZED, little_memory

MIB = 1024 * 1024


class LimitsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.other = cls.mesh.pod("other")
        super().build()
        cls.echo = cls.mesh.vip
        cls.server.app("echo", 8080)
        cls.other.app("echo", 8080)

    def restart(self, *flags, command=None, group=None):
        """The client's proxy anew, with flags, run by a command before its own, or in a control group."""
        pod = self.client
        if pod.proxy.running():
            pod.proxy.kill()
        pod.extra_proxy_flags = list(flags)
        argv = pod.proxy_arguments()
        pod.proxy = self.mesh.spawn("client-proxy", pod.host, [*(command or []), *argv],
                                    self.mesh.log_path("client-proxy"), uid=PROXY_UID, group=group)
        pod.wait_ready()
        wait_until(self.works, 10, "the restarted proxy's first connection")

    def restart_server(self, *flags):
        """The server's proxy anew, with flags."""
        pod = self.server
        pod.proxy.kill()
        pod.extra_proxy_flags = list(flags)
        pod.start_proxy()
        pod.wait_ready()

    def works(self):
        try:
            return self.ask(self.client, self.echo, 80, timeout=5) == b"ping\n"
        except OSError:
            return False

    def open(self, timeout=3, pod=None, address=None, port=80):
        """A connection that has exchanged a byte; None if it was refused."""
        connection = None
        try:
            connection = (pod or self.client).connect(address or self.echo, port, timeout=timeout)
            connection.sendall(b"x")
            if connection.recv(1) == b"x":
                return connection
        except OSError:
            pass
        if connection:
            connection.close()
        return None

    def refused(self, reason):
        return self.client.metrics()[f'byrnie_proxy_refused_total{{reason="{reason}"}}']

    def assert_alive(self, connections):
        for connection in connections:
            connection.sendall(b"y")
            self.assertEqual(connection.recv(1), b"y")

    def test_no_more_connections_than_allowed(self):
        self.restart("--max_connections=20")
        opened = [self.open() for _ in range(25)]
        held = [connection for connection in opened if connection]
        try:
            self.assertEqual(len(held), 20)
            self.assertEqual(self.refused("too-many-connections"), 5)
            self.client.wait_access_log(reason="too-many-connections", result="failed")
            self.assert_alive(held)
            held.pop().close()
            wait_until(self.works, 2, "a place for one more")
        finally:
            for connection in held:
                connection.close()

    def test_open_files_run_out(self):
        self.restart(command=["prlimit", "--nofile=128:128", "--"])
        held = [connection for connection in (self.open() for _ in range(40)) if connection]
        more = []
        try:
            self.assertEqual(len(held), 40)
            for _ in range(1000):
                made = self.client.host.socket()
                made.setblocking(False)
                made.connect_ex((self.echo, 80))
                more.append(made)
            wait_until(lambda: self.refused("too-many-sockets") > 0, 5, "a refusal for want of sockets")
            before, started = self.cpu_seconds(), time.monotonic()
            while time.monotonic() - started < 3:
                self.assertEqual(self.client.admin("/metrics")[0], 200)
                self.assertTrue(self.client.ready())
                self.assert_alive(held)
                time.sleep(0.2)
            spent = (self.cpu_seconds() - before) / (time.monotonic() - started)
            self.assertLess(spent, 0.2, "share of a CPU while there are no sockets")
            self.assertTrue(self.client.proxy.running())
            self.assertLess(self.client.proxy.descriptors(), 128)
            for connection in more:
                connection.close()
            more.clear()
            returned = time.monotonic()
            wait_until(self.works, 3, "accepting again")
            self.assertLess(time.monotonic() - returned, 1.0)
            self.assert_alive(held)
        finally:
            for connection in held + more:
                connection.close()

    def test_strangers_leave_sockets_for_the_mesh(self):
        pod = self.server
        pod.proxy.kill()
        pod.extra_proxy_flags = ["--mtls_mode=permissive"]
        pod.proxy = self.mesh.spawn("server-proxy", pod.host, ["prlimit", "--nofile=128:128", "--",
                                    *pod.proxy_arguments()], self.mesh.log_path("server-proxy"), uid=PROXY_UID)
        pod.wait_ready()
        wait_until(self.works, 10, "the restarted proxy's first connection")
        silent = []
        outsider = self.mesh.outsider()
        try:
            for _ in range(300):
                made = outsider.socket()
                made.setblocking(False)
                made.connect_ex((pod.address, 8080))
                silent.append(made)
            refused = 'byrnie_proxy_refused_total{reason="too-many-sockets"}'
            wait_until(lambda: pod.metrics()[refused] > 0, 5, "a refusal for want of sockets")
            for _ in range(10):
                self.assertTrue(self.works(), "a request of a peer")
        finally:
            for connection in silent:
                connection.close()
            self.restart_server()

    def cpu_seconds(self):
        with open(f"/proc/{self.client.proxy.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def group(self, limit):
        """A control group with a limit; the test fails where this machine does not let one be made."""
        try:
            return MemoryGroup(limit)
        except OSError as error:
            self.fail(f"no control group can be made, which needs root and a tree that is not mounted read-only: {error}")

    def test_memory_runs_out(self):
        limit = (80 if SANITIZED else 64) * MIB  # A runtime keeps something in any case.
        group = self.group(limit)
        held = []
        try:
            self.restart(group=group, command=little_memory())
            self.assertEqual(self.client.metrics()["byrnie_proxy_memory_limit_bytes"], limit)
            held = [connection for connection in (self.open() for _ in range(50)) if connection]
            self.assertEqual(len(held), 50)
            tried, opened = self.storm(20000, 60)
            self.assertTrue(self.client.proxy.running(), "it was killed")
            self.assertGreater(self.refused("memory-pressure"), 0)
            print(f"    of {tried} tried {opened} were open at once; peak {group.peak() // 1024} KiB", file=sys.stderr)
            self.assertEqual(tried, 20000)
            # At the limit the kernel reclaims, which costs time; killing is what may not happen.
            self.assertEqual(group.killed(), 0)
            for connection in held:
                connection.settimeout(30)
            self.assert_alive(held)
            self.assertEqual(self.client.admin("/metrics")[0], 200)
            wait_until(self.works, 30, "taking connections again")
            self.assert_alive(held)
        finally:
            for connection in held:
                connection.close()
            self.restart()
            group.remove()

    def test_a_memory_limit_that_changes_is_followed(self):
        group = self.group(512 * MIB)
        said = lambda: self.client.metrics()["byrnie_proxy_memory_limit_bytes"]
        try:
            self.restart(group=group, command=little_memory())
            self.assertEqual(said(), 512 * MIB)
            for limit in (384 * MIB, 320 * MIB):
                group.limit(limit)
                wait_until(lambda limit=limit: said() == limit, 20, "the new limit")
            self.assertTrue(self.works())
        finally:
            self.restart()
            group.remove()

    def assert_leaves_memory(self, whose, **destination):
        """Connections that somebody opens by the server's proxy until it refuses them, to a `destination` of open(), leave
        memory for another peer's requests, and stay."""
        self.restart_server()  # With nothing that earlier tests have left in its memory.
        wait_until(self.works, 20, "the restarted proxy's first connection")
        with open(f"/proc/{self.server.proxy.pid}/statm", encoding="ascii") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.restart_server(f"--memory_limit={(resident + 16 * MIB) * 100 // 85}")
        wait_until(self.works, 20, "the restarted proxy's first connection")
        held = []
        try:
            refused = 0
            while refused < 20 and len(held) < 3000:
                connection = self.open(**destination)
                if connection:
                    held.append(connection)
                else:
                    refused += 1
            self.assertEqual(refused, 20, f"{len(held)} connections of {whose} are open")
            self.assertGreater(len(held), 200)
            for _ in range(10):
                self.assertEqual(self.ask(self.other, self.echo, 80, timeout=5), b"ping\n")
            self.assert_alive(held)
        finally:
            for connection in held:
                connection.close()
            self.restart_server()

    def test_one_peer_leaves_memory_for_others(self):
        self.restart()  # Without limits of its own.
        self.assert_leaves_memory("one peer")

    def test_an_application_leaves_memory_for_who_calls_it(self):
        """The server's application opens what it can, and goes on trying; others reach it all the same."""
        self.assert_leaves_memory("the application", pod=self.server, address=self.other.address, port=8080)

    def storm(self, count, seconds):
        """Tries so many connections that stay open and each leave bytes unread; returns how many those
        were, less where the seconds did not suffice, and how many were open at most."""
        script = os.path.join(self.mesh.directory, "storm.py")
        with open(script, "w", encoding="utf-8") as out:
            out.write(STORM)
        done = subprocess.run(
            self.client.host.command(["/usr/bin/python3", script, self.echo, count, seconds], uid=APPLICATION_UID),
            capture_output=True, text=True, timeout=seconds + 30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return tuple(int(number) for number in done.stdout.split())


STORM = '''
import resource, select, socket, sys, time
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
address, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + seconds
poller, open_sockets, tried, most = select.epoll(), {}, 0, 0
while tried < count and time.monotonic() < end:
    for _ in range(100):
        while len(open_sockets) >= hard - 100:
            oldest = next(iter(open_sockets))
            poller.unregister(oldest)
            open_sockets.pop(oldest).close()
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex((address, 80))
        open_sockets[made.fileno()] = made
        poller.register(made.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        tried += 1
    for fd, events in poller.poll(0.002, 1000):
        made = open_sockets.get(fd)
        if made is None:
            continue
        try:
            if events & select.EPOLLIN and not made.recv(65536):
                raise OSError
            if events & select.EPOLLOUT:
                made.send(b"x" * 1024)
        except BlockingIOError:
            pass
        except OSError:
            poller.unregister(fd)
            open_sockets.pop(fd).close()
    most = max(most, len(open_sockets))
print(tried, most)
'''

if __name__ == "__main__":
    sys.exit(main())
