#!/usr/bin/python3
"""byrniectl inject as people use it: what the injected containers are told is what the programs take.

Proved: every flag that an injected container can be given is in its program's --help, and the programs take the values of all
annotations at once; manifests become what the golden files say, which PyYAML reads as it reads the same in JSON; the commands of
docs/kubernetes.md run; exit codes and what is said on stderr; byrniectl ready asks a page, waits for it, and waits until nobody
is there.
"""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import REPOSITORY, binary_path

TESTDATA = os.path.join(REPOSITORY, "deploy", "injector", "testdata")
PROGRAMS = {"byrnie-agent": "byrnie-certagent", "byrnie-proxy": "byrnie-proxy", "byrnie-redirect": "byrnie-redirect"}


def ctl(*arguments, text=None, **options):
    return subprocess.run([binary_path("byrniectl"), *arguments], input=text, capture_output=True, text=True, timeout=30, **options)


def read(name):
    with open(os.path.join(TESTDATA, name), encoding="utf-8") as file:
        return file.read()


def containers(pod):
    """The injected containers by their names."""
    spec = pod["spec"]
    return {item["name"]: item for item in [*spec.get("initContainers", []), *spec["containers"]] if item["name"] in PROGRAMS}


class Page(http.server.BaseHTTPRequestHandler):
    status = 503

    def do_GET(self):
        self.send_response(self.status if self.path == "/healthz/ready" else 404)
        self.end_headers()
        self.wfile.write(b"no certificate\n")

    def log_message(self, *_):
        pass


