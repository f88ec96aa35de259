#!/usr/bin/python3
"""What an outsider may do to a proxy's ports. Run in a namespace; bounded in count and time; prints one JSON object.

  mixed ADDRESS SECONDS PORT SILENT DRIP GARBAGE SOURCE...
                                                        over SECONDS opens so many connections that say nothing, that send
                                                        one byte a second, and that send garbage; waits until the proxy has
                                                        ended them all, or 10 s more
  replay ADDRESS SECONDS RATE HELLO SOURCE...           to the tunnel port opens RATE connections a second (0: as many as are answered), sends
                                                        the ClientHello given in hexadecimal, and leaves once it is answered
SOURCE: addresses to come from.
"""

import json
import os
import select
import socket
import struct
import sys
import time

PORT = 15008
# The beginning of a TLS handshake, so that what drips is not garbage.
DRIP = bytes.fromhex("1603010200010001fc0303") + bytes(64)
IP_BIND_ADDRESS_NO_PORT = 24
MOST_OPEN = 6000


class Attack:
    def __init__(self, address, sources, port=PORT):
        self.address, self.sources, self.port = address, sources, port
        self.poll = select.epoll()
        self.open = {}
        self.number = 0

    def dial(self):
        """A connection under way; None when there is no room for it."""
        if len(self.open) >= MOST_OPEN:
            return None
        made = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        made.bind((self.sources[self.number % len(self.sources)], 0))
        self.number += 1
        made.connect_ex((self.address, self.port))
        self.poll.register(made, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        return made

    def close(self, made):
        self.poll.unregister(made)
        # No port is left waiting.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.close()


def ended(made):
    """True once the proxy has ended the connection; what it says is thrown away."""
    try:
        while block := made.recv(65536):
            pass
        return block == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def mixed(address, seconds, port, counts, sources):
    attack = Attack(address, sources, port)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    # Evenly mixed, the same every time.
    order = sorted(range(len(kinds)), key=lambda index: (index * 7919) % len(kinds))
    plan = [(seconds * place / len(kinds), kinds[index]) for place, index in enumerate(order)]
    opened = dict.fromkeys(counts, 0)
    longest = dict.fromkeys(counts, 0.0)
    started = time.monotonic()
    last_drip = started
    while (now := time.monotonic()) - started < seconds + 10 and (plan or attack.open):
        while plan and plan[0][0] <= now - started:
            kind = plan.pop(0)[1]
            made = attack.dial()
            if made:
                attack.open[made.fileno()] = [made, kind, now, 0]
                opened[kind] += 1
        for fd, events in attack.poll.poll(0.02):
            entry = attack.open.get(fd)
            if not entry:
                continue
            made, kind, begun, sent = entry
            gone = False
            if events & select.EPOLLOUT and sent == 0 and kind != "silent":
                gone = not send(made, DRIP[:1] if kind == "drip" else os.urandom(300))
                entry[3] = 1
            if gone or events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and ended(made):
                longest[kind] = max(longest[kind], time.monotonic() - begun)
                del attack.open[fd]
                attack.close(made)
        if now - last_drip >= 1:
            last_drip = now
            for made, kind, _, sent in attack.open.values():
                if kind == "drip":
                    send(made, DRIP[1:2])
    return {"opened": opened, "longest": longest, "open_at_end": len(attack.open),
            "seconds": time.monotonic() - started}


def send(made, data):
    try:
        made.send(data)
        return True
    except BlockingIOError:
        return True
    except OSError:
        return False


def replay(address, seconds, rate, hello, sources):
    attack = Attack(address, sources)
    sent = answered = refused = 0
    started = time.monotonic()
    window = MOST_OPEN if rate else 64
    while (elapsed := time.monotonic() - started) < seconds:
        wanted = int(rate * elapsed) if rate else sent + window
        burst = 0
        while sent < wanted and len(attack.open) < window and burst < 64:
            made = attack.dial()
            attack.open[made.fileno()] = made
            sent += 1
            burst += 1
        for fd, events in attack.poll.poll(0.005):
            made = attack.open[fd]
            over = False
            if events & select.EPOLLIN:
                try:
                    over = made.recv(1, socket.MSG_PEEK) != b""
                    answered += over
                    refused += not over
                except BlockingIOError:
                    pass
                except OSError:
                    refused += 1
                over = True
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                refused += 1
                over = True
            elif events & select.EPOLLOUT:
                over = not send(made, hello)
                refused += over
            if over:
                del attack.open[fd]
                attack.close(made)
    return {"sent": sent, "answered": answered, "refused": refused, "seconds": time.monotonic() - started}


def main(role, address, seconds, *rest):
    if role == "mixed":
        counts = dict(zip(("silent", "drip", "garbage"), map(int, rest[1:4])))
        result = mixed(address, float(seconds), int(rest[0]), counts, rest[4:])
    elif role == "replay":
        result = replay(address, float(seconds), float(rest[0]), bytes.fromhex(rest[1]), rest[2:])
    else:
        sys.exit(f"no role {role!r}; one of mixed, replay")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
