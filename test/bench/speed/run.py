#!/usr/bin/python3
"""Compares Byrnie with HAProxy and nginx at the same hop, on this machine, in one run: plain TCP in, mutual TLS 1.3 between two
proxies, plain TCP out. Run by tools/bench, as root:

    run.py [--only ROW...] [--repeat N] [--quick] [--out DIRECTORY] [--list] [--check]

Prints a Markdown table for each row, with the ratios that count and their targets; with --out, also writes speed.md, speed.json
and speed.svg there. Exit 0 when everything could be measured, whatever came of it, 1 when a row
could not: a connection failed, or an answer was wrong. Everything it makes (processes, namespaces,
files) is gone when it ends, however it ends; nothing leaves the namespaces. docs/performance.md says how to read it.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from testing.interruption import Interrupted, unwind_on_signals

from bench.speed import chart, report
from bench.speed.contender import Byrnie, Direct, peer_versions
from bench.speed.figures import Results
from bench.speed.haproxy import HAProxy
from bench.speed.load import Load, machine_seconds
from bench.speed.nginx import Nginx
from bench.speed.peer_files import PeerFiles
from bench.speed.rows import all_rows
from bench.speed.world import World

# Above it others take part in what is measured: a part of all CPUs. The load average would not tell, after a build.
QUIET = 0.10


class Bench:
    """What rows are measured with: contenders that start when they are needed, and how long to look."""

    def __init__(self, world, options):
        self.world = world
        self.load = Load(world)
        self.results = Results()
        self.repeat = options.repeat
        quick = options.quick
        self.short_window = 0.3 if quick else 1.0
        self.window = (f"--window={self.short_window:g}s", f"--warm_up={'100ms' if quick else '200ms'}")
        self.fixed_window = 1.0 if quick else 10.0
        self.bulk_bytes = 128 * 2**20 if quick else 2**30
        self.settle = 0.3 if quick else 1.5
        self._most_held = 2000 if quick else 20000
        self._files = None
        self.contenders = {contender.key: contender for contender in (
            Direct(world),
            Byrnie(world, "passthrough", "pass-through", server_flags=["--mtls_mode=permissive"], tunnel_protocol="NONE"),
            Byrnie(world, "hbone", "HBONE"),
            Byrnie(world, "mtls", "direct mTLS", tunnel_protocol="LEGACY_ISTIO_MTLS"),
            HAProxy(world, self.peer_files), Nginx(world, self.peer_files),
            HAProxy(world, self.peer_files, resuming=True), Nginx(world, self.peer_files, resuming=True))}

    def counts(self, wanted):
        """How many connections to hold; --quick leaves out what takes long."""
        return [count for count in wanted if count <= self._most_held]

    def peer_files(self):
        if self._files is None:
            self._files = PeerFiles(self.world.directory)
        return self._files

    def titles(self):
        """Of all columns, in their order."""
        return {**{key: contender.title for key, contender in self.contenders.items()},
                "boringssl_x25519": "BoringSSL in memory, X25519", "boringssl_mlkem": "BoringSSL in memory, X25519MLKEM768"}


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as text:
        found = re.search(r"^model name\s*:\s*(.+)$", text.read(), re.M)
    return found.group(1) if found else platform.machine()


def busy_part(seconds):
    """Of all CPUs, over a while in which nothing of ours runs."""
    before = machine_seconds()
    time.sleep(seconds)
    return (machine_seconds() - before) / seconds / os.cpu_count()


def parse_arguments(rows):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [row.key for row in rows]
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=keys, default=keys, help=f"of {' '.join(keys)}")
    parser.add_argument("--repeat", type=int, default=None, metavar="N", help="repetitions (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short windows, few connections: shows that it works, no more")
    parser.add_argument("--out", metavar="DIRECTORY", help="where to write speed.md, speed.json and speed.svg")
    parser.add_argument("--list", action="store_true", help="names the rows")
    parser.add_argument("--check", action="store_true", help="looks at the arguments, and measures nothing")
    options = parser.parse_args()
    options.repeat = options.repeat or (1 if options.quick else 3)
    if options.repeat < 1:
        parser.error("--repeat takes 1 or more")
    return options


def measure(rows, options):
    """(Results, titles, what is to be known of the machine)"""
    peers = peer_versions()
    busy = busy_part(seconds=1)
    if busy > QUIET:
        print(f"Others use {busy:.0%} of the CPUs: they will take part in what is measured.", file=sys.stderr)
    began = time.monotonic()
    failures = {}
    with World() as world:
        bench = Bench(world, options)
        for row in rows:
            print(f"{time.monotonic() - began:5.0f} s  {row.title}", file=sys.stderr, flush=True)
            try:
                row.run(bench)
            except (AssertionError, subprocess.SubprocessError) as error:
                # What else has been measured is not to be lost.
                print(f"error: {error}", file=sys.stderr, flush=True)
                failures[row.key] = str(error)
        foreign = bench.load.foreign or [0.0]
        machine = {"cpus": os.cpu_count(), "model": cpu_model(), "kernel": platform.release(), "busy_before": busy,
                   "repeat": options.repeat, "quick": options.quick, "foreign_median": statistics.median(foreign),
                   "foreign_most": max(foreign), "peers": peers, "failures": failures,
                   "minutes": (time.monotonic() - began) / 60}
        machine["quiet"] = busy <= QUIET and machine["foreign_median"] <= QUIET
        return bench.results, bench.titles(), machine


def write_files(directory, rows, results, titles, machine, text):
    os.makedirs(directory, exist_ok=True)
    for name, content in (
            ("speed.md", text), ("speed.svg", chart.svg(rows, results, titles)),
            ("speed.json", json.dumps(report.document(rows, results, titles, machine), indent=1, ensure_ascii=False) + "\n")):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
            out.write(content)


def main():
    unwind_on_signals()
    rows = all_rows()
    options = parse_arguments(rows)
    if options.list:
        for row in rows:
            print(f"{row.key:12} {row.title}")
    if options.list or options.check:
        return 0
    rows = [row for row in rows if row.key in options.only]
    try:
        results, titles, machine = measure(rows, options)
    except Interrupted as interruption:
        return interruption.exit_code
    text = report.markdown(rows, results, titles, machine)
    print(text)
    if options.out:
        write_files(options.out, rows, results, titles, machine, text)
    return 1 if machine["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
