#!/usr/bin/python3
"""What the proxies decide is what a reference says, written apart from them after Istio's documentation.

Proved end to end: random sets of policies, of every scope, action and kind of match, go through the registry file, discovery and
the agent to the server's proxy; each of several identities connects to each of several ports through a tunnel, over IPv4 or IPv6,
and gets through exactly where the reference says so. (The decision alone is compared a million times in common/policy's
authorizer_model_test.)
"""

import ipaddress
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.inline_app import InlineApp, echo
from testing.process import wait_until

PORTS = (8080, 8081, 8082, 8083)
SECONDS = 18


def text_matches(match, value):
    (kind, text), = match.items()
    return {"exact": value == text, "prefix": value.startswith(str(text)), "suffix": value.endswith(str(text)),
            "presence": value != ""}[kind]


class Reference:
    """Who may connect: deny first; where allow policies apply, one of them must match."""

    # Kind of match: what it looks at, and how. Within a kind one must hold; all kinds must.
    KINDS = {
        "namespaces": lambda match, facts: text_matches(match, facts["namespace"]),
        "principals": lambda match, facts: text_matches(match, facts["principal"]),
        "source_ips": lambda block, facts: facts["source"] in ipaddress.ip_network(block),
        "destination_ips": lambda block, facts: facts["destination"] in ipaddress.ip_network(block),
        "destination_ports": lambda port, facts: facts["port"] == port,
        "service_accounts": lambda account, facts: facts["principal"].endswith(
            f"/ns/{account['namespace']}/sa/{account['service_account']}"),
    }

    def __init__(self, policies, workload_policies, namespace):
        self.policies = [policy for policy in policies if not policy["dry_run"] and (
            policy["scope"] == "GLOBAL" or policy["scope"] == "NAMESPACE" and policy["namespace"] == namespace
            or policy["scope"] == "WORKLOAD_SELECTOR" and f"{policy['namespace']}/{policy['name']}" in workload_policies)]

    def _holds(self, match, facts):
        for name, judge in self.KINDS.items():
            values, others = match.get(name, []), match.get("not_" + name, [])
            if values and not any(judge(value, facts) for value in values):
                return False
            if any(judge(value, facts) for value in others):
                return False
        return True

    def _matches(self, policy, facts):
        return any(rule["clauses"] and all(not clause["matches"] or any(self._holds(match, facts) for match in clause["matches"])
                                           for clause in rule["clauses"]) for rule in policy["rules"])

    def allows(self, facts):
        if any(policy["action"] == "DENY" and self._matches(policy, facts) for policy in self.policies):
            return False
        allowing = [policy for policy in self.policies if policy["action"] == "ALLOW"]
        return not allowing or any(self._matches(policy, facts) for policy in allowing)


class PolicyModelTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.server = cls.mesh.pod("server")
        cls.clients = [cls.mesh.pod("client"), cls.mesh.pod("other", account="client-2"),
                       cls.mesh.pod("third", account="client", namespace="shop")]
        cls.mesh.start()
        cls.random = random.Random(int.from_bytes(os.urandom(4), "big"))

    def match(self):
        pick, some = self.random.choice, lambda values: self.random.sample(values, self.random.randint(1, 2))
        addresses = [address for pod in self.clients for address in (pod.address, pod.address6)]
        kinds = {
            "namespaces": [{"exact": "demo"}, {"prefix": "sh"}, {"suffix": "p"}, {"exact": "none"}, {"presence": True}],
            "principals": [{"exact": "cluster.local/ns/demo/sa/client"}, {"prefix": "cluster.local/ns/shop/"}, {"suffix": "-2"},
                           {"suffix": "/client"}, {"exact": "other.test/ns/demo/sa/client"}, {"presence": True}],
            "source_ips": [*addresses, "10.77.0.0/16", "fd77::/16", "10.77.0.12/30", "192.0.2.0/24"],
            "destination_ips": [self.server.address, self.server.address6, "10.0.0.0/8", "fd00::/8", "192.0.2.1"],
            "destination_ports": [*PORTS, 443],
            "service_accounts": [{"namespace": "demo", "service_account": "client"},
                                 {"namespace": "demo", "service_account": "client-2"},
                                 {"namespace": "shop", "service_account": "client"}],
        }
        made = {}
        for _ in range(self.random.choice((0, 1, 1, 2, 3))):
            kind = pick(list(kinds))
            made[pick(("", "", "not_")) + kind] = [block if kind[-3:] != "ips" else str(ipaddress.ip_network(block, strict=False))
                                                   for block in some(kinds[kind])]
        return made

    def policy(self, number):
        few = lambda make: [make() for _ in range(self.random.choice((0, 1, 1, 1, 2)))]
        return {"name": f"p{number}", "namespace": self.random.choice(("demo", "demo", "shop")),
                "scope": self.random.choice(("GLOBAL", "NAMESPACE", "NAMESPACE", "WORKLOAD_SELECTOR")),
                "action": self.random.choice(("ALLOW", "DENY")), "dry_run": self.random.random() < 0.1,
                "rules": few(lambda: {"clauses": few(lambda: {"matches": few(self.match)})})}

    def put_in_force(self, policies, selected, number):
        """Both the set and what the server selects of it; `number`, of the round, tells that they are there."""
        registry = self.mesh.registry
        registry.policies = policies
        for workload in registry.workloads:
            if workload["name"] == "server":
                workload.update(authorization_policies=selected, capacity=number)
        registry.write()

        def there():
            dump = json.loads(self.server.admin("/config_dump")[1])
            return (any(policy["name"] == f"marker-{number}" for policy in dump["policies"])
                    and any(workload["capacity"] == number for workload in dump["workloads"] if workload["name"] == "server"))
        wait_until(there, 5, "the policies at the server's proxy", every=0.02)

    def allowed(self, pod, address, port):
        """None: neither an answer nor a reset."""
        try:
            with pod.connect(address, port, timeout=5) as connection:
                connection.sendall(b"?")
                return True if connection.recv(1) else None
        except ConnectionResetError:
            return False

    def test_proxies_decide_as_the_reference_says(self):
        apps = [InlineApp(self.server, port, echo) for port in PORTS]
        for app in apps:
            app.__enter__()
        counts, rounds, ends = {True: 0, False: 0}, 0, time.monotonic() + SECONDS
        try:
            while time.monotonic() < ends:
                rounds += 1
                policies = [self.policy(f"{rounds}-{number}") for number in range(self.random.randint(0, 4))]
                selected = [f"{policy['namespace']}/{policy['name']}" for policy in policies
                            if policy["scope"] == "WORKLOAD_SELECTOR" and self.random.random() < 0.7]
                # Never matches and denies: it only tells that this set is there.
                marker = {"name": f"marker-{rounds}", "namespace": "demo", "scope": "NAMESPACE", "action": "DENY", "dry_run": False,
                          "rules": []}
                self.put_in_force([*policies, marker], selected, rounds)
                reference = Reference(policies, selected, "demo")
                for pod in self.clients:
                    for port in PORTS:
                        v6 = self.random.random() < 0.5
                        source, destination = (pod.address6, self.server.address6) if v6 else (pod.address, self.server.address)
                        facts = {"namespace": pod.namespace, "principal": pod.spiffe_id.removeprefix("spiffe://"), "port": port,
                                 "source": ipaddress.ip_address(source), "destination": ipaddress.ip_address(destination)}
                        expected = reference.allows(facts)
                        self.assertEqual(self.allowed(pod, destination, port), expected,
                                         f"{facts} by {json.dumps(policies)}, selected {selected}")
                        counts[expected] += 1
        finally:
            for app in apps:
                app.__exit__()
        print(f"{rounds} sets of policies: {counts[True]} connections allowed, {counts[False]} refused", flush=True)
        self.assertGreater(rounds, 5)
        self.assertGreater(min(counts.values()), 10)


if __name__ == "__main__":
    sys.exit(main())
