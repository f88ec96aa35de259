#!/usr/bin/python3
"""What the proxy's own code takes for 64 KiB, a request and a handshake is what is recorded, within 2 %: slower code shows itself
here before it shows on a machine whose load changes more than that. Proved by counting instructions (test/bench/instructions.py
says how, and how to record a change that is meant)."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import instructions
from testing.bench_process import bench_path
from testing.case import main
from testing.sanitized import SANITIZED


class InstructionsTest(unittest.TestCase):

    def check(self, workload):
        if SANITIZED:
            # valgrind runs no such program; what it does is worth running on it all the same.
            subprocess.run([bench_path("data_path_bench"), workload, str(instructions.UNITS[workload])], check=True, timeout=120)
            return
        recorded = instructions.recorded()
        self.assertIn(workload, recorded, "nothing is recorded for this kind of machine: instructions.py --record")
        found = instructions.measure(workload)
        change = found / recorded[workload] - 1
        print(f"     {workload}: {found:.0f} instructions, {change:+.2%}", flush=True)
        self.assertLessEqual(
            abs(change), instructions.TOLERANCE,
            f"a unit of {workload} takes {found:.0f} instructions, {recorded[workload]} are recorded. If that is meant: "
            "/usr/bin/python3 test/bench/instructions.py --record, and commit what it writes")

    def test_relay(self):
        self.check("relay")

    def test_tunnel(self):
        self.check("tunnel")

    def test_requests(self):
        self.check("requests")

    def test_handshakes(self):
        self.check("handshakes")


if __name__ == "__main__":
    sys.exit(main())
