#!/usr/bin/python3
"""An etcd that has lost what it held is not followed, and no control plane takes it for a new mesh.

Proved, on two control planes over one etcd: with every key deleted, and with the member's data directory wiped under them, both keep
policies, workloads and the root they had, say so in `byrniectl check`, the log and the metrics with the remedy, and refuse changes;
a control plane that starts meanwhile does not, on a new machine either, because those that run have left word; over an empty etcd that nobody has
left word in, one does not that has a file of the mesh that was, until an operator says --new_mesh; after the backup is restored
both start and are what they were. A policy that is deleted through the API is deleted all the while.
"""

import base64
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane, parse_metrics
from testing.process import wait_until

PREFIX = "test/mesh"


def policy(name):
    return json.dumps({"name": name, "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                       "rules": [{"clauses": [{"matches": [{"destination_ports": [81]}]}]}]})


class LostStoreTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.planes = [mesh.control_plane, ControlPlane(mesh, "control3", 3)]
        # A machine that no control plane was on before.
        cls.newcomer = ControlPlane(mesh, "control4", 4)
        mesh.registry.write()
        for number, plane in enumerate(cls.planes + [cls.newcomer]):
            plane.store_flags = cls.etcd.store_flags(PREFIX)
            plane.extra_flags = [f"--name=plane-{number}"]
            plane.registry_path = mesh.control_plane.registry_path
            if plane is not cls.newcomer:
                plane.operator_token = mesh.control_plane.operator_token
                plane.start()

    def all_of_it(self):
        return {"key": f"{PREFIX}/".encode(), "range_end": f"{PREFIX}0".encode()}

    def backup(self):
        """All records: elections have no value, and go with their leases."""
        pairs = [(base64.b64decode(entry["key"]), base64.b64decode(entry.get("value", "")))
                 for entry in self.etcd.call("range", **self.all_of_it())["kvs"]]
        return [(key, value) for key, value in pairs if b"/entries/" in key and b"/elections/" not in key]

    def lose_keys(self):
        self.etcd.call("deleterange", **self.all_of_it())

    def lose_data(self):
        member = self.etcd.members[0]
        member.kill()
        shutil.rmtree(member.data)
        self.etcd.start()

    def restore(self, backup):
        for plane in self.planes:
            if plane.process.running():
                self.assertEqual(plane.process.terminate(), 0)
        self.lose_keys()
        for key, value in backup:
            self.etcd.call("put", key=key, value=value)
        for plane in self.planes:
            plane.start()

    def apply(self, plane, name):
        path = os.path.join(self.mesh.directory, "document.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(policy(name))
        return plane.ctl("policy", "apply", "-f", path, "--accept", check=False)

    @staticmethod
    def policies(plane):
        return set(re.findall(r"demo/[a-z0-9]+", plane.ctl("policy", "list").stdout))

    @staticmethod
    def root(plane):
        return re.search(r"[0-9a-f]{64}", plane.ctl("trust", "status", "-o", "json").stdout)[0]

    def refused(self, plane, *flags):
        """What a control plane says that does not start."""
        plane.extra_flags += flags
        done = plane.host.run(*plane.arguments(), check=False)
        del plane.extra_flags[len(plane.extra_flags) - len(flags):]
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def check_lost(self, before, root):
        for plane in self.planes:
            found = wait_until(lambda plane=plane: re.search(
                r"BAD +store +[^\n]*has lost what it held[^\n]*", plane.ctl("check", check=False).stdout), 20, "a word about it")
            self.assertIn("restore the store from its last backup", found[0])
            self.assertEqual(parse_metrics(plane.admin("/metrics")[1])["byrnie_controlplane_store_lost"], 1)
            self.assertIn("the store has lost what it held, what was in force stays", plane.process.log_text())
            self.assertEqual(self.policies(plane), before)
            self.assertEqual(self.root(plane), root)
            done = self.apply(plane, "late")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("has lost what it held", done.stderr)
        wait_until(lambda: self.etcd.call("range", key=f"{PREFIX}/entries/mesh".encode()).get("kvs"), 10, "a word in the store")
        # Who starts does not begin anew, whether anything was there before or not.
        for plane in (self.planes[1], self.newcomer):
            if plane.process is not None and plane.process.running():
                self.assertEqual(plane.process.terminate(), 0)
            for flags in ((), ("--new_mesh",)):
                self.assertRegex(self.refused(plane, *flags), r"control plane plane-\d has seen at [^\n]*restore the store")
        self.assertEqual(self.policies(self.planes[0]), before)

    def lose_and_restore(self, lose):
        one, two = self.planes
        for name in ("kept", "gone"):
            self.assertEqual(self.apply(one, name).returncode, 0)
        one.ctl("policy", "delete", "demo/gone")
        before = {"demo/kept"}
        for plane in self.planes:
            wait_until(lambda plane=plane: self.policies(plane) == before, 5, "the policies at both")
        root = self.root(one)
        backup = self.backup()
        lose()
        self.check_lost(before, root)
        self.restore(backup)
        for plane in self.planes:
            self.assertEqual(self.policies(plane), before)
            self.assertEqual(self.root(plane), root)
            self.assertEqual(parse_metrics(plane.admin("/metrics")[1])["byrnie_controlplane_store_lost"], 0)
        self.assertEqual(self.apply(two, "kept").returncode, 0)

    def test_every_key_is_deleted(self):
        self.lose_and_restore(self.lose_keys)

    def test_the_data_directory_is_wiped(self):
        self.lose_and_restore(self.lose_data)

    def test_where_nobody_has_left_word(self):
        backup, root = self.backup(), self.root(self.planes[0])
        for plane in self.planes:
            self.assertEqual(plane.process.terminate(), 0)
        self.lose_keys()
        words = self.refused(self.planes[0])
        self.assertRegex(words, r"the store is empty, and there was a mesh: [^\n]*--trust_bundle_out[^\n]*--new_mesh")
        # A part of it.
        for key, value in backup:
            if b"/policies/" in key or key.endswith(b"/entries/mesh"):
                self.etcd.call("put", key=key, value=value)
        self.etcd.call("put", key=f"{PREFIX}/entries/policies/demo/x".encode(), value=b"?")
        self.assertRegex(self.refused(self.newcomer), r"no trust record[^\n]*no other root is made")
        self.lose_keys()
        # With the word of an operator.
        self.planes[0].extra_flags.append("--new_mesh")
        self.planes[0].start()
        self.planes[0].extra_flags.pop()
        self.assertNotEqual(self.root(self.planes[0]), root)
        self.restore(backup)
        self.assertEqual(self.root(self.planes[1]), root)


if __name__ == "__main__":
    main()
