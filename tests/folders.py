"""Two clusters as folders and a repository in memory, for tests of what one cycle makes of another: a file
goes, a server lies, a ledger is changed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.treewriter import Writer
from gitmesh.adapters.writing import StepError
from gitmesh.diagnostics import Diagnostic
from gitmesh.model.plan import Change, Live
from gitmesh.model.report import Report, Stage
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.plugins import load_translators
from gitmesh.reasoning.questions import Known
from tests.properties.history import History, document

AUTHORIZATION = "authorizationpolicy.security.istio.io"
Body = dict[str, Any]


def thing(
    kind: str,
    name: str,
    namespace: str = "",
    api: str = "v1",
    labels: Mapping[str, str] | None = None,
    **more: Any,
) -> Body:
    """A Kubernetes object."""
    metadata: Body = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": dict(labels)} if labels else {}),
    }
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def istiod(
    namespace: str = "istio-system", revision: str = "", args: Iterable[str] = (), version: str = "1.30.3"
) -> Body:
    """A control plane."""
    labels = {"app": "istiod", **({"istio.io/rev": revision} if revision else {})}
    container = {"name": "discovery", "image": f"docker.io/istio/pilot:{version}", "args": list(args)}
    name = f"istiod-{revision}" if revision else "istiod"
    return thing(
        "Deployment",
        name,
        namespace,
        "apps/v1",
        labels,
        spec={"template": {"spec": {"containers": [container]}}},
    )


def mesh_config(namespace: str = "istio-system", revision: str = "", **config: Any) -> Body:
    """Its configuration."""
    data = {"mesh": yaml.safe_dump(config)} if config else {}
    return thing("ConfigMap", f"istio-{revision}" if revision else "istio", namespace, data=data)


def app(
    name: str,
    namespace: str = "shop",
    revision: str = "",
    ports: Mapping[str, int] | None = None,
    **more: Any,
) -> Body:
    """A pod with a sidecar."""
    numbers = [{"name": port, "containerPort": number} for port, number in (ports or {"http": 8080}).items()]
    containers = [
        {"name": "app", "image": "app:1", "ports": numbers},
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3"},
    ]
    labels = {"app": name, **({"istio.io/rev": revision} if revision else {}), **more.pop("labels", {})}
    spec = {"serviceAccountName": name, "containers": containers}
    return thing(
        "Pod",
        more.pop("pod", f"{name}-0"),
        namespace,
        labels=labels,
        spec=spec,
        status={"phase": "Running"},
        **more,
    )


def service(name: str, namespace: str = "shop", **more: Any) -> Body:
    """A Service on port 80."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return thing("Service", name, namespace, spec={"selector": {"app": name}, "ports": ports, **more})


def webhook(revision: str = "default") -> Body:
    """The injector of a revision."""
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    name = "istio-sidecar-injector" if revision == "default" else f"istio-sidecar-injector-{revision}"
    return thing(
        "MutatingWebhookConfiguration",
        name,
        api="admissionregistration.k8s.io/v1",
        labels={"istio.io/rev": revision},
        webhooks=[{"name": "rev.namespace.sidecar-injector.istio.io", "rules": rules}],
    )


def authorization(name: str, namespace: str, spec: Mapping[str, Any], **more: Any) -> Body:
    """An AuthorizationPolicy that somebody wrote by hand."""
    return thing("AuthorizationPolicy", name, namespace, "security.istio.io/v1", spec=dict(spec), **more)


APPS = ("web", "api", "db")


def shop(cluster: str) -> dict[str, list[Body]]:
    """The files of a cluster with three applications, in the trust domain `<cluster>.example`."""
    injected = thing("Namespace", "shop", labels={"istio-injection": "enabled"})
    return {
        "namespaces": [thing("Namespace", "istio-system"), injected],
        "accounts": [thing("ServiceAccount", name, "shop") for name in APPS],
        "istiod": [istiod()],
        "mesh": [mesh_config(trustDomain=f"{cluster}.example")],
        "services": [service(name) for name in APPS],
        "pods": [app(name) for name in APPS],
    }


