"""What a node puts into a pod's volumes: folders below the pod's own, written as the kubelet writes them."""

import base64
import os
import time

from testing.kubernetes import ApiError

from .pod_spec import PodError, field


class NotThereYet(Exception):
    """An object that a volume is made of; the pod waits for it."""


class Volumes:
    """Of one pod. `claims` is a folder for persistent ones."""

    def __init__(self, api, pod, directory, claims):
        self._api, self._pod, self._directory, self._claims = api, pod, directory, claims
        self._group = pod["spec"].get("securityContext", {}).get("fsGroup")
        self._users = {container.get("securityContext", {}).get("runAsUser", pod["spec"].get("securityContext", {}).get("runAsUser"))
                       for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]}
        self._paths = {}

    def make(self):
        """All of them, or those that are not there yet; NotThereYet."""
        for volume in self._pod["spec"].get("volumes", []):
            if volume["name"] not in self._paths:
                self._paths[volume["name"]] = self._make(volume)

    def mounts(self, container):
        """Where a container wants them, as container_init.py takes them."""
        return [{"source": os.path.join(self._paths[mount["name"]], mount.get("subPath", "")).rstrip("/"), "target": mount["mountPath"],
                 "read_only": mount.get("readOnly", False)} for mount in container.get("volumeMounts", [])]

    def _make(self, volume):
        name, = set(volume) - {"name"}
        source = volume[name]
        if name == "emptyDir":  # A folder also where memory is asked for.
            return self._folder(os.path.join(self._directory, volume["name"]), 0o777)
        if name == "persistentVolumeClaim":
            claim = f"{self._pod['metadata']['namespace']}-{source['claimName']}"
            return self._folder(os.path.join(self._claims, claim), 0o755)
        if name == "projected":
            files = {path: content for each in source["sources"] for path, content in self._projection(each).items()}
        elif name in ("configMap", "secret", "downwardAPI"):
            files = self._projection({name: source})
        else:
            raise PodError(f"a node of tests has no volumes of kind {name}")
        return self._write(volume["name"], files, source.get("defaultMode", 0o644))

    def _folder(self, path, mode):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        if self._group is not None:
            os.chown(path, -1, self._group)
            os.chmod(path, mode | 0o2770)
        return path

    def _projection(self, source):
        """{path: (content, mode or None)}."""
        (kind, said), = source.items()
        if kind == "serviceAccountToken":
            # The kubelet lets nobody else read it where it can say whose it is.
            alone = self._group is not None or (len(self._users) == 1 and None not in self._users)
            return {said["path"]: (self._token(said).encode(), 0o600 if alone else None)}
        if kind == "downwardAPI":
            return {item["path"]: (field(self._pod, item["fieldRef"]["fieldPath"]).encode(), item.get("mode")) for item in said["items"]}
        data = self._object("configmaps" if kind == "configMap" else "secrets", said.get("name") or said["secretName"], said.get("optional"))
        content = {key: text.encode() for key, text in (data.get("data") or {}).items()}
        if kind == "secret":
            content = {key: base64.b64decode(text) for key, text in content.items()}
        if "items" not in said:
            return {key: (text, None) for key, text in content.items()}
        return {item["path"]: (content[item["key"]], item.get("mode")) for item in said["items"]}

    def _object(self, kind, name, optional):
        try:
            return self._api.get(f"/api/v1/namespaces/{self._pod['metadata']['namespace']}/{kind}/{name}")
        except ApiError as error:
            if error.status == 404 and optional:
                return {}
            if error.status == 404:
                raise NotThereYet(f"{kind} {name}") from None
            raise

    def _token(self, said):
        """A real one, of this audience, bound to the pod."""
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName", "default")
        return self._api.create(f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token", {
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {
                "audiences": [said["audience"]] if "audience" in said else [], "expirationSeconds": said.get("expirationSeconds", 3600),
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}}})["status"]["token"]

    def _write(self, name, files, mode):
        """Files that are links into a folder that is a link, so that all of them can change at once."""
        path = self._folder(os.path.join(self._directory, name), 0o755)
        behind = f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.monotonic_ns()}"
        for file, (content, own_mode) in files.items():
            target = os.path.join(path, behind, file)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as out:
                out.write(content)
            os.chmod(target, own_mode or mode)
            if self._group is not None:
                os.chown(target, -1, self._group)
                os.chmod(target, (own_mode or mode) | 0o440)
            elif own_mode == 0o600:
                os.chown(target, *self._users, -1)
        os.symlink(behind, os.path.join(path, "..data.new"))
        os.rename(os.path.join(path, "..data.new"), os.path.join(path, "..data"))
        for first in {file.split("/")[0] for file in files}:
            if not os.path.lexists(os.path.join(path, first)):
                os.symlink(f"..data/{first}", os.path.join(path, first))
        return path
