"""Certificates and revocation lists made by hand, with any defect: the bytes are ours, the signatures a library's.

    root = Ca("root")
    middle = Ca("middle", issuer=root)
    leaf = middle.issue(svid("spiffe://td/a"))
    chain_pem([leaf.der, middle.der])
"""

import base64
import itertools
import os
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from .der import (bits, boolean, children, common_name, context, integer, moment, named_bits, octets, oid, parse, sequence,
                  tlv)

DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT, CERT_SIGN, CRL_SIGN = 0, 2, 4, 5, 6
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
ANY_USAGE, CODE_SIGNING = "2.5.29.37.0", "1.3.6.1.5.5.7.3.3"

ECDSA = {"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3"}
RSA = {"sha1": "1.2.840.113549.1.1.5", "sha256": "1.2.840.113549.1.1.11"}
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384}

_serials = itertools.count(int.from_bytes(os.urandom(7), "big") << 16)


class Extension:
    def __init__(self, number, value, critical=False):
        self.number, self.value, self.critical = number, value, critical

    def der(self):
        return sequence(oid(self.number), boolean(True) if self.critical else b"", octets(self.value))


def key_usage(*numbers, critical=True):
    return Extension("2.5.29.15", named_bits(*numbers), critical)


def extended_key_usage(*usages, critical=False):
    return Extension("2.5.29.37", sequence(*map(oid, usages)), critical)


def basic_constraints(ca, path_length=None, critical=True):
    parts = [boolean(True) if ca else b"", b"" if path_length is None else integer(path_length)]
    return Extension("2.5.29.19", sequence(*parts), critical)


def uri(text):
    return context(6, text if isinstance(text, bytes) else text.encode(), constructed=False)


def email(text):
    return context(1, text.encode(), constructed=False)


def dns(text):
    return context(2, text.encode(), constructed=False)


def other_name(text):
    return context(0, oid("1.3.6.1.4.1.55555.9"), context(0, tlv(0x0c, text.encode())))


def alt_names(*names, critical=False):
    return Extension("2.5.29.17", sequence(*names), critical)


def name_constraints(permitted=(), excluded=(), critical=True):
    """Of GeneralNames."""
    subtrees = [context(number, *map(sequence, names)) for number, names in ((0, permitted), (1, excluded)) if names]
    return Extension("2.5.29.30", sequence(*subtrees), critical)


def subject_key_id(identifier):
    return Extension("2.5.29.14", octets(identifier))


def authority_key_id(identifier):
    return Extension("2.5.29.35", sequence(context(0, identifier, constructed=False)))


def unknown(critical, number="1.3.6.1.4.1.55555.1"):
    return Extension(number, tlv(0x05), critical)


def p256():
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(size):
    return rsa.generate_private_key(65537, size)


def spki(key):
    if isinstance(key, bytes):
        return key
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def huge_rsa(size):
    """A SubjectPublicKeyInfo of that many bits, whose key nobody has."""
    modulus = int.from_bytes(os.urandom(size // 8), "big") | 1 | 1 << size - 1
    public = sequence(integer(modulus), integer(65537))
    return sequence(sequence(oid("1.2.840.113549.1.1.1"), tlv(0x05)), bits(public))


def sign(key, message, digest="sha256"):
    """(AlgorithmIdentifier, signature). A key that is a public one alone gives a signature that is none."""
    if isinstance(key, bytes):
        return sequence(oid(RSA["sha256"]), tlv(0x05)), os.urandom(256)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return sequence(oid("1.3.101.112")), key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return sequence(oid(RSA[digest]), tlv(0x05)), key.sign(message, padding.PKCS1v15(), HASHES[digest]())
    return sequence(oid(ECDSA[digest])), key.sign(message, ec.ECDSA(HASHES[digest]()))


class Certificate:
    def __init__(self, der, key):
        self.der, self.key = der, key

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())


def make(key, issuer_key, issuer_name, extensions, subject="", begins=-300, ends=3600, digest="sha256", version=2,
         serial=None, now=None, inner_algorithm=None, raw_begin=None, raw_issuer=None):
    """DER. Times are seconds from `now`."""
    now = time.time() if now is None else now
    algorithm, _ = sign(issuer_key, b"", digest)
    listed = context(3, sequence(*[item.der() for item in extensions])) if extensions else b""
    to_sign = sequence(
        context(0, integer(version)) if version else b"", integer(next(_serials) if serial is None else serial),
        inner_algorithm or algorithm, raw_issuer or common_name(issuer_name),
        sequence(raw_begin or moment(now + begins), moment(now + ends)), common_name(subject), spki(key), listed)
    _, signature = sign(issuer_key, to_sign, digest)
    return sequence(to_sign, algorithm, bits(signature))


class Ca:
    """A signing certificate and its key. `extensions` replaces all of them; `more` are added."""

    def __init__(self, name, issuer=None, key=None, extensions=None, more=(), ids=True, path_length=None, **options):
        self.name, self.key, self.issuer = name, key or p256(), issuer
        self.key_id = os.urandom(20) if ids else None
        if extensions is None:
            extensions = [basic_constraints(True, path_length), key_usage(CERT_SIGN, CRL_SIGN)]
            if ids:
                extensions.append(subject_key_id(self.key_id))
                if issuer and issuer.key_id:
                    extensions.append(authority_key_id(issuer.key_id))
        options.setdefault("ends", 30 * 86400)
        by = issuer or self
        self.der = make(self.key, by.key, by.name, [*extensions, *more], subject=name, **options)

    @classmethod
    def of(cls, key_pem, name):
        """One that exists already, by its key; without its certificate."""
        made = cls.__new__(cls)
        made.name, made.issuer, made.key_id, made.der = name, None, None, None
        made.key = serialization.load_pem_private_key(key_pem, None)
        return made

    def issue(self, extensions, key=None, ids=True, **options):
        if ids and self.key_id:
            extensions = [*extensions, authority_key_id(self.key_id)]
        key = key or p256()
        return Certificate(make(key, self.key, self.name, extensions, **options), key)

    def revocation_list(self, revoked=(), begins=-300, ends=3600, now=None):
        """DER of a list of the serial numbers of `revoked`, DER certificates."""
        now = time.time() if now is None else now
        algorithm, _ = sign(self.key, b"")
        entries = [sequence(serial_of(der), moment(now + begins)) for der in revoked]
        extensions = [Extension("2.5.29.20", integer(next(_serials)))]
        if self.key_id:
            extensions.append(authority_key_id(self.key_id))
        to_sign = sequence(integer(1), algorithm, common_name(self.name), moment(now + begins), moment(now + ends),
                           sequence(*entries) if entries else b"",
                           context(0, sequence(*[item.der() for item in extensions])))
        return sequence(to_sign, algorithm, bits(sign(self.key, to_sign)[1]))


def serial_of(der):
    """The serial number of a certificate, as an INTEGER."""
    parts = children(children(parse(der)[1])[0][1])
    return tlv(0x02, parts[1 if parts[0][0] == 0xa0 else 0][1])


def svid(*uris, usage=None, extended=None, more=(), critical=True, names=None):
    """The extensions of a good leaf, but for what is given."""
    return [basic_constraints(False), usage or key_usage(DIGITAL_SIGNATURE),
            extended or extended_key_usage(SERVER_AUTH, CLIENT_AUTH),
            alt_names(*(map(uri, uris) if names is None else names), critical=critical), *more]


def without(extensions, number):
    return [item for item in extensions if item.number != number]


def pem(der, label="CERTIFICATE"):
    text = base64.b64encode(der).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def chain_pem(ders):
    return "".join(map(pem, ders))
