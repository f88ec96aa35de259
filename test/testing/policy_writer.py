"""Writes policies to control planes all the time, and remembers what was acknowledged.

    writer = PolicyWriter("w1", 3, call)    # call(number of the control plane, method, **fields of its request): (code, response)
    writer.start()
    writer.finish()
    writer.there, writer.gone               # names that every control plane has, and that none has
"""

import json
import threading

OK, UNAVAILABLE = 0, 14
ALL = 1000


def policy_document(name, scope="NAMESPACE"):
    """One that denies port 81 of the namespace demo."""
    return json.dumps({"name": name, "namespace": "demo", "scope": scope, "action": "DENY",
                       "rules": [{"clauses": [{"matches": [{"destination_ports": [81]}]}]}]})


def policy_names(call, plane):
    """What a control plane has."""
    code, response = call(plane, "ListPolicies", page_size=ALL)
    assert code == OK, code
    return {policy.name for policy in response.policies}


class PolicyWriter(threading.Thread):
    """Applies one policy after the other, at one control plane after the other, and deletes every third."""

    def __init__(self, name, planes, call):
        super().__init__(daemon=True)
        self.prefix, self._planes, self._call = name, planes, call
        # In `kept`, per policy, whether it must be there; one of which that is not known is not in it.
        self.kept, self.odd, self._ending = {}, [], threading.Event()

    def run(self):
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                self._write(number % self._planes, f"{self.prefix}-{number}", number % 3 == 0)
            except OSError:
                # The control plane has just been killed, and what became of it is not known.
                pass
            # It is not about load.
            self._ending.wait(0.02)

    def _write(self, plane, name, delete):
        code, _ = self._call(plane, "ApplyPolicy", document=policy_document(name), accept_findings=True)
        if code == OK:
            self.kept[f"demo/{name}"] = True
            if delete:
                self.kept.pop(f"demo/{name}")
                if self._call(plane, "DeletePolicy", name=f"demo/{name}")[0] == OK:
                    self.kept[f"demo/{name}"] = False
        elif code != UNAVAILABLE:
            self.odd.append(code)

    def finish(self):
        self._ending.set()
        self.join()

    @property
    def there(self):
        return {name for name, stays in self.kept.items() if stays}

    @property
    def gone(self):
        return {name for name, stays in self.kept.items() if not stays}
