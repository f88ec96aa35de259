#!/usr/bin/python3
"""A large mesh fits into a small control plane, and what changes is everywhere at once.

Proved: a control plane with 100 000 workloads has less than 200 MB, also while it reads them and after it has read them again
with one changed; many operators' reviews of policies at once take it little more, give that back, and keep nobody waiting; a workload that is applied has reached each of 1 000 agents, connected over TLS and following 100 000
workloads' registry, less than a second after the operator was told it is done; a reader that reads nothing delays nobody, holds
little memory, and is cut off and counted.
"""

import concurrent.futures
import http.client
import json
import os
import re
import socket
import ssl
import struct
import sys
import time
import unittest

import h2.config
import h2.connection

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.discovery_load import IDENTITY, DiscoveryLoad, write_registry
from testing.loopback_control_plane import LoopbackControlPlane, messages
from testing.mesh import parse_metrics
from testing.process import wait_until
from testing.sanitized import fewer, measured, patience

MEGABYTE = 1_000_000
WORKLOADS, AGENTS = fewer(100_000, 10_000), fewer(1_000, 100)
# What the control plane gives a reader that takes nothing.
STALL = 20


def memory(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(rf"^{field}:\s+(\d+) kB", status.read(), re.M).group(1)) * 1024


def metrics(plane):
    connection = http.client.HTTPConnection("127.0.0.1", plane.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    return parse_metrics(connection.getresponse().read().decode())


class Mute:
    """An agent that wants everything and reads nothing of it."""

    def __init__(self, plane, identity):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(plane.path("bundle.pem"))
        context.load_cert_chain(plane.write_secret("mute.pem", identity.chain.decode()),
                                plane.write_secret("mute.key", identity.key.decode()))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", plane.port), timeout=10)
        self.connection = context.wrap_socket(plain)
        session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        session.initiate_connection()
        request = messages["envoy.service.discovery.v3.DeltaDiscoveryRequest"](
            type_url="type.googleapis.com/istio.workload.Address", resource_names_subscribe=["*"]).SerializeToString()
        session.send_headers(1, [
            (":method", "POST"), (":scheme", "https"), (":authority", "x"),
            (":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"),
            ("content-type", "application/grpc"), ("te", "trailers")])
        session.send_data(1, struct.pack(">BI", 0, len(request)) + request)
        self.connection.sendall(session.data_to_send())

    def close(self):
        self.connection.close()


class DiscoveryScaleTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane()
        try:
            write_registry(cls.plane.registry.path, WORKLOADS)
            cls.plane.start(deadline=patience(60))
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    def test_a_hundred_thousand_workloads_take_less_than_200_megabytes(self):
        pid = self.plane.process.pid
        self.assertEqual(self.plane.call("GetStatus").workloads, WORKLOADS)
        with measured():
            self.assertLess(memory(pid, "VmHWM"), 200 * MEGABYTE)
        with open(self.plane.registry.path, encoding="ascii") as file:
            text = file.read()
        self.plane.registry.write_raw(text.replace('"server-7777"', '"renamed-7777"', 1))
        wait_until(lambda: "registry file read" in self.plane.log_text(), patience(60), "a second reading")
        self.assertRegex(self.plane.log_text(), r'"added": ?1, ?"changed": ?0, ?"removed": ?1')
        with measured():
            self.assertLess(memory(pid, "VmHWM"), 200 * MEGABYTE)

    def test_many_reviews_at_once_take_little_more_than_one(self):
        pid = self.plane.process.pid
        everybody = json.dumps({"name": "x", "namespace": "istio-system", "scope": "GLOBAL", "action": "DENY",
                                "rules": [{"clauses": [{"matches": [{"namespaces": [{"exact": "team-1"}]}]}]}]})
        before = memory(pid, "VmRSS")
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as peak:
            peak.write("5")
        tokens = [self.plane.call("CreateOperatorToken", name=f"reviewer-{number}", role="ROLE_VIEWER").token for number in range(2)]
        with concurrent.futures.ThreadPoolExecutor(31) as callers:
            begun = time.monotonic()
            reviews = [callers.submit(self.plane.call, "ValidatePolicy", token=tokens[number % 2], document=everybody, timeout=patience(60))
                       for number in range(31)]
            # Who changes something does not wait for all of them. More calls than this are not taken.
            one = json.dumps({"name": "one", "namespace": "team-1", "scope": "NAMESPACE", "action": "DENY", "dry_run": True,
                              "rules": [{"clauses": [{"matches": [{"destination_ports": [1]}]}]}]})
            self.plane.call("ApplyPolicy", document=one, accept_findings=True, timeout=patience(60))
            applied_after = time.monotonic() - begun
            answers = [review.result() for review in reviews]
            reviewed_after = time.monotonic() - begun
        self.plane.call("DeletePolicy", name="team-1/one")
        with measured():
            self.assertLess(applied_after, 2)
            self.assertLess(reviewed_after, 4)
        # And what other tests have registered.
        self.assertGreaterEqual(min(answer.workloads_concerned for answer in answers), WORKLOADS)
        with measured():
            self.assertLess(memory(pid, "VmHWM") - before, 60 * MEGABYTE)
            self.assertLess(memory(pid, "VmRSS") - before, 20 * MEGABYTE)

    def assert_soon(self, round_of_all):
        with measured():
            self.assertLess(round_of_all["last_ms"], 1000)

    def test_a_thousand_agents_have_a_change_within_a_second(self):
        with DiscoveryLoad(self.plane, AGENTS) as load:
            for _ in range(3):
                self.assert_soon(load.round())
            mute = Mute(self.plane, self.plane.issue(IDENTITY))
            self.addCleanup(mute.close)
            begun = time.monotonic()
            before = memory(self.plane.process.pid, "VmRSS")
            for _ in range(3):
                self.assert_soon(load.round())
            with measured():
                self.assertLess(memory(self.plane.process.pid, "VmRSS") - before, 8 * MEGABYTE)
            wait_until(lambda: metrics(self.plane)["byrnie_controlplane_streams_stalled_total"] == 1, STALL + 10,
                       "the end of the mute", every=0.2)
            self.assertGreater(time.monotonic() - begun, STALL / 2)
            self.assertEqual(metrics(self.plane)['byrnie_controlplane_streams{service="discovery"}'], AGENTS)
            self.assert_soon(load.round())


if __name__ == "__main__":
    main()
