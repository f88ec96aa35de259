"""What a pod's specification means. Pure."""

import re

# What a container runtime leaves root unless it is told otherwise.
_DEFAULT_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
                         "SYS_CHROOT", "KILL", "AUDIT_WRITE"]
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE_SECONDS = 30


class PodError(Exception):
    """A pod that cannot run as it is written."""


def is_sidecar(container):
    """Of an init container: whether it stays."""
    return container.get("restartPolicy") == "Always"


def field(pod, path):
    """What the downward API says: `path` as in fieldRef."""
    status, spec, metadata = pod.get("status", {}), pod["spec"], pod["metadata"]
    match = re.fullmatch(r"metadata\.(labels|annotations)(?:\['(.*)'\])?", path)
    if match and match[2] is not None:
        return metadata.get(match[1], {}).get(match[2], "")
    if match:
        return "\n".join(f'{name}="{value}"' for name, value in sorted(metadata.get(match[1], {}).items()))
    found = {
        "metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"], "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""), "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": status.get("podIP", ""), "status.podIPs": ",".join(each["ip"] for each in status.get("podIPs", [])),
        "status.hostIP": status.get("hostIP", ""), "status.hostIPs": ",".join(each["ip"] for each in status.get("hostIPs", [])),
    }.get(path)
    if found is None:
        raise PodError(f"no fieldRef {path}")
    return found


def environment(container, pod, image, services):
    """The container's. `services`: what the node adds."""
    found = {"PATH": _DEFAULT_PATH, "HOSTNAME": pod["metadata"]["name"], **image.environment, **services}
    for item in container.get("env", []):
        if "valueFrom" in item:
            found[item["name"]] = field(pod, item["valueFrom"]["fieldRef"]["fieldPath"])
        else:
            found[item["name"]] = expand(item.get("value", ""), found)
    return found


def expand(text, variables):
    """$(NAME) of those that are known, $$ is $."""
    return re.sub(r"\$(?:\$|\((\w+)\))", lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), text)


def command(container, variables):
    """Images here have no command of their own."""
    words = [*container.get("command", []), *container.get("args", [])]
    if not container.get("command"):
        raise PodError(f"container {container['name']} has no command")
    return [expand(word, variables) for word in words]


def privileges(container, spec, image):
    """uid, gid, groups, capabilities, no_new_privileges, seccomp and read_only, as container_init.py takes them."""
    pod_wide, own = spec.get("securityContext", {}), container.get("securityContext", {})
    said = {**pod_wide, **own}
    uid, gid = said.get("runAsUser", image.user[0]), said.get("runAsGroup", image.user[1])
    if said.get("runAsNonRoot") and uid == 0:
        raise PodError(f"container {container['name']} has runAsNonRoot and would run as root")
    if own.get("privileged"):
        raise PodError(f"container {container['name']} is privileged")
    change = own.get("capabilities", {})
    kept = set() if "ALL" in change.get("drop", []) else set(_DEFAULT_CAPABILITIES) - set(change.get("drop", []))
    groups = [*pod_wide.get("supplementalGroups", []), *([pod_wide["fsGroup"]] if "fsGroup" in pod_wide else [])]
    return {"uid": uid, "gid": gid, "groups": groups, "capabilities": sorted(kept | set(change.get("add", []))),
            "no_new_privileges": own.get("allowPrivilegeEscalation", True) is False,
            "seccomp": said.get("seccompProfile", {}).get("type") == "RuntimeDefault", "read_only": own.get("readOnlyRootFilesystem", False)}


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def memory_limit(container):
    """In bytes; None: none."""
    said = container.get("resources", {}).get("limits", {}).get("memory")
    if said is None:
        return None
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", str(said))
    if not match or match[2] not in _UNITS:
        raise PodError(f"container {container['name']} has a memory limit {said}")
    return int(match[1]) * _UNITS[match[2]]


def port(container, wanted):
    """A port by its number or its name."""
    if isinstance(wanted, int):
        return wanted
    for each in container.get("ports", []):
        if each.get("name") == wanted:
            return each["containerPort"]
    raise PodError(f"container {container['name']} has no port {wanted}")


def grace_seconds(pod):
    """What is left for its end: what whoever deletes it says, else what it says itself."""
    return pod["metadata"].get("deletionGracePeriodSeconds", pod["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS))
