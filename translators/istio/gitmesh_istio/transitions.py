"""What a change of access or mTLS does to who is admitted, and the way of one that is wider in between
(design law 2).

PERMISSIVE is the widest mode: it shows identities, which DISABLE does not, and admits plaintext, which STRICT
does not. Between DISABLE and STRICT both must be taken for as long as a client or a server may still work by
the mode before, as they learn of a mode at different times. A mode is what a revision reads in an object: one
that is labelled for another revision says nothing to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.links import Ref
from gitmesh.model.objects import Body, canonical, listed, mapping, text
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, PEER_AUTHENTICATION, REVISION
from gitmesh_istio.links import with_subsets
from gitmesh_istio.meshwide import DEFAULT_DENY
from gitmesh_istio.narrowing import allowed, with_rules
from gitmesh_istio.reading import is_on_trial, mode_of, rules_of, selector_of, spec_of
from gitmesh_istio.security import MAX_RULES

_WIDEST = "PERMISSIVE"
_OPPOSITE = {"STRICT": "DISABLE", "DISABLE": "STRICT"}
_SUBJECTS: Mapping[str, Subject] = {AUTHORIZATION_POLICY.kind: "access", PEER_AUTHENTICATION.kind: "trust"}


def decides(body: Body) -> Subject:
    """Who may call, mTLS, or how requests go."""
    return _SUBJECTS.get(text(body.get("kind")), "routing")


def effect(before: Body | None, after: Body | None) -> Effect:
    """What a change of an object does to who is admitted."""
    kind = text(mapping(before or after).get("kind"))
    if kind == PEER_AUTHENTICATION.kind:
        return _of_modes(before, after)
    if kind != AUTHORIZATION_POLICY.kind:
        return Effect.NEITHER
    if _name(before or after) == DEFAULT_DENY:
        return _of_default(before, after)
    return _of_rules(_enforced(before), _enforced(after))


def between(before: Body | None, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
    """A DestinationRule with the subsets that must stay; a DENY of the old and the new requests to both pods;
    an ALLOW of what old and new have in common; PERMISSIVE between the two other modes.
    """
    match text(mapping(before or after).get("kind")):
        case DESTINATION_RULE.kind if kept and before is not None:
            return with_subsets(before, after, kept)
        case AUTHORIZATION_POLICY.kind if not kept and before is not None and after is not None:
            return _refusing_both(before, after) or _granting_both(before, after)
        case PEER_AUTHENTICATION.kind if after is not None and _opposite(before, after):
            # A client keeps sending plaintext, or mTLS, until istiod has told it otherwise; only PERMISSIVE
            # takes both.
            return {**spec_of(after), "mtls": {"mode": _WIDEST}}
        case _:
            return None


def _name(body: Body | None) -> str:
    return text(mapping(mapping(body).get("metadata")).get("name"))


# --- AuthorizationPolicies


def _enforced(body: Body | None) -> Body | None:
    """The object, unless it is only tried out."""
    annotations = mapping(mapping(mapping(body).get("metadata")).get("annotations"))
    return None if is_on_trial(annotations) else body


def _of_rules(before: Body | None, after: Body | None) -> Effect:
    """A DENY refuses what its rules say, and nothing without any. An ALLOW closes what none of its kind
    admits: where it is the first it narrows, beside others it widens.
    """
    if before is None and after is None:
        return Effect.NEITHER
    refuses = [spec_of(body).get("action") == "DENY" for body in (before, after) if body is not None]
    moved = before is not None and after is not None and _about(before) != _about(after)
    if len(set(refuses)) > 1 or (not refuses[0] and (moved or before is None or after is None)):
        return Effect.BOTH
    told = _as_they_are if refuses[0] else _by_principal
    old, new = ({canonical(one) for rule in rules_of(body) for one in told(rule)} for body in (before, after))
    if old == new and not moved:
        return Effect.NEITHER
    if moved and old and new:
        return Effect.BOTH
    # Of rules of a DENY more refuse more, of an ALLOW more admit more.
    more, less = (Effect.NARROWS, Effect.WIDENS) if refuses[0] else (Effect.WIDENS, Effect.NARROWS)
    return more if old <= new else less if new <= old else Effect.BOTH


def _as_they_are(rule: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (rule,)


def _by_principal(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A rule of an ALLOW as rules for one principal each."""
    # Whoever comes or goes beside others is told: one that goes waits for nothing, and one that comes may
    # have to.
    for item in listed(rule.get("from")) or ({},):
        source = mapping(item.get("source"))
        names = source.get("principals")
        for one in names if isinstance(names, list) else (None,):
            told = {**source, "principals": [one]} if one is not None else source
            yield {**rule, "from": [{"source": told}]}


def _about(body: Body) -> Mapping[str, Any]:
    """What an object names beside what it says of it."""
    return {key: value for key, value in spec_of(body).items() if key not in ("action", "rules")}


