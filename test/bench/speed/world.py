"""The mesh that the benchmark runs in: pairs of hosts, each joined by a cable of its own, with the load's server on one."""

import os
import resource
import shutil

from testing.mesh import REPOSITORY, Mesh
from testing.netns import APPLICATION_UID, ip_batch
from testing.process import wait_until

ECHO, BULK = 8080, 8081

# Thousands of connections a second from one address to another need ports that are not in use by proxies, and those whose
# connections have just ended.
SYSCTLS = ("net.ipv4.ip_local_port_range=32768 65535", "net.ipv4.tcp_tw_reuse=1")


def built(*path):
    """A file that Bazel has made, below $BYRNIE_BIN or bazel-bin."""
    found = os.path.join(os.environ.get("BYRNIE_BIN", os.path.join(REPOSITORY, "bazel-bin")), *path)
    if not os.path.exists(found):
        raise FileNotFoundError(f"{found} is not there; tools/bench builds it")
    return os.path.realpath(found)


class World(Mesh):
    """A Mesh whose pairs are made when they are asked for. As a context manager it cleans up after itself."""

    def __init__(self):
        super().__init__(workload_ttl="24h")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # For all that is started from here.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._programs = {}
        self.load = self.program(built("test", "bench", "load", "load"))
        self.plain = None

    def program(self, source):
        """A copy of a program that every user may run; one, however often it is asked for."""
        if source not in self._programs:
            self._programs[source] = self._copy(source)
        return self._programs[source]

    def library_folder(self, source):
        """A copy of a folder with libraries that every user may read; one, because processes run on it."""
        if source not in self._programs:
            target = self.make_directory(f"lib-{len(self._programs)}", 0o755)
            shutil.copytree(source, target, dirs_exist_ok=True)
            os.chmod(target, 0o755)
            self._programs[source] = target
        return self._programs[source]

    def plain_pair(self):
        """(client, server, the load's server) of two hosts without Byrnie, shared by all that bring what they need."""
        if self.plain is None:
            hosts = self.outsider("client"), self.outsider("server")
            self.plain = self.pair_up(*hosts)
        return self.plain

    def pair_up(self, client, server):
        """Joins two hosts and starts the load's server; (client, server, server process)."""
        join(client, server)
        process = self.spawn("load-server", server, [self.load, "serve", f"--echo_port={ECHO}", f"--bulk_port={BULK}"],
                             self.log_path("load-server", unique=True), uid=APPLICATION_UID)
        wait_until(lambda: '"listening"' in process.log_text(), 10, "the load server's start")
        return client, server, process

    def byrnie_pair(self, name, client_flags=(), server_flags=(), **workload_fields):
        """(client pod, server pod, the load's server), started."""
        client = self.pod(f"{name}-client", **workload_fields)
        server = self.pod(f"{name}-server", **workload_fields)
        # The others write no log of connections either.
        client.extra_proxy_flags = ["--access_log=off", *client_flags]
        server.extra_proxy_flags = ["--access_log=off", *server_flags]
        process = self.pair_up(client.host, server.host)[2]
        self.start()
        return client, server, process


def join(one, two):
    """A veth from one host to the other, past the switch, for what they send to each other's address."""
    ip_batch(f"link add eth1 netns {one.name} type veth peer name eth1 netns {two.name}")
    for own, other in ((one, two), (two, one)):
        # An address of its own again: the kernel redirects to the address of the interface that a packet comes in by.
        own.ip("link set eth1 up", f"addr add {own.address}/32 dev eth1",
               f"route add {other.address}/32 dev eth1 src {own.address}")
        own.run("sysctl", "-qw", *SYSCTLS)
