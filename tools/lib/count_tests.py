#!/usr/bin/env python3
"""Counts the test cases in the test.xml files below a Bazel testlogs directory: prints how many passed, how many failed, and the
name of each that skipped itself, one a line.

A target that failed without naming a case (it crashed or timed out) counts as one failed test.
"""
import os
import sys
import xml.etree.ElementTree as ElementTree


def count_file(path):
    """(passed, failed, names of the skipped) of one file."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return 0, 1, []
    passed, failed, skipped = 0, 0, []
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped.append(f"{case.get('classname')}.{case.get('name')}")
        else:
            passed += 1
    return passed, failed, skipped


def main():
    passed, failed, skipped = 0, 0, []
    for folder, _, files in os.walk(sys.argv[1], followlinks=True):
        if "test.xml" in files:
            more_passed, more_failed, more_skipped = count_file(os.path.join(folder, "test.xml"))
            passed += more_passed
            failed += more_failed
            skipped += more_skipped
    print(passed, failed, *sorted(skipped), sep="\n")


main()
