#!/usr/bin/python3
"""A record of the store that cannot be read keeps no other one back, is named, and is mended by an operator.

Proved, on two control planes over one etcd, into which garbage is written by hand: policies that are applied later are in force
at both; of a policy that was known nothing changes; a control plane that starts does so, and denies what the policy of which it
knows nothing may deny; both say in `byrniectl check`, the log and the metrics which record it is, what holds meanwhile and what
to do, and that goes when the policy is applied again; nobody overwrites the record before. The same with a workload's record, a
key of JWT-SVIDs, a revocation, an entry of the log of issuances (where one may be of what was renewed from a certificate that is revoked,
the command says so), and what a control plane has reported of its agents; and with all of them at once both start.
With the trust record nobody begins another root: who runs goes on, who starts ends with the reason. With the record that says which
mesh the store is of, who runs takes nothing from the store and writes nothing into it until it can be read, and who starts ends.
"""

import base64
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane, parse_metrics
from testing.messages import Messages
from testing.process import wait_until

PREFIX = "test/mesh"
GARBAGE = b"\xff garbage"
messages = Messages("byrnie/store/v1/issuance.proto")
SERIAL = "0a0b0c0d0e0f101112131415161718"


def policy(name, port=81):
    return json.dumps({"name": name, "namespace": "demo", "scope": "NAMESPACE", "action": "DENY",
                       "rules": [{"clauses": [{"matches": [{"destination_ports": [port]}]}]}]})


class UnreadableRecordsTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.planes = [mesh.control_plane, ControlPlane(mesh, "control3", 3)]
        mesh.registry.write()
        for number, plane in enumerate(cls.planes):
            plane.store_flags = cls.etcd.store_flags(PREFIX)
            plane.extra_flags = [f"--name=plane-{number}"]
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
            plane.start()

    @staticmethod
    def key(record):
        return f"{PREFIX}/entries/{record}".encode()

    def put(self, record, value=GARBAGE):
        self.etcd.call("put", key=self.key(record), value=value)

    def get(self, record):
        found = self.etcd.call("range", key=self.key(record)).get("kvs")
        return base64.b64decode(found[0]["value"]) if found else None

    def delete(self, record):
        self.etcd.call("deleterange", key=self.key(record))

    def file(self, text):
        path = os.path.join(self.mesh.directory, "document.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def apply(self, plane, document):
        plane.ctl("policy", "apply", "-f", self.file(document), "--accept")

    @staticmethod
    def document(plane, name):
        done = plane.ctl("policy", "get", name, check=False)
        return done.stdout if done.returncode == 0 else None

    @staticmethod
    def condition(plane):
        status = json.loads(plane.ctl("status", "-o", "json").stdout)
        return next(entry for entry in status["conditions"] if entry["name"] == "stored-records")

    def wait_named(self, plane, *words):
        """The condition, once it has all the words."""
        return wait_until(lambda: (found := json.dumps(self.condition(plane))) and all(word in found for word in words) and found,
                          10, f"a word about {words}")

    def wait_mended(self):
        for plane in self.planes:
            wait_until(lambda plane=plane: "every record" in json.dumps(self.condition(plane)), 10, "that all can be read")

    def unreadable(self, plane, kind):
        metrics = parse_metrics(plane.admin("/metrics")[1])
        return metrics[f'byrnie_controlplane_unreadable_records{{kind="{kind}"}}']

    def restart(self, plane):
        self.assertEqual(plane.process.terminate(), 0)
        plane.start()

    def test_a_policy(self):
        one, two = self.planes
        self.apply(one, policy("known"))
        wait_until(lambda: self.document(two, "demo/known"), 5, "the policy at the other one")
        before = self.document(two, "demo/known")
        self.put("policies/demo/known")
        for number, plane in enumerate(self.planes):
            self.wait_named(plane, "policies/demo/known", "damaged", "stays in force as it was", "policy delete demo/known")
            self.assertEqual(self.document(plane, "demo/known"), before)
            self.assertEqual(self.unreadable(plane, "policy"), 1)
            self.assertRegex(plane.process.log_text(), r"a record of the store cannot be read[^\n]*policies/demo/known")
            self.assertRegex(plane.ctl("check", check=False).stdout, r"BAD +stored-records[^\n]+policies/demo/known")
            # What comes later is in force everywhere.
            self.apply(plane, policy(f"later{number}"))
            for other in self.planes:
                wait_until(lambda other=other, number=number: self.document(other, f"demo/later{number}"), 5, "a later policy")
        # One that starts knows nothing of it.
        self.restart(two)
        self.wait_named(two, "policies/demo/known", "denies every connection to the pods of the whole mesh")
        self.assertIn("GLOBAL", self.document(two, "demo/known"))
        self.assertTrue(self.document(two, "demo/later0"))
        self.assertEqual(self.get("policies/demo/known"), GARBAGE)
        self.apply(two, policy("known"))
        self.wait_mended()
        for plane in self.planes:
            self.assertEqual(self.document(plane, "demo/known"), before)
        self.assertEqual(self.unreadable(one, "policy"), 0)

    def test_an_issuance(self):
        serial = SERIAL[:-2] + "aa"
        key = f"issuances/{int(time.time() * 1e6):020d}/{serial}"
        self.put(key)
        for plane in self.planes:
            listed = next(line for line in plane.ctl("issuances").stdout.splitlines() if serial in line)
            self.assertRegex(listed, r"unreadable +.*unknown")
            self.wait_named(plane, key, "nobody knows to whom that was issued", "in the store")
            self.assertEqual(self.unreadable(plane, "issuance"), 1)
        self.delete(key)
        for plane in self.planes:
            plane.ctl("issuances")
        self.wait_mended()

    def test_an_issuance_between_a_certificate_and_what_was_renewed_from_it(self):
        now = int(time.time())
        issue = messages["byrnie.store.v1.Issuance"]

        def put(number, replaces="", damage=b""):
            serial = SERIAL[:-4] + f"cc{number:02x}"
            entry = issue(serial=serial, identity="spiffe://cluster.local/ns/demo/sa/thief", proof="svid", replaces=replaces)
            entry.issued_at.seconds, entry.not_after.seconds = now + number, now + 1800
            key = f"issuances/{(now + number) * 1000000:020d}/{serial}"
            self.put(key, entry.SerializeToString() + damage if damage != GARBAGE else GARBAGE)
            keys.append(key)
            return serial

        keys = []
        first = put(0)
        told = put(1, first, damage=b"\xff")
        gone = put(2, told, damage=GARBAGE)
        last = put(3, gone)
        done = self.planes[0].ctl("revoke", first, check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        answer = done.stdout
        self.assertRegex(answer, "renewed from it: 1 certificate")
        self.assertRegex(answer, f"WARNING: 1 entry of the log of issuances cannot be read .* renewed from {first}.*byrniectl revoke")
        self.assertRegex(answer, f"(?m)^{gone} ")
        self.assertIn(gone, self.planes[0].ctl("events", "--kinds=trust_changed").stdout)
        answer = json.loads(self.planes[0].ctl("revoke", gone, "-o", "json").stdout)
        self.assertEqual(answer.get("warning", ""), "")
        self.assertEqual(answer["renewed"], 1)
        revoked = self.etcd.call("range", key=self.key("revoked/"), range_end=self.key("revoked0"))["kvs"]
        self.assertEqual({self.key(f"revoked/{serial}") for serial in (first, told, gone, last)},
                         {base64.b64decode(entry["key"]) for entry in revoked})
        for key in keys:
            self.delete(key)
            self.delete(f"revoked/{key.rpartition('/')[2]}")
        for plane in self.planes:
            plane.ctl("issuances")
            wait_until(lambda plane=plane: parse_metrics(plane.admin("/metrics")[1])["byrnie_controlplane_revoked_certificates"] == 0, 5,
                       "that nothing is revoked")
        self.wait_mended()

    def test_every_other_kind_at_once(self):
        workload = {"workloads": [{"name": "vm", "namespace": "demo", "service_account": "vm", "addresses": ["10.88.3.1"]}]}
        self.planes[0].ctl("workloads", "apply", "-f", self.file(json.dumps(workload)))
        first_key = "jwt_keys/0000000001"
        self.assertIsNotNone(self.get(first_key))
        records = {"registry/workloads/static//pod/demo/vm": "registry", first_key: "jwt_key", f"revoked/{SERIAL}": "revocation",
                   "controlplanes/gone/1": "control_plane"}
        good = {record: self.get(record) for record in records}
        for record in records:
            self.put(record)
        for restarted in (False, True):
            if restarted:
                for plane in self.planes:
                    self.restart(plane)
            for plane in self.planes:
                self.wait_named(plane, *records)
                for record, kind in records.items():
                    self.assertEqual(self.unreadable(plane, kind), 1, record)
            workloads = self.planes[0].ctl("workloads", "list").stdout
            self.assertIn("10.88.3.1", workloads)
            # In its place.
            self.assertEqual("unreadable-record" in workloads, restarted, workloads)
            # What is revoked stays so.
            self.assertEqual(parse_metrics(self.planes[1].admin("/metrics")[1])["byrnie_controlplane_revoked_certificates"], 1)
        for record in records:
            self.assertEqual(self.get(record), GARBAGE)
            if good[record] is None:
                self.delete(record)
            else:
                self.put(record, good[record])
        self.wait_mended()
        wait_until(lambda: "10.88.3.1" in self.planes[1].ctl("workloads", "list").stdout, 5, "the workload")

    def test_the_trust_record(self):
        one, two = self.planes
        good = self.get("trust")
        root = re.search(r"[0-9a-f]{64}", one.ctl("trust", "status", "-o", "json").stdout)[0]
        self.put("trust")
        try:
            for plane in self.planes:
                self.wait_named(plane, "trust record", "stay what they were", "never delete it")
            self.assertNotEqual(one.ctl("trust", "rotate", "--step=prepare", check=False).returncode, 0)
            self.assertEqual(two.process.terminate(), 0)
            done = two.host.run(*two.arguments(), check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("the trust record in the store cannot be read", done.stderr)
            self.assertEqual(self.get("trust"), GARBAGE)
            self.assertIn(root, one.ctl("trust", "status", "-o", "json").stdout)
        finally:
            self.put("trust", good)
            if not two.process.running():
                two.start()
        self.wait_mended()
        self.assertIn(root, two.ctl("trust", "status", "-o", "json").stdout)

    def test_the_mesh_record(self):
        one, two = self.planes
        self.apply(one, policy("before"))
        good = self.get("mesh")
        file = self.file(policy("meanwhile"))
        self.put("mesh")
        try:
            for plane in self.planes:
                wait_until(lambda plane=plane: re.search(r'BAD +store +[^\n]*"mesh" is damaged[^\n]*nothing is taken from the store',
                                                         plane.ctl("check", check=False).stdout), 10, "a word about it")
                self.assertNotEqual(plane.ctl("policy", "apply", "-f", file, "--accept", check=False).returncode, 0)
                self.assertTrue(self.document(plane, "demo/before"))
            self.assertEqual(two.process.terminate(), 0)
            for flags in ([], ["--new_mesh"]):
                done = two.host.run(*two.arguments(), *flags, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, r'"mesh" is damaged[^\n]*restore the store[^\n]*delete that record')
            self.assertEqual(self.get("mesh"), GARBAGE)
            self.assertIsNone(self.get("policies/demo/meanwhile"))
        finally:
            self.put("mesh", good)
            if not two.process.running():
                two.start()
        for plane in self.planes:
            wait_until(lambda plane=plane: plane.ctl("policy", "apply", "-f", file, "--accept", check=False).returncode == 0, 10,
                       "a store that is believed again")
            wait_until(lambda plane=plane: self.document(plane, "demo/meanwhile"), 5, "the policy at both")


if __name__ == "__main__":
    main()
