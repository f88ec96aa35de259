#!/usr/bin/python3
"""Classic sidecars end when the applications beside them have ended for good, by byrnie-finish.

Proved: a sidecar goes on while one application runs or has failed and will be started again, gets SIGTERM when all have ended,
and ends with 0 whatever its own code; exit codes, signals and orphans are as without it; the program installs itself; what is
wrong is said in one line.
"""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import BINARIES, binary_path
from testing.process import wait_until

BINARIES.setdefault("byrnie-finish", "deploy/finish/byrnie-finish")


class FinishTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="byr-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_app(self, name, when, *command):
        return subprocess.run([binary_path("byrnie-finish"), "app", self.path(name), when, "--", *command],
                              capture_output=True, text=True, timeout=20)

    def start(self, *words):
        # A group of its own, so that nothing of it is left. env: a shell takes no signal that was ignored before it began, as
        # SIGHUP is under nohup.
        process = subprocess.Popen(["env", "--default-signal", binary_path("byrnie-finish"), *words], stdout=subprocess.PIPE,
                                   text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(self.kill_all, process)
        return process

    @staticmethod
    def kill_all(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_a_sidecar_ends_with_the_last_application(self):
        sidecar = self.start("sidecar", self.path("a"), self.path("b"), "--", "bash", "-c",
                             "trap 'echo told; exit 7' TERM; echo up; while :; do sleep 0.05; done")
        self.assertEqual(sidecar.stdout.readline(), "up\n")
        self.assertEqual(self.run_app("a", "always", "sh", "-c", "exit 3").returncode, 3)
        self.assertEqual(self.run_app("b", "success", "false").returncode, 1)
        self.assertEqual(os.listdir(self.folder), ["a"])
        self.assertIsNone(sidecar.poll())
        self.assertEqual(self.run_app("b", "success", "true").returncode, 0)
        self.assertEqual(sidecar.wait(10), 0)
        self.assertEqual(sidecar.stdout.read(), "told\n")

    def test_a_sidecar_that_ends_by_itself_says_how(self):
        self.assertEqual(self.start("sidecar", self.path("a"), "--", "sh", "-c", "exit 5").wait(10), 5)
        self.assertEqual(self.start("sidecar", self.path("a"), "--", "sh", "-c", "kill -9 $$").wait(10), 128 + 9)

    def test_signals_are_passed_on(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            with self.subTest(number):
                app = self.start("app", self.path("x"), "success", "--", "bash", "-c",
                                 f"trap 'exit 9' {number.name[3:]}; echo up; while :; do sleep 0.05; done")
                self.assertEqual(app.stdout.readline(), "up\n")
                app.send_signal(number)
                self.assertEqual(app.wait(10), 9)

    def test_it_installs_itself_for_everybody(self):
        old = os.umask(0o077)
        try:
            subprocess.run([binary_path("byrnie-finish"), "install", self.folder], check=True, timeout=10)
        finally:
            os.umask(old)
        installed = self.path("byrnie-finish")
        self.assertEqual(stat.S_IMODE(os.stat(installed).st_mode), 0o755)
        self.assertEqual(os.listdir(self.folder), ["byrnie-finish"])
        done = subprocess.run([installed, "app", self.path("done"), "always", "--", "echo", "hello"], capture_output=True, text=True, timeout=10)
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"))
        wait_until(lambda: os.path.exists(self.path("done")), 5, "the file")

    def test_what_is_wrong_is_one_line(self):
        finish = binary_path("byrnie-finish")
        for words, code in ((["app", "x", "always", "--", "/nowhere"], 127), (["app", "x", "always", "--", self.folder], 126),
                            (["app", "x", "sometimes", "--", "true"], 2), (["app", "x", "always"], 2), (["sidecar", "--", "true"], 2),
                            (["install"], 2), (["install", self.path("none")], 1), ([], 2), (["what", "--", "true"], 2)):
            with self.subTest(words):
                done = subprocess.run([finish, *words], cwd=self.folder, capture_output=True, text=True, timeout=10)
                self.assertEqual(done.returncode, code)
                self.assertRegex(done.stderr, r"\Abyrnie-finish: error: [^\n]+\n\Z")
        self.assertIn("byrnie-finish sidecar", subprocess.run([finish, "--help"], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
