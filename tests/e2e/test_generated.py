"""Random policies on real meshes: what the proxies do is what the evaluator reads in the policy API
(docs/concepts.md), and what the calculator answers.

`GITMESH_E2E_SEEDS=100:150` takes other seeds than those of every run. A disagreement that is understood
becomes a case.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.cases import documents, repository
from tests.e2e.facts import world_facts
from tests.e2e.stage import SOURCE, LiveStage
from tests.e2e.summary import SuiteSummary
from tests.lab.wire import WireAnswer
from tests.shop import text_of
from tests.soundness.generated import (
    REQUESTS,
    Oracle,
    Sending,
    by_calculator,
    by_evaluator,
    disagreements,
    random_case,
)

LEAST = 2000
"""Requests of a run."""
SEEDS_VARIABLE = "GITMESH_E2E_SEEDS"
FILE = "generated.yaml"
PARALLEL = 16
"""Requests under way at a time."""


def seeds() -> range:
    """The seeds of this run."""
    first, _, end = os.environ.get(SEEDS_VARIABLE, f"0:{-(-LEAST // REQUESTS)}").partition(":")
    return range(int(first), int(end))


@pytest.mark.e2e
@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: f"seed-{seed}")
def test_evaluator_calculator_and_proxies_agree(seed: int, stage: LiveStage, summary: SuiteSummary) -> None:
    policies, sendings = random_case(seed)
    files = repository({FILE: text_of(*policies)})
    effect = stage.commit(files)
    assert stage.status()["sources"][SOURCE]["lastGood"] == effect.commit, "the policies were refused"
    answers = _sent(stage, sendings)
    wrong = _disagreements(_oracles(files), sendings, answers)
    summary.generated += len(answers)
    summary.disagreements += len(wrong)
    assert not [*wrong, *effect.broken], "\n".join(
        [f"seed {seed}", *wrong, *effect.broken, text_of(*policies)]
    )


def _oracles(files: Mapping[str, str]) -> Mapping[str, Oracle]:
    """Both that foretell, from all policies of the repository."""
    said: list[dict[str, Any]] = [document for text in files.values() for document in documents(text)]
    facts = world_facts()
    return {"evaluator": by_evaluator(said, facts), "calculator": by_calculator(said, facts)}


def _sent(stage: LiveStage, sendings: Sequence[Sending]) -> list[WireAnswer]:
    """The answers in the order of the requests; some at once, as many wait for a slow answer."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(
            pool.map(
                lambda one: stage.world.clusters[one.cluster].pods[one.client].send([one.request])[0],
                sendings,
            )
        )


def _disagreements(
    oracles: Mapping[str, Oracle], sendings: Sequence[Sending], answers: Sequence[WireAnswer]
) -> list[str]:
    return [
        f"{name}: {one.cluster}/{one.client} {one.request.method} {one.request.url}"
        f" {dict(one.request.headers)}: {text}"
        for one, answer in zip(sendings, answers, strict=True)
        for name, oracle in oracles.items()
        for text in disagreements(oracle.expected(one), answer)
    ]
