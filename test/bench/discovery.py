#!/usr/bin/python3
"""Measures discovery at scale on this machine: memory of a control plane with a large registry, how long a change takes to
reach many agents, and what many connected agents cost. Prints Markdown rows for docs/figures.md, and with --json one object.
Loopback only; the agents are simulated by test/bench/discovery_bench over real gRPC with TLS and client certificates.

    bazel build //controlplane:byrnie-controlplane //test/bench:discovery_bench
    /usr/bin/python3 test/bench/discovery.py [--workloads 100000] [--agents 1000 10000] [--rounds 9] [--json]
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.bench_process import cpu_seconds  # noqa: E402
from testing.discovery_load import DiscoveryLoad, write_registry  # noqa: E402
from testing.interruption import unwind_on_signals  # noqa: E402
from testing.loopback_control_plane import LoopbackControlPlane  # noqa: E402

REST_SECONDS = 10


def memory_mib(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":"))


@contextlib.contextmanager
def control_plane(workloads):
    """One that has so many workloads, and has come to rest."""
    plane = LoopbackControlPlane()
    try:
        write_registry(plane.registry.path, workloads)
        plane.start(deadline=120)
        time.sleep(2)
        yield plane
    finally:
        plane.__exit__()


def measure_registry(workloads):
    with control_plane(workloads) as plane:
        pid = plane.process.pid
        return {"workloads": workloads, "file_mib": os.path.getsize(plane.registry.path) / 2**20,
                "start_cpu_seconds": cpu_seconds(pid), "rss_mib": memory_mib(pid),
                "peak_mib": memory_mib(pid, "VmHWM")}


def measure_agents(workloads, agents, rounds):
    with control_plane(workloads) as plane:
        pid = plane.process.pid
        before, cpu_before = memory_mib(pid), cpu_seconds(pid)
        with DiscoveryLoad(plane, agents) as load:
            opening = cpu_seconds(pid) - cpu_before
            time.sleep(2)
            connected = memory_mib(pid)
            cpu, begun = cpu_seconds(pid), time.monotonic()
            time.sleep(REST_SECONDS)
            at_rest = (cpu_seconds(pid) - cpu) / (time.monotonic() - begun)
            measured = []
            for _ in range(rounds):
                cpu = cpu_seconds(pid)
                measured.append({**load.round(), "cpu_ms": (cpu_seconds(pid) - cpu) * 1000})
                time.sleep(0.2)
        return {"agents": agents, "workloads": workloads, "open_seconds": load.opened["open_seconds"],
                "open_cpu_ms_each": opening * 1000 / agents, "rss_mib": connected,
                "kib_each": (connected - before) * 1024 / agents, "cpu_at_rest": at_rest,
                **{name: statistics.median(row[name] for row in measured) for name in measured[0]},
                "worst_last_ms": max(row["last_ms"] for row in measured)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", type=int, default=100_000)
    parser.add_argument("--agents", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unwind_on_signals()
    registry = measure_registry(options.workloads)
    if not options.json:
        print(f"| figure | measured on {os.cpu_count()} cores, Linux {platform.release()} | budget |")
        print("|---|---:|---:|")
        print_registry(registry)
    fleets = []
    for agents in options.agents:
        fleets.append(measure_agents(options.workloads, agents, options.rounds))
        if not options.json:
            print_fleet(fleets[-1], options.rounds)
    if options.json:
        print(json.dumps({"registry": registry, "fleets": fleets}))


def print_registry(registry):
    print(f"| control plane with {registry['workloads']} workloads of a file of {registry['file_mib']:.0f} MiB: memory, at most "
          f"meanwhile, CPU to read it | {registry['rss_mib']:.0f} MiB, {registry['peak_mib']:.0f} MiB, "
          f"{registry['start_cpu_seconds']:.1f} s | 200 MB |", flush=True)


def print_fleet(fleet, rounds):
    name = f"{fleet['agents']} agents connected, {fleet['workloads']} workloads"
    print(f"| {name}: a change at the last of them after the acknowledgement, median (worst) of {rounds} "
          f"| {fleet['last_ms']:.0f} ms ({fleet['worst_last_ms']:.0f}) | {'1000 ms' if fleet['agents'] <= 1000 else ''} |")
    print(f"| {name}: CPU of the control plane for that change, at rest, to connect one | {fleet['cpu_ms']:.0f} ms, "
          f"{fleet['cpu_at_rest'] * 100:.1f} %, {fleet['open_cpu_ms_each']:.1f} ms | |")
    print(f"| {name}: memory, of that for each agent | {fleet['rss_mib']:.0f} MiB, {fleet['kib_each']:.0f} KiB | |", flush=True)


if __name__ == "__main__":
    main()
