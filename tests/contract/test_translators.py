"""What every installed translator must keep: complete, deterministic, independent of order, valid, sensitive
and honest.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.discovery.facts_codec import load_facts
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ApiKind, decode
from gitmesh.plugins import load_translators
from gitmesh.ports import Translator
from tests.contract.samples import SAMPLES
from tests.contract.schemas import FILES, kinds, need_crds, validators
from tests.rendered import Rendered, rendered

GOLDEN = Path(__file__).parents[1] / "golden"
TRANSLATORS = load_translators()
FEATURES = [(name, feature) for name, translator in TRANSLATORS.items() for feature in translator.supports]
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


@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_interface_is_complete(translator: Translator) -> None:
    wanted = {member for member in vars(Translator) if not member.startswith("_")} | set(
        Translator.__annotations__
    )
    assert {member for member in wanted if not hasattr(translator, member)} == set()
    assert isinstance(translator, ModuleType)
    assert TRANSLATORS[translator.name] is translator
    assert all(
        isinstance(kind, ApiKind) and isinstance(kind.versions, tuple) for kind in translator.resources
    )


def test_every_feature_has_a_sample() -> None:
    assert {feature for _, feature in FEATURES} == set(SAMPLES)


@pytest.mark.parametrize(("name", "feature"), FEATURES)
def test_support_entries_are_well_formed(name: str, feature: str) -> None:
    support = TRANSLATORS[name].supports[feature]
    assert support.level in ("full", "partial", "none")
    assert support.note or support.level == "full"
    assert support.side in ("client", "server")


@pytest.mark.parametrize(("name", "feature"), FEATURES)
def test_sensitive_and_honest(name: str, feature: str) -> None:
    """A feature changes what is written; one that is not supported is an error at the policy."""
    kind, using, without = SAMPLES[feature]
    found, other = outcome(name, kind, using), outcome(name, kind, without)
    errors = [d for d in found.findings if d.is_error]
    if TRANSLATORS[name].supports[feature].level == "none":
        assert [(d.code, d.policy) for d in errors] == [("GM301", f"{kind}/shop/p")]
        return
    assert errors == []
    assert _specs(found) != _specs(other)


def _specs(found: Rendered) -> list[tuple[str, str, Any]]:
    return [(body["kind"], body["metadata"]["name"], body["spec"]) for body in found.bodies]


@pytest.mark.parametrize(("name", "feature"), FEATURES)
@pytest.mark.parametrize("release", FILES)
def test_schema_valid_and_served(name: str, feature: str, release: str) -> None:
    """Against the official CRDs, closed; what a release lacks is GM302, and then nothing is written."""
    need_crds()
    kind, using, _ = SAMPLES[feature]
    found = outcome(name, kind, using, kinds=kinds(release))
    codes = {d.code for d in found.findings if d.is_error}
    assert codes <= ({"GM301"} if TRANSLATORS[name].supports[feature].level == "none" else {"GM302"})
    assert bool(found.bodies) is not bool(codes)
    for body in found.bodies:
        validators(release)[body["apiVersion"], body["kind"]].validate(body)


@pytest.mark.parametrize(("name", "feature"), FEATURES)
def test_needs_name_real_fields(name: str, feature: str) -> None:
    need_crds()
    kind, _, path = TRANSLATORS[name].supports[feature].needs.partition(":")
    served = {found.kind: found for found in kinds("1.31")}
    assert not kind or served[kind].serves(path)


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


@pytest.mark.parametrize("name", TRANSLATORS)
def test_claims_cover_everything_that_is_written(name: str) -> None:
    """Else objects of a held unit would be pruned."""
    facts = facts_of(name)
    for feature in TRANSLATORS[name].supports:
        kind, using, _ = SAMPLES[feature]
        for manifest in outcome(name, kind, using).manifests:
            known = facts["east"]
            claimed = {
                key
                for unit in manifest.units
                for mesh in (known.meshes if unit.kind == "Mesh" else (None,))
                for key in TRANSLATORS[name].claims(unit, mesh, known)
            }
            assert manifest.key in claimed


@pytest.mark.parametrize("name", TRANSLATORS)
def test_what_makes_the_mesh_ignore_an_object_stands_on_none(name: str) -> None:
    switches = TRANSLATORS[name].switches
    for feature in TRANSLATORS[name].supports:
        kind, using, _ = SAMPLES[feature]
        for manifest in outcome(name, kind, using).manifests:
            metadata = decode(manifest.body)["metadata"]
            assert manifest.forbidden == switches
            assert switches.isdisjoint((*metadata["labels"], *metadata["annotations"]))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_writes_only_listed_kinds(name: str) -> None:
    listed = {(resource.group, resource.kind) for resource in TRANSLATORS[name].resources}
    for feature in TRANSLATORS[name].supports:
        kind, using, _ = SAMPLES[feature]
        assert {(m.key.group, m.key.kind) for m in outcome(name, kind, using).manifests} <= listed
