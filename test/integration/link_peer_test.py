#!/usr/bin/python3
"""The agent signs for its proxy and for nobody else.

Proved: a second proxy is refused while the first lives, with the reason in its own log, and takes over at once when the first is killed;
with --proxy_executable the proxy of that file is served, a copy of it elsewhere is not, and an agent that could not tell does not start;
refused signatures are in the audit log.
"""

import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, parse_metrics
from testing.process import wait_until


class LinkPeerTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.server.extra_agent_flags = [f"--proxy_executable={cls.mesh.binary('byrnie-proxy')}"]
        cls.server.agent_capabilities = ["sys_ptrace"]
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def second_proxy(self, pod, binary=None):
        """Another proxy on the pod's link, on ports of its own."""
        return self.mesh.spawn(
            f"{pod.name}-second", pod.host,
            [binary or self.mesh.binary("byrnie-proxy"), f"--link_socket={pod.link_socket}", "--admin=127.0.0.1:25000",
             "--outbound_port=25001", "--inbound_port=25006", "--hbone_port=25008", "--stats_port=25020",
             "--status_port=25021", "--log_format=json"],
            self.mesh.log_path(f"{pod.name}-second", unique=True), uid=PROXY_UID)

    def refusal(self, process):
        return [record["error"] for record in process.log_records() if "refuses this proxy" in record.get("error", "")]

    def linked(self, process):
        return [record for record in process.log_records() if record["message"] == "linked to the agent"]

    def link_metric(self, pod, result):
        return parse_metrics(pod.agent_admin("/metrics")[1])[f'byrnie_certagent_link_connections_total{{result="{result}"}}']

    def test_a_second_proxy_waits_until_the_first_has_gone(self):
        second = self.second_proxy(self.client)
        reasons = wait_until(lambda: self.refusal(second), 10, "the second proxy's refusal")
        self.assertIn(f"another proxy is connected already, pid {self.client.proxy.pid}", reasons[0])
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertGreaterEqual(self.link_metric(self.client, "refused_second"), 1)
        self.client.proxy.kill()
        # It tries again every two seconds at the latest; nobody has to notice first that the other one has died.
        wait_until(lambda: self.linked(second), 4, "the second proxy's turn")
        second.kill()
        self.client.start_proxy()
        started = time.monotonic()
        self.client.wait_ready()
        self.assertLess(time.monotonic() - started, 5)

    def test_the_proxy_of_the_right_file_is_served(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
        self.assertEqual(self.link_metric(self.server, "refused_executable"), 0)

    def test_z_a_copy_of_the_proxy_is_refused(self):
        copy = os.path.join(self.server.directory, "other-proxy")
        shutil.copy(self.mesh.binary("byrnie-proxy"), copy)
        self.server.proxy.kill()
        other = self.second_proxy(self.server, copy)
        reasons = wait_until(lambda: self.refusal(other), 10, "the copy's refusal")
        self.assertIn("it does not run", reasons[0])
        self.assertFalse(self.linked(other))
        self.assertGreaterEqual(self.link_metric(self.server, "refused_executable"), 1)
        other.kill()
        self.server.start_proxy()
        self.server.wait_ready()

    def test_an_agent_that_could_not_tell_does_not_start(self):
        argv = [word for word in self.client.agent_arguments() if not word.startswith(("--link_socket", "--admin"))]
        argv += [f"--link_socket={self.client.link_directory}/other.sock", "--admin=127.0.0.1:25010",
                 f"--proxy_executable={self.mesh.binary('byrnie-proxy')}"]
        done = self.client.host.run(*argv, uid=PROXY_UID, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("CAP_SYS_PTRACE", done.stderr)

    def test_refused_signatures_are_in_the_audit_log(self):
        self.client.proxy.kill()
        # The proxy's place on the link is taken by somebody of its uid who wants more than TLS.
        code = """
import json, socket, struct, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
def send(payload):
    link.sendall(struct.pack(">I", len(payload)) + payload)
send(bytes.fromhex("0a020801"))  # hello, version 1
for i in range(100):
    body = b"\\x08\\x01" + b"\\x12\\x02ab" + b"\\x18\\x83\\x08" + b"\\x22\\x05login"
    send(b"\\x12" + bytes([len(body)]) + body)  # sign request, ecdsa_secp256r1_sha256, "login"
link.shutdown(socket.SHUT_WR)
while link.recv(65536):
    pass
"""
        self.client.host.run(sys.executable, "-c", code, self.client.link_socket, uid=PROXY_UID)
        refused = [record for record in self.client.agent.log_records() if record["message"] == "signature refused"]
        # A line for each, up to sixty a minute; the others are in the sum of the minute.
        self.assertEqual(len(refused), 60)
        self.assertEqual(refused[0]["log"], "audit")
        self.assertEqual(refused[0]["scheme"], "0x0403")
        self.assertEqual(refused[0]["input_bytes"], 5)
        self.assertIn("no TLS 1.3 CertificateVerify input", refused[0]["reason"])
        metrics = parse_metrics(self.client.agent_admin("/metrics")[1])
        self.assertEqual(metrics['byrnie_certagent_sign_requests_total{result="refused_input"}'], 100)
        self.client.start_proxy()
        self.client.wait_ready()


if __name__ == "__main__":
    sys.exit(main())
