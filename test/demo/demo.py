#!/usr/bin/python3
"""Byrnie on real traffic, step by step; run by tools/demo. Each step checks what it prints.

Exits 0 if all of it is true, 1 if not, 128 and its number after a signal (Ctrl-C: 130); leaves nothing behind. With --keep
the mesh stays up in the background; --status PID says whether all of it still runs, --stop PID says so too and ends it. Both
exit 1 if something has died.
"""

import signal

# Until something is there to clean up, Ctrl-C ends this without a word; main() takes it back.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import os
import shutil
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kept
from speech import (NobodyListens, bold, columns, command, cross, dim, facts, identity, labels_of, line, lines_of_page, mib, paint,
                    say, tick, truth)
from testing.certificates import leaf_facts, served_leaf
from testing.interruption import Interrupted, unwind_on_signals
from testing.mesh import REPOSITORY, Mesh
from testing.netns import APPLICATION_UID
from testing.process import wait_until

LIFE = 20
ROTATIONS = 3
MARKER = "marker-" + os.urandom(8).hex()


class Untrue(Exception):
    """Something the demo says does not hold."""


def require(holds, what):
    if not holds:
        raise Untrue(what)


class Demo:

    def __init__(self, mesh):
        self.mesh = mesh
        self._step = 0

    def step(self, title):
        self._step += 1
        say(f"\n{paint('36;1', f'{self._step:2}')}  {bold(title)}\n")

    def run(self):
        say(bold("\nByrnie: two pods, one mutual-TLS hop, certificates that rotate"))
        say("\nReal processes in network namespaces of this machine; the addresses below exist only there. Every ✓ was checked.")
        self.start()
        self.request()
        self.identities()
        self.tls()
        self.wire()
        self.rotation()
        self.plaintext()
        self.pages()
        self.still_there()

    def start(self):
        self.step("The mesh")
        mesh = self.mesh
        began = time.monotonic()
        self.client, self.server = mesh.pod("client"), mesh.pod("server")
        self.web, self.web6 = mesh.service("web", [self.server], 80, 8080)
        self.sink, _ = mesh.service("sink", [self.server], 80, 8081)
        self.echo, _ = mesh.service("echo", [self.server], 80, 8082)
        mesh.start()
        took = time.monotonic() - began
        self.applications = {"application web": self.server.app("web", 8080, "server"),
                             "application sink": self.server.app("sink", 8081),
                             "application echo": self.server.app("echo", 8082)}
        self.outsider = mesh.outsider()
        control = mesh.control_plane
        line(f"{bold('control plane')}  {control.host.address}:{control.PORT}  "
             f"{dim(f'pid {control.process.pid}, certificates of {LIFE} seconds')}")
        for pod in (self.client, self.server):
            require(pod.redirect("check", check=False).returncode == 0, f"the redirect rules of {pod.name} are in place")
            line()
            line(f"{bold('pod ' + pod.name)}")
            facts(("identity", identity(pod.spiffe_id)), ("addresses", f"{pod.address}, {pod.address6}"),
                  ("namespace", pod.host.name), ("processes", f"proxy {pod.proxy.pid}, agent {pod.agent.pid}"),
                  ("redirect", "all TCP to the proxy, by the rules in nft table inet byrnie"))
        line()
        line(f"{bold('service')} web.demo.svc.cluster.local = {self.web}, {self.web6}; port 80, served by pod server on 8080")
        line()
        truth(f"started and ready in {took:.1f} s")

    def curl(self, host, url, *options, check=True):
        """curl as an application of another user would run it."""
        return host.run("curl", "-q", "-sS", "--max-time", "10", *options, url, uid=APPLICATION_UID, check=check)

    def request(self):
        self.step("A request to the service, by applications that know nothing of TLS")
        self.capture = self.mesh.capture(self.server.host)
        # A fresh proxy: its handshake is in the capture.
        self.client.proxy.terminate()
        self.client.start_proxy()
        self.client.wait_ready()
        url = f"http://{self.web}/{MARKER}"
        command("client", f"curl {url}")
        answer = self.curl(self.client.host, url).stdout.strip()
        line(answer)
        require(MARKER in answer and "hello from server" in answer, "the server's answer came back")
        url6 = f"http://[{self.web6}]/{MARKER}"
        command("client", f"curl {url6}")
        answer = self.curl(self.client.host, url6).stdout.strip()
        line(answer)
        require(MARKER in answer, "the answer came back over IPv6")
        line()
        truth("answered, over IPv4 and IPv6")

    def identities(self):
        self.step("Both ends know each other: the access logs")
        self.outbound = self.client.wait_access_log(direction="outbound", original_destination=f"{self.web}:80")[-1]
        inbound = self.server.wait_access_log(direction="inbound", peer_identity=self.client.spiffe_id,
                                              destination=self.outbound["destination"])[-1]
        for pod, record in ((self.client, self.outbound), (self.server, inbound)):
            line(f"{bold('proxy of ' + pod.name)}  {dim(record['direction'])}")
            facts(("own identity", identity(record["own_identity"])), ("peer identity", identity(record["peer_identity"])),
                  ("asked for", record.get("service") or record["original_destination"]), ("carried to", record.get("destination", "-")),
                  ("result", f"{record['result']}, {record['reason']}; {record['bytes_sent']} bytes to the server, {record['bytes_received']} back"))
            line()
        require(self.outbound["own_identity"] == inbound["peer_identity"] == self.client.spiffe_id, "the client's identity in both logs")
        require(self.outbound["peer_identity"] == inbound["own_identity"] == self.server.spiffe_id, "the server's identity in both logs")
        truth("each log names both identities, and they agree")

    def tls(self):
        self.step("How it was carried")
        record = self.outbound
        facts(("version", record["tls_version"]), ("cipher", record["tls_cipher"]),
              ("key exchange", f"{bold(record['tls_group'])}, which a quantum computer does not undo"),
              ("inside", "HTTP/2 CONNECT (HBONE); one tunnel carries many connections"))
        require(record["tls_version"] == "TLSv1.3", "TLS 1.3")
        require(record["tls_group"] == "X25519MLKEM768", "X25519MLKEM768")
        line()
        truth("TLS 1.3, both certificates verified, and keys that stay secret")

    def wire(self):
        self.step("What someone on the link between the pods sees")
        self.capture.stop()
        packets = sum(1 for _ in self.capture.packets())
        hellos = [hello for hello in self.capture.server_hellos() if hello["group"] == "X25519MLKEM768"]
        records, found = self.capture.tls_records(), self.capture.count(MARKER.encode())
        facts(("captured", f"{packets} packets, {os.path.getsize(self.capture.path)} bytes"), ("TLS records", records),
              ("handshake", f"{hellos[0]['version']}, {hellos[0]['cipher']}, {hellos[0]['group']}" if hellos else "none seen"),
              ("the marker", f"{MARKER}, which the applications exchanged: {bold(str(found) + ' times')}"))
        require(hellos and hellos[0]["version"] == "TLS 1.3", "a TLS 1.3 handshake is in the capture")
        require(records > 0, "TLS records are in the capture")
        require(found == 0, "the marker is not in the capture")
        line()
        truth("the bytes of the applications never crossed the link in plaintext")

    def look_at_certificate(self, pod):
        """What a stranger sees who shakes hands with the pod's proxy: it shows its certificate before it asks for one, and
        the handshake fails when there is none."""
        self.looks[pod] += 1
        return leaf_facts(served_leaf(self.outsider, pod.address))

    def rotation(self):
        self.step(f"Certificates that live {LIFE} seconds rotate under load")
        seen = {pod: [] for pod in (self.client, self.server)}
        self.looks = {pod: 0 for pod in seen}
        stream = self.client.app("stream", self.sink, 80, 100, 8e6)
        short = self.client.app("short", self.echo, 80, 100, 0.02)
        began = time.monotonic()

        def rotated_enough():
            for pod, known in seen.items():
                serial = json.loads(pod.admin("/certs")[1])["chain"][0]["serial"]
                if serial not in known:
                    leaf = self.look_at_certificate(pod)
                    if int(leaf["serial"], 16) != int(serial, 16):
                        continue  # Its workers are about to show the new one to others too.
                    known.append(serial)
                    what = "has certificate" if len(known) == 1 else f"rotation {len(known) - 1}:"
                    line(f"{dim(f'{time.monotonic() - began:5.1f} s')}  {pod.name} {what} …{leaf['serial'][-12:]}, "
                         f"until {time.strftime('%H:%M:%S', time.gmtime(leaf['not_after']))} UTC")
            return all(len(known) > ROTATIONS for known in seen.values())

        wait_until(rotated_enough, 80, f"{ROTATIONS} rotations of both pods", every=0.2)
        # On, past the last rotation.
        time.sleep(1)
        for process in (stream, short):
            process.signal(signal.SIGUSR1)
        streamed, connected = stream.result(), short.result()
        lost = streamed["sent"] - streamed["received"]
        line()
        facts(("one stream", f"{mib(streamed['sent'])} in {streamed['seconds']:.0f} s; {bold(f'{lost} bytes lost')}; "
               f"SHA-256 {streamed['sha256'][:16]}… {'equal at both ends' if streamed['intact'] else 'DIFFERS'}"),
              ("beside it", f"{connected['succeeded']} connections, {bold(str(connected['failed']) + ' failed')}; "
               f"the slowest took {connected['slowest'] * 1000:.0f} ms"))
        require(streamed["intact"] and lost == 0, f"the stream is intact: {streamed}")
        require(connected["failed"] == 0 and connected["succeeded"] > 0, f"no connection failed: {connected}")
        line()
        truth(f"at least {ROTATIONS} rotations of both pods, nothing lost, nothing failed")

    def plaintext(self):
        self.step("Plaintext from outside the mesh")
        url = f"http://{self.server.address}:8080/let-me-in"
        command("outsider", f"curl {url}")
        done = self.curl(self.outsider, url, check=False)
        line(done.stderr.strip())
        require(done.returncode != 0 and not done.stdout, "the plaintext request was refused")
        record = self.server.wait_access_log(direction="inbound", result="denied",
                                             original_destination=f"{self.server.address}:8080")[-1]
        facts(("server's log", f"{record['result']}: {bold(record['reason'])}, from {record['source']}"))
        require(record["reason"] == "plaintext-refused", f"the reason in the log: {record}")
        line()
        truth("refused in strict mode; the application saw nothing of it")

    def pages(self):
        self.step("Looking inside")
        command("client", "curl http://127.0.0.1:15000/")
        status, page = self.client.admin("/")
        require(status == 200, f"the admin page answers {status}")
        for part in lines_of_page(page, before="Look"):
            line("  " + part)
        line()
        command("outsider", f"curl http://{self.server.address}:15020/metrics")
        self.metrics()
        line()
        command("operator", "byrniectl status")
        for part in self.mesh.control_plane.ctl("status").stdout.splitlines():
            line("  " + part)
        line()
        facts(*((f"memory of pod {pod.name}", f"proxy {pod.proxy.memory_kib() / 1024:.1f} MiB, agent {pod.agent.memory_kib() / 1024:.1f} MiB (PSS)")
                for pod in (self.client, self.server)))

    def metrics(self):
        """What the server's proxy has counted of connections, also in the words of Istio's dashboards."""
        counted = {series: value for series, value in sorted(self.server.metrics().items()) if value}
        own = [(series, f"{value:.0f}") for series, value in counted.items()
               if series.startswith("byrnie_proxy_connections_") and series.split("{")[0].endswith("_total")]
        require(own, "the metrics count connections")
        for part in columns(own):
            line("  " + part)
        istio = "istio_tcp_connections_closed_total"
        shown = ("source_principal", "destination_service_name", "connection_security_policy")
        rows = [[labels_of(series)[label] for label in shown] + [f"{value:.0f}"]
                for series, value in counted.items() if series.startswith(istio + "{")]
        require(rows, f"{istio} counts connections")
        line(f"  {istio}, by some of its labels")
        for part in columns([[*shown, ""], *rows]):
            line("    " + part)
        failed = 'byrnie_proxy_connections_closed_total{direction="inbound",result="denied",reason="tls-failed"}'
        looks = self.looks[self.server]
        require(counted.get(failed, 0) == looks, f"tls-failed counts the {looks} looks at the server's certificate: {counted}")
        line()
        line(f"The {looks} that count as tls-failed are this demo's own: in step 6 it looked at each certificate as a stranger does,")
        line("and a handshake without a certificate is refused.")

    def parts(self):
        """The processes that are to run from the start to the end, by what they are."""
        found = {"control plane": self.mesh.control_plane.process}
        for pod in (self.client, self.server):
            found[f"proxy of {pod.name}"], found[f"agent of {pod.name}"] = pod.proxy, pod.agent
        found.update(self.applications)
        return found

    def dead(self):
        """For each of the processes that has ended a sentence and, on a line of its own, the last of its log."""
        said = []
        for part, process in self.parts().items():
            if process.running():
                continue
            code = process.returncode
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            last = process.log_text().strip().splitlines()[-1:] or ["nothing"]
            said.append(f"{part} (pid {process.pid}) has ended, {how}; its log ends with:\n    {last[0]}")
        return said

    def still_there(self):
        self.step("All of it still runs")
        dead = self.dead()
        require(not dead, "\n".join(dead))
        for pod in (self.client, self.server):
            require(pod.ready(), f"pod {pod.name} is ready")
        truth(f"{len(self.parts())} processes, none has ended; both pods are ready")

    def status(self):
        """(what to say, whether all is well) for who asks about a mesh that was kept."""
        dead = self.dead()
        if dead:
            return "\n".join(dead), False
        unready = [pod.name for pod in (self.client, self.server) if not pod.ready()]
        if unready:
            return f"all {len(self.parts())} processes run, but not ready: {', '.join(unready)}", False
        return f"all {len(self.parts())} processes run, both pods are ready", True

    def how_to_look_around(self):
        server, client = self.server.host.name, self.client.host.name
        sudo = "" if not os.environ.get("SUDO_USER") else "sudo "
        say(f"\n{bold('It keeps running. Look around (as root):')}\n")
        for what, how in (
                ("a request", f"{sudo}ip netns exec {client} curl http://{self.web}/hello"),
                ("client's admin page", f"{sudo}ip netns exec {client} curl http://127.0.0.1:15000/"),
                ("certificates", f"{sudo}ip netns exec {server} curl http://127.0.0.1:15000/certs"),
                ("open connections", f"{sudo}ip netns exec {server} curl http://127.0.0.1:15000/connections"),
                ("the agent", f"{sudo}ip netns exec {client} curl http://127.0.0.1:15010/"),
                ("metrics", f"{sudo}ip netns exec {server} curl http://127.0.0.1:15020/metrics"),
                ("plaintext, refused", f"{sudo}ip netns exec {self.outsider.name} curl http://{self.server.address}:8080/"),
                ("redirect rules", f"{sudo}ip netns exec {client} {self.mesh.binary('byrnie-redirect')} print"),
                ("the wire", f"{sudo}ip netns exec {self.mesh.network.switch.name} tcpdump -ni {self.server.host.port} -X port 15008"),
                ("registry, try a policy", self.mesh.registry.path),
                ("logs", os.path.join(self.mesh.directory, "logs"))):
            line(f"{dim(what.ljust(24))}{how}")
        say(f"\n{bold('Ask whether all of it still runs; stop it, leaving nothing behind:')}\n")
        for option in ("--status", "--stop"):
            line(f"{os.path.join(REPOSITORY, 'tools', 'demo')} {option} {os.getpid()}")
        say()


