#!/usr/bin/python3
"""Peers of the tunnel port that want to be expensive are not.

Proved from outside the mesh: certificates of 100 KB, fifty levels deep, with an RSA key of 16384 bits, 5 000 CRL distribution points
or 10 000 names are refused for less than 5 ms of CPU and 2 MB of memory each; a hundred handshakes that come a byte at a time
cost less than 5 % of a core and are over with the handshake's deadline; a peer of the mesh that floods TLS key updates
or empty records, with a byte between them or without, is cut off at once, and connections beside it are answered all the time.
"""

import ctypes
import ctypes.util
import os
import random
import ssl
import subprocess
import sys
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context, try_tunnel
from testing.process import wait_until

ATTEMPTS = 5
CPU_EACH, MEMORY = 0.005, 2 << 10
DRIPPING = 100
HANDSHAKE_TIMEOUT = 5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


class Maker:
    """Certificates nobody sane makes, with the `openssl` command; all have the same key."""

    def __init__(self, directory):
        self._directory, self._count = directory, 0
        self.key = self._path("key")
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)

    def openssl(self, *argv):
        done = subprocess.run(["openssl", *argv], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"openssl {argv[0]}: {done.stderr}")
        return done.stdout

    def _path(self, name):
        return os.path.join(self._directory, name)

    def certificate(self, *extensions, sections="", issuer=None, public_key=None, name="/O=hostile"):
        """PEM of one with these extension lines, self-signed unless there is an issuer's file."""
        self._count += 1
        config, out = self._path(f"{self._count}.cnf"), self._path(f"{self._count}.pem")
        with open(config, "w", encoding="ascii") as text:
            text.write("[req]\ndistinguished_name=name\n[name]\n[extensions]\n" + "\n".join(extensions) + "\n" + sections)
        request = self._path(f"{self._count}.csr")
        self.openssl("req", "-new", "-key", self.key, "-subj", name, "-config", config, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-days", "1", "-extfile", config, "-extensions", "extensions", "-out", out,
                     *(["-CA", issuer, "-CAkey", self.key] if issuer else ["-signkey", self.key]),
                     *(["-force_pubkey", public_key] if public_key else []))
        with open(out, encoding="ascii") as text:
            return out, text.read()

    def chain(self, *pems):
        self._count += 1
        path = self._path(f"chain{self._count}.pem")
        with open(path, "w", encoding="ascii") as out:
            out.write("".join(pems))
        return path, self.key

    def public_key(self, bits):
        """PEM of an RSA public key of that size: nobody needs the private one to make others work with it."""
        def der(tag, content):
            size = len(content)
            length = bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes(
                (size.bit_length() + 7) // 8, "big")
            return bytes([tag]) + length + content
        modulus = random.Random(1).getrandbits(bits) | 1 << (bits - 1) | 1
        key = der(0x30, der(2, b"\0" + modulus.to_bytes(bits // 8, "big")) + der(2, b"\1\0\1"))
        algorithm = der(0x30, der(6, bytes.fromhex("2a864886f70d010101")) + der(5, b""))
        info = der(0x30, algorithm + der(3, b"\0" + key))
        path = self._path("rsa.der")
        with open(path, "wb") as out:
            out.write(info)
        pem = self._path("rsa.pem")
        self.openssl("pkey", "-pubin", "-inform", "DER", "-in", path, "-out", pem)
        return pem


class Flood:
    """A peer that changes its TLS keys as often as it can; Python's own ssl module cannot."""

    def __init__(self, raw, certificate):
        self._ssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self._ssl, name).restype = ctypes.c_void_p
        call = self._call
        context = ctypes.c_void_p(call("SSL_CTX_new", ctypes.c_void_p(call("TLS_client_method"))))
        assert call("SSL_CTX_use_certificate_chain_file", context, certificate[0].encode()) == 1
        assert call("SSL_CTX_use_PrivateKey_file", context, certificate[1].encode(), 1) == 1
        assert call("SSL_CTX_set_alpn_protos", context, b"\2h2", 3) == 0
        self._connection = ctypes.c_void_p(call("SSL_new", context))
        call("SSL_set_fd", self._connection, raw.fileno())
        assert call("SSL_connect", self._connection) == 1, "the handshake failed"

    def _call(self, name, *arguments):
        return getattr(self._ssl, name)(*arguments)

    def run(self, seconds):
        """(key updates sent until the peer had enough, seconds)"""
        started, sent = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            byte = PREFACE[sent:sent + 1] or b"\0"
            if self._call("SSL_key_update", self._connection, 0) != 1 or self._call("SSL_write", self._connection, byte, 1) != 1:
                break
            sent += 1
        return sent, time.monotonic() - started


class EmptyRecords:
    """A peer that sends TLS records without content, `between` two of which is a byte or nothing. No library does it: these are
    sealed here (RFC 8446 sections 5.2, 5.3 and 7.3)."""

    def __init__(self, raw, certificate, between, directory):
        self._raw, self._between = raw, between
        context = tls_context(False, certificate)
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
                preface = PREFACE[sent:sent + 1] or b"\0"
                self._raw.sendall(self._record(b"") + (self._record(preface) if self._between else b""))
                sent += 1
        except ConnectionError:
            pass
        return sent, time.monotonic() - started


class HostileTlsTest(MeshTestCase):

    @classmethod
    def build(cls):
        super().build()
        cls.server.app("echo", 8080)
        cls.peer = cls.mesh.outsider()
        cls.maker = Maker(cls.mesh.make_directory("hostile", 0o700))

    def peak(self, reset=False):
        """KiB the server's proxy has held at most since the last reset."""
        pid = self.server.proxy.pid
        if reset:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
                refs.write("5")
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return int(status.read().split("VmHWM:")[1].split()[0])

    def hostile(self):
        """(name, certificate) of each."""
        maker = self.maker
        uri = f"subjectAltName = critical, URI:{self.client.spiffe_id}"
        _, leaf_pem = maker.certificate(uri)
        yield "an ordinary one of an unknown root", maker.chain(leaf_pem)
        yield "100 KB of chain", maker.chain(leaf_pem, *[leaf_pem] * (100_000 // 400))
        issuer, deep = None, []
        for level in range(50):
            issuer, pem = maker.certificate("basicConstraints = critical, CA:TRUE", issuer=issuer, name=f"/O=level {level}")
            deep.append(pem)
        yield "50 levels", maker.chain(maker.certificate(uri, issuer=issuer)[1], *reversed(deep))
        _, big_pem = maker.certificate("basicConstraints = critical, CA:TRUE", public_key=maker.public_key(16384), name="/O=big")
        yield "RSA of 16384 bits", maker.chain(maker.certificate(uri, issuer=None, name="/O=of big")[1], big_pem)
        points = ",".join(f"URI:http://crl.example/{number}" for number in range(5000))
        yield "5 000 CRL distribution points", maker.chain(maker.certificate(uri, f"crlDistributionPoints = {points}")[1])
        names = "\n".join(f"DNS.{number} = name{number}.example" for number in range(10_000))
        yield "10 000 names", maker.chain(maker.certificate(
            "subjectAltName = @names", sections=f"[names]\nURI.1 = {self.client.spiffe_id}\n{names}\n")[1])

    def test_hostile_certificates_are_refused_cheaply(self):
        proxy = self.server.proxy
        # What the first refusal needs stays.
        try_tunnel(self.peer, self.server.address, self.maker.chain(self.maker.certificate("keyUsage = digitalSignature")[1]))
        for name, certificate in self.hostile():
            with self.subTest(certificate=name):
                before, memory = proxy.cpu_seconds(), self.peak(reset=True)
                for _ in range(ATTEMPTS):
                    self.assertEqual(try_tunnel(self.peer, self.server.address, certificate)[0], "refused")
                each, more = (proxy.cpu_seconds() - before) / ATTEMPTS, self.peak() - memory
                print(f"{name}: {each * 1e3:.2f} ms of CPU each, {more} KiB more at most", flush=True)
                self.assertLess(each, CPU_EACH)
                self.assertLess(more, MEMORY)

    def test_handshakes_a_byte_at_a_time_cost_little(self):
        hello = self.client_hello()
        connections = [self.peer.connect(self.server.address, 15008) for _ in range(DRIPPING)]
        started, before = time.monotonic(), self.server.proxy.cpu_seconds()
        at, alive = 0, list(connections)
        while time.monotonic() - started < HANDSHAKE_TIMEOUT - 1:
            for connection in list(alive):
                try:
                    connection.sendall(hello[at:at + 1])
                except OSError:
                    alive.remove(connection)  # Too many for it from one address.
            at += 1
            time.sleep(0.1)
        spent = (self.server.proxy.cpu_seconds() - before) / (time.monotonic() - started)
        print(f"{spent * 100:.1f} % of a core for {DRIPPING} dripping handshakes", flush=True)
        self.assertLess(spent, 0.05)
        for connection in connections:
            connection.settimeout(HANDSHAKE_TIMEOUT)
            try:
                while connection.recv(1000):
                    pass  # Its alert, at most.
            except ConnectionError:
                pass
            connection.close()
        self.assertLess(time.monotonic() - started, HANDSHAKE_TIMEOUT + 2, "a handshake outlived its deadline")
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")

    def client_hello(self):
        """The first bytes of a client."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls_context(False).wrap_bio(incoming, outgoing)
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    def test_a_flood_of_key_updates_is_cut_off(self):
        self.check_flood("key updates", Flood)

    def test_a_flood_of_empty_records_is_cut_off(self):
        for name, between in (("empty records", False), ("empty records, a byte between them,", True)):
            with self.subTest(flood=name):
                self.check_flood(name, lambda raw, certificate, between=between: EmptyRecords(
                    raw, certificate, between, self.mesh.directory))

    def check_flood(self, name, attack):
        control_plane = self.mesh.control_plane
        with open(control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(self.mesh.directory, control_plane.store, bundle.read())
        certificate = authority.issue(self.client.spiffe_id)
        answers, stop = [], threading.Event()

        def others():
            with self.client.connect(self.mesh.vip, 80) as connection:
                while not stop.is_set():
                    before = time.monotonic()
                    connection.sendall(b"still here")
                    if connection.recv(100) != b"still here":
                        return
                    answers.append(time.monotonic() - before)
                    time.sleep(0.005)
        beside = threading.Thread(target=others)
        beside.start()
        wait_until(lambda: len(answers) > 50, 10, "answers")
        started, before = time.monotonic(), self.server.proxy.cpu_seconds()
        for _ in range(5):
            with self.peer.connect(self.server.address, 15008, timeout=None) as raw:
                sent, seconds = attack(raw, certificate).run(5)
            self.assertLess(seconds, 2, f"still connected after {sent} {name}")
        elapsed = max(1.0, time.monotonic() - started)
        spent = self.server.proxy.cpu_seconds() - before
        known = len(answers)
        wait_until(lambda: len(answers) > known + 50 or not beside.is_alive(), 10, "answers after the flood")
        stop.set()
        beside.join()
        self.assertGreater(len(answers), known + 50, "the connection beside it broke")
        print(f"cut off after {sent} {name}; {spent / elapsed * 100:.1f} % of a core; "
              f"slowest answer beside it {max(answers) * 1e3:.1f} ms", flush=True)
        self.assertLess(spent / elapsed, 0.10)


if __name__ == "__main__":
    sys.exit(main())
