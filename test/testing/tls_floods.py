"""Peers of the mesh that keep the rules of TLS 1.3 and do too much of what costs only the other end.

`certificate` is (chain file, key file), `raw` a connection; they verify nobody.
"""

import ctypes
import ctypes.util
import os
import ssl
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .certificates import tls_context

# HTTP/2 has nothing to complain of: what follows is in a frame of a kind that is to be ignored, as long as they may be.
_PREFACE = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
            + b"\x00\x40\x00\xff\x00\x00\x00\x00\x00")


def _bytes_of(protocol):
    """What a peer of that protocol says first."""
    return _PREFACE if protocol == "h2" else b""


class KeyUpdates:
    """A peer that changes its keys as often as it can, with a byte between. Python's own ssl module cannot."""

    def __init__(self, raw, certificate, protocol="h2"):
        self._bytes = _bytes_of(protocol)
        self._ssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self._ssl, name).restype = ctypes.c_void_p
        call = self._call
        context = ctypes.c_void_p(call("SSL_CTX_new", ctypes.c_void_p(call("TLS_client_method"))))
        assert call("SSL_CTX_use_certificate_chain_file", context, certificate[0].encode()) == 1
        assert call("SSL_CTX_use_PrivateKey_file", context, certificate[1].encode(), 1) == 1
        assert call("SSL_CTX_set_alpn_protos", context, bytes([len(protocol)]) + protocol.encode(), 1 + len(protocol)) == 0
        self._connection = ctypes.c_void_p(call("SSL_new", context))
        call("SSL_set_fd", self._connection, raw.fileno())
        assert call("SSL_connect", self._connection) == 1, "the handshake failed"

    def _call(self, name, *arguments):
        return getattr(self._ssl, name)(*arguments)

    def run(self, seconds):
        """(key updates sent until the peer had enough, seconds)"""
        started, sent = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            byte = self._bytes[sent:sent + 1] or b"\0"
            if self._call("SSL_key_update", self._connection, 0) != 1 or self._call("SSL_write", self._connection, byte, 1) != 1:
                break
            sent += 1
        return sent, time.monotonic() - started


class EmptyRecords:
    """A peer that sends TLS records without content, `between` two of which is a byte or nothing. No library does it: these are
    sealed here (RFC 8446 sections 5.2, 5.3 and 7.3)."""

    def __init__(self, raw, certificate, between, directory, protocol="h2"):
        self._raw, self._between, self._bytes = raw, between, _bytes_of(protocol)
        context = tls_context(False, certificate)
        context.set_alpn_protocols([protocol])
        context.keylog_filename = os.path.join(directory, "keys")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        raw.sendall(outgoing.read())
        hashed, size = {"TLS_AES_128_GCM_SHA256": (hashes.SHA256(), 16),
                        "TLS_AES_256_GCM_SHA384": (hashes.SHA384(), 32)}[session.cipher()[0]]
        with open(context.keylog_filename, encoding="ascii") as keys:
            lines = dict(line.split()[::2] for line in keys if line.startswith("CLIENT_TRAFFIC_SECRET_0"))
        os.unlink(context.keylog_filename)
        secret = bytes.fromhex(lines["CLIENT_TRAFFIC_SECRET_0"])

        def expand(label, length):
            label = b"tls13 " + label
            info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
            return HKDFExpand(hashed, length, info).derive(secret)
        self._seal, self._iv, self._sequence = AESGCM(expand(b"key", size)), int.from_bytes(expand(b"iv", 12), "big"), 0

    def _record(self, content):
        inner = content + b"\x17"
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._seal.encrypt(nonce, inner, header)

    def run(self, seconds):
        """(empty records sent until the peer had enough, seconds)"""
        started, sent = time.monotonic(), 0
        try:
            while time.monotonic() - started < seconds:
                byte = self._bytes[sent:sent + 1] or b"\0"
                self._raw.sendall(self._record(b"") + (self._record(byte) if self._between else b""))
                sent += 1
        except ConnectionError:
            pass
        return sent, time.monotonic() - started
