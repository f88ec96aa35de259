#!/usr/bin/python3
"""What a control plane issues while its etcd is away is in the log of issuances, also when it is killed before etcd is back.

Proved: with etcd away certificates are renewed; the control plane is killed; etcd comes back; the control plane that is started again has
every serial in the log, once, when it serves, and nothing waits; one whose entry was damaged meanwhile too, and the log says where its
bytes are. Without room for what cannot be logged nothing is issued, and with room
again it is. A spool that cannot be used is named at the start, with what to do.
"""

import contextlib
import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import grpc

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from testing.ca_caller import CaCaller
from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import parse_metrics
from testing.process import wait_until

HOST = "ca.example.org"
IDENTITY = "spiffe://cluster.local/ns/demo/sa/client"


class IssuanceSpoolTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.plane = mesh.control_plane
        cls.plane.store_flags = cls.etcd.store_flags("test/mesh")
        cls.plane.extra_flags = [f"--server_names={HOST}"]
        mesh.registry.write()
        cls.plane.start()
        with CaCaller(cls.plane, HOST) as first:
            answer = first.issue(cls.plane.create_token(IDENTITY))
            cls.identity = (b"".join(cls.pem(der) for der in answer.certificate_chain), first.key_pem)

    @staticmethod
    def pem(der):
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)

    @staticmethod
    def serial(answer):
        return f"{x509.load_der_x509_certificate(answer.certificate_chain[0]).serial_number:x}"

    def caller(self):
        caller = CaCaller(self.plane, HOST, self.identity)
        self.addCleanup(caller.close)
        return caller

    def logged(self):
        return [issuance["serial"].lstrip("0") for issuance in json.loads(self.plane.ctl("issuances", "--output=json").stdout)]

    def pending(self):
        return parse_metrics(self.plane.admin("/metrics")[1])["byrnie_controlplane_issuance_log_pending"]

    def test_what_was_issued_without_etcd_is_logged_after_a_kill(self):
        caller = self.caller()
        self.etcd.members[0].kill()
        serials = [self.serial(caller.issue()) for _ in range(20)]
        self.assertEqual(self.pending(), len(serials))
        self.plane.process.kill()
        self.etcd.start()
        self.plane.start()
        logged = self.logged()
        self.assertEqual([serial for serial in serials if logged.count(serial) != 1], [])
        self.assertEqual(self.pending(), 0)
        said = [record for record in self.plane.process.log_records() if "earlier process had to spool" in record["message"]]
        self.assertEqual([record["issuances"] for record in said[-1:]], [len(serials)])

    def test_what_was_damaged_meanwhile_is_logged_by_its_serial_and_kept(self):
        caller = self.caller()
        self.etcd.members[0].kill()
        serials = [self.serial(caller.issue()) for _ in range(3)]
        self.plane.process.kill()
        with contextlib.closing(sqlite3.connect(self.plane.spool)) as spool, spool:
            keys = [bytes(key) for key, in spool.execute("SELECT key FROM entries ORDER BY key") if bytes(key).startswith(b"issuances/")]
            damaged = next(key for key in keys if key.decode().endswith(serials[1]))
            value, = spool.execute("SELECT value FROM entries WHERE key = ?", (damaged,)).fetchone()
            value = bytes(value).replace(b"demo/sa/client", b"demo/sa/clienT")
            spool.execute("UPDATE entries SET value = ? WHERE key = ?", (value, damaged))
        self.etcd.start()
        self.plane.start()
        logged = self.logged()
        self.assertEqual([serial for serial in serials if logged.count(serial) != 1], [])
        listed = next(line for line in self.plane.ctl("issuances").stdout.splitlines() if serials[1] in line)
        self.assertIn("unreadable", listed)
        said = [record for record in self.plane.process.log_records() if "that waited to be logged cannot be read" in record["message"]]
        self.assertEqual([record["entry"] for record in said], [damaged.decode()])
        self.assertIn(self.plane.spool, said[0]["bytes"])
        with contextlib.closing(sqlite3.connect(f"file:{self.plane.spool}?mode=ro", uri=True)) as spool:
            kept = spool.execute("SELECT value FROM entries WHERE CAST(key AS TEXT) LIKE 'damaged/%'").fetchall()
        self.assertEqual([bytes(entry) for entry, in kept], [value])

    def test_what_was_issued_without_etcd_is_logged_when_it_is_back(self):
        caller = self.caller()
        self.etcd.members[0].kill()
        serials = [self.serial(caller.issue()) for _ in range(5)]
        self.etcd.start()
        wait_until(lambda: self.pending() == 0, 15, "the log")
        serials.append(self.serial(caller.issue()))
        logged = self.logged()
        self.assertEqual([serial for serial in serials if logged.count(serial) != 1], [])

    def test_what_can_be_noted_nowhere_is_not_issued(self):
        plane = self.plane
        self.assertEqual(plane.process.terminate(), 0)
        disk = self.mesh.make_directory("small-disk", 0o755)
        spool, plane.spool = plane.spool, os.path.join(disk, "spool.db")
        command = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=512k none {disk} && exec "$@"', "sh", *plane.arguments()]
        plane.process = self.mesh.spawn("controlplane", plane.host, command, plane.log_path)
        plane.wait_ready()
        caller = self.caller()
        filler = f"/proc/{plane.process.pid}/root{disk}/filler"
        with open(filler, "wb", buffering=0) as out, self.assertRaises(OSError):
            for _ in range(1024):
                out.write(bytes(1024))
        caller.issue()
        self.etcd.members[0].kill()

        def refused():
            try:
                caller.issue()
                return None
            except grpc.RpcError as error:
                return error
        # What the engine holds already may take some.
        error = wait_until(refused, 30, "a refusal")
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error.details())
        for words in ("--issuance_spool", "disk is full", "make room"):
            self.assertIn(words, error.details())
        os.unlink(filler)
        serial = self.serial(caller.issue())
        self.etcd.start()
        wait_until(lambda: self.pending() == 0, 15, "the log")
        self.assertEqual(self.logged().count(serial), 1)
        self.assertEqual(plane.process.terminate(), 0)
        plane.spool = spool
        plane.start()

    def test_a_spool_that_cannot_be_used_is_named(self):
        plane = self.plane
        self.assertEqual(plane.process.terminate(), 0)
        spool, plane.spool = plane.spool, "/nowhere/spool.db"
        done = plane.host.run(*plane.arguments(), check=False)
        plane.spool = spool
        plane.start()
        self.assertNotEqual(done.returncode, 0)
        for words in ("--issuance_spool", "/nowhere/spool.db", "make its directory", "--issuance_spool=memory"):
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    sys.exit(main())
