"""A real etcd of several members in a namespace, over TLS with client certificates.

    etcd = EtcdCluster(mesh)
    etcd.start()
    control_plane.store_flags = etcd.store_flags("one-mesh")
    etcd.members[0].kill()
"""

import base64
import datetime
import ipaddress
import json
import os
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .issuer import key_pem, new_key, pem
from .process import wait_until

PROGRAM = "/usr/bin/etcd"


def _certificate(name, key, issuer=None, address=None):
    """A CA where there is no `issuer` (certificate, key), else a certificate for both ends of a connection."""
    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
               .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True))
    if issuer:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    if address:
        builder = builder.add_extension(x509.SubjectAlternativeName([
            x509.IPAddress(ipaddress.ip_address(address)), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


class Member:
    """One member. start(), kill() and start() may alternate; its data stays."""

    def __init__(self, cluster, number):
        self.cluster, self.name = cluster, f"etcd{number}"
        self.port, self.peer_port = 2379 + 10 * number, 2380 + 10 * number
        self.address = cluster.host.address
        self.url, self.peer_url = f"https://{self.address}:{self.port}", f"http://{self.address}:{self.peer_port}"
        self.data = os.path.join(cluster.directory, self.name)
        self.process = None

    def start(self):
        cluster = self.cluster
        argv = [PROGRAM, f"--name={self.name}", f"--data-dir={self.data}", f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}", f"--listen-peer-urls={self.peer_url}",
                f"--initial-advertise-peer-urls={self.peer_url}",
                "--initial-cluster=" + ",".join(f"{member.name}={member.peer_url}" for member in cluster.members),
                f"--cert-file={cluster.path('server.pem')}", f"--key-file={cluster.path('server.key')}",
                "--client-cert-auth", f"--trusted-ca-file={cluster.path('ca.pem')}",
                "--logger=zap", "--log-level=warn", "--log-outputs=stderr"]
        self.process = cluster.mesh.spawn(self.name, cluster.host, argv, cluster.mesh.log_path(self.name))

    def kill(self):
        self.process.kill()

    def status(self):
        """What etcd says of itself over HTTP: {"leader": …, "header": {"member_id": …}}; raises while it does not answer."""
        done = self.cluster.host.run(
            "curl", "--silent", "--show-error", "--fail", "--max-time", "2", "--cacert", self.cluster.path("ca.pem"),
            "--cert", self.cluster.path("client.pem"), "--key", self.cluster.path("client.key"), "--data", "{}",
            f"{self.url}/v3/maintenance/status", check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return json.loads(done.stdout)


class EtcdCluster:
    """See the module's comment."""

    def __init__(self, mesh, size=3, number=30):
        self.mesh = mesh
        self.host = mesh.network.host("etcd", number)
        self.directory = mesh.make_directory("etcd", 0o700)
        self.members = []
        self.members += [Member(self, number) for number in range(size)]
        # What private keys are sealed with.
        self._write("store.key", secrets.token_hex(32))
        ca_key = new_key()
        ca = _certificate("etcd test CA", ca_key)
        self._write("ca.pem", pem(ca))
        for name, address in (("server", self.host.address), ("client", None)):
            key = new_key()
            self._write(f"{name}.pem", pem(_certificate(name, key, (ca, ca_key), address)))
            self._write(f"{name}.key", key_pem(key).decode())

    def path(self, name):
        return os.path.join(self.directory, name)

    def _write(self, name, text):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(text)

    def store_flags(self, prefix):
        """What a control plane takes to keep its records here."""
        return ["--store=etcd:" + ",".join(member.url for member in self.members) + "/" + prefix,
                f"--etcd_ca={self.path('ca.pem')}", f"--etcd_cert={self.path('client.pem')}",
                f"--etcd_key={self.path('client.key')}", f"--store_key={self.path('store.key')}"]

    def start(self):
        for member in self.members:
            if member.process is None or not member.process.running():
                member.start()
        self.wait_ready()

    def wait_ready(self):
        wait_until(lambda: all(int(member.status()["leader"]) for member in self.members), 30, "etcd's readiness", every=0.1)

    def call(self, method, seconds=5, **fields):
        """The answer to a KV method ("range", "put") by the JSON gateway, within so many seconds; fields are bytes."""
        body = {name: base64.b64encode(value).decode() for name, value in fields.items()}
        done = self.host.run(
            "curl", "--silent", "--show-error", "--fail", "--max-time", str(seconds), "--cacert", self.path("ca.pem"),
            "--cert", self.path("client.pem"), "--key", self.path("client.key"), "--data", json.dumps(body),
            f"{self.members[0].url}/v3/kv/{method}")
        return json.loads(done.stdout)

    def leader(self):
        """The member that leads now."""
        def find():
            for member in self.members:
                if not member.process.running():
                    continue
                status = member.status()
                if status["leader"] == status["header"]["member_id"]:
                    return member
            return None
        return wait_until(find, 15, "a leader of etcd", every=0.1)
