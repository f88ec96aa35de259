#!/usr/bin/python3
"""A certificate with one defect proves nothing, at either end, and the log names the rule that it breaks.

Proved with some hundred chains made by hand, each with one defect, of a trust domain whose root the mesh trusts: a client
that shows one to a proxy's tunnel port is refused; a registered workload that shows one to a dialling proxy gets no
byte of the application's. Good chains of the same maker are taken, so that a proxy that refuses everything fails.
"""

import os
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import hand_made
from testing.bad_certificates import BadCertificates, hostile
from testing.case import MeshTestCase, main
from testing.mesh import TRUST_DOMAIN
from testing.process import wait_until
from testing.sanitized import measured

PARTNER = "partner.example"
MARKER = b"for a proven server only"
# For each of the hostile ones, the handshake and all.
ATTEMPTS, CPU_EACH, MEMORY_KIB = 40, 0.005, 2048
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def lax_context(server_side, certificate):
    """A TLS endpoint that verifies nobody and shows whatever it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(*certificate)
    return context


class RogueServers:
    """One listener for many addresses of a host, each with a certificate of its own."""

    def __init__(self, host, contexts):
        self.heard = {address: b"" for address in contexts}
        self._contexts = contexts
        self._listener = host.listen(15008, timeout=60)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(raw,), daemon=True).start()

    def _handle(self, raw):
        address = raw.getsockname()[0].removeprefix("::ffff:")
        raw.settimeout(5)
        try:
            with self._contexts[address].wrap_socket(raw, server_side=True) as connection:
                while block := connection.recv(65536):
                    self.heard[address] += block
        except (ssl.SSLError, OSError):
            pass

    def close(self):
        try:
            socket.socket.shutdown(self._listener, socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(10)
        self._listener.close()


class BadCertificatesTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.cases = BadCertificates(PARTNER)
        cls.bad = [case for case in cls.cases.all() if case.over_tls]
        cls.good = cls.cases.good()
        cls.hostile = hostile(cls.cases)
        bundle = os.path.join(cls.mesh.directory, "partner.pem")
        with open(bundle, "w", encoding="ascii") as out:
            out.write(hand_made.pem(cls.cases.root.der))
        cls.mesh.control_plane.extra_flags = [f"--federated_bundle={PARTNER}={bundle}"]
        cls.mesh.registry.policy("partner", "ALLOW",
                                 principals=[{"prefix": f"{PARTNER}/"}, {"prefix": f"{TRUST_DOMAIN}/"}])
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.rogue = cls.mesh.outsider("rogue")
        cls.address = {}
        for number, case in enumerate([*cls.bad, *cls.good]):
            address = f"10.77.9.{number + 1}"
            cls.address[case.name] = address
            cls.rogue.ip(f"addr add {address}/16 dev eth0")
            cls.mesh.registry.workload(f"rogue{number}", "demo", "rogue", [address], trust_domain=PARTNER)
        cls.mesh.start()
        cls.material = cls.mesh.make_directory("certificates", 0o755)
        # All before the first handshake: what OpenSSL has to say about a bad one it says when asked about the next.
        paths = {case.name: case.write(cls.material) for case in [*cls.bad, *cls.good, *cls.hostile]}
        cls.clients = {name: lax_context(False, path) for name, path in paths.items()}
        cls.servers = {name: lax_context(True, path) for name, path in paths.items()}

    # A client with a bad certificate.

    def dial(self, case):
        """("accepted" or "refused", the refused connection's record or None)."""
        raw = self.rogue.connect(self.server.address, 15008)
        source = "{}:{}".format(*raw.getsockname())
        taken = False
        try:
            with self.clients[case.name].wrap_socket(raw) as connection:
                connection.sendall(PREFACE)
                answer = connection.recv(9)
                taken = len(answer) > 3 and answer[3] == 4
        except (ssl.SSLError, OSError):
            raw.close()
        if taken:
            return "accepted", None
        return "refused", self.server.wait_access_log(source=source)[-1]

    def test_a_client_with_a_bad_certificate_is_refused_and_the_log_names_the_rule(self):
        self.assertGreaterEqual(len(self.bad), 60)
        for case in self.bad:
            with self.subTest(case.name):
                verdict, record = self.dial(case)
                self.assertEqual(verdict, "refused")
                self.assertIn(case.tls_rule, record["detail"])
                self.assertEqual((record["result"], record["reason"]), ("denied", "tls-failed"), record)
                self.assertNotIn("peer_identity", record)

    def test_a_client_with_a_good_certificate_is_taken(self):
        for case in self.good:
            with self.subTest(case.name):
                self.assertEqual(self.dial(case)[0], "accepted")

    def test_a_client_with_a_certificate_made_to_be_dear_costs_little(self):
        proxy = self.server.proxy
        for case in self.hostile:
            with self.subTest(case.name):
                for _ in range(3):
                    self.dial(case)  # What the first refusal needs stays.
                before, memory = proxy.cpu_seconds(), self.peak_kib(reset=True)
                for _ in range(ATTEMPTS):
                    self.assertEqual(self.dial(case)[0], "refused")
                each, more = (proxy.cpu_seconds() - before) / ATTEMPTS, self.peak_kib() - memory
                print(f"     {case.name}: {each * 1e3:.2f} ms of CPU each, {more} KiB more at most", flush=True)
                with measured():
                    self.assertLess(each, CPU_EACH)
                    self.assertLess(more, MEMORY_KIB)

    def peak_kib(self, reset=False):
        """The server proxy's peak of resident memory; with `reset` begun anew, which makes it what there is now."""
        process = f"/proc/{self.server.proxy.pid}"
        if reset:
            with open(f"{process}/clear_refs", "w", encoding="ascii") as out:
                out.write("5")
        with open(f"{process}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

    # A server with a bad certificate.

    def serve(self, cases):
        servers = RogueServers(self.rogue, {self.address[case.name]: self.servers[case.name] for case in cases})
        self.addCleanup(servers.close)
        return servers

    def test_a_server_with_a_bad_certificate_gets_nothing_and_the_log_names_the_rule(self):
        servers = self.serve(self.bad)
        for case in self.bad:
            with self.subTest(case.name):
                address = self.address[case.name]
                self.assert_fails_fast(self.client, address, 8080, within=8, question=MARKER)
                record = self.client.wait_access_log(original_destination=f"{address}:8080")[-1]
                self.assertIn(case.tls_rule, record["detail"])
                self.assertEqual(record["reason"], "tls-failed", record)
                self.assertEqual(servers.heard[address], b"", "the client spoke to an unverified server")

    def test_a_server_with_a_good_certificate_is_spoken_to(self):
        servers = self.serve(self.good)
        for case in self.good:
            with self.subTest(case.name):
                address = self.address[case.name]
                with self.client.connect(address, 8080) as connection:
                    connection.sendall(MARKER)
                    wait_until(lambda: b"PRI * HTTP/2.0" in servers.heard[address], 10, "HTTP/2 from the client's proxy")


if __name__ == "__main__":
    sys.exit(main())
