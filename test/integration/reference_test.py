#!/usr/bin/python3
"""The reference pages in docs/reference say what the programs say, and the configuration schema has every flag.

Proved: docs/reference/flags.md is the --help of all binaries; docs/reference/metrics.md lists the metrics of a running
mesh; each message of byrnie.config.v1 has a field for every flag and none besides.

    BYRNIE_WRITE_REFERENCE=1 reference_test.py      writes the pages instead of comparing
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import BINARIES, REPOSITORY, binary_path, http_request

REFERENCE = os.path.join(REPOSITORY, "docs", "reference")
WRITE = os.environ.get("BYRNIE_WRITE_REFERENCE")
SCHEMAS = {"byrnie-proxy": "proxy", "byrnie-certagent": "agent", "byrnie-controlplane": "controlplane"}


def help_text(name):
    return subprocess.run([binary_path(name), "--help"], capture_output=True, text=True, check=True).stdout


def flags_page():
    page = ("# Flags\n\nWhat `--help` of each program says. A `--config` file is a JSON object with the same names; "
            "the command line wins.\n")
    for name in BINARIES:
        page += f"\n## {name}\n\n```\n{help_text(name).rstrip()}\n```\n"
    return page


def families(text):
    """(name, type, help) of the families in Prometheus text."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    return [(name, kind, helps.get(name, "")) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)]


class ReferenceTest(MeshTestCase):
    maxDiff = None

    def compare(self, name, page):
        path = os.path.join(REFERENCE, name)
        if WRITE:
            with open(path, "w", encoding="utf-8") as out:
                out.write(page)
        with open(path, encoding="utf-8") as known:
            self.assertEqual(known.read(), page, f"{path} is stale; write it anew with BYRNIE_WRITE_REFERENCE=1")

    def test_the_flags_page_is_what_help_says(self):
        self.compare("flags.md", flags_page())

    def test_the_metrics_page_lists_what_a_mesh_exports(self):
        page = "# Metrics\n\nWhat `/metrics` of each process exports, in Prometheus' text format.\n"
        for title, text in (
                ("Proxy, port 15020 and admin", http_request(self.client.host, 15000, "/metrics")[1]),
                ("Agent, admin", self.client.agent_admin("/metrics")[1]),
                ("Control plane, admin", self.mesh.control_plane.admin("/metrics")[1])):
            page += f"\n## {title}\n\n| metric | type | meaning |\n|---|---|---|\n"
            for name, kind, meaning in families(text):
                page += f"| `{name}` | {kind} | {meaning} |\n"
        self.compare("metrics.md", page)

    def test_the_configuration_schema_has_every_flag(self):
        for name, proto in SCHEMAS.items():
            with open(os.path.join(REPOSITORY, f"api/byrnie/config/v1/{proto}.proto"), encoding="utf-8") as text:
                fields = re.findall(r"^  (?:optional |repeated )?[\w.]+ (\w+) = \d+;", text.read(), re.M)
            flags = re.findall(r"^  --(\w+)=", help_text(name), re.M)
            self.assertEqual(sorted(fields), sorted(flag for flag in flags if flag != "config"), name)


if __name__ == "__main__":
    sys.exit(main())
