"""How an integration test is written and run: unittest, one mesh for all tests of a file, logs after a failure."""

import faulthandler
import os
import signal
import sys
import time
import unittest

from .interruption import Interrupted, unwind_on_signals
from .mesh import Mesh


class MeshTestCase(unittest.TestCase):
    """Starts a mesh with `client` and `server`, whose service is self.mesh.vip:80 for the server's port 8080.

    A subclass overrides `build` for another mesh.
    """

    workload_ttl = "1h"
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh(workload_ttl=cls.workload_ttl)
        try:
            cls.build()
        except BaseException as error:
            try:
                if isinstance(error, Exception):
                    cls.mesh.print_logs()
            finally:
                cls.mesh.cleanup()
            raise

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pair()

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def run(self, result=None):
        before = _bad(result)
        super().run(result)
        if _bad(result) > before:
            self.mesh.print_logs()
        return result

    # What many tests ask.

    def ask(self, pod, address, port, question=b"ping\n", timeout=10):
        """Sends a question, reads one answer of any length; raises what the socket raises."""
        with pod.connect(address, port, timeout=timeout) as connection:
            connection.sendall(question)
            return connection.recv(65536)

    def assert_fails_fast(self, pod, address, port, within=5.0, question=b"ping\n"):
        """The connection ends without one byte of an answer, in time; returns how."""
        started = time.monotonic()
        try:
            answer = self.ask(pod, address, port, question, timeout=within)
        except TimeoutError:
            self.fail(f"{address}:{port} neither answered nor failed within {within:g} s")
        except OSError as error:
            return type(error).__name__
        self.assertEqual(answer, b"", f"{address}:{port} answered")
        self.assertLess(time.monotonic() - started, within)
        return "closed"


def _bad(result):
    return len(result.failures) + len(result.errors) if result else 0


class _Lines(unittest.TestResult):
    """One line per test, that run.py counts."""

    def __init__(self):
        super().__init__()
        self._file = os.path.basename(sys.argv[0])

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def _line(self, word, test):
        seconds = time.monotonic() - getattr(self, "_started", time.monotonic())
        print(f"{word} {self._file} {_sentence(test)} ({seconds:.1f} s)", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("PASS", test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._line("FAIL", test)
        print(self.failures[-1][1], file=sys.stderr, flush=True)

    def addError(self, test, error):
        super().addError(test, error)
        self._line("FAIL", test)
        print(self.errors[-1][1], file=sys.stderr, flush=True)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            print(f"in {subtest}", file=sys.stderr)
            self._line("FAIL", test)
            print((self.failures or self.errors)[-1][1], file=sys.stderr, flush=True)


def _sentence(test):
    name = test.id().split(".")[-1] if hasattr(test, "id") else str(test)
    return name.removeprefix("test_")


def main():
    """Runs the tests of the calling file; exit 1 if one failed, 128 and its number if a signal ended it. SIGUSR1 shows
    where it is."""
    unwind_on_signals()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    if len(sys.argv) > 1:
        wanted = sys.argv[1:]
        suite = unittest.TestSuite(test for group in suite for test in group
                                   if any(word in test.id() for word in wanted))
    result = _Lines()
    try:
        suite.run(result)
    except Interrupted as interruption:
        # Amid setUpClass or a test: the mesh's atexit handler cleans up.
        return interruption.exit_code
    return 0 if result.wasSuccessful() else 1
