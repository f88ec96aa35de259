#!/usr/bin/python3
"""The mesh moves from one root to the next, and no handshake fails on the way.

Proved for old → old+new → new with two pods whose authorities are played by the test, one for each, so that at each of the three steps (both
roots trusted; certificates of the new root; only the new root trusted) either end may be first: after every step of either end handshakes
succeed in both directions. A peer with a certificate of the old root is let in until the step that removes it, and refused within a second of
it. Eight orders, eight roots, one after the other; connections that began under the first root, one each way, outlive all of them, and one
with a peer that has no certificate of the next root is reset with the root that it has.
"""

import itertools
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.ca_double import CaDouble
from testing.case import MeshTestCase, main
from testing.certificates import try_tunnel
from testing.issuer import Issuer, key_pem, new_key, pem
from testing.process import wait_until
from testing.tcp import RESET
from testing.watched import Watched

REFUSED_WITHIN = 1.0


class RootRotationTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.mesh.control_plane.start()
        # At first that of the control plane, by which the agents reach discovery.
        cls.issuer = Issuer.of_control_plane(cls.mesh)
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.doubles = {}
        for number, pod in ((3, cls.client), (4, cls.server)):
            double = CaDouble(cls.mesh.network.host(f"ca{number}", number), issuer=cls.issuer)
            double.start()
            cls.doubles[pod] = double
            pod.extra_agent_flags = [f"--ca_address={double.target}", "--min_renewal_interval=0s"]
        cls.vips = {cls.client: cls.mesh.service("to-server", [cls.server])[0], cls.server: cls.mesh.service("to-client", [cls.client])[0]}
        cls.mesh.start()
        for pod in (cls.client, cls.server):
            pod.app("echo", 8080)
        cls.peer = cls.mesh.outsider()

    @classmethod
    def tearDownClass(cls):
        for double in cls.doubles.values():
            double.stop()
        super().tearDownClass()

    def failed_handshakes(self):
        """Of both proxies."""
        failed = 0
        for pod in (self.client, self.server):
            families = pod.families()
            failed += exposition.total(families, "byrnie_proxy_handshakes_total")
            failed -= exposition.total(families, "byrnie_proxy_handshakes_total", result="ok")
        return failed

    def nothing_more_fails(self):
        before = self.failed_handshakes()
        time.sleep(0.1)
        return self.failed_handshakes() == before

    def assert_both_ways(self, step):
        """New tunnels, because both identities and bundles are part of what a tunnel is kept for."""
        before = self.failed_handshakes()
        for pod, vip in self.vips.items():
            for _ in range(4):  # Every worker.
                try:
                    self.assertEqual(self.ask(pod, vip, 80), b"ping\n", step)
                except OSError as error:
                    self.fail(f"after {step}: {pod.name}'s connection: {error}")
        self.assertEqual(self.failed_handshakes(), before, f"handshakes failed after {step}")

    def in_force(self, pod, version):
        return any(acknowledged == version for acknowledged, _ in list(self.doubles[pod].acknowledged))

    def proxy_follows(self, pod):
        return '"proxy": "in force"' in pod.agent_admin("/bundles")[1]

    def publish(self, pod, roots, step):
        version = self.doubles[pod].publish([root.root for root in roots])
        wait_until(lambda: self.in_force(pod, version) and self.proxy_follows(pod), 5, f"{step} at {pod.name}")

    def serial(self, pod):
        return json.loads(pod.agent_admin("/certs")[1])["certificate_chain"][0]["serial"]

    def renew(self, pod, issuer):
        self.doubles[pod].issuer = issuer
        before = self.serial(pod)
        wait_until(lambda: pod.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal")
        wait_until(lambda: self.serial(pod) != before and self.proxy_follows(pod), 10, f"{pod.name}'s new certificate")

    def certificate_of(self, issuer):
        """A peer's certificate and key, as files."""
        key = new_key()
        paths = tuple(os.path.join(self.mesh.directory, f"peer.{part}") for part in ("pem", "key"))
        with open(paths[0], "w", encoding="ascii") as out:
            out.write(pem(*issuer.chain(issuer.leaf(key.public_key(), self.client.spiffe_id))))
        with open(paths[1], "wb") as out:
            out.write(key_pem(key))
        return paths

    def test_every_order_of_the_two_ends(self):
        pods = (self.client, self.server)
        lasting = [Watched(*ends, port=8081, patience=600) for ends in (pods, pods[::-1])]
        for connection in lasting:
            self.addCleanup(connection.close)
        slowest = 0.0
        for number, orders in enumerate(itertools.product((pods, pods[::-1]), repeat=3)):
            old, new = self.issuer, Issuer(name=f"root {number}")
            with self.subTest(orders=" / ".join("".join(pod.name[0] for pod in order) for order in orders)):
                for pod in orders[0]:
                    self.publish(pod, [old, new], "both roots")
                    self.assert_both_ways(f"both roots at {pod.name}")
                for pod in orders[1]:
                    self.renew(pod, new)
                    self.assert_both_ways(f"the new certificate of {pod.name}")
                peer = self.certificate_of(old)
                for pod in orders[2]:
                    self.assertEqual(try_tunnel(self.peer, pod.address, peer)[0], "accepted", "a peer of the old root during the overlap")
                    removed = time.monotonic()
                    self.doubles[pod].publish([new.root])
                    wait_until(lambda p=pod: try_tunnel(self.peer, p.address, peer)[0] == "refused", 5, "the old root's end", every=0.05)
                    slowest = max(slowest, time.monotonic() - removed)
                    # The peer may see its refusal before it is counted.
                    wait_until(self.nothing_more_fails, 5, "an end of the refusals")
                    wait_until(lambda p=pod: self.proxy_follows(p), 5, "the new bundle")
                    self.assert_both_ways(f"the new root alone at {pod.name}")
                    self.assertEqual([connection.ends for connection in lasting], [{}, {}], f"after the old root's end at {pod.name}")
                self.assertLess(slowest, REFUSED_WITHIN, "a peer of the old root was let in for too long")
            type(self).issuer = new
        print(f"     refused {slowest * 1000:.0f} ms after the removal at the latest", flush=True)

    def test_peers_without_a_certificate_of_the_next_root_are_reset(self):
        old, new = self.issuer, Issuer(name="next")
        connection = Watched(self.client, self.server, port=8081)
        self.addCleanup(connection.close)
        for pod in (self.client, self.server):
            self.publish(pod, [old, new], "both roots")
        self.renew(self.client, new)
        self.assert_both_ways("the new certificate of the client")
        self.assertEqual(connection.ends, {})
        self.doubles[self.client].publish([new.root])
        for thread in connection.threads:
            thread.join(5)
        self.assertEqual({name: how for name, (how, _) in connection.ends.items()}, {"near": RESET, "far": RESET})
        record = self.client.wait_access_log(direction="outbound", destination=f"{self.server.address}:8081", reason="trust-removed")[-1]
        self.assertEqual(record["peer_identity"], self.server.spiffe_id)
        # For whoever comes after.
        self.renew(self.server, new)
        self.publish(self.server, [new], "the new root alone")
        self.assert_both_ways("the new root alone")
        type(self).issuer = new


if __name__ == "__main__":
    sys.exit(main())
