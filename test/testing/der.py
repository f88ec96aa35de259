"""DER (X.690) by hand: for certificates that no library would make, and for reading any that parse at all."""

import time


def tlv(tag, *content):
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        header = bytes([tag, size])
    else:
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        header = bytes([tag, 0x80 | len(length)]) + length
    return header + body


def sequence(*content):
    return tlv(0x30, *content)


def a_set(*content):
    return tlv(0x31, *content)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(0x01, b"\xff" if value else b"\x00")


def octets(content):
    return tlv(0x04, content)


def bits(content, unused=0):
    return tlv(0x03, bytes([unused]), content)


def named_bits(*numbers):
    """A BIT STRING with these bits set, without trailing zeros, as KeyUsage wants it."""
    value = bytearray(max(numbers, default=0) // 8 + 1)
    for number in numbers:
        value[number // 8] |= 0x80 >> number % 8
    return bits(bytes(value), 7 - max(numbers) % 8) if numbers else bits(b"")


def oid(text):
    numbers = [int(part) for part in text.split(".")]
    out = bytearray()
    for number in [numbers[0] * 40 + numbers[1], *numbers[2:]]:
        groups = [number & 0x7f]
        while number := number >> 7:
            groups.append(number & 0x7f | 0x80)
        out += bytes(reversed(groups))
    return tlv(0x06, bytes(out))


def utf8(text):
    return tlv(0x0c, text.encode())


def moment(seconds):
    """UTCTime up to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5)."""
    fields = time.gmtime(seconds)
    if fields.tm_year < 2050:
        return tlv(0x17, time.strftime("%y%m%d%H%M%SZ", fields).encode())
    return tlv(0x18, time.strftime("%Y%m%d%H%M%SZ", fields).encode())


def common_name(text):
    """A Name of one attribute; of none when the text is empty."""
    return sequence(a_set(sequence(oid("2.5.4.3"), utf8(text)))) if text else sequence()


def context(number, *content, constructed=True):
    return tlv((0xa0 if constructed else 0x80) | number, *content)


# Reading.

def parse(data):
    """(tag, content, rest) of the first element."""
    tag, size, at = data[0], data[1], 2
    if size & 0x80:
        count = size & 0x7f
        size, at = int.from_bytes(data[2:2 + count], "big"), 2 + count
    if at + size > len(data):
        raise ValueError("an element goes beyond its end")
    return tag, data[at:at + size], data[at + size:]


def children(content):
    """[(tag, content)] of what is inside an element."""
    out = []
    while content:
        tag, inner, content = parse(content)
        out.append((tag, inner))
    return out


def oid_text(content):
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7f
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(str(part) for part in [first, numbers[0] - 40 * first, *numbers[1:]])
