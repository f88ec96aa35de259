"""Clients of an agent's workload API and secret discovery, made with grpcio: another implementation than the agent's.

    with WorkloadClient(socket_path) as client:
        watch = client.watch("FetchX509SVID")
        wait_until(lambda: watch.messages, 5, "the first message")

Runs in the test's process, which is root: an agent has to allow uid 0.
"""

import queue
import threading

import grpc

from .messages import Messages

WORKLOAD, SECRETS = "SpiffeWorkloadAPI", "envoy.service.secret.v3.SecretDiscoveryService"
HEADER = (("workload.spiffe.io", "true"),)
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
DISCOVERY = "envoy.service.discovery.v3."

_REQUESTS = {
    "FetchX509SVID": "X509SVIDRequest", "FetchX509Bundles": "X509BundlesRequest", "FetchJWTSVID": "JWTSVIDRequest",
    "FetchJWTBundles": "JWTBundlesRequest", "ValidateJWTSVID": "ValidateJWTSVIDRequest"}

messages = Messages("spiffe/workload/workload.proto", "envoy/service/secret/v3/sds.proto",
                    "envoy/extensions/transport_sockets/tls/v3/secret.proto")


class Watch:
    """Reads a stream in a thread of its own; `messages` grows, `error` is its end."""

    def __init__(self, call):
        self.call, self.messages, self.error = call, [], None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for message in self.call:
                self.messages.append(message)
        except grpc.RpcError as error:
            self.error = error

    def cancel(self):
        self.call.cancel()
        self._thread.join(10)


class SecretStream(Watch):
    """StreamSecrets or DeltaSecrets: send() requests, read `messages`."""

    def __init__(self, method):
        self._requests = queue.SimpleQueue()
        super().__init__(method(iter(self._requests.get, None)))

    def send(self, request):
        self._requests.put(request)

    def cancel(self):
        self._requests.put(None)
        super().cancel()


class WorkloadClient:
    """See the module's comment."""

    def __init__(self, path):
        # Channels of one address share their connections unless told not to.
        self.channel = grpc.insecure_channel(f"unix://{path}", options=[("grpc.use_local_subchannel_pool", 1)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, metadata=HEADER, timeout=10, **fields):
        """A unary method's answer; grpc.RpcError."""
        request = messages[_REQUESTS[method]](**fields)
        return messages.caller(self.channel, WORKLOAD, method)(request, metadata=metadata, timeout=timeout)

    def watch(self, method, metadata=HEADER):
        return Watch(messages.caller(self.channel, WORKLOAD, method)(messages[_REQUESTS[method]](), metadata=metadata))

    def first(self, method, metadata=HEADER, timeout=10):
        """A stream's first message; grpc.RpcError."""
        call = messages.caller(self.channel, WORKLOAD, method)(
            messages[_REQUESTS[method]](), metadata=metadata, timeout=timeout)
        try:
            return next(call)
        finally:
            call.cancel()

    def secrets(self, delta=False):
        return SecretStream(messages.caller(self.channel, SECRETS, "DeltaSecrets" if delta else "StreamSecrets"))

    def fetch_secrets(self, *names, timeout=10):
        request = messages[f"{DISCOVERY}DiscoveryRequest"](type_url=SECRET_TYPE, resource_names=names)
        return messages.caller(self.channel, SECRETS, "FetchSecrets")(request, timeout=timeout)


def secret_request(names, response=None, error=None):
    """A DiscoveryRequest; with a response it acknowledges that, with an error, too, it rejects it."""
    request = messages[f"{DISCOVERY}DiscoveryRequest"](type_url=SECRET_TYPE, resource_names=names)
    if response is not None:
        request.response_nonce = response.nonce
        if error:
            request.error_detail.message = error
        else:
            request.version_info = response.version_info
    return request


def delta_request(subscribe=(), unsubscribe=(), nonce="", error=None):
    request = messages[f"{DISCOVERY}DeltaDiscoveryRequest"](
        type_url=SECRET_TYPE, resource_names_subscribe=subscribe, resource_names_unsubscribe=unsubscribe,
        response_nonce=nonce)
    if error:
        request.error_detail.message = error
    return request


def secrets_of(response):
    """{name: Secret} of a response of either form."""
    kind = messages["envoy.extensions.transport_sockets.tls.v3.Secret"]
    found = {}
    for resource in response.resources:
        packed = getattr(resource, "resource", resource)
        secret = kind.FromString(packed.value)
        found[secret.name] = secret
    return found
