#!/usr/bin/python3
"""Our verifier and an independent one say the same about the same certificates.

The independent one is `openssl verify` for all of RFC 5280 and, for what X509-SVID.md and SPIFFE-ID.md add, rules written
down here a second time over a DER reader of our own. Asked about every hand-made bad chain, good ones, and some hundred
chains with random path lengths, usages, name constraints, validities and key identifiers; `byrniectl verify` answers for
us, with the very code that proxy, agent and control plane use. Nothing that the other refuses may be accepted; what only
we refuse must be in DEVIATIONS, with its reason.
"""

import collections
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import hand_made as hm
from testing.bad_certificates import BadCertificates, Case
from testing.case import main
from testing.der import children, oid_text, parse
from testing.mesh import binary_path

TRUST_DOMAIN = "partner.example"
RANDOM_CHAINS = 400

# What we refuse and the other takes: why.
LIMITS = "a limit of ours, so that hostile chains stay cheap: 4 certificates, 16 KiB, 32 extensions"
KEYS = "a key or hash that is weak or dear: ours are P-256, P-384, RSA 2048 to 4096 and SHA-2"
STRICT = "RFC 5280 forbids it in a certificate and OpenSSL does not look"
DEVIATIONS = {
    "chain-of-five": LIMITS, "chain-over-16-kib": LIMITS, "leaf-of-100-kb": LIMITS,
    "ten-thousand-names": LIMITS, "five-thousand-distribution-points": LIMITS, "forty-extensions": LIMITS,
    "leaf-key-rsa-1024": KEYS, "leaf-key-p521": KEYS, "leaf-key-ed25519": KEYS, "leaf-signed-with-sha1": KEYS,
    "leaf-signed-with-rsa-sha1": KEYS, "issuer-signed-with-sha1": KEYS, "issuer-key-rsa-1024": KEYS,
    "issuer-key-p521": KEYS, "issuer-key-p224": KEYS, "issuer-key-secp256k1": KEYS, "issuer-key-ed25519": KEYS,
    "the-same-extension-twice": STRICT, "path-length-of-a-leaf": STRICT,
    "distribution-point-relative-to-the-issuer":
        "RFC 5280 advises against it, and looking at it costs memory before any signature is checked",
    "explicit-policy-required-and-missing": "OpenSSL looks at policies only when told to; RFC 5280 section 6.1.5 refuses",
}

SPIFFE_ID = re.compile(rb"spiffe://([a-z0-9._-]{1,255})((?:/[a-zA-Z0-9._-]+)+)")


class Reader:
    """What of a certificate the rules of X509-SVID speak of, read from its DER."""

    def __init__(self, der):
        body = children(children(parse(der)[1])[0][1])
        if body[0][0] == 0xa0:
            body = body[1:]
        self.subject = body[4][1]
        self.extensions = collections.defaultdict(list)
        for tag, content in body:
            if tag == 0xa3:
                for _, extension in children(parse(content)[1]):
                    parts = children(extension)
                    critical = len(parts) == 3 and parts[1][1] != b"\0"
                    self.extensions[oid_text(parts[0][1])].append((critical, parts[-1][1]))

    def one(self, number):
        found = self.extensions.get(number)
        return found[0] if found else None

    def uris(self):
        found = self.one("2.5.29.17")
        return [content for tag, content in children(parse(found[1])[1]) if tag == 0x86] if found else []

    def usage(self):
        """The set of KeyUsage bits; None without the extension."""
        found = self.one("2.5.29.15")
        if not found:
            return None
        content = parse(found[1])[1]
        return {index * 8 + bit for index, byte in enumerate(content[1:]) for bit in range(8) if byte & 0x80 >> bit}

    def extended_usage(self):
        found = self.one("2.5.29.37")
        return {oid_text(content) for _, content in children(parse(found[1])[1])} if found else None

    def is_ca(self):
        found = self.one("2.5.29.19")
        parts = children(parse(found[1])[1]) if found else []
        return bool(parts) and parts[0] == (0x01, b"\xff")


def spiffe_defect(text):
    match = SPIFFE_ID.fullmatch(text)
    if len(text) > 2048 or not match:
        return "not a SPIFFE ID with a path"
    if any(segment in (b".", b"..") for segment in match.group(2).split(b"/")):
        return "a dot segment"
    return None


