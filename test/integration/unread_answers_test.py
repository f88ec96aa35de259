#!/usr/bin/python3
"""Callers who never read what they are answered keep nobody else from certificates and from the operator's API.

Proved with calls that are answered and whose callers give HTTP/2 no window for it, on connections that stay alive: 180 of a workload with a
certificate for new ones, twice as many as the control plane works on at a time, and as many of an operator as one may have under way. Others are
served at once, that operator is told what is wrong as soon as more are under way than one may have, and is served again when he has read.
"""

import os
import socket
import ssl
import struct
import sys
import time
import unittest

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.grpc_call import context_for
from testing.issuer import new_key
from testing.loopback_control_plane import AUTHORITY, OPERATOR, LoopbackControlPlane, messages, operator_message
from testing.process import wait_until

IDENTITY = "spiffe://cluster.local/ns/demo/sa/deaf"
# Streams that the control plane allows on a connection, less some; and its limit for one operator.
CALLS, OF_ONE = 90, 16


class Deaf:
    """A connection whose calls go out and whose answers have no room, until listen()."""

    def __init__(self, plane, certificate=None, key=None):
        context = context_for(plane.path("bundle.pem"), certificate, key)
        self.connection = context.wrap_socket(socket.create_connection(("127.0.0.1", plane.port), timeout=10))
        self.session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.session.initiate_connection()
        self.session.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.codes = {}
        self.connection.sendall(self.session.data_to_send())

    def call(self, path, request, token=None):
        headers = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "x"),
                   ("content-type", "application/grpc"), ("te", "trailers")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        stream = self.session.get_next_available_stream_id()
        self.session.send_headers(stream, headers)
        data = request.SerializeToString()
        self.session.send_data(stream, struct.pack(">BI", 0, len(data)) + data, end_stream=True)
        self.connection.sendall(self.session.data_to_send())
        return stream

    def read(self, seconds):
        """Takes in what comes for so long: of answers without room, that there are some."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.connection.settimeout(left)
            try:
                received = self.connection.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                return
            if not received:
                raise ConnectionError("the control plane closed the connection")
            for event in self.session.receive_data(received):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    code = dict(event.headers).get("grpc-status")
                    self.codes[event.stream_id] = None if code is None else int(code)
                elif isinstance(event, h2.events.DataReceived):
                    self.session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.connection.sendall(self.session.data_to_send())

    def listen(self):
        self.session.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        self.connection.sendall(self.session.data_to_send())

    def close(self):
        self.connection.close()


def issue_request():
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256())
    return messages["byrnie.ca.v1.IssueRequest"](csr=csr.public_bytes(serialization.Encoding.DER))


class UnreadAnswersTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.plane = LoopbackControlPlane("--issue_rate=0", "--identity_issue_rate=0")
        try:
            cls.plane.start()
        except BaseException:
            cls.plane.__exit__()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.plane.__exit__()

    def deaf(self, *arguments):
        made = Deaf(self.plane, *arguments)
        self.addCleanup(made.close)
        return made

    def assert_served(self):
        began = time.monotonic()
        self.assertTrue(self.plane.issue("spiffe://cluster.local/ns/demo/sa/other").chain)
        self.plane.call("GetStatus")
        print(f"     others served in {1000 * (time.monotonic() - began):.0f} ms", flush=True)

    def test_workloads_that_do_not_read_their_certificates(self):
        # As urgent as can be: where a machine is slow, who has time is told to come back.
        identity = self.plane.issue(IDENTITY, seconds=40)
        files = (self.plane.write_secret("deaf.pem", identity.chain.decode()), self.plane.write_secret("deaf.key", identity.key.decode()))
        before = self.plane.call("GetStatus").certificates_issued
        callers, request = [self.deaf(*files) for _ in range(2)], issue_request()
        for caller in callers:
            for _ in range(CALLS):
                caller.call(f"/{AUTHORITY}/Issue", request)
        wait_until(lambda: self.plane.call("GetStatus").certificates_issued - before == 2 * CALLS, 20, "an answer to each call")
        self.assert_served()
        # And all of them get theirs when they listen.
        for caller in callers:
            caller.listen()
            wait_until(lambda c=caller: c.read(0.2) or list(c.codes.values()) == [0] * CALLS, 10, "the answers")

    def test_an_operator_who_does_not_read(self):
        viewer = self.plane.call("CreateOperatorToken", name="deaf", role="ROLE_VIEWER").token
        caller, request = self.deaf(), operator_message("GetStatusRequest")
        for _ in range(OF_ONE):
            caller.call(f"/{OPERATOR}/GetStatus", request, viewer)
        wait_until(lambda: caller.read(0.2) or len(caller.codes) == OF_ONE, 10, "the beginnings of answers")
        self.assertEqual(set(caller.codes.values()), {None})
        refused = caller.call(f"/{OPERATOR}/GetStatus", request, viewer)
        wait_until(lambda: caller.read(0.2) or refused in caller.codes, 10, "a refusal")
        self.assertEqual(caller.codes[refused], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        self.assert_served()
        caller.listen()
        wait_until(lambda: caller.read(0.2) or list(caller.codes.values()).count(0) == OF_ONE, 10, "the answers")
        self.assertEqual(self.plane.call("GetStatus", token=viewer).trust_domain, "cluster.local")


if __name__ == "__main__":
    main()
