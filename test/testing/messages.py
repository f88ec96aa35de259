"""Protocol messages and gRPC services of the .proto files in api/, made when they are asked for.

Nothing generated is kept: protoc describes the files, and the classes are made of the description.
"""

import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, message_factory

API = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "api")


class Messages:
    """The messages of some .proto files, and of all they import, by full name: `messages["byrnie.ca.v1.IssueRequest"]`."""

    def __init__(self, *files):
        with tempfile.TemporaryDirectory(prefix="byr-proto-") as directory:
            path = os.path.join(directory, "set")
            subprocess.run(["protoc", f"-I{API}", "-I/usr/include", "--include_imports", f"--descriptor_set_out={path}", *files],
                           check=True)
            with open(path, "rb") as described:
                self._files = descriptor_pb2.FileDescriptorSet.FromString(described.read())
        self._classes = message_factory.GetMessages(self._files.file)

    def __getitem__(self, name):
        return self._classes[name]

    def _methods(self, service):
        for file in self._files.file:
            for candidate in file.service:
                if f"{file.package}.{candidate.name}".lstrip(".") == service:
                    return candidate.method
        raise KeyError(service)

    def handler(self, service, implementations):
        """A gRPC handler of a service: {method: function(request or iterator, context)}.

        A function may answer bytes instead of a message: they are sent as they are.
        """
        handlers = {}
        for method in self._methods(service):
            if method.name not in implementations:
                continue
            make = {(False, False): grpc.unary_unary_rpc_method_handler,
                    (False, True): grpc.unary_stream_rpc_method_handler,
                    (True, False): grpc.stream_unary_rpc_method_handler,
                    (True, True): grpc.stream_stream_rpc_method_handler}[method.client_streaming, method.server_streaming]
            handlers[method.name] = make(implementations[method.name],
                                         request_deserializer=self[method.input_type.lstrip(".")].FromString,
                                         response_serializer=serialize)
        return grpc.method_handlers_generic_handler(service, handlers)

    def caller(self, channel, service, name):
        """The method `name` of a service as a function, on a channel of grpcio."""
        method = next(method for method in self._methods(service) if method.name == name)
        make = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
                (True, False): channel.stream_unary, (True, True): channel.stream_stream}[
                    method.client_streaming, method.server_streaming]
        return make(f"/{service}/{name}", request_serializer=serialize,
                    response_deserializer=self[method.output_type.lstrip(".")].FromString)


def serialize(message):
    return message if isinstance(message, bytes) else message.SerializeToString()