def svid_defect(ders, trust_domains):
    """Why a chain is no X509-SVID, by the letter of the standard; None when nothing is wrong."""
    try:
        leaf, *above = map(Reader, ders)
        if any(len(found) > 1 for certificate in (leaf, *above) for number, found in certificate.extensions.items()
               if number.startswith("2.5.29.")):
            return "an extension twice"
        uris = leaf.uris()
        if len(uris) != 1:
            return f"{len(uris)} URIs"
        if defect := spiffe_defect(uris[0]):
            return defect
        if SPIFFE_ID.fullmatch(uris[0]).group(1).decode() not in trust_domains:
            return "no bundle of its trust domain"
        usage = leaf.usage()
        if leaf.is_ca() or usage is None or not leaf.one("2.5.29.15")[0]:
            return "a CA, or its key usage"
        if hm.DIGITAL_SIGNATURE not in usage or usage & {hm.CERT_SIGN, hm.CRL_SIGN}:
            return "its key usage"
        if not leaf.subject and not leaf.one("2.5.29.17")[0]:
            return "names not critical"
        for certificate in (leaf, *above):
            extended = certificate.extended_usage()
            if extended is not None and not {hm.SERVER_AUTH, hm.CLIENT_AUTH} <= extended:
                return "extended key usage"
        for certificate in above:
            if not certificate.is_ca() or hm.CERT_SIGN not in (certificate.usage() or ()):
                return "a signer that may not sign"
            spiffe = [text for text in certificate.uris() if text.lower().startswith(b"spiffe:")]
            if spiffe and (len(certificate.uris()) > 1 or not re.fullmatch(rb"spiffe://[a-z0-9._-]{1,255}", spiffe[0])):
                return "a signer's SPIFFE ID"
    except (IndexError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


class RandomChains:
    """Chains of up to three intermediates, each with a few things changed at random, most of them harmless alone."""

    def __init__(self, seed, root):
        self.random, self.root = random.Random(seed), root

    def seldom(self, one_in=6):
        return self.random.randrange(one_in) == 0

    def validity(self):
        if self.seldom(12):
            return self.random.choice(({"begins": -7200, "ends": -60}, {"begins": 900, "ends": 7200}))
        return {}

    def constraints(self):
        names = [TRUST_DOMAIN, ".example", "." + TRUST_DOMAIN, "other.example", "sub." + TRUST_DOMAIN]
        chosen = [hm.uri(name) for name in self.random.sample(names, self.random.choice((1, 1, 2)))]
        kind = {"permitted": chosen} if self.random.random() < 0.7 else {"excluded": chosen}
        return hm.name_constraints(**kind, critical=not self.seldom(3))

    def signer(self, number, issuer):
        extensions = [hm.basic_constraints(not self.seldom(15), self.random.choice((None, None, 0, 1, 2, 3)))]
        if not self._is_ca(extensions[0]):
            extensions = [hm.basic_constraints(False)]
        usage = [hm.CERT_SIGN, hm.CRL_SIGN] if not self.seldom(15) else [hm.CRL_SIGN]
        if not self.seldom(20):
            extensions.append(hm.key_usage(*usage, critical=not self.seldom(4)))
        ids = not self.seldom(3)
        key_id = os.urandom(20)
        if ids:
            extensions.append(hm.subject_key_id(key_id))
        if issuer.key_id and not self.seldom(3):
            extensions.append(hm.authority_key_id(issuer.key_id if not self.seldom(15) else os.urandom(20)))
        if self.seldom(4):
            extensions.append(self.constraints())
        if self.seldom(8):
            extensions.append(hm.extended_key_usage(*self.random.choice((
                (hm.SERVER_AUTH, hm.CLIENT_AUTH), (hm.SERVER_AUTH,), (hm.CLIENT_AUTH,), (hm.CODE_SIGNING,)))))
        if self.seldom(8):
            extensions.append(hm.alt_names(hm.uri(self.random.choice((
                f"spiffe://{TRUST_DOMAIN}", f"spiffe://{TRUST_DOMAIN}/a", "https://ca.example/")))))
        if self.seldom(15):
            extensions.append(hm.unknown(self.seldom(2)))
        # Self-issued now and then: such certificates do not count for path lengths.
        name = issuer.name if self.seldom(8) and number else f"signer {number}"
        made = hm.Ca(name, issuer=issuer, extensions=extensions, **self.validity())
        made.key_id = key_id if ids else None
        return made

    @staticmethod
    def _is_ca(extension):
        return b"\x01\x01\xff" in extension.value

    def make(self, number):
        above = []
        issuer = self.root
        for depth in range(self.random.choice((0, 1, 1, 2, 2, 3))):
            issuer = self.signer(depth, issuer)
            above.insert(0, issuer)
        host = self.random.choice((TRUST_DOMAIN,) * 8 + ("sub." + TRUST_DOMAIN,))
        extended = hm.extended_key_usage(*self.random.choice(
            ((hm.SERVER_AUTH, hm.CLIENT_AUTH),) * 9 + ((hm.SERVER_AUTH,),)))
        usage = hm.key_usage(*self.random.choice(((hm.DIGITAL_SIGNATURE,),) * 9 + ((hm.KEY_AGREEMENT,),)))
        leaf = issuer.issue(hm.svid(f"spiffe://{host}/n{number}", usage=usage, extended=extended),
                            ids=not self.seldom(4), **self.validity())
        if above and self.seldom(20):
            above.pop(self.random.randrange(len(above)))
        return Case(f"random-{number}", "", leaf, *above)


class SvidAgreementTest(unittest.TestCase):
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="byr-svid-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.cases = BadCertificates(TRUST_DOMAIN)
        cls.now = int(time.time())
        cls.root = cls.path("root.pem")
        with open(cls.root, "w", encoding="ascii") as out:
            out.write(hm.pem(cls.cases.root.der))

    @classmethod
    def path(cls, name):
        return os.path.join(cls.directory.name, name)

    def write(self, case):
        path = self.path(f"{case.name}.pem")
        with open(path, "w", encoding="ascii") as out:
            out.write(case.pem())
        return path

    def ours(self, cases):
        """{name: (accepted, what was said)} by the verifier under test."""
        paths = {self.write(case): case.name for case in cases}
        done = subprocess.run(
            [binary_path("byrniectl"), "verify", f"--trust_domain={TRUST_DOMAIN}", f"--trust_bundle={self.root}",
             f"--federated_bundle=sub.{TRUST_DOMAIN}={self.root}",
             "--at=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now)), *paths],
            capture_output=True, text=True, check=False)
        verdicts = {}
        for line in done.stdout.splitlines():
            path, _, text = line.partition(": ")
            verdicts[paths[path]] = (text.startswith("good, "), text)
        self.assertEqual(len(verdicts), len(paths), done.stderr)
        self.assertEqual(done.returncode, 0 if all(good for good, _ in verdicts.values()) else 1)
        return verdicts

    def theirs(self, case):
        """(accepted, what was said) by openssl and the rules above."""
        leaf, above = self.path("leaf.pem"), self.path("above.pem")
        with open(leaf, "w", encoding="ascii") as out:
            out.write(hm.pem(case.chain[0]))
        with open(above, "w", encoding="ascii") as out:
            out.write(hm.chain_pem(case.chain[1:]))
        for purpose in ("sslserver", "sslclient"):
            done = subprocess.run(
                ["openssl", "verify", "-no-CApath", "-no-CAstore", "-partial_chain", "-trusted", self.root,
                 *(["-untrusted", above] if case.chain[1:] else []), "-attime", str(self.now), "-purpose", purpose,
                 "-auth_level", "0", leaf], capture_output=True, text=True, check=False)
            if done.returncode:
                return False, done.stderr.strip().replace("\n", " ")
        defect = svid_defect(case.chain, {TRUST_DOMAIN, "sub." + TRUST_DOMAIN})
        return (False, defect) if defect else (True, "good")

    def test_both_refuse_what_is_bad_but_for_what_only_we_refuse(self):
        bad = self.cases.all()
        ours = self.ours(bad)
        deviations = []
        for case in bad:
            with self.subTest(case.name):
                accepted, text = ours[case.name]
                self.assertFalse(accepted, "a false acceptance")
                if "message size" not in case.rule and case.name != "chain-of-five":
                    self.assertIn(case.rule, text)
                if self.theirs(case)[0]:
                    deviations.append(case.name)
        self.assertEqual(sorted(deviations), sorted(DEVIATIONS), "the list of deviations is not what was found")

    def test_both_accept_what_is_good(self):
        good = self.cases.good()
        ours = self.ours(good)
        for case in good:
            with self.subTest(case.name):
                self.assertTrue(ours[case.name][0], ours[case.name][1])
                self.assertEqual(self.theirs(case), (True, "good"))

    def test_both_say_the_same_about_random_paths(self):
        maker = RandomChains(20261125, self.cases.root)
        chains = [maker.make(number) for number in range(RANDOM_CHAINS)]
        ours = self.ours(chains)
        accepted = 0
        for case in chains:
            theirs = self.theirs(case)
            self.assertEqual(ours[case.name][0], theirs[0], (case.name, ours[case.name][1], theirs[1]))
            accepted += theirs[0]
        print(f"     {len(chains)} random paths, {accepted} good, {len(chains) - accepted} bad: no difference", flush=True)
        # Neither side may be trivial.
        self.assertGreater(accepted, RANDOM_CHAINS // 10)
        self.assertGreater(RANDOM_CHAINS - accepted, RANDOM_CHAINS // 10)


if __name__ == "__main__":
    sys.exit(main())
