#!/usr/bin/python3
"""A connection does not outlive the certificates that the two ends have proven themselves by, unless told so.

Proved: with --identity_expiry=drain at one end, and another one that makes no handshake for the proof's sake, an open connection
ends, as a reset, when the first of the two certificates of its tunnel expires, and not before; one beside which others are
opened goes on, because their handshakes prove as much (of two ends that drain see proven_anew_test). With strict it is reset at both ends as soon as the
proxy's own certificate is replaced, inbound and outbound, in a tunnel and in direct mTLS, however the other end's proxy is
set, and the log says so; a new one works at once.
"""

import concurrent.futures
import datetime
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.inline_app import InlineApp, echo
from testing.process import wait_until
from testing.tcp import RESET, read_to_end


def when(record):
    return datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()


class IdentityExpiryTest(MeshTestCase):
    workload_ttl = "10s"

    @classmethod
    def build(cls):
        cls.client, cls.other, cls.server = cls.mesh.pod("client"), cls.mesh.pod("other"), cls.mesh.pod("server")
        cls.server.extra_proxy_flags = ["--identity_expiry=drain"]
        for pod in (cls.client, cls.other):
            pod.extra_proxy_flags = ["--identity_expiry=keep"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    def ends(self):
        return [leaf_facts(served_leaf(self.probe, pod.address))["not_after"] for pod in (self.client, self.server)]

    def test_an_open_connection_ends_with_its_certificates(self):
        # As old as they may be: whichever of them the handshake is made with.
        soonest = min(self.ends())
        with self.client.connect(self.mesh.vip, 80, timeout=20) as connection, \
                self.other.connect(self.mesh.vip, 80, timeout=20) as accompanied:
            latest = None
            exchanged = 0
            with self.assertRaises(ConnectionResetError, msg="the connection should be reset, not end cleanly"):
                while True:
                    for one in (connection, accompanied):
                        one.sendall(b"still here\n")
                        if not one.recv(100):
                            self.fail("a clean end")
                    latest = latest or min(self.ends())
                    exchanged += 1
                    self.assertEqual(self.ask(self.other, self.mesh.vip, 80, b"new\n"), b"new\n")
                    self.assertLess(time.time(), latest + 2, "the connection outlived its certificates")
                    time.sleep(0.1)
            self.assertGreater(exchanged, 5)
            self.assertGreaterEqual(time.time(), soonest)
            self.server.wait_access_log(direction="inbound", reason="identity-expired", peer_identity=self.client.spiffe_id)
            ends = time.time() + 12
            while time.time() < ends:
                accompanied.sendall(b"still here\n")
                self.assertEqual(accompanied.recv(100), b"still here\n")
                self.assertEqual(self.ask(self.other, self.mesh.vip, 80, b"new\n"), b"new\n")
                time.sleep(0.1)
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"new\n"), b"new\n")


class StrictIdentityExpiryTest(MeshTestCase):
    workload_ttl = "10s"

    @classmethod
    def build(cls):
        cls.strict, cls.keeper = cls.mesh.pod("strict"), cls.mesh.pod("keeper")
        cls.strict_direct = cls.mesh.pod("strict-direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.keeper_direct = cls.mesh.pod("keeper-direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        for pod in cls.mesh.pods:
            mode = "strict" if pod in (cls.strict, cls.strict_direct) else "keep"
            pod.extra_proxy_flags = [f"--identity_expiry={mode}"]
        cls.mesh.start()

    @staticmethod
    def rotations(pod):
        return [when(record) for record in pod.log() if record.get("message") == "identity in force"]

    def carry(self, client, server, port, peer):
        """Carries bytes until the connection fails; how its two ends saw that, and after how many seconds.

        It begins when `peer`, the other end of the strict one, has a new certificate, which outlives the strict one's."""
        for _ in range(3):
            known = len(self.rotations(peer))
            wait_until(lambda: len(self.rotations(peer)) > known, 15, f"a new certificate of {peer.name}", every=0.05)
            with server.listen(port, timeout=3) as listener, client.connect(server.address, port) as near:
                try:
                    far = server.host.accept(listener)
                except TimeoutError:
                    continue  # The strict one's was replaced during the handshake.
                with far:
                    result = self.exchange(near, far)
                if result[-1] > 0.3:  # Else the strict one's was replaced before there was much to be ended.
                    return result
        raise AssertionError("no connection that lasted, in three attempts")

    @staticmethod
    def exchange(near, far):
        far.settimeout(10)
        opened = time.monotonic()
        end, other, saw = near, far, None
        while saw is None and time.monotonic() - opened < 15:
            try:
                end.sendall(b"x")
                time.sleep(0.02)
                end, other = other, end
                if end.recv(1) != b"x":
                    saw = "end"
            except ConnectionResetError:
                saw = RESET
        return saw, read_to_end(other, 2)[1], time.monotonic() - opened

    def test_an_open_connection_ends_with_the_rotation(self):
        cases = ((self.keeper, self.strict, 8001), (self.keeper, self.strict_direct, 8002),
                 (self.strict, self.keeper, 8003), (self.strict, self.keeper_direct, 8004))
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            carried = [pool.submit(self.carry, client, server, port, server if client is self.strict else client)
                       for client, server, port in cases]
        for (client, server, port), result in zip(cases, carried):
            with self.subTest(client=client.name, server=server.name):
                near, far, seconds = result.result()
                print(f"     {client.name} to {server.name}: {near} and {far} after {seconds:.1f} s", file=sys.stderr)
                self.assertEqual((near, far), (RESET, RESET))
                strict, direction = (client, "outbound") if client is self.strict else (server, "inbound")
                where = "original_destination" if client is self.strict else "destination"
                record = strict.wait_access_log(direction=direction, **{where: f"{server.address}:{port}"})[-1]
                self.assertEqual(record["reason"], "identity-expired", record)
                self.assertEqual(record["detail"], "proxy reset: the own certificate of its tunnel was replaced")
                self.assertEqual(record["protocol"], "mtls" if "direct" in server.name else "hbone")
                # Without a tunnel there is no place for a reason.
                keeper, side = (server, "downstream") if client is self.strict else (client, "upstream")
                told = {} if "direct" in server.name else {"peer_reason": "identity-expired", "result": "failed"}
                there = keeper.wait_access_log(original_destination=f"{server.address}:{port}", reason=f"reset-by-{side}", **told)
                self.assertTrue(told or not any("peer_reason" in record for record in there), there)
                ended = when(record) + record["duration_ms"] / 1000
                since = min(abs(ended - rotation) for rotation in self.rotations(strict))
                self.assertLess(since, 0.5, "seconds between the rotation and the end")
                with InlineApp(server, port, echo):
                    try:
                        answer = self.ask(client, server.address, port)
                    except ConnectionResetError:  # By the strict one's next rotation, which two in a row are not.
                        answer = self.ask(client, server.address, port)
                    self.assertEqual(answer, b"ping\n")


if __name__ == "__main__":
    sys.exit(main())
