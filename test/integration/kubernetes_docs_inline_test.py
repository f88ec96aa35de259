#!/usr/bin/python3
"""The commands that stand in sentences and tables, of docs/kubernetes.md, README.md and, as far as they are byrniectl's and kubectl's, docs/operations.md: see testing/docs_case.py. They are found by reading the Markdown, so that one which somebody adds is run, or fails here.

Proved: each is run literally, with words in capitals replaced, where Byrnie and the sample are installed, and ends with 0, or as ENDS has it. NAMED are names of commands, to which a sentence adds no operands: their --help is asked. NOT_HERE has what no test of this file runs, and why.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.cluster_case import SYSTEM
from testing.docs_case import SAMPLE, DocsTestCase, inline
from testing.kubernetes_node import wait_for
from testing.mesh import REPOSITORY

KUBERNETES, OPERATIONS, README = "docs/kubernetes.md", "docs/operations.md", "README.md"

# Complete only with what somebody has to name: the sentence is about the command.
NAMED = {"kubectl drain", "kubectl explain", "kubectl wait", "kubectl exec", "kubectl logs", "kubectl logs -c byrnie-proxy", "kubectl apply -k", "skopeo copy",
         "byrniectl inject", "byrniectl uninject", "byrniectl policy delete", "byrniectl revoke",
         "byrniectl token create"}
SUBCOMMANDS = {"byrniectl policy delete", "byrniectl token create"}

NOT_HERE = {
    "kubectl -n byrnie-sample logs deployment/client -c client": "a log is a kubelet's: kubernetes_sample_test has this line read that of a container",
    "kubectl apply -k deploy/kubernetes/sqlite": "kubernetes_docs_ways_test runs it, by two kubectls",
    "kubectl get peerauthentications -A": "kubernetes_docs_moves_test runs it, where there are any",
    "istioctl kube-inject": "Istio's, which is not here; it is said of what somebody has done with it",
    "byrniectl verify --trust_bundle=bundle.pem [--federated_bundle=…] [--crl=…] [--at=TIME] chain.pem…": "its files are those of a mesh with agents: ctl_test",
    "byrnie-redirect apply": "of a pod: redirect_test",
    "nft flush ruleset": "an accident, not an advice: redirect_watch_test",
}

# What ends otherwise than with 0 where it is run here, and why.
ENDS = {
    "byrniectl check": (0, 1),  # The sample's pods have no agents.
    "byrniectl explain SOURCE DESTINATION:PORT": (1,),  # Likewise: that is the step that fails.
    "byrniectl explain A B:PORT": (1,),
    "byrniectl bug-report --pods=client=127.0.0.1:15000": (6,),  # Nobody listens there; the report says so, and has all else.
    "byrniectl policy diff FILE": (6,),  # Nothing was seen that it could be compared with.
    # No such agent keeps that move back here: the answer says so. trust_rotation_stopped_agent_test has one that does.
    "byrniectl trust rotate --step=activate --exclude=spiffe://cluster.local/ns/demo/sa/batch@10.0.3.7": (1,),
}
POLICY = {"name": "till", "namespace": SAMPLE, "scope": "NAMESPACE", "action": "ALLOW",
          "rules": [{"clauses": [{"matches": [{"principals": [{"exact": f"cluster.local/ns/{SAMPLE}/sa/client"}]}]}]}]}

# Go on until somebody ends them.
ENDLESS = {"byrniectl events --follow"}


class KubernetesDocsInlineTest(DocsTestCase):

    def setUp(self):
        self.install()
        self.bring_mounts(**{"/run/byrnie": self.state()})

    def state(self):
        return self.node.mounts["/var/lib/byrnie"]

    def environment(self):
        return {"BYRNIE_CONTROL_PLANE": "127.0.0.1:15012", "BYRNIE_TOKEN": f"{self.state()}/operator.token",
                "BYRNIE_TRUST_BUNDLE": f"{self.state()}/bundle.pem"}

    def serial(self):
        """Of the oldest certificate that the log of issuances has."""
        return re.findall(r"\b[0-9a-f]{32,40}\b", self.typed("byrniectl issuances", environment=self.environment()).stdout)[-1]

    def operands(self, line):
        """With something that is there in the place of words in capitals."""
        client = next(pod["metadata"]["name"] for pod in self.pods(SAMPLE) if pod["metadata"]["name"].startswith("client"))
        server = f"web.{SAMPLE}.svc.cluster.local:80"
        for word, given in (("FILE", "policy.json"), ("SERIAL", self.serial() if "SERIAL" in line else ""), ("SPIFFE_ID", f"spiffe://cluster.local/ns/{SAMPLE}/sa/client"), ("SOURCE DESTINATION:PORT", f"{SAMPLE}/{client} {server}"), ("A B:PORT", f"{SAMPLE}/{client} {server}"), ("NAME", SAMPLE)):
            line = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", given, line)
        return re.sub(r"\[(-.*?)\]", r"\1", line)  # With what may be left out.

    def run_all(self, page, lines):
        for line in lines:
            with self.subTest(page=page, line=line):
                if line in NAMED:
                    shown = self.typed(" ".join(line.split()[:3 if line in SUBCOMMANDS else 2]) + " --help")
                    self.assertEqual(shown.returncode, 0, f"{line}\n{shown.stdout}{shown.stderr}")
                    self.assertRegex(shown.stdout, "Usage|Examples")
                    continue
                literal = self.operands(line)
                done = self.typed(f"timeout 3 {literal}" if line in ENDLESS else literal, environment=self.environment())
                self.assertIn(done.returncode, (124,) if line in ENDLESS else ENDS.get(line, (0,)), f"{literal}\n{done.stdout}{done.stderr}")
                self.take_literal()
                if "delete" in line or " install" in line:
                    # It comes back: the pod by itself, what asks about new pods when it is installed again.
                    self.ctl("install", "--wait", "--timeout=60s")
                    wait_for(lambda: self.there(f"/api/v1/namespaces/{SYSTEM}/pods/byrnie-controlplane-0"), 30, "a control plane")

    def test_what_is_excepted_stands_there(self):
        there = {line for page in (KUBERNETES, OPERATIONS, README) for line in inline(os.path.join(REPOSITORY, page))}
        self.assertEqual((NAMED | SUBCOMMANDS | ENDLESS | set(ENDS) | set(NOT_HERE)) - there, set())

    def test_of_the_page(self):
        lines = inline()
        self.assertGreater(len(lines), 25)
        self.run_all(KUBERNETES, [line for line in lines if line not in NOT_HERE])

    def test_of_operations(self):
        lines = [line for line in inline(os.path.join(REPOSITORY, OPERATIONS)) if re.match("byrniectl|kubectl", line)]
        self.assertGreater(len(lines), 20)
        self.write("work/policy.json", json.dumps(POLICY))
        self.run_all(OPERATIONS, [line for line in lines if line not in NOT_HERE])

    def test_of_the_readme(self):
        self.run_all(README, inline(os.path.join(REPOSITORY, README)))


if __name__ == "__main__":
    sys.exit(main())
