"""A large registry, and many agents that follow it: what tests and benchmarks of discovery at scale share.

    write_registry(plane.registry.path, 100_000)
    with DiscoveryLoad(plane, streams=1000) as load:
        load.round()            {"acknowledged_ms": 2.1, "first_ms": …, "median_ms": …, "last_ms": 80.3}
"""

import json
import os

from .bench_process import BenchProcess

IDENTITY = "spiffe://cluster.local/ns/bench/sa/agent"


def workload(number):
    """One of many: two addresses, an endpoint of one of a thousand services."""
    high, low = number >> 8, number & 255
    service = number % 1000
    return {"name": f"server-{number}", "namespace": f"team-{number % 50}", "service_account": f"server-{service}",
            "addresses": [f"10.{high >> 8}.{high & 255}.{low}", f"fd00::{(number >> 8) + 1:x}:{number & 255:x}"], "node": f"node-{number % 500}",
            "locality": {"region": "eu", "zone": f"eu-{number % 3}"},
            "services": {f"shop/service-{service}.shop": [{"service_port": 80, "target_port": 8080}]}}


def write_registry(path, workloads):
    """Writes a registry file with so many workloads behind a thousand services; gives its size."""
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write('{"services": [')
        out.write(",\n".join(json.dumps({
            "name": f"service-{number}", "namespace": "shop", "hostname": f"service-{number}.shop",
            "addresses": [f"10.250.{number >> 8}.{number & 255}"], "ports": [{"service_port": 80, "target_port": 8080}]})
            for number in range(1000)))
        out.write('],\n"workloads": [')
        # One by one: the test's own memory is not what it is about.
        for number in range(1, workloads + 1):
            out.write((",\n" if number > 1 else "") + json.dumps(workload(number)))
        out.write("]}\n")
    os.replace(path + ".new", path)
    return os.path.getsize(path)


class DiscoveryLoad(BenchProcess):
    """Runs test/bench/discovery_bench against a LoopbackControlPlane. See the module's comment."""

    def __init__(self, plane, streams, everything=False):
        identity = plane.issue(IDENTITY)
        self.streams = streams
        super().__init__(
            "discovery_bench",
            [f"--target=127.0.0.1:{plane.port}",
             f"--trust_domain={plane.trust_domain}", f"--bundle={plane.path('bundle.pem')}",
             f"--cert={plane.write_secret('bench.pem', identity.chain.decode())}",
             f"--key={plane.write_secret('bench.key', identity.key.decode())}",
             f"--token={plane.path('operator.token')}", f"--streams={streams}", f"--everything={str(everything).lower()}"],
            plane.path("bench.log"))
        try:
            self.opened = self.answer()
        except BaseException:
            self.close()
            raise

    def round(self):
        """Changes one workload that all follow, and says when they had it."""
        return self.ask("round")
