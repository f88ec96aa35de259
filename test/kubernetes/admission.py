"""Asks the control plane's webhook as an API server does, for what the API server of the tests cannot keep: fields newer than it."""

import base64
import copy
import http.client
import json
import ssl

NAMES = "byrnie-controlplane.byrnie-system.svc"
SIDECARS = "byrnie.io/sidecars"


def review(pod):
    metadata = pod["metadata"]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": metadata["uid"], "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": metadata["namespace"], "object": pod}}


def roots_of(configuration):
    """What the control plane has written into a MutatingWebhookConfiguration: PEM."""
    webhook, = configuration["webhooks"]
    return base64.b64decode(webhook["clientConfig"]["caBundle"]).decode()


def native(pod, connection, roots):
    """What the webhook makes of a pod that the API server keeps with classic sidecars, if it is to have native ones.

    `connection` leads to the webhook; `roots` are what the API server judges it by.
    """
    asked = copy.deepcopy(pod)
    asked["metadata"].setdefault("annotations", {})[SIDECARS] = "native"
    client = http.client.HTTPSConnection(NAMES, timeout=10)
    client.sock = ssl.create_default_context(cadata=roots).wrap_socket(connection, server_hostname=NAMES)
    try:
        client.request("POST", "/inject?timeout=10s", json.dumps(review(asked)), {"Content-Type": "application/json"})
        answer = json.loads(client.getresponse().read())["response"]
    finally:
        client.close()
    if not answer["allowed"] or "patch" not in answer:
        raise AssertionError(f"the webhook does not make it native: {answer}")
    return patched(asked, json.loads(base64.b64decode(answer["patch"])))


def patched(document, operations):
    """A JSON Patch (RFC 6902) of add, replace and remove."""
    result = copy.deepcopy(document)
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        at = result
        for part in path:
            at = at[int(part) if isinstance(at, list) else part]
        if operation["op"] == "remove":
            del at[int(last) if isinstance(at, list) else last]
        elif operation["op"] not in ("add", "replace"):
            raise ValueError(f"no such operation here: {operation}")
        elif not isinstance(at, list):
            at[last] = operation["value"]
        elif operation["op"] == "replace":
            at[int(last)] = operation["value"]
        else:
            at.insert(len(at) if last == "-" else int(last), operation["value"])
    return result
