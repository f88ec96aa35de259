#!/usr/bin/python3
"""Counts the instructions that the proxy's data path takes, under valgrind, which is the same on a busy machine and on an idle
one:

    instructions.py             what each unit of work takes now, and what is recorded
    instructions.py --record    records what it takes now, in instructions.json beside this file

test/integration/instructions_test.py fails where the two differ by more than 2 %. What has become dearer is to be found and
mended; what is meant to be dearer, or has become cheaper, is recorded, in the commit that makes it so.

A unit is what is left of a run of twice as much after a run of half of it: 64 KiB through a relay, 64 KiB through a relay, a
tunnel and the relay behind it, a request of 1 KiB and its answer through a tunnel, a handshake of both ends. The program is
test/bench/data_path_bench.cc: without sockets, so that it is the process's own work that is counted, and no system calls.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from testing.bench_process import bench_path

RECORD = os.path.join(HERE, "instructions.json")
TOLERANCE = 0.02
# How many units the shorter run does: enough that what is random, which is keys and addresses, evens out.
UNITS = {"relay": 64, "tunnel": 64, "requests": 100, "handshakes": 12}


def count(workload, units):
    """The instructions of a whole run."""
    # AVX-512 is not known to valgrind, so that all amd64 machines of the last ten years look the same to the program. One
    # "rep movsb" counts as an instruction for each byte: large copies are to be made of vectors, as small ones are.
    never = 2**30
    copies = f"glibc.cpu.x86_rep_movsb_threshold={never}:glibc.cpu.x86_non_temporal_threshold={never}"
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", bench_path("data_path_bench"), workload, str(units)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "GLIBC_TUNABLES": copies})
    found = re.search(r"^==\d+== Collected : (\d+)$", result.stderr, re.M)
    if result.returncode != 0 or not found:
        raise RuntimeError(f"data_path_bench {workload} {units} ended with {result.returncode}: {result.stderr[-2000:]}")
    return int(found.group(1))


def measure(workload):
    """The instructions of one unit."""
    units = UNITS[workload]
    return (count(workload, 2 * units) - count(workload, units)) / units


def recorded():
    """{workload: instructions} for this kind of machine; empty where nothing has been recorded for it."""
    with open(RECORD, encoding="ascii") as text:
        return json.load(text).get(platform.machine(), {})


def record(counts):
    with open(RECORD, encoding="ascii") as text:
        document = json.load(text)
    document[platform.machine()] = {workload: round(instructions) for workload, instructions in counts.items()}
    with open(RECORD, "w", encoding="ascii") as out:
        out.write(json.dumps(document, indent=1, sort_keys=True) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="writes down what it takes now")
    options = parser.parse_args()
    counts = {workload: measure(workload) for workload in UNITS}
    before = recorded()
    for workload, instructions in counts.items():
        change = f"{instructions / before[workload] - 1:+.1%} of {before[workload]}" if workload in before else "nothing recorded"
        print(f"{workload:12} {instructions:12.0f}  {change}")
    if options.record:
        record(counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
