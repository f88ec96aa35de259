"""An HBONE peer made of Python's h2 and ssl: either end of a tunnel, with everything a test wants to do to it in reach."""

import socket
import ssl
import threading
import time
import traceback

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from testing.certificates import tls_context

BLOCK = 64 * 1024
# How a TLS connection says that the other side is gone without having said so.
_GONE = (ConnectionError, ssl.SSLEOFError)


class PeerClosed(AssertionError):
    """The peer has closed the connection, before what was waited for."""


class Stream:
    """One tunnelled connection of a Connection."""

    def __init__(self, number, headers=()):
        self.number = number
        self.headers = dict(headers)
        self.received = bytearray()
        self.outgoing = bytearray()
        self.end_when_sent = False
        self.ended = False       # The peer's end.
        self.end_sent = False
        self.reset = None        # The peer's error code.
        self.chunk = BLOCK       # Of each DATA frame.
        self.padding = None
        self.reading = True      # Gives the window back.
        self.unread = 0

    @property
    def status(self):
        return self.headers.get(":status")


class Connection:
    """One HTTP/2 connection over a socket that has shaken hands. Used by one thread."""

    def __init__(self, sock, client_side, settings=None):
        self.sock = sock
        # h2 takes every request without :path for malformed, a CONNECT too.
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=client_side, header_encoding="utf-8", validate_outbound_headers=False,
            validate_inbound_headers=False))
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=client_side, initial_values=settings)
        self.streams = {}
        self.events = []
        self.closed = False
        self.client_side = client_side
        self.preface_seen = False
        self.incoming = bytearray()
        self.on_request = lambda stream: None
        self.on_data = lambda stream, data: None
        self.on_end = lambda stream: None
        self.h2.initiate_connection()
        self.flush()

    def connect(self, authority, headers=(), method="CONNECT"):
        """A new stream that asks for a tunnel."""
        stream = Stream(self.h2.get_next_available_stream_id())
        self.streams[stream.number] = stream
        request = [(":method", method), (":authority", authority)]
        if method != "CONNECT":
            request += [(":scheme", "https"), (":path", "/")]
        self.h2.send_headers(stream.number, request + list(headers), end_stream=method != "CONNECT")
        self.flush()
        return stream

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send_streams(self):
        """Sends what the windows take."""
        for stream in list(self.streams.values()):
            while stream.outgoing and stream.reset is None:
                try:
                    room = self.h2.local_flow_control_window(stream.number)
                except h2.exceptions.StreamClosedError:
                    break
                padding = stream.padding + 1 if stream.padding is not None else 0
                size = min(room - padding, stream.chunk, self.h2.max_outbound_frame_size - padding, len(stream.outgoing))
                if size <= 0:
                    break
                self.h2.send_data(stream.number, bytes(stream.outgoing[:size]), pad_length=stream.padding)
                del stream.outgoing[:size]
                self.flush()
            if stream.end_when_sent and not stream.outgoing and not stream.end_sent and stream.reset is None:
                stream.end_sent = True
                self.h2.end_stream(stream.number)
        self.flush()

    def release(self, stream):
        """Gives the window back that a stream which did not read has used."""
        stream.reading = True
        if stream.unread:
            self.h2.increment_flow_control_window(stream.unread, stream.number)
            stream.unread = 0
        self.flush()

    def pump(self, until=lambda: False, deadline=10.0):
        """Moves bytes until a condition holds; PeerClosed if the connection ends first, AssertionError if it does not
        come about in time."""
        end = time.monotonic() + deadline
        self.send_streams()
        while not until():
            left = end - time.monotonic()
            if self.closed:
                raise PeerClosed(f"the connection was closed; {len(self.events)} events so far")
            if left <= 0:
                raise AssertionError(f"not within {deadline:g} s; {len(self.events)} events so far")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(BLOCK)
            except (TimeoutError, socket.timeout):
                continue
            except _GONE:
                data = b""
            if not data:
                self.closed = True
                continue
            self.incoming += data
            while frame := self.next_frame():
                try:
                    events = self.h2.receive_data(frame)
                finally:
                    self.flush()
                for event in events:
                    self.handle(event)
            self.send_streams()

    def next_frame(self):
        """Takes a frame, or the client's preface, off what has come in. One at a time, so that what follows a GOAWAY is
        read after `handle` has seen it."""
        if not self.client_side and not self.preface_seen:
            size = 24
        elif len(self.incoming) >= 9:
            size = 9 + int.from_bytes(self.incoming[:3], "big")
        else:
            return b""
        if len(self.incoming) < size:
            return b""
        self.preface_seen = True
        frame = bytes(self.incoming[:size])
        del self.incoming[:size]
        return frame

    def handle(self, event):
        self.events.append(event)
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Stream(event.stream_id, event.headers)
            self.on_request(stream)
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            if stream.reading:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif event.flow_controlled_length:
                # The connection's share goes back at once: 64 KiB in all, one stream could use it up for the others.
                self.h2.increment_flow_control_window(event.flow_controlled_length)
                stream.unread += event.flow_controlled_length
            stream.received += event.data
            self.on_data(stream, event.data)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
            self.on_end(stream)
        elif isinstance(event, h2.events.StreamReset):
            if stream:
                stream.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated) and not event.error_code:
            # h2 takes it for the end; but open streams go on (RFC 9113 section 6.8).
            states = h2.connection.ConnectionState
            self.h2.state_machine.state = states.CLIENT_OPEN if self.client_side else states.SERVER_OPEN

    def seen(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def close(self):
        try:
            self.h2.close_connection()
            self.flush()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        self.sock.close()


def dial(namespace, address, certificate, settings=None, timeout=10):
    """A tunnel to a proxy, with an SVID of ours."""
    raw = namespace.connect(address, 15008, timeout=timeout)
    return Connection(tls_context(False, certificate).wrap_socket(raw), True, settings)


class Server:
    """Takes tunnels on the HBONE port of a host; `serve(connection)` sets each up, on the connection's own thread.

    What goes wrong there, in `serve`, in the callbacks or in HTTP/2 itself, is in `errors` and raised by close().
    """

    def __init__(self, host, certificate, bundle, serve, settings=None):
        self.connections = []
        self.peers = []
        self.errors = []
        self._serve, self._settings = serve, settings
        self._context = tls_context(True, certificate)
        self._context.load_verify_locations(bundle)
        self._context.verify_mode = ssl.CERT_REQUIRED
        # The peer's purpose and name are not those of a web client.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._listener = host.listen(15008, timeout=None)
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                self._failed("accept")
                return
            thread = threading.Thread(target=self._run, args=(raw,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, raw):
        raw.settimeout(10)
        try:
            sock = self._context.wrap_socket(raw, server_side=True)
            self.peers.append(dict(sock.getpeercert()).get("subjectAltName"))
            connection = Connection(sock, False, self._settings)
            self.connections.append(connection)
        except Exception:  # pylint: disable=broad-except
            self._failed("handshake")
            return
        try:
            self._serve(connection)
            connection.pump(lambda: self._stopping, deadline=60)
        except (PeerClosed, *_GONE):
            pass  # A peer may end a tunnel at any time; what the test wanted of it, the test asks for.
        except Exception:  # pylint: disable=broad-except
            self._failed("tunnel")

    def _failed(self, where):
        """Keeps the exception being handled, unless the end was asked for, which breaks whatever is under way."""
        if not self._stopping:
            self.errors.append(f"{where}: {traceback.format_exc()}")

    def requests(self):
        """The headers of all CONNECTs, in order of the tunnels."""
        return [stream.headers for connection in self.connections for stream in connection.streams.values()]

    def close(self):
        """Ends all tunnels; AssertionError if something had gone wrong."""
        self._stopping = True
        for sock in [self._listener] + [connection.sock for connection in self.connections]:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass  # Ended already.
        for thread in self._threads:
            thread.join(10)
            if thread.is_alive():
                self.errors.append("a thread of the peer does not end")
        self._listener.close()
        for connection in self.connections:
            connection.sock.close()
        if self.errors:
            raise AssertionError("the peer failed:\n" + "\n".join(self.errors))
