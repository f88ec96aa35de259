"""TLS ClientHellos: the proxy's own, which its TLS library has made with a post-quantum key share."""

import struct

from .inline_app import InlineApp, receive


def read_record(connection):
    """One TLS record with its header."""
    header = receive(connection, 5)
    return header + receive(connection, struct.unpack(">H", header[3:5])[0])


class HelloTrap:
    """A workload of the registry that is none: keeps the ClientHello with which a pod's proxy calls it.

    Made before the mesh starts; `call` gets a hello, with the mesh's ALPN for workloads of that tunnel protocol.
    """

    def __init__(self, mesh, tunnel_protocol="HBONE", port=8080):
        self.host = mesh.outsider("trap")
        self._listen_on = 15008 if tunnel_protocol == "HBONE" else port
        self._port = port
        mesh.registry.workload("trap", "demo", "trap", [self.host.address], tunnel_protocol=tunnel_protocol)

    def call(self, pod):
        caught = []
        with InlineApp(self.host, self._listen_on, lambda connection: caught.append(read_record(connection))):
            try:
                with pod.connect(self.host.address, self._port, timeout=10) as connection:
                    connection.recv(1)
            except OSError:
                pass  # The trap lets go of the proxy at once, which may have reset this before connect() has looked.
        if not caught:
            raise AssertionError(f"no ClientHello came from {pod.name}")
        return caught[0]
