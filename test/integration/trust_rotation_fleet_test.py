#!/usr/bin/python3
"""Three rotations of the root in a row fail no handshake of a thousand agents and two pods; one agent that is silent is named.

Proved with two pods that talk all the time in both directions, and with 1 000 agents in one process (test/fleet), each with a key, certificates
and a gRPC connection of its own, random pairs of which verify each other all the time: no connection and no handshake fails, and each rotation
ends with one root that nobody had before. In the second one an agent acknowledges nothing: `activate` is refused and names it, and nobody else
of the thousand, until it does.
"""

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.process import wait_until
from testing.rotation_case import FORWARD, RotationCase
from testing.sanitized import fewer, measured, patience
from testing.token_issuer import SigningKey, TokenIssuer

AGENTS = fewer(1000, 100)
# Certificates a second: a thousand at once would be the machine's measure, not the rotation's.
ISSUE_RATE = 200
SILENT = "spiffe://cluster.local/ns/ci/sa/agent-0"


class TrustRotationFleetTest(RotationCase):

    workload_ttl = "30m"

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

    def assert_a_silent_agent_is_waited_for(self):
        self.fleet.signal(signal.SIGHUP)
        self.move("prepare")
        self.move("distribute")
        wait_until(lambda: self.blockers() == [SILENT], patience(30), "everybody else's acknowledgement", every=0.2)
        self.assertIn(SILENT, self.refused("activate"))
        self.assertEqual(self.step(), "distributed")
        self.fleet.signal(signal.SIGHUP)
        wait_until(lambda: not self.blockers(), patience(10), "the last acknowledgement", every=0.2)

    def test_three_rotations_in_a_row(self):
        finish, before = self.talking(), self.told()
        roots, began = {self.signing_root()}, time.monotonic()
        for number in range(3):
            moves = FORWARD
            if number == 1:
                self.assert_a_silent_agent_is_waited_for()
                moves = FORWARD[2:]
            for name in moves:
                self.move(name, deadline=patience(60))
            roots.add(self.signing_root())
            self.assertEqual(len(self.status()["roots"]), 1)
        took = time.monotonic() - began
        asked, after = finish(), self.told()
        self.assertEqual(len(roots), 4)
        self.assertEqual((after["failed"], after["lost"], after["ready"]), (0, 0, AGENTS), self.fleet.log_text()[-2000:])
        handshakes = after["handshakes"] - before["handshakes"]
        with measured():
            self.assertGreater(handshakes, 1000)
            self.assertGreater(asked, 500)
        issued = json.loads(self.mesh.control_plane.ctl("status", "--output=json").stdout)["certificates_issued"]
        self.assertGreaterEqual(int(issued), 4 * (AGENTS + len(self.vips)))
        print(f"     three rotations in {took:.0f} s: {asked} connections of pods, {handshakes} handshakes of {AGENTS} agents, "
              f"none failed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
