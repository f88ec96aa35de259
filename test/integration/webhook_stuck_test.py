#!/usr/bin/python3
"""A control plane whose webhook answers nobody any more is started anew by whoever watches it.

Proved with a real process, of which one thread alone is held as a debugger holds it: the thread of the webhook stands still, and /readyz says 503 within seconds, /healthz within half a minute, each with the reason; it goes on, and both say 200 again.
Held for as long as a slow turn may take, /healthz stays at 200.
"""

import contextlib
import ctypes
import os
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.process import wait_until
from testing.webhook_case import WebhookCase

INTERRUPT, SEIZE, DETACH, ALL = 0x4207, 0x4206, 17, 0x40000000  # ptrace(2); __WALL of waitpid(2).
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def thread_called(pid, name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise AssertionError(f"no thread is called {name}")


@contextlib.contextmanager
def held(thread):
    """It does nothing until the end of the block."""
    ptrace(SEIZE, thread)
    ptrace(INTERRUPT, thread)
    os.waitpid(thread, ALL)
    try:
        yield
    finally:
        ptrace(DETACH, thread)


class WebhookStuckTest(WebhookCase):

    def healthz(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/healthz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_a_thread_that_stands_still_is_found_out(self):
        self.assertEqual(self.healthz(), (200, "ok\n"))
        thread = thread_called(self.plane.process.pid, "webhook")
        begun = time.monotonic()
        with held(thread):
            wait_until(lambda: self.readiness(self.plane)[0] == 503, 15, "not ready")
            said = self.healthz()
            if time.monotonic() - begun < 15:
                # So long a turn may take on a machine with much else to do.
                self.assertEqual(said, (200, "ok\n"))
            wait_until(lambda: self.healthz()[0] == 503, 40, "not healthy")
            self.assertIn("the injection webhook: its thread has done nothing for", self.healthz()[1])
        wait_until(lambda: self.healthz()[0] == 200, 10, "healthy again")
        wait_until(lambda: self.readiness(self.plane)[0] == 200, 10, "ready again")


if __name__ == "__main__":
    main()
