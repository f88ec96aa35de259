"""The cluster's name service: answers for services over UDP, A and AAAA records alone."""

import socket
import struct
import threading

_A, _AAAA, _IN = 1, 28, 1
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583  # Authoritative, recursion available.
DOMAIN = "cluster.local"


class Names:
    """Serves on a bound UDP socket until close(). `addresses` is {"web.shop.svc.cluster.local": ["10.96.0.7"]}; replace it whole."""

    def __init__(self, bound):
        self.addresses, self.asked = {}, []
        self._socket = bound
        self._socket.settimeout(0.2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._ending.is_set():
            try:
                question, client = self._socket.recvfrom(1500)
                self._socket.sendto(self._answer(question), client)
            except (OSError, IndexError, struct.error):
                pass

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("ascii", "replace").lower())
            at += question[at] + 1
        name, (kind, _), end = ".".join(labels), struct.unpack_from("!HH", question, at + 1), at + 5
        addresses = self.addresses.get(name)
        self.asked.append(name)
        family = {_A: socket.AF_INET, _AAAA: socket.AF_INET6}.get(kind)
        packed = [socket.inet_pton(family, address) for address in addresses or () if family and (":" in address) == (kind == _AAAA)]
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, _IN, 5, len(each)) + each for each in packed)
        # What there is has no other records; what there is not may be below another domain of the search list.
        header = struct.pack("!HHHHHH", struct.unpack_from("!H", question)[0], _ANSWER if addresses else _NO_SUCH_NAME, 1, len(packed), 0, 0)
        return header + question[12:end] + records

    def close(self):
        self._ending.set()
        self._thread.join()
        self._socket.close()


def resolv_conf(server, namespace):
    """What a pod gets."""
    return f"nameserver {server}\nsearch {namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\noptions ndots:5\n"
