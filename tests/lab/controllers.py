"""A real kube-controller-manager: it makes what the lab's other clusters have written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.lab.apiserver import ApiServer
from tests.lab.process import LOOPBACK, Process, free_ports

RUN = (
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
)
"""Deployments become pods, Services endpoints, namespaces really go, and so does what they owned."""


def start_controllers(program: Path, api: ApiServer, controllers: Sequence[str] = RUN) -> Process:
    """Start it for a cluster, whose folder gets its log and files; whoever does must end it."""
    folder = api.folder
    (port,) = free_ports(1)
    command: list[str | Path] = [
        program,
        f"--kubeconfig={api.kubeconfig(folder / 'controllers.kubeconfig')}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'controllers-certs'}",
        "--leader-elect=false",
        f"--controllers={','.join(controllers)}",
    ]
    return Process(command, folder / "controllers.log")
