#!/usr/bin/python3
"""The image has what Byrnie's programs need, and nothing that it does not name.

Proved: each program starts from its file system alone, as the image's user, without privileges; there is no shell, nothing that belongs to others than root, is writable or setuid, no link; the user is a number; the list names each file with its right
checksum and the package it is of, in the version that dpkg knows, and what is linked into each program; two builds, in other folders and under another umask, are the same to the byte; a container tool takes it; the size is reported, and docs/kubernetes.md
has it right; what is missing is told in one line and leaves nothing.
"""

import email
import functools
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import image as images
from testing.case import main
from testing.mesh import PROXY_UID, REPOSITORY

PROGRAMS = ("byrnie-certagent", "byrnie-controlplane", "byrnie-finish", "byrnie-proxy", "byrnie-redirect", "byrniectl")
STATIC = ("byrnie-finish", "byrnie-proxy")


class ImageTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="byr-image-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.image = images.build(cls.path("first"))
        cls.root = cls.path("root")
        cls.image.unpack(cls.root)
        list_file, = [name for name in os.listdir(cls.path("first")) if name.endswith(".spdx.json")]
        with open(os.path.join(cls.path("first"), list_file), encoding="utf-8") as text:
            cls.listed = json.load(text)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @functools.cached_property
    def members(self):
        with self.image.layer() as layer:
            return layer.getmembers()

    def files(self):
        return {"/" + member.name: member for member in self.members if member.isfile()}

    def related(self, kind):
        return [(each["spdxElementId"], each["relatedSpdxElement"]) for each in self.listed["relationships"]
                if each["relationshipType"] == kind]

    # What is in it.

    def test_every_program_starts_from_it_alone(self):
        for name in PROGRAMS:
            for word in ("--help", "--version"):
                if (name, word) == ("byrnie-finish", "--version"):
                    continue
                with self.subTest(program=name, word=word):
                    done = subprocess.run(["/usr/sbin/chroot", f"--userspec={PROXY_UID}:{PROXY_UID}", "--groups=", self.root, f"/usr/local/bin/{name}", word],
                                          capture_output=True, text=True, env={}, timeout=10)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertTrue(done.stdout)

    def test_there_is_nothing_else_to_start(self):
        self.assertEqual(sorted(os.listdir(os.path.join(self.root, "usr/local/bin"))), sorted(PROGRAMS))
        for path, member in self.files().items():
            if member.mode & 0o111 and not path.startswith("/usr/local/bin/"):
                self.assertRegex(path, r"^/lib64/ld-linux|^/usr/lib/[^/]+/lib[^/]+\.so(\.\d+)*$")

    def test_nobody_but_root_owns_or_changes_it(self):
        epoch = int(subprocess.run(["git", "-c", "safe.directory=*", "-C", REPOSITORY, "log", "-1", "--format=%ct"], check=True, capture_output=True).stdout)
        for member in self.members:
            with self.subTest(member.name):
                self.assertTrue(member.isfile() or member.isdir())
                self.assertEqual((member.uid, member.gid), (0, 0))
                self.assertEqual(stat.S_IMODE(member.mode) & ~0o755, 0)
                self.assertEqual(member.mtime, epoch)

    def test_every_library_is_needed(self):
        wanted = {one for one in os.listdir(os.path.join(self.root, "usr/lib", self.triplet()))}
        needed = set()
        for path in self.files():
            if path.startswith(("/usr/local/bin/", "/usr/lib/")):
                shown = subprocess.run(["readelf", "-d", self.root + path], check=True, capture_output=True, text=True).stdout
                needed.update(re.findall(r"\(NEEDED\).*\[(.*)\]", shown))
        self.assertEqual({name for name in needed if not name.startswith("ld-linux")}, wanted)
        for name in STATIC:
            self.assertNotIn("interpreter", subprocess.run(["readelf", "-l", os.path.join(self.root, "usr/local/bin", name)], capture_output=True, text=True).stdout)

    def test_every_program_is_at_an_address_nobody_knows(self):
        """Position-independent, with what the linker fills in read-only and no page that is both written and run."""
        for name in PROGRAMS:
            with self.subTest(program=name):
                shown = subprocess.run(["readelf", "-hlW", os.path.join(self.root, "usr/local/bin", name)], check=True, capture_output=True, text=True).stdout
                self.assertRegex(shown, r"Type: +DYN ")
                self.assertIn("GNU_RELRO", shown)
                self.assertRegex(shown, r"GNU_STACK .* RW +0x")
                self.assertNotIn("RWE", shown)

    def triplet(self):
        one, = os.listdir(os.path.join(self.root, "usr/lib"))
        return one

    def test_its_configuration(self):
        config = self.image.config["config"]
        self.assertEqual(config["User"], f"{PROXY_UID}:{PROXY_UID}")
        self.assertEqual(config["Env"], ["PATH=/usr/local/bin"])
        self.assertFalse({"Entrypoint", "Cmd", "Volumes", "ExposedPorts"} & set(config))
        labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
        with open(os.path.join(REPOSITORY, "common/base/version.h"), encoding="utf-8") as text:
            release = re.search(r'kRelease\[\] = "(.*)"', text.read())[1]
        self.assertEqual((labels["title"], labels["version"], labels["licenses"]), ("byrnie", release, "Apache-2.0"))
        self.assertRegex(labels["revision"], r"^[0-9a-f]{40}(\+changes)?\+binaries$")
        self.assertEqual(labels["created"], self.image.config["created"])
        self.assertEqual(self.image.name, f"byrnie:{release}")
        with open(os.path.join(REPOSITORY, "deploy/kubernetes/base/injector.yaml"), encoding="utf-8") as text:
            self.assertIn(f'"image": "{self.image.name}"', text.read())

    # The list.

    def test_the_list_names_every_file(self):
        for file in self.listed["files"]:
            with open(self.root + file["fileName"].removeprefix("."), "rb") as content:
                content = content.read()
            for checksum in file["checksums"]:
                self.assertEqual(hashlib.new(checksum["algorithm"], content).hexdigest(), checksum["checksumValue"], file["fileName"])
        self.assertEqual({"." + path for path in self.files()}, {file["fileName"] for file in self.listed["files"]})

    def test_every_file_is_of_one_package_with_its_licence(self):
        names = {file["SPDXID"]: file["fileName"].removeprefix(".") for file in self.listed["files"]}
        packages = {package["SPDXID"]: package for package in self.listed["packages"]}
        self.assertEqual(len(names) + len(packages), len({*names, *packages}))
        owners = [(packages[owner]["name"], names[file]) for owner, file in self.related("CONTAINS") if file in names]
        self.assertEqual(sorted(path for _, path in owners), sorted(self.files()))
        for name in {name for name, _ in owners}:
            if name != "base-files":
                self.assertIn((name, f"/usr/share/doc/{name}/copyright"), owners)

    def test_packages_are_those_of_this_machine(self):
        for package in self.listed["packages"]:
            if package["supplier"] == "Organization: Debian":
                shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\n", package["name"]], check=True, capture_output=True, text=True).stdout
                self.assertIn(package["versionInfo"], shown.split())
        with open(os.path.join(REPOSITORY, "tools/lib/common.sh"), encoding="utf-8") as text:
            revision = re.search(r"^BORINGSSL_REVISION=(\w+)$", text.read(), re.M)[1]
        self.assertIn(("boringssl", revision), [(package["name"], package["versionInfo"]) for package in self.listed["packages"]])

    def test_scanners_find_the_packages(self):
        with open("/usr/lib/os-release", "rb") as ours, open(os.path.join(self.root, "etc/os-release"), "rb") as theirs:
            release = ours.read()
            self.assertEqual(theirs.read(), release)
        with open("/etc/debian_version", "rb") as ours:
            self.assertEqual(self.content("/etc/debian_version"), ours.read())
        distribution = "debian-" + re.search(rb'^VERSION_ID="(.*)"$', release, re.M)[1].decode()
        self.assertIn(("debian", distribution.removeprefix("debian-"), "OPERATING-SYSTEM"),
                      [(each["name"], each["versionInfo"], each.get("primaryPackagePurpose")) for each in self.listed["packages"]])
        packages = {each["name"]: each for each in self.listed["packages"] if each["supplier"] == "Organization: Debian"}
        self.assertLessEqual({"libc6", "libgrpc++-dev"}, set(packages))
        for name, package in packages.items():
            purl, = [each["referenceLocator"] for each in package["externalRefs"]]
            encoded, version, qualifiers = re.fullmatch(r"pkg:deb/debian/([^@]+)@([^?]+)\?(.*)", purl).groups()
            self.assertEqual((urllib.parse.unquote(encoded), urllib.parse.unquote(version)), (name, package["versionInfo"]))
            self.assertNotRegex(encoded + version, "[+:]")
            self.assertIn(f"distro={distribution}", qualifiers.split("&"))
            status = email.message_from_bytes(self.content(f"/var/lib/dpkg/status.d/{name}"))
            self.assertEqual((status["Package"], status["Version"]), (name, package["versionInfo"]))
            self.assertTrue(status["Source"] and status["Architecture"] and status["Maintainer"])
        self.assertEqual(set(os.listdir(os.path.join(self.root, "var/lib/dpkg/status.d"))), set(packages))

    def content(self, path):
        with open(self.root + path, "rb") as file:
            return file.read()

    def test_what_is_linked_into_a_program_is_named(self):
        packages = {package["SPDXID"]: package["name"] for package in self.listed["packages"]}
        linked = {}
        for program, package in self.related("STATIC_LINK"):
            linked.setdefault(program.rpartition("-bin-")[2], set()).add(packages[package])
        self.assertEqual(set(linked), set(PROGRAMS))
        self.assertEqual(linked["byrnie-finish"], {"libc6-dev", "libgcc-12-dev", "libstdc++-12-dev"})
        self.assertLessEqual({"boringssl", "libabsl-dev", "libnghttp2-dev", "libprotobuf-dev", "nlohmann-json3-dev"}, linked["byrnie-proxy"])
        self.assertLessEqual({"boringssl", "libgrpc++-dev"}, linked["byrnie-certagent"])
        self.assertNotIn("libnftables-dev", linked["byrnie-redirect"])
        loading = {program.rpartition("-bin-")[2] for program, _ in self.related("DYNAMIC_LINK")}
        self.assertEqual(loading, set(PROGRAMS) - set(STATIC))

    # The build.

    def test_two_builds_are_the_same(self):
        os.mkdir(self.path("elsewhere"))
        second = images.build(self.path("second"), umask=0o077, env={**os.environ, "TMPDIR": self.path("elsewhere")})
        self.assertEqual(second.digest, self.image.digest)
        self.assertEqual(*[self.hashes(self.path(name)) for name in ("first", "second")])
        self.assertEqual(os.listdir(self.path("elsewhere")), [])

    @staticmethod
    def hashes(folder):
        found = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as content:
                found[name] = hashlib.sha256(content.read()).hexdigest()
        return found

    def test_a_container_tool_takes_it(self):
        with tempfile.TemporaryDirectory(prefix="byr-") as folder:
            buildah = ["buildah", "--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
            subprocess.run([*buildah, "pull", "--quiet", f"oci-archive:{self.image.archive}"], check=True, capture_output=True)
            shown = json.loads(subprocess.run([*buildah, "inspect", "--type", "image", self.image.name], check=True, capture_output=True).stdout)
            self.assertEqual(shown["FromImageDigest"], self.image.digest)
            self.assertEqual(shown["OCIv1"]["config"]["User"], f"{PROXY_UID}:{PROXY_UID}")

    def test_its_size_is_reported_and_documented(self):
        size = sum(member.size for member in self.members)
        unpacked = float(re.search(r"^unpacked +([\d.]+) MB in (\d+) files$", self.image.said, re.M)[1])
        self.assertAlmostEqual(unpacked, size / 1e6, delta=0.1)
        archived = float(re.search(r"^archive +(\S+), ([\d.]+) MB$", self.image.said, re.M)[2])
        self.assertAlmostEqual(archived, os.path.getsize(self.image.archive) / 1e6, delta=0.1)
        self.assertIn(f"{self.image.name} {self.image.digest}", self.image.said)
        print(f"the image: {archived} MB, unpacked {unpacked} MB")
        with open(os.path.join(REPOSITORY, "docs/kubernetes.md"), encoding="utf-8") as text:
            told = re.search(r"(\d+) MB to download, (\d+) MB unpacked", text.read())
        for figure, real in zip(told.groups(), (archived, unpacked)):
            self.assertLess(abs(float(figure) - real) / real, 0.1, told[0])

    def test_what_is_missing_is_told_in_one_line(self):
        with tempfile.TemporaryDirectory(prefix="byr-") as folder:
            done = subprocess.run([images.BUILD, f"--binaries={folder}", f"--output={folder}/out"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.splitlines()[-1], "^error: .*byrnie-certagent")
            self.assertEqual(os.listdir(folder), [])
        done = subprocess.run([images.BUILD, "--outptu=x"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (2, "error: cannot do --outptu=x; see deploy/image/build --help\n"))
        shown = subprocess.run([images.BUILD, "--help"], capture_output=True, text=True).stdout
        self.assertIn("--output=DIR", shown)


if __name__ == "__main__":
    sys.exit(main())
