"""Names that no Kubernetes object can have: such an object is left out and told, since its name would stand
in paths and policies.

An API server refuses them; folders, saved facts and hostile servers do not (Kubernetes, 'Object Names and
IDs').
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import is_label
from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_LONGEST = 253
_MOST_TOLD = 20
_SHOWN = 64


def usable(facts: ClusterFacts) -> ClusterFacts:
    """The facts without the objects whose names no object can have; `unusable` says which those were."""
    bad = [
        *(f"Namespace {_shown(name)}" for name in facts.namespaces if not is_label(name)),
        *(f"Service {_shown(one.namespace, one.name)}" for one in facts.services if not _is_service(one)),
        *(
            f"{one.kind[:_SHOWN]} {_shown(one.namespace, one.name)}"
            for one in facts.workloads
            if not _is_workload(one)
        ),
        *(f"ServiceAccount {_shown(*key)}" for key in facts.service_accounts if not is_placed(*key)),
        *(
            f"{one.kind[:_SHOWN]} {_shown(one.namespace, one.name)}"
            for one in facts.strangers
            if not is_placed(one.namespace, one.name)
        ),
    ]
    # The same value: nearly always there is none, and copying whole facts is dear.
    if not bad:
        return facts
    return replace(
        facts,
        namespaces={name: labels for name, labels in facts.namespaces.items() if is_label(name)},
        services=tuple(filter(_is_service, facts.services)),
        workloads=tuple(filter(_is_workload, facts.workloads)),
        service_accounts=frozenset(key for key in facts.service_accounts if is_placed(*key)),
        strangers=tuple(one for one in facts.strangers if is_placed(one.namespace, one.name)),
        unusable=tuple(sorted({*facts.unusable, *bad})),
    )


def unusable_names(facts: Mapping[str, ClusterFacts]) -> Iterator[Diagnostic]:
    """A finding on each object that was left out; of very many the first, and one that counts the others."""
    for cluster, known in sorted(facts.items()):
        for what in known.unusable[:_MOST_TOLD]:
            yield finding(
                "GM508", f"no object can have the name of {what}, so it is left out", cluster=cluster
            )
        rest = len(known.unusable) - _MOST_TOLD
        if rest > 0:
            yield finding(
                "GM508",
                f"{rest:,} more objects have names that no object can have, and are left out",
                cluster=cluster,
            )


def _is_service(service: Service) -> bool:
    # The name of a Service is a part of a DNS name, without dots; those of other objects may have some.
    return is_label(service.namespace) and is_label(service.name)


def _is_workload(workload: Workload) -> bool:
    return is_placed(workload.namespace, workload.name) and is_subdomain(workload.service_account)


def is_placed(namespace: str, name: str) -> bool:
    """Whether a Namespace and an object in it can be called so."""
    return is_label(namespace) and is_subdomain(name)


def is_subdomain(name: str) -> bool:
    """Whether a workload or a ServiceAccount can be called so."""
    return len(name) <= _LONGEST and _SUBDOMAIN.match(name) is not None


def _shown(*parts: str) -> str:
    return repr("/".join(part[:_SHOWN] for part in parts))
