#!/usr/bin/python3
"""Workloads and services that an operator applies are there at once, everywhere, and stay.

Proved, with two control planes over one etcd and pods of the mesh: a workload that is applied is reached by a pod within a
second of the acknowledgement, through a service that was applied with it, too; what is applied at one control plane is in force
at the other at once; it survives kill -9 of the control planes; what is deleted cannot be reached any more; what the
registry file has is refused with both sources named, and nothing of the document is done; both control planes being changed at
the same time, nothing acknowledged is lost and nothing is left in the air.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.etcd import EtcdCluster
from testing.mesh import ControlPlane
from testing.process import wait_until

SERVICE = "demo/late.demo.svc.cluster.local"
VIP = "10.96.7.7"


class RegistryApiTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.etcd = EtcdCluster(mesh, size=1)
        cls.etcd.start()
        cls.planes = [mesh.control_plane, ControlPlane(mesh, "control3", 3)]
        for plane in cls.planes:
            plane.store_flags = cls.etcd.store_flags("test/mesh")
            plane.operator_token, plane.registry_path = mesh.control_plane.operator_token, mesh.control_plane.registry_path
            plane.start()
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        # The file knows nothing of the server.
        mesh.registry.workloads = [entry for entry in mesh.registry.workloads if entry["name"] != "server"]
        mesh.registry.write()
        for pod in (cls.client, cls.server):
            pod.control_planes = [f"{plane.host.address}:{ControlPlane.PORT}" for plane in cls.planes]
        mesh.start()
        cls.server.app("greet", 8080, "server")

    def document(self, workloads, services=()):
        path = os.path.join(self.mesh.directory, "document.json")
        with open(path, "w", encoding="ascii") as out:
            json.dump({"workloads": list(workloads), "services": list(services)}, out)
        return path

    def workload(self, **more):
        return {"name": "server", "namespace": "demo", "service_account": "server", "addresses": [self.server.address], **more}

    def service(self):
        return {"name": "late", "namespace": "demo", "hostname": "late.demo.svc.cluster.local", "addresses": [VIP],
                "ports": [{"service_port": 80, "target_port": 8080}]}

    def apply(self, *document, plane=0, check=True):
        return self.planes[plane].ctl("workloads", "apply", "-f", self.document(*document), check=check)

    def delete(self, kind, name, plane=0, check=True):
        return self.planes[plane].ctl(kind, "delete", name, check=check)

    def known(self, plane, kind="workloads"):
        entries = json.loads(self.planes[plane].ctl(kind, "list", "-o", "json").stdout)
        for entry in entries:
            entry.pop("agent_connected", None)  # Each knows of its own agents.
        return {entry.get("uid") or entry["name"]: entry for entry in entries}

    def reached(self, address, port):
        """Polls, as a retrying application would, until the server answers; the seconds it took."""
        begun = time.monotonic()

        def answered():
            return b"hello" in self.ask(self.client, address, port, timeout=2)
        wait_until(answered, 5, f"an answer of {address}:{port}")
        return time.monotonic() - begun

    def test_what_is_applied_is_reached_within_a_second_and_survives(self):
        self.assert_fails_fast(self.client, self.server.address, 8080, within=8)
        done = self.apply([self.workload(services={SERVICE: [{"service_port": 80, "target_port": 8080}]})], [self.service()])
        self.assertIn("workload static//pod/demo/server is in force", done.stdout)
        self.assertLess(self.reached(self.server.address, 8080), 1)
        self.assertLess(self.reached(VIP, 80), 1)
        entry = self.known(0)["static//pod/demo/server"]
        self.assertEqual((entry["origin"], entry["applied_by"]), ("ORIGIN_API", "operator-token-file"))
        wait_until(lambda: self.known(1).get("static//pod/demo/server") == entry, 2, "the workload at the other control plane")
        # As it came.
        document = json.loads(self.planes[1].ctl("workloads", "get", self.server.address).stdout)
        self.assertEqual(document["workloads"][0]["services"], {SERVICE: [{"service_port": 80, "target_port": 8080}]})
        for plane in self.planes:
            plane.process.kill()
        for plane in self.planes:
            plane.start()
        for number in range(2):
            self.assertEqual(self.known(number)["static//pod/demo/server"], entry)
        self.assertLess(self.reached(VIP, 80), 1)
        refused = self.delete("services", SERVICE, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('"static//pod/demo/server" that was applied through the API', refused.stderr)
        self.delete("workloads", "demo/server", plane=1)
        wait_until(lambda: not self.reaches_server(), 5, "that the server is not reached any more")
        wait_until(lambda: "static//pod/demo/server" not in self.known(0), 2, "that it is gone at the other control plane")
        self.delete("services", SERVICE)
        events = self.planes[1].ctl("events", "--kinds=registry_changed").stdout
        self.assertRegex(events, r'workload "static//pod/demo/server"  deleted  by operator-token-file')

    def reaches_server(self):
        try:
            return b"hello" in self.ask(self.client, self.server.address, 8080, timeout=2)
        except OSError:
            return False

    def test_what_the_file_has_is_refused(self):
        other = {"name": "fine", "namespace": "demo", "service_account": "fine", "addresses": ["10.88.0.1"]}
        for taken, words in (({"name": "client"}, ['"static//pod/demo/client" is in the registry file', "through the API, too"]),
                             ({"addresses": [self.client.address]}, [f"address {self.client.address} belongs to workload",
                                                                      "of the registry file", '"static//pod/demo/server" that was'])):
            refused = self.apply([other, self.workload(**taken)], check=False)
            self.assertEqual(refused.returncode, 1)
            for word in words:
                self.assertIn(word, refused.stderr)
        self.assertNotIn("static//pod/demo/fine", self.known(0))
        refused = self.delete("workloads", "demo/client", check=False)
        self.assertIn("is the registry file's", refused.stderr)
        refused = self.apply([self.workload(addresses=["10.0.0.300"])], check=False)
        self.assertIn("document.workloads[0].addresses[0]", refused.stderr)
        # And the other way round: a file that takes what was applied is rejected, and what was in force stays.
        self.apply([other])
        entries = self.mesh.registry.workloads
        self.mesh.registry.workloads = entries + [{**other, "name": "thief"}]
        self.mesh.registry.write()
        wait_until(lambda: "registry file rejected" in self.planes[0].process.log_text(), 5, "a word about the file")
        self.assertIn("10.88.0.1 belongs to", self.planes[0].process.log_text())
        self.assertIn("static//pod/demo/fine", self.known(0))
        self.mesh.registry.workloads = entries
        self.mesh.registry.write()
        self.delete("workloads", "demo/fine")

    def test_both_control_planes_are_changed_at_the_same_time(self):
        failures = []

        def work(plane):
            try:
                for number in range(15):
                    path = os.path.join(self.mesh.directory, f"both-{plane}.json")
                    with open(path, "w", encoding="ascii") as out:
                        json.dump({"workloads": [{"name": f"w{plane}-{number}", "namespace": "both", "service_account": "w",
                                                  "addresses": [f"10.89.{plane}.{number + 1}"]}]}, out)
                    self.planes[plane].ctl("workloads", "apply", "-f", path)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        threads = [threading.Thread(target=work, args=(plane,)) for plane in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        expected = {f"static//pod/both/w{plane}-{number}" for plane in range(2) for number in range(15)}
        for plane in range(2):
            wait_until(lambda: expected <= set(self.known(plane)), 2, "all of them")
        # Of two that want one address at the same time one gets it.
        outcomes = []

        def grab(plane):
            path = os.path.join(self.mesh.directory, f"grab-{plane}.json")
            with open(path, "w", encoding="ascii") as out:
                json.dump({"workloads": [{"name": f"grab{plane}", "namespace": "both", "service_account": "w",
                                          "addresses": ["10.89.9.9"]}]}, out)
            outcomes.append(self.planes[plane].ctl("workloads", "apply", "-f", path, check=False).returncode)
        threads = [threading.Thread(target=grab, args=(plane,)) for plane in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(outcomes), [0, 1])


if __name__ == "__main__":
    main()
