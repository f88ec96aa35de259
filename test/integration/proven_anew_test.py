#!/usr/bin/python3
"""A connection goes on for as long as both its ends prove anew who they are, and no longer.

Proved with certificates of 10 s and the flags that are the default, through a tunnel and over direct mTLS, with nothing else
between the two pods: connections, busy ones and idle ones, outlive three certificates of both ends, with one line in the log
of each end and the proofs counted. Where one end cannot renew its certificate, because its agent does not reach the control
plane, they are reset at both ends when that certificate ends, not before and at most two seconds after, while others go on;
where its agent is gone, which signs its handshakes, when the last proof of the two ends, as /connections has said. A control
plane that is away for longer than certificates live ends them all that way. A certificate that is revoked ends within two
seconds what was begun with an older one.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, receive
from testing.process import wait_until
from testing.tcp import RESET
from testing.watched import Watched, seconds

LIFE = 10
PORT = 8080
# Noticed by the next sweep; the machine may be slow besides.
LATE = 2


def own_end(pod):
    return seconds(json.loads(pod.admin("/certs")[1])["not_after"])


def serial(pod):
    return json.loads(pod.admin("/certs")[1])["chain"][0]["serial"]


def rotations(pod):
    return len([record for record in pod.log() if record.get("message") == "identity in force"])


class ProvenAnewTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.direct = cls.mesh.pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.mesh.start()

    def renewed(self, result):
        return self.client.metrics()[f'byrnie_proxy_identity_proofs_renewed_total{{result="{result}"}}']

    def test_connections_outlive_three_certificates(self):
        pods = (self.client, self.server, self.direct)
        before = {pod: rotations(pod) for pod in pods}
        with InlineApp(self.server, PORT, echo) as tunnelled, InlineApp(self.direct, PORT, echo) as direct:
            busy, idle = [], []
            for pod in (self.server, self.direct):
                for kind in (busy, idle):
                    kind.append(self.client.connect(pod.address, PORT))
            began, exchanged, wanted = time.monotonic(), 0, 3 * LIFE + 2
            for connection in idle:
                connection.sendall(b"first")
                self.assertEqual(receive(connection, 5), b"first")
            while time.monotonic() - began < wanted:
                for connection in busy:
                    connection.sendall(b"still here")
                    self.assertEqual(receive(connection, 10), b"still here")
                exchanged += 1
                time.sleep(0.05)
            for connection in idle:
                connection.sendall(b"and again")
                self.assertEqual(receive(connection, 9), b"and again")
            self.assertGreater(exchanged, 100)
            self.assertEqual((tunnelled.accepted, direct.accepted), (2, 2))
            for connection in busy + idle:
                connection.close()
        for pod in pods:
            self.assertGreaterEqual(rotations(pod) - before[pod], 3, pod.name)
            wanted = 4 if pod is self.client else 2
            ended = wait_until(lambda: len(pod.wait_access_log()) >= wanted and pod.access_log(), 10, f"{wanted} ends at {pod.name}")
            self.assertEqual([record["reason"] for record in ended], ["closed"] * wanted)
        # Of two peers, each at least once in a certificate's life.
        self.assertGreaterEqual(self.renewed("renewed"), 6)
        # One that a rotation overtakes may fail, and is made again.
        self.assertLess(self.renewed("failed"), 3)
        # Each by one handshake, not by one for each worker and connection.
        self.assertLess(self.renewed("renewed"), 30)


class CutOffTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        pod = cls.mesh.pod
        cls.client, cls.server = pod("client"), pod("server")
        cls.direct = pod("direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.cut_client, cls.cut_server = pod("cut-client"), pod("cut-server")
        cls.cut_direct = pod("cut-direct", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.stopped = pod("stopped")
        cls.mesh.start()

    def old(self, connections):
        """They live by newer proofs than their own by now."""
        for connection in connections:
            self.addCleanup(connection.close)
            wait_until(lambda: time.time() - connection.began > 1.2 * LIFE, 2 * LIFE, "a certificate's life")
            self.assertEqual(connection.ends, {})
        return connections

    def assert_ended(self, connection, expected):
        for thread in connection.threads:
            thread.join(3 * LIFE)
        name = f"{connection.client.name} to {connection.server.name}"
        self.assertEqual(set(connection.ends), {"near", "far"}, name)
        for how, when in connection.ends.values():
            print(f"     {name}: {how} {when - expected():.1f} s after the end", file=sys.stderr)
            self.assertEqual(how, RESET, name)
            self.assertGreaterEqual(when - expected(), 0, name)
            self.assertLess(when - expected(), LATE, name)

    def assert_reasons(self, connection):
        """One end said it; the other one saw that, or said so itself."""
        reasons = [pod.wait_access_log(direction=direction, peer_identity=peer.spiffe_id)[-1]["reason"]
                   for pod, direction, peer in ((connection.client, "outbound", connection.server),
                                                (connection.server, "inbound", connection.client))]
        self.assertIn("identity-expired", reasons)
        self.assertLessEqual(set(reasons), {"identity-expired", "reset-by-upstream", "reset-by-downstream"})

    def test_1_whoever_cannot_renew_is_cut_off_when_its_certificate_ends(self):
        ways = ((self.cut_client, self.server, self.cut_client), (self.cut_client, self.direct, self.cut_client),
                (self.client, self.cut_server, self.cut_server), (self.client, self.cut_direct, self.cut_direct))
        lasting = [Watched(self.client, server) for server in (self.server, self.direct)]
        cut = [Watched(client, server) for client, server, _ in ways]
        self.old(lasting + cut)
        for pod in {pod for _, _, pod in ways}:
            pod.host.ip(f"route add blackhole {self.mesh.control_plane.host.address}")
        for connection, (_, _, pod) in zip(cut, ways):
            self.assert_ended(connection, lambda pod=pod: own_end(pod))
            self.assert_reasons(connection)
        for connection in lasting:
            self.assertEqual(connection.ends, {}, "nobody else's")
        # Two that the control plane leaves alone go on until it leaves all alone.
        self.mesh.control_plane.process.kill()
        for connection in lasting:
            self.assert_ended(connection, lambda c=connection: min(own_end(c.client), own_end(c.server)))
            self.assert_reasons(connection)
        # What ended them may have been the other end's.
        wait_until(lambda: time.time() > own_end(self.client), LIFE, "the end of the client's certificate")
        self.assert_fails_fast(self.client, self.server.address, PORT)
        self.client.wait_access_log(direction="outbound", reason="no-identity")

    def test_0_without_an_agent_the_last_proof_is_the_last(self):
        connections = self.old([Watched(self.stopped, self.server), Watched(self.stopped, self.direct)])
        self.stopped.agent.kill()
        ends = [connection.proven_until() for connection in connections]
        for connection, end in zip(connections, ends):
            self.assert_ended(connection, lambda end=end: end)
            self.assert_reasons(connection)


class RevokedTest(MeshTestCase):
    workload_ttl = f"{LIFE}s"

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.mesh.start()

    def test_a_newer_certificate_that_is_revoked_ends_what_lives_by_it(self):
        connection = Watched(self.client, self.server)
        self.addCleanup(connection.close)
        wait_until(lambda: time.time() - connection.began > 1.2 * LIFE, 2 * LIFE, "a certificate's life")
        known = serial(self.client)
        wait_until(lambda: serial(self.client) != known, LIFE, "a new certificate", every=0.05)
        with InlineApp(self.server, PORT + 1, echo):
            self.assertEqual(self.ask(self.client, self.server.address, PORT + 1), b"ping\n")
        self.assertEqual(connection.ends, {})
        self.mesh.control_plane.ctl("revoke", serial(self.client), "--only")
        revoked = time.time()
        for thread in connection.threads:
            thread.join(2 * LIFE)
        self.assertEqual({how for how, _ in connection.ends.values()}, {RESET})
        self.assertLess(max(when for _, when in connection.ends.values()) - revoked, LATE)
        record = self.server.wait_access_log(direction="inbound", destination=f"{self.server.address}:{PORT}")[-1]
        self.assertEqual((record["reason"], record["peer_identity"]), ("certificate-revoked", self.client.spiffe_id))


if __name__ == "__main__":
    sys.exit(main())
