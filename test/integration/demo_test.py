#!/usr/bin/python3
"""The demo shows all it promises, stays on demand, and leaves nothing behind.

Proved on the program that tools/demo runs once it has built: every step is shown and true, --keep leaves a mesh that answers
and is gone after the one command that stops it; Ctrl-C, SIGTERM and the end of its terminal half way leave nothing.
"""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.interruption import SIGNALS
from testing.mesh import REPOSITORY
from testing.process import wait_until

DEMO = os.path.join(REPOSITORY, "test", "demo", "demo.py")
STEPS = ("The mesh", "A request to the service", "the access logs", "How it was carried",
         "What someone on the link", "rotate under load", "Plaintext from outside", "Looking inside",
         "All of it still runs")


class DemoTest(unittest.TestCase):

    def start(self, *options):
        # A group of its own, to be signalled as a terminal does; with SIGHUP as it is by default, also below nohup.
        return subprocess.Popen(["env", "--default-signal=HUP", sys.executable, DEMO, *options], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def assert_nothing_left(self, output):
        """None of the namespaces and files the demo has named, and no process that uses them."""
        names = set(re.findall(r"\bbyr-[0-9a-f]{6}-\w+", output))
        directories = set(re.findall(r"/tmp/byr-\w+", output))
        self.assertTrue(names, output)
        for name in names:
            self.assertFalse(os.path.exists(f"/run/netns/{name}"), name)
        for directory in directories:
            self.assertFalse(os.path.exists(directory), directory)
        for pid in re.findall(r"(?:pid|proxy|agent) (\d+)\b(?!\.)", output):
            self.assertFalse(os.path.exists(f"/proc/{pid}"), f"process {pid} is still there")

    def test_it_shows_everything_stays_when_told_and_stops_at_a_command(self):
        with self.start("--keep") as demo:
            output, _ = demo.communicate(timeout=120)
        self.assertEqual(demo.returncode, 0, output)
        for step in STEPS:
            self.assertIn(step, output)
        self.assertIn("all of it true", output)
        self.assertNotIn("\033", output, "colours where there is no terminal")
        self.assertIn("tls-failed are this demo's own", output)
        for promised in ("X25519MLKEM768", "TLSv1.3", "0 times", "0 bytes lost", "0 failed", "plaintext-refused",
                         "spiffe://cluster.local/ns/demo/sa/client", "spiffe://cluster.local/ns/demo/sa/server"):
            self.assertIn(promised, output)
        keeper = int(re.search(r"--stop (\d+)", output).group(1))
        try:
            done = self.ask("--status", keeper)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("both pods are ready", done.stdout)
            request = re.search(r"ip netns exec \S+ curl http://\S+/hello", output).group(0)
            answer = subprocess.run(request.split(), capture_output=True, text=True, timeout=20)
            self.assertIn("hello from server", answer.stdout)
            agent = int(re.search(r"agent (\d+)$", output, re.M).group(1))
            os.kill(agent, signal.SIGKILL)
            wait_until(lambda: self.ask("--status", keeper).returncode == 1, 5, "the status of a mesh without an agent")
            said = self.ask("--status", keeper).stdout
            self.assertIn(f"agent of client (pid {agent}) has ended, killed by signal 9", said)
            self.assertIn("message", json.loads(re.search(r"^ +(\{.*\})$", said, re.M).group(1)), "its last words are whole")
            done = self.ask("--stop", keeper)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("agent of client", done.stdout)
            self.assertIn("nothing is left behind", done.stdout)
        except BaseException:
            os.kill(keeper, signal.SIGTERM)
            raise
        wait_until(lambda: not os.path.exists(f"/proc/{keeper}"), 10, "the end of the demo that was kept")
        self.assert_nothing_left(output)
        self.assertEqual(self.ask("--stop", keeper).returncode, 1)

    def ask(self, option, keeper):
        return subprocess.run([sys.executable, DEMO, option, str(keeper)], capture_output=True, text=True, timeout=40)

    def test_the_end_of_its_terminal_leaves_nothing(self):
        child, terminal = pty.fork()
        if child == 0:
            os.execvp("env", ["env", "--default-signal=HUP", sys.executable, DEMO])
        seen = b""
        while b"rotate under load" not in seen:
            seen += os.read(terminal, 4096)
        os.close(terminal)
        try:
            ended = wait_until(lambda: os.waitpid(child, os.WNOHANG)[0], 20, "the end of a demo without a terminal")
            self.assertEqual(ended, child)
        except AssertionError:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        plain = re.sub(r"\033\[[0-9;]*m", "", seen.decode())
        self.assertNotEqual(plain, seen.decode(), "no colours on a terminal")
        self.assert_nothing_left(plain)

    def test_signals_half_way_leave_nothing(self):
        demos = {number: self.start() for number in SIGNALS}
        for number, demo in demos.items():
            with self.subTest(signal=number), demo:
                seen = ""
                for line in demo.stdout:
                    seen += line
                    if "rotate under load" in line:
                        break
                time.sleep(1)
                os.killpg(demo.pid, number)
                seen += demo.communicate(timeout=20)[0]
                self.assertEqual(demo.returncode, 128 + number, seen)
                self.assertNotIn("Traceback", seen)
                self.assert_nothing_left(seen)


if __name__ == "__main__":
    sys.exit(main())
