"""A whole cluster of one node: an API server with its controllers, a node that runs what is there, Byrnie's image and manifests.

    world = World()
    world.start()
    world.namespace("shop", accounts=["web"])
    run = world.pod({"metadata": {"name": "web", "namespace": "shop"}, "spec": {…}})
    run["byrnie-proxy"].log_text()
"""

import atexit
import base64
import json
import os
import shutil
import tempfile

from testing import image as images
from testing import manifests
from testing.interruption import uninterrupted, uninterruptible, unwind_on_signals
from testing.kubernetes import ApiError, Cluster
from testing.process import wait_until

from . import admission
from .container import RootImage
from .machine import Machine
from .node import Node

SYSTEM, PLANE = "byrnie-system", "byrnie-controlplane-0"
WEBHOOK_PORT = 15017
APP_IMAGE = "example/app:1"
# Of pods of a test: run as the webhook would have them with native sidecars.
NATIVE = "test/native"
_PLURALS = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses"}


class World:
    """Nothing of it is left after close(), nor after the end of the program. Needs root."""

    def __init__(self, image=None, families="4"):
        """`image`: the archive of one that is built already. `families`: of the cluster's addresses, "4", "6", or "46", where pods may have both
        (pod.FAMILIES)."""
        self._newer = {}
        self.directory = self.machine = self.cluster = self.node = None
        unwind_on_signals()
        atexit.register(self.close)
        with uninterrupted():
            self.directory = tempfile.mkdtemp(prefix="byr-")
        self.image = images.Image(image) if image else images.build(self.path("built"))
        self.image.unpack(self.path("image"))
        with uninterrupted():
            self.machine = Machine(families[0])
        self.cluster = Cluster(namespace=self.machine.node, address=self.machine.gateway, port=Machine.API_PORT)
        self.cluster.mount_tokens, self.cluster.families = True, families

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def api(self):
        return self.cluster.admin

    def start(self, overlay=None, **defaults):
        """Returns when the control plane is ready. `defaults` of annotations, by their names with underscores. `overlay`: the objects to
        create in place of deploy/kubernetes/sqlite's, Secrets of theirs included; then it returns at once."""
        self.cluster.start_etcd()
        self.cluster.start_api_server()
        self.cluster.start_controllers()
        ours = RootImage(self.path("image"), tuple(map(int, self.image.config["config"]["User"].split(":"))),
                         dict(item.split("=", 1) for item in self.image.config["config"]["Env"]))
        self.node = Node(self.machine, self.api, self.path("pods"), {self.image.name: ours, APP_IMAGE: self._app_image()}, self._spec_of)
        if overlay is not None:
            self._create_all(overlay)
            return
        self._install({"sidecars": "classic", **{name.replace("_", "-"): value for name, value in defaults.items()}})
        self.wait_plane()

    def wait_plane(self):
        """The control plane's pod, when it is ready and reached by its service."""
        def reached():
            run = self.node.pod(SYSTEM, PLANE)
            return run if run and run.ready() and self.machine.behind(f"byrnie-controlplane.{SYSTEM}", 443) == run.addresses[0] else None
        return self.wait(reached, 80, "the control plane")

    def _app_image(self):
        """This machine's programs, and ours for applications."""
        root = self.path("app-image")
        os.makedirs(os.path.join(root, "usr"))
        os.makedirs(os.path.join(root, "opt"))
        for name in ("bin", "lib", "lib64"):
            os.symlink(f"usr/{name}", os.path.join(root, name))
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py"), os.path.join(root, "opt", "app.py"))
        return RootImage(root, (65534, 65534), shown=["/usr"])

    def _install(self, defaults):
        """deploy/kubernetes/sqlite, with what docs/kubernetes.md says before and about older clusters."""
        objects = manifests.build(os.path.join(manifests.ROOT, "sqlite"))
        for item in objects:
            if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "byrnie-injector":
                injector = json.loads(item["data"]["injector.json"])
                item["data"]["injector.json"] = json.dumps({**injector, "defaults": defaults})
        self._create_all(objects)
        self.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "byrnie-store-key", "namespace": SYSTEM},
                     "stringData": {"key": base64.b64encode(os.urandom(32)).decode()}})

    def _create_all(self, objects):
        for item in sorted(objects, key=lambda item: item["kind"] != "Namespace"):
            self.create(item)

    def create(self, item):
        """An object of any kind, as kubectl apply finds where it goes."""
        group = item["apiVersion"]
        path = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        if "namespace" in item["metadata"]:
            path += f"/namespaces/{item['metadata']['namespace']}"
        return self.api.create(f"{path}/{_PLURALS.get(item['kind'], item['kind'].lower() + 's')}", item)

    def namespace(self, name, accounts=()):
        """A meshed one; returns when pods can be made in it."""
        self.cluster.namespace(name, accounts, {"byrnie.io/inject": "true"})
        for path in ("serviceaccounts/default", "configmaps/byrnie-trust-bundle", "configmaps/kube-root-ca.crt"):
            wait_until(lambda path=path: self._there(f"/api/v1/namespaces/{name}/{path}"), 20, f"{path} in {name}", every=0.1)

    def _there(self, path):
        try:
            return self.api.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def _spec_of(self, pod):
        if NATIVE not in pod["metadata"].get("annotations", {}):
            return None
        for container in pod["spec"]["containers"]:
            container.update(self._newer.get((pod["metadata"]["name"], container["name"]), {}))
        plane = self.node.pod(SYSTEM, PLANE)
        configuration = self.api.get("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/byrnie-injector")
        roots = admission.roots_of(configuration)
        return admission.native(pod, self.machine.connect(plane.addresses[0], WEBHOOK_PORT, 10), roots)["spec"]

    def pod(self, item, wait=True, newer=None):
        """Creates a pod; returns it when it is ready, or as soon as the node has it. `newer`: what containers of a NATIVE one also have,
        by their names, that the API server's version would refuse."""
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        self._newer.update({(name, container): fields for container, fields in (newer or {}).items()})
        self.create({"apiVersion": "v1", "kind": "Pod", **item})
        run = self.wait(lambda: self.node.pod(namespace, name), 30, f"the node to take {name}")
        if wait:
            self.wait(run.ready, 60, f"readiness of {name}")
        return run

    def delete(self, run):
        """Asks for its end, with the time that it says it needs; returns at once."""
        self.api.delete(run.path, run.spec.get("terminationGracePeriodSeconds", 30))

    def wait(self, condition, seconds, what):
        """wait_until, which also looks after the pods."""
        def look():
            self.check()
            return condition()
        return wait_until(look, seconds, what, every=0.05)

    def check(self):
        """AssertionError if a pod or the node could not go on."""
        if self.node.error:
            raise AssertionError(self.node.error)
        for run in list(self.node.pods.values()):
            if run.over and run.error:
                raise AssertionError(f"pod {run.name}: {run.error}")

    def print_logs(self, lines=25):
        """The ends of all containers' logs."""
        if self.node:
            print(f"the node's latest trouble: {self.node.trouble}; names asked for: {self.machine.names.asked[-5:]}")
        runs = list(self.node.pods.values()) + self.node.past if self.node else []
        for run in runs:
            print(f"--- pod {run.name}: {run.phase} {run.error or ''}", *run.events, sep="\n")
            for life in run.inits + run.apps:
                print(f"--- {run.name}/{life.name} {life.exit_codes}")
                print("\n".join(life.log_text().splitlines()[-lines:]))

    def close(self):
        with uninterruptible():
            if self.node:
                self.node.close()
            if self.cluster:
                self.cluster.close()
            if self.machine:
                self.machine.close()
            self.node = self.cluster = self.machine = None
            if self.directory:
                shutil.rmtree(self.directory, ignore_errors=True)
