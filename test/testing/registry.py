"""The registry file of the control plane, changed as a person would: the whole file, replaced by rename."""

import json
import os


class Registry:
    """Workloads, services and policies; write() makes the control plane see them within a second."""

    def __init__(self, path):
        self.path = path
        self.workloads = []
        self.services = []
        self.policies = []
        self.written = None

    def workload(self, name, namespace, account, addresses, **fields):
        entry = {"name": name, "namespace": namespace, "service_account": account,
                 "addresses": list(addresses), **fields}
        self.workloads = [other for other in self.workloads if other["name"] != name] + [entry]
        return entry

    def service(self, name, namespace, addresses, service_port, target_port, workloads=(), **fields):
        hostname = f"{name}.{namespace}.svc.cluster.local"
        ports = [{"service_port": service_port, "target_port": target_port}]
        entry = {"name": name, "namespace": namespace, "hostname": hostname,
                 "addresses": list(addresses), "ports": ports, **fields}
        self.services = [other for other in self.services if other["name"] != name] + [entry]
        for workload in self.workloads:
            if workload["name"] in workloads:
                workload.setdefault("services", {})[f"{namespace}/{hostname}"] = ports
        return entry

    def policy(self, name, action, namespace="demo", scope="NAMESPACE", **match):
        """A policy with one clause; no `match`: a policy without rules."""
        entry = {"name": name, "namespace": namespace, "scope": scope, "action": action, "rules": []}
        if match:
            entry["rules"] = [{"clauses": [{"matches": [match]}]}]
        self.policies = [other for other in self.policies if other["name"] != name] + [entry]
        return entry

    def write(self):
        """Whether it is another one than before."""
        content = {"workloads": self.workloads, "services": self.services, "policies": self.policies}
        if not any(content.values()):
            # Else the control plane takes it for an accident where there were entries.
            content["empty"] = True
        return self.write_raw(json.dumps(content, indent=1))

    def write_raw(self, text):
        """Any text, to see what is made of it; whether it is another one than before."""
        changed, self.written = text != self.written, text
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(self.path + ".new", self.path)
        return changed
