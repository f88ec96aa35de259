"""The manifests of deploy/kubernetes."""

import os

import yaml

from .mesh import REPOSITORY

ROOT = os.path.join(REPOSITORY, "deploy", "kubernetes")
OVERLAYS = ("sqlite", "etcd")


def documents(path):
    with open(path, encoding="utf-8") as text:
        return [item for item in yaml.safe_load_all(text) if item]


def referred(folder):
    """The files and folders that a folder's kustomization names."""
    kustomization, = documents(os.path.join(folder, "kustomization.yaml"))
    return [os.path.normpath(os.path.join(folder, name)) for name in kustomization.get("bases", []) + kustomization["resources"]]


def build(folder):
    """What kustomize makes of bases, resources and names of images, which is all that these files use."""
    kustomization, = documents(os.path.join(folder, "kustomization.yaml"))
    assert set(kustomization) <= {"apiVersion", "kind", "bases", "resources", "images"}, kustomization
    found = []
    for path in referred(folder):
        found += build(path) if os.path.isdir(path) else documents(path)
    return found
