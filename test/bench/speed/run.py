#!/usr/bin/python3
"""Compares Byrnie with HAProxy and nginx at the same hop, on this machine, in one run: plain TCP in, mutual TLS 1.3 between two
proxies, plain TCP out. Run by tools/bench, as root:

    run.py [--only ROW...] [--repeat N] [--quick] [--limit MINUTES] [--out DIRECTORY] [--list] [--check]

Prints a Markdown table for each row, with the ratios that count and their targets; with --out, also writes speed.md, speed.json
and speed.svg there. Exit 0 when everything could be measured, whatever came of it, 1 when something
could not: a connection failed, an answer was wrong, or the time was over. Everything it makes (processes, namespaces,
files) is gone when it ends, however it ends; nothing leaves the namespaces. docs/performance.md says how to read it.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
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
# Minutes after which a run ends whatever it is at: more than it takes on a machine with nothing else to do.
LIMIT, QUICK_LIMIT = 15, 5


class TimeLimit:
    """From its making on: after `seconds` the main thread is unwound, as by SIGTERM, wherever it is or waits."""

    def __init__(self, seconds):
        self.passed = False
        signal.signal(signal.SIGALRM, self._pass)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _pass(self, _number, _frame):
        self.passed = True
        # Which the harness holds back while it makes what it has to remove.
        signal.raise_signal(signal.SIGTERM)

    def lift(self):
        signal.setitimer(signal.ITIMER_REAL, 0)


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
        # {row's key: [what could not be measured of it]}
        self.failures = {}
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

    @contextlib.contextmanager
    def attempt(self, row):
        """What fails inside is told and noted, and ends nothing else: other contenders and rows are not to be lost."""
        try:
            yield
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.fail(row, str(error).strip())

    def fail(self, row, why):
        print(f"error: {why}", file=sys.stderr, flush=True)
        self.failures.setdefault(row.key, []).append(why)

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
    parser.add_argument("--limit", type=float, default=None, metavar="MINUTES",
                        help=f"ends the run, with what it has by then ({LIMIT}; {QUICK_LIMIT} with --quick)")
    parser.add_argument("--out", metavar="DIRECTORY", help="where to write speed.md, speed.json and speed.svg")
    parser.add_argument("--list", action="store_true", help="names the rows")
    parser.add_argument("--check", action="store_true", help="looks at the arguments, and measures nothing")
    options = parser.parse_args()
    options.repeat = options.repeat or (1 if options.quick else 3)
    if options.repeat < 1:
        parser.error("--repeat takes 1 or more")
    if options.limit is None:
        options.limit = QUICK_LIMIT if options.quick else LIMIT
    if not 0 < options.limit <= 24 * 60:
        parser.error("--limit takes minutes, more than 0 and up to a day")
    return options


def measure(rows, options):
    """(Results, titles, what is to be known of the machine)"""
    peers = peer_versions()
    busy = busy_part(seconds=1)
    if busy > QUIET:
        print(f"Others use {busy:.0%} of the CPUs: they will take part in what is measured.", file=sys.stderr)
    began = time.monotonic()
    with World() as world:
        bench = Bench(world, options)
        run_rows(rows, bench, options.limit * 60)
        foreign = bench.load.foreign or [0.0]
        machine = {"cpus": os.cpu_count(), "model": cpu_model(), "kernel": platform.release(), "busy_before": busy,
                   "repeat": options.repeat, "quick": options.quick, "foreign_median": statistics.median(foreign),
                   "foreign_most": max(foreign), "peers": peers, "failures": bench.failures,
                   "minutes": (time.monotonic() - began) / 60}
        machine["quiet"] = busy <= QUIET and machine["foreign_median"] <= QUIET
        return bench.results, bench.titles(), machine


def run_rows(rows, bench, seconds):
    """Row by row, for no longer than that; what is missing then is noted as a failure of its row."""
    began = time.monotonic()
    limit = TimeLimit(seconds)
    waiting = list(rows)
    try:
        while waiting:
            row = waiting[0]
            print(f"{time.monotonic() - began:5.0f} s  {row.title}", file=sys.stderr, flush=True)
            with bench.attempt(row):
                row.run(bench)
            waiting.pop(0)
    except Interrupted:
        if not limit.passed:
            raise
        for row in waiting:
            bench.fail(row, f"the {seconds / 60:g} minutes of the run were over")
    finally:
        limit.lift()


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
