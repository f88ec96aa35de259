#!/usr/bin/python3
"""A store with a key gives no private key away, and one whose key is missing or wrong is not opened.

Proved: a store that was not sealed is sealed at the first start with --store_key, and holds no private key in any record afterwards; the
authority stays the same, also over a change of keys, and issues; without the key, or with another one, the control plane ends with one line
that says what to give; a key that others may read, or that is none, is refused, and so is an etcd without a key.
"""

import base64
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import Authority

IDENTITY = "spiffe://cluster.local/ns/demo/sa/client"


class StoreKeyTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.plane = cls.mesh.control_plane
        cls.mesh.registry.write()
        cls.keys = cls.mesh.make_directory("keys", 0o700)

    def key_file(self, name, contents=None, mode=0o600):
        path = os.path.join(self.keys, name)
        if not os.path.exists(path):
            with open(path, "wb") as out:
                out.write(contents if contents is not None else base64.b64encode(os.urandom(32)) + b"\n")
        os.chmod(path, mode)
        return path

    def holds_key(self):
        with open(self.plane.bundle, encoding="ascii") as bundle:
            try:
                Authority.of_store(self.mesh.directory, self.plane.store, bundle.read())
            except AssertionError:
                return False
        return True

    def bundle(self):
        with open(self.plane.bundle, encoding="ascii") as text:
            return text.read()

    def start(self, *flags):
        self.plane.extra_flags = list(flags)
        self.plane.start()
        self.assertTrue(self.plane.create_token(IDENTITY))

    def stop(self):
        self.assertEqual(self.plane.process.terminate(), 0)

    def assert_refused(self, *flags, words):
        self.plane.extra_flags = list(flags)
        done = subprocess.run(self.plane.host.command(self.plane.arguments()), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2, done.stderr)
        line = done.stderr.strip().splitlines()[-1]
        for word in words:
            self.assertIn(word, line)
        return line

    def test_a_store_is_sealed_and_changes_its_key(self):
        self.start()
        root = self.bundle()
        self.stop()
        self.assertTrue(self.holds_key(), "the test would see no key")
        first, second = self.key_file("first"), self.key_file("second")
        self.start(f"--store_key={first}")
        self.stop()
        self.assertFalse(self.holds_key())
        self.assertEqual(self.bundle(), root)
        self.assert_refused(words=["--store_key"])
        self.assert_refused(f"--store_key={second}", words=["--store_key_previous", "sealed with key"])
        self.start(f"--store_key={second}", f"--store_key_previous={first}")
        self.stop()
        self.start(f"--store_key={second}")
        self.stop()
        self.assert_refused(f"--store_key={first}", words=["sealed with key"])
        self.assertEqual(self.bundle(), root)
        self.assertFalse(self.holds_key())

    def test_an_etcd_without_a_key_is_refused(self):
        self.plane.store_flags = ["--store=etcd:http://127.0.0.1:1"]
        try:
            self.assert_refused(words=["--store_key", "--store=etcd", "openssl rand -base64 32", "every control plane"])
        finally:
            self.plane.store_flags = None

    def test_a_key_that_protects_nothing_is_refused(self):
        self.assert_refused(f"--store_key={self.key_file('loose', mode=0o644)}", words=["--store_key", "0644", "chmod 600"])
        text = self.key_file("text", b"correct horse battery staple 123")
        self.assertNotIn("horse", self.assert_refused(f"--store_key={text}", words=["--store_key", "32 random bytes"]))
        self.assert_refused(f"--store_key={self.keys}/none", words=["--store_key", "none"])
        self.assert_refused("--store_key=env:BYRNIE_NO_SUCH_KEY", words=["BYRNIE_NO_SUCH_KEY"])
        self.assert_refused(f"--store_key_previous={self.key_file('first')}", words=["--store_key_previous", "--store_key"])


if __name__ == "__main__":
    sys.exit(main())
