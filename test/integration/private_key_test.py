#!/usr/bin/python3
"""The private key is in one place, and leaves no trace.

Proved by reading the memory of both processes as root while traffic flows and certificates rotate. The agents are told to keep their
keys in files as well, so that the test knows them: neither the present key nor any before it is readable in the agent or in the proxy, in
any form it may have; the same search finds it in a process that holds it, and the certificate in both. The agent cannot be traced by its
own user and leaves no core.
"""

import base64
import ctypes
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.memory import memory_of, occurrences
from testing.mesh import PROXY_UID, parse_metrics
from testing.process import wait_until

ROTATIONS = 4


def scalar_of(pem):
    """The private scalar of a PKCS#8 P-256 key."""
    der = base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
    return re.search(rb"\x02\x01\x01\x04\x20(.{32})", der, re.S).group(1)


def forms_of_pem(pem):
    """What of a PEM key is secret: the lines that hold the scalar, as text."""
    return [line.encode() for line in pem.splitlines() if "-----" not in line][:2]


class PrivateKeyTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        for pod in (cls.client, cls.server):
            pod.keys = pod.make_agent_directory("keys")
            pod.extra_agent_flags = [f"--file_sink={pod.keys}/tls", "--min_renewal_interval=0s"]
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def key_in_files(self, pod):
        with open(f"{pod.keys}/tls/tls.key", encoding="ascii") as key:
            return key.read()

    def rotate(self, pod, old):
        self.assertEqual(pod.agent_admin("/renew", "POST")[0], 202)
        return wait_until(lambda: key if (key := self.key_in_files(pod)) != old else None, 10, "a new key", every=0.1)

    def assert_absent(self, process, pems):
        for number, pem in enumerate(pems):
            found = occurrences(process.pid, scalar_of(pem))
            self.assertEqual(set(found.values()), {0}, f"key {number} of {len(pems)} in {process.name}: {found}")
        lines = [line for pem in pems for line in forms_of_pem(pem)]
        for region in memory_of(process.pid, writable_only=False):
            for line in lines:
                self.assertNotIn(line, region, f"a line of a PEM key is in {process.name}")

    def test_no_key_is_readable_in_any_process(self):
        short = self.client.app("short", self.mesh.vip, 80, 90, 0.01)
        for pod in (self.client, self.server):
            pems = [wait_until(lambda p=pod: self.key_in_files(p), 10, "the first key")]
            for _ in range(ROTATIONS):
                pems.append(self.rotate(pod, pems[-1]))
                # Signatures of proxy and control plane use it.
                served_leaf(self.probe, pod.address)
            with self.subTest(pod=pod.name):
                self.assertEqual(len(set(pems)), ROTATIONS + 1)
                leaf = served_leaf(self.probe, pod.address)
                self.assertIn(leaf_facts(leaf)["public_point"], self.public_key(pems[-1]), "it is not the key in use")
                self.assert_absent(pod.proxy, pems)
                # A signature under way has parts of the key in the memory it computes with, for microseconds.
                wait_until(lambda p=pod, k=pems: self.absent(p.agent, k), 10, "a look at the agent between two signatures")
                # The right processes, really read: what belongs to the key and is not secret is there.
                for process in (pod.proxy, pod.agent):
                    self.assertTrue(any(leaf in region for region in memory_of(process.pid)), f"{process.name} was not read")
        short.signal(10)
        self.assertEqual(short.result()["failures"], [])

    def absent(self, process, pems):
        try:
            self.assert_absent(process, pems)
        except AssertionError as found:
            self.found = found
            return False
        return True

    @staticmethod
    def public_key(pem):
        return subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True).stdout

    def test_the_search_finds_a_key_where_it_is(self):
        pem = self.key_in_files(self.client)
        holder = subprocess.Popen(
            [sys.executable, "-c", "import sys; key = sys.stdin.buffer.read(32); limbs = key[::-1]; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            holder.stdin.write(scalar_of(pem))
            holder.stdin.flush()
            holder.stdout.readline()
            found = occurrences(holder.pid, scalar_of(pem))
            self.assertGreater(found["big-endian"], 0)
            self.assertGreater(found["limbs"], 0)
        finally:
            holder.stdin.close()
            holder.wait(10)
            holder.stdout.close()

    def test_the_keys_are_in_memory_the_kernel_hides(self):
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.syscall(447, 0)  # memfd_secret
        if fd >= 0:
            os.close(fd)
        metrics = parse_metrics(self.client.agent_admin("/metrics")[1])
        kind = "hidden" if fd >= 0 else "locked"
        self.assertEqual(metrics[f'byrnie_certagent_key_memory{{kind="{kind}"}}'], 1)
        with open(f"/proc/{self.client.agent.pid}/smaps", encoding="ascii", errors="replace") as smaps:
            mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps.read(), flags=re.M)
        secret = [text for text in mappings if re.search(r"^VmFlags:.* lo\b", text, re.M)]
        self.assertEqual(len(secret), 1, "not one locked mapping")
        self.assertRegex(secret[0], r"VmFlags:.* dd\b", "it would be in a core dump")

    def test_the_processes_cannot_be_traced_and_leave_no_core(self):
        for pod in (self.client, self.server):
            for process in (pod.proxy, pod.agent):
                # What a process that is not dumpable has in /proc belongs to root.
                self.assertEqual(os.stat(f"/proc/{process.pid}/mem").st_uid, 0, f"{process.name} is dumpable")
                attach = ("import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
                          f"print(libc.ptrace(16, {process.pid}, 0, 0), ctypes.get_errno())")  # PTRACE_ATTACH
                done = pod.host.run(sys.executable, "-c", attach, uid=PROXY_UID)
                self.assertEqual(done.stdout.split(), ["-1", "1"], f"its own user can trace {process.name}")
            with open(f"/proc/{pod.agent.pid}/limits", encoding="ascii") as limits:
                self.assertRegex(limits.read(), r"Max core file size +0 +0")


if __name__ == "__main__":
    sys.exit(main())
