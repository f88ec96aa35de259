"""Finds a P-256 private key in the memory of a process, or shows that it is not there."""

import os
import re

from .sanitized import SANITIZED

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def _add(first, second):
    """Sum of a Jacobian point and an affine one."""
    x1, y1, z1 = first
    if not z1:
        return second[0], second[1], 1
    x2, y2 = second
    zz = z1 * z1 % _P
    u, s = x2 * zz % _P, y2 * zz * z1 % _P
    h, r = (u - x1) % _P, (s - y1) % _P
    if not h:
        return _double(first) if not r else (0, 1, 0)
    hh = h * h % _P
    hhh, v = hh * h % _P, x1 * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - y1 * hhh) % _P, z1 * h % _P


def _double(point):
    x, y, z = point
    delta, gamma = z * z % _P, y * y % _P
    beta, alpha = x * gamma % _P, 3 * (x - delta) * (x + delta) % _P
    x3 = (alpha * alpha - 8 * beta) % _P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % _P, 2 * y * z % _P


def _affine(point):
    x, y, z = point
    inverse = pow(z, -1, _P)
    return x * inverse * inverse % _P, y * inverse * inverse * inverse % _P


def _make_table():
    """table[i][d] = d * 256^i * G, so that a multiplication is 32 additions."""
    table, base = [], (_GX, _GY)
    for _ in range(32):
        row, point = [None], (0, 1, 0)
        for _ in range(255):
            point = _add(point, base)
            row.append(_affine(point))
        base = _affine(_add(point, base))
        table.append(row)
    return table


class KeyFinder:
    """Looks for the private scalar of one public key."""

    _table = None

    def __init__(self, public_point):
        """`public_point`: x and y, 32 bytes each, big-endian."""
        self._x = int.from_bytes(public_point[:32], "big")
        if KeyFinder._table is None:
            KeyFinder._table = _make_table()

    def is_key(self, scalar):
        """Whether `scalar` (32 bytes, big-endian) is the private key."""
        if not 0 < int.from_bytes(scalar, "big") < _N:
            return False
        point = (0, 1, 0)
        for row, digit in zip(KeyFinder._table, reversed(scalar)):
            if digit:
                point = _add(point, row[digit])
        x, _, z = point
        return x == self._x * z * z % _P

    def find_in(self, pid):
        """The scalar (big-endian), found in the writable memory of a process that owns it; None if it is not there.

        Looks at encoded keys first (SEC 1 and PKCS#8 have 02 01 01 04 20 before the scalar), then at every aligned
        window that looks random, as a limb array of either order.
        """
        seen = set()
        regions = list(memory_of(pid))
        for region in regions:
            for match in re.finditer(rb"\x02\x01\x01\x04\x20", region):
                scalar = region[match.end():match.end() + 32]
                if len(scalar) == 32 and scalar not in seen:
                    seen.add(scalar)
                    if self.is_key(scalar):
                        return scalar
        for region in regions:
            for at in range(0, len(region) - 31, 8):
                window = region[at:at + 32]
                # Random bytes are nearly all different; text, pointers and counters are not.
                if len(set(window)) < 24 or window in seen:
                    continue
                seen.add(window)
                for scalar in (window[::-1], window):
                    if self.is_key(scalar):
                        return scalar
        return None


# A sanitizer notes in terabytes of address space, in parts of at least so much, which bytes may be touched, and none of the bytes.
SHADOW = 128 << 20


def memory_of(pid, writable_only=True):
    """The contents of each region of a process's memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        lines = maps.read().splitlines()
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for line in lines:
            span, permissions, *_ = line.split()
            if "r" not in permissions or (writable_only and "w" not in permissions):
                continue
            if line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            if SANITIZED and end - start >= SHADOW:
                continue
            yield _read(fd, start, end)
    finally:
        os.close(fd)


def _read(fd, start, end):
    parts = []
    at = start
    while at < end:
        try:
            part = os.pread(fd, min(end - at, 1 << 24), at)
        except OSError:
            part = b""
        if not part:
            # A hole: guard pages of a thread's stack. The next page may be readable again.
            parts.append(bytes(4096))
            at += 4096
            continue
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def forms_of(scalar):
    """How the key may lie in memory: big-endian, and reversed (an array of little-endian limbs, lowest first)."""
    return {"big-endian": scalar, "limbs": scalar[::-1],
            "32-bit limbs, highest first": b"".join(scalar[at:at + 4][::-1] for at in range(0, 32, 4)),
            "64-bit limbs, highest first": b"".join(scalar[at:at + 8][::-1] for at in range(0, 32, 8)),
            "hexadecimal": scalar.hex().encode()}


def occurrences(pid, scalar):
    """How often each form of the key occurs anywhere in the readable memory of a process."""
    found = dict.fromkeys(forms_of(scalar), 0)
    for region in memory_of(pid, writable_only=False):
        for name, form in forms_of(scalar).items():
            found[name] += region.count(form)
    return found
