#!/usr/bin/python3
"""Two pods talk by direct mTLS, one TLS connection for each of the application's, where the registry says so.

Proved both ways between pods registered as LEGACY_ISTIO_MTLS: both logs name both identities and protocol mtls; no
tunnel is made and the marker sent is not seen on the wire; half-close works; a server that speaks first is heard, in
permissive mode too; policies decide by principal, for open connections too, and a client's own log says that the other
end refused; a peer with another identity than the registry's is refused.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo, greet, receive
from testing.process import wait_until

MARKER = b"a-marker-nobody-else-sends"


class DirectMtlsTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.server = cls.mesh.pod("server", tunnel_protocol="LEGACY_ISTIO_MTLS")
        cls.other = cls.mesh.pod("other")
        cls.server.extra_proxy_flags = ["--mtls_port_modes=8090=permissive"]
        cls.mesh.vip, cls.mesh.vip6 = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.client.app("echo", 8080)

    def policies(self, *policies):
        self.mesh.registry.policies = []
        for name, action, match in policies:
            self.mesh.registry.policy(name, action, **match)
        self.mesh.registry.write()

    def talk(self, pod, address, port, message):
        answer = b""
        with pod.connect(address, port) as connection:
            connection.sendall(message)
            answer = receive(connection, len(message))
        self.assertEqual(answer, message)

    def answered(self, pod, port=8080):
        try:
            return self.ask(pod, self.server.address, port, timeout=5) == b"ping\n"
        except OSError:
            return False

    def test_both_ways_with_both_identities_in_both_logs(self):
        for one, two in ((self.client, self.server), (self.server, self.client)):
            capture = self.mesh.capture(two.host)
            self.talk(one, two.address, 8080, MARKER)
            capture.stop()
            self.assertEqual(capture.count(MARKER), 0)
            self.assertGreater(capture.tls_records(), 0)
            outbound = one.wait_access_log(direction="outbound", destination=f"{two.address}:8080")[-1]
            inbound = two.wait_access_log(direction="inbound", destination=f"{two.address}:8080")[-1]
            for record, own, peer in ((outbound, one, two), (inbound, two, one)):
                self.assertEqual((record["protocol"], record["result"]), ("mtls", "allowed"), record)
                self.assertEqual((record["own_identity"], record["peer_identity"]), (own.spiffe_id, peer.spiffe_id))
                self.assertEqual(record["tls_version"], "TLSv1.3")
                self.assertEqual((record["bytes_sent"], record["bytes_received"]),
                                 (len(MARKER), len(MARKER)))
            self.assertEqual(outbound["route"], "direct")
        for pod in (self.client, self.server):
            self.assertEqual(sum(value for name, value in pod.metrics().items() if "tunnels_created" in name), 0)

    def test_a_service_and_ipv6_lead_there_too(self):
        self.talk(self.client, self.mesh.vip, 80, b"by service")
        self.talk(self.client, self.mesh.vip6, 80, b"by service")
        self.talk(self.client, self.server.address6, 8080, b"by address")

    def test_a_pod_that_calls_its_own_service_reaches_itself(self):
        self.talk(self.server, self.mesh.vip, 80, b"to myself")

    def test_from_a_pod_that_takes_tunnels_itself(self):
        self.talk(self.other, self.server.address, 8080, b"hello")
        record = self.server.wait_access_log(direction="inbound", peer_identity=self.other.spiffe_id)[-1]
        self.assertEqual(record["protocol"], "mtls")

    def test_half_close_is_kept(self):
        with self.client.connect(self.server.address, 8080) as connection:
            connection.sendall(b"x" * 100_000)
            connection.shutdown(1)
            data = b""
            while block := connection.recv(65536):
                data += block
        self.assertEqual(len(data), 100_000)

    def test_its_end_is_answered_whichever_of_the_applications_had_its_port(self):
        # Of the few ports each is an application's and the proxy's in turn; connection tracking knows the former for minutes.
        settings = {"ip_local_port_range": "40000 40063", "tcp_tw_reuse": "1"}
        before = {name: self.client.host.run("cat", f"/proc/sys/net/ipv4/{name}").stdout.strip() for name in settings}
        try:
            for name, value in settings.items():
                self.client.host.run("sh", "-c", f"echo '{value}' > /proc/sys/net/ipv4/{name}")
            for _ in range(6):
                for _ in range(24):
                    self.talk(self.client, self.server.address, 8080, b"short")
                time.sleep(1.1)  # From then on the kernel gives a port in TIME_WAIT to another one.
            # The server's end waits for its answer, and again for twice as long each time.
            waiting = ("ss", "-Htan", "state", "last-ack", "state", "closing", "( dport >= :40000 and dport <= :40063 )")
            wait_until(lambda: self.server.host.run(*waiting).stdout == "", 3, "no end without an answer")
        finally:
            for name, value in before.items():
                self.client.host.run("sh", "-c", f"echo '{value}' > /proc/sys/net/ipv4/{name}")

    def greeted(self, port):
        try:
            with self.client.connect(self.server.address, port) as connection:
                return receive(connection, 5) == b"220\r\n"
        except OSError:
            return False

    def test_a_server_that_speaks_first_is_heard_in_either_mode(self):
        # Where plaintext may pass, the greeting may decide before discovery has said who that is, once.
        with InlineApp(self.server, 8090, greet(b"220\r\n")):
            wait_until(lambda: self.greeted(8090), 5, "a greeting through direct mTLS")
        for port in (8070, 8090):
            with self.subTest(port=port), InlineApp(self.server, port, greet(b"220\r\n")) as app:
                with self.client.connect(self.server.address, port) as connection:
                    self.assertEqual(receive(connection, 5), b"220\r\n")
                    connection.sendall(b"EHLO")
                    self.assertEqual(receive(connection, 4), b"EHLO")
                self.assertEqual(app.accepted, 1)
                record = self.server.wait_access_log(
                    direction="inbound", destination=f"{self.server.address}:{port}")[-1]
                self.assertEqual((record["protocol"], record["peer_identity"]), ("mtls", self.client.spiffe_id))

    def test_a_policy_decides_by_principal(self):
        with InlineApp(self.server, 8060, echo) as app:
            self.policies(("allow-other", "ALLOW", {"principals": [{"exact": "cluster.local/ns/demo/sa/other"}]}))
            try:
                # One that the policy ends when it comes is not answered either, and the application has seen it.
                wait_until(lambda: not self.answered(self.client, 8060) and self.server.access_log(direction="inbound", reason="no-allow-match"),
                           5, "the policy", every=0.1)
                accepted = app.accepted
                self.assert_fails_fast(self.client, self.server.address, 8060)
                self.assertEqual(app.accepted, accepted, "the application saw a connection that was denied")
                record = self.server.wait_access_log(direction="inbound", result="denied", reason="no-allow-match")[-1]
                self.assertEqual((record["protocol"], record["peer_identity"]), ("mtls", self.client.spiffe_id))
                record = self.client.wait_access_log(
                    direction="outbound", result="denied", reason="refused-by-peer",
                    original_destination=f"{self.server.address}:8060")[-1]
                self.assertIn("access_denied", record["detail"])
                self.assertTrue(self.answered(self.other, 8060))
                record = self.server.wait_access_log(direction="inbound", peer_identity=self.other.spiffe_id,
                                                     destination=f"{self.server.address}:8060", result="allowed")[-1]
                self.assertEqual(record["admitted_by"], "allowed-by demo/allow-other")
            finally:
                self.policies()
            wait_until(lambda: self.answered(self.client, 8060), 5, "permission", every=0.1)

    def test_a_client_that_writes_at_once_is_told_of_the_denial_too(self):
        """The denial and the reset behind it meet a proxy that is writing."""
        self.policies(("allow-other", "ALLOW", {"principals": [{"exact": "cluster.local/ns/demo/sa/other"}]}))
        try:
            wait_until(lambda: not self.answered(self.client), 5, "the policy", every=0.1)
            told = 0
            for _ in range(1000):
                if told == 20:
                    break
                source = None
                try:
                    with self.client.connect(self.server.address, 8080, timeout=5) as connection:
                        source = "{}:{}".format(*connection.getsockname()[:2])
                        while True:
                            connection.sendall(bytes(16384))
                except (ConnectionResetError, BrokenPipeError):
                    pass
                if source is None:
                    continue  # On a busy machine the reset may be there before connect() is back: it has written nothing.
                record = self.client.wait_access_log(direction="outbound", source=source)[-1]
                self.assertEqual((record["reason"], record["result"]), ("refused-by-peer", "denied"), record)
                self.assertIn("access_denied", record["detail"])
                told += 1
            self.assertEqual(told, 20)
        finally:
            self.policies()
        wait_until(lambda: self.answered(self.client), 5, "permission", every=0.1)

    def test_a_policy_ends_an_open_connection(self):
        with self.client.connect(self.server.address, 8080) as connection:
            connection.sendall(b"open")
            self.assertEqual(receive(connection, 4), b"open")
            self.policies(("deny-client", "DENY", {"principals": [{"exact": "cluster.local/ns/demo/sa/client"}]}))
            try:
                with self.assertRaises(ConnectionResetError):
                    connection.recv(100)
                    raise AssertionError("ended cleanly")
            finally:
                self.policies()
        record = self.server.wait_access_log(reason="policy-changed")[-1]
        self.assertEqual(record["peer_identity"], self.client.spiffe_id)
        record = self.client.wait_access_log(direction="outbound", peer_reason="policy-changed")[-1]
        self.assertEqual((record["reason"], record["result"]), ("reset-by-upstream", "denied"), record)
        wait_until(lambda: self.answered(self.client), 5, "permission", every=0.1)

    def test_a_server_with_another_identity_is_refused(self):
        entry = next(entry for entry in self.mesh.registry.workloads if entry["name"] == "server")
        entry["service_account"] = "somebody-else"
        self.mesh.registry.write()
        try:
            wait_until(lambda: not self.answered(self.client), 5, "the registry's change", every=0.1)
            self.assert_fails_fast(self.client, self.server.address, 8080)
            record = self.client.wait_access_log(direction="outbound", result="failed", reason="peer-identity-mismatch")[-1]
            self.assertIn(self.server.spiffe_id, record["detail"])
        finally:
            entry["service_account"] = "server"
            self.mesh.registry.write()
        wait_until(lambda: self.answered(self.client), 5, "the registry's change back", every=0.1)


if __name__ == "__main__":
    sys.exit(main())
