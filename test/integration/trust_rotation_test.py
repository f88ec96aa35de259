#!/usr/bin/python3
"""The control plane moves to its next root, three times in a row, and no handshake fails on the way.

Proved with two pods that talk all the time in both directions, over tunnels that are made anew with every certificate and every bundle: three
rotations that go by themselves fail no handshake and no connection, and end with one root that nobody had before; an agent that stands still
keeps `activate` back by name, until it goes on or is excluded; the control plane, killed after every move, goes on with what was decided;
rollback works from every step. One of the agents has the bundle file of the first root all the time.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.case import MeshTestCase, main
from testing.process import wait_until

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


class TrustRotationTest(MeshTestCase):

    workload_ttl = "8s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.vips = {cls.client: cls.mesh.service("to-server", [cls.server])[0],
                    cls.server: cls.mesh.service("to-client", [cls.client])[0]}
        # The client's bundle file stays what it was: what comes later it learns from the control plane.
        cls.mesh.registry.write()
        cls.mesh.control_plane.start()
        kept = os.path.join(cls.mesh.directory, "kept.pem")
        shutil.copyfile(cls.mesh.control_plane.bundle, kept)
        arguments = cls.client.agent_arguments
        cls.client.agent_arguments = lambda: [f"--trust_bundle={kept}" if argument.startswith("--trust_bundle=") else argument
                                              for argument in arguments()]
        cls.mesh.start()
        for pod in cls.vips:
            pod.app("echo", 8080)

    def trust(self, *arguments, check=True):
        done = self.mesh.control_plane.ctl("trust", *arguments, "--output=json", check=check)
        return json.loads(done.stdout) if check else done

    def status(self):
        return self.trust("status")

    def step(self):
        return self.status()["step"]

    def signing_root(self):
        return next(root["fingerprint"] for root in self.status()["roots"] if root["signs"])

    def move(self, name, deadline=40):
        """Until it is done: certificates that nobody answers for any more are waited for."""
        def moved():
            done = self.trust("rotate", f"--step={name}", check=False)
            self.last_refusal = done.stderr
            return done.returncode == 0
        try:
            wait_until(moved, deadline, name, every=0.3)
        except AssertionError as error:
            self.fail(f"{error}: {self.last_refusal}")
        self.assertEqual(self.step(), STEP_AFTER[name])

    def roll_back(self, deadline=40):
        wait_until(lambda: self.trust("rollback", check=False).returncode == 0, deadline, "a rollback", every=0.3)

    def failed_handshakes(self):
        failed = 0
        for pod in self.vips:
            families = pod.families()
            failed += exposition.total(families, "byrnie_proxy_handshakes_total")
            failed -= exposition.total(families, "byrnie_proxy_handshakes_total", result="ok")
        return failed

    def talking(self):
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

    def kill_and_start_again(self):
        self.mesh.control_plane.process.kill()
        self.mesh.control_plane.start()

    def restore(self):
        """Ends a rotation that a failed test has left."""
        while self.step():
            self.roll_back()

    def test_three_rotations_in_a_row_by_themselves(self):
        finish = self.talking()
        roots, began = {self.signing_root()}, time.monotonic()
        for _ in range(3):
            self.trust("rotate")
            wait_until(lambda: not self.step(), 60, "the rotation's end", every=0.2)
            roots.add(self.signing_root())
        self.assertEqual(len(roots), 4)
        self.assertEqual(len(self.status()["roots"]), 1)
        took = time.monotonic() - began
        asked = finish()
        print(f"     three rotations in {took:.0f} s, {asked} connections, no handshake failed", flush=True)

    def test_an_agent_that_stands_still_is_waited_for_by_name(self):
        self.addCleanup(self.restore)
        self.move("prepare")
        self.client.agent.signal(signal.SIGSTOP)
        self.addCleanup(self.client.agent.signal, signal.SIGCONT)
        self.move("distribute")
        wait_until(lambda: not any(blocker["agent"] == self.server.spiffe_id for blocker in self.status()["blockers"]), 10,
                   "the other agent's acknowledgement")
        refused = self.trust("rotate", "--step=activate", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(self.client.spiffe_id, refused.stderr)
        self.assertIn("has not acknowledged", refused.stderr)
        told = self.trust("rotate", "--step=activate", "--dry_run")
        self.assertIn(self.client.spiffe_id, [blocker["agent"] for blocker in told["blockers"]])
        self.assertFalse(told["moved"])
        wrong = self.trust("rotate", "--step=activate", f"--exclude={self.server.spiffe_id}", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("does not keep activate back", wrong.stderr)
        self.assertEqual(self.step(), "distributed")
        self.client.agent.signal(signal.SIGCONT)
        self.move("activate")

    def test_killed_after_every_move_it_goes_on(self):
        finish = self.talking()
        root = self.signing_root()
        for name in FORWARD:
            self.move(name)
            self.kill_and_start_again()
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


if __name__ == "__main__":
    sys.exit(main())
