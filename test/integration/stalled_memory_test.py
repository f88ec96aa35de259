#!/usr/bin/python3
"""A thousand connections that stall at once in a container of 64 MiB: neither proxy is killed, and no connection is lost.

Proved for tunnels and for direct mTLS, at either end, in a control group where this machine has them: the connections are open before anything is sent, so that
nothing new is there to be refused; their servers read nothing while the clients send all they can; once the servers read, every
byte arrives on every connection.
"""

import os
import resource
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID
from testing.process import wait_until
from testing.sanitized import SANITIZED, fewer, little_memory, patience

GROUPS = "/sys/fs/cgroup/memory"
LIMIT = (256 if SANITIZED else 64) << 20  # A runtime keeps something in any case.
COUNT = fewer(1000, 300)
BLOCK = os.urandom(1 << 16)
# What one connection is sent at most: more than its way holds.
EACH = 1 << 20
# The kernels on the way keep little, so that the proxies have to.
KERNEL = "4096 16384 65536"


class StalledMemory:
    """What holds for both ways to carry a connection."""

    protocol = "HBONE"

    @classmethod
    def build(cls):
        cls.client, cls.server = (cls.mesh.pod(name, tunnel_protocol=cls.protocol) for name in ("client", "server"))
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for pod in (cls.client, cls.server):
            for which in ("tcp_rmem", "tcp_wmem"):
                pod.host.run("sh", "-c", f"echo {KERNEL} > /proc/sys/net/ipv4/{which}")

    def restart(self, pod):
        """The pod's proxy anew in a control group of version 1, which is returned; None where there are none."""
        group = os.path.join(GROUPS, f"byrnie-stalled-{os.getpid()}-{pod.name}")
        try:
            os.mkdir(group)
            with open(os.path.join(group, "memory.limit_in_bytes"), "w", encoding="ascii") as out:
                out.write(str(LIMIT))
            os.chmod(os.path.join(group, "cgroup.procs"), 0o666)
        except OSError:
            group = None
        pod.proxy.kill()
        pod.extra_proxy_flags = [] if group else [f"--memory_limit={LIMIT}"]
        # The shell joins the group and becomes the proxy.
        join = ["/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"] if group else []
        pod.proxy = self.mesh.spawn(f"{pod.name}-proxy", pod.host, join + little_memory() + pod.proxy_arguments(),
                                    self.mesh.log_path(f"{pod.name}-proxy"), uid=PROXY_UID)
        pod.wait_ready()
        self.addCleanup(self.release, pod, group)
        return group

    def release(self, pod, group):
        pod.proxy.end()
        if group:
            os.rmdir(group)
        pod.extra_proxy_flags = []
        pod.start_proxy()
        pod.wait_ready()

    def open(self, listener):
        near = self.client.connect(self.mesh.vip, 80)
        near.sendall(b"?")
        far, _ = listener.accept()
        far.settimeout(10)
        self.assertEqual(far.recv(1), b"?")
        return near, far

    def fill(self, pairs):
        """Sends on all connections until nothing has moved for a second and a half; how much each has taken."""
        sent = [0] * len(pairs)
        with selectors.DefaultSelector() as selector:
            for number, (near, _) in enumerate(pairs):
                near.setblocking(False)
                selector.register(near, selectors.EVENT_WRITE, number)
            moved = time.monotonic()
            while selector.get_map() and time.monotonic() - moved < 1.5:
                for key, _ in selector.select(0.2):
                    try:
                        sent[key.data] += key.fileobj.send(memoryview(BLOCK)[sent[key.data] % len(BLOCK):])
                        moved = time.monotonic()
                    except BlockingIOError:
                        pass
                    if sent[key.data] >= EACH:
                        selector.unregister(key.fileobj)
        return sent

    def drain(self, pairs, sent):
        """Reads everything; how many connections have lost or changed a byte."""
        got, wrong = [0] * len(pairs), set()
        with selectors.DefaultSelector() as selector:
            for number, (near, far) in enumerate(pairs):
                near.shutdown(socket.SHUT_WR)
                far.setblocking(False)
                selector.register(far, selectors.EVENT_READ, number)
            ends = time.monotonic() + patience(20)
            while selector.get_map() and time.monotonic() < ends:
                for key, _ in selector.select(1):
                    number = key.data
                    at = got[number] % len(BLOCK)
                    try:
                        block = key.fileobj.recv(len(BLOCK) - at)
                    except BlockingIOError:
                        continue
                    except OSError:
                        block = b""
                        wrong.add(number)
                    if block != BLOCK[at:at + len(block)]:
                        wrong.add(number)
                    got[number] += len(block)
                    if not block:
                        selector.unregister(key.fileobj)
        return len(wrong | {number for number, count in enumerate(got) if count != sent[number]})

    def check(self, pod):
        group = self.restart(pod)
        pairs = []
        try:
            with self.server.listen(8080, backlog=1024) as listener:
                wait_until(lambda: pairs.append(self.open(listener)) or True, 10, "the first connection")
                while len(pairs) < COUNT:
                    pairs.append(self.open(listener))
                proxies = (self.client.proxy, self.server.proxy)
                before = [proxy.memory_kib() for proxy in proxies]
                sent = self.fill(pairs)
                self.assertTrue(pod.proxy.running(), "it was killed")
                grown = [proxy.memory_kib() - kib for proxy, kib in zip(proxies, before)]
                metrics = pod.metrics()
                print(f"    {pod.name}: {sum(1 for taken in sent if taken < EACH)} of {COUNT} stalled, {sum(sent) >> 20} MiB sent, "
                      f"{before[proxies.index(pod.proxy)]} KiB and {grown[proxies.index(pod.proxy)]} more, "
                      f"{int(metrics['byrnie_proxy_buffered_bytes']) >> 10} KiB counted", file=sys.stderr)
                self.assertGreater(sum(1 for taken in sent if taken < EACH), COUNT // 2, "they did not stall")
                self.assertEqual(metrics['byrnie_proxy_refused_total{reason="buffers-full"}'], 0)
                self.assertEqual(self.drain(pairs, sent), 0, "connections that lost bytes")
                # Everything was there, so that there is room again.
                pairs.append(self.open(listener))
            if group:
                with open(os.path.join(group, "memory.oom_control"), encoding="ascii") as text:
                    self.assertEqual(int(dict(line.split() for line in text).get("oom_kill", 0)), 0)
        finally:
            for pair in pairs:
                for end in pair:
                    end.close()

    def test_the_client_s_proxy_holds_what_its_peer_does_not_take(self):
        self.check(self.client)

    def test_the_server_s_proxy_holds_what_its_application_does_not_read(self):
        self.check(self.server)


class TunnelsTest(StalledMemory, MeshTestCase):
    pass


class DirectMtlsTest(StalledMemory, MeshTestCase):
    """A TLS connection for each of the application's, with buffers of its own."""

    protocol = "LEGACY_ISTIO_MTLS"


if __name__ == "__main__":
    sys.exit(main())
