#!/usr/bin/env python3
"""Counts the test cases of one `bazel test` from the build events it wrote with --build_event_json_file: prints how many
passed and how many failed, then "failed NAME" or "skipped NAME" for each that did.

The events, and not the folder of test logs, say what this run tested: logs of targets that are gone stay in that folder.
A target that failed without naming a case (it crashed or timed out) or did not build counts as one failed test.
"""
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def read_events(path):
    """(labels of the test targets in order, their test.xml, their overall status) of an events file."""
    logs, statuses = {}, {}
    with open(path, encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            key = event["id"]
            if "testResult" in key:
                for output in event.get("testResult", {}).get("testActionOutput", []):
                    if output["name"] == "test.xml":
                        # A later attempt replaces an earlier one.
                        logs[key["testResult"]["label"]] = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            elif "testSummary" in key:
                statuses[key["testSummary"]["label"]] = event.get("testSummary", {}).get("overallStatus", "NO_STATUS")
            elif "targetCompleted" in key and not event.get("completed", {}).get("success", False):
                statuses.setdefault(key["targetCompleted"]["label"], "FAILED_TO_BUILD")
    return sorted(statuses), logs, statuses


def count_file(path):
    """(passed, names of the failed, names of the skipped) of one test.xml."""
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None:
            skipped.append(name)
        else:
            passed += 1
    return passed, failed, skipped


def count(path):
    """(passed, names of the failed, names of the skipped) of all the targets of an events file."""
    passed, failed, skipped = 0, [], []
    labels, logs, statuses = read_events(path)
    for label in labels:
        good = statuses[label] in ("PASSED", "FLAKY")
        try:
            more_passed, more_failed, more_skipped = count_file(logs[label])
        except (KeyError, OSError, ElementTree.ParseError):
            more_passed, more_failed, more_skipped = 0, [], []
            good = False
        passed += more_passed
        failed += [f"{label} {name}" for name in more_failed]
        skipped += [f"{label} {name}" for name in more_skipped]
        if not good and not more_failed:
            failed.append(f"{label} ({statuses[label].lower().replace('_', ' ')})")
    return passed, failed, skipped


def main():
    passed, failed, skipped = count(sys.argv[1])
    print(passed, len(failed), *(f"failed {name}" for name in failed), *(f"skipped {name}" for name in skipped), sep="\n")


if __name__ == "__main__":
    main()
