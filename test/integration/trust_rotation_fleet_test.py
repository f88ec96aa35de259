#!/usr/bin/python3
"""Rotations of the root fail no handshake of a thousand agents and two pods, whatever happens to the control plane on the way.

Proved with two pods that talk all the time in both directions, and with 1 000 agents in one process (test/fleet), each with a key, certificates
and a gRPC connection of its own, random pairs of which verify each other all the time: no connection and no handshake fails in three rotations in a row, and each
ends with one root that nobody had before. In the second one an agent acknowledges nothing: `activate` is refused and names it, and nobody else
of the thousand, until it does. None fails either while the control plane is killed after every move, all of them come back to it and it goes on
with what was decided, nor in rollbacks from every step.
"""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.process import wait_until
from testing.rotation_case import FORWARD, EveryStep, RotationCase
from testing.sanitized import fewer, measured, patience
from testing.token_issuer import SigningKey, TokenIssuer

AGENTS = fewer(1000, 100)
# Certificates a second: a thousand at once would be the machine's measure, not the rotation's.
ISSUE_RATE = 200
SILENT = "spiffe://cluster.local/ns/ci/sa/agent-0"


class TrustRotationFleetTest(EveryStep, RotationCase):

    workload_ttl = "30m"
    move_deadline = patience(60)

    @classmethod
    def build(cls):
        plane = cls.mesh.control_plane
        issuer = TokenIssuer("https://fleet.example", [SigningKey("ES256", "f1")])
        config = os.path.join(cls.mesh.directory, "jwt.json")
        issuer.write_config(config, os.path.join(cls.mesh.directory, "fleet.jwks"))
        plane.attest = "join_token,jwt"
        plane.extra_flags = [f"--jwt_config={config}", f"--issue_rate={ISSUE_RATE}"]
        super().build()
        tokens = cls.mesh.make_directory("tokens", 0o700)
        for number in range(AGENTS):
            with open(os.path.join(tokens, str(number)), "w", encoding="ascii") as out:
                out.write(issuer.token(f"repo:agent-{number}"))
        # Its roots are those of the beginning all the time: later ones come from the control plane.
        cls.fleet = cls.mesh.spawn(
            "fleet", cls.mesh.outsider("fleet"),
            [cls.mesh.binary("agent_fleet"), f"--control_plane={plane.host.address}:{plane.PORT}", f"--trust_bundle={plane.bundle}",
             f"--tokens={tokens}", f"--agents={AGENTS}"], cls.mesh.log_path("fleet"))
        began = time.monotonic()
        wait_until(lambda: cls.told()["ready"] == AGENTS, patience(60), "all agents", every=0.5)
        print(f"     {AGENTS} agents within {time.monotonic() - began:.0f} s", flush=True)

    @classmethod
    def told(cls):
        """What the fleet said last."""
        lines = [line for line in cls.fleet.log_records() if "ready" in line]
        return lines[-1] if lines else {"ready": 0}

    def talking(self):
        """Of the pods' talk, and no handshake of the agents fails either."""
        finish_pods, before = super().talking(), self.told()

        def finish():
            asked, after = finish_pods(), self.told()
            self.assertEqual((after["failed"], after["ready"]), (0, AGENTS), self.fleet.log_text()[-2000:])
            handshakes = after["handshakes"] - before["handshakes"]
            self.assertGreater(min(asked, handshakes), 100)
            print(f"     {asked} connections of pods, {handshakes} handshakes of {AGENTS} agents, none failed", flush=True)
            return asked, handshakes
        return finish

    def assert_a_silent_agent_is_waited_for(self):
        self.fleet.signal(signal.SIGHUP)
        self.move("prepare")
        self.move("distribute")
        wait_until(lambda: self.blockers() == [SILENT], patience(30), "everybody else's acknowledgement", every=0.2)
        self.assertIn(SILENT, self.refused("activate"))
        self.assertEqual(self.step(), "distributed")
        self.fleet.signal(signal.SIGHUP)
        wait_until(lambda: not self.blockers(), patience(10), "the last acknowledgement", every=0.2)

    def issued(self):
        return int(json.loads(self.mesh.control_plane.ctl("status", "--output=json").stdout)["certificates_issued"])

    def test_three_rotations_in_a_row(self):
        finish, lost, issued = self.talking(), self.told()["lost"], self.issued()
        roots, began = {self.signing_root()}, time.monotonic()
        for number in range(3):
            moves = FORWARD
            if number == 1:
                self.assert_a_silent_agent_is_waited_for()
                moves = FORWARD[2:]
            for name in moves:
                self.move(name)
            roots.add(self.signing_root())
            self.assertEqual(len(self.status()["roots"]), 1)
        took = time.monotonic() - began
        asked, handshakes = finish()
        with measured():
            self.assertGreater(handshakes, 1000)
            self.assertGreater(asked, 500)
        self.assertEqual(len(roots), 4)
        self.assertEqual(self.told()["lost"], lost, "connections to the control plane were lost")
        self.assertGreaterEqual(self.issued() - issued, 3 * (AGENTS + len(self.vips)))
        print(f"     three rotations in {took:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
