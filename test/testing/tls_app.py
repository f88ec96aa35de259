"""An application that speaks TLS of its own, with a certificate that has nothing to do with the mesh."""

import os
import ssl
import subprocess

from .inline_app import echo


class TlsApp:
    """The server's handler for InlineApp, and clients that verify its certificate. `directory` keeps the key."""

    NAME = "app.example"

    def __init__(self, directory):
        key, self.certificate = os.path.join(directory, "app.key"), os.path.join(directory, "app.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={self.NAME}",
                        "-addext", f"subjectAltName=DNS:{self.NAME}"], check=True, capture_output=True)
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(self.certificate, key)
        self._server.set_alpn_protocols(["echo/1"])
        self._client = ssl.create_default_context(cafile=self.certificate)
        self._client.set_alpn_protocols(["echo/1"])

    def handle(self, connection):
        with self._server.wrap_socket(connection, server_side=True) as secured:
            echo(secured)

    def secure(self, connection):
        """The client's side of TLS over a connection; ssl.SSLError if the certificate is not the application's own."""
        return self._client.wrap_socket(connection, server_hostname=self.NAME)
