"""What a ValidatingAdmissionPolicy of Kubernetes says, whose expressions (CEL) no API server of the tests knows yet."""

import json
import os
import shutil
import subprocess

from .cache import cached


class AdmissionPolicy:
    """Its variables and validations. Which requests it is asked about is for the caller to see in its matchConstraints."""

    def __init__(self, spec, params):
        self.spec, self.params = spec, params

    def refusals(self, requests):
        """For each (object, old object or None) the messages of what it is refused for; an expression that fails raises."""
        node, library = shutil.which("node") or shutil.which("nodejs"), cached("kubernetes-models", "node_modules", "@marcbachmann", "cel-js", "lib", "index.js")
        assert node and os.path.isfile(library), "Node or its interpreter of CEL is not there; tools/setup installs them"
        questions = [{"object": new, "oldObject": old, "params": self.params, "request": {"operation": "CREATE" if old is None else "UPDATE"}}
                     for new, old in requests]
        done = subprocess.run([node, os.path.join(os.path.dirname(__file__), "admission_policy.mjs"), library], capture_output=True, text=True, timeout=60,
                              input=json.dumps({"variables": self.spec["variables"], "validations": self.spec["validations"], "questions": questions}))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
