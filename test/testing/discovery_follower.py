"""A discovery stream, followed as an agent follows it.

    follower = Follower(plane, plane.issue("spiffe://…"), "/10.1.0.1")
    follower.last["/10.1.0.1"]      the istio.workload.Address it was told last, None for nothing there
"""

import queue
import threading

import grpc

from .loopback_control_plane import messages
from .messages import Messages

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ADDRESS = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION = "type.googleapis.com/istio.security.Authorization"

_resources = Messages("istio/workload/workload.proto", "istio/security/authorization.proto")


class Follower:
    """`last[name]` is what it was told of a name or an alias. Without names it follows all of the type. close() ends it."""

    def __init__(self, plane, identity, *names, type_url=ADDRESS):
        self._requests = queue.Queue()
        request = messages["envoy.service.discovery.v3.DeltaDiscoveryRequest"]
        self._requests.put(request(type_url=type_url, resource_names_subscribe=names or ["*"]))
        self.last, self.error = {}, None
        self._message = _resources[type_url.rpartition("/")[2]]
        self._call = messages.caller(plane.channel(identity), ADS, "DeltaAggregatedResources")(
            iter(self._requests.get, None), timeout=120)
        self._thread = threading.Thread(target=self._read, args=(request, type_url))
        self._thread.start()

    def _read(self, request, type_url):
        try:
            for response in self._call:
                for resource in response.resources:
                    told = self._message.FromString(resource.resource.value)
                    for name in [resource.name, *resource.aliases]:
                        self.last[name] = told
                for name in response.removed_resources:
                    self.last[name] = None
                self._requests.put(request(type_url=type_url, response_nonce=response.nonce))
        except grpc.RpcError as error:
            self.error = error

    def ended(self):
        return not self._thread.is_alive()

    def close(self):
        self._call.cancel()
        self._requests.put(None)
        self._thread.join()
