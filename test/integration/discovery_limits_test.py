#!/usr/bin/python3
"""One workload's certificate does not take the control plane's memory.

Proved: names of resources that one discovery stream holds, and all streams of one identity together, are bounded by their bytes, with what they stand for. What is too much is refused with what to do, logged and counted, gives back what it held, and costs
nobody else anything.
"""

import os
import queue
import sys
import threading
import unittest
import urllib.request

import grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane, messages
from testing.mesh import parse_metrics
from testing.process import wait_until

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ADDRESS = "type.googleapis.com/istio.workload.Address"
# As controlplane/discovery has them.
STREAM_BYTES, IDENTITY_BYTES, NAME_COST = 12 << 20, 64 << 20, 96
# What the name of the large service stands for: 96 bytes each until it has been sent, 32 then.
LARGE, ENDPOINTS = "demo/large.demo.svc.cluster.local", 15000
# Of the names here, and how many of them go into one request.
LENGTH, BATCH = 1000, 1000


class Stream:
    """A discovery stream that subscribes to `batches` times BATCH names that nobody has, acknowledges what it is told, and is then
    kept open."""

    def __init__(self, plane, identity, label, batches, also=()):
        self._acknowledge = queue.Queue()
        request = messages["envoy.service.discovery.v3.DeltaDiscoveryRequest"]

        def requests():
            if also:
                yield request(type_url=ADDRESS, resource_names_subscribe=also)
            for batch in range(batches):
                yield request(type_url=ADDRESS, resource_names_subscribe=[
                    f"{label}-{batch}-{number}-".ljust(LENGTH, "x") for number in range(BATCH)])
            while (nonce := self._acknowledge.get()) is not None:
                yield request(type_url=ADDRESS, response_nonce=nonce)
        self.absent, self.present, self.error = 0, 0, None
        self._call = messages.caller(plane.channel(identity), ADS, "DeltaAggregatedResources")(requests(), timeout=60)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        try:
            for response in self._call:
                self.absent += len(response.removed_resources)
                self.present += len(response.resources)
                self._acknowledge.put(response.nonce)
        except grpc.RpcError as error:
            self.error = error

    def ended(self):
        return not self._thread.is_alive()

    def close(self):
        self._acknowledge.put(None)
        self._call.cancel()
        self._thread.join()


class DiscoveryLimitsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane()
        try:
            cls.plane.registry.workload("w", "demo", "w", ["10.0.0.1"])
            addresses = [f"10.1.{number >> 8}.{number & 255}" for number in range(ENDPOINTS)]
            cls.plane.registry.workloads += [
                {"name": f"e{number}", "namespace": "demo", "service_account": "e", "addresses": [address]}
                for number, address in enumerate(addresses)]
            cls.plane.registry.service("large", "demo", ["10.2.0.1"], 80, 8080, {f"e{number}" for number in range(ENDPOINTS)})
            cls.plane.registry.write()
            cls.plane.start()
        except BaseException:
            cls.plane.__exit__()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    def identity(self, account):
        return self.plane.issue(f"spiffe://cluster.local/ns/demo/sa/{account}")

    def open(self, identity, label, batches, also=()):
        stream = Stream(self.plane, identity, label, batches, also)
        self.addCleanup(stream.close)
        return stream

    def metric(self, name, **labels):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.plane.admin_port}/metrics", timeout=5).read().decode()
        inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return parse_metrics(text)[f"{name}{{{inside}}}" if labels else name]

    def exhausted(self, reason):
        return self.metric("byrnie_controlplane_discovery_exhausted_total", reason=reason)

    def open_streams(self):
        return self.metric("byrnie_controlplane_streams", service="discovery")

    def assert_exhausted(self, stream, words):
        wait_until(stream.ended, 15, "the stream's end")
        self.assertIsNotNone(stream.error)
        self.assertEqual(stream.error.code().name, "RESOURCE_EXHAUSTED", stream.error.details())
        self.assertIn(words, stream.error.details())

    def test_the_names_of_a_stream_are_bounded(self):
        greedy = self.open(self.identity("greedy"), "a", STREAM_BYTES // (LENGTH * BATCH) + 1)
        self.assert_exhausted(greedy, "subscribe to fewer")
        self.assertEqual(self.exhausted("stream_names"), 1)
        self.assertIn("discovery stream refused", self.plane.log_text())

    def test_the_names_of_an_identity_are_bounded_over_all_its_streams(self):
        account = [self.identity("many") for _ in range(2)]
        batches = STREAM_BYTES // ((LENGTH + NAME_COST) * BATCH)
        fitting = IDENTITY_BYTES // (batches * (LENGTH + NAME_COST) * BATCH)
        streams = [self.open(account[number % 2], str(number), batches) for number in range(fitting)]
        for stream in streams:
            wait_until(lambda stream=stream: stream.absent == batches * BATCH, 30, "the answers")
        over = self.open(account[0], "over", batches)
        self.assert_exhausted(over, "/sa/many")
        self.assertEqual(self.exhausted("identity_names"), 1)
        # Nobody else is concerned, and what is given back may be used.
        other = self.open(self.identity("other"), "other", batches)
        wait_until(lambda: other.absent == batches * BATCH, 30, "the answers")
        self.assertFalse(any(stream.ended() for stream in streams))
        for stream in [other, *streams]:
            stream.close()
        wait_until(lambda: self.open_streams() == 0, 5, "the streams' end")
        again = self.open(account[1], "again", batches)
        wait_until(lambda: again.absent == batches * BATCH, 30, "the answers")
        again.close()

    def test_what_a_name_stands_for_counts(self):
        account, exhausted = self.identity("large"), self.exhausted("identity_names")
        one, full = (LENGTH + NAME_COST) * BATCH, STREAM_BYTES // ((LENGTH + NAME_COST) * BATCH)
        # Room for what is still to be answered of the last stream, and not for what the service stands for.
        batches = (IDENTITY_BYTES - (1 << 20)) // one
        streams = []
        while batches > 0:
            streams.append(self.open(account, str(len(streams)), min(full, batches)))
            wait_until(lambda: streams[-1].absent == min(full, batches) * BATCH, 30, "the answers")
            batches -= full
        over = self.open(account, "over", 0, [LARGE])
        self.assert_exhausted(over, "/sa/large")
        self.assertEqual(self.exhausted("identity_names"), exhausted + 1)
        streams[0].close()
        wait_until(lambda: self.open_streams() == len(streams) - 1, 5, "the stream's end")
        served = self.open(account, "served", 0, [LARGE])
        wait_until(lambda: served.present > ENDPOINTS, 30, "the endpoints and their service")
        self.assertFalse(served.ended())


if __name__ == "__main__":
    main()
