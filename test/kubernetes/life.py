"""A container of a pod over its restarts: its probes, its hooks, its end."""

import os
import signal
import time

from . import pod_spec
from .container import Container
from .probes import Prober, ask

_BACK_OFF = 1.0  # Seconds; ten for the kubelet, and then more.


class ContainerLife:
    """Everything but run() and is for the pod's thread alone, which start() ties the container to."""

    def __init__(self, pod, spec, sidecar, restarts_on):
        """`pod` is the PodRun. `restarts_on`: whether an exit code is followed by a restart."""
        self.pod, self.spec, self.name, self.sidecar, self._restarts_on = pod, spec, spec["name"], sidecar, restarts_on
        self.machine, self.address = pod.machine, pod.addresses[0]
        self.container, self.exit_codes = None, []
        self.began = self.ended = None
        self.started = self.ready = False
        self.unhealthy = None  # What a probe said, when the container is to be started again.
        self._probers, self._due = [], 0.0

    def start(self):
        """Starts it; a hook after its start is over on return."""
        pod = self.pod
        image = pod.image(self.spec["image"])
        variables = pod_spec.environment(self.spec, pod.object, image, pod.services)
        container = Container(
            f"{pod.name}/{self.name}", pod.host, image, os.path.join(pod.directory, f"{self.name}-{len(self.exit_codes)}"),
            argv=pod_spec.command(self.spec, variables), environment=variables, working_directory=self.spec.get("workingDir", "/"), host=pod.name,
            memory=pod_spec.memory_limit(self.spec), mounts=[*pod.files, *pod.volumes.mounts(self.spec)], **pod_spec.privileges(self.spec, pod.spec, image))
        self.started = self.ready = False
        self.unhealthy, self.container, self.began, self.ended = None, container, time.monotonic(), None
        container.start()
        hook = self.spec.get("lifecycle", {}).get("postStart")
        if hook:
            succeeds, why = ask(self, hook, 120)
            if not succeeds:
                self.unhealthy = f"its postStart hook failed: {why}"
        self._probe()

    def _probe(self):
        spec = self.spec
        self.started, self.ready = "startupProbe" not in spec, "readinessProbe" not in spec

        def begun():
            return self.started
        if "startupProbe" in spec:
            self._probers.append(Prober(self, spec["startupProbe"], self._has_started, self._is_unhealthy))
        if "readinessProbe" in spec:
            self._probers.append(Prober(self, spec["readinessProbe"], lambda _: self._is_ready(True), lambda _: self._is_ready(False), begun))
        if "livenessProbe" in spec:
            self._probers.append(Prober(self, spec["livenessProbe"], lambda _: None, self._is_unhealthy, begun))

    def _has_started(self, _):
        self.started = True

    def _is_ready(self, ready):
        self.ready = ready

    def _is_unhealthy(self, why):
        self.unhealthy = why

    def stop_probing(self):
        for prober in self._probers:
            prober.stop()
        self._probers = []

    def tick(self):
        """Sees whether it has ended, and starts it again when it is time."""
        if self.container is None:
            return
        if self.ended is None and self.unhealthy is not None:
            self.pod.events.append(f"{self.name} is started again: {self.unhealthy}")
            self.end(pod_spec.grace_seconds(self.pod.object))
        elif self.ended is None and not self.container.running():
            self._has_ended()
        if self.ended is not None and not self.over() and time.monotonic() >= self._due:
            self.start()

    def _has_ended(self):
        self.stop_probing()
        self.ended, self.ready = time.monotonic(), False
        self.exit_codes.append(self.container.exit_code)
        self._due = time.monotonic() + _BACK_OFF
        self.container.remove()

    def over(self):
        """It has ended and is not started again."""
        return self.ended is not None and not self._restarts_on(self.exit_codes[-1])

    def never_again(self):
        """Whatever its exit code."""
        self._restarts_on = lambda code: False

    def tell_to_end(self, grace):
        """Its hook before the end, then SIGTERM. Blocks for as long as the hook does, `grace` seconds at most."""
        hook = self.spec.get("lifecycle", {}).get("preStop")
        if hook:
            ask(self, hook, grace)
        self.container.signal(signal.SIGTERM)

    def wait_end(self, deadline):
        """SIGKILL at the deadline, in time.monotonic()'s seconds."""
        while self.container.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.container.kill()
        self._has_ended()

    def end(self, grace):
        """All of it."""
        deadline = time.monotonic() + grace
        self.tell_to_end(grace)
        self.wait_end(deadline)

    def run(self, *argv, timeout=30):
        """A command in it; see Container.run."""
        return self.container.run(list(argv), timeout)

    def log_text(self):
        """Of all its runs."""
        texts = []
        for number in range(len(self.exit_codes) + 1):
            path = os.path.join(self.pod.directory, f"{self.name}-{number}", "log")
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as text:
                    texts.append(text.read())
        return "".join(texts)

    def status(self):
        """A ContainerStatus."""
        if self.container is None:
            state = {"waiting": {"reason": "PodInitializing"}}
        elif self.ended is None:
            state = {"running": {}}
        else:
            state = {"terminated": {"exitCode": self.exit_codes[-1], **({"reason": "OOMKilled"} if self.container.killed_for_memory else {})}}
        return {"name": self.name, "image": self.spec["image"], "imageID": "", "restartCount": max(0, len(self.exit_codes) - self.over()),
                "ready": self.ended is None and self.ready or (self.over() and self.exit_codes[-1] == 0), "state": state}
