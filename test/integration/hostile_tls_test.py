#!/usr/bin/python3
"""Peers of the tunnel port that want to be expensive are not.

Proved from outside the mesh: certificates of 100 KB, fifty levels deep, with an RSA key of 16384 bits, 5 000 CRL distribution points
or 10 000 names are refused for less than 5 ms of CPU and 2 MB of memory each; a hundred handshakes that come a byte at a time
cost less than 5 % of a core and are over with the handshake's deadline; a peer of the mesh that floods TLS key updates
or empty records, with a byte between them or without, is cut off at once, and connections beside it are answered all the time.
"""

import os
import random
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority, tls_context, try_tunnel
from testing.process import wait_until
from testing.sanitized import measured
from testing.tls_floods import EmptyRecords, KeyUpdates

ATTEMPTS = 5
CPU_EACH, MEMORY = 0.005, 2 << 10
DRIPPING = 100
HANDSHAKE_TIMEOUT = 5


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
                with measured():
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
        with measured():
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
        self.check_flood("key updates", KeyUpdates)

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
        counted = self.server.metrics()['byrnie_proxy_refused_total{reason="tunnel-flood"}']
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
        flooded = 'byrnie_proxy_refused_total{reason="tunnel-flood"}'
        self.assertEqual(self.server.metrics()[flooded] - counted, 5)
        record = self.server.wait_access_log(direction="inbound", reason="tunnel-flood", result="denied")[-1]
        self.assertEqual(record["peer_identity"], self.client.spiffe_id)


if __name__ == "__main__":
    sys.exit(main())
