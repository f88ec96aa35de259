"""A node's agent, and the scheduler that puts every pod on it: looks at the API server a few times a second."""

import os
import threading
import traceback

from testing.kubernetes import ApiError

from .pod import PodRun

_LOOK = 0.2  # Seconds.


class Node:
    """Runs all pods that the API server has, until close().

    `images` are by name. `spec_of` says what is run of a pod in place of its spec as the API server keeps it, or None: fields that this
    server's version does not know are nowhere else.
    """

    NAME = "node-1"

    def __init__(self, machine, api, directory, images, spec_of=lambda pod: None):
        self.machine, self.api, self._directory, self._images, self._spec_of = machine, api, directory, images, spec_of
        self.claims = os.path.join(directory, "claims")
        self.services = {"KUBERNETES_SERVICE_HOST": machine.api, "KUBERNETES_SERVICE_PORT": "443"}
        self.pods, self.past, self.error, self.trouble = {}, [], None, None
        self._ending, self._lock = threading.Event(), threading.Lock()
        self.api.create("/api/v1/nodes", {"metadata": {"name": self.NAME}})
        self.api.patch(f"/api/v1/nodes/{self.NAME}/status", {"status": {
            "addresses": [{"type": "InternalIP", "address": each} for each in (machine.NODE, machine.NODE6)], "conditions": [{"type": "Ready", "status": "True"}]}})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add_image(self, name, image):
        self._images[name] = image

    def image(self, name):
        return self._images[name]

    def directory_for(self, pod):
        path = os.path.join(self._directory, f"{pod['metadata']['namespace']}-{pod['metadata']['name']}-{pod['metadata']['uid'][:8]}")
        os.makedirs(path)
        return path

    def pod(self, namespace, name):
        """The PodRun that is there now; None before and after."""
        return next((run for run in self.pods.values() if (run.namespace, run.name) == (namespace, name)), None)

    def gone(self, run):
        """A pod that was deleted has ended. Another one may have its name by now."""
        try:
            self.api.call("DELETE", run.path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                                               "preconditions": {"uid": run.object["metadata"]["uid"]}})
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def close(self):
        self._ending.set()
        self._thread.join()
        for run in self.pods.values():
            run.abandon()
        for run in self.pods.values():
            run.join()
        self.pods = {}

    def _run(self):
        while not self._ending.wait(_LOOK):
            try:
                self._look()
                self._serve()
            except (ApiError, OSError):
                self.trouble = traceback.format_exc()  # Away for a moment.
            except Exception:  # pylint: disable=broad-except
                self.error = traceback.format_exc()

    def _look(self):
        seen = {pod["metadata"]["uid"]: pod for pod in self.api.get("/api/v1/pods")["items"]}
        for uid, pod in seen.items():
            if not pod["spec"].get("nodeName"):
                if "deletionTimestamp" not in pod["metadata"]:
                    self._bind(pod)
            elif uid not in self.pods and pod["status"].get("phase") in (None, "Pending"):
                run = PodRun(self, pod, self._spec_of(pod) or pod["spec"])
                self.pods[uid] = run
                run.start()
            elif uid in self.pods and "deletionTimestamp" in pod["metadata"]:
                self.pods[uid].object["metadata"] = pod["metadata"]
                self.pods[uid].delete()
        for uid in set(self.pods) - set(seen):
            self.pods[uid].delete()
            if self.pods[uid].over:
                self.past.append(self.pods.pop(uid))

    def _bind(self, pod):
        metadata = pod["metadata"]
        self.api.create(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding", {
            "metadata": {"name": metadata["name"]}, "target": {"kind": "Node", "apiVersion": "v1", "name": self.NAME}})

    def _serve(self):
        """Names and addresses of services, each with the first pod that is ready."""
        names, ports = {}, {}
        services = {(item["metadata"]["namespace"], item["metadata"]["name"]): item["spec"] for item in self.api.get("/api/v1/services")["items"]}
        behind = self._behind()
        for (namespace, name), spec in services.items():
            addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "None")]
            if addresses == ["None"] or (namespace, name) == ("default", "kubernetes"):
                continue
            names[f"{name}.{namespace}"] = addresses
            for address in addresses:
                for port in spec["ports"]:
                    to = behind.get((namespace, name, ":" in address, port.get("name") or ""))
                    if to:
                        ports[address, port["port"]] = to
        self.machine.serve(names, ports)

    def _behind(self):
        """{(namespace, service, whether by IPv6, port's name): (pod's address, port)}."""
        found = {}
        for item in self.api.get("/apis/discovery.k8s.io/v1beta1/endpointslices")["items"]:
            service = item["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            ready = [each for each in item.get("endpoints") or () if each.get("conditions", {}).get("ready", True)]
            for port in (item.get("ports") or ()) if service and ready else ():
                key = item["metadata"]["namespace"], service, item["addressType"] == "IPv6", port.get("name") or ""
                found.setdefault(key, (ready[0]["addresses"][0], port["port"]))
        return found
