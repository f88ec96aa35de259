"""Certificates and other files of HAProxy and nginx, made for one run."""

import os

from testing.issuer import Issuer, key_pem, new_key, pem
from testing.netns import APPLICATION_UID

# nginx checks a name, and no SPIFFE ID.
SERVER_NAME = "server.bench"


class PeerFiles:
    """P-256 certificates of a CA that lives as long as this object, as PEM files in a folder of its own."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "peers")
        os.mkdir(self.directory, 0o700)
        os.chown(self.directory, APPLICATION_UID, APPLICATION_UID)
        issuer = Issuer(name="benchmark root")
        self.roots = self.write("roots.pem", pem(issuer.root))
        for side in ("client", "server"):
            key = new_key()
            chain = pem(issuer.leaf(key.public_key(), f"spiffe://cluster.local/ns/bench/sa/{side}",
                                    dns_names=[SERVER_NAME], ends=86400))
            self.write(f"{side}.crt", chain)
            self.write(f"{side}.key", key_pem(key).decode())
            # HAProxy wants both in one file.
            self.write(f"{side}.pem", chain + key_pem(key).decode())

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        """A file that only the applications' user may read; its path."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(self.path(name), flags, 0o600), "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        os.chown(self.path(name), APPLICATION_UID, APPLICATION_UID)
        return self.path(name)
