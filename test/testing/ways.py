"""The four ways that an application's connection takes through proxies, each with a listener at its end."""

import socket

TUNNEL, MTLS, PLAINTEXT_OUT, PLAINTEXT_IN = "tunnel", "mTLS", "plaintext out", "plaintext in"


class Ways:
    """Through a tunnel, over direct mTLS, plaintext to a host outside the mesh, plaintext from there into a permissive pod.

    Registers the pods `client`, `server` and `mtls` and the outsider; once mesh.start() has run, listen() opens the ways:
    {name: (listener, connect)}. Code that needs more adds to `open`; close() ends all that is there."""

    def __init__(self, mesh):
        self.client, self.server = mesh.pod("client"), mesh.pod("server")
        self.server.extra_proxy_flags = ["--mtls_mode=permissive"]
        mesh.vip, _ = mesh.service("server", [self.server])
        self.vip = mesh.vip
        self.mtls = mesh.pod("mtls", tunnel_protocol="LEGACY_ISTIO_MTLS")
        self.outsider = mesh.outsider()
        # Whose proxy takes the connection at the far end: None outside the mesh.
        self.far = {TUNNEL: self.server, MTLS: self.mtls, PLAINTEXT_OUT: None, PLAINTEXT_IN: self.server}
        # Whose proxy takes it first.
        self.near = {TUNNEL: self.client, MTLS: self.client, PLAINTEXT_OUT: self.client, PLAINTEXT_IN: self.server}
        self.open = {}

    @property
    def pods(self):
        return self.client, self.server, self.mtls

    def listen(self):
        self.open = {
            TUNNEL: (self.server.listen(8080), lambda: self.client.connect(self.vip, 80)),
            MTLS: (self.mtls.listen(8080), lambda: self.client.connect(self.mtls.address, 8080)),
            PLAINTEXT_OUT: (self.outsider.listen(9000), lambda: self.client.connect(self.outsider.address, 9000)),
            PLAINTEXT_IN: (self.server.listen(8081), lambda: self.outsider.connect(self.server.address, 8081)),
        }
        # Tunnels, and what else there is only once, are there before anything is counted.
        for way in self.open:
            for end in self.pair(way):
                end.close()
        return self.open

    def pair(self, way=TUNNEL):
        """Both applications' ends of a new connection."""
        listener, connect = self.open[way]
        near = connect()
        far, _ = listener.accept()
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far

    def close(self):
        for listener, _ in self.open.values():
            listener.close()
        self.open = {}
