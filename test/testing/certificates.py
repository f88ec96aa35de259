"""Certificates for peers that misbehave, made with the `openssl` command; and peers that show them."""

import os
import re
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time

_EXTENSIONS = """
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = critical, URI:{spiffe_id}
authorityKeyIdentifier = keyid
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
subjectAltName = URI:spiffe://{trust_domain}
[ca]
default_ca = this
[this]
new_certs_dir = {directory}
database = {directory}/index.txt
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
[req]
distinguished_name = name
[name]
"""


def _openssl(*argv, stdin=None):
    done = subprocess.run(["openssl", *argv], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {argv[0]}: {done.stderr.decode()}")
    return done.stdout


def _date(when):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(when))


class Authority:
    """A CA on disk, under `directory`. Its own root unless one is given."""

    def __init__(self, directory, trust_domain="cluster.local", root=None):
        self.directory = tempfile.mkdtemp(prefix="ca-", dir=directory)
        self.trust_domain = trust_domain
        self.key, self.certificate = self._path("root.key"), self._path("root.pem")
        self._serial = 0
        self._configure(f"spiffe://{trust_domain}/unused")
        with open(self._path("index.txt"), "w", encoding="ascii"):
            pass
        if root:
            for path, text in zip((self.key, self.certificate), root):
                with open(path, "w", encoding="ascii") as out:
                    out.write(text)
        else:
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", self.key, "-out", self.certificate, "-days", "30", "-subj", "/O=other root",
                     "-config", self._path("openssl.cnf"), "-extensions", "root")

    @classmethod
    def of_store(cls, directory, store_path, root_pem, trust_domain="cluster.local"):
        """The authority of a control plane, with the key taken from its store."""
        public = _openssl("x509", "-pubkey", "-noout", stdin=root_pem.encode())
        for candidate in _stored_values(store_path):
            for form in ("PEM", "DER"):
                done = subprocess.run(["openssl", "pkey", "-inform", form, "-pubout"], input=candidate,
                                      capture_output=True)
                if done.returncode == 0 and done.stdout == public:
                    key = _openssl("pkey", "-inform", form, stdin=candidate).decode()
                    return cls(directory, trust_domain, root=(key, root_pem))
        raise AssertionError(f"{store_path} holds no private key of the root in the trust bundle")

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _configure(self, spiffe_id):
        with open(self._path("openssl.cnf"), "w", encoding="ascii") as out:
            out.write(_EXTENSIONS.format(spiffe_id=spiffe_id, trust_domain=self.trust_domain,
                                         directory=self.directory))

    def issue(self, spiffe_id, begins=-300, ends=3600):
        """A leaf valid from `begins` to `ends` seconds from now; returns (certificate path, key path)."""
        self._serial += 1
        key, request = self._path(f"leaf{self._serial}.key"), self._path(f"leaf{self._serial}.csr")
        certificate = self._path(f"leaf{self._serial}.pem")
        self._configure(spiffe_id)
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                 "-out", request, "-subj", "/O=peer", "-config", self._path("openssl.cnf"))
        now = time.time()
        _openssl("ca", "-batch", "-config", self._path("openssl.cnf"), "-cert", self.certificate, "-keyfile", self.key,
                 "-in", request, "-out", certificate, "-notext", "-extensions", "leaf",
                 "-startdate", _date(now + begins), "-enddate", _date(now + ends))
        return certificate, key


def _stored_values(path):
    """Every text and blob in an SQLite file that may be a key."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        tables = [row[0] for row in store.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in store.execute(f'select * from "{table}"'):
                for value in row:
                    raw = value.encode() if isinstance(value, str) else value
                    if isinstance(raw, bytes) and len(raw) > 32:
                        yield raw
                        # The P-256 keys, PKCS#8, among what else a record holds.
                        for found in re.finditer(rb"\x30\x81\x87\x02\x01\x00\x30\x13", raw):
                            yield raw[found.start():found.start() + 138]


def leaf_facts(der):
    """What a certificate says: serial, spiffe_id, not_after (seconds), public_point (64 bytes)."""
    pem = ssl.DER_cert_to_PEM_cert(der).encode()
    text = _openssl("x509", "-noout", "-serial", "-enddate", "-ext", "subjectAltName", stdin=pem).decode()
    point = _openssl("pkey", "-pubin", "-outform", "DER",
                     stdin=_openssl("x509", "-noout", "-pubkey", stdin=pem))[-64:]
    return {
        "serial": re.search(r"serial=([0-9A-F]+)", text).group(1).lower(),
        "spiffe_id": re.search(r"URI:(\S+)", text).group(1),
        "not_after": ssl.cert_time_to_seconds(re.search(r"notAfter=(.+)", text).group(1)),
        "public_point": point,
    }


def tls_context(server_side, certificate=None, minimum=ssl.TLSVersion.TLSv1_3):
    """A TLS endpoint that verifies nobody, as a bad peer would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = minimum
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(*certificate)
    return context


_H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def try_tunnel(namespace, address, certificate=None, port=15008, timeout=8):
    """Dials a proxy's tunnel port as a TLS client and speaks HTTP/2.

    Returns ("accepted", leaf) once the proxy answers with HTTP/2 SETTINGS, ("refused", reason) when it ends the
    connection instead. TLS 1.3 tells a client that its certificate was refused only with the first read.
    """
    raw = namespace.connect(address, port, timeout=timeout)
    try:
        connection = tls_context(False, certificate).wrap_socket(raw)
    except (ssl.SSLError, ConnectionError, socket.timeout) as error:
        raw.close()
        return "refused", str(error)
    with connection:
        leaf = connection.getpeercert(binary_form=True)
        try:
            connection.sendall(_H2_PREFACE)
            answer = b""
            while len(answer) < 9:
                block = connection.recv(4096)
                if not block:
                    return "refused", "closed"
                answer += block
        except (ssl.SSLError, ConnectionError) as error:
            return "refused", str(error)
        # Frame type 4 is SETTINGS, which a server must send first (RFC 9113 section 3.4).
        return ("accepted", leaf) if answer[3] == 4 else ("refused", f"first frame of type {answer[3]}")


def served_leaf(namespace, address, port=15008):
    """The DER leaf a proxy shows on its tunnel port; needs no certificate, the proxy shows it before it asks."""
    raw = namespace.connect(address, port)
    with tls_context(False).wrap_socket(raw) as connection:
        return connection.getpeercert(binary_form=True)
