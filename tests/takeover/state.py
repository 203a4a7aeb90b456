"""The state of an older version (README.md beside this), laid out to be taken over: as directory clusters, or
on API servers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.gitrepo import Repo
from tests.lab.apiserver import ApiServer
from tests.shop import Shop

HERE = Path(__file__).parent
CLUSTERS = ("east", "west")
STATUS = "gitmesh-status"
Body: TypeAlias = dict[str, Any]


@dataclass
class TakenOver(Shop):
    """The repository with its status branch, and the configuration; directory clusters, unless others are
    given.
    """

    clusters: Sequence[Mapping[str, Any]] = ()
    commit_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.repo = Repo(self.root / "policies.git")
        self.commit_id = self.repo.commit(files("policies", "policies/"), subject="Policies of the shop")
        self.repo.commit(
            files("status"), branch=STATUS, subject=(HERE / "status-message.txt").read_text(encoding="utf-8")
        )
        for name in CLUSTERS:
            shutil.copytree(HERE / "clusters" / name, self.root / "clusters" / name)
        self.configure()

    def configure(self, **more: Any) -> None:
        """The configuration as it was, with the repository's place; then with what is given."""
        text = (HERE / "gitmesh.yaml").read_text(encoding="utf-8").replace("REPOSITORY", str(self.repo.path))
        config = yaml.safe_load(text)
        given = {one["name"]: one for one in self.clusters}
        config["clusters"] = [given.get(one["name"], one) for one in config["clusters"]]
        self.config.write_text(yaml.safe_dump({**config, **more}, sort_keys=False), encoding="utf-8")

    def allow_control_planes(self, line: str) -> None:
        """Write a line that a finding names, below cluster west."""
        config = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        config["clusters"][1] |= yaml.safe_load(line)
        self.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def declare_gateways(self, line: str) -> str:
        """Write a line that a finding names into the VirtualMesh."""
        return self.edit("mesh.yaml", "  accessDefault: Deny\n", f"  accessDefault: Deny\n  {line}\n")

    def edit(self, name: str, old: str, new: str) -> str:
        """Commit a change of one policy file."""
        path = f"policies/{name}"
        text = self.repo.files()[path].decode()
        assert text.count(old) == 1
        return self.repo.update({path: text.replace(old, new)})


def files(folder: str, prefix: str = "") -> dict[str, str]:
    """Path -> content below a folder of the state."""
    root = HERE / folder
    return {
        prefix + str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def world(cluster: str) -> list[Body]:
    """What is in a cluster and not of GitMesh; Namespaces and ServiceAccounts come first there."""
    return list(yaml.safe_load_all((HERE / "clusters" / cluster / "world.yaml").read_text(encoding="utf-8")))


def written(cluster: str) -> list[Body]:
    """The objects that the older version wrote."""
    return [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((HERE / "clusters" / cluster).glob("*/*.istio.io/*.yaml"))
    ]


def ledger(cluster: str) -> Body:
    """The ledger that the older version wrote."""
    found: Body = json.loads(
        (HERE / "clusters" / cluster / ".gitmesh" / "ledger.yaml").read_text(encoding="utf-8")
    )
    return found


def install(server: ApiServer, cluster: str) -> None:
    """The same state on an API server, as the older version left it there: its field manager, its ConfigMap,
    that server's uids.
    """
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitmesh-system"}})
    server.apply(world(cluster))
    uids = {
        place(body): body["metadata"]["uid"]
        for body in server.apply(written(cluster), field_manager="gitmesh")
    }
    known = ledger(cluster)
    kube_system = server.get("v1", "Namespace", "", "kube-system")
    assert kube_system is not None
    known["clusterUid"] = kube_system["metadata"]["uid"]
    for where, names in rows(known):
        for name, row in names.items():
            row[0] = uids[*where, name]
    labels = {"app.kubernetes.io/managed-by": "gitmesh", "gitmesh.io/instance": "shop"}
    meta = {"name": "gitmesh-shop", "namespace": "gitmesh-system", "labels": labels}
    data = {"ledger.json": json.dumps(known, separators=(",", ":"))}
    server.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}, field_manager="gitmesh"
    )


def place(body: Body) -> tuple[str, str, str]:
    """(group/Kind, namespace, name)."""
    group = body["apiVersion"].partition("/")[0]
    return f"{group}/{body['kind']}", body["metadata"]["namespace"], body["metadata"]["name"]


def rows(known: Body) -> Iterator[tuple[tuple[str, str], dict[str, list[Any]]]]:
    """The entries of a ledger: (group/Kind, namespace), and name -> [uid, digest, index of the commit]."""
    for kind, namespaces in known["entries"].items():
        for namespace, names in namespaces.items():
            yield (kind, namespace), names
