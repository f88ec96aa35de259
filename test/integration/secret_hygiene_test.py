#!/usr/bin/python3
"""Nothing secret is anywhere it could be read by accident.

Proved: after a run with rotations, refused peers, restarts and a lost control plane, at debug level, no log line, admin page, environment or
command line of any process holds a private key in any form, a join token, the operator's token or the words of a PEM private key.
"""

import base64
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, try_tunnel
from testing.memory import forms_of
from testing.process import wait_until

AGENT_PAGES = ("/", "/certs", "/bundles", "/metrics", "/healthz/ready", "/healthz/live", "/nothing")
PROXY_PAGES = ("/", "/certs", "/config_dump", "/connections", "/recorder", "/metrics", "/nothing")
CONTROL_PAGES = ("/", "/registry", "/metrics", "/healthz", "/readyz", "/nothing")


class SecretHygieneTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.secrets = {}
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.keys = pod.make_agent_directory("keys")
            pod.extra_agent_flags = [f"--file_sink={pod.keys}/tls", "--log_level=debug"]
            pod.extra_proxy_flags = ["--log_level=debug"]
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def learn_keys(self):
        for pod in (self.client, self.server):
            with open(f"{pod.keys}/tls/tls.key", encoding="ascii") as text:
                pem = text.read()
            der = base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
            scalar = re.search(rb"\x02\x01\x01\x04\x20(.{32})", der, re.S).group(1)
            for name, form in forms_of(scalar).items():
                self.secrets[f"{pod.name}'s key, {name}"] = form
            self.secrets[f"{pod.name}'s key, base64"] = base64.b64encode(scalar)[:40]
            self.secrets[f"{pod.name}'s key, PEM"] = pem.splitlines()[1].encode()

    def learn_tokens(self):
        for name, path in (("client's token", self.client.token), ("server's token", self.server.token),
                           ("operator's token", self.mesh.control_plane.operator_token)):
            with open(path, encoding="ascii") as text:
                self.secrets[name] = text.read().strip().encode()

    def assert_clean(self, where, content):
        if isinstance(content, str):
            content = content.encode()
        self.assertNotIn(b"PRIVATE KEY", content, where)
        for name, secret in self.secrets.items():
            self.assertNotIn(secret, content, f"{name} is in {where}")

    def test_no_secret_in_logs_pages_environments_or_command_lines(self):
        control = self.mesh.control_plane
        control.admin("/logging?level=debug", "POST")
        self.learn_keys()
        self.learn_tokens()
        for _ in range(2):
            self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
            for pod in (self.client, self.server):
                before = os.readlink(f"{pod.keys}/tls/..data")
                wait_until(lambda p=pod: p.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal")
                wait_until(lambda p=pod, b=before: os.readlink(f"{p.keys}/tls/..data") != b, 10, "new files")
            self.learn_keys()
        # Somebody the mesh refuses, a token that has been used, an authority that is away.
        foreign = Authority(self.mesh.directory).issue(self.client.spiffe_id)
        self.assertEqual(try_tunnel(self.probe, self.server.address, foreign)[0], "refused")
        self.client.agent.kill()
        self.client.start_agent()
        wait_until(lambda: "certificate not renewed" in self.client.agent.log_text(), 15, "a refused token")
        control.process.kill()
        wait_until(lambda: self.server.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal")
        wait_until(lambda: "certificate not renewed" in self.server.agent.log_text(), 15, "a failed renewal")
        self.collect("the control plane is down", control_plane=False)
        control.start()
        self.client.write_token()
        self.learn_tokens()
        self.client.wait_ready(30)
        wait_until(lambda: self.client.agent_admin("/healthz/ready")[0] == 200, 30, "the client's agent")
        self.learn_keys()
        self.collect("the end")
        logs = os.path.join(self.mesh.directory, "logs")
        for name in os.listdir(logs):
            with open(os.path.join(logs, name), "rb") as log:
                self.assert_clean(f"the log {name}", log.read())
        # The same look finds a secret where there is one.
        with self.assertRaises(AssertionError):
            with open(self.client.token, "rb") as token:
                self.assert_clean("the token's file", token.read())
        with self.assertRaises(AssertionError):
            with open(f"{self.client.keys}/tls/tls.key", "rb") as key:
                self.assert_clean("the key's file", key.read())

    def collect(self, when, control_plane=True):
        for pod in (self.client, self.server):
            for path in AGENT_PAGES:
                self.assert_clean(f"{path} of {pod.name}'s agent, {when}", pod.agent_admin(path)[1])
            for path in PROXY_PAGES:
                self.assert_clean(f"{path} of {pod.name}'s proxy, {when}", pod.admin(path)[1])
        if control_plane:
            for path in CONTROL_PAGES:
                self.assert_clean(f"{path} of the control plane, {when}", self.mesh.control_plane.admin(path)[1])
        for process in self.mesh.processes:
            if process.running():
                for name in ("environ", "cmdline"):
                    with open(f"/proc/{process.pid}/{name}", "rb") as content:
                        self.assert_clean(f"{name} of {process.name}, {when}", content.read())


if __name__ == "__main__":
    sys.exit(main())
