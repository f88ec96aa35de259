#!/usr/bin/python3
"""The harness tells the truth: its captures see what is sent, its scanner finds keys, its bad certificates are bad, its
memory limits kill.

Proved without any binary of the product, so that a failure elsewhere is not the harness's.
"""

import hashlib
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import exposition
from testing.case import main
from testing.cgroup import MemoryGroup
from testing.certificates import Authority, leaf_facts, served_leaf, tls_context, try_tunnel
from testing.memory import KeyFinder, occurrences
from testing.interruption import uninterrupted
from testing.mesh import Mesh
from testing.netns import APPLICATION_UID
from testing.process import Process

HOLDER = "import sys; key = bytearray.fromhex(sys.stdin.readline()); print('ready', flush=True); sys.stdin.read()"

GOOD_METRICS = """\
# HELP a_total A.
# TYPE a_total counter
a_total{peer="q\\"\\\\\\n,}",x=""} 3
a_total{y="1"} 2
# HELP b B.
# TYPE b gauge
b -1.5
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{le="1"} 1
c_seconds_bucket{le="+Inf"} 3
c_seconds_sum 4.5
c_seconds_count 3
"""


class HarnessTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.first, cls.second = cls.mesh.outsider("first"), cls.mesh.outsider("second")
        cls.authority = Authority(cls.mesh.directory)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.cleanup()

    def test_hosts_reach_each_other_over_both_families(self):
        with self.second.listen(8080) as listener:
            for address in (self.second.address, self.second.address6):
                with self.first.connect(address, 8080) as near:
                    far, _ = listener.accept()
                    near.sendall(b"x")
                    self.assertEqual(far.recv(1), b"x")
                    far.close()

    def test_the_gateway_stays_who_it_is_when_hosts_go(self):
        def address():
            return self.mesh.network.switch.run("ip", "-br", "link", "show", "br0").stdout.split()[2]
        before = address()
        gone = self.mesh.network.host("gone", 200)
        # A bridge without an address of its own takes the lowest of its ports'.
        self.mesh.network.switch.ip(f"link set {gone.port} address 02:00:00:00:00:01")
        self.assertEqual(address(), before)
        gone.delete()
        self.mesh.network.namespaces.remove(gone)
        self.assertEqual(address(), before)

    def test_a_capture_sees_bytes_even_across_segments(self):
        marker = os.urandom(16).hex().encode()
        capture = self.mesh.capture(self.first)
        with self.second.listen(8080) as listener, self.first.connect(self.second.address6, 8080) as near:
            far, _ = listener.accept()
            for at in range(0, len(marker), 5):
                near.sendall(marker[at:at + 5])
                far.recv(5)
            far.close()
        capture.stop()
        self.assertEqual(capture.count(marker), 1)
        self.assertEqual(capture.count(marker[::-1]), 0)

    def serve_tls(self, certificate, context=None):
        """One TLS connection on the second host's port 15008, answered with an HTTP/2 SETTINGS frame."""
        listener = self.second.listen(15008)
        context = context or tls_context(True, certificate)

        def serve():
            with listener:
                raw, _ = listener.accept()
                try:
                    with context.wrap_socket(raw, server_side=True) as connection:
                        connection.recv(100)
                        connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
                        connection.recv(100)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        return thread

    def test_a_capture_reads_what_tls_chose(self):
        capture = self.mesh.capture(self.second)
        serving = self.serve_tls(self.authority.issue("spiffe://cluster.local/ns/a/sa/b"))
        self.assertEqual(try_tunnel(self.first, self.second.address)[0], "accepted")
        serving.join(5)
        capture.stop()
        self.assertEqual([(hello["version"], hello["group"]) for hello in capture.server_hellos()], [("TLS 1.3", "x25519")])
        self.assertGreater(capture.tls_records(), 0)

    def test_a_served_leaf_is_read(self):
        serving = self.serve_tls(self.authority.issue("spiffe://cluster.local/ns/a/sa/b", ends=1000))
        facts = leaf_facts(served_leaf(self.first, self.second.address))
        serving.join(5)
        self.assertEqual(facts["spiffe_id"], "spiffe://cluster.local/ns/a/sa/b")

    def test_a_refusal_after_the_handshake_is_seen(self):
        context = tls_context(True, self.authority.issue("spiffe://cluster.local/ns/a/sa/b"))
        context.verify_mode = 2  # ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority.certificate)
        for certificate, expected in ((None, "refused"),
                                      (Authority(self.mesh.directory).issue("spiffe://cluster.local/x"), "refused"),
                                      (self.authority.issue("spiffe://cluster.local/x"), "accepted")):
            serving = self.serve_tls(None, context)
            self.assertEqual(try_tunnel(self.first, self.second.address, certificate)[0], expected)
            serving.join(5)

    def verify(self, certificate):
        return subprocess.run(["openssl", "verify", "-CAfile", self.authority.certificate, certificate],
                              capture_output=True, text=True)

    def test_bad_certificates_are_bad_in_one_way_only(self):
        identity = "spiffe://cluster.local/ns/a/sa/b"
        self.assertEqual(self.verify(self.authority.issue(identity)[0]).returncode, 0)
        self.assertIn("has expired", self.verify(self.authority.issue(identity, -7200, -60)[0]).stderr)
        self.assertIn("not yet valid", self.verify(self.authority.issue(identity, 3600, 7200)[0]).stderr)

    def test_the_scanner_finds_a_key_in_each_form_and_only_where_it_is(self):
        certificate, key = self.authority.issue("spiffe://cluster.local/ns/a/sa/b")
        der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], capture_output=True, check=True).stdout
        encoded = subprocess.run(["openssl", "ec", "-in", key, "-outform", "DER"], capture_output=True, check=True).stdout
        at = encoded.index(b"\x02\x01\x01\x04\x20") + 5
        scalar = encoded[at:at + 32]
        finder = KeyFinder(leaf_facts(der)["public_point"])
        for form, held in (("encoded", encoded), ("limbs", scalar[::-1]), ("none", hashlib.sha256(scalar).digest())):
            with self.subTest(form=form):
                holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                with holder:
                    holder.stdin.write(held.hex().encode() + b"\n")
                    holder.stdin.flush()
                    holder.stdout.readline()
                    found = finder.find_in(holder.pid)
                    self.assertEqual(found, None if form == "none" else scalar)
                    if form == "limbs":
                        self.assertGreater(occurrences(holder.pid, scalar)["limbs"], 0)
                    holder.stdin.close()

    def test_metrics_in_order_are_read(self):
        families = exposition.parse(GOOD_METRICS)
        self.assertEqual({name: family.kind for name, family in families.items()},
                         {"a_total": "counter", "b": "gauge", "c_seconds": "histogram"})
        self.assertEqual(families["a_total"].samples[0].labels, {"peer": 'q"\\\n,}', "x": ""})
        self.assertEqual(exposition.total(families, "a_total", x=""), 3)
        self.assertEqual(exposition.total(families, "a_total"), 5)

    def test_metrics_that_are_wrong_in_one_way_are_refused(self):
        for old, new in (("# HELP b", "# HOLP b"), ("# TYPE b gauge\n", ""), ("# HELP b B.\n", ""),
                         ("# TYPE b gauge", "# TYPE b thing"), ("# TYPE b gauge", "# TYPE b counter"),
                         ("# TYPE b gauge", "# TYPE b gauge\n# TYPE b gauge"), ("b -1.5", "b 1,5"), ("b -1.5", "d 1"),
                         ("b -1.5", "b -1.5\nb -1.5"), ("b -1.5", "b  -1.5"), ("a_total{y", "a-total{y"), ('y="1"', 'y="\\t"'),
                         ('y="1"', 'y="1",y="1"'), ('y="1"', '0="1"'), ('y="1"', 'y="1'), ('y="1"} 2', 'y="1"} -2'),
                         ("c_seconds_count 3", "c_seconds_count 2"), ('le="+Inf"', 'le="9"'), ('le="1"} 1', 'le="1"} 4'),
                         ("c_seconds_sum 4.5\n", ""), ("c_seconds_count 3\n", "c_seconds_count 3")):
            with self.subTest(old=old, new=new), self.assertRaises(exposition.ExpositionError):
                self.assertIn(old, GOOD_METRICS)
                exposition.parse(GOOD_METRICS.replace(old, new, 1))

    def test_applications_do_not_run_as_root(self):
        process = Process("id", self.first, ["id", "-u"], self.mesh.log_path("id"), uid=APPLICATION_UID)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(process.log_text().strip(), str(APPLICATION_UID))

    def test_a_memory_limit_kills_who_exceeds_it_and_is_gone_afterwards(self):
        group = MemoryGroup(48 << 20)
        path = os.fspath(group)
        try:
            for number, (mebibytes, expected) in enumerate(((24, 0), (64, -9))):
                process = Process("eater", self.first, [sys.executable, "-I", "-S", "-c", f"b'x' * ({mebibytes} << 20)"],
                                  self.mesh.log_path("eater"), uid=APPLICATION_UID, group=group)
                self.assertEqual(process.wait(), expected, process.log_text())
                self.assertEqual(group.killed(), number)
            self.assertGreater(group.peak(), 40 << 20)
            Process("sleep", self.first, ["sleep", "60"], self.mesh.log_path("sleep"), group=group)
        finally:
            group.remove()
        self.assertFalse(os.path.exists(path))

    def test_a_process_does_not_inherit_blocked_signals(self):
        with uninterrupted():
            pass
        process = Process("sleep", self.first, ["sleep", "60"], self.mesh.log_path("sleep"))
        self.assertEqual(process.terminate(), -15)


if __name__ == "__main__":
    sys.exit(main())
