#!/usr/bin/python3
"""Measures the first figures of a pod on this machine and prints them as Markdown: memory at rest, memory of an idle
connection, time from start to ready, the signature's round trip. As root, after building the binaries:

    sudo /usr/bin/python3 test/bench/figures.py [--connections 1000] [--starts 9]
"""

import argparse
import os
import platform
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.mesh import Mesh, http_request  # noqa: E402


def settle(seconds=2.0):
    """Lets allocators and timers come to rest before memory is read."""
    time.sleep(seconds)


def idle_connections(client, server, count):
    """Bytes of PSS that one more idle connection costs each proxy."""
    server.app("echo", "9000")
    warm = client.connect(server.address, 9000)
    warm.sendall(b"x")
    assert warm.recv(1) == b"x"
    settle()
    before = [pod.proxy.memory_kib() for pod in (client, server)]
    held = []
    for _ in range(count):
        connection = client.connect(server.address, 9000)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        held.append(connection)
    settle()
    after = [pod.proxy.memory_kib() for pod in (client, server)]
    for connection in held + [warm]:
        connection.close()
    return [(new - old) * 1024 / count for old, new in zip(before, after)]


def start_to_ready(pod, starts):
    """Milliseconds from exec of the proxy to readiness, the agent already having its certificate; one value a start."""
    times = []
    for _ in range(starts):
        pod.proxy.terminate()
        begun = time.monotonic()
        pod.start_proxy()
        while True:
            try:
                if http_request(pod.host, 15021, "/healthz/ready", address=pod.address, timeout=1)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.001)
        times.append((time.monotonic() - begun) * 1000)
    return times


def signature_microseconds(pod):
    """(mean µs, count) of the signatures the proxy asked for since it started."""
    metrics = pod.metrics()
    count = metrics["byrnie_proxy_sign_seconds_count"]
    return metrics["byrnie_proxy_sign_seconds_sum"] / count * 1e6, int(count)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=9)
    options = parser.parse_args()
    with Mesh() as mesh:
        client, server = mesh.pair()
        settle()
        rest = {name: process.memory_kib() / 1024
                for name, process in (("proxy", client.proxy), ("agent", client.agent),
                                      ("control plane", mesh.control_plane.process))}
        per_connection = idle_connections(client, server, options.connections)
        starts = start_to_ready(client, options.starts)
        server.app("echo", "9001")
        for _ in range(40):
            # A restarted proxy has no tunnels: each pass makes a new one, so each asks for signatures.
            client.proxy.terminate()
            client.start_proxy()
            client.wait_ready()
            with client.connect(server.address, 9001) as connection:
                connection.sendall(b"x")
                assert connection.recv(1) == b"x"
        signature, signatures = signature_microseconds(server)
    print(f"| figure | measured on {os.cpu_count()} cores, Linux {platform.release()} | budget |")
    print("|---|---:|---:|")
    print(f"| proxy at rest, PSS | {rest['proxy']:.1f} MiB | 6 MiB |")
    print(f"| agent at rest, PSS | {rest['agent']:.1f} MiB | 20 MiB |")
    print(f"| control plane at rest, PSS | {rest['control plane']:.1f} MiB | |")
    for side, value in zip(("client", "server"), per_connection):
        print(f"| memory of an idle connection, {side} side, of {options.connections} | {value:.0f} bytes | 4096 bytes |")
    print(f"| proxy from start to ready, agent running | median {statistics.median(starts):.0f} ms "
          f"({min(starts):.0f}–{max(starts):.0f}) | 50 ms |")
    print(f"| signature, proxy to agent and back, mean of {signatures} | {signature:.0f} µs | |")


if __name__ == "__main__":
    main()
