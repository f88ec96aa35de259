#!/usr/bin/python3
"""Measures how fast a control plane issues certificates on this machine: per core, that is per second of its CPU time, which
does not change with what else the machine does. Prints Markdown rows for docs/figures.md, and with --json one object.
Loopback only; the callers are simulated by test/bench/issuance_bench over real gRPC with TLS and client certificates.

    bazel build //controlplane:byrnie-controlplane //test/bench:issuance_bench
    /usr/bin/python3 test/bench/issuance.py [--calls 20000] [--connections 2000] [--json]
"""

import argparse
import json
import os
import platform
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.bench_process import BenchProcess, bench_path, cpu_seconds  # noqa: E402
from testing.interruption import unwind_on_signals  # noqa: E402
from testing.loopback_control_plane import LoopbackControlPlane  # noqa: E402

IDENTITY = "spiffe://cluster.local/ns/bench/sa/agent"
UNLIMITED = ("--issue_rate=0", "--identity_issue_rate=0")


def measure_in_memory():
    return json.loads(subprocess.run([bench_path("issuance_bench")], check=True, capture_output=True, text=True).stdout)


def measure_over_grpc(calls, connections):
    """{"calls": …, "connections": …}, each with the microseconds of the control plane's CPU for one and the rate there was."""
    with LoopbackControlPlane(*UNLIMITED) as plane:
        identity = plane.issue(IDENTITY)
        files = [f"--bundle={plane.path('bundle.pem')}", f"--cert={plane.write_secret('bench.pem', identity.chain.decode())}",
                 f"--key={plane.write_secret('bench.key', identity.key.decode())}"]
        with BenchProcess("issuance_bench", [f"--target=127.0.0.1:{plane.port}", *files], plane.path("bench.log")) as bench:
            measured = {}
            for what, count in (("calls", calls), ("connections", connections)):
                bench.ask(f"{what} {max(1, count // 10)}")
                before = cpu_seconds(plane.process.pid)
                took = bench.ask(f"{what} {count}")
                measured[what] = {"us": (cpu_seconds(plane.process.pid) - before) * 1e6 / count, "count": count,
                                  "per_second": count / took["seconds"]}
            return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unwind_on_signals()
    figures = {"in_memory": measure_in_memory(), **measure_over_grpc(options.calls, options.connections)}
    if options.json:
        print(json.dumps(figures))
    else:
        print_rows(figures)


def print_rows(figures):
    limit = figures["in_memory"]["limit_us"]

    def row(name, microseconds, budget=""):
        print(f"| {name} | {1e6 / microseconds:.0f} | {100 * limit / microseconds:.0f} % | {budget} |")
    print(f"| certificates a second and core, measured on {os.cpu_count()} cores, Linux {platform.release()} | | of the limit | budget |")
    print("|---|---:|---:|---:|")
    row("the limit: BoringSSL alone makes one signature and verifies two, in memory", limit)
    row("the control plane's code alone, in memory: certificate of the caller, request, new certificate",
        figures["in_memory"]["in_process_us"], "50 %")
    row("renewals over gRPC and TLS, on connections there are", figures["calls"]["us"])
    row("renewals over gRPC and TLS, each on a connection of its own, as agents make them", figures["connections"]["us"])


if __name__ == "__main__":
    main()
