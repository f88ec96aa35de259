#!/usr/bin/python3
"""Twenty thousand short connections, some of which end badly, leave nothing behind and are all accounted for.

Proved: 20 000 connections, 1 % of them reset and 1 % ended one-sidedly at a random point by a random end: the others are
answered byte for byte, a reset arrives as a reset and an end as an end; the proxies' descriptors and gauges are back to where they were,
memory stays within 4 MiB of what it was after the first 2 000; connections opened are connections closed, by reason.
"""

import asyncio
import collections
import os
import random
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.leaks import Leaks
from testing.process import wait_until
from testing.sanitized import measured
from testing.tcp import reset, unacknowledged

TOTAL, WARM_UP, AT_ONCE = 20_000, 2_000, 100
POOL = os.urandom(1 << 16)
HEADER = struct.Struct("!IIB")
# What a connection does, told to the server in its first bytes. Resets and one-sided ends come at one of the points named.
PLAIN, RESET_BY_CLIENT, RESET_BY_SERVER, END_BY_CLIENT, END_BY_SERVER = range(5)
POINTS = ("amid the question", "before the answer", "amid the answer")


class Churn:
    """Both applications, on one asyncio loop: it runs in the client's pod, the listener is the server's."""

    def __init__(self, address, port, listener, seed):
        self._address, self._listener = (address, port), listener
        self._random = random.Random(seed)
        self._servers = set()
        self.wrong = []
        self.done = collections.Counter()

    async def run(self, total):
        self._loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        left = iter(range(total))
        await asyncio.gather(*(self._take(left) for _ in range(AT_ONCE)))
        while self._servers:
            await asyncio.wait(set(self._servers), timeout=20)
        accepting.cancel()

    async def _take(self, left):
        for _ in left:
            kind = PLAIN
            if self._random.random() < 0.02:
                kind = self._random.choice((RESET_BY_CLIENT, RESET_BY_SERVER, END_BY_CLIENT, END_BY_SERVER))
            await self._guard("client", self._ask(kind, self._random.choice(POINTS)), kind)

    async def _accept(self):
        while True:
            connection, _ = await self._loop.sock_accept(self._listener)
            task = asyncio.create_task(self._guard("server", self._answer(connection), None))
            self._servers.add(task)
            task.add_done_callback(self._servers.discard)

    async def _guard(self, who, work, kind):
        try:
            await asyncio.wait_for(work, 30)
        except (OSError, AssertionError, asyncio.TimeoutError) as error:
            self.wrong.append(f"{who}, kind {kind}: {error!r}")

    async def _read(self, connection, size):
        parts, left = [], size
        while left:
            part = await self._loop.sock_recv(connection, min(left, 1 << 16))
            if not part:
                raise AssertionError(f"an end after {size - left} of {size} bytes")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    async def _wait_end(self, connection):
        if await self._loop.sock_recv(connection, 1):
            raise AssertionError("a byte after the last one")

    async def _wait_reset(self, connection, sending=b""):
        """Reads until the reset; whatever was on its way before it may come."""
        try:
            while sending:
                await self._loop.sock_sendall(connection, sending)
                sending = b""
            while await self._loop.sock_recv(connection, 1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError("an end instead of a reset")

    async def _ask(self, kind, point):
        number, size = self._random.randrange(1 << 15), self._random.choice((100, 1000, 10_000))
        question = POOL[number:number + size]
        header = HEADER.pack(number, size, kind << 4 | POINTS.index(point))
        with socket.socket() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            await self._loop.sock_connect(connection, self._address)
            self.done[kind] += 1
            if kind == RESET_BY_CLIENT:
                await self._loop.sock_sendall(connection, header + question[:size // 2])
                while unacknowledged(connection):  # A reset would eat it before anybody has it.
                    await asyncio.sleep(0.002)
                if point != "amid the question":
                    await self._loop.sock_sendall(connection, question[size // 2:])
                if point == "amid the answer":
                    await self._read(connection, size // 2)
                elif point == "before the answer":
                    await self._read(connection, 1)
                return reset(connection)
            if kind == RESET_BY_SERVER:
                return await self._wait_reset(connection, header + question)
            await self._loop.sock_sendall(connection, header + question)
            if kind == END_BY_CLIENT:
                connection.shutdown(socket.SHUT_WR)
            answer = await self._read(connection, size)
            if answer != question:
                raise AssertionError(f"{size} bytes are not those that were sent")
            if kind == END_BY_SERVER:
                await self._wait_end(connection)
                await self._loop.sock_sendall(connection, b"after the end")
            if kind != END_BY_CLIENT:
                connection.shutdown(socket.SHUT_WR)
            if kind != END_BY_SERVER:
                await self._wait_end(connection)

    async def _answer(self, connection):
        with connection:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number, size, what = HEADER.unpack(await self._read(connection, HEADER.size))
            kind, point = what >> 4, POINTS[what & 15]
            expected = POOL[number:number + size]
            if kind == RESET_BY_CLIENT and point == "amid the question":
                return await self._wait_reset(connection)
            if kind == RESET_BY_SERVER and point == "amid the question":
                return reset(connection)
            question = await self._read(connection, size)
            if question != expected:
                raise AssertionError(f"{size} bytes of a question are not those that were sent")
            if kind == RESET_BY_SERVER:
                if point == "amid the answer":
                    await self._loop.sock_sendall(connection, question[:size // 2])
                return reset(connection)
            if kind == RESET_BY_CLIENT:
                return await self._wait_reset(connection, question[:size // 2])
            if kind == END_BY_CLIENT:
                await self._wait_end(connection)
            await self._loop.sock_sendall(connection, question)
            if kind == END_BY_SERVER:
                connection.shutdown(socket.SHUT_WR)
                if await self._read(connection, 13) != b"after the end":
                    raise AssertionError("other bytes after the end")
            if kind != END_BY_CLIENT:
                await self._wait_end(connection)


class ShortConnectionsTest(MeshTestCase):

    def churn(self, total, seed):
        churn = Churn(self.mesh.vip, 80, self.listener, seed)
        with self.client.host.entered():  # Once: for each socket it would cost more than the connection.
            asyncio.run(churn.run(total))
        self.assertEqual(churn.wrong[:10], [], f"{len(churn.wrong)} of {total}")
        self.assertEqual(sum(churn.done.values()), total)
        return churn.done

    def counts(self, pod, direction):
        metrics = pod.metrics()
        opened = metrics[f'byrnie_proxy_connections_opened_total{{direction="{direction}"}}']
        closed = sum(value for name, value in metrics.items()
                     if name.startswith("byrnie_proxy_connections_closed_total{") and f'"{direction}"' in name)
        return opened, closed

    def test_nothing_is_left_and_everything_is_accounted_for(self):
        self.listener = self.server.listen(8080, backlog=1024)
        self.churn(WARM_UP, seed=1)
        ways = {self.client: "outbound", self.server: "inbound"}
        leaks = Leaks(*ways)
        before = {pod: (self.counts(pod, way)[0], pod.proxy.memory_kib()) for pod, way in ways.items()}
        done = self.churn(TOTAL, seed=2)
        leaks.check()
        resets = done[RESET_BY_CLIENT] + done[RESET_BY_SERVER]
        print(f"{done[PLAIN]} plain, {resets} reset, {done[END_BY_CLIENT] + done[END_BY_SERVER]} ended one-sidedly", flush=True)
        for pod, way in ways.items():
            opened, memory = before[pod]
            now_opened, now_closed = self.counts(pod, way)
            self.assertEqual(now_opened, now_closed, f"{pod.name}: opened and closed")
            self.assertEqual(now_opened - opened, TOTAL, f"{pod.name}: opened")
            reasons = collections.Counter()

            def all_logged(pod=pod, way=way, reasons=reasons):
                reasons.clear()
                reasons.update(record["reason"] for record in pod.access_log(direction=way))
                return sum(reasons.values()) == now_opened
            wait_until(all_logged, 10, f"a record for each connection in {pod.name}'s access log", every=0.5)
            self.assertEqual(set(reasons), {"closed", "reset-by-downstream", "reset-by-upstream"}, reasons)
            with measured():
                wait_until(lambda pod=pod, memory=memory: pod.proxy.memory_kib() < memory + 4096, 20,
                           f"memory of {pod.name}'s proxy within 4 MiB of {memory} KiB", every=0.5)
            print(f"{pod.name}: {dict(reasons)}, {memory} KiB before, {pod.proxy.memory_kib()} KiB after", flush=True)
        self.listener.close()


if __name__ == "__main__":
    sys.exit(main())
