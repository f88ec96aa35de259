#!/usr/bin/env python3
"""Prints "PASSED FAILED": the test cases in the test.xml files below a Bazel testlogs directory.

A target that failed without naming a case (it crashed or timed out) counts as one failed test.
"""
import os
import sys
import xml.etree.ElementTree as ElementTree


def count_file(path):
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return 0, 1
    cases = list(root.iter("testcase"))
    failed = sum(1 for case in cases
                 if case.find("failure") is not None or case.find("error") is not None)
    return len(cases) - failed, failed


def main():
    passed = failed = 0
    for folder, _, files in os.walk(sys.argv[1], followlinks=True):
        if "test.xml" in files:
            more_passed, more_failed = count_file(os.path.join(folder, "test.xml"))
            passed += more_passed
            failed += more_failed
    print(passed, failed)


main()
