"""Policies that show in the answers, and the questions that tell which of them is in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.cases import repository
from tests.e2e.stage import LiveStage
from tests.lab.wire import WireRequest
from tests.shop import text_of, traffic

FILE = "policies.yaml"
"""Where the policies of a test lie below the policies' folder."""
_TIMES = 5
"""How often each question is asked: a service may have several pods."""


def files(*documents: Mapping[str, Any]) -> dict[str, str]:
    """The repository with these policies on top of the base."""
    return repository({FILE: text_of(*documents)})


def marked(service: str, value: str, *clusters: str, **spec: Any) -> dict[str, Any]:
    """A TrafficPolicy that shows in the answers of a service, in some clusters or in all."""
    destination = {"name": service, **({"clusters": list(clusters)} if clusters else {})}
    return traffic(
        service, destinations=[destination], headers={"response": {"set": {"x-won": value}}}, **spec
    )


@dataclass(frozen=True)
class Ask:
    """One request and what must come back: status or errors, the header that `marked` sets, and one of these
    pods if any are named.

    The caller's own proxy sets the header, on a refusal too: it counts where an application answered.
    """

    host: str
    client: str = "productpage"
    cluster: str = "east"
    status: int = 200
    error: Sequence[str] = ("",)
    won: str | None = None
    pods: Sequence[str] = ()

    def wrong(self, stage: LiveStage) -> str:
        """What is different; "" for nothing."""
        answer = (
            stage.world.clusters[self.cluster]
            .pods[self.client]
            .send([WireRequest(f"http://{self.host}:9080/")])[0]
        )
        found = (answer.status, answer.headers.get("x-won") if answer.seen else None)
        pod = answer.seen.pod if answer.seen else ""
        held = (
            found == (self.status, self.won)
            and answer.error in self.error
            and (not self.pods or pod in self.pods)
        )
        return "" if held else f"{found} {answer.error} by {pod or 'nobody'}, not {self}"


def hold(stage: LiveStage, *asked: Ask) -> None:
    """Everything that is asked comes back as it should."""
    wrong = [text for one in asked for _ in range(_TIMES) if (text := one.wrong(stage))]
    assert not wrong, "\n".join(wrong)
