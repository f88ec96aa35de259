"""Chains that no verifier of X509-SVIDs may accept, each named after the one rule it breaks.

    cases = BadCertificates(trust_domain, path)
    for case in cases.all(): case.name, case.rule, case.chain (DER, leaf first), case.key
"""

import os

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from . import hand_made as hm
from .der import context, integer, oid, sequence, tlv


class Case:
    def __init__(self, name, rule, leaf, *above, over_tls=True, tls_rule=None):
        # `rule` is what the refusal must say; `tls_rule` instead, where TLS itself looks first. `over_tls`: a TLS library
        # can be made to show the certificate at all.
        self.name, self.rule, self.over_tls, self.tls_rule = name, rule, over_tls, tls_rule or rule
        self.chain, self.key = [leaf.der, *(ca.der for ca in above)], leaf

    def pem(self):
        return hm.chain_pem(self.chain)

    def write(self, directory, owner=None):
        """(certificate path, key path), as ssl.SSLContext.load_cert_chain takes them."""
        paths = [os.path.join(directory, f"{self.name}.{kind}") for kind in ("pem", "key")]
        for path, content in zip(paths, (self.pem().encode(), self.key.key_pem())):
            with open(path, "wb") as out:
                out.write(content)
        return tuple(paths)


class BadCertificates:
    """All are for spiffe://`trust_domain``path` and lead to self.root but for the defect."""

    def __init__(self, trust_domain, path="/ns/demo/sa/rogue"):
        self.trust_domain, self.id = trust_domain, f"spiffe://{trust_domain}{path}"
        self.path = path
        self.root = hm.Ca("root of the test")

    def good(self):
        """What must be accepted, so that a refusal of all is no success: (name, certificate chain)."""
        middle = hm.Ca("middle", issuer=self.root, path_length=1)
        low = hm.Ca("low", issuer=middle)
        constrained = hm.Ca("constrained", issuer=self.root,
                            more=[hm.name_constraints(permitted=[hm.uri(self.trust_domain)])])
        named = hm.Ca("named", issuer=self.root, more=[hm.alt_names(hm.uri(f"spiffe://{self.trust_domain}"))])
        return [
            Case("plain", "", self.root.issue(hm.svid(self.id))),
            Case("with-a-subject", "", self.root.issue(hm.svid(self.id, critical=False), subject="somebody")),
            Case("without-extended-key-usage", "", self.root.issue(hm.without(hm.svid(self.id), "2.5.29.37"))),
            Case("with-other-names", "", self.root.issue(
                hm.svid(names=[hm.dns("a.example"), hm.uri(self.id), hm.email("a@example")]))),
            Case("p384", "", self.root.issue(hm.svid(self.id), key=ec.generate_private_key(ec.SECP384R1()))),
            Case("rsa-2048", "", self.root.issue(hm.svid(self.id), key=hm.rsa_key(2048))),
            Case("two-intermediates", "", low.issue(hm.svid(self.id)), low, middle),
            Case("permitted-by-a-name-constraint", "", constrained.issue(hm.svid(self.id)), constrained),
            Case("below-a-ca-with-a-spiffe-id", "", named.issue(hm.svid(self.id)), named),
            Case("not-critical-unknown-extension", "", self.root.issue(hm.svid(self.id, more=[hm.unknown(False)]))),
        ]

    def all(self):
        return [*self._identities(), *self._leaves(), *self._encodings(), *self._keys(), *self._intermediates(),
                *self._paths(), *self._sizes()]

    # What the leaf's SPIFFE ID may be.

    def _identities(self):
        td, path = self.trust_domain, self.path
        wrong = {
            "spiffe-id-without-path": (f"spiffe://{td}", "has no path"),
            "spiffe-id-with-root-path": (f"spiffe://{td}/", "the path ends with '/'"),
            "spiffe-id-with-trailing-slash": (f"spiffe://{td}{path}/", "the path ends with '/'"),
            "spiffe-id-with-empty-segment": (f"spiffe://{td}/ns//sa", "the path has an empty segment"),
            "spiffe-id-with-dot-segment": (f"spiffe://{td}/./a", "the path has the segment '.'"),
            "spiffe-id-with-dot-dot-segment": (f"spiffe://{td}/a/../b", "the path has the segment '..'"),
            "spiffe-id-with-upper-case-trust-domain": (f"spiffe://{td.capitalize()}{path}", "a trust domain is [a-z0-9._-]+"),
            "spiffe-id-with-upper-case-scheme": (f"SPIFFE://{td}{path}", 'does not begin with "spiffe://"'),
            "spiffe-id-with-percent-in-path": (f"spiffe://{td}/%61", "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-percent-in-trust-domain": (f"spiffe://{td}%2e{path}", "a trust domain is [a-z0-9._-]+"),
            "spiffe-id-with-userinfo": (f"spiffe://me@{td}{path}", "a trust domain is [a-z0-9._-]+"),
            "spiffe-id-with-port": (f"spiffe://{td}:443{path}", "a trust domain is [a-z0-9._-]+"),
            "spiffe-id-with-query": (f"spiffe://{td}{path}?a=b", "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-fragment": (f"spiffe://{td}{path}#a", "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-wildcard": (f"spiffe://{td}/ns/*", "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-space": (f"spiffe://{td}/a b", "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-utf-8": (f"spiffe://{td}/".encode() + "ü".encode(), "a segment is [a-zA-Z0-9._-]+"),
            "spiffe-id-with-nul-in-path": (self.id.encode() + b"\0evil", "has the character '\\x00'"),
            "spiffe-id-with-nul-in-trust-domain": (f"spiffe://{td}".encode() + b"\0.evil" + path.encode(),
                                                   "has the character '\\x00'"),
            "spiffe-id-with-other-scheme": (f"https://{td}{path}", 'does not begin with "spiffe://"'),
            "spiffe-id-without-trust-domain": (f"spiffe://{path}", "empty trust domain"),
            "spiffe-id-of-2049-bytes": (f"spiffe://{td}/".ljust(2049, "a"), "at most 2048"),
            "trust-domain-of-256-bytes": ("spiffe://" + "t" * 256 + path, "at most 255"),
            "trust-domain-without-bundle": (f"spiffe://elsewhere.example{path}", "for which there is no trust bundle"),
        }
        for name, (text, rule) in wrong.items():
            yield Case(name, rule, self.root.issue(hm.svid(text)))

    # The leaf's extensions.

    def _leaves(self):
        def leaf(name, rule, extensions, over_tls=True, tls_rule=None, **options):
            return Case(name, rule, self.root.issue(extensions, **options), over_tls=over_tls, tls_rule=tls_rule)
        one = self.id
        good = hm.svid(one)
        no_uri, two = "has 0 URI subject alternative names", "has 2 URI subject alternative names"
        yield leaf("two-spiffe-ids", two, hm.svid(one, one + "2"))
        yield leaf("the-same-spiffe-id-twice", two, hm.svid(one, one))
        yield leaf("spiffe-id-beside-another-uri", two, hm.svid(one, "https://example.org/"))
        yield leaf("spiffe-id-as-dns-name", no_uri, hm.svid(names=[hm.dns(one)]))
        yield leaf("spiffe-id-as-email", no_uri, hm.svid(names=[hm.email(one)]))
        yield leaf("spiffe-id-as-other-name", no_uri, hm.svid(names=[hm.other_name(one)]))
        yield leaf("spiffe-id-as-common-name", no_uri, hm.without(good, "2.5.29.17"), subject=one[:64])
        yield leaf("ca-certificate-as-leaf", "is a CA certificate, which may not authenticate",
                   [hm.basic_constraints(True), hm.key_usage(hm.DIGITAL_SIGNATURE), *good[2:]])
        yield leaf("no-key-usage", "has no key usage", hm.without(good, "2.5.29.15"))
        yield leaf("key-usage-not-critical", "has a key usage that is not critical",
                   hm.svid(one, usage=hm.key_usage(hm.DIGITAL_SIGNATURE, critical=False)))
        yield leaf("leaf-with-key-cert-sign", "has the key usage keyCertSign",
                   hm.svid(one, usage=hm.key_usage(hm.DIGITAL_SIGNATURE, hm.CERT_SIGN)))
        yield leaf("leaf-with-crl-sign", "has the key usage cRLSign",
                   hm.svid(one, usage=hm.key_usage(hm.DIGITAL_SIGNATURE, hm.CRL_SIGN)))
        yield leaf("no-digital-signature", "lacks the key usage digitalSignature",
                   hm.svid(one, usage=hm.key_usage(hm.KEY_ENCIPHERMENT)), tls_rule="key usage bit incorrect")
        for name, rule, usages in (
                ("only-server-auth", "lacks the extended key usage clientAuth", [hm.SERVER_AUTH]),
                ("only-client-auth", "lacks the extended key usage serverAuth", [hm.CLIENT_AUTH]),
                ("only-code-signing", "lacks the extended key usages serverAuth and clientAuth", [hm.CODE_SIGNING]),
                ("only-any-extended-key-usage", "lacks the extended key usages serverAuth and clientAuth", [hm.ANY_USAGE])):
            yield leaf(name, rule, hm.svid(one, extended=hm.extended_key_usage(*usages)))
        yield leaf("empty-subject-and-names-not-critical", "has an empty subject, and its subjectAltName is not critical",
                   hm.svid(one, critical=False))
        yield leaf("unknown-critical-extension", "unhandled critical extension", hm.svid(one, more=[hm.unknown(True)]))
        yield leaf("the-same-extension-twice", "has the same extension twice",
                   hm.svid(one, more=[hm.unknown(False), hm.unknown(False)]))
        yield leaf("two-lists-of-names", "malformed or repeated subjectAltName",
                   hm.svid(one, more=[hm.alt_names(hm.uri(one + "2"))]), over_tls=False)
        yield leaf("forty-extensions", "extensions; at most 32 are taken",
                   hm.svid(one, more=[hm.unknown(False, f"1.3.6.1.4.1.55555.{number}") for number in range(2, 40)]))
        yield leaf("no-extensions-at-all", "has no key usage", [], ids=False, subject="nothing", version=0)

    # Bytes that are not what they should be.

    def _encodings(self):
        one = self.id
        yield Case("malformed-key-usage", "malformed extension", self.root.issue(
            hm.svid(one, usage=hm.Extension("2.5.29.15", tlv(0x04, b"\x80"), True))), over_tls=False)
        yield Case("path-length-of-a-leaf", "malformed extension", self.root.issue(
            [hm.Extension("2.5.29.19", sequence(integer(0)), True), *hm.svid(one)[1:]]))
        yield Case("malformed-beginning", "not an X.509 certificate", self.root.issue(
            hm.svid(one), raw_begin=tlv(0x17, b"990231000000Z")), over_tls=False)
        yield Case("names-that-are-no-list", "malformed or repeated subjectAltName", self.root.issue(
            [*hm.without(hm.svid(one), "2.5.29.17"), hm.Extension("2.5.29.17", tlv(0x04, b"x"), True)]), over_tls=False)
        relative = sequence(sequence(context(0, context(1, sequence(oid("2.5.4.3"), tlv(0x0c, b"x"))))))
        yield Case("distribution-point-relative-to-the-issuer", "is named relative to its issuer",
                   self.root.issue(hm.svid(one, more=[hm.Extension("2.5.29.31", relative)])))
        yield Case("two-signature-algorithms", "is not signed by a root of trust domain", self.root.issue(
            hm.svid(one), inner_algorithm=sequence(oid(hm.ECDSA["sha384"]))))

    def _keys(self):
        one, strange = self.id, "use P-256"
        leaf = self.root.issue
        yield Case("leaf-key-rsa-1024", "has an RSA key of 1024 bits", leaf(hm.svid(one), key=hm.rsa_key(1024)))
        yield Case("leaf-key-p521", strange, leaf(hm.svid(one), key=ec.generate_private_key(ec.SECP521R1())),
                   over_tls=False)
        yield Case("leaf-key-ed25519", strange, leaf(hm.svid(one), key=ed25519.Ed25519PrivateKey.generate()),
                   over_tls=False)
        yield Case("leaf-signed-with-sha1", "has a signature algorithm that is not taken", leaf(hm.svid(one), digest="sha1"))
        for name, rule, key in (
                ("issuer-key-rsa-1024", "has an RSA key of 1024 bits", hm.rsa_key(1024)),
                ("issuer-key-rsa-8192", "has an RSA key of 8192 bits", hm.huge_rsa(8192)),
                ("issuer-key-rsa-16384", "has an RSA key of 16384 bits", hm.huge_rsa(16384)),
                ("issuer-key-p521", strange, ec.generate_private_key(ec.SECP521R1())),
                ("issuer-key-p224", strange, ec.generate_private_key(ec.SECP224R1())),
                ("issuer-key-secp256k1", "has a public key of an unknown kind", ec.generate_private_key(ec.SECP256K1())),
                ("issuer-key-ed25519", strange, ed25519.Ed25519PrivateKey.generate())):
            ca = hm.Ca("odd", issuer=self.root, key=key)
            yield Case(name, rule, ca.issue(hm.svid(one)), ca)
        rsa_ca = hm.Ca("odd", issuer=self.root, key=hm.rsa_key(2048))
        yield Case("leaf-signed-with-rsa-sha1", "has a signature algorithm that is not taken",
                   rsa_ca.issue(hm.svid(one), digest="sha1"), rsa_ca)
        weak = hm.Ca("weak", issuer=self.root, digest="sha1")
        yield Case("issuer-signed-with-sha1", "has a signature algorithm that is not taken", weak.issue(hm.svid(one)), weak)

    def _intermediates(self):
        one = self.id
        sign = hm.key_usage(hm.CERT_SIGN, hm.CRL_SIGN)
        ca = hm.basic_constraints(True)

        def below(name, rule, **options):
            middle = hm.Ca("middle", issuer=self.root, **options)
            return Case(name, rule, middle.issue(hm.svid(one)), middle)
        yield below("issuer-that-is-no-ca", "is not a CA certificate: cA is false",
                    extensions=[hm.basic_constraints(False), sign], ids=False)
        yield below("issuer-without-basic-constraints", "is not a CA certificate: cA is false", extensions=[sign], ids=False)
        yield below("issuer-without-key-usage", "has no key usage; a signing certificate has keyCertSign",
                    extensions=[ca], ids=False)
        yield below("issuer-without-key-cert-sign", "lacks the key usage keyCertSign",
                    extensions=[ca, hm.key_usage(hm.CRL_SIGN)], ids=False)
        yield below("issuer-spiffe-id-with-path", "a signing certificate's has no path",
                    more=[hm.alt_names(hm.uri(f"spiffe://{self.trust_domain}/ca"))])
        yield below("issuer-with-two-spiffe-ids", "has a SPIFFE ID beside another URI",
                    more=[hm.alt_names(hm.uri(f"spiffe://{self.trust_domain}"), hm.uri("spiffe://other.example"))])
        yield below("issuer-expired", "expired", begins=-7200, ends=-60)
        yield below("issuer-not-yet-valid", "is the clock of this machine behind", begins=1200)
        yield below("issuer-with-unknown-critical-extension", "unhandled critical extension", more=[hm.unknown(True)])
        yield below("issuer-for-servers-only", "lacks the extended key usage clientAuth",
                    more=[hm.extended_key_usage(hm.SERVER_AUTH)])
        yield below("issuer-for-code-signing", "lacks the extended key usages serverAuth and clientAuth",
                    more=[hm.extended_key_usage(hm.CODE_SIGNING)])
        yield below("issuer-with-a-negative-path-length", "malformed extension",
                    extensions=[hm.basic_constraints(True, -1), sign], ids=False)
        for name, constraints in (
                ("name-constraint-permits-another-trust-domain", hm.name_constraints(permitted=[hm.uri("other.example")])),
                ("name-constraint-permits-subdomains-only",
                 hm.name_constraints(permitted=[hm.uri("." + self.trust_domain)])),
                ("name-constraint-excludes-the-trust-domain", hm.name_constraints(excluded=[hm.uri(self.trust_domain)])),
                ("name-constraint-excludes-its-parent",
                 hm.name_constraints(excluded=[hm.uri(self.trust_domain[self.trust_domain.index("."):])])),
                ("name-constraint-without-a-host", hm.name_constraints(permitted=[hm.uri("")])),
                ("name-constraint-not-critical",
                 hm.name_constraints(permitted=[hm.uri("other.example")], critical=False))):
            yield below(name, "is against the name constraints of an issuer", more=[constraints])
        policy = hm.Extension("2.5.29.36", sequence(context(0, b"\0", constructed=False)), True)
        yield below("explicit-policy-required-and-missing", "is refused", more=[policy])

    def _paths(self):
        one = self.id
        yield Case("expired", "expired", self.root.issue(hm.svid(one), begins=-7200, ends=-60))
        yield Case("not-yet-valid", "is the clock of this machine behind", self.root.issue(hm.svid(one), begins=1200))
        lone = hm.Ca("lone")
        unsigned = "is not signed by a root of trust domain"
        yield Case("of-an-unknown-root", unsigned, lone.issue(hm.svid(one)))
        yield Case("of-an-unknown-root-that-is-shown", unsigned, lone.issue(hm.svid(one)), lone)
        namesake = hm.Ca(self.root.name)
        namesake.key_id = self.root.key_id
        yield Case("of-a-root-of-the-same-name", unsigned, namesake.issue(hm.svid(one)))
        key = hm.p256()
        self_signed = hm.Certificate(hm.make(key, key, "self", hm.svid(one, critical=False), subject="self"), key)
        yield Case("self-signed", unsigned, self_signed)

        def flip(to_sign):
            return to_sign.replace(b"/sa/", b"/sb/")
        changed = self.root.issue(hm.svid(one))
        changed.der = flip(changed.der)
        yield Case("changed-after-it-was-signed", unsigned, changed)
        middle = hm.Ca("middle", issuer=self.root)
        yield Case("issuer-not-shown", unsigned, middle.issue(hm.svid(one)))
        stranger = hm.Ca("middle", issuer=lone)
        yield Case("issuer-of-an-unknown-root", unsigned, stranger.issue(hm.svid(one)), stranger)
        leaf = self.root.issue(hm.svid(one, critical=False), subject="leaf")
        below = hm.Certificate(None, hm.p256())
        below.der = hm.make(below.key, leaf.key, "leaf", hm.svid(one))
        yield Case("signed-by-a-leaf", "is not a CA certificate: cA is false", below, leaf)
        short = hm.Ca("short", issuer=self.root, path_length=0)
        deep = hm.Ca("deep", issuer=short)
        yield Case("deeper-than-its-path-length", "path length", deep.issue(hm.svid(one)), deep, short)
        wrong_id = self.root.issue(hm.svid(one, more=[hm.authority_key_id(os.urandom(20))]), ids=False)
        yield Case("key-identifier-of-another-issuer", unsigned, wrong_id)

    # More than a peer may make us look at.

    def _sizes(self):
        one = self.id
        cas = [self.root]
        for number in range(4):
            cas.append(hm.Ca(f"middle {number}", issuer=cas[-1]))
        yield Case("chain-of-five", "5 certificates; at most 4 are taken", cas[4].issue(hm.svid(one)), *cas[:0:-1])
        leaf = self.root.issue(hm.svid(one))
        too_long = "excessive message size"
        yield Case("chain-of-fifty", too_long, leaf, *[leaf] * 49)
        padding = [hm.Extension("1.3.6.1.4.1.55555.2", b"x" * 8000)]
        fat = hm.Ca("fat", issuer=self.root, more=padding)
        yield Case("chain-over-16-kib", too_long, fat.issue(hm.svid(one, more=padding)), fat)
        yield Case("leaf-of-100-kb", too_long,
                   self.root.issue(hm.svid(one, more=[hm.Extension("1.3.6.1.4.1.55555.2", b"x" * 100_000)])))
        yield Case("ten-thousand-names", too_long, self.root.issue(
            hm.svid(names=[hm.uri(one), *(hm.dns(f"h{number}.example") for number in range(10_000))])))
        points = sequence(*[sequence(context(0, context(0, hm.uri(f"http://h{number}/")))) for number in range(5000)])
        yield Case("five-thousand-distribution-points", too_long,
                   self.root.issue(hm.svid(one, more=[hm.Extension("2.5.29.31", points)])))


def hostile(cases):
    """Chains that fit into what is read, made to cost as much as possible: for measuring."""
    one, issue = cases.id, cases.root.issue

    def points(*content):
        return hm.Extension("2.5.29.31", sequence(*content))
    nested = b""
    for _ in range(2500):
        nested = tlv(0x30, nested)
    attribute = sequence(oid("2.5.4.3"), tlv(0x0c, b"x"))
    long_name = sequence(*[tlv(0x31, attribute)] * 400)
    constrained = hm.Ca("many constraints", issuer=cases.root,
                        more=[hm.name_constraints(excluded=[hm.uri(f"{n}.example") for n in range(600)])])
    big = [hm.Ca(f"big {n}", issuer=cases.root, key=hm.huge_rsa(4096)) for n in range(3)]
    cases_of = {
        "hundreds-of-distribution-points": [issue(hm.svid(one, "spiffe://x/y", more=[
            points(*[sequence(context(0, context(0, hm.uri("h"))))] * 1500)]))],
        "points-relative-to-a-long-name": [issue(
            hm.svid(one, more=[points(*[sequence(context(0, context(1, attribute)))] * 500)]), raw_issuer=long_name)],
        "thousands-of-uris": [issue(hm.svid(names=[hm.uri("x")] * 3500))],
        "deeply-nested-extension": [issue(hm.svid(one, "spiffe://x/y", more=[hm.Extension("2.5.29.32", nested)]))],
        "names-times-constraints": [constrained.issue(
            hm.svid(names=[hm.uri("spiffe://599.example/a"), *[hm.dns("h")] * 1500])), constrained],
        "three-rsa-4096": [issue(hm.svid("spiffe://x/y")), *big],
    }
    return [Case(name, "", *chain) for name, chain in cases_of.items()]
