#!/usr/bin/python3
"""A reset arrives as a reset, never as a clean end, and never overtakes data.

Proved both ways; and a server that does not listen looks to the client like a connection that fails at once.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main


def reset(connection):
    """Closes with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class ResetTest(MeshTestCase):

    def setUp(self):
        self.listener = self.server.listen(8080)

    def tearDown(self):
        self.listener.close()

    def pair(self):
        near = self.client.connect(self.mesh.vip, 80)
        near.sendall(b"?")
        far, _ = self.listener.accept()
        far.settimeout(10)
        self.assertEqual(far.recv(1), b"?")
        return near, far

    def assert_reset(self, connection):
        with self.assertRaises(ConnectionResetError):
            block = connection.recv(65536)
            self.fail(f"{len(block)} bytes or a clean end instead of a reset")

    def test_the_servers_reset_reaches_the_client(self):
        near, far = self.pair()
        reset(far)
        self.assert_reset(near)
        near.close()
        record = self.client.wait_access_log(direction="outbound", reason="reset-by-upstream")[-1]
        self.assertEqual(record["result"], "allowed")

    def test_the_clients_reset_reaches_the_server(self):
        near, far = self.pair()
        reset(near)
        self.assert_reset(far)
        far.close()
        self.server.wait_access_log(direction="inbound", reason="reset-by-downstream")

    def test_data_sent_before_a_reset_arrives_before_it(self):
        near, far = self.pair()
        far.sendall(b"x" * 5000)
        got = near.recv(5000, socket.MSG_WAITALL)
        far.sendall(b"last words")
        got += near.recv(1)
        reset(far)
        with self.assertRaises(ConnectionResetError):
            while block := near.recv(65536):
                got += block
            self.fail("a clean end instead of a reset")
        self.assertEqual(got, b"x" * 5000 + b"last words")
        near.close()

    def test_a_server_that_does_not_listen_fails_at_once(self):
        self.assert_fails_fast(self.client, self.server.address, 8099, within=3)
        record = self.server.wait_access_log(direction="inbound", reason="connect-failed")[-1]
        self.assertEqual(record["result"], "failed")

    def test_a_reset_of_one_connection_leaves_the_others_of_its_tunnel_alone(self):
        pairs = [self.pair() for _ in range(8)]
        reset(pairs[3][1])
        self.assert_reset(pairs[3][0])
        for number, (near, far) in enumerate(pairs):
            if number != 3:
                near.sendall(b"alive")
                self.assertEqual(far.recv(5), b"alive")
                far.close()
            near.close()


if __name__ == "__main__":
    sys.exit(main())
