#!/usr/bin/python3
"""An application of a pod, which knows nothing of a mesh. Run as `app.py ROLE ARGUMENTS`.

  serve PORT NAME      answers HTTP: "hello from NAME"; /healthz; /slow/SECONDS, whose answer has begun before it waits; on SIGTERM it
                       takes nothing new, ends what it has, and exits 0
  health PORT          says by gRPC that it is healthy
  get URL [SECONDS]    prints the answer, every part when it comes; again until then if there is none
"""

import concurrent.futures
import http.server
import signal
import socket
import sys
import threading
import time
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    name = ""

    def do_GET(self):
        _, _, seconds = self.path.partition("/slow/")
        body = f"hello from {self.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + len(b"begun\n") * bool(seconds)))
        self.end_headers()
        if seconds:
            self.wfile.write(b"begun\n")
            time.sleep(float(seconds))
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, address_family = False, socket.AF_INET6


def serve(port, name):
    Handler.name = name
    server = Server(("::", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()


def health(port):
    import grpc  # Nobody else waits for it.

    def check(_request, _context):
        return b"\x08\x01"
    method = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[method])
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.wait_for_termination()


def get(url, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                while part := answer.read1(65536):
                    print(part.decode(), end="", flush=True)
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                sys.exit(f"{url}: {error}")
        time.sleep(0.1)


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    if role == "serve":
        serve(int(words[0]), words[1])
    elif role == "health":
        health(int(words[0]))
    elif role == "get":
        get(words[0], float(words[1]) if len(words) > 1 else 0)
    else:
        sys.exit(f"no such role: {role}")
