#!/usr/bin/python3
"""A gRPC server with the standard health service, by gRPC's own library: grpc_health_server.py PORT. Says "listening" when it does.

The server as a whole and "shop.Cart" are SERVING, "shop.Till" is NOT_SERVING; what else is asked for is not known (NOT_FOUND).
"""

import concurrent.futures
import sys

import grpc

# HealthCheckResponse by the HealthCheckRequest.
ANSWERS = {b"": b"\x08\x01", b"\x0a\x09shop.Cart": b"\x08\x01", b"\x0a\x09shop.Till": b"\x08\x02"}


def check(request, context):
    if request not in ANSWERS:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return ANSWERS[request]


def main():
    method = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[method])
    server.add_insecure_port(f"[::]:{sys.argv[1]}")
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
