#!/usr/bin/python3
"""The comparison with other proxies measures what it says, and judges it rightly.

Proved: ratios are to the better peer, and targets hold on their right side; the table and the chart show what was measured;
through real proxies each workload counts bytes, connections and answers, and the CPU of what stands between, of which there
is none without a proxy; an answer that does not come is a failure and no figure, and costs no other figure; a run ends in
its time, whatever it waits for, with what it has by then.
"""

import argparse
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench.speed import chart, report
from bench.speed.contender import Contender, Direct
from bench.speed.figures import PEERS, Figure, Results, Target
from bench.speed.rows import Bulk, Held, Request, Row, Short
from bench.speed.run import Bench, run_rows
from bench.speed.syscalls import SyscallCount
from bench.speed.world import World
from testing.case import main
from testing.interruption import unwind_on_signals

TITLES = {"hbone": "HBONE", "haproxy": "HAProxy", "nginx": "nginx"}


def made_up(figure, **values):
    """(row, results) of a row with one figure, of which each contender has these values."""
    row = Row("row", "A row", tuple(values), [figure])
    results = Results()
    for key, found in values.items():
        for value in found:
            results.add("row", key, {figure.key: value})
    return row, results


class JudgementTest(unittest.TestCase):

    def verdict(self, more_is_better, limit, of=PEERS, **values):
        figure = Figure("figure", "a figure", "ms", more_is_better, (Target("hbone", limit, of),))
        row, results = made_up(figure, **values)
        return results.verdicts(row.key, figure)

    def test_a_ratio_is_to_the_better_peer_s_median(self):
        low, = self.verdict(False, 0.5, hbone=[1, 9, 2], haproxy=[4, 4, 4], nginx=[8, 8, 8])
        self.assertEqual((low.value, low.met), (0.5, True))
        high, = self.verdict(True, 0.5, hbone=[1, 9, 2], haproxy=[4, 4, 4], nginx=[8, 8, 8])
        self.assertEqual((high.value, high.met), (0.25, False))

    def test_without_peers_the_limit_is_the_figure_s(self):
        met, = self.verdict(False, 4096, (), hbone=[4096])
        missed, = self.verdict(False, 4096, (), hbone=[4097])
        self.assertEqual((met.met, missed.met), (True, False))

    def test_what_was_not_measured_is_not_judged(self):
        self.assertEqual(self.verdict(False, 0.5, hbone=[1]), [])
        self.assertEqual(self.verdict(False, 0.5, nginx=[1]), [])
        self.assertEqual(len(self.verdict(False, 0.5, hbone=[1], nginx=[2])), 1)

    def test_the_table_shows_medians_their_range_and_what_is_missed(self):
        figure = Figure("figure", "a figure", "ms", False, (Target("hbone", 0.5, PEERS),))
        row, results = made_up(figure, hbone=[1, 3, 2], nginx=[2, 2, 2])
        table = report.table(row, results, TITLES)
        self.assertIn("| figure | HBONE | nginx | targets |", table)
        self.assertIn("| a figure, ms | 2.00 (1.00–3.00) | 2.00 (2.00–2.00) | HBONE 1.00 × the better peer, ≤ 0.50 ✗ |", table)

    def test_the_chart_has_a_bar_for_each_contender(self):
        figure = Figure("figure", "a figure < that", "ms", charted=True)
        row, results = made_up(figure, hbone=[1], haproxy=[2], nginx=[40])
        text = chart.svg([row], results, TITLES | {"mtls": "mTLS"})
        drawn = [element.text for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
        for multiple in ("0.50", "1.00", "20.00"):
            self.assertIn(multiple, drawn)
        self.assertEqual(chart.svg([row], Results(), TITLES), "")


class Broken(Contender):
    """Does not start."""

    starts = 0

    def _start(self):
        self.starts += 1
        raise OSError("no room")


class Whole(Contender):
    """Starts, with nothing."""

    def _start(self):
        pass


class Measured(Row):
    """Measures by calling a function with the contender."""

    def __init__(self, key, contenders, function):
        super().__init__(key, key, contenders, [Figure("figure", "a figure", "ms")])
        self.function = function

    def measure(self, contender, bench):
        return {"figure": self.function(contender)}


class FailureTest(unittest.TestCase):

    def setUp(self):
        self.bench = Bench(None, argparse.Namespace(repeat=2, quick=True))
        self.bench.contenders = {"broken": Broken("broken", "Broken"), "one": Whole("one", "One"), "two": Whole("two", "Two")}

    def medians(self, row):
        return self.bench.results.medians(row.key, "figure")

    def test_what_does_not_start_costs_no_other_figure_and_is_not_started_again(self):
        row = Measured("row", ("broken", "one"), lambda contender: 1)
        run_rows([row, row], self.bench, 60)
        self.assertEqual(self.medians(row), {"one": 1})
        self.assertEqual(self.bench.contenders["broken"].starts, 1)
        self.assertEqual(self.bench.failures, {"row": ["Broken does not start: no room"] * 2})

    def test_a_measurement_that_fails_costs_no_other_figure(self):
        def function(contender):
            self.assertEqual(contender.key, "two", "an answer is wrong")
            return 2
        row, after = Measured("row", ("one", "two"), function), Measured("after", ("one",), lambda contender: 3)
        run_rows([row, after], self.bench, 60)
        self.assertEqual((self.medians(row), self.medians(after)), ({"two": 2}, {"one": 3}))
        self.assertIn("an answer is wrong", self.bench.failures["row"][0])

    def test_a_run_ends_in_its_time_with_what_it_has(self):
        self.addCleanup(unwind_on_signals)  # The first interruption counts, later ones are ignored.
        done, stuck, after = (Measured(key, ("one",), function) for key, function in (
            ("done", lambda contender: 1), ("stuck", lambda contender: time.sleep(60)), ("after", lambda contender: 2)))
        began = time.monotonic()
        run_rows([done, stuck, after], self.bench, 0.5)
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(self.medians(done), {"one": 1})
        self.assertEqual(list(self.bench.failures), ["stuck", "after"])


class MeasurementTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.bench = Bench(cls.world, argparse.Namespace(repeat=1, quick=True))
        cls.bench.bulk_bytes = 16 * 2**20

    @classmethod
    def tearDownClass(cls):
        cls.world.cleanup()

    def measured(self, row, *contenders):
        row.contenders = contenders
        row.run(self.bench)
        self.assertEqual(self.bench.failures, {})
        return lambda figure: self.bench.results.medians(row.key, figure)

    def test_bulk_goes_both_ways(self):
        found = self.measured(Bulk(2, 1, 1, True), "direct", "passthrough", "hbone")
        for way in ("up", "down"):
            self.assertEqual(found(f"cpu_{way}")["direct"], 0)
            for key in ("passthrough", "hbone"):
                self.assertGreater(found(f"cpu_{way}")[key], 0)
                self.assertGreater(found(f"speed_{way}")[key], 0)

    def test_short_connections_are_counted(self):
        found = self.measured(Short(4), "direct", "hbone", "mtls")
        self.assertEqual(found("cpu")["direct"], 0)
        # A handshake each costs more than none.
        self.assertGreater(found("cpu")["mtls"], found("cpu")["hbone"])
        for key in ("hbone", "mtls"):
            self.assertLessEqual(found("p50")[key], found("p99")[key])

    def test_requests_are_counted(self):
        found = self.measured(Request(4), "direct", "hbone", "mtls")
        for key in ("hbone", "mtls"):
            self.assertGreater(found("cpu")[key], 0)
            self.assertGreater(found("p50")[key], 0)

    def test_the_agents_share_is_known_of_handshakes(self):
        contender = self.bench.contenders["mtls"]
        sample = self.bench.load.run(contender, "connect", "--connections=2", *self.bench.window)
        self.assertGreater(sample.agents, 0)
        self.assertLess(sample.agents, sample.cpu)

    def test_system_calls_are_those_of_the_processes_asked_about(self):
        contender = self.bench.contenders["hbone"]
        contender.start()
        with SyscallCount(contender.processes()) as busy, SyscallCount([self.world.control_plane.process]) as idle:
            sample = self.bench.load.run(contender, "request", "--connections=1", *self.bench.window)
            # Each question and each answer is received and sent on by both proxies.
            self.assertGreater(busy.total(), 8 * sample.operations)
            self.assertLess(idle.total(), sample.operations)

    def test_held_connections_stay_and_end(self):
        contender = self.bench.contenders["hbone"]
        with Held(contender, self.bench) as held:
            self.assertGreater(held.grow_to(300)["client"], 0)
            opened = sum(value for name, value in contender.pods["client"].metrics().items()
                         if name.startswith("byrnie_proxy_connections_open{"))
            self.assertEqual(opened, 300)

    def test_a_client_that_does_not_end_is_ended(self):
        contender = self.bench.contenders["direct"]
        with self.assertRaisesRegex(AssertionError, "request through direct: load still runs after 0.5 s"):
            self.bench.load.run(contender, "request", "--window=1h", deadline=0.5)
        self.assertFalse(self.world.processes[-1].running())

    def test_what_nobody_answers_is_a_failure(self):
        nowhere = Direct(self.world)
        nowhere.start()
        nowhere.targets["echo"] = f"{self.world.plain[1].address}:9"
        with self.assertRaisesRegex(AssertionError, "connect through direct: .*refused"):
            self.bench.load.run(nowhere, "connect", *self.bench.window)


if __name__ == "__main__":
    sys.exit(main())
