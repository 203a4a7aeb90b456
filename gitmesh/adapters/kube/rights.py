"""Which rights an agent needs in a cluster, and which of them it has (SelfSubjectAccessReview)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.errors import unrelated
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.facts import LISTED
from gitmesh.adapters.kube.store import ledger_key
from gitmesh.model.objects import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitmesh.model.objects import ApiKind, ObjectKey

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Right(Struct, frozen=True, kw_only=True, order=True):
    """One verb on one resource; `namespace` "" = in all, `name` "" = any. `allowed` is None until the server
    was asked.
    """

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""
    allowed: bool | None = None

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" {self.namespace}/{self.name}" if self.namespace else "")


def needed(
    resources: Sequence[ApiKind], configmaps: Sequence[ObjectKey], *, instance: str, enforce: bool
) -> tuple[Right, ...]:
    """The rights for reading facts (`configmaps` are the meshes' settings) and the translators' kinds and, to
    enforce, for writing them and the ledger."""
    reading = _reading(resources, (*configmaps, ledger_key(instance)))
    return tuple(sorted({*reading, *(_writing(resources, instance) if enforce else ())}))


def _reading(resources: Sequence[ApiKind], configmaps: Sequence[ObjectKey]) -> Iterator[Right]:
    for kind in LISTED:
        yield Right(group=kind.group, resource=kind.plural, verb="list")
    for resource in resources:
        yield Right(group=resource.group, resource=resource.plural, verb="list")
    for key in configmaps:
        yield Right(group="", resource="configmaps", verb="get", namespace=key.namespace, name=key.name)


def _writing(resources: Sequence[ApiKind], instance: str) -> Iterator[Right]:
    for resource in resources:
        for verb in ("create", "delete", "get", "patch"):
            yield Right(group=resource.group, resource=resource.plural, verb=verb)
    key = ledger_key(instance)
    yield Right(group="", resource="configmaps", verb="update", namespace=key.namespace, name=key.name)
    # RBAC cannot limit a creation to a name, as the name is not in its path.
    yield Right(group="", resource="configmaps", verb="create", namespace=key.namespace)


def ask(client: KubeClient, rights: Sequence[Right]) -> tuple[Right, ...]:
    """The rights with the server's answers. Every authenticated user may ask. Raises ClusterError."""
    return tuple(client.each(partial(_ask, client), rights))


def _ask(client: KubeClient, right: Right) -> Right:
    attributes = {
        "group": right.group,
        "resource": right.resource,
        "verb": right.verb,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
    }
    answer = client.send(ApiRequest(method="POST", path=_REVIEWS, body=orjson.dumps(body)))
    allowed = mapping(answer.json().get("status")).get("allowed")
    # No answer is no right: to take it for one would fail later, in the middle of a plan.
    if not isinstance(allowed, bool):
        raise unrelated(str(answer.request), answer.body)
    return Right(
        group=right.group,
        resource=right.resource,
        verb=right.verb,
        namespace=right.namespace,
        name=right.name,
        allowed=allowed,
    )
