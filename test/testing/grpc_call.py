"""One gRPC call to a control plane, from a namespace, by Python's ssl and h2.

grpcio looks for the server's name in its certificate; a control plane has a SPIFFE ID there instead.
"""

import ssl
import struct
import time
import urllib.parse

import h2.config
import h2.connection
import h2.events


class Answer:
    """How a call ended: gRPC's status as a number, its message, and the response's bytes where it is 0."""

    def __init__(self, code, message, response):
        self.code, self.message, self.response = code, message, response


def context_for(bundle, certificate=None, key=None):
    """TLS that trusts what is in the file `bundle`, whatever the server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(bundle)
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def call(namespace, address, port, context, path, request, token=None, timeout=15.0):
    """Makes one unary call; raises OSError when the connection fails, which says nothing about what the server has done."""
    end = time.monotonic() + timeout
    with namespace.connect(address, port, timeout=min(timeout, 5.0)) as plain, context.wrap_socket(plain) as connection:
        session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        session.initiate_connection()
        headers = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", f"{address}:{port}"),
                   ("content-type", "application/grpc"), ("te", "trailers")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        stream = session.get_next_available_stream_id()
        session.send_headers(stream, headers)
        session.send_data(stream, struct.pack(">BI", 0, len(request)) + request, end_stream=True)
        connection.sendall(session.data_to_send())
        body, trailers = b"", {}
        while True:
            connection.settimeout(max(0.01, end - time.monotonic()))
            received = connection.recv(65536)
            if not received:
                raise ConnectionError("the server closed the connection")
            for event in session.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                    session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    trailers.update(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    return Answer(int(trailers["grpc-status"]), urllib.parse.unquote(trailers.get("grpc-message", "")), body[5:])
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise ConnectionError("the server ended the call")
            connection.sendall(session.data_to_send())
