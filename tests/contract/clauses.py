"""The clauses of the contract: what a translator of any mesh must keep. Each is a function that fails with
what is wrong; no mesh is named here.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitmesh.model.admission import Effect
from gitmesh.model.features import FEATURES, Support, support_of
from gitmesh.model.manifests import Fragment, Manifest
from gitmesh.model.objects import Body, ObjectKey, decode
from gitmesh.model.ownership import Ownership
from gitmesh.plugins import faults
from tests.contract.samples import SAMPLES, TO_REVIEWS
from tests.contract.scene import Subject, document
from tests.rendered import Rendered

BY_FRONTEND = {"serviceAccounts": [{"name": "frontend", "namespace": "web"}]}
BY_RATINGS = {"serviceAccounts": [{"name": "ratings", "namespace": "shop"}]}
GUARD = document("AccessPolicy", {**TO_REVIEWS, "sources": [{"all": True}], "action": "Deny"}, "guard")


def _using(subject: Subject, feature: str) -> Rendered:
    kind, using, _ = SAMPLES[feature]
    return subject.render(document(kind, using))


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
            assert found.bodies != other.bodies, f"{feature} changes nothing"


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
        # Of somebody else's object its owner says whether the mesh is to ignore it.
        assert manifest.forbidden == (opt_out_keys if manifest.ownership.is_object else frozenset()), feature
        named = (*metadata.get("labels", ()), *metadata.get("annotations", ()))
        assert opt_out_keys.isdisjoint(named), feature


def owned(subject: Subject) -> None:
    """It says of each object what of it is its own: all that it writes, and nothing that others write."""
    for feature, fragment in _fragments(subject):
        assert fragment.ownership.misfit(fragment.body) == "", feature


def _fragments(subject: Subject) -> Iterator[tuple[str, Fragment]]:
    facts = subject.facts
    for feature, support in _supported(subject):
        kind, using, _ = SAMPLES[feature]
        asked = support.level != "none" or support.side == "server"
        for unit in subject.units(document(kind, using)) if asked else ():
            found = subject.translator.translate(unit, facts.meshes, facts)
            yield from ((feature, fragment) for fragment in found.fragments)


def untouched(subject: Subject) -> None:
    """What others write in an object changes nothing of what it says to the mesh: it is no drift, so that
    nothing would be done about it.
    """
    translator, meshes = subject.translator, subject.facts.meshes
    for feature, manifest in _manifests(subject):
        ours = decode(manifest.body)
        for theirs in _beside(manifest.ownership, ours):
            assert manifest.ownership.part(theirs) == manifest.ownership.part(ours), feature
            assert translator.effect(ours, theirs) is Effect.NEITHER, feature
            assert translator.decides(theirs) == manifest.decides, feature
            assert translator.links(theirs, meshes) == translator.links(ours, meshes), feature


def _beside(ownership: Ownership, ours: Body) -> Iterator[Body]:
    """The object with something in it that is not ours."""
    for path in ownership.excepted:
        theirs: Any = "theirs"
        for name in reversed(path):
            theirs = {name: theirs}
        yield ownership.onto(ours, theirs)
    if not ownership.is_object:
        yield ownership.onto(ours, {**ours, "spec": {"anything": "theirs"}})


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


def decisive(subject: Subject) -> None:
    """It tells what decides who may call from what decides how requests go."""
    for feature, manifest in _manifests(subject):
        kind = feature.partition(".")[0]
        expected = {"AccessPolicy": {"access"}, "TrafficPolicy": {"routing"}}.get(kind, {"access", "trust"})
        assert manifest.decides in expected, feature


def _guards(subject: Subject, **spec: Any) -> Mapping[ObjectKey, Manifest]:
    """The objects of one policy of access to reviews."""
    found = subject.render(document("AccessPolicy", {**TO_REVIEWS, **spec}))
    return {manifest.key: manifest for manifest in found.manifests}


def _access(subject: Subject, **spec: Any) -> Mapping[ObjectKey, Body]:
    return {key: decode(manifest.body) for key, manifest in _guards(subject, **spec).items()}


def _effects(subject: Subject, old: Mapping[ObjectKey, Body], new: Mapping[ObjectKey, Body]) -> set[Effect]:
    found = {subject.translator.effect(old.get(key), new.get(key)) for key in old.keys() | new.keys()}
    return found - {Effect.NEITHER}


_NARROWER = frozenset({Effect.NARROWS, Effect.BOTH, Effect.CLOSES})
_WIDER = frozenset({Effect.WIDENS, Effect.BOTH, Effect.OPENS})


def effective(subject: Subject) -> None:
    """It knows what a change does to who is admitted: one that denies more narrows, one that allows more
    widens, and the way back does the opposite. Routes and what stays as it is do nothing to that.
    """
    one, both = [BY_FRONTEND], [BY_FRONTEND, BY_RATINGS]
    denied, more = (_access(subject, action="Deny", sources=who) for who in (one, both))
    allowed, wider = (_access(subject, sources=who) for who in (one, both))
    none: Mapping[ObjectKey, Body] = {}
    changes = ((none, denied, True), (denied, more, True), (allowed, wider, False))
    for less, much, narrows in changes if subject.decides_access else ():
        there, back = _effects(subject, less, much), _effects(subject, much, less)
        if not narrows:
            there, back = back, there
        assert there, "what narrows has no effect"
        assert there <= _NARROWER, there
        assert back, "what widens has no effect"
        assert back <= _WIDER, back
        assert not _effects(subject, much, much)
    for feature, manifest in _manifests(subject):
        if manifest.decides == "routing":
            effect = subject.translator.effect(None, decode(manifest.body))
            assert effect is Effect.NEITHER, feature


def gradual(subject: Subject) -> None:
    """What refuses otherwise than before has a state between that refuses both."""
    effect = subject.translator.effect
    old, new = (
        _guards(subject, action="Deny", sources=[{"all": True}], rules=[{"methods": [name]}])
        for name in ("GET", "PUT")
    )
    for key in old.keys() & new.keys():
        before, after = decode(old[key].body), decode(new[key].body)
        if effect(None, before) is Effect.NARROWS and effect(before, after) is Effect.BOTH:
            state = subject.translator.between(before, after, frozenset())
            assert state is not None, f"{key} has no state between"
            between = new[key].ownership.in_state(after, state)
            assert effect(before, between) is Effect.NARROWS, "it admits more than before"
            assert effect(between, after) is Effect.WIDENS, "it admits what is not to be admitted"


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
        owned,
        untouched,
        explained,
        deterministic,
        pure,
        steady,
        decisive,
        effective,
        gradual,
    )
}
