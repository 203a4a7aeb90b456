"""What `gitmesh init` writes: a policy repository to start from, as texts by path. Reads the packaged
example, writes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import as_file
from pathlib import Path

from msgspec import Struct

from gitmesh import __version__
from gitmesh.cli.demo.world import example
from gitmesh.cli.output import as_json
from gitmesh.model.examples import EXAMPLES
from gitmesh.parsing.schema import combined

SCHEMA = "gitmesh.schema.json"
WORKFLOW = ".github/workflows/gitmesh.yaml"
HOOKS = ".pre-commit-config.yaml"
"""Read at the root of a checkout only."""
_FILES: Mapping[str, str] = {
    "TrafficPolicy": "traffic",
    "AccessPolicy": "access",
    "VirtualMesh": "mesh",
    "Adoption": "adoption",
}
_MODELINE = f"# yaml-language-server: $schema=../{SCHEMA}\n"

_CONFIG = """\
# What this instance of GitMesh reads, and which clusters it keeps. Paths are relative to this file.
# All fields: `gitmesh explain Config`.
apiVersion: gitmesh.io/v1alpha1
kind: Config
instance: shop
sources:
- {name: policies, path: policies}
# Once they are pushed, follow the repository in place of this folder; then every commit is reviewed, and
# a bad one changes nothing:
# - {name: policies, url: "https://git.example/team/mesh.git", branch: main, paths: [policies]}
writeBack: {enabled: false}   # a folder has no branch for the status; take this line out with the repository
clusters:
"""

_DIRECTORIES = """\
# Folders that are read and written as if they were live clusters.
- {name: east, labels: {region: eu-east}, directory: clusters/east}
- {name: west, labels: {region: eu-west}, directory: clusters/west}
"""

_KUBERNETES = """\
# Observe only looks: it never writes to the cluster. Set Enforce once `gitmesh diff` shows what you mean.
- name: %(name)s
  kubeconfig: {path: %(path)s, context: %(context)s, allowExec: false}
  mode: Observe
"""

_DETAILS = """\
---
# East has a route of this name already, made by hand: adoption.yaml lets GitMesh take it over.
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: details, namespace: bookshop}
spec:
  destinations: [{name: details}]
  timeout: 2s
"""

_BY_HAND = """\
# Somebody made this by hand, before there was a policy.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details, namespace: bookshop}
spec:
  hosts: [details.bookshop.svc.cluster.local]
  http:
  - route:
    - destination: {host: details.bookshop.svc.cluster.local}
    timeout: 9s
"""

_LABELLED: Mapping[str, str] = {
    "TrafficPolicy": (
        """\
# Nobody waits longer than three seconds for a Service with this label. None has it yet: name one of
# yours in its place.
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: timeouts, namespace: default}
spec:
  destinations: [{labels: {example: gitmesh}}]
  timeout: 3s
"""
    ),
    "AccessPolicy": (
        """\
# Workloads of the namespace default may read from Services with this label, and nobody else may call
# them. None has it yet.
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: readers, namespace: default}
spec:
  sources: [{namespaces: [default]}]
  destinations: [{labels: {example: gitmesh}}]
  rules: [{methods: [GET, HEAD]}]
"""
    ),
    "VirtualMesh": (
        """\
# The cluster's mesh as it is: mutual TLS where both sides can, and access as the mesh itself decides.
# Strict and Deny come later.
apiVersion: gitmesh.io/v1alpha1
kind: VirtualMesh
metadata: {name: mesh, namespace: default}
spec:
  meshes: [{selector: {all: true}}]
  mtls: {mode: Permissive}
  accessDefault: MeshDefault
"""
    ),
    "Adoption": (
        """\
# GitMesh may take over this route, should somebody have written it by hand and a policy want one of that
# name.
apiVersion: gitmesh.io/v1alpha1
kind: Adoption
metadata: {name: routes-by-hand, namespace: default}
spec:
  objects: [%(name)s/networking.istio.io/VirtualService/default/example]
  reason: Kept in Git from now on.
"""
    ),
}
"""Kind -> a policy that is right in any cluster, and changes none."""

_README = """\
# Policies of the service mesh

