"""Whom an ExternalName Service stands for. Its name is resolved to theirs (Kubernetes, 'type:
ExternalName'), so that they answer what its clients ask, and what guards their pods guards them for these,
too.
"""

from __future__ import annotations

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service

_DOMAIN = "cluster.local"
# Aliases of aliases may lead round.
_MOST = 8


def answering(service: Service, facts: ClusterFacts) -> Service | None:
    """The Service that answers for this one: itself, unless it stands for another of the cluster. None where
    it is not known whether it does: clusters may call their domain otherwise, and names may lead nowhere."""
    found: Service | None = service
    for _ in range(_MOST):
        if found is None or not found.alias:
            return found
        name, namespace, _, domain = (*found.alias.split(".", 3), "", "", "", "")[:4]
        found = facts.service_index.get((namespace, name)) if domain in ("", _DOMAIN) else None
    return None
