"""From policies and facts to answers: what the calculator's tests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.resolution.resolve import resolve
from tests.rendered import translators


def known(
    policies: Sequence[Policy], *facts: ClusterFacts, unknown: Sequence[str] = ()
) -> Mapping[str, Known]:
    """What is decided for each cluster; of the clusters `unknown` nothing is known."""
    world: dict[str, ClusterFacts | None] = {**{one.cluster: one for one in facts}, **dict.fromkeys(unknown)}
    labels = {name: one.labels if one else {} for name, one in world.items()}
    resolution = resolve(policies, world, labels, translators=translators())
    return {
        one.cluster: Known(
            one, resolution.units[one.cluster], resolution.held[one.cluster], resolution.refused[one.cluster]
        )
        for one in facts
    }


def client(name: str = "web", namespace: str = "shop", **fields: Any) -> Client:
    """A client with a sidecar of `istio` and an identity of the trust domain `cluster.local`."""
    return Client(
        **{
            "namespace": namespace,
            "service_account": name,
            "trust_domain": "cluster.local",
            "mesh": "istio",
            **fields,
        }
    )


PLAIN = Client()
"""A client without proxy and identity, of which not even the address is known."""


def asked(who: Client | None = None, to: str = "reviews", port: int = 80, **fields: Any) -> Question:
    """GET / to a Service of namespace shop."""
    return Question(client=who or client(), service=("shop", to), port=port, **fields)
