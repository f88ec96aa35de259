"""What is outside of pods: one node's network. The switch of it is the node: its addresses, the cluster's service addresses, the names.

Pods are hosts of it. What they send to a service's address goes to the node, their gateway, which passes it on to one of the
service's pods, as kube-proxy does: the pod sees the node's address. (Proxies of the mesh go to pods themselves.)
"""

import socket

from testing.netns import Network

from .names import DOMAIN, Names


class Machine:
    """Exists from construction to close()."""

    NODE = "10.77.0.250"  # Where the kubelet asks from: not the pods' gateway.
    API, DNS = "10.96.0.1", "10.96.0.10"
    API_PORT = 6443

    def __init__(self):
        self.network, self.names = Network(), None
        self._next, self._routes = 20, None
        try:
            self.node = self.network.switch
            self.node.ip(f"addr add {self.NODE}/16 dev br0", f"addr add {self.DNS}/32 dev lo",
                         "route add 10.96.0.0/16 dev br0")  # What the node itself sends there is passed on, too.
            self.node.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                          "net.ipv4.conf.br0.send_redirects=0")
            with self.node.entered(uid=0):
                bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                bound.bind((self.DNS, 53))
            self.names = Names(bound)
            self.serve({}, {})
        except BaseException:
            self.close()
            raise

    def host(self, label):
        """A network namespace for a pod, with an address of its own."""
        self._next += 1
        return self.network.host(label, self._next)

    def serve(self, names, ports):
        """Service addresses and what is behind them: {NAME.NAMESPACE: address}, {(address, port): (pod's address, port)}."""
        self.names.addresses = {f"{name}.svc.{DOMAIN}": address for name, address in names.items()}
        routes = {(self.API, 443): (Network.GATEWAY, self.API_PORT), **ports}
        if routes == self._routes:
            return
        chosen = ", ".join(f"{address} . {port} : {to} . {to_port}" for (address, port), (to, to_port) in sorted(routes.items()))
        self.node.run("nft", "-f", "-", stdin=f"""
            table ip services
            delete table ip services
            table ip services {{
              map chosen {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = {{ {chosen} }}; }}
              chain prerouting {{ type nat hook prerouting priority dstnat; dnat ip to ip daddr . tcp dport map @chosen; }}
              chain output {{ type nat hook output priority -100; dnat ip to ip daddr . tcp dport map @chosen; }}
              chain postrouting {{ type nat hook postrouting priority srcnat; ct status dnat masquerade; }}
            }}""")
        self._routes = routes

    def behind(self, name, port):
        """The pod's address that a service's leads to now; None."""
        address = self.names.addresses.get(f"{name}.svc.{DOMAIN}")
        return self._routes.get((address, port), (None,))[0]

    def connect(self, address, port, timeout):
        """A connection as the kubelet opens one, from the node's address."""
        made = self.node.socket(uid=0)
        try:
            made.settimeout(timeout)
            made.bind((self.NODE, 0))
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
