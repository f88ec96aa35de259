#!/usr/bin/python3
"""What tools/test counts is what this run tested: neither logs of targets that are gone nor a target that broke are mistaken."""

import json
import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test"))
sys.path.insert(0, os.path.join(ROOT, "tools", "lib"))

import count_tests
from testing.case import main


class CountTestsTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.events = []

    def ran(self, label, status, cases, attempt=1):
        """A target's test.xml with CASES, pairs of a name and an element that says how it ended, and the events of its run."""
        path = os.path.join(self.folder.name, f"{label.strip('/').replace('/', '_')}_{attempt} .xml")
        with open(path, "w", encoding="utf-8") as log:
            log.write("<testsuites><testsuite>")
            log.writelines(f'<testcase name="{name}" classname="Suite">{ending}</testcase>' for name, ending in cases)
            log.write("</testsuite></testsuites>")
        uri = "file://" + path.replace(" ", "%20")
        self.events.append({"id": {"testResult": {"label": label, "attempt": attempt}},
                            "testResult": {"testActionOutput": [{"name": "test.log", "uri": uri + "x"}, {"name": "test.xml", "uri": uri}]}})
        self.events.append({"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}})

    def count(self):
        path = os.path.join(self.folder.name, "events")
        with open(path, "w", encoding="utf-8") as events:
            events.writelines(json.dumps(event) + "\n" for event in self.events)
        return count_tests.count(path)

    def test_each_case_counts_for_what_it_is(self):
        self.ran("//a:good", "PASSED", [("One", ""), ("Two", ""), ("Three", "<skipped/>")])
        self.ran("//a:bad", "FAILED", [("One", ""), ("Two", "<failure/>")])
        self.assertEqual(self.count(), (3, ["//a:bad Suite.Two"], ["//a:good Suite.Three"]))

    def test_a_target_that_names_no_failed_case_counts_as_one(self):
        self.ran("//a:crashed", "FAILED", [("One", "")])
        self.ran("//a:slow", "TIMEOUT", [])
        self.events.append({"id": {"targetCompleted": {"label": "//a:broken"}}, "aborted": {"reason": "ANALYSIS_FAILURE"}})
        self.events.append({"id": {"testSummary": {"label": "//a:lost"}}, "testSummary": {"overallStatus": "PASSED"}})
        self.assertEqual(self.count(), (1, ["//a:broken (failed to build)", "//a:crashed (failed)", "//a:lost (passed)", "//a:slow (timeout)"], []))

    def test_a_log_that_no_event_names_is_not_read(self):
        self.ran("//a:gone", "FAILED", [("One", "<failure/>")])
        self.events.clear()
        self.ran("//a:good", "PASSED", [("One", "")])
        self.assertEqual(self.count(), (1, [], []))


if __name__ == "__main__":
    sys.exit(main())
