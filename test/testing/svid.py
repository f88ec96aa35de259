"""What an SVID says, and an SVID as files for programs that read files."""

import os

from cryptography import x509
from cryptography.hazmat.primitives import serialization

_PEM = serialization.Encoding.PEM


def split_der(der):
    """The certificates of concatenated DER."""
    found = []
    while der:
        # A SEQUENCE of more than 255 and less than 65536 bytes: 30 82 and its length.
        assert der[:2] == b"\x30\x82", der[:4].hex()
        size = 4 + int.from_bytes(der[2:4], "big")
        found.append(x509.load_der_x509_certificate(der[:size]))
        der = der[size:]
    return found


def serial(svid):
    """Of the leaf of an X509SVID message."""
    return split_der(svid.x509_svid)[0].serial_number


def write_files(svid, directory):
    """An X509SVID message as (certificate chain, key, bundle): paths of PEM files below `directory`, mode 0600."""
    key = serialization.load_der_private_key(svid.x509_svid_key, None).private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    contents = {
        "svid.pem": b"".join(certificate.public_bytes(_PEM) for certificate in split_der(svid.x509_svid)),
        "svid.key": key,
        "bundle.pem": b"".join(certificate.public_bytes(_PEM) for certificate in split_der(svid.bundle))}
    paths = []
    for name, content in contents.items():
        paths.append(os.path.join(directory, name))
        with open(os.open(paths[-1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
    return paths
