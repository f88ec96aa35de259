#!/usr/bin/python3
"""What an operator was told is done is still done after the control plane was killed.

Proved: policies, workloads and operators' tokens that were acknowledged are there after kill -9 and a new start, what was deleted and
revoked is gone; a policy that is in the registry file as well keeps the control plane from starting, and one put into the
file later is rejected there, both naming it; a registry file that has lost all its entries is no good for a start;
a reader of events that comes back after a restart is told that it missed some.
"""

import json
import os
import sys
import unittest

import grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.loopback_control_plane import LoopbackControlPlane, policy
from testing.process import wait_until


# What ends a start.
EMPTIED = r'error: registry file "[^"]*registry.json": it has no entries, and there were some before: .*\{"empty": true\}'


class OperatorStateTest(unittest.TestCase):

    def setUp(self):
        self.plane = LoopbackControlPlane()
        self.addCleanup(self.plane.__exit__)
        self.plane.registry.workload("w", "demo", "w", ["10.0.0.1"])
        self.plane.registry.write()
        self.plane.start()

    def kill(self):
        self.plane.process.kill()
        self.plane.process.wait()
        self.plane.stop()

    def policies(self):
        return {entry.name: entry for entry in self.plane.call("ListPolicies").policies}

    def test_what_was_acknowledged_survives_a_kill(self):
        kept, gone = (self.plane.call("CreateOperatorToken", name=name, role="ROLE_VIEWER").token for name in ("kept", "gone"))
        for number in range(5):
            self.plane.call("ApplyPolicy", token=self.plane.admin_token, document=policy(f"p{number}"))
        before = self.policies()
        self.plane.call("DeletePolicy", name="demo/p4")
        self.plane.call("RevokeOperatorToken", name="gone")
        self.kill()
        self.plane.start()
        after = self.policies()
        self.assertEqual(sorted(after), [f"demo/p{number}" for number in range(4)])
        for name, entry in after.items():
            self.assertEqual((entry.version, entry.document, entry.applied_by), (before[name].version, before[name].document,
                                                                                before[name].applied_by))
        self.assertEqual(self.plane.call("GetStatus", token=kept).caller, "kept")
        with self.assertRaises(grpc.RpcError) as caught:
            self.plane.call("GetStatus", token=gone)
        self.assertEqual(caught.exception.code().name, "UNAUTHENTICATED")
        # The optimistic lock holds over the restart, too.
        self.plane.call("ApplyPolicy", document=policy("p0", port=81), expected_version=before["demo/p0"].version)

    def test_workloads_that_were_acknowledged_survive_a_kill(self):
        def document(number, address=None):
            return json.dumps({"workloads": [{"name": f"a{number}", "namespace": "demo", "service_account": "a",
                                              "addresses": [address or f"10.1.0.{number + 1}"]}]})
        for number in range(5):
            self.plane.call("ApplyRegistry", document=document(number))
        self.plane.call("DeleteWorkload", name="demo/a4")
        before = {entry.uid: entry for entry in self.plane.call("ListWorkloads").workloads}
        self.kill()
        self.plane.start()
        after = {entry.uid: entry for entry in self.plane.call("ListWorkloads").workloads}
        self.assertEqual(sorted(after), [f"static//pod/demo/a{number}" for number in range(4)] + ["static//pod/demo/w"])
        self.assertEqual(after, before)
        # The optimistic lock holds over the restart, too.
        self.plane.call("ApplyRegistry", document=document(0, "10.1.1.1"), expected_version=before["static//pod/demo/a0"].version)
        # What is also the file's keeps it from starting, and is named.
        self.plane.stop()
        self.plane.registry.workload("thief", "demo", "w", ["10.1.1.1"])
        self.plane.registry.write()
        with self.assertRaisesRegex(AssertionError, "10.1.1.1 belongs to"):
            self.plane.start()

    def test_one_policy_is_of_one_source(self):
        self.plane.call("ApplyPolicy", document=policy("both"))
        self.plane.registry.policy("both", "DENY", destination_ports=[9])
        self.plane.registry.policy("other", "DENY", destination_ports=[9])
        self.plane.registry.write()
        wait_until(lambda: "registry file rejected" in self.plane.log_text(), 5, "a word about the file")
        self.assertIn('policy \\"demo/both\\" is in the registry file and was applied through the API',
                      self.plane.log_text())
        self.assertEqual(list(self.policies()), ["demo/both"])
        self.plane.stop()
        with self.assertRaisesRegex(AssertionError, "demo/both"):
            self.plane.start()
        self.plane.registry.policies = []
        self.plane.registry.write()
        self.plane.start()
        self.assertEqual(list(self.policies()), ["demo/both"])

    def test_a_file_that_was_emptied_is_no_good_for_a_start_either(self):
        self.plane.registry.write_raw("{}")
        wait_until(lambda: "registry file rejected" in self.plane.log_text(), 5, "a word about the file")
        self.kill()
        for nothing in ("{}", '{"policies": []}'):
            self.plane.registry.write_raw(nothing)
            with self.assertRaisesRegex(AssertionError, EMPTIED):
                self.plane.start()
        self.plane.registry.write_raw('{"empty": true}')
        self.plane.start()
        self.assertEqual(self.workloads(), [])
        self.plane.stop()
        self.plane.registry.write()
        self.plane.start()
        self.assertEqual(self.workloads(), ["static//pod/demo/w"])

    def test_one_without_entries_is_good_until_there_are_some(self):
        plane = LoopbackControlPlane()
        self.addCleanup(plane.__exit__)
        plane.registry.write_raw("{}")
        plane.start()
        plane.stop()
        plane.start()
        plane.registry.workload("w", "demo", "w", ["10.0.0.1"])
        plane.registry.write()
        wait_until(lambda: plane.call("ListWorkloads").workloads, 5, "the workload")
        plane.stop()
        plane.registry.write_raw("{}")
        with self.assertRaisesRegex(AssertionError, EMPTIED):
            plane.start()

    def test_a_start_without_the_file_does_not_do_without_its_policies(self):
        plane = LoopbackControlPlane()
        self.addCleanup(plane.__exit__)
        plane.registry.workload("w", "demo", "w", ["10.0.0.1"])
        plane.registry.write()
        plane.start()
        wait_until(lambda: b"had entries" in plane.read("store.db") + plane.read("store.db-wal"), 5, "what the store remembers")
        plane.stop()
        file, plane.registry_flag = plane.registry_flag, ""
        with self.assertRaisesRegex(AssertionError, r'error: --registry: no file is given, and .*\{"empty": true\}'):
            plane.start()
        plane.registry.write_raw('{"empty": true}')
        plane.registry_flag = file
        plane.start()
        plane.stop()
        # It was meant, and that holds without the file, too.
        plane.registry_flag = ""
        plane.start()

    def workloads(self):
        return [entry.uid for entry in self.plane.call("ListWorkloads").workloads]

    def test_a_reader_of_events_is_told_of_a_restart(self):
        self.plane.call("ApplyPolicy", document=policy("p"))
        cursor = [entry.event.cursor for entry in self.plane.watch()][-1]
        self.kill()
        self.plane.start()
        self.plane.call("DeletePolicy", name="demo/p")
        first, *rest = self.plane.watch(cursor=cursor)
        self.assertEqual((first.WhichOneof("what"), first.missed.count), ("missed", 0))
        self.assertEqual(rest[-1].event.message, "deleted")


if __name__ == "__main__":
    sys.exit(main())