def show(stay=None):
    """Runs the demo; returns the exit code. `stay` is called at the end, with everything still up, and does not return."""
    began = time.monotonic()
    try:
        with Mesh(workload_ttl=f"{LIFE}s") as mesh:
            demo = Demo(mesh)
            demo.run()
            say(f"\n{tick()} {bold(f'all of it true, in {time.monotonic() - began:.0f} seconds')}")
            if stay:
                demo.how_to_look_around()
                stay(demo.status)
        say("nothing is left behind; tools/demo --keep leaves it running, to look around")
    except Interrupted as interruption:
        try:
            say("\ninterrupted; nothing is left behind")
        except NobodyListens:
            pass  # The terminal was closed.
        return interruption.exit_code
    except NobodyListens:
        return 1
    except (Untrue, AssertionError) as error:
        say(f"\n{cross()} {bold('not true:')} {error}")
        return 1
    except Exception:  # Whatever it is, a person wants to see it and the exit code says it.
        traceback.print_exc()
        return 1
    return 0


def main():
    unwind_on_signals()
    asked = len(sys.argv) == 3 and sys.argv[1] in ("--status", "--stop") and sys.argv[2].isdigit()
    if sys.argv[1:] not in ([], ["--keep"]) and not asked:
        print("error: the options are --keep, --status PID and --stop PID", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("error: network namespaces need root; run tools/demo", file=sys.stderr)
        return 1
    if asked:
        return kept.ask(sys.argv[1][2:], int(sys.argv[2]))
    for program in ("curl", "tcpdump", "ip", "nft", "nsenter", "setpriv", "openssl"):
        if not shutil.which(program):
            print(f"error: {program} is not installed; run tools/setup", file=sys.stderr)
            return 1
    return kept.show_and_stay(show) if sys.argv[1:] else show()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Interrupted as interruption:
        sys.exit(interruption.exit_code)
