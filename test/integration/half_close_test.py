#!/usr/bin/python3
"""The end of one direction is not the end of the connection.

Proved both ways, through a service address: after the client's end of sending the server still sends a megabyte, after the
server's the client does, and each end arrives as a clean end after all data.
"""

import hashlib
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main

DATA = os.urandom(1 << 20)


def read_to_end(connection):
    digest, total = hashlib.sha256(), 0
    while block := connection.recv(65536):
        digest.update(block)
        total += len(block)
    return total, digest.hexdigest()


EVERYTHING = (len(DATA), hashlib.sha256(DATA).hexdigest())


class HalfCloseTest(MeshTestCase):

    def setUp(self):
        self.listener = self.server.listen(8080)
        self.near = self.client.connect(self.mesh.vip, 80)
        self.near.sendall(b"?")
        self.far, _ = self.listener.accept()
        self.far.settimeout(10)
        self.assertEqual(self.far.recv(1), b"?")

    def tearDown(self):
        for made in (self.near, self.far, self.listener):
            made.close()

    def one_ends_the_other_goes_on(self, first, second):
        sender = threading.Thread(target=lambda: (first.sendall(DATA), first.shutdown(socket.SHUT_WR)))
        sender.start()
        self.assertEqual(read_to_end(second), EVERYTHING)
        sender.join()
        sender = threading.Thread(target=lambda: (second.sendall(DATA), second.shutdown(socket.SHUT_WR)))
        sender.start()
        self.assertEqual(read_to_end(first), EVERYTHING)
        sender.join()

    def test_the_server_goes_on_after_the_clients_end(self):
        self.one_ends_the_other_goes_on(self.near, self.far)
        record = self.server.wait_access_log(direction="inbound", reason="closed", bytes_received=len(DATA))[-1]
        self.assertEqual(record["result"], "allowed")

    def test_the_client_goes_on_after_the_servers_end(self):
        self.one_ends_the_other_goes_on(self.far, self.near)

    def test_an_end_without_data_is_an_end(self):
        self.near.shutdown(socket.SHUT_WR)
        self.assertEqual(self.far.recv(1), b"")
        self.far.sendall(b"bye")
        self.far.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(self.near)[0], 3)


if __name__ == "__main__":
    sys.exit(main())
