"""The clauses of the contract: what a translator of any mesh must keep. Each is a function that fails with
what is wrong; no mesh is named here.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitmesh.model.features import FEATURES, Support, support_of
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import decode
from gitmesh.plugins import faults
from tests.contract.samples import SAMPLES, TO_REVIEWS
from tests.contract.scene import Subject, document
from tests.rendered import Rendered

GUARD = document("AccessPolicy", {**TO_REVIEWS, "sources": [{"all": True}], "action": "Deny"}, "guard")


def _using(subject: Subject, feature: str) -> Rendered:
    kind, using, _ = SAMPLES[feature]
    return subject.render(document(kind, using))


def _specs(found: Rendered) -> list[tuple[str, str, Any]]:
    return [(body["kind"], body["metadata"]["name"], body["spec"]) for body in found.bodies]


def _supported(subject: Subject) -> Iterator[tuple[str, Support]]:
    yield from ((feature, support_of(subject.translator.supports, feature)) for feature in FEATURES)


def _manifests(subject: Subject) -> Iterator[tuple[str, Manifest]]:
    for feature in FEATURES:
        yield from ((feature, manifest) for manifest in _using(subject, feature).manifests)


def complete(subject: Subject) -> None:
    """Every member of the port is there, of its type, and the table of features has no gap."""
    assert list(faults(subject.translator.name, subject.translator)) == []


def sensitive(subject: Subject) -> None:
    """A feature that is supported changes what is written, and is no error."""
    for feature, support in _supported(subject):
        if support.level != "none":
            kind, using, without = SAMPLES[feature]
            found, other = subject.render(document(kind, using)), subject.render(document(kind, without))
            assert [one for one in found.findings if one.is_error] == [], feature
            assert _specs(found) != _specs(other), f"{feature} changes nothing"


def honest(subject: Subject) -> None:
    """One that is not supported is an error at the policy, once, and at its line."""
    for feature, support in _supported(subject):
        if support.level == "none":
            kind, _, without = SAMPLES[feature]
            errors = [one for one in _using(subject, feature).findings if one.is_error]
            code = "GM308" if kind == "AccessPolicy" and not subject.decides_access else "GM301"
            assert {(one.code, one.policy) for one in errors} == {(code, f"{kind}/shop/p")}, feature
            if not any(one.is_error for one in subject.render(document(kind, without)).findings):
                assert len(errors) == 1, feature
            assert all(one.at and one.at.line for one in errors), feature


def closed(subject: Subject) -> None:
    """Access that cannot be said in full is closed by an object: none would leave it open. A mesh that has no
    such object leaves it open, which is told as unenforced (`honest`); then nothing looks like one."""
    for feature, support in _supported(subject) if subject.decides_access else ():
        if support.level == "none" and feature.startswith("AccessPolicy."):
            assert _using(subject, feature).manifests, f"{feature}: nothing closes the destination"


def apart(subject: Subject) -> None:
    """What cannot be said of routing holds no access."""
    alone = [manifest.key for manifest in subject.render(GUARD).manifests]
    assert bool(alone) is subject.decides_access, "a Deny is no object, or an object that denies nothing"
    for feature in FEATURES:
        kind, using, _ = SAMPLES[feature]
        if kind == "TrafficPolicy":
            both = {one.key for one in subject.render(document(kind, using), GUARD).manifests}
            assert both.issuperset(alone), feature


def declared(subject: Subject) -> None:
    """It writes kinds that it declares: others would never be observed."""
    listed = {(resource.group, resource.kind) for resource in subject.translator.resources}
    for feature, manifest in _manifests(subject):
        assert (manifest.key.group, manifest.key.kind) in listed, feature


def in_force(subject: Subject) -> None:
    """What makes the mesh ignore an object stands on none."""
    opt_out_keys = subject.translator.opt_out_keys
    for feature, manifest in _manifests(subject):
        metadata = decode(manifest.body)["metadata"]
        assert manifest.forbidden == opt_out_keys, feature
        assert opt_out_keys.isdisjoint((*metadata["labels"], *metadata["annotations"])), feature


def explained(subject: Subject) -> None:
    """Every object leads back to its policy, and to its line."""
    for feature, manifest in _manifests(subject):
        policy = f"{SAMPLES[feature][0]}/shop/p"
        assert manifest.policies == (policy,), feature
        assert {origin.policy for origin in manifest.fields.values()} == {policy}, feature
        assert all(origin.at.line for origin in manifest.fields.values()), feature


def deterministic(subject: Subject) -> None:
    """The same documents, in any order, give the same bytes."""
    documents = [
        document(SAMPLES[name][0], SAMPLES[name][1], f"p{number}")
        for number, name in enumerate(_mixed(subject))
    ]
    first = subject.render(*documents)
    assert first.manifests
    for seed in range(4):
        again = subject.render(*random.Random(seed).sample(documents, len(documents)))
        assert again.content == first.content


def _mixed(subject: Subject) -> list[str]:
    """Features of one policy each that decide about different things, so that none stands against another;
    those that the mesh lacks would hold the others."""
    mixed = (
        "TrafficPolicy.timeout",
        "TrafficPolicy.outlierDetection",
        "AccessPolicy.action",
        "AccessPolicy.rules.ports",
    )
    return [one for one in mixed if support_of(subject.translator.supports, one).level != "none"]


def pure(subject: Subject) -> None:
    """It changes nothing of what it is given."""
    facts = subject.facts
    for feature, support in _supported(subject):
        kind, using, _ = SAMPLES[feature]
        asked = support.level != "none" or support.side == "server"  # the rest it is never given
        for unit in subject.units(document(kind, using)) if asked else ():
            before, known = repr(unit), copy.deepcopy(facts)
            subject.translator.translate(unit, facts.meshes, facts)
            assert (repr(unit), facts) == (before, known), feature


def steady(subject: Subject) -> None:
    """It falls over nothing that policies can say."""
    for feature in FEATURES:
        assert "GM313" not in {one.code for one in _using(subject, feature).findings}, feature


CLAUSES: Mapping[str, Callable[[Subject], None]] = {
    clause.__name__: clause
    for clause in (
        complete,
        sensitive,
        honest,
        closed,
        apart,
        declared,
        in_force,
        explained,
        deterministic,
        pure,
        steady,
    )
}
