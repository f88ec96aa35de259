"""A relay that puts TLS around what a local client sends, for clients that cannot verify a SPIFFE ID: grpcio knows host names only.

    with TlsRelay(15012, bundle_pem, "spiffe://cluster.local/byrnie/controlplane") as relay:
        grpc.insecure_channel(f"127.0.0.1:{relay.port}")

It verifies the server's chain and its one URI SAN, and shows a client certificate where it has one. Loopback only.
"""

import asyncio
import contextlib
import ssl
import threading


class TlsRelay:
    """See the module's comment. `certificate` is (chain file, key file)."""

    def __init__(self, target_port, bundle_pem, server_id, certificate=None):
        self._target_port, self._server_id = target_port, server_id
        self._context = ssl.create_default_context(cadata=bundle_pem.decode())
        self._context.check_hostname = False
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.set_alpn_protocols(["h2"])
        if certificate:
            self._context.load_cert_chain(*certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def _serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, ssl=self._context)
            names = far_writer.get_extra_info("peercert")["subjectAltName"]
            if names != (("URI", self._server_id),):
                raise ConnectionError(f"the server is {names}")
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except (OSError, ssl.SSLError):
            writer.transport.abort()

    @staticmethod
    async def _pump(reader, writer):
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    def close(self):
        async def stop():
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
