#!/usr/bin/python3
"""The reference pages in docs/reference say what the programs say, and the configuration schema has every flag.

Proved: docs/reference/flags.md is the --help of all binaries, byrniectl.md that of its commands, api.md the operator's API;
docs/reference/metrics.md lists the metrics of a running mesh; each message of byrnie.config.v1 has a field for every flag and none besides; docs/operations.md explains every reason
with which a connection can end, every admin page, and what to do about every metric of every process, and none besides, and is about every flag of the proxy and the redirect; the list of reasons in the proxy is that of its headers; everything declared in api has a comment.

    BYRNIE_WRITE_REFERENCE=1 reference_test.py      writes the pages instead of comparing
"""

import glob
import json
import os
import re
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.kubernetes import Authority, kubeconfig
from testing.loopback_control_plane import LoopbackControlPlane
from testing.mesh import BINARIES, REPOSITORY, binary_path, http_request
from testing.token_issuer import SigningKey, TokenIssuer

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


def ctl_page():
    """What byrniectl says of itself, at every level."""
    overview = help_text("byrniectl")
    page = f"# byrniectl\n\nWhat `byrniectl --help` says, and of each command.\n\n```\n{overview.rstrip()}\n```\n"
    commands = re.search(r"COMMAND \[flags\]\n\n(.*?)\n\n", overview, re.S)[1]
    for name in re.findall(r"^  (\S+(?: \S+)?)  ", commands, re.M):
        text = subprocess.run([binary_path("byrniectl"), *name.split(), "--help"], capture_output=True, text=True, check=True)
        page += f"\n## {name}\n\n```\n{text.stdout.rstrip()}\n```\n"
    return page


def comment_text(lines):
    return " ".join(line.strip().removeprefix("//").strip() for line in lines)


def api_page():
    """byrnie.operator.v1 as its files say it."""
    page = "# The operator's API\n\n`byrnie.operator.v1.Operator`, gRPC over TLS on the control plane's port.\n\n"
    folder = os.path.join(REPOSITORY, "api/byrnie/operator/v1")
    # The service first, then the messages that have files of their own.
    for name in sorted(os.listdir(folder), key=lambda name: (name != "operator.proto", name)):
        with open(os.path.join(folder, name), encoding="utf-8") as text:
            page += api_file(text.read().splitlines())
    return page


def api_file(lines):
    head = lines[:next(number for number, line in enumerate(lines) if not line.startswith("//"))]
    page = "\n".join(line.removeprefix("//").strip() for line in head) + "\n"
    comment, table, inside = [], False, []
    for line in lines[len(head):]:
        stripped = line.strip()
        opening = re.match(r"(service|message|enum|oneof) (\w+) \{", stripped)
        if opening and stripped.endswith("{}"):
            page += f"\n## {opening[1]} {opening[2]}\n\n{comment_text(comment)}\n"
            comment = []
            continue
        entry = (re.match(r"rpc (\w+)\((?:stream )?(\w+)\) returns \((stream )?(\w+)\);", stripped)
                 or re.match(r"((?:repeated )?[\w.]+) (\w+) = (\d+);", stripped) or re.match(r"(\w+) = (\d+);", stripped))
        if stripped.startswith("//"):
            comment.append(stripped)
            continue
        if opening:
            inside.append(opening[2])
            if opening[1] != "oneof":
                page += f"\n## {opening[1]} {'.'.join(inside)}\n\n{comment_text(comment)}\n"
                table = False
        elif stripped.startswith("}"):
            inside.pop()
            if inside:
                page += f"\n### Fields of {'.'.join(inside)}\n"
            table = False
        elif entry:
            if not table:
                page += "\n| | | |\n|---|---|---|\n"
                table = True
            groups = entry.groups()
            kind, name = ((f"{groups[1]} → {groups[2] or ''}{groups[3]}", groups[0]) if stripped.startswith("rpc")
                          else (groups[0], groups[1]) if len(groups) == 3 else (groups[1], groups[0]))
            page += f"| `{name}` | {kind} | {comment_text(comment)} |\n"
        comment = []
    return page


