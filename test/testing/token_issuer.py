"""An OpenID Connect issuer that a test plays: JSON Web Tokens and the set of keys they are verified with, by `cryptography`."""

import base64
import json
import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def base64url(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(number, size=None):
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class SigningKey:
    """One key of an issuer, "ES256" or "RS256"."""

    def __init__(self, algorithm, kid):
        self.algorithm, self.kid = algorithm, kid
        self._key = (ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256"
                     else rsa.generate_private_key(65537, 2048))

    def jwk(self):
        numbers = self._key.public_key().public_numbers()
        key = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "ES256":
            return {**key, "kty": "EC", "crv": "P-256", "x": _number(numbers.x, 32), "y": _number(numbers.y, 32)}
        return {**key, "kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}

    def sign(self, data):
        if self.algorithm == "RS256":
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class TokenIssuer:
    """See the module's comment. `keys` may be changed; what is published is what write_keys() wrote last."""

    def __init__(self, name, keys, audience="byrnie"):
        self.name, self.keys, self.audience = name, keys, audience

    def token(self, subject, key=None, life=600, header=None, **claims):
        """A token for `subject`; claims that are None are left out."""
        key = key or self.keys[0]
        now = int(time.time())
        claims = {"iss": self.name, "aud": [self.audience], "sub": subject, "iat": now, "exp": now + life, **claims}
        text = ".".join((base64url({"alg": key.algorithm, "kid": key.kid, "typ": "JWT", **(header or {})}),
                         base64url({name: value for name, value in claims.items() if value is not None})))
        return f"{text}.{base64url(key.sign(text.encode()))}"

    def write_config(self, path, jwks_path):
        """A file for --jwt_config, and its key set: whoever has a token for `repo:NAME` is NAME of the namespace ci."""
        self.write_keys(jwks_path)
        with open(path, "w", encoding="ascii") as out:
            json.dump({"issuers": [{"issuer": self.name, "audiences": [self.audience], "jwks_file": jwks_path, "identities": [
                {"claims": {"sub": "repo:{name}"}, "spiffe_id": "spiffe://cluster.local/ns/ci/sa/{name}"}]}]}, out)

    def write_keys(self, path):
        """The set of keys, put in place by a rename."""
        with open(path + ".new", "w", encoding="ascii") as out:
            json.dump({"keys": [key.jwk() for key in self.keys]}, out)
        os.replace(path + ".new", path)