def _refusing_both(before: Body, after: Body) -> Mapping[str, Any] | None:
    """The DENY with the rules of both, where it gains some and loses some, for the pods of both, where these
    have labels in common: for any others of their namespace it must not be."""
    if not _become_others(before, after, "DENY"):
        return None
    about = _about_both(before, after)
    if about is None:
        return None
    both = {canonical(rule): rule for rule in (*rules_of(before), *rules_of(after))}
    # Too many for one object: everything is refused until the next step, which is never wider.
    rules = [both[key] for key in sorted(both)] if len(both) <= MAX_RULES else [{}]
    others = {name: value for name, value in spec_of(after).items() if name not in _about(after)}
    return {**others, **about, "rules": rules}


def _granting_both(before: Body, after: Body) -> Mapping[str, Any] | None:
    """The ALLOW with what both grant, at the pods that both are for; of nobody, where there are none, so that
    a DENY beside it, which can then be for neither, is missed at neither."""
    if not _become_others(before, after, "ALLOW"):
        return None
    spec = {name: value for name, value in spec_of(after).items() if name != "rules"}
    about = _about_each(before, after)
    if about is None:
        return spec
    return with_rules({**spec, **about}, allowed(rules_of(before), rules_of(after), (), after))


def _about_each(before: Body, after: Body) -> Mapping[str, Any] | None:
    """What an object names that is for the pods that both are for; None where these are none."""
    old, new = _about(before), _about(after)
    if old == new:
        return new
    if not {*old, *new} <= {"selector"}:
        return None
    was, becomes = (selector_of(one) for one in (old, new))
    if any(was.get(name, value) != value for name, value in becomes.items()):
        return None
    return {"selector": {"matchLabels": dict(sorted({**was, **becomes}.items()))}}


def _become_others(before: Body, after: Body, action: str) -> bool:
    """Whether both are of this action and admit others than the other."""
    return _of_rules(_enforced(before), _enforced(after)) is Effect.BOTH and all(
        spec_of(body).get("action", "ALLOW") == action for body in (before, after)
    )


def _about_both(before: Body, after: Body) -> Mapping[str, Any] | None:
    """What an object names that is for what both are for; None where nothing is."""
    old, new = _about(before), _about(after)
    if old == new:
        return new
    if not {*old, *new} <= {"selector"}:
        return None
    if not old or not new:  # for all pods of the namespace
        return {}
    labels = selector_of(new)
    common = {name: value for name, value in selector_of(old).items() if labels.get(name) == value}
    return {"selector": {"matchLabels": common}} if common else None


def _of_default(before: Body | None, after: Body | None) -> Effect:
    """The default deny: it closes for whoever reads it."""
    old, new = (None if _is_open(body) else body for body in (before, after))
    if old is None or new is None:
        return Effect.NEITHER if old is new else Effect.CLOSES if old is None else Effect.OPENS
    if _revision(old) == _revision(new):
        return Effect.NEITHER
    return Effect.CLOSES if _revision(old) else Effect.OPENS


def _is_open(body: Body | None) -> bool:
    spec = spec_of(_enforced(body))
    return _enforced(body) is None or bool(spec.get("rules")) or spec.get("action", "ALLOW") != "ALLOW"


# --- PeerAuthentications


def _of_modes(before: Body | None, after: Body | None) -> Effect:
    """The effect of another mode of mTLS."""
    pairs = {(_mode(before, revision), _mode(after, revision)) for revision in _readers(before, after)}
    changed = {(old, new) for old, new in pairs if old != new}
    # From DISABLE to STRICT it narrows, as plaintext is admitted no more; the other way it widens.
    narrows = any(old == _WIDEST or (old, new) == ("DISABLE", "STRICT") for old, new in changed)
    widens = any(new == _WIDEST or (old, new) == ("STRICT", "DISABLE") for old, new in changed)
    if narrows and widens:
        return Effect.BOTH
    return Effect.NARROWS if narrows else Effect.WIDENS if widens else Effect.NEITHER


def _opposite(before: Body | None, after: Body) -> bool:
    """Whether some reader goes from one mode to the other that excludes it."""
    return any(
        _OPPOSITE.get(_mode(before, revision)) == _mode(after, revision)
        for revision in _readers(before, after)
    )


def _readers(*bodies: Body | None) -> set[str]:
    """The revisions that read one of them; "" is every one that no label names."""
    return {"", *map(_revision, bodies)}


def _mode(body: Body | None, revision: str) -> str:
    """The mode of an object for who reads it, or of the mesh where there is none."""
    if body is None or _revision(body) not in ("", revision):
        return _WIDEST
    mode = mode_of(spec_of(body).get("mtls"))
    return mode if mode in _OPPOSITE else _WIDEST


def _revision(body: Body | None) -> str:
    """The revision that alone reads an object; "" where all do."""
    return text(mapping(mapping(mapping(body).get("metadata")).get("labels")).get(REVISION))