def families(text):
    """(name, type, help) of the families in Prometheus text."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    return [(name, kind, helps.get(name, "")) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)]


def metrics_in_sources():
    """The names of all metrics, those of what is off by default included."""
    names = set()
    for folder in ("certagent", "controlplane", "proxy", "deploy/redirect"):
        for path in glob.glob(os.path.join(REPOSITORY, folder, "**", "*.cc"), recursive=True):
            if path.endswith("_test.cc"):
                continue
            with open(path, encoding="utf-8") as source:
                names |= set(re.findall(r'"(byrnie_(?:certagent|controlplane|proxy|redirect)_\w+)"', source.read()))
    return names


class ReferenceTest(MeshTestCase):
    maxDiff = None

    @classmethod
    def build(cls):
        # With what has metrics of its own and is off by default.
        config = os.path.join(cls.mesh.directory, "jwt.json")
        TokenIssuer("https://ci.example", [SigningKey("ES256", "k")]).write_config(config, config + ".jwks")
        cls.mesh.control_plane.attest = "join_token,jwt"
        cls.mesh.control_plane.extra_flags = [f"--jwt_config={config}"]
        super().build()

    def compare(self, name, page):
        path = os.path.join(REFERENCE, name)
        if WRITE:
            with open(path, "w", encoding="utf-8") as out:
                out.write(page)
        with open(path, encoding="utf-8") as known:
            self.assertEqual(known.read(), page, f"{path} is stale; write it anew with BYRNIE_WRITE_REFERENCE=1")

    def test_the_flags_page_is_what_help_says(self):
        self.compare("flags.md", flags_page())

    def test_the_page_of_byrniectl_is_what_its_help_says(self):
        self.compare("byrniectl.md", ctl_page())

    def test_the_page_of_the_api_is_what_its_file_says(self):
        self.compare("api.md", api_page())

    def test_the_operators_page_explains_every_step_of_explain(self):
        explained = {word for cell in self.operations("### Why A does not reach B", "### ") for word in re.findall(r"`([^`]+)`", cell)}
        with open(os.path.join(REPOSITORY, "controlplane/explain/explain.h"), encoding="utf-8") as header:
            steps = set(re.findall(r'constexpr char k\w+\[\] = "([^"]+)"', header.read()))
        with open(os.path.join(REPOSITORY, "ctl/pod_checks.cc"), encoding="utf-8") as source:
            checks = source.read()
        steps |= set(re.findall(r'Step\("([^"]+)", ExplainStep', checks)) | {"source-proxy", "destination-proxy"}
        # What a proxy's reason stands for: {"reason", "step"}.
        steps |= set(re.findall(r'\{\s*"[a-z-]*",\s*"([a-z-]+)"', checks))
        self.assertEqual(explained, steps)

    def test_the_metrics_page_lists_what_a_mesh_exports(self):
        page = "# Metrics\n\nWhat `/metrics` of each process exports, in Prometheus' text format.\n"
        for title, text in (
                ("Proxy, port 15020 and admin", http_request(self.client.host, 15000, "/metrics")[1]),
                ("Agent, admin", self.client.agent_admin("/metrics")[1]),
                ("Control plane, admin", self.mesh.control_plane.admin("/metrics")[1] + self.metrics_with_a_cluster())):
            page += f"\n## {title}\n\n| metric | type | meaning |\n|---|---|---|\n"
            for name, kind, meaning in sorted(set(families(text))):
                page += f"| `{name}` | {kind} | {meaning} |\n"
        others = sorted(metrics_in_sources() - set(re.findall(r"^\| `(\w+)`", page, re.M)))
        page += ("\n## With an etcd, a plugged CA, files of the agent or a redirect that watches alone\n\n"
                 "What they say is in [What a metric says](../operations.md#what-a-metric-says-and-what-to-do).\n\n")
        page += "".join(f"* `{name}`\n" for name in others)
        self.compare("metrics.md", page)

    def metrics_with_a_cluster(self):
        """Of a control plane that follows a cluster, whose API server is away."""
        plane = LoopbackControlPlane("--attest=kubernetes", registry="kubernetes")
        config = json.dumps(kubeconfig("https://127.0.0.1:1", Authority("away"), {"token": "a"}))
        plane.flags += [f"--kubeconfig={plane.write_secret('kubeconfig', config)}", "--webhook_listen=127.0.0.1:0"]
        with plane:
            return urllib.request.urlopen(f"http://127.0.0.1:{plane.admin_port}/metrics", timeout=10).read().decode()

    def operations(self, begin, end):
        """The rows between two headings of docs/operations.md, each as the text of its first cell."""
        with open(os.path.join(REPOSITORY, "docs", "operations.md"), encoding="utf-8") as text:
            part = text.read().split(f"\n{begin}\n", 1)[1].split(f"\n{end}", 1)[0]
        return [line.split("|")[1].strip() for line in part.splitlines() if line.startswith("| ")][1:]

    def test_the_operators_page_explains_every_reason(self):
        explained = [word for cell in self.operations("## What a reason means", "## ")
                     for word in re.findall(r"`([^`]+)`", cell)]
        exported = {sample.labels["reason"] for sample in self.client.families()["byrnie_proxy_refused_total"].samples}
        self.assertEqual(sorted(explained), sorted(exported | {"closed"}))

    def test_the_operators_page_says_what_to_do_about_every_metric(self):
        """Of all processes, those that are off by default included, and about no metric that there is none of."""
        with open(os.path.join(REFERENCE, "metrics.md"), encoding="utf-8") as text:
            metrics = set(re.findall(r"^\| `(\w+)`", text.read(), re.M))
        metrics |= metrics_in_sources()
        self.assertGreater(len(metrics), 100)
        with open(os.path.join(REPOSITORY, "docs", "operations.md"), encoding="utf-8") as text:
            part = text.read().split("\n### What a metric says, and what to do\n", 1)[1].split("\n### ", 1)[0]
        explained = []
        for line in (line for line in part.splitlines() if line.startswith("| `")):
            names, wrong, then = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            self.assertTrue(wrong and then, line)
            explained += re.findall(r"`(\w+)`", names)
        self.assertEqual(sorted(explained), sorted(metrics))

    def test_the_operators_page_is_about_every_flag(self):
        """Of the proxy and the redirect, which are in every pod."""
        with open(os.path.join(REPOSITORY, "docs", "operations.md"), encoding="utf-8") as text:
            page = text.read()
        flags = {flag for name in ("byrnie-proxy", "byrnie-redirect") for flag in re.findall(r"^  --(\w+)=", help_text(name), re.M)}
        self.assertEqual(sorted(flag for flag in flags if not re.search(rf"--{flag}\b", page)), [])

    def test_the_list_of_reasons_is_that_of_the_headers(self):
        named = set()
        for path in (path for folder in ("proxy", "common/policy") for path in glob.glob(os.path.join(REPOSITORY, folder, "*.h"))):
            with open(path, encoding="utf-8") as header:
                for body in re.findall(r"^namespace \w+_reason \{\n(.*?)^\}", header.read(), re.M | re.S):
                    named |= set(re.findall(r'k\w+ =\s+"([^"]+)"', body))
        # Those that let a connection go on end none.
        named = {word for word in named if not word.startswith(("allowed-", "default-allow-"))}
        exported = {sample.labels["reason"] for sample in self.client.families()["byrnie_proxy_refused_total"].samples}
        self.assertEqual(sorted(named), sorted(exported | {"closed"}))

    def test_the_operators_page_explains_every_admin_page(self):
        served = []
        for program, ask in (("Proxy", self.client.admin), ("Agent", self.client.agent_admin),
                             ("Control plane", self.mesh.control_plane.admin)):
            status, text = ask("/nothing")
            self.assertEqual(status, 404)
            for path in re.findall(r"(/[\w/]*(?:\.json)?)", text):
                methods = re.search(r"use (.*)", ask(path, "PUT")[1])[1].split(", ")
                served += [f"{program} {method} {path}" for method in methods if method != "HEAD"]
        explained, program = [], None
        for cell in self.operations("### Every admin page", "Alert on"):
            heading = re.match(r"\*\*([\w ]+),", cell)
            program = heading[1] if heading else program
            explained += [f"{program} {page}" for page in re.findall(r"`((?:GET|POST) /[^`?]*)`", cell)]
        self.assertEqual(sorted(explained), sorted(served))

    def test_everything_in_the_api_has_a_comment(self):
        declaration = re.compile(r"\s*((message|enum|service|rpc|oneof) \w+|(optional |repeated )?(map<.*>|[\w.]+) \w+ = \d+|[A-Z]\w* = \d+)")
        for path in glob.glob(os.path.join(REPOSITORY, "api", "**", "*.proto"), recursive=True):
            with open(path, encoding="utf-8") as text:
                lines = text.read().splitlines()
            declared = [number for number, line in enumerate(lines) if declaration.match(line)]
            self.assertTrue(declared, path)
            bare = [f"{number + 1}: {lines[number].strip()}" for number in declared if not lines[number - 1].lstrip().startswith("//")]
            self.assertEqual(bare, [], f"{path} has declarations without a comment")

    def test_the_configuration_schema_has_every_flag(self):
        for name, proto in SCHEMAS.items():
            with open(os.path.join(REPOSITORY, f"api/byrnie/config/v1/{proto}.proto"), encoding="utf-8") as text:
                numbered = re.findall(r"^  (?:optional |repeated )?[\w.]+ (\w+) = (\d+);", text.read(), re.M)
            fields = [field for field, _ in numbered]
            self.assertEqual(len({number for _, number in numbered}), len(fields), f"{proto}: a number is given twice")
            flags = re.findall(r"^  --(\w+)=", help_text(name), re.M)
            self.assertEqual(sorted(fields), sorted(flag for flag in flags if flag != "config"), name)


if __name__ == "__main__":
    sys.exit(main())
