#!/usr/bin/python3
"""Bad input ends a binary at once, with one line that says what is wrong, exit code 2 and nothing changed.

Proved for each binary: missing and unreadable files, unknown flags, unknown fields and bad JSON in a configuration file,
values out of range, taken ports, expired and broken trust bundles.
"""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.certificates import Authority
from testing.mesh import Mesh, PROXY_UID


class BadInputTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.pod = cls.mesh.pod("pod")
        cls.mesh.registry.write()
        cls.control_plane = cls.mesh.control_plane
        cls.files = cls.mesh.make_directory("files", 0o755)
        authority = Authority(cls.mesh.directory)
        with open(authority.certificate, encoding="ascii") as good:
            cls.bundle = cls.file("bundle.pem", good.read())
        expired = authority.issue("spiffe://cluster.local/unused", begins=-7200, ends=-3600)[0]
        subprocess.run(["openssl", "ca", "-batch", "-config", os.path.join(authority.directory, "openssl.cnf"), "-selfsign",
                        "-keyfile", authority.key, "-cert", authority.certificate, "-ss_cert", authority.certificate,
                        "-out", os.path.join(authority.directory, "expired-root.pem"), "-notext", "-extensions", "root",
                        "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"], check=True,
                       capture_output=True)
        with open(os.path.join(authority.directory, "expired-root.pem"), encoding="ascii") as text:
            cls.expired_bundle = cls.file("expired.pem", text.read())
        with open(expired, encoding="ascii") as text:
            cls.leaf_bundle = cls.file("leaf.pem", text.read())
        cls.token = cls.file("token", "x" * 40 + "\n")
        cls.control_plane.bundle = os.path.join(cls.control_plane.directory, "bundle.pem")

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    @classmethod
    def file(cls, name, text):
        path = os.path.join(cls.files, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def secret(self, name):
        """A file that root alone can read."""
        path = self.file(name, "x" * 40 + "\n")
        os.chmod(path, 0o600)
        return path

    def tree(self):
        found = {}
        for directory, _, names in os.walk(self.mesh.directory):
            if os.path.basename(directory) in ("logs", "bin"):
                continue
            for name in names:
                path = os.path.join(directory, name)
                state = os.lstat(path)
                found[path] = (state.st_size, state.st_mtime_ns, state.st_mode)
        return found

    def assert_refused(self, argv, uid, says):
        """One line on stderr that contains `says`, nothing on stdout, exit 2, no file made or changed."""
        before = self.tree()
        command = self.pod.host.command(argv, uid=uid)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired as late:
            self.fail(f"still runs; it said {late.stdout} {late.stderr}")
        name = os.path.basename(argv[0])
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, rf"\A{name}: error: [^\n]+\n\Z")
        self.assertIn(says.lower(), done.stderr.lower())
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.tree(), before)

    def check(self, argv, uid, cases):
        """Each case: flags that replace or join those of `argv`, and a word of the error."""
        for flags, says in cases:
            with self.subTest(flags=flags):
                replaced = {flag.split("=")[0] for flag in flags}
                kept = [word for word in argv[1:] if word.split("=")[0] not in replaced]
                self.assert_refused([argv[0], *kept, *flags], uid, says)

    def configuration_cases(self, name):
        return [
            (["--nonsense=1"], "nonsense"),
            (["stray"], "stray"),
            ([f"--config={self.files}/missing.json"], f"{self.files}/missing.json"),
            ([f"--config={self.files}/missing.json"], "leave --config out"),
            ([f"--config={self.file(name + '-bad.json', '{')}"], f"{name}-bad.json"),
            ([f"--config={self.file(name + '-list.json', '[1]')}"], f"{name}-list.json"),
            ([f"--config={self.file(name + '-field.json', json.dumps({'nonsense': 1}))}"], "nonsense"),
            ([f"--config={self.file(name + '-type.json', json.dumps({'log_level': 3}))}"], "log_level"),
            (["--log_level=loud"], "loud"),
        ]

    def test_the_proxy(self):
        argv = [*self.pod_arguments(self.pod.proxy_arguments())]
        self.check(argv, PROXY_UID, self.configuration_cases("proxy") + [
            (["--link_socket="], "link_socket"),
            ([f"--link_socket={self.files}/nowhere/agent.sock"], "nowhere"),
            (["--mtls_mode=maybe"], "maybe"),
            (["--identity_expiry=never"], "never"),
            (["--outbound_policy=open"], "open"),
            (["--workers=-1"], "workers"),
            (["--workers=100000"], "workers"),
            (["--hbone_port=70000"], "70000"),
            (["--outbound_port=15006"], "15006"),
            (["--admin=0.0.0.0:15000"], "loopback"),
            (["--admin=15000"], "15000"),
            (["--drain_timeout=soon"], "soon"),
            (["--connect_timeout=-1s"], "connect_timeout"),
        ])

    def test_the_proxy_with_a_taken_port(self):
        argv = self.pod_arguments(self.pod.proxy_arguments())
        for port in (15000, 15001, 15006, 15008, 15020, 15021):
            with self.subTest(port=port), self.pod.listen(port):
                self.assert_refused(argv, PROXY_UID, str(port))

    def pod_arguments(self, argv):
        """For a pod without a control plane."""
        return [f"--trust_bundle={self.bundle}" if word.startswith("--trust_bundle=") else
                f"--token={self.token}" if word.startswith("--token=") else word for word in argv]

    def test_the_agent(self):
        argv = self.pod_arguments(self.pod.agent_arguments())
        plain = os.path.join(self.pod.link_directory, "plain")
        with open(plain, "w", encoding="ascii"):
            self.addCleanup(os.unlink, plain)
        self.check(argv, PROXY_UID, self.configuration_cases("agent") + [
            (["--control_plane="], "control_plane"),
            (["--control_plane=nowhere"], "nowhere"),
            (["--trust_bundle="], "trust_bundle"),
            ([f"--trust_bundle={self.files}/missing.pem"], "missing.pem"),
            ([f"--trust_bundle={self.files}/missing.pem"], "--trust_bundle_out"),
            ([f"--trust_bundle={self.file('empty.pem', '')}"], "empty.pem"),
            ([f"--trust_bundle={self.file('broken.pem', 'nonsense')}"], "broken.pem"),
            ([f"--trust_bundle={self.file('broken.pem', 'nonsense')}"], "--trust_bundle_out"),
            ([f"--trust_bundle={self.secret('secret.pem')}"], f"let uid {PROXY_UID} read it"),
            ([f"--trust_bundle={self.expired_bundle}"], "expired"),
            ([f"--trust_bundle={self.leaf_bundle}"], "leaf.pem"),
            (["--token="], "token"),
            ([f"--token={self.files}/missing.token"], "missing.token"),
            ([f"--token={self.files}/missing.token"], "byrniectl token create"),
            ([f"--token={self.file('empty.token', '')}"], "empty.token is empty"),
            ([f"--token={self.secret('secret.token')}"], f"let uid {PROXY_UID} read it"),
            ([f"--link_socket={self.files}/nowhere/link/agent.sock"], "nowhere"),
            ([f"--link_socket={plain}"], "remove it or choose another --link_socket"),
            (["--admin=127.0.0.1:80"], "--admin: cannot listen on 127.0.0.1:80"),
            (["--admin=127.0.0.1:80"], "ports below 1024 need the capability NET_BIND_SERVICE, choose another"),
            (["--spiffe_id=spiffe://Cluster.local/x y"], "spiffe"),
            (["--trust_domain=Not/Valid"], "trust_domain"),
            (["--ca=other"], "other"),
            (["--admin=0.0.0.0:15010"], "loopback"),
            (["--certificate_ttl=1s"], "certificate_ttl"),
            (["--workload_addresses=10.0.0.300"], "10.0.0.300"),
            ([f"--crl={self.files}/missing.crl"], "--crl: cannot open"),
            ([f"--crl={self.secret('secret.crl')}"], f"let uid {PROXY_UID} read it"),
        ])

    def test_the_agent_with_a_taken_port(self):
        with self.pod.listen(15010):
            self.assert_refused(self.pod_arguments(self.pod.agent_arguments()), PROXY_UID, "--admin: cannot listen on 127.0.0.1:15010")

    def test_the_control_plane(self):
        argv = self.control_plane.arguments()
        registry = [("missing", None), ("bad", "{"), ("unknown", '{"workload": []}'),
                    ("type", '{"workloads": [{"name": 1}]}'),
                    ("address", '{"workloads": [{"name": "a", "namespace": "b", "service_account": "c", "addresses": ["10"]}]}')]
        cases = []
        for name, text in registry:
            path = f"{self.files}/registry-{name}.json"
            if text is not None:
                self.file(os.path.basename(path), text)
            cases.append(([f"--registry=static:{path}"], os.path.basename(path)))
        key = self.file("seal.key", os.urandom(32).hex())
        os.chmod(key, 0o600)
        self.check(argv, None, self.configuration_cases("controlplane") + cases + [
            (["--registry="], "registry"),
            (["--registry=consul:x"], "consul"),
            (["--registry=api", "--attest=kubernetes"], "give --registry=kubernetes"),
            (["--store=file:x"], "store"),
            ([f"--store=sqlite:{self.files}/nowhere/store.db"], "nowhere"),
            ([f"--store=sqlite:{self.file('no-database', 'nonsense' * 200)}"], "no-database"),
            ([f"--trust_bundle_out={self.files}/nowhere/bundle.pem"], "nowhere"),
            ([f"--operator_token_out={self.files}/nowhere/token"], "nowhere"),
            ([f"--operator_token_out={self.files}/nowhere/token"], "--operator_token_out: "),
            (["--operator_token_out=/proc/token"], "--operator_token_out: cannot create"),
            (["--operator_token_out=/proc/token"], "; give a file"),
            (["--trust_bundle_out=/proc/bundle.pem"], "--trust_bundle_out: cannot create"),
            (["--trust_bundle_out=/proc/bundle.pem"], "; give a file"),
            ([f"--trust_bundle_out={self.control_plane.store}"], "a file of --store,"),
            ([f"--operator_token_out={self.control_plane.registry_path}"], "a file of --registry,"),
            ([f"--operator_token_out={key}", f"--store_key={key}"], "a file of --store_key,"),
            ([f"--trust_bundle_out={self.file('notes', 'my precious notes')}"], "is no trust bundle"),
            ([f"--operator_token_out={self.file('more-notes', 'my precious notes')}"], "give a path where nothing else is"),
            (["--server_names=10.0.0.300"], "no IP address"),
            ([f"--federated_bundle=partner.example={self.files}/missing.pem"], "--federated_bundle: cannot open"),
            ([f"--federated_bundle=partner.example={self.files}/missing.pem"], "; give the PEM file"),
            ([f"--federated_bundle=partner.example={self.expired_bundle}"], "expired"),
            ([f"--federated_bundle=partner.example={self.expired_bundle}"], "; give the PEM file"),
            ([f"--crl={self.files}/missing.crl"], "--crl: cannot open"),
            ([f"--crl={self.files}/missing.crl"], "; give a PEM or DER file"),
            (["--workload_ttl=-1h"], "workload_ttl"),
            (["--workload_ttl=soon"], "soon"),
            (["--trust_domain=Not/Valid"], "trust_domain"),
            (["--attest=guess"], "guess"),
            (["--operators=alice"], "--operators: "),
            (["--operators=spiffe://cluster.local/ns/ops/sa/alice=god"], "viewer, operator and admin"),
            (["--listen=nowhere"], "listen"),
            (["--admin=nowhere"], "admin"),
        ])

    def test_the_control_plane_with_a_taken_port(self):
        for flag, port in (("listen", 15012), ("admin", 15014)):
            with self.subTest(port=port), self.pod.listen(port):
                self.assert_refused(self.control_plane.arguments(), None, str(port))
                self.assert_refused(self.control_plane.arguments(), None, f"--{flag}: cannot listen")

    def test_the_operators_tool(self):
        argv = [self.mesh.binary("byrniectl"), "--control_plane=127.0.0.1:15012", f"--trust_bundle={self.bundle}",
                f"--token={self.token}"]
        create = ["token", "create", "--identity=spiffe://cluster.local/ns/a/sa/b"]
        self.check(argv, None, [
            ([], "byrniectl --help lists them"),
            (["nonsense"], "nonsense"),
            (["token", "burn"], "burn"),
            (["status", "--nonsense"], "nonsense"),
            (["status", "--output=xml"], "xml"),
            (["token", "create"], "identity"),
            (["token", "create", "--identity=http://x"], "identity"),
            ([*create, "--ttl=-1s"], "ttl"),
            (["status", "--trust_bundle="], "trust_bundle"),
            (["status", f"--trust_bundle={self.files}/missing.pem"], "missing.pem"),
            (["status", f"--trust_bundle={self.file('ctl.pem', 'x')}"], "ctl.pem"),
            (["status", f"--trust_bundle={self.file('ctl.pem', 'x')}"], "--trust_bundle_out"),
            (["status", f"--trust_bundle={self.expired_bundle}"], "expired"),
            (["status", f"--token={self.files}/missing.token"], "missing.token"),
            (["status", f"--token={self.files}/missing.token"], "--operator_token_out"),
            (["status", "--control_plane=nowhere"], "control_plane"),
        ])

    def test_an_unreachable_control_plane_is_a_failure_at_run_time(self):
        done = self.pod.host.run(self.mesh.binary("byrniectl"), "--control_plane=127.0.0.1:1",
                                 f"--trust_bundle={self.bundle}", f"--token={self.secret('operator.token')}", "status",
                                 check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, r"\Abyrniectl: error: [^\n]+\n\Z")


if __name__ == "__main__":
    sys.exit(main())
