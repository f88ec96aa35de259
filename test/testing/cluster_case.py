"""Tests of Byrnie's installation in a cluster: an API server and a node in a network of their own, with nothing of Byrnie in them."""

import json
import os
import subprocess
import sys
import unittest

from .kubernetes import ApiError, Cluster
from .kubernetes_node import Node, own_network, wait_for
from .mesh import binary_path

SYSTEM = "byrnie-system"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
SET = f"/apis/apps/v1/namespaces/{SYSTEM}/statefulsets/byrnie-controlplane"
KEY = f"/api/v1/namespaces/{SYSTEM}/secrets/byrnie-store-key"
SELECTOR = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dbyrniectl"


class ClusterTestCase(unittest.TestCase):
    """See the module's comment."""

    @classmethod
    def setUpClass(cls):
        own_network()
        cls.cluster = cluster = Cluster()
        cls.addClassCleanup(cluster.close)
        # What depends on what has gone goes, too, and volumes that no pod has.
        cluster.CONTROLLERS = [*cluster.CONTROLLERS, "garbagecollector", "pvc-protection", "clusterrole-aggregation"]
        cluster.mount_tokens = True
        cluster.start(controllers=True, grant=False)
        cls.admin = cluster.admin
        cls.node = Node(cluster)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        cls.kubeconfig = cluster.admin_kubeconfig()

    def tearDown(self):
        if self._outcome.result and (self._outcome.result.failures or self._outcome.result.errors):
            said = [f"{each['type']} {each['involvedObject']['name']}: {each.get('message')}" for each in self.admin.get("/api/v1/events")["items"]]
            print(self.node.log()[-1500:], self.node.trouble, *said[-10:], sep="\n", file=sys.stderr)

    @classmethod
    def ctl(cls, *arguments, expect=0, kubeconfig=None):
        environment = {"KUBECONFIG": kubeconfig or cls.kubeconfig, "PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}
        done = subprocess.run([binary_path("byrniectl"), *arguments], capture_output=True, text=True, timeout=180, env=environment)
        if done.returncode != expect:
            raise AssertionError(f"byrniectl {' '.join(arguments)}: exit {done.returncode}, not {expect}:\n{done.stdout}{done.stderr}"
                                 f"{cls.node.log()[-1000:]}{cls.node.trouble or ''}")
        return done

    def steps(self, *arguments, expect=0):
        """{KIND NAME: outcome} of install or uninstall."""
        return {f"{each['kind']} {each['name']}": each["outcome"]
                for each in json.loads(self.ctl(*arguments, "-o", "json", expect=expect).stdout)}

    def checks(self, *arguments, expect=0, kubeconfig=None):
        done = self.ctl("check", "--pre", "-o", "json", *arguments, expect=expect, kubeconfig=kubeconfig)
        return {each["name"]: each for each in json.loads(done.stdout)}

    def there(self, path):
        try:
            return self.admin.get(path)
        except ApiError as error:
            self.assertEqual(error.status, 404)
            return None

    def wait_gone(self, path):
        wait_for(lambda: self.there(path) is None, 60, f"end of {path}")

    def ours(self):
        """What byrniectl has made and is there."""
        found = []
        for path in ("/api/v1/namespaces", "/api/v1/serviceaccounts", "/api/v1/services", "/api/v1/configmaps", "/api/v1/secrets", WEBHOOKS,
                     "/apis/apps/v1/statefulsets", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                     "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "/apis/scheduling.k8s.io/v1/priorityclasses",
                     "/apis/networking.k8s.io/v1/networkpolicies", "/apis/policy/v1beta1/poddisruptionbudgets"):
            found += [f"{path.rpartition('/')[2]}/{each['metadata']['name']}" for each in self.admin.get(f"{path}?{SELECTOR}")["items"]]
        return found

    def deploy(self, namespace, name, replicas=2):
        self.admin.apply(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "app", "image": "none", "command": ["app"]}]}}}})

    def pods(self, namespace):
        return [pod for pod in self.admin.get(f"/api/v1/namespaces/{namespace}/pods")["items"] if "deletionTimestamp" not in pod["metadata"]]
