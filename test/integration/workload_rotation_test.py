#!/usr/bin/python3
"""Certificates rotate hundreds of times under load, and every subscriber of the workload API sees the last one.

Proved with 28 streams of grpcio (X.509 contexts, bundles, and secrets that are acknowledged): no connection between the pods fails,
and neither the agent's memory nor its descriptors grow. A reader that does not read costs the agent a bounded amount of memory,
and gets the newest in the end.

BYRNIE_ROTATIONS=10000 test/integration/workload_rotation_test.py is the long form.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cryptography import x509

from testing.case import MeshTestCase, main
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.sanitized import measured
from testing.svid import serial
from testing.workload import HEADER, WORKLOAD, WorkloadClient, messages, secret_request, secrets_of

ROTATIONS = int(os.environ.get("BYRNIE_ROTATIONS", "500"))


class WorkloadRotationTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.socket = os.path.join(cls.client.link_directory, "workload.sock")
        cls.client.extra_agent_flags = [f"--workload_api=unix://{cls.socket}", "--workload_api_uids=0",
                                        "--min_renewal_interval=0s", "--log_level=warning"]
        cls.mesh.vip, _ = cls.mesh.service("server", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)

    def metrics(self):
        return parse_metrics(self.client.agent_admin("/metrics")[1])

    def test_500_rotations_under_load_reach_every_subscriber(self):
        load = self.client.app("short", self.mesh.vip, 80, 60, 0.05)
        api = WorkloadClient(self.socket)
        self.addCleanup(api.channel.close)
        watches = [api.watch("FetchX509SVID") for _ in range(16)]
        bundles = [api.watch("FetchX509Bundles") for _ in range(4)]
        secrets = [api.secrets() for _ in range(8)]
        for stream in secrets:
            stream.send(secret_request(["default"]))
        for watch in watches + bundles + secrets:
            self.addCleanup(watch.cancel)
            wait_until(lambda: watch.messages, 5, "the first message")
        stop = threading.Event()

        def acknowledge():
            seen = [0] * len(secrets)
            while not stop.is_set():
                for number, stream in enumerate(secrets):
                    if len(stream.messages) > seen[number]:
                        seen[number] = len(stream.messages)
                        stream.send(secret_request(["default"], stream.messages[-1]))
                time.sleep(0.01)

        thread = threading.Thread(target=acknowledge, daemon=True)
        thread.start()
        self.rotate(ROTATIONS // 10)
        before = self.client.agent.memory_kib("Private_Dirty"), self.client.agent.descriptors()
        last = self.rotate(ROTATIONS - ROTATIONS // 10)
        for watch in watches:
            wait_until(lambda: serial(watch.messages[-1].svids[0]) == last, 10, "the last rotation at a subscriber")
        for stream in secrets:
            wait_until(lambda: self.secret_serial(stream.messages[-1]) == last, 10, "the last rotation at a subscriber")
        stop.set()
        thread.join()
        after = self.client.agent.memory_kib("Private_Dirty"), self.client.agent.descriptors()
        load.signal(10)  # SIGUSR1: come to the end.
        connected = load.result()
        self.assertEqual(connected["failures"], [])
        self.assertGreater(connected["succeeded"], 50, connected)
        print(f"agent's private memory {before[0]} -> {after[0]} KiB, descriptors {before[1]} -> {after[1]}, "
              f"updates seen {sum(len(watch.messages) for watch in watches) / len(watches):.0f}", file=sys.stderr)
        with measured():
            self.assertLess(after[0] - before[0], 4096, "memory grew with rotations")
        self.assertLessEqual(after[1] - before[1], 4, "descriptors grew with rotations")

    @staticmethod
    def secret_serial(response):
        pem = secrets_of(response)["default"].tls_certificate.certificate_chain.inline_bytes
        return x509.load_pem_x509_certificate(pem).serial_number

    def rotate(self, times):
        """Renews so often, one after the other; the serial of the last one."""
        renewed = "byrnie_certagent_renewals_total{result=\"renewed\"}"
        done = self.metrics()[renewed]
        # None is asked for while another is under way: that would come after the last one.
        for goal in range(int(done) + 1, int(done) + times + 1):
            self.client.agent_admin("/renew", "POST")
            wait_until(lambda: self.metrics()[renewed] >= goal, 10, "a renewal", every=0.002)
        return int(json.loads(self.client.agent_admin("/certs")[1])["certificate_chain"][0]["serial"], 16)

    def test_a_reader_that_does_not_read_holds_no_memory_and_gets_the_newest(self):
        with WorkloadClient(self.socket) as api:
            call = messages.caller(api.channel, WORKLOAD, "FetchX509SVID")(messages["X509SVIDRequest"](), metadata=HEADER)
            next(call)
            before = self.client.agent.memory_kib("Private_Dirty")
            last = self.rotate(100)
            with measured():
                self.assertLess(self.client.agent.memory_kib("Private_Dirty") - before, 2048)
            read = 0
            for message in call:
                read += 1
                if serial(message.svids[0]) == last:
                    break
            call.cancel()
        self.assertGreater(read, 0)


if __name__ == "__main__":
    sys.exit(main())