class InjectTest(unittest.TestCase):

    def inject(self, text, *flags):
        done = ctl("inject", "-f", "-", *flags, text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def all_injected(self):
        """Pods with all annotations, in both kinds of sidecar, as PyYAML reads them."""
        text = read("annotations.in.yaml")
        for kind in ("native", "classic"):
            yield yaml.safe_load(self.inject(text.replace("sidecars: native", f"sidecars: {kind}")).stdout)

    def test_every_flag_is_one_of_the_program(self):
        for pod in self.all_injected():
            for name, container in containers(pod).items():
                program = PROGRAMS[name]
                self.assertEqual(container["command"], [f"/usr/local/bin/{program}"])
                shown = subprocess.run([binary_path(program), "--help"], capture_output=True, text=True, check=True).stdout
                known = set(re.findall(r"^  --(\w+)=", shown, re.M))
                given = [re.match(r"--(\w+)=", word) for word in container["args"] if word != "apply"]
                self.assertTrue(given and all(given), container["args"])
                self.assertEqual({flag[1] for flag in given} - known, set())

    def test_commands_of_probes_and_hooks_are_ones_of_byrniectl(self):
        seen = 0
        for pod in self.all_injected():
            for container in containers(pod).values():
                for handler in (container.get("startupProbe", {}), *container.get("lifecycle", {}).values()):
                    if "exec" not in handler:
                        continue
                    program, *arguments = handler["exec"]["command"]
                    self.assertEqual(program, "/usr/local/bin/byrniectl")
                    # Nobody is there, or nobody has to be.
                    words = [re.sub(r"--within=.*", "--within=0", word) for word in arguments]
                    self.assertIn(ctl(*words).returncode, (0, 3))
                    seen += 1
        self.assertEqual(seen, 5)

    def test_the_redirect_takes_all_its_annotations(self):
        pod = next(self.all_injected())
        flags = containers(pod)["byrnie-redirect"]["args"][1:]
        self.assertEqual(len(flags), 10)
        shown = subprocess.run([binary_path("byrnie-redirect"), "print", *flags], capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)

    def test_proxy_and_agent_take_all_their_annotations(self):
        # What is made wrong is looked at after the flags that annotations give.
        wrong = {"byrnie-agent": "--admin=10.0.0.1:15010", "byrnie-proxy": "--metrics_series=1"}
        values = {"NODE_ADDRESSES": "10.0.0.1,fd00::1", "POD_ADDRESSES": "10.0.0.2", "NAMESPACE": "n", "SERVICE_ACCOUNT": "s"}
        for pod in self.all_injected():
            for name, flag in wrong.items():
                word = flag.split("=")[0]
                words = [re.sub(r"\$\(BYRNIE_(\w+)\)", lambda found: values[found[1]], word)
                         for word in containers(pod)[name]["args"] if not word.startswith(flag.split("=")[0])]
                done = subprocess.run([binary_path(PROGRAMS[name]), *words, flag], capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(word, done.stderr)

    def test_golden_files_are_what_the_command_says(self):
        for name in sorted(os.listdir(TESTDATA)):
            if not name.endswith(".in.yaml"):
                continue
            with self.subTest(name):
                expected = read(name.replace(".in.", ".out."))
                notes = re.findall(r"^#> (.*)$", expected, re.M)
                done = self.inject(read(name), "--image=byrnie:0.1.0")
                self.assertEqual(done.stdout, re.sub(r"^#> .*\n", "", expected, flags=re.M))
                self.assertEqual(done.stderr, "".join(f"byrniectl: {note}\n" for note in notes))
                # What people and other programs read in it is what a document in JSON says.
                documents = [document for document in yaml.safe_load_all(done.stdout) if document]
                again = self.inject("\n---\n".join(json.dumps(document) for document in yaml.safe_load_all(read(name)) if document))
                self.assertEqual(documents, [document for document in yaml.safe_load_all(again.stdout) if document])

    def test_what_is_wrong_is_said_and_nothing_written(self):
        text = read("pod.in.yaml").replace("  name: alone", "  name: alone\n  annotations: {byrnie.io/workers: '65'}")
        for manifest, said in ((text, 'annotation byrnie.io/workers="65"'), ("a: [", "line "), ("a: 1\na: 2", "twice")):
            done = ctl("inject", "-f", "-", text=read("job.in.yaml") + "---\n" + manifest)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, r"\Abyrniectl: error: [^\n]+\n\Z")
            self.assertIn(said, done.stderr)
        self.assertEqual(ctl("inject").returncode, 2)
        self.assertEqual(ctl("inject", "-f", "/nowhere.yaml").returncode, 2)
        self.assertIn("byrnie.io/sidecars=\"both\"", ctl("inject", "-f", "-", "--sidecars=both", text="").stderr)

    def test_says_that_nobody_has_said_which_image(self):
        self.assertIn("the pods ask for byrnie:0.1.0, which is in no registry", self.inject(read("pod.in.yaml")).stderr)
        self.assertNotIn("registry", self.inject(read("pod.in.yaml"), "--image=registry.example/byrnie:0.1.0").stderr)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "injector.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump({"image": "byrnie:0.1.0"}, out)
            self.assertNotIn("registry", self.inject(read("pod.in.yaml"), f"--injector_config={path}").stderr)

    def test_the_configuration_and_its_flags(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "injector.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump({"image": "one", "revision": "blue", "deny_refused": True, "defaults": {"log-level": "debug"}}, out)
            done = self.inject(read("pod.in.yaml"), f"--injector_config={path}", "--image=two")
            pod = yaml.safe_load(done.stdout)
            self.assertEqual(pod["metadata"]["labels"]["byrnie.io/rev"], "blue")
            self.assertEqual(containers(pod)["byrnie-proxy"]["image"], "two")
            self.assertIn("--log_level=debug", containers(pod)["byrnie-proxy"]["args"])
            refused = ctl("inject", "-f", "-", f"--injector_config={path}", text=read("host_network.in.yaml"))
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            with open(path, "w", encoding="utf-8") as out:
                json.dump({"imge": "one"}, out)
            wrong = ctl("inject", "-f", "-", f"--injector_config={path}", text="")
            self.assertEqual(wrong.returncode, 2)
            self.assertIn("imge", wrong.stderr)
            # With any of these no meshed pod could start.
            for config, flag, named in (({"control_plane": "foo"}, "--image=a", "control_plane"), ({}, "--revision=.", "revision"),
                                        ({}, "--image=UPPER:TAG", "image")):
                with open(path, "w", encoding="utf-8") as out:
                    json.dump(config, out)
                for command in (("inject", "-f", "-"), ("manifests",)):
                    wrong = ctl(*command, f"--injector_config={path}", flag, text="")
                    self.assertEqual((wrong.returncode, wrong.stdout), (2, ""), wrong)
                    self.assertIn(named, wrong.stderr)

    def test_the_commands_of_the_page_s_section_run(self):
        with open(os.path.join(REPOSITORY, "docs", "kubernetes.md"), encoding="utf-8") as text:
            offline = re.search(r"^## Offline$(.*?)^## ", text.read(), re.M | re.S).group(1)
        commands = [line for block in re.findall(r"```sh\n(.*?)```", offline, re.S) for line in block.splitlines()]
        self.assertGreater(sum("apply -f -" in command for command in commands), 1)
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(binary_path("byrniectl"), os.path.join(folder, "byrniectl"))
            kubectl = os.path.join(folder, "kubectl")
            with open(kubectl, "w", encoding="utf-8") as out:
                # The page is run against an API server by kubernetes_docs_test; here it is for what comes out of byrniectl.
                out.write("#!/bin/sh\ncase \"$*\" in *'apply -f -') cat > applied.yaml ;; *injector*jsonpath*) echo {} ;; esac\n")
            os.chmod(kubectl, 0o755)
            with open(os.path.join(folder, "web.yaml"), "w", encoding="utf-8") as out:
                out.write(read("deployment.in.yaml"))
            applied = []
            for command in commands:
                subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=folder, check=True, capture_output=True, timeout=30,
                               env={"PATH": f"{folder}:/usr/bin:/bin"})
                if "apply -f -" in command:
                    with open(os.path.join(folder, "applied.yaml"), encoding="utf-8") as text:
                        applied.append(text.read())
            self.assertIn("byrnie-proxy", applied[0])
            self.assertEqual(applied[-1], read("deployment.in.yaml"))

    def test_ready(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        admin = f"--admin=127.0.0.1:{server.server_port}"
        try:
            Page.status = 503
            done = ctl("ready", admin)
            self.assertEqual(done.returncode, 1)
            self.assertIn("not ready: no certificate", done.stderr)
            waiting = subprocess.Popen([binary_path("byrniectl"), "ready", admin, "--within=20s"])
            self.assertEqual(ctl("ready", admin, "--gone").returncode, 1)
            self.assertIsNone(waiting.poll())
            Page.status = 200
            self.assertEqual(waiting.wait(timeout=20), 0)
            gone = subprocess.Popen([binary_path("byrniectl"), "ready", admin, "--gone", "--within=20s"])
        finally:
            server.shutdown()
            server.server_close()
        self.assertEqual(gone.wait(timeout=20), 0)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.assertEqual(ctl("ready", f"--admin=127.0.0.1:{unused.getsockname()[1]}").returncode, 3)


if __name__ == "__main__":
    sys.exit(main())
