"""Makes the root file system of the image, and remembers where each file in it is from.

The programs without their symbols, the shared libraries that they load as Debian ships them, the little that the C library looks up
(root/), and the licences of all of it. Nothing else: no shell, no certificates of public authorities, no link, no empty folder.
"""

import os
import re
import shutil
import subprocess

import debian

PROGRAMS = {
    "byrnie-certagent": "certagent", "byrnie-controlplane": "controlplane", "byrnie-finish": "deploy/finish",
    "byrnie-proxy": "proxy", "byrnie-redirect": "deploy/redirect", "byrniectl": "ctl",
}
PROGRAM_DIRECTORY = "/usr/local/bin"
_HERE = os.path.dirname(os.path.abspath(__file__))
_REPOSITORY = os.path.dirname(os.path.dirname(_HERE))

# A file that each package has which a label of bazel/system.BUILD stands for; the package may be called otherwise tomorrow.
_HEADERS = {
    "absl": "absl/base/config.h", "boost_headers": "boost/version.hpp", "grpc": "grpcpp/grpcpp.h",
    "nftables": "nftables/libnftables.h", "nghttp2": "nghttp2/nghttp2.h", "nlohmann_json": "nlohmann/json.hpp",
    "protobuf": "google/protobuf/message.h", "protobuf_lite": "google/protobuf/message_lite.h", "sqlite3": "sqlite3.h",
    "yaml_cpp": "yaml-cpp/yaml.h",
}
# Of these a program that loads their library has nothing in itself: their headers only declare.
_DECLARING = ("nftables", "nghttp2", "sqlite3")
# What the compiler puts into every program.
_RUNTIME = ("libc.a", "libgcc.a", "libstdc++.a")

# Of packages without dpkg, each in a file of its own; also of those that only something in a program is of.
_STATUS = "/var/lib/dpkg/status.d"

BYRNIE, BORINGSSL = "byrnie", "boringssl"


class Contents:
    """See the module's comment. `files` says of each path in the image whose it is: BYRNIE, BORINGSSL or a debian.Package."""

    def __init__(self, root, binaries, boringssl):
        self.root, self.files = root, {}
        # By program: the paths of the libraries it loads, and what is linked into it.
        self.loads, self.links = {}, {}
        for name, folder in PROGRAMS.items():
            self._program(name, os.path.join(binaries, folder, name),
                          os.path.join(binaries, "deploy/image", f"{name}.linked"))
        for folder, _, names in os.walk(os.path.join(_HERE, "root")):
            for name in names:
                source = os.path.join(folder, name)
                self._add(source, "/" + os.path.relpath(source, os.path.join(_HERE, "root")), BYRNIE)
        # By these and what is in _STATUS scanners for vulnerabilities know whose packages there are.
        self._add(debian.OS_RELEASE, "/etc/os-release", debian.owner(debian.OS_RELEASE))
        self._add(debian.DEBIAN_VERSION, debian.DEBIAN_VERSION, debian.owner(debian.DEBIAN_VERSION))
        self._licenses(boringssl)
        for package in self.packages():
            self._write(f"{_STATUS}/{package.name}", package.status(), package)

    def packages(self):
        """The Debian packages that something in the image is of, or is linked from."""
        found = {whose.name: whose for whose in list(self.files.values()) + sum(self.links.values(), [])
                 if isinstance(whose, debian.Package)}
        return [found[name] for name in sorted(found)]

    def path(self, name):
        return self.root + name

    def _add(self, source, target, whose, mode=0o644):
        if target in self.files:
            return
        os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
        shutil.copyfile(source, self.path(target))
        os.chmod(self.path(target), mode)
        self.files[target] = whose

    def _write(self, target, text, whose):
        os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
        with open(self.path(target), "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(self.path(target), 0o644)
        self.files[target] = whose

    def _program(self, name, binary, linked):
        target = os.path.join(PROGRAM_DIRECTORY, name)
        if not os.path.exists(binary):
            raise FileNotFoundError(f"{binary} is not there; build it, or leave --binaries out")
        os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
        # The build id stays: whoever has the program with its symbols finds the place of a crash with it.
        subprocess.run(["strip", "--strip-all", "-o", self.path(target), binary], check=True)
        os.chmod(self.path(target), 0o755)
        self.files[target] = BYRNIE
        libraries = list(loaded_libraries(binary))
        debian.look_up([found for _, found in libraries])
        self.loads[name] = [self._library(*each) for each in libraries]
        self.links[name] = list(linked_packages(linked, fully=not self.loads[name]))

    def _library(self, wanted, found):
        """Takes one in under the name that the loader looks for: the loader where programs expect it, the rest where it looks by
        itself."""
        if not os.path.isabs(wanted):
            folder = os.path.dirname(os.path.realpath(found))
            wanted = os.path.join(folder, wanted)
        self._add(found, wanted, debian.owner(found), 0o755)
        return wanted

    def _licenses(self, boringssl):
        self._add(os.path.join(_REPOSITORY, "LICENSE"), "/usr/share/doc/byrnie/copyright", BYRNIE)
        self._add(os.path.join(boringssl, "LICENSE"), "/usr/share/doc/boringssl/copyright", BORINGSSL)
        for package in self.packages():
            self._add(package.copyright_file(), f"/usr/share/doc/{package.name}/copyright", package)
            for text in package.common_licenses():
                # Of the package base-files, like all that is common.
                self._add(text, text, debian.owner(debian.COMMON_LICENSES))


def loaded_libraries(binary):
    """(what it asks for, where that is) of each shared library that a program loads, the loader among them."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True, env={"LC_ALL": "C"})
    if "not a dynamic executable" in done.stderr + done.stdout or "statically linked" in done.stdout:
        return
    for line in done.stdout.splitlines():
        if "not found" in line:
            raise FileNotFoundError(f"{binary}: {line.strip()}")
        match = re.match(r"\s*(\S+)(?: => (\S+))? \(0x", line)
        if match and not match[1].startswith("linux-vdso"):
            yield match[1], match[2] or match[1]


def linked_packages(path, fully):
    """What is in a program itself of others' code, by the labels that Bazel says it depends on. `fully`: it loads nothing."""
    with open(path, encoding="ascii") as labels:
        for label in sorted(labels.read().split()):
            repository, _, name = label.partition("//:")
            if repository == "@boringssl":
                if name == "crypto":
                    yield BORINGSSL
            elif fully or name not in _DECLARING:
                yield debian.owner(os.path.join("/usr/include", _HEADERS[name]))
    for archive in _RUNTIME:
        found = subprocess.run(["g++", f"-print-file-name={archive}"], check=True, capture_output=True, text=True).stdout.strip()
        yield debian.owner(found)
