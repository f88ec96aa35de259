#!/usr/bin/python3
"""Ordinary applications that know nothing of a mesh. Run in a pod as `apps.py ROLE ARGUMENTS`.

Servers, on all addresses of both families:
  echo PORT            sends back what it gets; after the peer's end, its own
  greet PORT NAME      answers every line with "hello from NAME, you said: LINE"
  web PORT NAME        answers HTTP GET with "hello from NAME" and the path asked for
  sink PORT            reads to the peer's end, then answers {"bytes", "sha256"} of what came
  source PORT BYTES    sends BYTES of its own making, then {"bytes", "sha256"} is its log's last line
  hold PORT            answers a connection's first byte and leaves it open, as many as its descriptors allow
Clients, which print one JSON object last:
  stream HOST PORT SECONDS RATE   sends RATE bytes/s to a sink for SECONDS and compares the checksum
  short HOST PORT SECONDS INTERVAL   one connection after the other to an echo server, each with a question and its answer,
                                  begun INTERVAL seconds apart, or later where the one before takes longer
"""

import hashlib
import json
import os
import random
import signal
import socket
import sys
import threading
import time

BLOCK = 64 * 1024


def listen(port):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", port))
    listener.listen(256)
    print(json.dumps({"listening": port}), flush=True)
    return listener


def serve(port, handle):
    listener = listen(port)
    while True:
        connection, peer = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=guarded, args=(handle, connection, peer), daemon=True).start()


def hold(port):
    listener, held = listen(port), []
    while True:  # One by one: thousands of threads would be more than the connections.
        connection, _ = listener.accept()
        connection.sendall(connection.recv(1))
        held.append(connection)


def guarded(handle, connection, peer):
    try:
        with connection:
            handle(connection)
    except OSError as error:
        print(json.dumps({"peer": peer[0], "error": str(error)}), flush=True)


def echo(connection):
    while block := connection.recv(BLOCK):
        connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)


def greeter(name):
    def greet(connection):
        with connection.makefile("rb") as lines:
            for line in lines:
                said = line.decode("utf-8", "replace").strip()
                connection.sendall(f"hello from {name}, you said: {said}\n".encode())
    return greet


def web(name):
    def answer(connection):
        asked = b""
        while b"\r\n\r\n" not in asked:
            block = connection.recv(BLOCK)
            if not block:
                return
            asked += block
        path = asked.split(b" ", 2)[1].decode("utf-8", "replace")
        body = f"hello from {name}; you asked for {path}\n".encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    return answer


def sink(connection):
    digest, total = hashlib.sha256(), 0
    while block := connection.recv(BLOCK):
        digest.update(block)
        total += len(block)
    connection.sendall(json.dumps({"bytes": total, "sha256": digest.hexdigest()}).encode())


def source(total):
    def send(connection):
        digest, left = hashlib.sha256(), total
        maker = random.Random(1)
        while left:
            block = maker.randbytes(min(left, BLOCK))
            connection.sendall(block)
            digest.update(block)
            left -= len(block)
        connection.shutdown(socket.SHUT_WR)
        print(json.dumps({"bytes": total, "sha256": digest.hexdigest()}), flush=True)
    return send


def dial(host, port, timeout=15):
    connection = socket.create_connection((host, port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def stream(host, port, seconds, rate):
    stop = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    maker = random.Random(os.getpid())
    digest, sent = hashlib.sha256(), 0
    started = time.monotonic()
    longest_pause = 0.0
    answer = {}
    error = None
    try:
        with dial(host, port) as connection:
            while time.monotonic() - started < seconds and not stop.is_set():
                block = maker.randbytes(BLOCK)
                before = time.monotonic()
                connection.sendall(block)
                longest_pause = max(longest_pause, time.monotonic() - before)
                digest.update(block)
                sent += len(block)
                ahead = sent / rate - (time.monotonic() - started)
                if ahead > 0:
                    time.sleep(ahead)
            connection.shutdown(socket.SHUT_WR)
            text = b""
            while block := connection.recv(BLOCK):
                text += block
            answer = json.loads(text)
    except (OSError, ValueError) as caught:
        error = f"{type(caught).__name__}: {caught}"
    print(json.dumps({
        "sent": sent, "received": answer.get("bytes", 0),
        "intact": answer.get("bytes") == sent and answer.get("sha256") == digest.hexdigest(),
        "sha256": digest.hexdigest(), "seconds": round(time.monotonic() - started, 2),
        "longest_pause": round(longest_pause, 3), "error": error,
    }), flush=True)


def short(host, port, seconds, interval):
    stop = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    started = time.monotonic()
    succeeded, failures, slowest = 0, [], 0.0
    while time.monotonic() - started < seconds and not stop.is_set():
        before = time.monotonic()
        question = os.urandom(512)
        try:
            with dial(host, port) as connection:
                connection.sendall(question)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while block := connection.recv(BLOCK):
                    answer += block
            if answer == question:
                succeeded += 1
            else:
                failures.append(f"{before - started:.2f} s: {len(answer)} of {len(question)} bytes")
        except OSError as error:
            failures.append(f"{before - started:.2f} s: {type(error).__name__}: {error}")
        slowest = max(slowest, time.monotonic() - before)
        stop.wait(max(0, before + interval - time.monotonic()))
    print(json.dumps({"succeeded": succeeded, "failed": len(failures), "failures": failures[:10],
                      "slowest": round(slowest, 3)}), flush=True)


def main(argv):
    role, arguments = argv[0], argv[1:]
    if role == "echo":
        serve(int(arguments[0]), echo)
    elif role == "greet":
        serve(int(arguments[0]), greeter(arguments[1]))
    elif role == "web":
        serve(int(arguments[0]), web(arguments[1]))
    elif role == "sink":
        serve(int(arguments[0]), sink)
    elif role == "source":
        serve(int(arguments[0]), source(int(arguments[1])))
    elif role == "hold":
        hold(int(arguments[0]))
    elif role == "stream":
        stream(arguments[0], int(arguments[1]), float(arguments[2]), float(arguments[3]))
    elif role == "short":
        short(arguments[0], int(arguments[1]), float(arguments[2]), float(arguments[3]))
    else:
        sys.exit(f"no role {role!r}; one of echo, greet, web, sink, source, hold, stream, short")


if __name__ == "__main__":
    main(sys.argv[1:])
