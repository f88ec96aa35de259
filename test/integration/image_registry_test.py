#!/usr/bin/python3
"""The commands of docs/kubernetes.md by which the image comes to a registry, as they are written there, with skopeo and a registry of this machine.

Proved: what is built is pushed under the name that the rest of the page installs, over TLS, with the digest that the build said; what fetches images for a node gets it from there, with all its programs. `deploy/image/build` is given the programs that are built already, and a folder that is not the checkout's: Bazel does not run in a test.
"""

import json
import os
import re
import shlex
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing import image as images
from testing.case import main
from testing.docs_case import sections
from testing.image_registry import ImageRegistry
from testing.kubernetes_node import own_network

BUILD = """#!/bin/sh
exec {program} "$@" --output={output} --binaries={binaries}
"""


class ImageRegistryTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        own_network()
        folder = tempfile.TemporaryDirectory(prefix="byr-registry-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        os.makedirs(cls.path("work/deploy/image"))
        with open(os.open(cls.path("work/deploy/image/build"), os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="utf-8") as out:
            out.write(BUILD.format(program=shlex.quote(images.BUILD), output=shlex.quote(cls.path("work/dist")), binaries=shlex.quote(images.binaries())))
        os.mkdir(cls.path("registry"))
        cls.registry = ImageRegistry("registry.example", cls.path("registry"))
        cls.addClassCleanup(cls.registry.close)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def sh(self, line):
        done = self.registry.run(line, self.path("work"))
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}{self.registry.log_text()[-2000:]}")
        return done.stdout

    def test_the_image_comes_to_a_registry_and_from_there_to_a_node(self):
        build, copy = dict(sections())["The image"]
        said = self.sh(build)
        # What the comment beside it says.
        self.assertEqual(sorted("dist/" + name for name in os.listdir(self.path("work/dist"))), sorted(re.findall(r"dist/\S+\b", build)))
        self.sh(copy)
        name, tag = re.search(r"docker://registry\.example/(\S+):(\S+)", copy).groups()
        digest = re.search(rf"{name}:{tag} (sha256:[0-9a-f]+)", said)[1]
        self.assertEqual(self.registry.manifest_digest(name, tag), digest)
        buildah = f"buildah --root {self.folder}/storage --runroot {self.folder}/run --storage-driver vfs"
        self.sh(f"{buildah} pull --quiet registry.example/{name}:{tag}")
        shown = json.loads(self.sh(f"{buildah} inspect --type image registry.example/{name}:{tag}"))
        self.assertEqual(shown["FromImageDigest"], digest)


if __name__ == "__main__":
    sys.exit(main())
