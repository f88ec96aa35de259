"""Certificates of a trust domain, made in memory: roots, intermediates and leaves, good ones and bad ones."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .certificates import Authority


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def pem(*certificates):
    """The certificates as one PEM text."""
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def uri_of(request_or_certificate):
    """The first URI SAN; None without one."""
    try:
        names = request_or_certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    return found[0] if found else None


def list_of(issuer):
    """PEM of an Issuer's revocation list that revokes nothing."""
    now = datetime.datetime.utcnow()
    return x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject).last_update(
        now - datetime.timedelta(minutes=5)).next_update(now + datetime.timedelta(days=3)).add_extension(
            x509.CRLNumber(1), critical=False).sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _usage(**allowed):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


class Issuer:
    """A CA: its certificate and key. Makes a root of its own unless given both, or an `above` that signs for it."""

    def __init__(self, trust_domain="cluster.local", name="test root", key=None, certificate=None, above=None, constraints=None):
        self.trust_domain = trust_domain
        self.key = key or new_key()
        self.above = above
        if certificate is None:
            signer = above or self
            subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
            issuer = above.certificate.subject if above else subject
            builder = self._builder(subject, issuer, self.key.public_key(), -2 * 86400, 30 * 86400).add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
                    _usage(key_cert_sign=True, crl_sign=True), critical=True).add_extension(
                        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]), critical=False)
            if constraints:
                builder = builder.add_extension(constraints, critical=True)
            certificate = builder.sign(signer.key, hashes.SHA256())
        self.certificate = certificate

    @classmethod
    def of_control_plane(cls, mesh):
        """The CA of a mesh's control plane, with the key taken from its store."""
        with open(mesh.control_plane.bundle, encoding="ascii") as bundle:
            authority = Authority.of_store(mesh.directory, mesh.control_plane.store, bundle.read())
        with open(authority.key, "rb") as key, open(authority.certificate, "rb") as certificate:
            return cls(authority.trust_domain, key=serialization.load_pem_private_key(key.read(), None),
                       certificate=x509.load_pem_x509_certificate(certificate.read()))

    @staticmethod
    def _builder(subject, issuer, public_key, begins, ends):
        now = datetime.datetime.utcnow().replace(microsecond=0)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
                .serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(seconds=begins))
                .not_valid_after(now + datetime.timedelta(seconds=ends))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False))

    def leaf(self, public_key, spiffe_id=None, dns_names=(), ip_addresses=(), begins=-60, ends=3600):
        """A leaf for a public key, valid from `begins` to `ends` seconds from now."""
        names = [x509.UniformResourceIdentifier(spiffe_id)] if spiffe_id else []
        names += [x509.DNSName(name) for name in dns_names] + [x509.IPAddress(address) for address in ip_addresses]
        return (self._builder(x509.Name([]), self.certificate.subject, public_key, begins, ends)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(digital_signature=True), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                               critical=False)
                .add_extension(x509.SubjectAlternativeName(names), critical=True)
                .sign(self.key, hashes.SHA256()))

    def chain(self, leaf):
        """The leaf and the intermediates above it, without the root."""
        certificates, issuer = [leaf], self
        while issuer.above:
            certificates.append(issuer.certificate)
            issuer = issuer.above
        return certificates

    @property
    def root(self):
        """The certificate at the top."""
        return self.above.root if self.above else self.certificate
