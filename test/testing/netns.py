"""Network namespaces, and sockets in them.

A namespace here is one of `ip netns`, so that a person can look into it too. Test code opens sockets of a
namespace directly: only the calling thread enters it, for as long as the socket takes to make.
"""

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess

from .interruption import uninterrupted

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

# What applications run as in tests: any user but the proxy's.
APPLICATION_UID = 65534


def run(*argv, stdin=None, check=True):
    """Runs a command of the machine; a failure carries what it said."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done


def ip_batch(*commands):
    """Runs several `ip` commands in one process."""
    run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Namespace:
    """One network namespace. It exists from construction to delete()."""

    def __init__(self, label):
        self.name = f"byr-{secrets.token_hex(3)}-{label}"
        self.path = f"/run/netns/{self.name}"
        run("ip", "netns", "add", self.name)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def delete(self):
        if self._fd is None:
            return
        os.close(self._fd)
        self._fd = None
        run("ip", "netns", "delete", self.name, check=False)

    def ip(self, *commands):
        """Runs `ip` commands inside."""
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(commands) + "\n")

    def command(self, argv, uid=None, privileges=False, capabilities=()):
        """The argv that runs `argv` inside, as `uid` (root if None) with `capabilities`, dying with this process."""
        prefix = ["nsenter", f"--net={self.path}", "--", "setpriv"]
        if uid is not None:
            prefix += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        for capability in capabilities:
            prefix += [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
        if not privileges:
            prefix += ["--no-new-privs"]
        return prefix + ["--pdeathsig=KILL", "--"] + [str(word) for word in argv]

    def run(self, *argv, uid=None, check=True, stdin=None):
        """Runs a command inside to its end."""
        return run(*self.command(argv, uid=uid), check=check, stdin=stdin)

    @contextlib.contextmanager
    def entered(self, uid=APPLICATION_UID):
        """The calling thread is inside, and its new sockets belong to `uid`."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self._fd)
            _libc.setfsuid(uid)
            try:
                yield
            finally:
                _libc.setfsuid(os.geteuid())
                _setns(home)
        finally:
            os.close(home)

    def socket(self, family=socket.AF_INET, uid=APPLICATION_UID):
        """A TCP socket of an application inside."""
        with self.entered(uid):
            made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def connect(self, address, port, timeout=10, uid=APPLICATION_UID, receive_buffer=None):
        """A connection opened from inside, as an application would."""
        made = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, uid)
        try:
            if receive_buffer:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            made.settimeout(timeout)
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, port, timeout=10, receive_buffer=None, backlog=128, uid=APPLICATION_UID):
        """A listener inside, on all addresses of both families."""
        made = self.socket(socket.AF_INET6, uid)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(timeout)
        made.bind(("::", port))
        made.listen(backlog)
        return made

    def accept(self, listener, uid=APPLICATION_UID):
        """A connection of a listener inside. What is accepted belongs to who accepts it."""
        with self.entered(uid):
            return listener.accept()[0]


class Network:
    """A switch with its own namespace, and hosts plugged into it. Nothing of it is visible outside.

    The switch is also the default gateway of every host, so an address nobody has still has a route: what
    leaves a host for such an address is seen on the wire.
    """

    GATEWAY = "10.77.0.1"
    GATEWAY6 = "fd77::1"

    def __init__(self):
        self.namespaces = []
        self.switch = self._add("switch")
        # An address of its own: that of one of its ports would change when the port goes, and hosts would send to the old one for a minute.
        self.switch.ip(
            "link set lo up",
            "link add br0 address 02:00:0a:4d:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"addr add {self.GATEWAY}/16 dev br0",
            f"addr add {self.GATEWAY6}/64 dev br0 nodad",
            "link set br0 up",
        )

    def _add(self, label):
        with uninterrupted():
            made = Namespace(label)
            self.namespaces.append(made)
        return made

    def host(self, label, number):
        """A namespace with the addresses 10.77.0.NUMBER and fd77::NUMBER; its port on the switch is pNUMBER."""
        made = self._add(label)
        made.number = number
        made.address = f"10.77.0.{number}"
        made.address6 = f"fd77::{number:x}"
        made.port = f"p{number}"
        ip_batch(
            f"link add eth0 netns {made.name} type veth peer name {made.port} netns {self.switch.name}")
        self.switch.ip(f"link set {made.port} master br0", f"link set {made.port} up")
        made.ip(
            "link set lo up",
            f"addr add {made.address}/16 dev eth0",
            f"addr add {made.address6}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {self.GATEWAY}",
            f"route add default via {self.GATEWAY6}",
        )
        return made

    def delete(self):
        for namespace in reversed(self.namespaces):
            namespace.delete()
        self.namespaces = []
