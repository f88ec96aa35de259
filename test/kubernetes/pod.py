"""One pod's life, in the order that Kubernetes has: volumes, init containers and sidecars one after the other, applications, the end.

At the end the applications are told first and at the same time; sidecars follow when these are gone, the last one first; whatever is
left when the pod's grace period is over is killed. When the applications of a pod that ends by itself are done, its sidecars end likewise.
"""

import os
import signal
import threading
import time
import traceback

from testing.kubernetes import ApiError

from . import pod_spec
from .life import ContainerLife
from .names import resolv_conf
from .volumes import NotThereYet, Volumes


# Annotation of a pod of a test: the families of its addresses, the first one's first: "46" or "64". Others have what the machine has.
FAMILIES = "test/families"


class _Ending(Exception):
    """The pod is to end, whatever it was about to do."""


class PodRun:
    """A pod that a Node has taken. Its thread does everything; others look, and run commands in its containers.

    `object` is what the API server keeps, with the status that this node gives it; `spec` is what is run.
    """

    def __init__(self, node, pod, spec):
        self.node, self.machine, self.services, self.image = node, node.machine, node.services, node.image
        self.object, self.spec = {**pod, "spec": {**spec, "nodeName": pod["spec"]["nodeName"]}}, spec
        self.name, self.namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.directory = node.directory_for(pod)
        self.host = node.machine.host(self.name[:20])
        self.families = pod["metadata"].get("annotations", {}).get(FAMILIES, self.machine.families)
        self.addresses = [{"4": self.host.address, "6": self.host.address6}[family] for family in self.families]
        self.volumes = Volumes(node.api, self.object, os.path.join(self.directory, "volumes"), node.claims)
        self.files = self._files()
        self.inits = [self._life(each, pod_spec.is_sidecar(each), True) for each in spec.get("initContainers", [])]
        self.apps = [self._life(each, False, False) for each in spec["containers"]]
        self.phase, self.error, self.over = "Pending", None, False
        self.events = []  # Why something was done that the specification does not say.
        self._deleted, self._abandoned = threading.Event(), threading.Event()
        self._published = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"pod {self.name}")

    def _life(self, spec, sidecar, init):
        policy = self.spec.get("restartPolicy", "Always")
        if sidecar:
            return ContainerLife(self, spec, True, lambda code: True)
        if init:
            return ContainerLife(self, spec, False, lambda code: code != 0 and policy != "Never")
        return ContainerLife(self, spec, False, lambda code: policy == "Always" or (policy == "OnFailure" and code != 0))

    def _files(self):
        """What the node writes for each container: names."""
        folder = os.path.join(self.directory, "files")
        os.makedirs(folder)
        content = {"hosts": "127.0.0.1\tlocalhost\n" + "".join(f"{address}\t{self.name}\n" for address in self.addresses),
                   "resolv.conf": resolv_conf(self.machine.dns, self.namespace), "hostname": f"{self.name}\n"}
        for name, text in content.items():
            with open(os.path.join(folder, name), "w", encoding="ascii") as out:
                out.write(text)
        return [{"source": os.path.join(folder, name), "target": f"/etc/{name}", "read_only": False} for name in content]

    # For everybody.

    def start(self):
        self._thread.start()

    def delete(self):
        """The API server wants it gone."""
        self._deleted.set()

    def abandon(self):
        """Everything killed, nobody told; join() waits for it."""
        self._abandoned.set()
        for life in self.inits + self.apps:
            if life.container:
                life.container.signal(signal.SIGKILL)

    def join(self):
        self._thread.join()

    def __getitem__(self, container):
        """One of its containers by name."""
        return next(life for life in self.inits + self.apps if life.name == container)

    def ready(self):
        """Whether its containers are, all of those that stay."""
        return self.phase == "Running" and all(life.ended is None and life.ready for life in self.apps + self._sidecars())

    # Its thread.

    def _run(self):
        try:
            try:
                self._live()
            except _Ending:
                pass
            self._end()
        except Exception:  # pylint: disable=broad-except
            self.error = traceback.format_exc()
        finally:
            for life in self.inits + self.apps:
                life.stop_probing()
                if life.container:
                    life.container.remove()
            self.host.delete()
            self.over = True

    def _live(self):
        of_node = [{"4": self.machine.NODE, "6": self.machine.NODE6}[family] for family in self.families]
        status = {"podIP": self.addresses[0], "podIPs": [{"ip": each} for each in self.addresses],
                  "hostIP": of_node[0], "hostIPs": [{"ip": each} for each in of_node]}
        self.object["status"] = status
        self._publish()
        self._until(self._has_volumes)
        for life in self.inits:
            life.start()
            self._until(lambda life=life: life.started if life.sidecar else life.over())
            if not life.sidecar and life.exit_codes[-1] != 0:
                self.phase = "Failed"
                return
        for life in self.apps:
            life.start()
        self.phase = "Running"
        self._until(lambda: all(life.over() for life in self.apps))

    def _has_volumes(self):
        try:
            self.volumes.make()
            return True
        except (NotThereYet, ApiError) as error:
            self.error = str(error)
            return False

    def _until(self, condition):
        """Lives until then; _Ending if the end comes first."""
        while True:
            if self._deleted.is_set() or self._abandoned.is_set():
                raise _Ending
            if condition():
                self._publish()
                return
            for life in self.inits + self.apps:
                life.tick()
            self._publish()
            time.sleep(0.03)

    def _sidecars(self):
        return [life for life in self.inits if life.sidecar]

    def _end(self):
        for life in self.inits + self.apps:
            life.never_again()
        if self._abandoned.is_set():
            return
        grace = pod_spec.grace_seconds(self.object)
        deadline = time.monotonic() + grace
        running = [life for life in self.apps + [life for life in self.inits if not life.sidecar] if life.container and life.ended is None]
        told = [threading.Thread(target=life.tell_to_end, args=(grace,)) for life in running]
        for each in told:
            each.start()
        self._wait_ends(running, deadline)
        for each in told:
            each.join()
        for life in reversed(self._sidecars()):
            if life.container and life.ended is None:
                life.tell_to_end(max(0.1, deadline - time.monotonic()))
                self._wait_ends([life], deadline)
        codes = [life.exit_codes[-1] if life.exit_codes else 1 for life in self.apps]
        self.phase = "Failed" if self.phase == "Failed" or any(codes) else "Succeeded"
        self._publish()
        if self._deleted.is_set():
            self.node.gone(self)

    def _wait_ends(self, lives, deadline):
        """In the order in which they end; SIGKILL at the deadline."""
        left = list(lives)
        while left:
            for life in list(left):
                if not life.container.running() or time.monotonic() >= deadline or self._abandoned.is_set():
                    life.wait_end(0)
                    left.remove(life)
            time.sleep(0.02)

    def _publish(self):
        """Tells the API server what has changed."""
        ready = "True" if self.ready() else "False"
        status = {**self.object["status"], "phase": self.phase, "conditions": [
            {"type": kind, "status": value} for kind, value in (
                ("Initialized", "True" if self.phase == "Running" else "False"), ("Ready", ready), ("ContainersReady", ready), ("PodScheduled", "True"))],
            "initContainerStatuses": [life.status() for life in self.inits], "containerStatuses": [life.status() for life in self.apps]}
        if status == self._published:
            return
        try:
            # Not to a pod that has the name by now.
            self.node.api.patch(self.path + "/status", {"metadata": {"uid": self.object["metadata"]["uid"]}, "status": status})
            self._published = status
        except (ApiError, OSError) as error:
            # Away, or the pod is gone, and perhaps there is another one; the next change tries again.
            status = getattr(error, "status", None)
            gone = status == 404 or status == 422 and "metadata.uid" in str(error)
            if not (gone or self._deleted.is_set() and status in (409, 422)):
                self.error = str(error)