@dataclass
class Folders:
    """`root` holds a folder for each cluster; `memo` None: every run is a process of its own, as `gitmesh
    sync` is.
    """

    root: Path
    names: tuple[str, ...] = ("east", "west")
    sources: list[History] = field(default_factory=lambda: [History("policies")])
    memo: Memo | None = None
    homes: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    observed: frozenset[str] = frozenset()
    time: float = 1_000.0

    def __post_init__(self) -> None:
        for name in self.names:
            for file, bodies in shop(name).items():
                self.put(name, file, *bodies)

    def put(self, cluster: str, file: str, *bodies: Body) -> Path:
        """Write one file of a cluster."""
        path = self.root / cluster / f"{file}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
        return path

    def drop(self, cluster: str, file: str) -> None:
        """Remove one file of a cluster."""
        (self.root / cluster / f"{file}.yaml").unlink()

    def restore(self, cluster: str, *files: str) -> None:
        """Write files of a cluster as they were."""
        for file in files:
            self.put(cluster, file, *shop(cluster)[file])

    def commit(self, *documents: Mapping[str, Any], source: int = 0) -> str:
        """Push policies."""
        text = "---\n".join(yaml.safe_dump(dict(one), sort_keys=False) for one in documents)
        return self.sources[source].commit(text, good=True)

    def run(self, until: Stage = Stage.APPLY, **options: Any) -> Report:
        """One cycle."""
        translators = load_translators()
        clusters = [
            DirectoryCluster(
                name,
                self.root / name,
                list(translators.values()),
                enforce=name not in self.observed,
                settle=1.0,
                control_planes=self.homes.get(name, {}),
            )
            for name in self.names
        ]
        self.time += 30
        return run(
            self.sources,
            LocalFleet(clusters),
            translators,
            until=until,
            options=Options(instance="shop", clusters={name: {} for name in self.names}, **options),
            memo=self.memo or Memo(),
            clock=lambda: self.time,
            wall=lambda: 1_700_000_000.0 + self.time,
        )

    def settle(self, **options: Any) -> Report:
        """Cycles until nothing is written any more."""
        for _ in range(10):
            report = self.run(**options)
            if not any(result.outcomes for result in report.clusters.values()):
                return report
        raise AssertionError("it never settles")

    def live(self, cluster: str) -> dict[str, str]:
        """What GitMesh wrote: path -> content."""
        root = self.root / cluster
        return {
            str(path.relative_to(root)): path.read_text(encoding="utf-8")
            for path in sorted(root.glob("*/*.*.*/*.yaml"))
        }

    def spec(self, cluster: str, name: str, namespace: str = "shop", kind: str = AUTHORIZATION) -> Body:
        """The spec of a live object."""
        body = yaml.safe_load(
            (self.root / cluster / namespace / kind / f"{name}.yaml").read_text(encoding="utf-8")
        )
        spec: Body = body.get("spec", {})
        return spec

    def ledger(self, cluster: str) -> Body:
        """The ledger of a cluster as a document."""
        document: Body = json.loads(self._ledger(cluster).read_bytes())
        return document

    def tamper(self, cluster: str, change: Callable[[Body], None]) -> None:
        """Change the ledger of a cluster by hand."""
        document = self.ledger(cluster)
        change(document)
        self._ledger(cluster).write_text(json.dumps(document), encoding="utf-8")

    def _ledger(self, cluster: str) -> Path:
        return self.root / cluster / ".gitmesh" / "ledger.yaml"

    def approve(self, hold: str, *clusters: str) -> None:
        """What `gitmesh approve` writes."""

        def agreed(document: Body) -> None:
            if hold in document["holds"]:
                document["holds"][hold]["approved"] = True

        for cluster in clusters or self.names:
            self.tamper(cluster, agreed)


def said(report: Report, code: str) -> list[Diagnostic]:
    """The findings of a code."""
    return [diagnostic for diagnostic in report.diagnostics if diagnostic.code == code]


def calculator(report: Report, cluster: str = "east") -> Known:
    """What the calculator knows of a cluster."""
    result = report.clusters[cluster]
    assert result.facts is not None
    assert result.build is not None
    return Known.of(result.facts, result.build)


def codes(report: Report) -> list[str]:
    """The codes of all findings, sorted."""
    return sorted(diagnostic.code for diagnostic in report.diagnostics)


def allow(name: str, to: str, *callers: str, **more: Any) -> Body:
    """An AccessPolicy for ServiceAccounts of the shop."""
    sources = more.pop("sources", [{"serviceAccounts": [{"name": caller} for caller in callers]}])
    return document("AccessPolicy", name, destinations=[{"name": to}], sources=sources, **more)


def deny(name: str, to: str, *callers: str, **more: Any) -> Body:
    """The same, denying."""
    return allow(name, to, *callers, action="Deny", **more)


def virtual_mesh(**spec: Any) -> Body:
    """Every mesh under one VirtualMesh."""
    return document("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], **spec)


def forget_units(body: Body) -> None:
    """Make a ledger's document one of schema 3, which told neither units nor writers."""
    body["schema"] = 3
    del body["units"], body["writers"]
    for namespaces in body["entries"].values():
        for names in namespaces.values():
            for row in names.values():
                del row[4]


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on the cluster does not take an object of that name."""
    step = Writer._step

    def refusing(self: Writer, change: Change, expected: str) -> Live | None:
        if change.key.name == name:
            raise StepError("refused")
        return step(self, change, expected)

    monkeypatch.setattr(Writer, "_step", refusing)
