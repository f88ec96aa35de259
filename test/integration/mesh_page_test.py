#!/usr/bin/python3
"""The mesh page, in a real browser, shows who talks to whom, and nothing of what it shows can act.

Proved with headless Chromium beside the control plane, in a namespace from which the internet cannot be reached: an allowed and
a denied edge, a certificate and the state of the trust are drawn within one look; names that are markup, which a workload has
reported, are shown as text; the browser asks the control plane alone, whatever the page holds; the page says so when there is nothing to show, and
when it is asked for by another name than this machine's, or from elsewhere, it is not there. BYRNIE_SCREENSHOT=FILE keeps
what the browser has drawn of it before there was any markup.
"""

import html.parser
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from testing import grpc_call
from testing.case import MeshTestCase, main
from testing.issuer import der, key_pem, new_key
from testing.mesh import ControlPlane, http_request
from testing.messages import Messages
from testing.process import wait_until

PAGE = f"http://127.0.0.1:{ControlPlane.ADMIN}/mesh"
# What a stranger with a certificate makes its agent say: markup that needs no space, where none may be.
HOSTILE_SERVICE = "demo/<img/src=http://10.77.0.1/x/onerror=alert(1)>"
HOSTILE_REASON = "<script>document.title='taken'</script>"


def browser():
    for name in ("chromium-headless-shell", "chromium"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no Chromium here; tools/lib/chromium.sh installs one")


class Dom(html.parser.HTMLParser):
    """The text of a document by the id it is below, and its elements."""

    def __init__(self, document):
        super().__init__()
        self.below, self.text, self.tags, self.hidden, self.title = [], {}, [], set(), ""
        self.feed(document)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "hidden" in attributes:
            self.hidden.add(attributes.get("id"))
        if tag not in ("meta", "link", "input", "img", "br"):
            self.below.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        while self.below and self.below.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if [tag for tag, _ in self.below] == ["html", "head", "title"]:
            self.title += data
        for _, name in self.below:
            if name:
                self.text[name] = self.text.get(name, "") + data


class MeshPageTest(MeshTestCase):

    @classmethod
    def build(cls):
        mesh = cls.mesh
        cls.profile = tempfile.mkdtemp(prefix="byr-browser-")
        cls.addClassCleanup(shutil.rmtree, cls.profile, ignore_errors=True)
        cls.network = []
        # Before anything has happened.
        mesh.registry.write()
        mesh.control_plane.start()
        cls.empty = cls.look()
        cls.client, cls.other, cls.server = mesh.pod("client"), mesh.pod("other"), mesh.pod("server")
        cls.outsider = mesh.outsider("outsider")
        mesh.vip, _ = mesh.service("server", [cls.server])
        mesh.registry.policy("deny-other", "DENY", principals=[{"exact": "cluster.local/ns/demo/sa/other"}])
        mesh.start()
        cls.server.app("echo", 8080)
        if os.environ.get("BYRNIE_SCREENSHOT"):
            # Before anybody attacks it: it is for people who want to know what the page looks like.
            cls("picture").picture()
        cls.report_markup()

    @classmethod
    def report_markup(cls):
        """A workload that is none of ours joins, and reports a connection of its own."""
        messages = Messages("byrnie/ca/v1/ca.proto", "byrnie/flow/v1/flow.proto")
        plane, key = cls.mesh.control_plane, new_key()
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())

        def call(path, request, answer, **options):
            certificate = options.pop("certificate", ())
            context = grpc_call.context_for(plane.bundle, *certificate)
            got = grpc_call.call(plane.host, "127.0.0.1", plane.PORT, context, path, request.SerializeToString(), **options)
            if got.code != 0:
                raise AssertionError(f"{path}: {got.code} {got.message}")
            return messages[answer].FromString(got.response)
        issued = call("/byrnie.ca.v1.CertificateAuthority/Issue", messages["byrnie.ca.v1.IssueRequest"](csr=der(csr)),
                      "byrnie.ca.v1.IssueResponse", token=plane.create_token("spiffe://cluster.local/ns/demo/sa/stranger"))
        chain, secret = os.path.join(cls.profile, "chain.pem"), os.path.join(cls.profile, "key.pem")
        with open(chain, "wb") as out:
            for certificate in issued.certificate_chain:
                out.write(x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM))
        with open(secret, "wb") as out:
            out.write(key_pem(key))
        report = messages["byrnie.flow.v1.ReportRequest"](instance=7)
        edge = report.edges.add(side=2, path=1, verdict=2, peer_spiffe_id=cls.server.spiffe_id, service=HOSTILE_SERVICE,
                                destination_address="10.77.0.99:9", reason=HOSTILE_REASON, opened=1, closed=1)
        edge.first_seen.GetCurrentTime()
        edge.last_seen.GetCurrentTime()
        call("/byrnie.flow.v1.FlowCollector/Report", report, "byrnie.flow.v1.ReportResponse", certificate=(chain, secret))

    @classmethod
    def look(cls, *flags):
        """What the browser has after it has drawn the page; its log goes to cls.network."""
        log = os.path.join(cls.profile, "net.json")
        argv = [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={cls.profile}/data",
                f"--log-net-log={log}", "--virtual-time-budget=4000", "--window-size=1240,1480", "--hide-scrollbars",
                "--disable-dev-shm-usage", *flags, "--dump-dom", PAGE]
        done = subprocess.run(cls.mesh.control_plane.host.command(argv), capture_output=True, text=True, timeout=60,
                              env={**os.environ, "HOME": cls.profile})
        if done.returncode != 0 or "<html" not in done.stdout:
            raise AssertionError(f"{argv[0]}: exit {done.returncode}: {done.stderr[-2000:]}")
        with open(log, encoding="utf-8") as text:
            cls.network.append(json.load(text))
        cls.console = done.stderr
        return Dom(done.stdout)

    def talk(self):
        self.assertEqual(self.ask(self.client, self.mesh.vip, 80, b"x" * 3000)[:1], b"x")
        self.assert_fails_fast(self.other, self.mesh.vip, 80)
        def known():
            page = self.mesh.control_plane.admin("/mesh.json")[1]
            # Why it was denied is what the server's agent reports; the client's may come before.
            return "allowed" in {flow["verdict"] for flow in json.loads(page).get("flows", [])} and "deny-other" in page
        wait_until(known, 15, "the edges")

    def test_without_data_it_says_so(self):
        self.assertIn("No connection has been reported yet", self.empty.text["graph-empty"])
        self.assertNotIn("graph-empty", self.empty.hidden)
        self.assertNotIn("certificates-empty", self.empty.hidden)
        self.assertIn("cluster.local", self.empty.text["domain"])
        self.assertIn("ends", self.empty.text["roots"])

    def test_it_shows_the_mesh(self):
        with self.client.connect(self.mesh.vip, 80) as held:
            held.sendall(b"held\n")
            self.talk()
            page = self.look()
        self.assertIn(("body", {"data-state": "drawn"}), page.tags)
        for text in ("demo/client", "demo/other", "demo/server:8080"):
            self.assertIn(text, page.text["graph"])
        self.assertIn("demo/other", page.text["denied"])
        self.assertIn("policy-deny demo/deny-other", page.text["denied"])
        kinds = {kind for tag, attributes in page.tags if tag == "path"
                 for kind in attributes.get("class", "").split() if kind != "link"}
        self.assertLessEqual({"allowed", "denied"}, kinds)
        self.assertIn("demo/server", page.text["certificates"])
        self.assertRegex(page.text["certificates"], r"\d+ min")
        self.assertIn("root", page.text["trust-mode"])
        self.assertRegex(page.text["roots"], r"signs.*trusted.*[0-9a-f]{64}")
        self.assertEqual(page.text["tile-agents"], "3")
        self.assertEqual(page.text["freshness-text"], "live")
        self.assertIn("called as demo/server.demo.svc.cluster.local", page.text["flows"])

    def picture(self):
        """A screenshot, in light as people see it by day."""
        target = os.environ["BYRNIE_SCREENSHOT"]
        argv = [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.profile}/data",
                "--virtual-time-budget=4000", "--window-size=1240,1080", "--hide-scrollbars", "--disable-dev-shm-usage",
                *os.environ.get("BYRNIE_SCREENSHOT_FLAGS", "").split(), f"--screenshot={target}", PAGE]
        with self.client.connect(self.mesh.vip, 80) as held:
            held.sendall(b"held\n")
            self.talk()
            subprocess.run(self.mesh.control_plane.host.command(argv), check=True, capture_output=True, timeout=60,
                           env={**os.environ, "HOME": self.profile})

    def test_a_name_that_is_markup_is_text(self):
        self.talk()
        page = self.look()
        self.assertIn(HOSTILE_SERVICE, page.text["flows"])
        self.assertIn(HOSTILE_REASON, page.text["denied"])
        self.assertNotIn("img", [tag for tag, _ in page.tags])
        self.assertEqual(len([tag for tag, _ in page.tags if tag == "script"]), 1)
        self.assertNotIn("taken", page.title)

    def test_the_browser_asks_the_control_plane_alone(self):
        self.talk()
        self.look()
        asked = set()
        for log in self.network:
            names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
            for event in log["events"]:
                params = event.get("params", {})
                if names.get(event["type"]) == "URL_REQUEST_START_JOB":
                    # What the browser's own updater and the like try is not the page's.
                    if "url" in params and params.get("initiator", "").startswith("http") or params.get("url", "").startswith(PAGE):
                        asked.add(params.get("url"))
        self.assertEqual(asked, {PAGE, PAGE + ".json"})
        self.assertNotIn("Content Security Policy", self.console)

    def test_a_page_of_elsewhere_does_not_get_it(self):
        plane = self.mesh.control_plane
        for path in ("/mesh", "/mesh.json"):
            # 503: nobody has asked lately, and what it shows is being gathered.
            self.assertIn(http_request(plane.host, plane.ADMIN, path)[0], (200, 503))
            self.assertEqual(http_request(plane.host, plane.ADMIN, path, headers={"Host": "mesh.example"})[0], 403)
        with self.assertRaises(OSError):
            self.outsider.connect(plane.host.address, plane.ADMIN, timeout=2).close()


if __name__ == "__main__":
    sys.exit(main())
