#!/usr/bin/python3
"""A request through a service address reaches the other pod over one mutual-TLS hop.

Proved: the applications see plain TCP; both access logs name both identities; on the wire there is TLS 1.3 with
X25519MLKEM768 and none of the applications' bytes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

MARKER = b"MARKER-" + os.urandom(12).hex().encode()


class FirstRequestTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("greet", 8080, "server")

    def test_a_request_through_the_service_address_is_answered(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"first\n"), b"hello from server, you said: first\n")

    def test_a_request_to_the_pods_own_address_takes_the_tunnel_too(self):
        self.assertIn(b"direct", self.ask(self.client, self.server.address, 8080, b"direct\n"))
        record = self.client.wait_access_log(original_destination=f"{self.server.address}:8080")[-1]
        self.assertEqual(record["route"], "tunnel")

    def test_both_access_logs_name_both_identities(self):
        self.ask(self.client, self.mesh.vip, 80, b"who\n")
        outbound = self.client.wait_access_log(direction="outbound", original_destination=f"{self.mesh.vip}:80")[-1]
        self.assertEqual(outbound["own_identity"], self.client.spiffe_id)
        self.assertEqual(outbound["peer_identity"], self.server.spiffe_id)
        self.assertEqual(outbound["service"], "demo/server.demo.svc.cluster.local")
        inbound = self.server.wait_access_log(direction="inbound", peer_identity=self.client.spiffe_id)[-1]
        self.assertEqual(inbound["own_identity"], self.server.spiffe_id)
        for record in (outbound, inbound):
            self.assertEqual(record["result"], "allowed", record)
            self.assertEqual(record["protocol"], "hbone", record)
            self.assertEqual(record["tls_version"], "TLSv1.3", record)
            self.assertEqual(record["tls_group"], "X25519MLKEM768", record)

    def test_the_access_log_counts_the_applications_bytes(self):
        question = b"count me\n"
        answer = self.ask(self.client, self.mesh.vip, 80, question)
        for pod in (self.client, self.server):
            wait_until(lambda: [record for record in pod.access_log()
                                if record.get("bytes_sent") == len(question)
                                and record.get("bytes_received") == len(answer)], 5, f"{pod.name}'s record")

    def test_the_wire_carries_tls_13_and_none_of_the_bytes(self):
        # A fresh proxy, so that the capture sees a handshake.
        self.client.proxy.terminate()
        capture = self.mesh.capture(self.server.host)
        self.client.start_proxy()
        self.client.wait_ready()
        self.assertIn(MARKER, self.ask(self.client, self.mesh.vip, 80, MARKER + b"\n"))
        capture.stop()
        self.assertEqual(capture.count(MARKER), 0)
        self.assertGreater(capture.tls_records(), 0)
        self.assertIn({"version": "TLS 1.3", "group": "X25519MLKEM768"},
                      [{name: hello[name] for name in ("version", "group")} for hello in capture.server_hellos()])

    def test_an_application_may_speak_first(self):
        listener = self.server.listen(8090)
        with self.client.connect(self.server.address, 8090) as connection:
            accepted, _ = listener.accept()
            accepted.sendall(b"220 ready\r\n")
            self.assertEqual(connection.recv(100), b"220 ready\r\n")
            accepted.close()
        listener.close()


if __name__ == "__main__":
    sys.exit(main())
