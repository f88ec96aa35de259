"""Byrnie's image, as deploy/image/build makes it and a container runtime reads it."""

import hashlib
import json
import os
import subprocess
import tarfile

from .mesh import REPOSITORY

BUILD = os.path.join(REPOSITORY, "deploy", "image", "build")


def binaries():
    """Where the programs were built."""
    return os.path.realpath(os.environ.get("BYRNIE_BIN", os.path.join(REPOSITORY, "bazel-bin")))


def build(output, **options):
    """The image, into a folder; what the command said is its `said`."""
    options["env"] = {name: value for name, value in options.get("env", os.environ).items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run([BUILD, f"--output={output}", f"--binaries={binaries()}"], capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        raise AssertionError(f"deploy/image/build ended with {done.returncode}: {done.stderr}")
    image = Image(*[os.path.join(output, name) for name in os.listdir(output) if name.endswith(".oci.tar")])
    image.said = done.stdout
    return image


class Image:
    """An OCI archive with one image. Every blob is checked against its digest when it is read."""

    def __init__(self, archive):
        self.archive = archive
        with tarfile.open(archive) as self._tar:
            entry, = json.load(self._tar.extractfile("index.json"))["manifests"]
            self.digest, self.name = entry["digest"], entry["annotations"]["org.opencontainers.image.ref.name"]
            self.manifest = json.loads(self._blob(self.digest))
            self.config = json.loads(self._blob(self.manifest["config"]["digest"]))

    def _blob(self, digest):
        kind, _, value = digest.partition(":")
        content = self._tar.extractfile(f"blobs/{kind}/{value}").read()
        if kind != "sha256" or hashlib.sha256(content).hexdigest() != value:
            raise ValueError(f"{self.archive} has another blob than {digest}")
        return content

    def layer(self):
        """Its only layer, as a tarfile. The caller closes it."""
        layer, = self.manifest["layers"]
        outer = tarfile.open(self.archive)
        kind, _, value = layer["digest"].partition(":")
        inner = tarfile.open(fileobj=outer.extractfile(f"blobs/{kind}/{value}"), mode="r:gz")
        return inner

    def unpack(self, directory):
        """Its root file system, into an empty folder."""
        with self.layer() as layer:
            layer.extractall(directory, numeric_owner=True)
