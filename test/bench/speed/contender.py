"""What is compared: each has a client's host, an address there that leads to the load's server, and processes between."""

import os

from testing.process import wait_until

from .world import BULK, ECHO


def peers_folder():
    """Where tools/lib/peers.sh has put HAProxy and nginx."""
    cache = os.environ.get("BYRNIE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "byrnie")
    return os.environ.get("BYRNIE_PEERS") or os.path.join(cache, "peers")


def peer_versions():
    """{package: version} of what is there; FileNotFoundError, saying what to do, when nothing is."""
    if not os.path.exists(os.path.join(peers_folder(), "versions")):
        raise FileNotFoundError(f"HAProxy and nginx are not in {peers_folder()}; tools/lib/peers.sh puts them there")
    with open(os.path.join(peers_folder(), "versions"), encoding="ascii") as versions:
        return dict(line.split() for line in versions)


class Contender:
    """One way from the client to the server. Started when it is first needed."""

    def __init__(self, key, title):
        self.key, self.title = key, title
        self.client = None  # The host whose applications are clients.
        # What stands between client and server, by side.
        self._sides = {"client": [], "server": []}
        self.load_server = None
        self.targets = {}
        self._started = False
        self._failure = None

    def start(self):
        """AssertionError if it does not come up; the same again whenever it is asked for later."""
        if not self._started:
            self._started = True
            try:
                self._start()
            except (AssertionError, OSError, RuntimeError) as error:
                self._failure = f"{self.title} does not start: {error}"
        if self._failure:
            raise AssertionError(self._failure)

    def _start(self):
        raise NotImplementedError

    def set_up(self, client, sides, load_server, echo, bulk):
        self.client, self._sides, self.load_server = client, sides, load_server
        self.targets = {"echo": "%s:%d" % echo, "bulk": "%s:%d" % bulk}

    def carriers(self, side):
        """The processes of a side that carry connections."""
        return self._sides[side]

    def agents(self):
        """Those that do not, and are counted all the same."""
        return []

    def processes(self):
        return self.carriers("client") + self.carriers("server") + self.agents()

    def answers(self):
        """Whether a byte comes back, which is asked until it does."""
        for process in self.processes():
            if not process.running():
                raise AssertionError(f"{process.name} ended with {process.returncode}: {process.log_text()[-2000:]}")
        host, _, port = self.targets["echo"].rpartition(":")
        with self.client.connect(host, int(port), timeout=2) as connection:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"

    def memory(self, side):
        """Bytes of PSS of what carries connections on a side."""
        return 1024 * sum(process.memory_kib() for process in self.carriers(side))


class Direct(Contender):
    """Without a proxy."""

    def __init__(self, world):
        super().__init__("direct", "direct")
        self.world = world

    def _start(self):
        client, server, load_server = self.world.plain_pair()
        self.set_up(client, {"client": [], "server": []}, load_server, (server.address, ECHO), (server.address, BULK))


class Byrnie(Contender):
    """Both pods with redirect rules, agent and proxy."""

    def __init__(self, world, key, title, server_flags=(), **workload_fields):
        super().__init__(key, title)
        self.world, self.server_flags, self.workload_fields = world, server_flags, workload_fields
        self.pods = {}

    def _start(self):
        client, server, load_server = self.world.byrnie_pair(self.key.replace("_", "-"), server_flags=self.server_flags,
                                                             **self.workload_fields)
        self.pods = {"client": client, "server": server}
        self.set_up(client.host, {}, load_server, (server.address, ECHO), (server.address, BULK))
        wait_until(self.answers, 10, f"an answer through {self.title}")

    def carriers(self, side):
        return [self.pods[side].proxy]

    def agents(self):
        return [pod.agent for pod in self.pods.values()]
