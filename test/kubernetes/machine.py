"""What is outside of pods: one node's network. The switch of it is the node: its addresses, the cluster's service addresses, the names.

Pods are hosts of it. What they send to a service's address goes to the node, their gateway, which passes it on to one of the
service's pods, as kube-proxy does: the pod sees the node's address. (Proxies of the mesh go to pods themselves.)
"""

import socket

from testing.netns import Network

from .names import DOMAIN, Names


class Machine:
    """Exists from construction to close()."""

    NODE, NODE6 = "10.77.0.250", "fd77::fa"  # Where the kubelet asks from: not the pods' gateway.
    API_PORT = 6443

    def __init__(self, families="4"):
        """`families`: of pods' addresses, "4" or "6"; with "6" pods have no other."""
        self.families = families
        self.api, self.dns, self.gateway = {"4": ("10.96.0.1", "10.96.0.10", Network.GATEWAY), "6": ("fd96::1", "fd96::a", Network.GATEWAY6)}[families]
        self.network, self.names = Network(), None
        self._next, self._routes = 20, None
        try:
            self.node = self.network.switch
            self.node.ip(f"addr add {self.NODE}/16 dev br0", f"addr add {self.dns}{'/32' if families == '4' else '/128 nodad'} dev lo",
                         f"addr add {self.NODE6}/64 dev br0 nodad",
                         # What the node itself sends there is passed on, too.
                         "route add 10.96.0.0/16 dev br0", "route add fd96::/112 dev br0")
            self.node.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                          "net.ipv4.conf.br0.send_redirects=0", "net.ipv6.conf.all.forwarding=1")
            with self.node.entered(uid=0):
                bound = socket.socket(socket.AF_INET if families == "4" else socket.AF_INET6, socket.SOCK_DGRAM)
                bound.bind((self.dns, 53))
            self.names = Names(bound)
            self.serve({}, {})
        except BaseException:
            self.close()
            raise

    def host(self, label):
        """A network namespace for a pod, with an address of its own."""
        self._next += 1
        made = self.network.host(label, self._next)
        if self.families == "6":
            made.run("ip", "-4", "addr", "flush", "dev", "eth0")
        return made

    def serve(self, names, ports):
        """Service addresses and what is behind them: {NAME.NAMESPACE: [address]}, {(address, port): (pod's address, port)}."""
        self.names.addresses = {f"{name}.svc.{DOMAIN}": addresses for name, addresses in names.items()}
        routes = {(self.api, 443): (self.gateway, self.API_PORT), **ports}
        if routes == self._routes:
            return
        self.node.run("nft", "-f", "-", stdin="".join(self._table(family, routes) for family in ("ip", "ip6")))
        self._routes = routes

    @staticmethod
    def _table(family, routes):
        kind = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}[family]
        chosen = ", ".join(f"{address} . {port} : {to} . {to_port}" for (address, port), (to, to_port) in sorted(routes.items())
                           if (":" in address) == (family == "ip6"))
        elements = f"elements = {{ {chosen} }};" if chosen else ""
        return f"""
            table {family} services
            delete table {family} services
            table {family} services {{
              map chosen {{ type {kind} . inet_service : {kind} . inet_service; {elements} }}
              chain prerouting {{ type nat hook prerouting priority dstnat; dnat {family} to {family} daddr . tcp dport map @chosen; }}
              chain output {{ type nat hook output priority -100; dnat {family} to {family} daddr . tcp dport map @chosen; }}
              chain postrouting {{ type nat hook postrouting priority srcnat; ct status dnat masquerade; }}
            }}"""

    def behind(self, name, port):
        """The pod's address that a service's first one leads to now; None."""
        addresses = self.names.addresses.get(f"{name}.svc.{DOMAIN}", [None])
        return self._routes.get((addresses[0], port), (None,))[0]

    def connect(self, address, port, timeout):
        """A connection as the kubelet opens one, from the node's address."""
        six = ":" in address
        made = self.node.socket(socket.AF_INET6 if six else socket.AF_INET, uid=0)
        try:
            made.settimeout(timeout)
            made.bind((self.NODE6 if six else self.NODE, 0))
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def close(self):
        if self.names:
            self.names.close()
            self.names = None
        self.network.delete()
