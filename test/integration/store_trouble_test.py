#!/usr/bin/python3
"""What is wrong with the store's disk or file is said where somebody looks, with the remedy, and costs nothing else.

Proved: on a full disk byrniectl says so, the control plane logs it once and counts it, goes on, and makes tokens again when
there is room; a first start on a full disk ends with one line and leaves no file behind; so does a start with a damaged store,
whose file stays as it is; so does one whose file is gone, empty or copied without its log, of a mesh that there was, whose bundle stays as it
is, until an operator says --new_mesh, while a backup by sqlite3 is that mesh. A store whose file is moved away acknowledges nothing and is a condition that fails until it is back; a
second control plane on the file of a first ends with one line.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import Mesh, parse_metrics
from testing.process import wait_until

IDENTITY = "spiffe://cluster.local/ns/demo/sa/client"
# Kibibytes that a first start may find, from hardly any to more than it needs.
SIZES = (4, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 256, 512)


class StoreTroubleTest(unittest.TestCase):

    def setUp(self):
        self.mesh = Mesh()
        self.addCleanup(self.mesh.cleanup)
        self.mesh.registry.write()
        self.control_plane = self.mesh.control_plane
        self.disk = self.mesh.make_directory("disk", 0o755)
        self.control_plane.store = os.path.join(self.disk, "store.db")

    def on_disk(self, kib, then='exec "$@"'):
        """The control plane's command where `self.disk` is a disk of that size, which nobody else sees."""
        return ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={kib}k none {self.disk} && {then}', "sh",
                *self.control_plane.arguments()]

    def create_token(self):
        return self.control_plane.ctl("token", "create", f"--identity={IDENTITY}", check=False)

    def test_a_disk_that_fills_up(self):
        plane = self.control_plane
        plane.process = self.mesh.spawn("controlplane", plane.host, self.on_disk(1024), plane.log_path)
        plane.wait_ready()
        self.assertEqual(self.create_token().returncode, 0)
        filler = f"/proc/{plane.process.pid}/root{self.disk}/filler"
        with open(filler, "wb", buffering=0) as out, self.assertRaises(OSError):
            for _ in range(2048):
                out.write(bytes(1024))
        # What the engine holds already may take a token or two more.
        failed = wait_until(lambda: next((done for done in [self.create_token()] if done.returncode), None), 10, "a failure")
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, r"\Abyrniectl: error: [^\n]+\n\Z")
        for words in (plane.store, "disk is full", "make room"):
            self.assertIn(words, failed.stderr)
        self.assertNotIn("reachable", failed.stderr)
        for _ in range(4):
            self.assertEqual(self.create_token().returncode, 1)
        said = [record for record in plane.process.log_records() if record["message"] == "store failed"]
        self.assertEqual(len(said), 1, said)
        self.assertIn("disk is full", said[0]["reason"])
        self.assertEqual(said[0]["level"], "error")
        metrics = parse_metrics(plane.admin("/metrics")[1])
        self.assertEqual(metrics["byrnie_controlplane_store_failures_total"], 5)
        self.assertEqual(plane.ctl("status").returncode, 0)
        os.unlink(filler)
        self.assertEqual(self.create_token().returncode, 0)
        self.assertEqual(plane.process.terminate(), 0)

    def test_a_first_start_on_a_full_disk_leaves_nothing(self):
        plane = self.control_plane
        for kib in SIZES:
            # What it leaves is listed by the shell that saw it end; one that serves is told to end.
            command = self.on_disk(kib, then=f'timeout --signal=TERM 2 "$@"; code=$?; ls -A {self.disk}; exit $code')
            done = subprocess.run(plane.host.command(command), capture_output=True, text=True, timeout=30)
            if "control plane ready" in done.stderr:
                break
            with self.subTest(kib=kib):
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(done.stderr, r"\Abyrnie-controlplane: error: [^\n]+\n\Z")
                self.assertIn(plane.store, done.stderr)
                self.assertIn("make room", done.stderr)
                self.assertEqual(done.stdout, "")
                for path in (plane.bundle, plane.operator_token):
                    self.assertFalse(os.path.exists(path), path)
        self.assertGreater(kib, SIZES[2], "no disk was too small")
        self.assertIn("control plane ready", done.stderr)

    def test_a_file_that_is_moved_away(self):
        plane = self.control_plane
        plane.start()
        os.rename(plane.store, f"{plane.store}.moved")
        failed = self.create_token()
        self.assertEqual(failed.returncode, 1)
        for words in (plane.store, "put it back"):
            self.assertIn(words, failed.stderr)
        condition = lambda: next(line for line in plane.ctl("check", check=False).stdout.splitlines() if line.split()[1] == "store")
        wait_until(lambda: condition().startswith("BAD"), 10, "the condition of the store")
        os.rename(f"{plane.store}.moved", plane.store)
        self.assertEqual(self.create_token().returncode, 0)
        self.assertEqual(plane.process.terminate(), 0)

    def test_two_processes_on_one_file(self):
        plane = self.control_plane
        plane.start()
        # The ports are free where it is.
        done = subprocess.run(plane.host.command(["unshare", "--net", *plane.arguments()]), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"\Abyrnie-controlplane: error: [^\n]+\n\Z")
        for words in (plane.store, "another process", "etcd"):
            self.assertIn(words, done.stderr)
        self.assertEqual(self.create_token().returncode, 0)
        plane.process.kill()
        plane.start()
        self.assertEqual(self.create_token().returncode, 0)

    def test_a_damaged_store(self):
        plane = self.control_plane
        plane.start()
        self.assertEqual(plane.process.terminate(), 0)
        with open(plane.store, "r+b") as store:
            store.seek(4096)
            size = os.path.getsize(plane.store)
            store.write(b"\xff" * (size - 4096))
        with open(plane.store, "rb") as store:
            before = store.read()
        done = subprocess.run(plane.host.command(plane.arguments()), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"\Abyrnie-controlplane: error: [^\n]+\n\Z")
        for words in (plane.store, "damaged", "backup"):
            self.assertIn(words, done.stderr)
        with open(plane.store, "rb") as store:
            self.assertEqual(store.read(), before)

    def root(self):
        return re.search(r"[0-9a-f]{64}", self.control_plane.ctl("trust", "status", "-o", "json").stdout)[0]

    def refused_as_lost(self, *words):
        plane = self.control_plane
        with open(plane.bundle, "rb") as file:
            bundle = file.read()
        done = subprocess.run(plane.host.command(plane.arguments()), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r"\Abyrnie-controlplane: error: --store: [^\n]+\n\Z")
        for word in (*words, "its volume is mounted", "last backup", "--new_mesh"):
            self.assertIn(word, done.stderr)
        with open(plane.bundle, "rb") as file:
            self.assertEqual(file.read(), bundle)

    def remove_store(self, suffixes=("", "-wal", "-shm", ".lock")):
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.control_plane.store + suffix)

    def test_a_store_that_is_lost(self):
        plane = self.control_plane
        plane.start()
        root = self.root()
        self.assertEqual(self.create_token().returncode, 0)
        backup, copy = os.path.join(self.disk, "backup.db"), os.path.join(self.disk, "copy.db")
        # As the docs have it; and what is no backup.
        with contextlib.closing(sqlite3.connect(plane.store)) as source, contextlib.closing(sqlite3.connect(backup)) as target:
            source.backup(target)
        shutil.copy(plane.store, copy)
        os.chmod(backup, 0o600)
        for file, tokens in ((backup, 1), (copy, 0)):
            with contextlib.closing(sqlite3.connect(file)) as opened:
                found = opened.execute("select count(*) from entries where cast(key as text) like 'join_tokens/%'").fetchone()
            self.assertEqual(found, (tokens,), file)
        plane.process.kill()
        with self.subTest("the file is gone, its log is not"):
            os.rename(plane.store, f"{plane.store}.moved")
            self.refused_as_lost("store.db-wal, is there", "store.db.lock, is there")
            os.rename(f"{plane.store}.moved", plane.store)
        plane.start()
        self.assertEqual(self.root(), root)
        self.assertEqual(plane.process.terminate(), 0)
        with self.subTest("all of it is gone"):
            self.remove_store()
            self.refused_as_lost(f"the file of --trust_bundle_out, {plane.bundle}, is there")
            self.assertFalse(os.path.exists(plane.store))
        with self.subTest("the file is empty"):
            os.close(os.open(plane.store, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.refused_as_lost("--trust_bundle_out")
        with self.subTest("a copy without the log is an older state"):
            self.remove_store()
            shutil.copy(copy, plane.store)
            plane.start()
            self.assertEqual(self.root(), root)
            self.assertEqual(plane.process.terminate(), 0)
        with self.subTest("the backup"):
            self.remove_store()
            shutil.copy(backup, plane.store)
            plane.start()
            self.assertEqual(self.root(), root)
            self.assertEqual(self.create_token().returncode, 0)
            self.assertEqual(plane.process.terminate(), 0)
        with self.subTest("the copy of one that has ended by itself"):
            self.assertFalse(os.path.exists(f"{plane.store}-wal"))
            shutil.copy(plane.store, copy)
            self.remove_store()
            shutil.copy(copy, plane.store)
            plane.start()
            self.assertEqual(self.root(), root)
            self.assertEqual(plane.process.terminate(), 0)
        with self.subTest("an operator's word"):
            self.remove_store(("",))
            plane.extra_flags = ["--new_mesh"]
            plane.start()
            self.assertNotEqual(self.root(), root)
            self.assertEqual(plane.process.terminate(), 0)
            plane.extra_flags = []
            plane.start()
            self.assertNotEqual(self.root(), root)


if __name__ == "__main__":
    sys.exit(main())
