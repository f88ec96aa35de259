#!/usr/bin/python3
"""An injected pod's containers work as they are written: their commands, in their order, with their users and capabilities.

Proved: what byrniectl inject says is started as a kubelet would, agent until its startup probe passes, proxy until its page says that it has
started, the redirect as root with NET_ADMIN alone, then it is ready, and the application starts; while the redirect's rules are gone it is not ready, and with byrnie.io/redirect-watch they are put back; two such pods talk by mutual TLS; a probe that the
injector declared passes in strict mode from the gateway and from the node's address, which the downward API names, and other
plaintext does not; the agent makes its socket's directory for itself in a volume open to everybody; the proxy's end ends all.
"""

import json
import os
import re
import stat
import sys

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.mesh import PROXY_UID, ControlPlane, http_request
from testing.process import wait_until
from testing.token_issuer import SigningKey, TokenIssuer

NODE = "10.77.0.250"  # An address of the node that is not the pods' gateway.
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: demo, annotations: ANNOTATIONS}
spec:
  containers:
  - name: app
    image: example/app:1
    ports: [{name: health, containerPort: 8081}]
    readinessProbe: {httpGet: {path: /healthz, port: health}}
"""


class InjectedPodTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.client, cls.server = mesh.pod("client"), mesh.pod("server")
        cls.vip = mesh.service("server", [cls.server])[0]
        mesh.network.switch.ip(f"addr add {NODE}/16 dev br0")
        # The cluster's own tokens, as its issuer signs them.
        cls.cluster = TokenIssuer("https://kubernetes.default.svc", [SigningKey("RS256", "k")])
        jwks, config = (os.path.join(mesh.directory, name) for name in ("cluster.jwks", "jwt.json"))
        cls.cluster.write_keys(jwks)
        with open(config, "w", encoding="utf-8") as out:
            json.dump({"issuers": [{"issuer": cls.cluster.name, "audiences": ["byrnie"], "jwks_file": jwks, "identities": [
                {"claims": {"sub": "system:serviceaccount:{ns}:{sa}"}, "spiffe_id": "spiffe://cluster.local/ns/{ns}/sa/{sa}"}]}]}, out)
        mesh.control_plane.attest = "jwt"
        mesh.control_plane.extra_flags = [f"--jwt_config={config}"]
        mesh.registry.write()
        mesh.control_plane.start()
        cls.start_injected(cls.client, {"byrnie.io/redirect-watch": "repair"})
        cls.start_injected(cls.server, {})
        cls.server.app("echo", 8080)
        cls.server.app("echo", 8081)
        cls.server.app("echo", 8082)

    @classmethod
    def start_injected(cls, pod, annotations):
        plane = pod.control_plane
        config = os.path.join(pod.directory, "injector.json")
        with open(config, "w", encoding="utf-8") as out:
            json.dump({"control_plane": f"{plane.host.address}:{ControlPlane.PORT}", "trust_domain": plane.trust_domain}, out)
        ctl = cls.mesh.binary("byrniectl")
        manifest = plane.host.run(ctl, "inject", "-f", "-", f"--injector_config={config}", stdin=MANIFEST.replace("NAME", pod.name).replace("ANNOTATIONS", json.dumps(annotations))).stdout
        agent, proxy, redirect, *watches = yaml.safe_load(manifest)["spec"]["initContainers"]
        # A volume of the kubelet's: everybody may write to it.
        pod.volume = os.path.join(pod.directory, "volume")
        os.mkdir(pod.volume)
        os.chmod(pod.volume, 0o777)
        with open(pod.token, "w", encoding="ascii") as out:
            out.write(cls.cluster.token(f"system:serviceaccount:demo:{pod.account}"))
        os.chmod(pod.token, 0o644)
        environment = {"BYRNIE_NAMESPACE": "demo", "BYRNIE_SERVICE_ACCOUNT": pod.account,
                       "BYRNIE_POD_ADDRESSES": f"{pod.address},{pod.address6}", "BYRNIE_NODE_ADDRESSES": NODE}
        files = {"/run/byrnie": pod.volume, "/etc/byrnie/bundle.pem": plane.bundle, "/run/secrets/byrnie/token": pod.token}

        def words(container, command=None):
            """What the kubelet runs."""
            named = {item["name"] for item in container.get("env", [])}
            result = []
            for word in command or container["command"] + container["args"]:
                word = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]] if found[1] in named else found[0], word)
                for path, real in files.items():
                    word = re.sub(f"(^|=){re.escape(path)}", lambda found: found[1] + real, word)
                result.append(re.sub(r"^/usr/local/bin/(.*)", lambda found: cls.mesh.binary(found[1]), word))
            return result

        def spawn(container):
            assert container["securityContext"]["runAsUser"] == PROXY_UID
            name = container["name"].replace("byrnie-", f"{pod.name}-")
            return cls.mesh.spawn(name, pod.host, words(container), cls.mesh.log_path(name), uid=PROXY_UID)

        pod.agent = spawn(agent)

        def starts(container):
            probe = words(container, container["startupProbe"]["exec"]["command"])
            wait_until(lambda: pod.host.run(*probe, uid=PROXY_UID, check=False).returncode == 0, 15,
                       f"{container['name']}'s startup probe", every=0.2)

        starts(agent)
        pod.proxy = spawn(proxy)
        starts(proxy)
        assert cls.asks(pod, "started") == 200
        assert cls.asks(pod, "ready") == 503

        def with_net_admin(container):
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
            return ["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--no-new-privs", *words(container)]
        pod.redirect_again = lambda: pod.host.run(*with_net_admin(redirect))
        pod.redirect_again()
        for watch in watches:
            assert watch["restartPolicy"] == "Always"
            pod.watch = cls.mesh.spawn(f"{pod.name}-watch", pod.host, with_net_admin(watch), cls.mesh.log_path(f"{pod.name}-watch"))
        pod.wait_ready()

    @staticmethod
    def asks(pod, page):
        """The status of the page, as the kubelet is told it; none while nobody answers."""
        try:
            return http_request(pod.host, 15021, f"/healthz/{page}", address=pod.address)[0]
        except OSError:
            return None

    def test_it_is_not_ready_while_the_rules_are_gone(self):
        self.server.host.run("nft", "flush", "ruleset")
        try:
            wait_until(lambda: self.asks(self.server, "ready") == 503, 20, "the pod to be not ready")
            self.assertEqual(self.server.metrics()["byrnie_proxy_redirect_in_place"], 0)
        finally:
            self.server.redirect_again()
        wait_until(lambda: self.asks(self.server, "ready") == 200, 20, "the pod to be ready again")
        self.assertEqual(self.server.metrics()["byrnie_proxy_redirect_in_place"], 1)
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")

    def test_a_watch_puts_the_rules_back(self):
        wait_until(lambda: "byrnie_held" in self.client.host.run("nft", "list", "tables").stdout, 20, "the watch")
        self.client.host.run("nft", "flush", "ruleset")
        wait_until(lambda: self.client.redirect("check", check=False).returncode == 0, 20, "the repair")
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
        self.assertEqual(self.client.metrics()["byrnie_proxy_redirect_in_place"], 1)

    def test_two_of_them_talk_by_mutual_tls(self):
        self.assertEqual(self.ask(self.client, self.vip, 80), b"ping\n")
        record = self.server.wait_access_log(direction="inbound", result="allowed", peer_identity=self.client.spiffe_id)[-1]
        self.assertEqual(record["own_identity"], self.server.spiffe_id)

    def test_a_declared_probe_passes_from_the_node_and_nothing_else_does(self):
        switch = self.mesh.network.switch

        def passes(port, source):
            made = switch.socket(2)
            try:
                made.settimeout(3)
                made.bind((source, 0))
                made.connect((self.server.address, port))
                made.sendall(b"probe\n")
                return made.recv(100) == b"probe\n"
            except OSError:
                return False
            finally:
                made.close()
        for source in (self.mesh.network.GATEWAY, NODE):
            self.assertTrue(passes(8081, source), source)
            self.assertFalse(passes(8082, source), source)
        outsider = self.mesh.outsider()
        self.assert_fails_fast(outsider, self.server.address, 8081)

    def test_the_socket_is_for_the_sidecar_alone(self):
        info = os.stat(os.path.join(self.server.volume, "link"))
        self.assertEqual((stat.S_IMODE(info.st_mode), info.st_uid), (0o700, PROXY_UID))
        self.assertNotIn("open to others", self.server.agent.log_text())

    def test_when_the_proxy_ends_who_waits_for_it_sees_it(self):
        pod = self.client
        self.assertEqual(self.ask(pod, self.vip, 80), b"ping\n")
        pod.proxy.signal(15)
        ctl = self.mesh.binary("byrniectl")
        pod.host.run(ctl, "ready", "--admin=127.0.0.1:15021", "--gone", "--within=20s", uid=PROXY_UID)
        self.assertEqual(pod.proxy.wait(10), 0)
        pod.agent.terminate()
        self.assertEqual(pod.watch.terminate(), 0)
        # The rules stay: nothing goes past a proxy that is not there.
        self.assert_fails_fast(pod, self.server.address, 8080)


if __name__ == "__main__":
    sys.exit(main())
