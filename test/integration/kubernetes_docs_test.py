#!/usr/bin/python3
"""Every command of docs/kubernetes.md, as it is written there, against a real API server with a real kubectl: see testing/docs_case.py. Other ways than the first are in kubernetes_docs_ways_test, what brings a running application into the mesh in kubernetes_docs_moves_test.

Proved: each line of its `sh` blocks does what the page says, in order, from the state that its section begins with: nothing of Byrnie there, or Byrnie and the sample; it ends with 0, or with what a comment says ("# ends with 5"); and the page's promises of what is there
afterwards: everything installed and ready, all gone after uninstall.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.cluster_case import SYSTEM
from testing.docs_case import ELSEWHERE, FRESH, INSTALLED, OTHER_MESH, PAGE, SAMPLE, DocsTestCase, sections


class KubernetesDocsTest(DocsTestCase):

    def test_every_section_is_run(self):
        self.assertEqual({heading for heading, _ in sections()}, FRESH | INSTALLED | OTHER_MESH | ELSEWHERE)

    def test_install_in_five_minutes(self):
        said = self.run_section("Install in five minutes")
        self.assertRegex(said, r"web-\S+ +3/3 +Running")
        self.assertIn("created    StatefulSet byrnie-system/byrnie-controlplane", said)
        self.assertIn("control plane", said)
        with open(self.file("work/store.key"), encoding="ascii") as key:
            self.assertEqual(len(key.read()), 44)
        with open(self.file("work/alice.token"), encoding="ascii") as token:
            self.assertGreater(len(token.read()), 30)
        for secret in ("store.key", "alice.token"):
            self.assertEqual(os.stat(self.file(f"work/{secret}")).st_mode & 0o777, 0o600, secret)

    def test_upgrade(self):
        self.install()
        # As native sidecars are, in a namespace whose pods nobody is asked about.
        self.admin.create("/api/v1/namespaces/default/pods", {
            "metadata": {"name": "native", "labels": {"byrnie.io/rev": "default"}},
            "spec": {"automountServiceAccountToken": False, "initContainers": [{"name": "byrnie-proxy", "image": "registry.example/byrnie:0.1.0", "command": ["p"]}],
                     "containers": [{"name": "app", "image": "app:1", "command": ["app"]}]}})
        self.addCleanup(self.admin.delete, "/api/v1/namespaces/default/pods/native")
        said = self.run_section("Upgrade")
        self.assertIn("would be changed  StatefulSet", said)
        table = said[said.index("NAMESPACE"):]
        self.assertRegex(table, r"default +native +default +registry.example/byrnie:0.1.0 +<none>\n")
        rows = [line.split() for line in table.splitlines() if line.startswith(SAMPLE)]
        # Those that are going may be there, too.
        self.assertTrue([row for row in rows if row[2:] == ["default", "<none>", "registry.example/byrnie:0.2.0"]], table)
        config = self.admin.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/byrnie-injector")["data"]["injector.json"]
        self.assertIn('"revision":"0-2"', config)

    def test_uninstall(self):
        said = self.run_section("Uninstall")
        self.assertIn("kept       Secret byrnie-system/byrnie-store-key", said)
        self.assertIn("deleted    Namespace byrnie-system", said)
        self.assertEqual(self.ours(), [])
        for pod in self.pods(SAMPLE):
            self.assertEqual(len(pod["spec"]["containers"]), 1)

    def test_policies(self):
        with open(PAGE, encoding="utf-8") as text:
            self.write("work/cart-clients.yaml", re.search(r"```yaml\n(apiVersion: byrnie.io/v1\n.*?)```", text.read(), re.S)[1])
        self.install()
        self.sh("kubectl create namespace shop")
        said = self.run_section("Policies in the cluster")
        self.assertIn("condition met", said)
        self.assertRegex(said, r"cart-clients +ALLOW +WORKLOAD_SELECTOR +true +True +Accepted")
        self.assertIn("selector", said[said.index("KIND:"):])
        self.sh("kubectl delete namespace shop")
        self.wait_gone("/api/v1/namespaces/shop")

    def test_offline(self):
        self.sh("kubectl delete namespace shop --ignore-not-found")
        self.ctl("install", "--image=registry.example/byrnie:0.3.0", "--wait", "--timeout=60s")
        self.addCleanup(self.ctl, "install", "--image=byrnie:0.1.0")
        said = self.run_section("Offline")
        self.assertIn("deployment.apps/web created", said)
        self.assertIn("byrnie-trust-bundle", said)
        self.assertIn("successfully rolled out", said)
        spec = self.admin.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["template"]["spec"]
        self.assertEqual([each["name"] for each in spec["containers"]], ["web"])
        with open(self.file("work/meshed.yaml"), encoding="utf-8") as text:
            self.assertIn("image: registry.example/byrnie:0.1.0", text.read())
        # The cluster's own configuration says that sidecars are classic; without one they are native, as the page has it.
        kinds = [[each["name"] for each in item["spec"]["template"]["spec"].get("initContainers", []) if each.get("restartPolicy") == "Always"]
                 for item in self.written]
        self.assertEqual(sorted(kinds), [[], ["byrnie-agent", "byrnie-proxy"]])
        # What was applied first had what the webhook would have given, so that this had nothing to do.
        sets = self.admin.get("/apis/apps/v1/namespaces/shop/replicasets")["items"]
        first = min(sets, key=lambda each: int(each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
        template = first["spec"]["template"]
        self.assertEqual({each["image"] for each in template["spec"]["containers"] if each["name"].startswith("byrnie-")}, {"registry.example/byrnie:0.3.0"})
        self.assertIn("byrnie.io/status", template["metadata"]["annotations"])
        self.sh("kubectl delete namespace shop")
        self.wait_gone("/api/v1/namespaces/shop")

    def test_when_something_is_wrong(self):
        said = self.run_section("When something is wrong")
        self.assertIn("byrnie-injector", said)
        self.assertRegex(said, rf"{SAMPLE} +Active .*true")


if __name__ == "__main__":
    sys.exit(main())
