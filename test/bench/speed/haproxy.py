"""HAProxy on both sides of the hop, tuned for it."""

from testing.netns import APPLICATION_UID
from testing.process import wait_until

from .contender import Contender, peers_folder
from .world import BULK, ECHO

LOCAL_ECHO, LOCAL_BULK, TLS_ECHO, TLS_BULK = 18080, 18081, 18443, 18444

# What matters: two threads for two cores, each with listeners of its own; buffers that hold four TLS records; no log; no
# waiting for a first byte (tcp-smart-accept) or for the connection's last ACK (tcp-smart-connect); as many connections as
# 20 000 descriptors allow. busy-polling is left off: it would take both cores from everything else.
_GLOBAL = """
global
    nbthread 2
    maxconn 9900
    tune.bufsize 65536
    tune.maxaccept 64
    tune.ssl.cachesize {cache}
    ssl-server-verify required
defaults
    mode tcp
    maxconn 9900
    option tcp-smart-accept
    option tcp-smart-connect
    timeout connect 10s
    timeout client 1h
    timeout server 1h
"""
_TLS = "ciphersuites TLS_AES_128_GCM_SHA256 ssl-min-ver TLSv1.3 ca-file {roots} verify required"


def client_config(files, server_address, resuming):
    tls = _TLS.format(roots=files.roots) + f" crt {files.path('client.pem')}" + ("" if resuming else " no-ssl-reuse")
    return _GLOBAL.format(cache=20000 if resuming else 0) + "".join(f"""
listen {name}
    bind 127.0.0.1:{local} shards by-thread
    server other {server_address}:{remote} ssl {tls}
""" for name, local, remote in (("echo", LOCAL_ECHO, TLS_ECHO), ("bulk", LOCAL_BULK, TLS_BULK)))


def server_config(files, address, resuming):
    tls = (_TLS.format(roots=files.roots) + f" crt {files.path('server.pem')} curves X25519" +
           ("" if resuming else " no-tls-tickets"))
    return _GLOBAL.format(cache=20000 if resuming else 0) + "".join(f"""
listen {name}
    bind {address}:{remote} shards by-thread ssl {tls}
    server application 127.0.0.1:{port}
""" for name, remote, port in (("echo", TLS_ECHO, ECHO), ("bulk", TLS_BULK, BULK)))


class HAProxy(Contender):
    """One process of two threads on each side; TLS sessions are resumed or not."""

    def __init__(self, world, make_files, resuming=False):
        super().__init__("haproxy_resuming" if resuming else "haproxy", "HAProxy" + (", resuming" if resuming else ""))
        self.world, self._make_files, self.resuming = world, make_files, resuming
        # Both kinds run at the same time, on addresses of their own.
        self.offset = 100 if resuming else 0

    def _start(self):
        client, server, load_server = self.world.plain_pair()
        files = self._make_files()
        program = self.world.program(f"{peers_folder()}/usr/sbin/haproxy")
        libraries = self.world.library_folder(f"{peers_folder()}/libraries")
        sides = {}
        for side, host, text in (("client", client, client_config(files, server.address, self.resuming)),
                                 ("server", server, server_config(files, server.address, self.resuming))):
            config = files.write(f"{self.key}-{side}.cfg", self.shifted(text))
            sides[side] = [self.world.spawn(
                self.key, host, ["env", f"LD_LIBRARY_PATH={libraries}", program, "-db", "-f", config],
                self.world.log_path(f"{self.key}-{side}"), uid=APPLICATION_UID)]
        self.set_up(client, sides, load_server, ("127.0.0.1", LOCAL_ECHO + self.offset), ("127.0.0.1", LOCAL_BULK + self.offset))
        wait_until(self.answers, 10, f"{self.title}'s start")

    def shifted(self, text):
        for port in (LOCAL_ECHO, LOCAL_BULK, TLS_ECHO, TLS_BULK):
            text = text.replace(f":{port} ", f":{port + self.offset} ")
        return text
