"""What carries the connections of a pod: Istio's agent and the Envoy that it starts, as the container
`istio-proxy` runs them, beside an application or as a waypoint; or the lab's ztunnel.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab.build import MeshPrograms
from tests.lab.installation import PodPlace, pod_labels
from tests.lab.netns import PROXY_UID, inside
from tests.lab.process import Process

XDS = "localhost:15012"
"""Where a pod reaches istiod, on its own loopback."""


@dataclass(frozen=True)
class ProxyPrograms:
    """Copies that the proxy's user can read: the cache may lie in a home that is closed to it."""

    agent: Path
    envoy: Path
    bootstrap: Path
    ztunnel: Path

    @classmethod
    def copied(cls, programs: MeshPrograms, folder: Path) -> ProxyPrograms:
        """Copy what any of them needs into a folder."""
        made = [
            Path(shutil.copy(source, folder / source.name))
            for source in (programs.agent, programs.envoy, programs.bootstrap, programs.ztunnel)
        ]
        for path in made:
            path.chmod(0o755)
        copied = cls(*made)
        # A waypoint would be told of its peers by an extension that only Istio's own build of Envoy has.
        template = copied.bootstrap.read_text().replace(".metadata_discovery", "false")
        copied.bootstrap.write_text(template)
        return copied


def start_proxy(
    programs: ProxyPrograms,
    netns: str,
    folder: Path,
    place: PodPlace,
    *,
    cluster: str,
    trust_domain: str,
    token: str,
    root: str,
) -> Process:
    """Start what carries a pod's connections in its namespace, its files in `folder`; `token` is for istiod,
    `root` is its CA's certificate.
    """
    secret = _write(folder, "var/run/secrets/tokens/istio-token", token)
    certificate = _write(folder, "var/run/secrets/istio/root-cert.pem", root)
    _write(
        folder,
        "etc/istio/pod/labels",
        "".join(f'{key}="{value}"\n' for key, value in sorted(pod_labels(place).items())),
    )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, PROXY_UID, PROXY_UID)
    env = {**_identity(place, cluster, trust_domain), **_settings(programs, place, certificate)}
    # Process ids of its own, so that Envoy ends with the agent however that one ends.
    own = ["unshare", "--pid", "--fork", "--kill-child"]
    user = ["setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", "--pdeathsig=KILL"]
    program = (
        _ztunnel(programs, place, cluster, trust_domain, token=secret, root=certificate)
        if place.workload.proxy == "ztunnel"
        else _agent(programs, place)
    )
    command = inside(netns, [*own, *user, *program])
    return Process(
        command, folder.with_suffix(".proxy.log"), name=f"proxy of {place.name}", env=env, folder=folder
    )


def _agent(programs: ProxyPrograms, place: PodPlace) -> list[str | Path]:
    workload = place.workload
    domain = f"{workload.namespace}.svc.cluster.local"
    cluster = f"{workload.name}.{workload.namespace}"
    return [programs.agent, "proxy", workload.proxy, "--domain", domain, "--serviceCluster", cluster]


def _ztunnel(
    programs: ProxyPrograms, place: PodPlace, cluster: str, trust_domain: str, *, token: Path, root: Path
) -> list[str | Path]:
    given = {
        "name": place.name,
        "namespace": place.workload.namespace,
        "service-account": place.workload.service_account,
        "address": place.ip,
        "trust-domain": trust_domain,
        "cluster": cluster,
        "node": f"{cluster}-1",
        "istiod": XDS,
        "token": token,
        "root": root,
    }
    return [programs.ztunnel, *(f"-{name}={value}" for name, value in given.items())]


def _identity(place: PodPlace, cluster: str, trust_domain: str) -> dict[str, str]:
    return {
        "POD_NAME": place.name,
        "POD_NAMESPACE": place.workload.namespace,
        "INSTANCE_IP": place.ip,
        "SERVICE_ACCOUNT": place.workload.service_account,
        "TRUST_DOMAIN": trust_domain,
        "ISTIO_META_CLUSTER_ID": cluster,
        "ISTIO_META_APP_CONTAINERS": place.workload.labels["app"],
        "ISTIO_META_POD_PORTS": json.dumps(
            [{"containerPort": port, "protocol": "TCP"} for port in place.workload.ports]
        ),
        "ISTIO_META_WORKLOAD_NAME": place.workload.name,
    }


def _settings(programs: ProxyPrograms, place: PodPlace, certificate: Path) -> dict[str, str]:
    proxy = {
        "discoveryAddress": XDS,
        "binaryPath": str(programs.envoy),
        "concurrency": 1,
        "statusPort": 15020,
        # Connections made under older rules go on for this long (Istio's default is 45 s): tests wait for
        # their end.
        "drainDuration": "1s",
    }
    return {
        "CA_ADDR": XDS,
        "PILOT_CERT_PROVIDER": "istiod",
        "XDS_ROOT_CA": str(certificate),
        "CA_ROOT_CA": str(certificate),
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_BOOTSTRAP": str(programs.bootstrap),
        "PROXY_CONFIG": json.dumps(proxy),
    }


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
