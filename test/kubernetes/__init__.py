"""Runs pods as a node would, from what an API server keeps of them, without a container engine.

    machine.py        what is outside of pods: their network, the cluster's service addresses and names (names.py)
    node.py           the node's agent: takes the pods that are there, one thread for each
    pod.py            one pod's life: volumes, init containers, sidecars, applications, status, end
    pod_spec.py       what a pod's specification means: environment, commands, users, mounts
    volumes.py        what a node puts into a pod's volumes
    container.py      one container: its root, its process, commands in it
    container_init.py its first process, before the command; seccomp.py the profile that it may ask for
    probes.py         probes and lifecycle hooks
    world.py          all of it, with a real API server, Byrnie's image and its manifests
    admission.py      what the webhook would have of a pod that this API server's version cannot keep
    app.py            an application of a pod
"""
