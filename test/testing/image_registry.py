"""A registry of images, Debian's docker-registry, in the network of this process: by the name and with the TLS that nodes know it by.

    own_network()                            # of this process: before anything is started
    with ImageRegistry("registry.example", directory) as registry:
        registry.run("skopeo copy oci-archive:byrnie.oci.tar docker://registry.example/byrnie:0.1.0", cwd=...)

Names of this machine are its own: commands find the registry by a hosts file that they alone see, and trust it by its CA.
"""

import json
import os
import shlex
import socket
import ssl
import subprocess
import urllib.request

from .cache import cached
from .kubernetes import Authority
from .process import wait_until

# What says where a manifest is and what it is: an index would be another one.
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class ImageRegistry:
    """See the module's comment. Nothing of it is left after close() but what is in `directory`, which is the caller's."""

    def __init__(self, name, directory):
        self.name, self.directory = name, directory
        program = cached("docker-registry")
        assert os.access(program, os.X_OK), f"{program} is not there; tools/setup puts it there"
        authority = Authority("registry CA")
        certificate, key = authority.issue(name, (), (name,))
        for file, content in (("ca.pem", authority.pem()), ("server.pem", certificate), ("server.key", key),
                              ("hosts", f"127.0.0.1 localhost {name}\n".encode())):
            with open(os.open(self.path(file), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
                out.write(content)
        with open(self.path("config.yml"), "w", encoding="ascii") as out:
            json.dump({"version": 0.1, "log": {"level": "warn"}, "storage": {"filesystem": {"rootdirectory": self.path("images")}},
                       "http": {"addr": "127.0.0.1:443", "tls": {"certificate": self.path("server.pem"), "key": self.path("server.key")}}}, out)
        with open(self.path("registry.log"), "ab") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", program, "serve", self.path("config.yml")],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(self._answers, 20, "the registry's answer")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, file):
        return os.path.join(self.directory, file)

    def _answers(self):
        assert self._process.poll() is None, self.log_text()
        with socket.create_connection(("127.0.0.1", 443), timeout=2):
            return True

    def run(self, line, cwd):
        """A line for bash, as somebody types it; returns what subprocess.run does."""
        return subprocess.run(["unshare", "--mount", "bash", "-c", f"mount --bind {shlex.quote(self.path('hosts'))} /etc/hosts && exec bash -o pipefail -c {shlex.quote(line)}"],
                              cwd=cwd, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env={"BYRNIE_CACHE": cached(), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.directory, "TMPDIR": self.directory, "SSL_CERT_FILE": self.path("ca.pem")})

    def manifest_digest(self, image, tag):
        """Of what it gives to whoever asks for that; urllib.error.HTTPError where it has no such image."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.check_hostname = False  # It is asked by its address.
        request = urllib.request.Request(f"https://127.0.0.1/v2/{image}/manifests/{tag}", method="HEAD", headers={"Accept": MANIFEST})
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.headers["Docker-Content-Digest"]

    def log_text(self):
        with open(self.path("registry.log"), encoding="utf-8", errors="replace") as text:
            return text.read()

    def close(self):
        self._process.terminate()
        self._process.wait(10)
