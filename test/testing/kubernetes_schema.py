"""Kubernetes' objects against a published schema, which knows newer fields than the API server of the tests does."""

import json
import os
import shutil
import subprocess
import tempfile

from .cache import cached

# In the place of a package with forty others below it: the formats that the schemas name.
FORMATS = r"""
const whole = (bits) => ({validate: (value) => Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1)});
const text = (pattern) => ({type: 'string', validate: (value) => pattern.test(value)});
export const formats = {
  int32: whole(32),
  int64: whole(64),
  double: {validate: () => true},
  byte: text(/^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=)?$/),
  'date-time': text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/),
  quantity: {validate: /^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/},
};
"""


def schema_name(api_version, kind):
    """As the package calls it: IoK8sApiAppsV1Deployment."""
    group, _, version = api_version.rpartition("/")
    if group == "apiextensions.k8s.io":
        return f"IoK8sApiextensionsApiserverPkgApisApiextensions{version.capitalize()}{kind}"
    return f"IoK8sApi{(group or 'core').split('.')[0].capitalize()}{version.capitalize()}{kind}"


def what_is_wrong(objects):
    """For each object the list of what is wrong with it; empty where nothing is. An unknown field is wrong."""
    node, models = shutil.which("node") or shutil.which("nodejs"), cached("kubernetes-models", "node_modules")
    assert node and os.path.isdir(models), "Node or Kubernetes' schema is not there; tools/setup installs them"
    with tempfile.TemporaryDirectory(prefix="byr-") as folder:
        modules = os.path.join(folder, "node_modules")
        validate = os.path.join(modules, "@kubernetes-models", "validate")
        os.makedirs(validate)
        os.symlink(os.path.join(models, "kubernetes-models"), os.path.join(modules, "kubernetes-models"))
        os.symlink(os.path.join(models, "@kubernetes-models", "apimachinery"), os.path.join(modules, "@kubernetes-models", "apimachinery"))
        with open(os.path.join(validate, "package.json"), "w", encoding="ascii") as out:
            json.dump({"name": "@kubernetes-models/validate", "type": "module", "exports": "./index.js"}, out)
        with open(os.path.join(validate, "index.js"), "w", encoding="ascii") as out:
            out.write(FORMATS)
        asked = [[schema_name(item["apiVersion"], item["kind"]), item] for item in objects]
        # What is linked to has to find what is beside the links.
        done = subprocess.run([node, "--preserve-symlinks", os.path.join(os.path.dirname(__file__), "kubernetes_schema.mjs"),
                               os.path.join(modules, "kubernetes-models", "_schemas")],
                              input=json.dumps(asked), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
