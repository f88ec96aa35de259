"""What a test cluster lacks: a node. Pods are put on it, are ready, and go when they are told to; the control plane's pod is one that runs.

    own_network()                            # of this process: before anything is started
    node = Node(cluster)
    node.start()

There is no container: a pod of the control plane is its program here, with the arguments of the pod, the files of its volumes, and the pod's service account. Its Service is reached by its cluster address, as the API server does it.
"""

import base64
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from .kubernetes import API_AUDIENCE, ApiError
from .mesh import binary_path

CLONE_NEWNET = 0x40000000
CONTROL_PLANE = "byrnie-controlplane"


def own_network():
    """Puts this process, and what it starts, into a network namespace of its own, which is gone with them."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Node:
    """See the module's comment."""

    def __init__(self, cluster, name="node-1"):
        self.cluster, self.name, self.admin = cluster, name, cluster.admin
        self.directory = tempfile.mkdtemp(prefix="byrnie-node-")
        self.running = {}  # uid: process, or None for a pod that only seems to run.
        self.services = set()
        self.held = set()  # Names of pods that do not become ready.
        self.unpullable = set()  # Images that no pod gets.
        self.next_ip = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.trouble = None

    def start(self):
        self.admin.create("/api/v1/nodes", {"metadata": {"name": self.name}})
        self.admin.patch(f"/api/v1/nodes/{self.name}/status", {"status": {"nodeInfo": {
            "kernelVersion": os.uname().release, "kubeletVersion": "v1.20.2", "operatingSystem": "linux", "architecture": "amd64",
            "machineID": "", "systemUUID": "", "bootID": "", "osImage": "", "containerRuntimeVersion": "", "kubeProxyVersion": ""}}})
        self.thread.start()

    def close(self):
        self.ended.set()
        self.thread.join(30)
        for process in self.running.values():
            self._end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def _loop(self):
        while not self.ended.wait(0.2):
            try:
                self._serve_services()
                pods = self.admin.get("/api/v1/pods")["items"]
                # Those that were deleted by force are told of by nobody; another one may want their ports.
                for uid in set(self.running) - {pod["metadata"]["uid"] for pod in pods}:
                    self._end(self.running.pop(uid))
                for pod in pods:
                    self._look_at(pod)
            except (ApiError, OSError) as error:
                self.trouble = error  # It is tried again; an object may have gone meanwhile.

    def _serve_services(self):
        """What kube-proxy does: the control plane's addresses lead to its pod's ports, which are this machine's."""
        for service in self.admin.get("/api/v1/services")["items"]:
            address = service["spec"].get("clusterIP", "None")
            if service["metadata"]["name"] != CONTROL_PLANE or address in self.services or address == "None":
                continue
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            subprocess.run(["nft", "-f", "-"], check=True, text=True, input=f"""
                add table ip services
                add chain ip services output {{ type nat hook output priority -100; }}
                add rule ip services output ip daddr {address} tcp dport 443 redirect to :15017
            """)
            self.services.add(address)

    def _look_at(self, pod):
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            self._end(self.running.pop(metadata["uid"], None))
            self.admin.delete(path)
            return
        if not spec.get("nodeName"):
            self.admin.create(f"{path}/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]},
                                                  "target": {"apiVersion": "v1", "kind": "Node", "name": self.name}})
            return
        pulled = not self.unpullable & {each["image"] for each in spec["containers"]}
        if metadata["uid"] not in self.running:
            ours = metadata.get("labels", {}).get("app.kubernetes.io/name") == CONTROL_PLANE
            self.running[metadata["uid"]] = self._run(pod) if ours and pulled else None
            self.next_ip += 1
            status = {**status, "podIP": f"10.1.0.{self.next_ip}"}
        elif self.running[metadata["uid"]] is not None:
            try:
                self._bring_config_maps(pod)
            except ApiError as error:
                # What has gone stays as it was.
                if error.status != 404:
                    raise
        ready = pulled and metadata["name"] not in self.held and self._is_ready(self.running[metadata["uid"]])
        wanted = {"phase": "Running", "podIP": status["podIP"], "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        now = {"phase": status.get("phase"), "podIP": status.get("podIP"),
               "conditions": [{"type": each["type"], "status": each["status"]} for each in status.get("conditions", []) if each["type"] == "Ready"]}
        if wanted != now:
            containers = [{"name": each["name"], "ready": ready, "started": ready, "image": each["image"], "imageID": "", "restartCount": 0,
                           "state": {"running": {}}} for each in spec["containers"]]
            self.admin.patch(f"{path}/status", {"status": {**wanted, "podIPs": [{"ip": status["podIP"]}], "containerStatuses": containers}})

    # The control plane.

    def _run(self, pod):
        """Its program, with the files of its volumes under a directory of its own in their place."""
        container, = pod["spec"]["containers"]
        namespace = pod["metadata"]["namespace"]
        root = self.path(pod["metadata"]["uid"])
        mounts = {}
        for mount in container["volumeMounts"]:
            volume, = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
            folder = os.path.join(root, mount["name"])
            if "persistentVolumeClaim" in volume:  # It is there again for the next pod.
                claim = volume["persistentVolumeClaim"]["claimName"]
                claim = self.admin.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
                folder = self.path(f"volume-{claim['metadata']['uid']}")
            mounts[mount["mountPath"]] = folder
            os.makedirs(folder, mode=0o700, exist_ok=True)
            content = {}
            if "secret" in volume:
                secret = self.admin.get(f"/api/v1/namespaces/{namespace}/secrets/{volume['secret']['secretName']}")
                content = {name: base64.b64decode(value) for name, value in secret.get("data", {}).items()}
            for name, value in content.items():
                with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o400), "wb") as out:
                    out.write(value)
        self._bring_config_maps(pod)
        words = list(container["args"])
        for theirs, mine in mounts.items():
            words = [word.replace(theirs, mine) for word in words]
        self.mounts = mounts
        token = self.cluster.service_account_token(namespace, pod["spec"]["serviceAccountName"], [API_AUDIENCE])
        kubeconfig = os.path.join(root, "kubeconfig")
        with open(os.open(kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            json.dump(self.cluster.kubeconfig_of({"token": token}), out)
        with open(self.path("control-plane.log"), "ab") as log:
            return subprocess.Popen([binary_path(os.path.basename(container["command"][0])), f"--kubeconfig={kubeconfig}", *words],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _bring_config_maps(self, pod):
        """As they are now, each file at once: a kubelet does it in about a minute."""
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"]["volumes"]:
            if "configMap" not in volume:
                continue
            folder = os.path.join(self.path(pod["metadata"]["uid"]), volume["name"])
            found = self.admin.get(f"/api/v1/namespaces/{namespace}/configmaps/{volume['configMap']['name']}")
            for name, text in found.get("data", {}).items():
                path = os.path.join(folder, name)
                if os.path.exists(path) and pathlib.Path(path).read_text(encoding="utf-8") == text:
                    continue
                with open(f"{path}.new", "w", encoding="utf-8") as out:
                    out.write(text)
                os.replace(f"{path}.new", path)

    def log(self):
        try:
            with open(self.path("control-plane.log"), encoding="utf-8", errors="replace") as text:
                return text.read()
        except FileNotFoundError:
            return ""

    @staticmethod
    def _is_ready(process):
        if process is None:
            return True
        try:
            with urllib.request.urlopen("http://127.0.0.1:15014/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.HTTPError, OSError):
            return False

    @staticmethod
    def _end(process):
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for(look, seconds, what):
    """Like wait_until, for what an API server answers."""
    end, error = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            found = look()
            if found:
                return found
        except (ApiError, OSError, KeyError) as caught:
            error = caught
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {seconds} s: {error}")
