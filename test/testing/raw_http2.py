"""HTTP/2 in bytes that no library would send, through a tunnel's TLS."""

import struct

import hpack

from .certificates import tls_context

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field with both texts in it (RFC 7541 section 6.2.2)."""
    def sized(text):
        size = len(text)
        if size < 127:
            return bytes([size]) + text
        out, size = bytes([127]), size - 127
        while size >= 128:
            out, size = out + bytes([size & 127 | 128]), size >> 7
        return out + bytes([size]) + text
    return b"\0" + sized(name.encode()) + sized(value.encode())


def request(authority, method="CONNECT", fields=()):
    """A header block."""
    return b"".join(literal(name, value) for name, value in
                    [(":method", method), (":authority", authority), *fields])


class RawTunnel:
    """A client of the tunnel port that has said the preface and its SETTINGS, and sends what it is told."""

    def __init__(self, host, address, certificate):
        self._tls = tls_context(False, certificate).wrap_socket(host.connect(address, 15008, timeout=10))
        self._decoder = hpack.Decoder()
        self._rest = b""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def send(self, data):
        """False when the other end has gone."""
        try:
            self._tls.sendall(data)
            return True
        except OSError:
            return False

    def read(self):
        """The next frame as (kind, stream, payload), a header block decoded; None at the end."""
        while len(self._rest) < 9 or len(self._rest) < 9 + int.from_bytes(self._rest[:3], "big"):
            try:
                block = self._tls.recv(65536)
            except OSError:
                block = b""
            if not block:
                return None
            self._rest += block
        size = 9 + int.from_bytes(self._rest[:3], "big")
        whole, self._rest = self._rest[:size], self._rest[size:]
        kind, payload = whole[3], whole[9:]
        if kind == HEADERS:
            payload = dict(self._decoder.decode(payload))
        return kind, int.from_bytes(whole[5:9], "big"), payload

    def answer(self, kinds, stream):
        """The first frame of these kinds about `stream`; None at the end."""
        while read := self.read():
            if read[0] in kinds and read[1] == stream:
                return read
        return None

    def read_to_the_end(self):
        """The codes of the GOAWAYs until the end."""
        codes = []
        while read := self.read():
            if read[0] == GOAWAY:
                codes.append(int.from_bytes(read[2][4:8], "big"))
        return codes

    def close(self):
        self._tls.close()
