#!/usr/bin/python3
"""What an operator types: byrniectl's commands, for people and for scripts, against a real control plane.

Proved: every command, as text and as JSON; connection flags from the environment, and the command line wins; the exit codes
0 done, 1 a problem, 2 usage, 3 unreachable, 4 not allowed; --help at every level; completion in a real bash; a bug report is
a tar file with all there is and none of the secrets; JSON is one dialect; followed events go on after a break, each once; what an operator's name or a policy says cannot speak to the terminal.
"""

import json
import os
import queue
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.issuer import Issuer, key_pem, new_key, pem
from testing.loopback_control_plane import LoopbackControlPlane, policy
from testing.mesh import binary_path
from testing.process import wait_until
from testing.token_issuer import SigningKey, TokenIssuer



class Relay:
    """A port in front of another one, whose connections are cut and refused until it is mended."""

    def __init__(self, port):
        self.target, self.up = port, True
        self.sockets, self.lock = set(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                if not self.up:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            self.up = False
            for one in self.sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def mend(self):
        with self.lock:
            self.up = True

    def close(self):
        self.cut()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.sockets:
            one.close()


WORKLOAD, ALICE = "spiffe://cluster.local/ns/demo/sa/w0", "spiffe://cluster.local/ns/ops/sa/alice"
COMMANDS = ["status", "check", "explain", "workloads list", "workloads get", "workloads apply", "workloads delete", "services list",
            "services get", "services apply", "services delete", "agents", "certs", "identity", "flows", "events", "policy list",
            "policy get", "policy validate", "policy apply", "policy diff", "policy suggest", "policy delete", "token create", "token list", "token revoke",
            "proxy config", "proxy connections", "proxy log", "proxy drain", "bug-report", "verify", "inject", "uninject", "install", "uninstall", "manifests",
            "completion", "help", "version"]


def write_atomically(path, text):
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(path + ".new", path)


class CtlTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane(f"--operators={ALICE}=operator")
        try:
            plane = cls.plane
            plane.registry.workload("w0", "demo", "w0", ["10.0.0.1"])
            plane.registry.workload("w1", "demo", "w1", ["10.0.0.2"], tunnel_protocol="NONE")
            plane.registry.service("web", "demo", ["10.96.0.1"], 80, 8080, ["w1"])
            plane.registry.write()
            plane.start()
            cls.viewer = plane.write_secret("viewer.token", plane.ctl("token", "create", "--operator=vera", "--role=viewer").stdout.strip())
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    def ctl(self, *arguments, **options):
        return self.plane.ctl(*arguments, **options).stdout

    def fails(self, code, *arguments, **options):
        done = self.plane.ctl(*arguments, check=False, **options)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        if code != 1:
            self.assertRegex(done.stderr, r"\Abyrniectl: error: [^\n]+\n\Z")
        return done.stderr + done.stdout

    def ctl_of_any_end(self, *arguments):
        """The same, where it is not said whether it finds a problem."""
        return self.plane.ctl(*arguments, check=False).stdout

    def policy_file(self, document):
        path = self.plane.path("policy.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(document)
        return path

    def test_0_what_runs(self):
        self.assertIn("you are           operator-token-file, admin", self.ctl("status"))
        status = json.loads(self.ctl("status", "-o", "json"))
        self.assertEqual((status["caller_role"], status["workloads"]), ("ROLE_ADMIN", "2"))
        self.assertIn("demo/w0", self.ctl("workloads", "list"))
        self.assertEqual([entry["name"] for entry in json.loads(self.ctl("workloads", "list", "-o=json"))], ["w0", "w1"])
        self.assertIn("10.0.0.1", self.ctl("workloads", "get", "demo/w0"))
        self.assertEqual(json.loads(self.ctl("workloads", "list", "--namespace=nowhere", "-o", "json")), [])
        self.assertIn("1 of 1 usable", self.ctl("services", "list"))
        self.assertIn("no agent", self.ctl("agents"))
        self.assertEqual(json.loads(self.ctl("agents", "-o", "json")), [])
        self.assertIn("no certificate", self.ctl("certs"))
        self.assertIn("demo/w0", self.ctl("identity", WORKLOAD))

    def test_the_next_control_plane_is_asked_when_the_first_is_gone(self):
        both = {"BYRNIE_CONTROL_PLANE": f"127.0.0.1:1,127.0.0.1:{self.plane.port}"}
        for command in (("services", "list"), ("trust", "status"), ("policy", "list"), ("token", "create", "--identity", WORKLOAD)):
            done = self.plane.ctl(*command, environment=both)
            self.assertRegex(done.stderr, r"\Abyrniectl: note: [^\n]*127\.0\.0\.1:1 cannot be reached\n(byrniectl: note: its id [^\n]*\n)?\Z")
        # What each knows for itself is not all there where one has not answered.
        for command in (("status",), ("agents",), ("events",)):
            done = self.plane.ctl(*command, environment=both, check=False)
            self.assertEqual(done.returncode, 6, done.stderr)
            self.assertRegex(done.stderr, r"\Abyrniectl: note: [^\n]*127\.0\.0\.1:1 has not answered[^\n]*\n\Z")
        done = self.plane.ctl("status", environment={"BYRNIE_CONTROL_PLANE": "127.0.0.1:1,127.0.0.1:2"}, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)

    def test_dashes_and_joined_values_are_taken(self):
        self.assertIn("caller", json.loads(self.ctl("status", "-ojson")))
        self.assertIn("prepare", self.ctl("trust", "rotate", "--dry-run"))

    def test_without_connections_a_policy_diff_says_nothing(self):
        done = self.plane.ctl("policy", "diff", self.policy_file(policy("p")), check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("no connection was seen to compare with", done.stdout)

    def test_what_is_wrong_is_named_with_a_remedy(self):
        text = self.fails(1, "check")
        self.assertRegex(text, r"BAD +agents-connected +no agent is connected of demo/w0")
        results = {entry["name"]: entry for entry in json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout)}
        self.assertEqual(results["agents-connected"]["outcome"], "bad")
        self.assertTrue(results["agents-connected"]["remedy"])
        self.assertEqual(results["services"]["outcome"], "good")
        for name in ("store", "stored-records", "issuance-log", "issuing", "root-certificate", "ca-certificate", "root-rotation", "revocation-lists",
                     "stored-registry", "control-planes", "same-roots", "same-configuration", "unmeshed-pods", "opted-out-pods", "cluster-policies", "injection-webhook", "trust-bundle", "bundle-file",
                     "input-files"):
            self.assertEqual((results[name]["outcome"], results[name]["remedy"]), ("good", ""), name)
        conditions = json.loads(self.ctl("status", "-o", "json"))["conditions"]
        self.assertEqual([condition["name"] for condition in conditions][:2], ["store", "stored-records"])
        self.assertRegex(conditions[0]["since"], r"\A\d{4}-\d\d-\d\dT[\d:.]+Z\Z")

    def test_policies(self):
        file = self.policy_file(policy("p"))
        self.assertIn("about 2 workloads", self.ctl("policy", "validate", "-f", file))
        self.assertIn("is in force", self.ctl("policy", "apply", "-f", file))
        self.assertIn("is in force already", self.ctl("policy", "apply", "--file=-", stdin=policy("p")))
        self.assertEqual(json.loads(self.ctl("policy", "get", "demo/p")), json.loads(policy("p")))
        version = json.loads(self.ctl("policy", "get", "demo/p", "-o", "json"))["version"]
        self.fails(1, "policy", "apply", "-f", self.policy_file(policy("p", port=81)), "--expect=0")
        self.ctl("policy", "apply", "-f", self.policy_file(policy("p", port=81)), f"--expect={version}")
        self.assertIn("demo/p", self.ctl("policy", "list"))
        everything = json.dumps({"name": "all", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                                 "rules": [{"clauses": [{}]}]})
        self.assertIn("every connection", self.fails(1, "policy", "apply", "-f", self.policy_file(everything)))
        self.assertIn("warning: ", self.fails(1, "policy", "validate", "-f", self.policy_file(everything)))
        self.ctl("policy", "apply", "-f", self.policy_file(everything), "--accept")
        self.ctl("policy", "delete", "demo/all")
        self.ctl("policy", "delete", "demo/p")
        self.fails(1, "policy", "get", "demo/p")
        self.assertIn("document.action", self.fails(1, "policy", "apply", "-f", self.policy_file(policy("x", action="AUDIT"))))
        # More than a control plane takes of one is refused before it is sent.
        large = self.policy_file(" " * (256 * 1024) + policy("x"))
        for command in ("validate", "apply"):
            self.assertIn("longer than 262144 bytes; make several policies of it", self.fails(2, "policy", command, "-f", large))
        self.assertIn("longer than 262144 bytes", self.fails(2, "policy", "diff", large))

    def test_workloads_and_services(self):
        document = {"workloads": [{"name": "vm", "namespace": "demo", "service_account": "vm", "addresses": ["10.0.0.9"],
                                   "services": {"demo/vms.demo": [{"service_port": 80, "target_port": 80}]}}],
                    "services": [{"name": "vms", "namespace": "demo", "hostname": "vms.demo", "addresses": ["10.96.0.9"],
                                  "ports": [{"service_port": 80}]}]}
        text = self.ctl("workloads", "apply", "-f", "-", stdin=json.dumps(document))
        self.assertRegex(text, r"service demo/vms\.demo is in force, version .*\nworkload static//pod/demo/vm is in force, version ")
        self.assertRegex(self.ctl("workloads", "list"), r"demo/vm +10\.0\.0\.9 .* API\n")
        self.assertRegex(self.ctl("services", "list"), r"demo/vms\.demo +10\.96\.0\.9 .* API\n")
        # What get prints apply takes.
        for kind, name in (("workloads", "demo/vm"), ("services", "demo/vms.demo")):
            printed = self.ctl(kind, "get", name)
            self.assertIn("is in force already", self.ctl(kind, "apply", "-f", "-", stdin=printed))
            version = json.loads(self.ctl(kind, "get", name, "-o", "json"))["version"]
            self.fails(1, kind, "apply", "-f", "-", "--expect=none", stdin=printed)
            self.ctl(kind, "apply", "-f", "-", f"--expect={version}", stdin=printed)
        applied = json.loads(self.ctl("services", "apply", "-f", "-", "-o", "json", stdin=json.dumps(document)))
        self.assertEqual([entry["change"] for entry in applied["entries"]], ["CHANGE_UNCHANGED"] * 2)
        self.assertIn("in use", self.fails(1, "services", "delete", "demo/vms.demo"))
        self.assertIn("registry file", self.fails(1, "workloads", "delete", "demo/w0"))
        self.fails(2, "workloads", "apply")
        self.fails(4, "workloads", "apply", "-f", "-", stdin=json.dumps(document), token=self.viewer)
        self.ctl("workloads", "delete", "demo/vm")
        self.ctl("services", "delete", "demo/vms.demo")
        self.fails(1, "workloads", "get", "demo/vm")

    def test_tokens(self):
        self.assertTrue(self.ctl("token", "create", "--identity", WORKLOAD, "--ttl", "5m").strip())
        token = self.plane.write_secret("bob.token", self.ctl("token", "create", "--operator=bob", "--role=operator", "--ttl=1h").strip())
        self.assertIn("bob, operator", self.ctl("status", token=token))
        self.assertIn("bob", self.ctl("token", "list"))
        self.ctl("token", "revoke", "bob")
        self.assertIn("revoked", self.fails(4, "status", token=token))
        self.fails(1, "token", "revoke", "bob")

    def test_join_tokens_are_listed_and_revoked(self):
        note = self.plane.ctl("token", "create", "--identity", f"{WORKLOAD}-revoked").stderr
        listed = [entry for entry in json.loads(self.ctl("token", "list", "--join", "-o", "json"))
                  if entry["spiffe_id"] == f"{WORKLOAD}-revoked"]
        self.assertEqual(len(listed), 1)
        self.assertIn(listed[0]["id"], note)
        self.assertIn(f"{WORKLOAD}-revoked", self.ctl("token", "list", "--join"))
        self.ctl("token", "revoke", "--join", listed[0]["id"])
        self.assertNotIn(f"{WORKLOAD}-revoked", self.ctl("token", "list", "--join"))
        self.fails(1, "token", "revoke", "--join", listed[0]["id"])

    def test_events(self):
        self.ctl("token", "create", "--identity", WORKLOAD)
        self.assertRegex(self.ctl("events"), rf"token_changed  {WORKLOAD}  join token made  by operator-token-file")
        lines = self.ctl("events", "-o", "json", "--kinds=token_changed")
        events = [json.loads(line)["event"] for line in lines.splitlines()]
        cursor = events[-1]["cursor"]
        self.assertEqual(self.ctl("events", f"--cursor={cursor}"), "")
        self.assertIn("policy_changed", self.fails(2, "events", "--kinds=nonsense"))

    # What scripts read: one dialect, whichever command it is (docs/operations.md).

    LISTS = [("workloads", "list"), ("services", "list"), ("agents",), ("certs",), ("flows",), ("policy", "list"), ("token", "list"),
             ("token", "list", "--join"), ("issuances",), ("revocations",), ("check",)]
    OBJECTS = [("status",), ("identity", WORKLOAD), ("trust", "status"), ("workloads", "get", "demo/w0"),
               ("services", "get", "demo/web.demo.svc.cluster.local"), ("policy", "get", "demo/dialect"), ("policy", "suggest", "demo"),
               ("explain", "10.0.0.1", "demo/web:80"), ("token", "create", "--identity", WORKLOAD)]

    def assert_dialect(self, value, command, name=""):
        """Names as in docs/reference/api.md; a time is RFC 3339 in UTC."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.assertRegex(key, r"\A[a-z][a-z0-9_]*\Z", (command, name))
                self.assert_dialect(inner, command, key)
        elif isinstance(value, list):
            for inner in value:
                self.assert_dialect(inner, command, name)
        elif name in ("time", "since") or name.endswith(("_at", "_since", "_seen", "not_after")):
            self.assertRegex(value, r"\A\d{4}-\d\d-\d\dT[\d:.]+Z\Z", (command, name))

    def test_json_is_one_dialect(self):
        self.ctl("policy", "apply", "-f", self.policy_file(policy("dialect", port=7777)))
        self.addCleanup(self.ctl, "policy", "delete", "demo/dialect")
        self.plane.issue(WORKLOAD)
        for command in self.LISTS + self.OBJECTS:
            done = self.plane.ctl(*command, "-o", "json", check=False)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            value = json.loads(done.stdout)
            self.assertIsInstance(value, list if command in self.LISTS else dict, command)
            self.assert_dialect(value, command)
        self.assertEqual(json.loads(self.ctl("status", "-o", "json"))["conditions"][0]["state"], "STATE_OK")

    def test_what_is_done_is_an_object_for_scripts(self):
        self.ctl("policy", "apply", "-f", self.policy_file(policy("gone", port=7778)))
        self.assertEqual(json.loads(self.ctl("policy", "delete", "demo/gone", "-o", "json")),
                         {"done": "deleted", "kind": "policy", "name": "demo/gone"})
        self.ctl("token", "create", "--operator=gone", "--role=viewer")
        self.assertEqual(json.loads(self.ctl("token", "revoke", "gone", "-o", "json")),
                         {"done": "revoked", "kind": "operator_token", "name": "gone"})
        self.assertEqual(sorted(json.loads(self.ctl("version", "-o", "json"))), ["name", "release"])
        self.assertEqual(self.ctl("version"), self.ctl("--version"))

    def test_a_control_plane_is_no_proxy(self):
        admin = f"--admin=127.0.0.1:{self.plane.admin_port}"
        for arguments in (("log", "debug"), ("drain",)):
            self.assertIn("the admin port of byrnie-controlplane", self.fails(2, "proxy", *arguments, admin))
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/", timeout=10) as page:
            self.assertIn("<td>log level</td><td>info", page.read().decode())

    def test_ready_says_the_address_once(self):
        self.assertEqual(self.fails(3, "ready", "--admin=127.0.0.1:1").count("127.0.0.1:1"), 1)

    def test_a_certificate_without_a_stream_is_shown(self):
        # An agent of an Istio mesh asks for a certificate and for nothing else.
        other = "spiffe://cluster.local/ns/demo/sa/of-istio"
        self.plane.issue(other)
        serial = next(entry["serial"] for entry in json.loads(self.ctl("issuances", "-o", "json")) if entry["spiffe_id"] == other)
        shown = [entry for entry in json.loads(self.ctl("certs", "-o", "json")) if entry["spiffe_id"] == other]
        self.assertEqual([(entry["certificate_serial"], entry["connected"]) for entry in shown], [(serial, False)])
        self.assertIn("no stream, asked for a certificate", self.ctl("certs"))
        self.assertIn("no stream, asked for a certificate", self.ctl("identity", other))

    def test_issuances_are_chosen(self):
        chosen = "spiffe://cluster.local/ns/demo/sa/chosen"
        self.plane.issue(chosen)
        def listed(*flags):
            return [(entry["spiffe_id"], entry["serial"]) for entry in json.loads(self.ctl("issuances", *flags, "-o", "json"))]
        everything = listed()
        (identity, serial), = listed(f"--identity={chosen}")
        self.assertEqual(identity, chosen)
        for typed in (serial, serial.upper()):
            self.assertEqual(listed(f"--serial={typed}"), [(chosen, serial)])
        self.assertIn((chosen, serial), listed("--since=1h"))
        self.assertEqual(listed("--until=1h"), [])
        self.assertEqual(listed("--since=2020-01-31T12:00:00Z", "--until=2090-01-31T12:00:00Z"), everything)
        self.assertEqual(listed("--since=2090-01-31T12:00:00Z"), [])
        self.assertIn("nothing was issued", self.ctl("issuances", "--until=1h"))
        # What nobody can have been issued is no answer "nothing".
        for flags, said in ((["--identity=demo/w0"], "is no SPIFFE ID"), ([f"--serial={serial}x"], "is not a serial number"),
                            (["--since=yesterday"], "neither how long ago"), (["--until=-2h"], "neither"),
                            (["--since=1h", "--until=2h"], "is not after --since")):
            with self.subTest(flags=flags):
                self.assertIn(said, self.fails(2, "issuances", *flags))

    def test_a_dry_run_of_a_rotation_says_first_that_nothing_was_changed(self):
        said = self.ctl("trust", "rotate", "--dry_run")
        self.assertRegex(said, r"\Adry run, nothing was changed; the next move would be prepare, which ")
        self.assertNotIn("goes on by itself", said)
        self.assertIn("no rotation is under way", self.ctl("trust", "status"))

    def test_a_certificate_of_what_has_left_is_no_problem_when_it_ends(self):
        job = "spiffe://cluster.local/ns/ci/sa/job"
        self.plane.issue(job, seconds=2)
        def certificates():
            return next(entry for entry in json.loads(self.plane.ctl("check", "-o", "json", check=False).stdout) if entry["name"] == "certificates")
        wait_until(lambda: "CERTIFICATE_ENDED" in next(
            (str(entry["troubles"]) for entry in json.loads(self.ctl("agents", "-o", "json")) if entry["spiffe_id"] == job), ""), 10, "its end")
        self.assertNotIn(job, certificates()["message"])

    def test_a_control_plane_without_a_registry_of_its_own(self):
        plane = LoopbackControlPlane(registry="")
        self.addCleanup(plane.__exit__)
        plane.start()
        self.assertRegex(plane.ctl("check").stdout, r"(?m)^note +registry +no workload is registered yet")
        document = plane.write_secret("workloads.json", json.dumps(
            {"workloads": [{"name": "w", "namespace": "demo", "service_account": "w", "addresses": ["10.0.0.1"], "tunnel_protocol": "NONE"}]}))
        plane.ctl("workloads", "apply", "-f", document)
        self.assertIn("demo/w", plane.ctl("workloads", "list").stdout)
        self.assertRegex(plane.ctl("check").stdout, r"(?m)^good +registry +1 workload")
        plane.stop()
        plane.start()
        self.assertIn("demo/w", plane.ctl("workloads", "list").stdout)

    def followed(self, port, *flags):
        return subprocess.Popen([binary_path("byrniectl"), "events", "--follow", "-o", "json", "--kinds=token_changed", *flags,
                                 f"--control_plane=127.0.0.1:{port}", f"--trust_bundle={self.plane.path('bundle.pem')}",
                                 f"--token={self.plane.path('operator.token')}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_followed_events_go_on_after_a_break_without_a_gap(self):
        def make(name):
            self.ctl("token", "create", f"--operator={name}", "--role=viewer")
            self.addCleanup(self.ctl, "token", "revoke", name)
        kept = self.ctl("events", "-o", "json", "--kinds=token_changed")
        cursor = json.loads(kept.splitlines()[-1])["event"]["cursor"]
        relay = Relay(self.plane.port)
        self.addCleanup(relay.close)
        process = self.followed(relay.port, f"--cursor={cursor}")
        subjects = queue.Queue()

        def read():
            for line in process.stdout:
                subjects.put(json.loads(line)["event"]["subject"])
        reader = threading.Thread(target=read)
        reader.start()
        try:
            make("before")
            self.assertEqual(subjects.get(timeout=10), "before")
            relay.cut()
            self.assertIn("trying again", process.stderr.readline())
            make("meanwhile-1")
            make("meanwhile-2")
            relay.mend()
            make("after")
            self.assertEqual([subjects.get(timeout=20) for _ in range(3)], ["meanwhile-1", "meanwhile-2", "after"])
        finally:
            process.terminate()
            reader.join()
            process.stdout.close()
            process.stderr.close()
            process.wait()
        self.assertTrue(subjects.empty())

    def test_events_are_followed(self):
        with subprocess.Popen([binary_path("byrniectl"), "events", "--follow", f"--control_plane=127.0.0.1:{self.plane.port}",
                               f"--trust_bundle={self.plane.path('bundle.pem')}",
                               f"--token={self.plane.path('operator.token')}"], stdout=subprocess.PIPE, text=True) as process:
            try:
                self.ctl("token", "create", "--operator=followed", "--role=viewer")
                for line in process.stdout:
                    if "followed" in line:
                        break
            finally:
                process.terminate()
        self.ctl("token", "revoke", "followed")

    def test_explain(self):
        self.assertIn("it fails at source", self.fails(1, "explain", "demo/nobody", "demo/web:80"))
        # The log knows the certificate of whose agent was never here.
        self.plane.issue(WORKLOAD)
        answer = json.loads(self.plane.ctl("explain", "10.0.0.1", "demo/web:80", "-o", "json", check=False).stdout)
        self.assertEqual(answer["first_failed"], "source-agent")
        self.assertIn("DESTINATION:PORT", self.fails(2, "explain", "10.0.0.1", "demo/web"))

    def test_exit_codes(self):
        for arguments in ((), ("nonsense",), ("token", "burn"), ("status", "x"), ("status", "--nonsense"), ("status", "--probe"),
                          ("status", "--output=xml"), ("token", "create"), ("token", "create", "--operator=x", "--role=god"),
                          ("token", "create", f"--identity={WORKLOAD}", "--ttl=48h"), ("policy", "apply"), ("completion", "fish"),
                          ("policy", "apply", "-f", "/nothing"), ("identity", "x"), ("proxy", "log", "loud"),
                          ("trust", "rotate", "--step=nope"), ("trust", "rotate", "--exclude=foo"),
                          ("trust", "rollback", "--exclude=spiffe://cluster.local/a@x"), ("revoke", "../../x"), ("revoke", "ABC"),
                          ("events", "--cursor=abc"), ("events", "--cursor=1-2-3")):
            with self.subTest(arguments=arguments):
                self.fails(2, *arguments)
        self.assertIn('did you mean "byrniectl status"?', self.fails(2, "stauts"))
        self.assertIn("a duration has units", self.fails(2, "token", "create", "--operator=x", "--role=viewer", "--ttl=400d"))
        for arguments in (("policy", "get", b"demo/\xff\xfe"), ("revoke", "00", b"--reason=\xe9")):
            self.assertIn("is not UTF-8", self.fails(2, *arguments))
        self.fails(3, "status", "--control_plane=127.0.0.1:1")
        self.fails(3, "proxy", "config", "--admin=127.0.0.1:1")
        self.fails(4, "token", "list", token=self.viewer)
        self.assertIn("takes the role operator; vera is viewer",
                      self.fails(4, "policy", "delete", "demo/x", token=self.viewer))
        self.fails(4, "status", token=self.plane.write_secret("wrong.token", "wrong"))
        path = self.plane.write_secret("broken.token", "")
        for token in (b"two\nlines", b"a\ttab", b"a\0nul", "accent\u00e9".encode(), b""):
            with self.subTest(token=token):
                with open(path, "wb") as out:
                    out.write(token)
                said = self.fails(2, "status", token=path)
                self.assertIn("broken.token", said)
                self.assertIn("--operator_token_out", said)
                self.assertNotIn("two", said)

    def test_a_certificate_instead_of_a_token(self):
        identity = self.plane.issue(ALICE)
        cert = self.plane.write_secret("alice.pem", identity.chain.decode())
        key = self.plane.write_secret("alice.key", identity.key.decode())
        other = self.plane.write_secret("other.key", self.plane.issue(WORKLOAD).key.decode())
        no_token = {"BYRNIE_TOKEN": ""}
        self.assertIn(f"{ALICE}, operator", self.ctl("status", f"--cert={cert}", f"--key={key}", environment=no_token))
        self.assertIn("--key", self.fails(2, "status", f"--cert={cert}", environment=no_token))
        self.assertIn("is not the key", self.fails(2, "status", f"--cert={cert}", f"--key={other}", environment=no_token))
        self.assertIn("--token", self.fails(2, "status", environment=no_token))

    def test_a_certificate_that_has_ended_is_not_taken_for_a_control_plane_that_is_gone(self):
        identity = self.plane.issue(ALICE, seconds=4)
        flags = [f"--cert={self.plane.write_secret('short.pem', identity.chain.decode())}",
                 f"--key={self.plane.write_secret('short.key', identity.key.decode())}"]
        no_token = {"BYRNIE_TOKEN": ""}
        # The stream that is open is ended with it.
        followed = self.fails(4, "events", "--follow", *flags, environment=no_token)
        self.assertIn("--cert", followed)
        self.assertNotIn("--token", followed)
        said = wait_until(lambda: "ended" in (said := self.plane.ctl("status", *flags, environment=no_token, check=False).stderr) and said,
                          10, "the certificate's end")
        self.assertRegex(said, r"--cert: ended \d+ s ago: .*short.pem")
        self.fails(4, "status", *flags, environment=no_token)
        self.fails(4, "status", *flags, "--control_plane=127.0.0.1:1", environment=no_token)

    def test_the_command_line_wins_over_the_environment(self):
        broken = {"BYRNIE_CONTROL_PLANE": "127.0.0.1:1"}
        self.fails(3, "status", environment=broken)
        self.ctl("status", f"--control_plane=127.0.0.1:{self.plane.port}", environment=broken)

    def test_help_at_every_level(self):
        overview = self.ctl("--help")
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", overview)
            text = self.ctl(*command.split(), "--help")
            self.assertTrue(text.startswith(f"Usage: byrniectl {command}"), text)
            self.assertIn("Exit codes:", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)
        self.assertIn("policy delete", self.ctl("policy", "--help"))
        self.assertNotIn("token create", self.ctl("policy", "--help"))
        # Help needs no configuration.
        self.assertIn("Usage", self.ctl("status", "--help", environment={"BYRNIE_TRUST_BUNDLE": "/nothing"}))

    def test_files_that_are_rejected_are_bad_until_they_are_mended(self):
        partner, keys, config = (self.plane.path(name) for name in ("partner.pem", "keys.jwks", "jwt.json"))
        write_atomically(partner, pem(Issuer("partner.example").certificate))
        issuer = TokenIssuer("https://ci.example", [SigningKey("ES256", "one")])
        issuer.write_config(config, keys)
        cacerts = self.plane.path("cacerts")
        os.mkdir(cacerts)
        ca = Issuer(name="plugged")
        for name, text in (("ca-cert.pem", pem(ca.certificate)), ("ca-key.pem", key_pem(ca.key).decode()), ("root-cert.pem", pem(ca.certificate))):
            write_atomically(os.path.join(cacerts, name), text)
        with LoopbackControlPlane("--attest=join_token,jwt", f"--jwt_config={config}", f"--federated_bundle=partner.example={partner}",
                                  f"--ca=plugged:{cacerts}") as plane:
            files = {path: open(path, encoding="utf-8").read()
                     for path in (plane.registry.path, config, keys, partner, os.path.join(cacerts, "ca-key.pem"))}

            def condition():
                results = json.loads(plane.ctl("check", "-o", "json", check=False).stdout)
                return next(result for result in results if result["name"] == "input-files")
            self.assertEqual(condition()["outcome"], "good")
            for path, good in files.items():
                bad = key_pem(new_key()).decode() if path.endswith("ca-key.pem") else "{broken"
                write_atomically(path, bad)
                wait_until(lambda: condition()["outcome"] == "bad", 10, f"{path} to be bad")
                self.assertIn(cacerts if path.endswith("ca-key.pem") else path, condition()["message"])
                self.assertTrue(condition()["remedy"])
                write_atomically(path, good)
                wait_until(lambda: condition()["outcome"] == "good", 10, f"{path} to be good again")

    def test_help_is_a_command_too(self):
        self.assertEqual(self.ctl("help"), self.ctl("--help"))
        self.assertEqual(self.ctl("help", "policy", "diff"), self.ctl("policy", "diff", "--help"))
        self.assertIn("nonsense", self.fails(2, "help", "nonsense"))

    def test_the_names_of_checks_are_whole(self):
        self.assertIn("injection-webhook  ", self.ctl_of_any_end("check"))

    def test_a_control_plane_given_twice_is_one(self):
        address = f"127.0.0.1:{self.plane.port}"
        twice = json.loads(self.ctl("agents", "-o", "json", f"--control_plane={address},{address}"))
        self.assertEqual(len(twice), len(json.loads(self.ctl("agents", "-o", "json"))))
        self.assertIn("asked 1 control plane,", self.ctl_of_any_end("check", f"--control_plane={address},{address}"))

    def test_completion(self):
        scripts = {shell: self.ctl("completion", shell) for shell in ("bash", "zsh")}

        def complete(*words):
            """What both shells offer; zsh without a compinit before, as with an empty .zshrc."""
            setup = f"""
                COMP_WORDS=(byrniectl {' '.join(words)}); [[ -n "{words[-1] if words else ''}" ]] || COMP_WORDS+=("")
                COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); """
            offer = """_byrniectl; printf '%s\n' "${COMPREPLY[@]}" """
            programs = {"bash": ["bash", "--norc", "-c", scripts["bash"] + setup + offer],
                        # bashcompinit calls it so.
                        "zsh": ["zsh", "-f", "-c", scripts["zsh"] + "run() { emulate -L sh; setopt kshglob; " + setup + offer + "}; run"]}
            offered = {}
            for shell, program in programs.items():
                done = subprocess.run(program, capture_output=True, text=True, check=False, env={"HOME": self.plane.directory, "PATH": os.environ["PATH"]})
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)
                # zsh's own compgen leaves it to zsh to drop what does not begin so.
                offered[shell] = [word for word in done.stdout.split() if not words or word.startswith(words[-1])]
            self.assertEqual(offered["bash"], offered["zsh"])
            return offered["bash"]
        self.assertEqual(complete("pol"), ["policy"])
        self.assertEqual(complete("policy", "ap"), ["apply"])
        self.assertEqual(complete("policy", "apply", "--acc"), ["--accept"])
        self.assertEqual(complete("events", "--fol"), ["--follow"])
        self.assertEqual(complete("status", "--outp"), ["--output="])
        self.assertEqual(complete("status", "--prob"), [])
        self.assertEqual(complete("status", "-o", "j"), ["json"])
        self.assertEqual(complete("status", "--output", "=", "j"), ["json"])
        self.assertEqual(complete("status", "--output=j"), ["--output=json"])
        self.assertEqual(complete("token", "create", "--role", "=", "v"), ["viewer"])
        self.assertEqual(complete("proxy", "log", "wa"), ["warning"])
        self.assertEqual(complete("help", "tru"), ["trust"])

    def shell(self, script):
        """A shell that has the connection's flags in its environment, and byrniectl as $ctl."""
        environment = dict(os.environ, ctl=binary_path("byrniectl"), **self.plane.ctl_environment())
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False, cwd=self.plane.directory)

    def test_output_that_cannot_be_written_is_an_error(self):
        lost = "No space left on device"
        for command in ("status", "policy list -o json", "--help", "check", "bug-report -f -", "bug-report -f /dev/full"):
            done = self.shell(f"$ctl {command} >/dev/full")
            self.assertIn(done.returncode, (1, 2), command)
            self.assertIn(lost, done.stderr, command)
        done = self.shell("$ctl status >&-")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write to stdout", done.stderr)
        # A token that nobody has is said to be there, and how it is taken back.
        done = self.shell("$ctl token create --operator=lost --role=viewer >/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn("byrniectl token revoke lost", done.stderr)
        self.ctl("token", "revoke", "lost")
        done = self.shell(f"$ctl token create --identity={WORKLOAD}-lost >/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn("token revoke --join", done.stderr)
        # Who has seen enough, as head has, hears nothing of it.
        done = self.shell("$ctl --help | true; echo ${PIPESTATUS[0]}")
        self.assertEqual(done.stderr, "")
        done = self.shell("timeout 20 $ctl events --follow >/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn(lost, done.stderr)

    def test_a_bug_report_goes_into_what_is_no_file(self):
        done = self.shell("$ctl bug-report -f - | tar -t")
        self.assertIn("byrnie-bug-report/status.json", done.stdout, done.stderr)
        self.assertFalse(os.path.exists(self.plane.path("-")))
        self.assertIn("byrnie-bug-report/status.json", self.shell("$ctl bug-report -f /dev/stdout | tar -t").stdout)
        pipe, kept, link = self.plane.path("pipe"), self.plane.path("kept"), self.plane.path("link")
        os.mkfifo(pipe)
        self.assertIn("byrnie-bug-report/status.json", self.shell("tar -t <pipe & $ctl bug-report -f pipe; wait").stdout)
        self.assertTrue(stat.S_ISFIFO(os.lstat(pipe).st_mode))
        with open(kept, "w", encoding="ascii") as out:
            out.write("kept")
        os.symlink(kept, link)
        self.assertIn("symbolic link", self.fails(2, "bug-report", "-f", link))
        self.assertTrue(os.path.islink(link))
        self.assertEqual(self.plane.read("kept"), b"kept")

    def test_files_may_be_pipes(self):
        path = self.policy_file(policy("piped"))
        for command in (f"policy validate -f <(cat {path})", f"policy validate -f - < {path}", f"policy diff - < {path}",
                        f"policy diff <(cat {path})", 'status --token=<(cat "$BYRNIE_TOKEN")'):
            done = self.shell(f"$ctl {command}")
            self.assertIn(done.returncode, (0, 1, 5, 6), command + done.stderr)
            self.assertNotIn("error", done.stderr, command)

    def test_a_wrong_document_is_named_by_its_file(self):
        good = self.plane.path("good.json")
        with open(good, "w", encoding="utf-8") as out:
            out.write(policy("good"))
        bad = self.policy_file('{"name": 1}')
        for arguments in (("policy", "diff", good, bad), ("policy", "validate", "-f", bad), ("policy", "apply", "-f", bad)):
            self.assertIn(f"error: {bad}: ", self.fails(1, *arguments))

    def test_a_suggestion_that_is_none_ends_alike(self):
        for output in ("text", "json"):
            self.assertIn("nothing to suggest", self.fails(1, "policy", "suggest", "nowhere", "-o", output))
            for impossible in ("*", "a" * 3000, "a/b"):
                self.assertIn("cannot be a namespace", self.fails(2, "policy", "suggest", impossible, "-o", output))

    def test_a_bug_report_has_everything_and_no_secret(self):
        join = self.ctl("token", "create", "--identity", WORKLOAD).strip()
        secrets = [join, self.plane.admin_token, open(self.viewer, encoding="ascii").read().strip(), "PRIVATE KEY"]
        path = self.plane.path("report.tar")
        pod = f"--pods=plane=127.0.0.1:{self.plane.admin_port}"
        self.assertEqual(self.ctl("bug-report", f"--file={path}", pod).strip(), path)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn("--force to replace it", self.fails(2, "bug-report", f"--file={path}"))
        self.assertEqual(self.ctl("bug-report", f"--file={path}", pod, "--force").strip(), path)
        with tarfile.open(path) as tar:
            names = [os.path.relpath(member.name, "byrnie-bug-report") for member in tar]
            contents = {member.name: tar.extractfile(member).read().decode() for member in tar.getmembers()}
        for name in ("status.json", "workloads.json", "services.json", "agents.json", "policies.json", "check.txt", "events.json",
                     "flows.json", "trust.json", "issuances.json",
                     "byrniectl.txt", "pods/plane/metrics", "pods/plane/index.html"):
            self.assertIn(name, names)
        for name, content in contents.items():
            for secret in secrets:
                self.assertNotIn(secret, content, name)
        self.assertIn(WORKLOAD, contents["byrnie-bug-report/events.json"])
        for name, content in contents.items():
            if name.endswith(".json"):
                json.loads(content)
        self.assertEqual(json.loads(contents["byrnie-bug-report/flows.json"]), [])

    def test_a_bug_report_without_the_control_plane_has_the_rest(self):
        path = self.plane.path("rest.tar")
        done = self.plane.ctl("bug-report", f"--file={path}", f"--pods=plane=127.0.0.1:{self.plane.admin_port}", check=False,
                              environment={"BYRNIE_CONTROL_PLANE": "127.0.0.1:1"})
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("status.json", done.stderr)
        with tarfile.open(path) as tar:
            names = [os.path.relpath(name, "byrnie-bug-report") for name in tar.getnames()]
        self.assertIn("missing.txt", names)
        self.assertIn("pods/plane/metrics", names)
        self.assertNotIn("status.json", names)

    def test_nothing_speaks_to_the_terminal(self):
        self.fails(1, "workloads", "get", "\x1b[31mred")
        done = self.plane.ctl("workloads", "get", "\x1b[31mred", check=False)
        self.assertNotIn("\x1b", done.stderr + done.stdout)


if __name__ == "__main__":
    sys.exit(main())
