"""Packet captures on the switch, and what TLS tells to anyone who listens."""

import os
import re
import signal
import socket
import struct
import time

from .process import Process, wait_until

GROUPS = {0x11EC: "X25519MLKEM768", 0x001D: "x25519", 0x0017: "secp256r1"}
CIPHERS = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384",
           0x1303: "TLS_CHACHA20_POLY1305_SHA256"}


class Capture:
    """tcpdump on one port of the switch: everything that enters or leaves one host."""

    def __init__(self, network, port, directory, expression="tcp"):
        self.path = os.path.join(directory, f"capture-{port}-{os.urandom(3).hex()}.pcap")
        self._process = Process("tcpdump", network.switch,
                                ["tcpdump", "--immediate-mode", "-i", port, "-n", "-U", "-s", "0", "-B", "16384", "-Z", "root",
                                 "-w", self.path] + ([expression] if expression else []),
                                self.path + ".log")
        wait_until(lambda: "listening on" in self._process.log_text(), 10, "tcpdump's start")

    def stop(self):
        """Ends the capture; AssertionError if the kernel dropped packets, because then absence proves nothing."""
        if self._process.running():
            # What is on its way through the ring is written first; an end discards it.
            time.sleep(0.2)
            self._process.signal(signal.SIGINT)
            self._process.wait()
        dropped = re.search(r"(\d+) packets dropped by kernel", self._process.log_text())
        if dropped and int(dropped.group(1)):
            raise AssertionError(f"the capture lost {dropped.group(1)} packets")
        return self

    def abandon(self):
        self._process.end()

    def packets(self):
        """(source, source port, destination, destination port, sequence number, payload) of each TCP segment."""
        with open(self.path, "rb") as file:
            data = file.read()
        at = 24
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            frame = data[at + 16:at + 16 + length]
            at += 16 + length
            packet = _tcp_of(frame)
            if packet:
                yield packet

    def count(self, marker):
        """How many times the bytes occur anywhere in what was captured, also across segments of a connection."""
        with open(self.path, "rb") as file:
            raw = file.read().count(marker)
        joined = sum(payload.count(marker) for payload in self.flows().values())
        return max(raw, joined)

    def flows(self):
        """The bytes of each direction of each connection, keyed by (source, port, destination, port)."""
        segments = {}
        for source, source_port, destination, destination_port, sequence, payload in self.packets():
            if payload:
                key = (source, source_port, destination, destination_port)
                segments.setdefault(key, {}).setdefault(sequence, payload)
        flows = {}
        for key, parts in segments.items():
            joined, expected = bytearray(), None
            # In order of arrival is close to in order of sequence; sorting also undoes reordering. A wrap of the
            # sequence number within one connection is not handled and would only split the flow.
            for sequence in sorted(parts):
                payload = parts[sequence]
                if expected is not None and sequence < expected:
                    payload = payload[expected - sequence:]
                joined += payload
                expected = max(expected or 0, sequence + len(parts[sequence]))
            flows[key] = bytes(joined)
        return flows

    def server_hellos(self):
        """What the servers of the captured TLS handshakes chose: version, cipher, group."""
        found = []
        for flow in self.flows().values():
            hello = server_hello(flow)
            if hello:
                found.append(hello)
        return found

    def tls_records(self):
        """How many TLS application data records were seen."""
        return sum(_count_records(flow) for flow in self.flows().values())


def _ipv6(raw):
    return socket.inet_ntop(socket.AF_INET6, raw)


def _tcp_of(frame):
    if len(frame) < 14:
        return None
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind == 0x0800 and len(frame) >= 34 and frame[23] == 6:
        start = 14 + (frame[14] & 15) * 4
        end = 14 + struct.unpack_from(">H", frame, 16)[0]
        source, destination = ".".join(map(str, frame[26:30])), ".".join(map(str, frame[30:34]))
    elif kind == 0x86DD and len(frame) >= 54 and frame[20] == 6:
        start = 54
        end = 54 + struct.unpack_from(">H", frame, 18)[0]
        source, destination = _ipv6(frame[22:38]), _ipv6(frame[38:54])
    else:
        return None
    if len(frame) < start + 20:
        return None
    source_port, destination_port, sequence = struct.unpack_from(">HHI", frame, start)
    body = start + (frame[start + 12] >> 4) * 4
    # With segmentation offload an IPv4 length of 0 means "the rest of the frame".
    payload = frame[body:end] if end > start else frame[body:]
    return source, source_port, destination, destination_port, sequence, payload


def server_hello(flow):
    """Version, cipher suite and group of a ServerHello at the start of `flow`; None if there is none."""
    if len(flow) < 44 or flow[0] != 22 or flow[5] != 2:
        return None
    at = 9 + 2 + 32
    at += 1 + flow[at]
    cipher = struct.unpack_from(">H", flow, at)[0]
    at += 3
    end = at + 2 + struct.unpack_from(">H", flow, at)[0]
    at += 2
    version, group = 0x0303, None
    while at + 4 <= min(end, len(flow)):
        kind, length = struct.unpack_from(">HH", flow, at)
        if kind == 43:
            version = struct.unpack_from(">H", flow, at + 4)[0]
        elif kind == 51:
            group = struct.unpack_from(">H", flow, at + 4)[0]
        at += 4 + length
    return {"version": {0x0304: "TLS 1.3", 0x0303: "TLS 1.2"}.get(version, hex(version)),
            "cipher": CIPHERS.get(cipher, hex(cipher)), "group": GROUPS.get(group, str(group))}


def _count_records(flow):
    count, at = 0, 0
    while at + 5 <= len(flow) and flow[at] in (20, 21, 22, 23) and flow[at + 1] == 3:
        count += flow[at] == 23
        at += 5 + struct.unpack_from(">H", flow, at + 3)[0]
    return count
