"""What our translators write against the official CRDs of their meshes, and over all golden cases at once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.discovery.facts_codec import load_facts
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.features import FEATURES as FEATURE_NAMES
from gitmesh.model.features import decides_access, support_of
from gitmesh.plugins import load_translators
from tests.contract.samples import SAMPLES
from tests.contract.schemas import FILES, experimental, kinds, need_crds, validators
from tests.rendered import Rendered, rendered

GOLDEN = Path(__file__).parents[1] / "golden"
TRANSLATORS = load_translators()
FEATURES = [(name, feature) for name in TRANSLATORS for feature in FEATURE_NAMES]
CASES = sorted(path.parent for path in GOLDEN.glob("*/*/policies.yaml"))


def facts_of(name: str, **changes: Any) -> Mapping[str, ClusterFacts]:
    """The golden facts of a mesh; its version unknown, so that nothing is gated."""
    facts = load_facts(yaml.safe_load((GOLDEN / name / "facts.yaml").read_text()))
    return {
        cluster: replace(known, meshes=tuple(replace(mesh, version="") for mesh in known.meshes), **changes)
        for cluster, known in facts.items()
    }


def policy(kind: str, spec: Any, name: str = "p") -> str:
    document = {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }
    text: str = yaml.safe_dump(document)
    return text


def outcome(name: str, kind: str, spec: Any, **changes: Any) -> Rendered:
    return rendered({"p.yaml": policy(kind, spec)}, facts_of(name, **changes))


@pytest.mark.parametrize(("name", "feature"), FEATURES)
@pytest.mark.parametrize("release", FILES)
def test_schema_valid_and_served(name: str, feature: str, release: str) -> None:
    """Against the official CRDs, closed; what a release lacks is GM302, and then nothing is written."""
    need_crds()
    kind, using, _ = SAMPLES[feature]
    found = outcome(name, kind, using, kinds=kinds(release))
    codes = {d.code for d in found.findings if d.is_error}
    supports = TRANSLATORS[name].supports
    lacking = "GM301" if decides_access(supports) or kind != "AccessPolicy" else "GM308"
    assert codes <= ({lacking} if support_of(supports, feature).level == "none" else {"GM302"})
    assert bool(found.bodies) is not bool(codes)
    for body in found.bodies:
        validators(release)[body["apiVersion"], body["kind"]].validate(body)


@pytest.mark.parametrize(("name", "feature"), FEATURES)
def test_needs_name_real_fields(name: str, feature: str) -> None:
    need_crds()
    kind, _, path = support_of(TRANSLATORS[name].supports, feature).needs.partition(":")
    served = [found for found in (*kinds("1.31"), *experimental()) if found.kind == kind]
    assert not kind or any(found.serves(path) for found in served)


def test_the_schemas_refuse_unknown_fields() -> None:
    need_crds()
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "x"},
        "spec": {"hosts": ["a"]},
    }
    validator = validators("1.30")["networking.istio.io/v1", "VirtualService"]
    validator.validate(body)
    assert not validator.is_valid({**body, "spec": {"hosts": ["a"], "http": [{"timeuot": "1s"}]}})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_golden_objects_are_schema_valid(case: Path) -> None:
    need_crds()
    for body in yaml.safe_load_all((case / "expected.yaml").read_text()):
        if body is not None:
            validators("1.30")[body["apiVersion"], body["kind"]].validate(body)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_deterministic_and_independent_of_order(name: str) -> None:
    """The same documents in any order and any files give the same bytes."""
    texts = [path.read_text() for path in sorted((GOLDEN / name).glob("*/policies.yaml"))]
    documents = [document for text in texts for document in text.split("---\n")]
    first = rendered({"a.yaml": "---\n".join(documents)}, facts_of(name))
    assert first.content == rendered({"a.yaml": "---\n".join(documents)}, facts_of(name)).content
    for seed in range(5):
        mixed = random.Random(seed).sample(documents, len(documents))
        spread = {f"f{number}.yaml": document for number, document in enumerate(mixed)}
        assert rendered(spread, facts_of(name)).content == first.content
