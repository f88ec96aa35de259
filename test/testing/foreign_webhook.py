"""A mutating webhook of somebody else, which an API server asks about the same pods."""

import base64
import http.server
import json
import ssl
import threading

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class ForeignWebhook:
    """Asks `change` about each new pod of namespaces with the label foreign=NAME, for a JSON Patch. In the order of names: one that is called after byrnie-injector is asked after it."""

    def __init__(self, cluster, name, change, reinvocation="IfNeeded"):
        self.calls = 0
        self._cluster, self._path = cluster, f"{CONFIGURATIONS}/{name}"
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler(change))
        certificate, key = cluster.issue_pair(f"webhook-{name}", ("localhost", "127.0.0.1"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        cluster.admin.create(CONFIGURATIONS, {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name},
            "webhooks": [{
                "name": f"{name}.example.com", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "reinvocationPolicy": reinvocation,
                "clientConfig": {"url": f"https://localhost:{self._server.server_port}/", "caBundle": base64.b64encode(cluster.authority.pem()).decode()},
                "namespaceSelector": {"matchLabels": {"foreign": name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}]}]})

    def _handler(self, change):
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                response = {"uid": request["uid"], "allowed": True}
                patch = change(request["object"])
                if patch:
                    response.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode())
                body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                webhook.calls += 1

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        self._cluster.admin.delete(self._path)
        self._server.shutdown()
        self._server.server_close()
