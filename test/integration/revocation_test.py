#!/usr/bin/python3
"""A certificate on a revocation list proves nothing from the moment the list is there, and where there are lists, one whose
status nobody knows proves nothing either.

Proved with lists signed by the mesh's own root, given to the control plane or to one agent: an open connection of the
revoked pod ends within 2 s and new ones are refused, both with a reason of their own in log and metrics, while others keep
theirs; a list that has ended denies everybody until a new one comes; a file that is no list, or one that begins later or
is older than the one in force, changes nothing, nor does one by somebody else of the root's name.
"""

import os
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import hand_made
from testing.case import MeshTestCase, main
from testing.certificates import Authority, served_leaf
from testing.mesh import parse_metrics, sleep_through
from testing.process import wait_until


def replace(path, content):
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write(content)
    os.replace(path + ".new", path)


class RevocationTest(MeshTestCase):

    @classmethod
    def build(cls):
        control_plane = cls.mesh.control_plane
        # Once without lists, for its key.
        control_plane.start()
        with open(control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(cls.mesh.directory, control_plane.store, bundle.read())
        with open(authority.key, "rb") as key:
            cls.ca = hand_made.Ca.of(key.read(), "Byrnie root of cluster.local")
        control_plane.process.kill()
        cls.crl = os.path.join(cls.mesh.directory, "mesh.crl")
        cls.own_crl = os.path.join(cls.mesh.directory, "own.crl")
        cls.publish([])
        cls.publish([], path=cls.own_crl)
        os.chmod(cls.own_crl, 0o644)
        control_plane.extra_flags = [f"--crl={cls.crl}"]
        control_plane.start()
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.other, cls.watchful = cls.mesh.pod("other"), cls.mesh.pod("watchful")
        cls.watchful.extra_agent_flags = [f"--crl={cls.own_crl}"]
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.watchful.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    @classmethod
    def publish(cls, revoked, path=None, **options):
        # One that begins before the last one is not taken.
        options.setdefault("begins", -60)
        der = cls.ca.revocation_list(revoked, **options)
        replace(path or cls.crl, hand_made.pem(der, "X509 CRL"))
        return time.monotonic()

    def tearDown(self):
        self.publish([])
        self.publish([], path=self.own_crl)
        for pod in (self.client, self.other):
            wait_until(lambda: self.echoes(pod, self.server.address, 8080) and self.echoes(pod, self.watchful.address, 8080), 10,
                       "everybody's trust again")

    def leaf(self, pod):
        return served_leaf(self.probe, pod.address)

    def echoes(self, pod, address, port):
        try:
            return self.ask(pod, address, port, b"x\n", timeout=5) == b"x\n"
        except OSError:
            return False

    def open_echo(self, pod, address=None, port=None):
        connection = pod.connect(address or self.server.address, port or 8080, timeout=10)
        connection.sendall(b"open\n")
        self.assertEqual(connection.recv(100), b"open\n")
        self.addCleanup(connection.close)
        return connection

    def seconds_until_its_end(self, connection, since):
        try:
            connection.settimeout(10)
            self.assertEqual(connection.recv(100), b"")
        except (ConnectionError, ssl.SSLError):
            pass
        return time.monotonic() - since

    def assert_alive(self, connection):
        connection.sendall(b"still\n")
        self.assertEqual(connection.recv(100), b"still\n")

    def test_a_revoked_pod_loses_its_connections_and_gets_no_new_ones(self):
        mine, others = self.open_echo(self.client), self.open_echo(self.other)
        series = 'byrnie_proxy_refused_total{reason="certificate-revoked"}'
        before = self.server.metrics()[series]
        since = self.publish([self.leaf(self.client)])
        self.assertLess(self.seconds_until_its_end(mine, since), 2.0)
        self.assertFalse(self.echoes(self.client, self.server.address, 8080))
        self.assert_alive(others)
        self.assertTrue(self.echoes(self.other, self.server.address, 8080))
        ended = self.server.wait_access_log(direction="inbound", reason="certificate-revoked", result="failed")[-1]
        self.assertEqual(ended["peer_identity"], self.client.spiffe_id, ended)
        refused = self.server.wait_access_log(direction="inbound", reason="certificate-revoked", result="denied")[-1]
        self.assertIn("is revoked by its issuer's list", refused["detail"])
        # One that was open, and one that was not let in.
        self.assertGreaterEqual(self.server.metrics()[series], before + 2)

    def test_a_pod_does_not_dial_a_revoked_one(self):
        connection = self.open_echo(self.client, self.watchful.address, 8080)
        since = self.publish([self.leaf(self.watchful)])
        self.assertLess(self.seconds_until_its_end(connection, since), 2.0)
        self.assertFalse(self.echoes(self.client, self.watchful.address, 8080))
        record = self.client.wait_access_log(direction="outbound", reason="certificate-revoked", result="failed")[-1]
        self.assertIn("is revoked", record["detail"])

    def test_a_list_of_one_agent_counts_in_its_pod_alone(self):
        mine = self.open_echo(self.client, self.watchful.address, 8080)
        elsewhere = self.open_echo(self.client)
        since = self.publish([self.leaf(self.client)], path=self.own_crl)
        self.assertLess(self.seconds_until_its_end(mine, since), 2.0)
        self.assertFalse(self.echoes(self.client, self.watchful.address, 8080))
        self.assertTrue(self.echoes(self.other, self.watchful.address, 8080))
        self.assert_alive(elsewhere)

    def test_where_all_lists_have_ended_nobody_is_trusted(self):
        connection = self.open_echo(self.client)
        ends = int(time.time()) - 5
        since = self.publish([], ends=ends - time.time())
        self.assertLess(self.seconds_until_its_end(connection, since), 2.0)
        for pod in (self.client, self.other):
            self.assertFalse(self.echoes(pod, self.server.address, 8080))
        # The client judges first, and knows the same, though perhaps a moment later than the server.
        def judged():
            self.assertFalse(self.echoes(self.client, self.server.address, 8080))
            return self.client.access_log(direction="outbound", reason="revocation-unknown", result="failed")
        record = wait_until(judged, 5, "the client's own judgement", every=0.2)[-1]
        self.assertIn("the revocation list of its issuer ended", record["detail"])
        self.assertEqual(self.server.metrics()["byrnie_proxy_crl_next_update_timestamp_seconds"], ends)
        since = self.publish([])
        wait_until(lambda: self.echoes(self.client, self.server.address, 8080), 2, "trust after a new list")

    def test_what_is_no_list_changes_nothing(self):
        connection = self.open_echo(self.client)
        leaf = self.leaf(self.client)
        series = 'byrnie_controlplane_trust_file_reads_total{result="rejected"}'

        def rejected():
            return parse_metrics(self.mesh.control_plane.admin("/metrics")[1])[series]

        def rejected_by_an_agent():
            return parse_metrics(self.watchful.agent_admin("/metrics")[1])[series.replace("controlplane", "certagent")]
        before = rejected()
        impostor = hand_made.Ca("Byrnie root of cluster.local")
        # Nor does one of tomorrow, or one that would take revocations back.
        for number, content in enumerate((
                "garbage", "", hand_made.pem(leaf),
                hand_made.pem(self.ca.revocation_list([leaf], begins=86400, ends=90000), "X509 CRL"),
                hand_made.pem(self.ca.revocation_list([leaf], begins=-600), "X509 CRL"))):
            replace(self.crl, content)
            wait_until(lambda: rejected() == before + number + 1, 5, "the file's rejection")
        sleep_through(0.5, lambda: self.assert_alive(connection))
        # One by somebody else of the root's name says nothing of what the root has issued.
        replace(self.crl, hand_made.pem(impostor.revocation_list([leaf], begins=-60), "X509 CRL"))
        sleep_through(1.5, lambda: self.assert_alive(connection))
        # An agent knows the lists' times.
        connection = self.open_echo(self.client, self.watchful.address, 8080)
        for number, begins in enumerate((86400, -600)):
            self.publish([leaf], path=self.own_crl, begins=begins, ends=90000)
            wait_until(lambda: rejected_by_an_agent() == number + 1, 5, "the agent's rejection")
        self.assert_alive(connection)


if __name__ == "__main__":
    sys.exit(main())
