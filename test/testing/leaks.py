"""Nothing is left behind: a proxy's descriptors and gauges, before and after."""

from .process import wait_until

_OPEN = ('byrnie_proxy_connections_open{direction="inbound"}', 'byrnie_proxy_connections_open{direction="outbound"}')
_TUNNELS = ('byrnie_proxy_tunnels_open{direction="inbound"}', 'byrnie_proxy_tunnels_open{direction="outbound"}')


class Leaks:
    """What the proxies of some pods hold now, to be compared with what they hold later.

    Tunnels that are kept for the next connection are counted apart: one descriptor each.
    """

    def __init__(self, *pods):
        self._pods = pods
        self._before = {pod: wait_until(lambda p=pod: self._settled(p), 20, f"rest in {pod.name}'s proxy") for pod in pods}

    @staticmethod
    def _held(pod):
        metrics = pod.metrics()
        return {"open": sum(metrics[name] for name in _OPEN), "buffered": metrics["byrnie_proxy_buffered_bytes"],
                "descriptors": pod.proxy.descriptors() - sum(metrics[name] for name in _TUNNELS)}

    def _settled(self, pod):
        """What is held once it is the same twice: a connection of ours to the metrics may be among it."""
        held = self._held(pod)
        return held if held["open"] == 0 and held == self._held(pod) else None

    def check(self, deadline=15):
        """AssertionError unless no connection is left, no byte is kept and the descriptors are back."""
        for pod in self._pods:
            wanted = {**self._before[pod], "open": 0, "buffered": 0}
            held = {}

            def back(pod=pod, wanted=wanted, held=held):
                held.update(self._held(pod))
                return all(held[name] <= wanted[name] for name in wanted)
            try:
                wait_until(back, deadline, "that", every=0.1)
            except AssertionError:
                raise AssertionError(f"{pod.name}'s proxy holds {held} after {deadline:g} s, not {wanted}") from None
