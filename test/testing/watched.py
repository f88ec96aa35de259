"""A connection between two pods whose two ends are watched, and what the proxies say of how long it lasts."""

import datetime
import json
import threading
import time

from .inline_app import receive
from .tcp import read_to_end


def seconds(text):
    """Since 1970, of a time as admin pages have it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Watched:
    """A connection between two pods that the applications keep open: when, and how, each end has seen it end, for up to
    `patience` seconds.
    """

    def __init__(self, client, server, port=8080, patience=90):
        self.client, self.server, self.port = client, server, port
        with server.listen(port) as listener:
            self.near = client.connect(server.address, port)
            self.far = server.host.accept(listener)
        self.began, self.ends, self._patience = time.time(), {}, patience
        self.echo_once()
        self.threads = [threading.Thread(target=self._wait, args=end, daemon=True)
                        for end in (("near", self.near), ("far", self.far))]
        for thread in self.threads:
            thread.start()

    def echo_once(self):
        for one, other in ((self.near, self.far), (self.far, self.near)):
            one.sendall(b"ping")
            assert receive(other, 4) == b"ping"

    def _wait(self, name, connection):
        how = read_to_end(connection, self._patience)[1]
        self.ends[name] = (how, time.time())

    def close(self):
        self.near.close()
        self.far.close()

    def proven_until(self):
        """As the two proxies say: until the sooner of the two."""
        ends = []
        for pod, direction in ((self.client, "outbound"), (self.server, "inbound")):
            shown = json.loads(pod.admin("/connections")[1])["connections"]
            ends += [seconds(one["proven_until"]) for one in shown if one["direction"] == direction
                     and f"{self.server.address}:{self.port}" in (one["original_destination"], one["destination"])]
        assert len(ends) == 2, ends
        return min(ends)
