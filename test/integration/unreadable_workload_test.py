#!/usr/bin/python3
"""Nothing is sent in plaintext to a workload whose record cannot be read.

Proved, with a proxy that passes through what is not in the mesh: after a start of the control plane over a store in which the record
of an applied workload is damaged, a pod that has never asked for its address is refused, and the host sees no connection, while another
host outside the mesh is reached as ever; `explain` and `check` name the record. Where also the record of its addresses is damaged, no
host is said to be outside the mesh to pods that have not asked for it before; once the workload is deleted, it is.
"""

import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.process import wait_until

UID = "static//pod/demo/vm"


class UnreadableWorkloadTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client = cls.mesh.pod("client")
        cls.mesh.start()
        cls.vm, cls.outside, cls.later = (cls.mesh.outsider(name) for name in ("vm", "outside", "later"))
        cls.listeners = {host: host.listen(7000) for host in (cls.vm, cls.outside, cls.later)}
        path = os.path.join(cls.mesh.directory, "vm.json")
        with open(path, "w", encoding="ascii") as out:
            json.dump({"workloads": [{"name": "vm", "namespace": "demo", "service_account": "vm", "addresses": [cls.vm.address]}]}, out)
        cls.mesh.control_plane.ctl("workloads", "apply", "-f", path)

    def damage(self, *keys):
        """Writes garbage into records of the control plane, and starts it again."""
        plane = self.mesh.control_plane
        self.assertEqual(plane.process.terminate(), 0)
        with sqlite3.connect(plane.store) as store:
            for key in keys:
                changed = store.execute("UPDATE entries SET value = x'ff' WHERE key = ?", (key.encode(),)).rowcount
                self.assertEqual(changed, 1, key)
        store.close()
        plane.start()

    def passes(self, host):
        """Whether bytes reach the host as they are."""
        try:
            with self.client.connect(host.address, 7000, timeout=10) as connection:
                connection.sendall(b"plain")
                self.listeners[host].settimeout(5)
                accepted, _ = self.listeners[host].accept()
                with accepted:
                    return accepted.recv(100) == b"plain"
        except OSError:
            return False

    def assert_untouched(self, host):
        self.listeners[host].settimeout(0.2)
        self.assertRaises(TimeoutError, self.listeners[host].accept)

    def test_1_its_address_is_not_outside_the_mesh(self):
        self.damage(f"registry/workloads/{UID}")
        plane = self.mesh.control_plane
        # The agent is told of addresses again.
        wait_until(lambda: self.passes(self.outside), 15, "a host outside the mesh")
        self.assert_fails_fast(self.client, self.vm.address, 7000)
        self.assert_untouched(self.vm)
        done = plane.ctl("explain", self.client.address, f"{self.vm.address}:7000", check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, r"FAILED +destination +[^\n]*whose record in the store cannot be read")
        self.assertRegex(plane.ctl("check", check=False).stdout, rf"BAD +stored-records[^\n]+{self.vm.address}")

    def test_2_where_it_is_may_not_be_known(self):
        self.damage(f"registry_addresses/workloads/{UID}")
        plane = self.mesh.control_plane
        wait_until(lambda: any(agent["connected"] for agent in json.loads(plane.ctl("agents", "-o", "json").stdout)), 15, "the agent")
        self.assert_fails_fast(self.client, self.later.address, 7000)
        self.assert_untouched(self.later)
        # What was asked for before is what it was.
        self.assertTrue(self.passes(self.outside))
        self.assertRegex(plane.ctl("check", check=False).stdout, r"BAD +stored-records[^\n]+not known[^\n]+outside the mesh")
        plane.ctl("workloads", "delete", UID)
        wait_until(lambda: self.passes(self.later), 15, "the host that is outside the mesh after all")


if __name__ == "__main__":
    sys.exit(main())