GitMesh reads `policies/` and keeps the clusters in `gitmesh.yaml` to it. Next:

```
gitmesh validate     # every mistake, at its line
gitmesh diff         # what would change in each cluster, and which line asks for it
gitmesh sync         # make it so, once
```

| | |
|---|---|
| `gitmesh.yaml` | where the policies come from, and which clusters they go to |
| `policies/` | one policy of every kind; `gitmesh explain TrafficPolicy.spec` says what a field means |
%(clusters)s| `%(schema)s` | lets an editor check policies while you type; `gitmesh schema` prints it anew |
| `%(workflow)s` | checks every push and pull request |

A `gitmesh.yaml` that is changed, or found in another place, counts fully only once you agree to it:
`gitmesh trust`.
To let an agent follow this repository, put its URL into `gitmesh.yaml`; `gitmesh check` says whether
everything can be reached.
"""

_CLUSTERS_ROW = "| `clusters/` | two clusters as folders, so that nothing real is needed to try this |\n"

_CI = """\
# Checks the policies of every push and pull request. Made by `gitmesh init`; it is yours to change.
name: gitmesh
on:
  push:
  pull_request:
permissions:
  contents: read
jobs:
  validate:
    runs-on: ubuntu-latest
    timeout-minutes: 10
%(where)s    steps:
    - uses: actions/checkout@v4
      with: {persist-credentials: false}
    - run: pipx install gitmesh-reconciler==%(version)s
    - run: gitmesh validate
"""

_HOOKS = """\
# Checks the policies before each commit, with the gitmesh that is installed; `pre-commit install` switches
# it on.
repos:
- repo: local
  hooks:
  - id: gitmesh
    name: gitmesh validate
    entry: gitmesh validate
    language: system
    pass_filenames: false
    files: \\.ya?ml$
"""


class Context(Struct, frozen=True, kw_only=True):
    """A cluster by a context of a kubeconfig."""

    kubeconfig: Path
    context: str

    @property
    def name(self) -> str:
        """The context as the name of a cluster: its last part, in the letters that such a name may have."""
        last = self.context.rstrip("/").rpartition("/")[2].lower()
        # A cluster's name is a DNS label: 63 characters at most, and no dash at an end.
        return re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:63].strip("-") or "cluster"


def starter(context: Context | None, inside: str) -> Mapping[str, str]:
    """Path from the folder -> text, for two clusters as folders, or for that of a context. `inside` is where
    the folder lies in its checkout ("" = at the root), from where the CI runs."""
    clusters = dict(_example_clusters()) if context is None else {}
    where = f"    defaults:\n      run: {{working-directory: {json.dumps(inside)}}}\n" if inside else ""
    readme = {"clusters": "" if context else _CLUSTERS_ROW, "schema": SCHEMA, "workflow": WORKFLOW}
    return {
        "gitmesh.yaml": _config(context),
        "README.md": _README % readme,
        SCHEMA: as_json(combined()),
        **{f"policies/{_FILES[kind]}.yaml": _MODELINE + text for kind, text in _policies(context).items()},
        **clusters,
        # Of this version, as is the schema beside it.
        WORKFLOW: _CI % {"where": where, "version": __version__},
        # pre-commit reads its file at the root of a checkout only.
        **({} if inside else {HOOKS: _HOOKS}),
    }


def _config(context: Context | None) -> str:
    if context is None:
        return _CONFIG + _DIRECTORIES
    words = {
        "name": context.name,
        "path": json.dumps(str(context.kubeconfig)),
        "context": json.dumps(context.context),
    }
    return _CONFIG + _KUBERNETES % words


def _policies(context: Context | None) -> Mapping[str, str]:
    if context is None:
        return {**EXAMPLES, "TrafficPolicy": EXAMPLES["TrafficPolicy"] + _DETAILS}
    return {**_LABELLED, "Adoption": _LABELLED["Adoption"] % {"name": context.name}}


def _example_clusters() -> Iterator[tuple[str, str]]:
    with as_file(example()) as root:
        for file in sorted(path for path in (root / "clusters").rglob("*") if path.is_file()):
            yield file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
    yield "clusters/east/bookshop/virtualservice.networking.istio.io/details.yaml", _BY_HAND
