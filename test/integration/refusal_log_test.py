#!/usr/bin/python3
"""A stranger who is refused again and again does not fill the log, and is counted all the same.

Proved with a caller without a proof who asks the control plane for an operator's call, a certificate, a JWT-SVID and discovery, 300 times each:
of each kind there are no more lines than a hundred and five a second, metrics count all, and a line after a pause says how many there were before
it. A refusal of somebody who is known is a line each time.

Nor does one hold up anybody: with 200 streams of each service that is for everybody, most of them refused and the rest left open, operators'
calls and first certificates go on as before.
"""

import os
import sys
import threading
import time
import unittest
import urllib.request

import grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import AUTHORITY, OPERATOR, LoopbackControlPlane, messages
from testing.mesh import parse_metrics
from testing.process import json_lines, wait_until

TIMES, AT_ONCE, PER_SECOND = 300, 100, 5
STREAMS, OF_ONE_ADDRESS = 200, 32
DISCOVERY = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class RefusalLogTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane()
        try:
            cls.plane.start()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    def refuse(self, service, method, token="wrong"):
        described = next(entry for entry in messages._methods(service) if entry.name == method)
        request = messages[described.input_type.lstrip(".")]()
        try:
            answer = messages.caller(self.plane.channel(), service, method)(
                iter([request]) if described.client_streaming else request, metadata=self.plane.metadata(token), timeout=10)
            list(answer) if described.server_streaming else None
        except grpc.RpcError as error:
            return error.code().name
        return self.fail(f"{method} was answered")

    def lines(self, **wanted):
        return [line for line in json_lines(self.plane.log_text()) if all(line.get(name) == value for name, value in wanted.items())]

    def flood(self, service, method, **wanted):
        """Refused so often, and once more after a pause: what the log says of it."""
        began = time.monotonic()
        for _ in range(TIMES):
            self.assertEqual(self.refuse(service, method), "UNAUTHENTICATED")
        took = time.monotonic() - began
        during = self.lines(**wanted)
        self.assertGreaterEqual(len(during), AT_ONCE)
        self.assertLessEqual(len(during), AT_ONCE + PER_SECOND * took + 1)
        time.sleep(1 / PER_SECOND)
        self.refuse(service, method)
        after = self.lines(**wanted)
        self.assertEqual(sum(line["not_logged"] for line in after) + len(after), TIMES + 1)
        # Whether the last line of them or the one before tells of the rest depends on when each came.
        self.assertGreater(sum(line["not_logged"] for line in after[-2:]), 0)

    def metric(self, series):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/metrics", timeout=5) as page:
            return parse_metrics(page.read().decode())[series]

    def test_operator_calls(self):
        self.flood(OPERATOR, "GetStatus", log="audit", rpc="GetStatus")
        self.assertEqual(self.metric('byrnie_controlplane_operator_refused_total{reason="unauthenticated"}'), TIMES + 1)
        viewer = self.plane.call("CreateOperatorToken", name="viewer", role="ROLE_VIEWER").token
        for _ in range(AT_ONCE + 20):
            self.assertEqual(self.refuse(OPERATOR, "RotateTrust", token=viewer), "PERMISSION_DENIED")
        self.assertEqual(len(self.lines(log="audit", rpc="RotateTrust", who="viewer")), AT_ONCE + 20)

    def test_certificates(self):
        self.flood(AUTHORITY, "Issue", message="certificate refused")

    def hold(self, service, method, request, count, end):
        """So many streams, open until `end` is set: those that were answered, and the errors of the others."""
        caller = (self.plane.channel().stream_stream(f"/{service}/{method}") if isinstance(request, bytes)
                  else messages.caller(self.plane.channel(), service, method))
        streaming = isinstance(request, bytes) or next(entry for entry in messages._methods(service) if entry.name == method).client_streaming

        def requests():
            yield request
            end.wait(60)
        streams = [caller(requests() if streaming else request, timeout=60) for _ in range(count)]
        answered, errors = [], []
        for stream in streams:
            try:
                next(stream)
                answered.append(stream)
            except grpc.RpcError as error:
                errors.append(error)
        return answered, errors

    def test_streams(self):
        refused = 0
        for service, method, request in [
                ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", b"\x3a\x01*"),
                ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", b"\x3a\x01*"),
                ("grpc.health.v1.Health", "Watch", messages["grpc.health.v1.HealthCheckRequest"]()),
                (AUTHORITY, "WatchTrustBundles", messages["byrnie.ca.v1.WatchTrustBundlesRequest"]())]:
            with self.subTest(service=service):
                end = threading.Event()

                def all_places():
                    nonlocal refused
                    streams, errors = self.hold(service, method, request, OF_ONE_ADDRESS, end)
                    refused += len(errors)
                    for stream in streams if errors else []:
                        stream.cancel()
                    return streams if not errors else None
                # Those that the service before had are given back in a moment.
                answered = wait_until(all_places, 10, "as many streams as an address may have", every=0.1)
                more, errors = self.hold(service, method, request, STREAMS - OF_ONE_ADDRESS, end)
                try:
                    self.assertEqual(len(more), 0)
                    self.assertEqual({error.code().name for error in errors}, {"RESOURCE_EXHAUSTED"})
                    self.assertIn("close some, or try again in 10s", errors[0].details())
                    refused += len(errors)
                    self.assertEqual(self.metric('byrnie_controlplane_stranger_streams_refused_total{limit="address"}'), refused)
                    self.plane.call("GetStatus")
                    self.plane.issue("spiffe://cluster.local/ns/demo/sa/app")
                finally:
                    end.set()
                    for stream in answered + more:
                        stream.cancel()

                def given_back():
                    nonlocal refused
                    again, errors = self.hold(service, method, request, 1, end)
                    refused += len(errors)
                    for stream in again:
                        stream.cancel()
                    return again
                wait_until(given_back, 5, "a place that was given back", every=0.1)
        lines = self.lines(message="stream refused")
        self.assertGreaterEqual(len(lines), AT_ONCE)
        self.assertLess(len(lines), refused)
        self.assertLessEqual({line["service"] for line in lines}, {"reflection", "health", "trust_bundles"})

    def test_tokens(self):
        self.flood(AUTHORITY, "IssueJwtSvid", message="JWT-SVID refused")

    def test_discovery(self):
        self.flood(DISCOVERY, "DeltaAggregatedResources", message="discovery stream refused")


if __name__ == "__main__":
    sys.exit(main())
