#!/usr/bin/python3
"""Nobody keeps the injection webhook from answering, be it a pod with more in it than any has or whoever else reaches its port.

Proved: a pod whose annotations are more than an API server keeps is refused at once and in words that say so; what is too large, too deep or too many is refused as HTTP has it; while several clients without any credential send the most that is taken, one after
the other, a real API server's pods are injected and the control plane is ready; who sends them on many connections from one address is answered in turn with everybody else; it ends in time all the same; no answer and no line of the log repeats what is long in a request.
"""

import copy
import http.client
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.kubernetes import ApiError
from testing.process import wait_until
from testing.webhook_case import REVIEW, WebhookCase

KIND = {"Content-Type": "application/json"}
VALUES = 39000  # A review may have 40 000.


def review(pod):
    asked = copy.deepcopy(REVIEW)
    asked["request"]["object"] = pod
    return json.dumps(asked, separators=(",", ":"))


def with_annotations(annotations):
    return review({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app"}]}})


def largest():
    """Bodies that are taken, and are the most work in one way each."""
    containers = [{"name": f"c{n}", "livenessProbe": {"httpGet": {"path": f"/app-health/c{n}/liveness", "port": 15021}}} for n in range(VALUES // 6)]
    probes = {f"c{n}": {"livenessProbe": {"httpGet": {"port": 80}}} for n in range(2000)}
    status = json.dumps({"revision": "default", "probes": probes}, separators=(",", ":"))
    long_list = ",".join(str(10000 + 2 * n) for n in range(1000))
    lists = {f"byrnie.io/{name}": long_list for name in ("exclude-inbound-ports", "exclude-outbound-ports", "exclude-uids", "exclude-gids", "probe-ports")}
    nested = [0] * (VALUES - 100)
    for _ in range(50):
        nested = [nested]
    return {
        "containers whose probes are put back": review({"metadata": {"annotations": {"byrnie.io/status": status, "byrnie.io/probes": "rewrite"}},
                                                        "spec": {"containers": containers}}),
        "members of an object": review({"metadata": {"labels": {f"l{n}": "" for n in range(VALUES)}}, "spec": {"containers": [{"name": "app"}]}}),
        "annotations": with_annotations({f"byrnie.io/{n}": "" for n in range(13000)}),
        "lists": with_annotations(lists),
        "below a long name": review({"spec": {"x" * 2500000: nested, "containers": [{"name": "app"}]}}),
        "one long text": review({"spec": {"x": "\u00fc" * 500000, "containers": [{"name": "app"}]}}),
        "containers of one name": review({"metadata": {"annotations": {"byrnie.io/status": "{\"revision\":\"default\"}"}},
                                          "spec": {"containers": [{"name": "byrnie-proxy"}] * (VALUES // 3 - 4000) + [{"name": "app"}] * 2000}}),
    }


class KubernetesWebhookLimitsTest(WebhookCase):

    def test_more_annotations_than_a_pod_can_have_are_refused_at_once(self):
        for count in (16000, 60000, 75000):  # Of more the API server does not read the end, and closes the connection.
            with self.assertRaises(ApiError) as caught:
                self.create("annotated", annotations={f"a-longer-name.example.com/{n}": "" for n in range(count)})
            if count == 16000:  # Of more, what the API server notes of each is more than is read.
                self.assertIn("its annotations are longer than 262144 bytes", caught.exception.body)
            self.assertTrue(self.asked())

    def test_what_is_too_much_is_refused_and_not_repeated(self):
        key = "k" * 1000000
        for body, expected in ((with_annotations({f"a{n}": 0 for n in range(50000)}), 400), ("[" * 200000, 400), (f'{{"{key}":1,"{key}":2}}', 400),
                               ("{" + key, 400)):
            status, text = self.ask("POST", "/inject", body, KIND)
            self.assertEqual(status, expected)
            self.assertLess(len(text), 500)
        status, text = self.ask("POST", "/inject", with_annotations({"byrnie.io/exclude-uids": "7," * 100000 + "7"}), KIND)
        self.assertEqual((status, json.loads(text)["response"]["allowed"]), (200, False))
        self.assertLess(len(text), 1000)
        self.assertIn("has more than 1000 items", text)
        self.assertLess(max(map(len, self.plane.log_text().splitlines())), 3000)

    def test_while_others_send_the_most_that_is_taken_pods_are_injected(self):
        bodies = largest()
        for name, body in bodies.items():
            status, text = self.ask("POST", "/inject", body, KIND)
            self.assertEqual(status, 200, f"{name}: {text[:500]}")
        stopped = threading.Event()

        def send(body):
            connection = self.connection()
            try:
                while not stopped.is_set():
                    connection.request("POST", "/inject", body, KIND)
                    connection.getresponse().read()
            except OSError:
                connection.close()  # The end of the control plane, or of the answer's time.
        threads = [threading.Thread(target=send, args=(body,), daemon=True) for body in bodies.values()]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                self.assertTrue(self.is_injected(self.create("among-them", dry_run=True)))
                self.assertEqual(self.readiness(self.plane)[0], 200)
            begun = time.monotonic()
            self.plane.stop()
            self.assertLess(time.monotonic() - begun, 20, "its end")
        finally:
            stopped.set()
            for thread in threads:
                thread.join(30)
            self.plane.start()
        wait_until(self.asked, 10, "the webhook to be back", every=0.2)

    def test_many_connections_of_one_address_do_not_come_before_another_address(self):
        body = largest()["containers whose probes are put back"]
        small = review({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}})
        stopped = threading.Event()
        answers = [0] * 60

        def send(index):
            while not stopped.is_set():
                connection = self.connection()
                connection.source_address, connection.timeout = ("127.0.0.2", 0), 120
                try:
                    connection.request("POST", "/inject", body, KIND)
                    answer = connection.getresponse()
                    answer.read()
                    answers[index] += answer.status == 200  # Not what is too much of one address, 503.
                except (OSError, http.client.HTTPException):
                    pass
                connection.close()

        threads = [threading.Thread(target=send, args=(index,), daemon=True) for index in range(len(answers))]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: sum(answers) > 30, 120, "them to be under way", every=0.2)
            connection = self.connection()
            connection.timeout = 120
            before = []
            for _ in range(5):
                begun = sum(answers)
                connection.request("POST", "/inject", small, KIND)
                answer = connection.getresponse()
                self.assertIn('"allowed":true', answer.read().decode())
                before.append(sum(answers) - begun)
                time.sleep(0.5)
            connection.close()
            # The one under way and the one in turn, and what these threads are late to count.
            self.assertLess(sorted(before)[2], 12, before)
            self.assertGreater(sum(answers), 35, "they were going on meanwhile")
        finally:
            stopped.set()
            for thread in threads:
                thread.join(60)


if __name__ == "__main__":
    sys.exit(main())
