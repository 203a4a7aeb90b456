"""One example of every kind: what docs/kinds and `gitmesh explain KIND` show, and what `gitmesh init` starts
a repository with.

All are of one small shop: everybody sees `productpage`, which reads `details` and `reviews`; `reviews` reads
`ratings`.
"""

from __future__ import annotations

from collections.abc import Mapping

_TRAFFIC = """\
# A tenth of the requests for reviews goes to its new version, and nobody waits longer than three seconds.
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews-canary, namespace: bookshop}
spec:
  destinations: [{name: reviews}]
  split:
  - {weight: 90, destination: {name: reviews, subset: {version: v1}}}
  - {weight: 10, destination: {name: reviews, subset: {version: v2}}}
  timeout: 3s
  retries: {attempts: 2, perTryTimeout: 1s, retryOn: [connect-failure, "503"]}
"""

_ACCESS = """\
# The page may read reviews and details, and nobody else may call them: what an Allow selects is closed
# to all others.
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: page-reads, namespace: bookshop}
spec:
  sources: [{serviceAccounts: [{name: productpage}]}]
  destinations: [{name: details}, {name: reviews}]
  rules: [{methods: [GET, HEAD]}]
"""

_MESH = """\
# Every workload has an identity (mutual TLS everywhere); who may call what no AccessPolicy names stays as
# the mesh has it.
apiVersion: gitmesh.io/v1alpha1
kind: VirtualMesh
metadata: {name: shop, namespace: bookshop}
spec:
  meshes: [{selector: {all: true}}]
  mtls: {mode: Strict}
  accessDefault: MeshDefault
"""

_ADOPTION = """\
# GitMesh may take over this route, which somebody wrote by hand, once a policy wants one of that name;
# the plan then says `adopt`.
apiVersion: gitmesh.io/v1alpha1
kind: Adoption
metadata: {name: routes-by-hand, namespace: bookshop}
spec:
  objects: [east/networking.istio.io/VirtualService/bookshop/details]
  reason: Kept in Git from now on.
"""

EXAMPLES: Mapping[str, str] = {
    "TrafficPolicy": _TRAFFIC,
    "AccessPolicy": _ACCESS,
    "VirtualMesh": _MESH,
    "Adoption": _ADOPTION,
}
"""Kind -> a document of it."""
