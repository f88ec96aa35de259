"""Tests of the rotation of the root: two pods that talk both ways, and the operator's commands.

    class ATest(RotationCase):
        def test_something(self):
            finish = self.talking()
            self.move("prepare")
            finish()                    # no connection and no handshake has failed
"""

import json
import threading

from . import exposition
from .case import MeshTestCase
from .process import wait_until

FORWARD = ("prepare", "distribute", "activate", "taint", "revoke")
STEP_AFTER = {"prepare": "prepared", "distribute": "distributed", "activate": "active", "taint": "tainted", "revoke": ""}


class Talk(threading.Thread):
    """Asks a service again and again, on a connection of its own each time."""

    def __init__(self, case, pod, vip):
        super().__init__(daemon=True)
        self._case, self._pod, self._vip, self._ending = case, pod, vip, threading.Event()
        self.asked, self.failures = 0, []

    def run(self):
        while not self._ending.is_set():
            try:
                if self._case.ask(self._pod, self._vip, 80, timeout=10) != b"ping\n":
                    self.failures.append(f"{self._pod.name}: another answer")
            except OSError as error:
                self.failures.append(f"{self._pod.name}: {type(error).__name__}: {error}")
            self.asked += 1
            self._ending.wait(0.02)

    def finish(self):
        self._ending.set()
        self.join()


class RotationCase(MeshTestCase):
    """See the module's comment."""

    # How long a move may take until nobody keeps it back.
    move_deadline = 40

    @classmethod
    def build(cls):
        cls.make_pods()
        cls.mesh.start()
        cls.start_applications()

    @classmethod
    def make_pods(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.vips = {cls.client: cls.mesh.service("to-server", [cls.server])[0],
                    cls.server: cls.mesh.service("to-client", [cls.client])[0]}

    @classmethod
    def start_applications(cls):
        for pod in cls.vips:
            pod.app("echo", 8080)

    def trust(self, *arguments, check=True):
        done = self.mesh.control_plane.ctl("trust", *arguments, "--output=json", check=check)
        return json.loads(done.stdout) if check else done

    def status(self):
        return self.trust("status")

    def step(self):
        return self.status()["step"]

    def blockers(self):
        """Who keeps the next move back."""
        return [blocker["agent"] for blocker in self.status()["blockers"]]

    def signing_root(self):
        return next(root["fingerprint"] for root in self.status()["roots"] if root["signs"])

    def move(self, name):
        """Until it is done: certificates that nobody answers for any more are waited for."""
        def moved():
            done = self.trust("rotate", f"--step={name}", check=False)
            self.last_refusal = done.stderr
            return done.returncode == 0
        try:
            wait_until(moved, self.move_deadline, name, every=0.3)
        except AssertionError as error:
            self.fail(f"{error}: {self.last_refusal}")
        self.assertEqual(self.step(), STEP_AFTER[name])

    def refused(self, name, *flags):
        """Why a move is refused now."""
        done = self.trust("rotate", f"--step={name}", *flags, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def roll_back(self):
        wait_until(lambda: self.trust("rollback", check=False).returncode == 0, self.move_deadline, "a rollback", every=0.3)

    def restore(self):
        """Ends a rotation that a failed test has left."""
        while self.step():
            self.roll_back()

    def failed_handshakes(self):
        failed = 0
        for pod in self.vips:
            families = pod.families()
            failed += exposition.total(families, "byrnie_proxy_handshakes_total")
            failed -= exposition.total(families, "byrnie_proxy_handshakes_total", result="ok")
        return failed

    def talking(self):
        """The pods talk until what this returns is called: it says how many connections there were, and fails if one did."""
        talks = [Talk(self, pod, vip) for pod, vip in self.vips.items()]
        before = self.failed_handshakes()
        for talk in talks:
            talk.start()

        def finish():
            for talk in talks:
                talk.finish()
            self.assertEqual([failure for talk in talks for failure in talk.failures], [])
            self.assertEqual(self.failed_handshakes(), before, "handshakes failed")
            return sum(talk.asked for talk in talks)
        return finish


class EveryStep:
    """Tests of what holds at every step, for a RotationCase of whatever mesh."""

    def test_killed_after_every_move_it_goes_on(self):
        finish = self.talking()
        root = self.signing_root()
        for name in FORWARD:
            self.move(name)
            self.mesh.control_plane.process.kill()
            self.mesh.control_plane.start()
            self.assertEqual(self.step(), STEP_AFTER[name])
        self.assertNotEqual(self.signing_root(), root)
        finish()

    def test_rollback_from_every_step(self):
        finish = self.talking()
        root = self.signing_root()
        for depth in range(1, len(FORWARD)):
            for name in FORWARD[:depth]:
                self.move(name)
            while self.step():
                self.roll_back()
            self.assertEqual(self.signing_root(), root)
            self.assertEqual(len(self.status()["roots"]), 1)
        finish()
