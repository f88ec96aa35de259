"""nginx's stream module on both sides of the hop, tuned for it."""

import os

from testing.netns import APPLICATION_UID
from testing.process import memory_kib, wait_until

from .contender import Contender, peers_folder
from .peer_files import SERVER_NAME
from .world import BULK, ECHO

LOCAL_ECHO, LOCAL_BULK, TLS_ECHO, TLS_BULK = 28080, 28081, 28443, 28444
WORKERS = 2

# What matters: two workers for two cores, each with listeners of its own (reuseport), so that none waits for the other to
# accept; buffers that hold four TLS records; no log.
_MAIN = """
load_module {modules}/ngx_stream_module.so;
daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {directory}/{key}-{side}.pid;
error_log stderr error;
events {{
    worker_connections 10500;
    use epoll;
    multi_accept on;
    accept_mutex off;
}}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_buffer_size 64k;
    proxy_connect_timeout 10s;
    proxy_timeout 1h;
{servers}}}
"""

_CLIENT = """    server {{
        listen 127.0.0.1:{local} reuseport backlog=4096;
        proxy_pass {address}:{remote};
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        proxy_ssl_conf_command Groups X25519;
        proxy_ssl_certificate {files}/client.crt;
        proxy_ssl_certificate_key {files}/client.key;
        proxy_ssl_trusted_certificate {files}/roots.pem;
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 2;
        proxy_ssl_name {name};
        proxy_ssl_session_reuse {reuse};
    }}
"""

_SERVER = """    server {{
        listen {address}:{remote} ssl reuseport backlog=4096;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;
        ssl_certificate {files}/server.crt;
        ssl_certificate_key {files}/server.key;
        ssl_client_certificate {files}/roots.pem;
        ssl_verify_client on;
        ssl_verify_depth 2;
        {sessions}
        proxy_pass 127.0.0.1:{port};
    }}
"""


class Nginx(Contender):
    """Two workers on each side; TLS sessions are resumed or not."""

    def __init__(self, world, make_files, resuming=False):
        super().__init__("nginx_resuming" if resuming else "nginx", "nginx" + (", resuming" if resuming else ""))
        self.world, self._make_files, self.resuming = world, make_files, resuming
        self.offset = 100 if resuming else 0

    def _start(self):
        client, server, load_server = self.world.plain_pair()
        files = self._make_files()
        program = self.world.program(f"{peers_folder()}/usr/sbin/nginx")
        modules = self.world.library_folder(f"{peers_folder()}/usr/lib/nginx/modules")
        ports = ((LOCAL_ECHO, TLS_ECHO, ECHO), (LOCAL_BULK, TLS_BULK, BULK))
        common = {"files": files.directory, "address": server.address, "name": SERVER_NAME}
        if self.resuming:
            sessions = "ssl_session_tickets on;"
        else:
            sessions = "ssl_session_cache off; ssl_session_tickets off;"
        texts = {
            "client": "".join(_CLIENT.format(local=local + self.offset, remote=remote + self.offset,
                                             reuse="on" if self.resuming else "off", **common) for local, remote, _ in ports),
            "server": "".join(_SERVER.format(remote=remote + self.offset, port=port, sessions=sessions, **common)
                              for _, remote, port in ports)}
        sides = {}
        for side, host in (("client", client), ("server", server)):
            config = files.write(f"{self.key}-{side}.conf", _MAIN.format(
                modules=modules, directory=files.directory, key=self.key, side=side, workers=WORKERS, servers=texts[side]))
            # In a namespace of processes, which end with the first of them: nothing is left of a master that is killed.
            tree = self.world.spawn(
                self.key, host, ["unshare", "--pid", "--fork", "--", *as_user(APPLICATION_UID),
                                 program, "-p", files.directory, "-e", "stderr", "-c", config],
                self.world.log_path(f"{self.key}-{side}"))
            wait_until(lambda: len(descendants(tree.pid)) == 1 + WORKERS, 10, f"{self.title}'s start")
            sides[side] = [Descendant(tree, pid) for pid in descendants(tree.pid)]
        self.set_up(client, sides, load_server, ("127.0.0.1", LOCAL_ECHO + self.offset), ("127.0.0.1", LOCAL_BULK + self.offset))
        wait_until(self.answers, 10, f"an answer through {self.title}")


class Descendant:
    """A process below one that the harness has started, of which it can tell what it can tell of its own."""

    def __init__(self, tree, pid):
        self._tree, self.pid = tree, pid
        self.name, self.log_text = tree.name, tree.log_text

    @property
    def returncode(self):
        return self._tree.returncode

    def running(self):
        return self._tree.running() and os.path.exists(f"/proc/{self.pid}")

    def memory_kib(self):
        return memory_kib(self.pid)


def descendants(pid):
    """Processes below one, parents first."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        below = [int(word) for word in children.read().split()]
    return below + [deeper for child in below for deeper in descendants(child)]


def as_user(uid):
    """What comes before the words of a command that another user is to run, and that is to end with who started it."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--pdeathsig=KILL", "--"]
