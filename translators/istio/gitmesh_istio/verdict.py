"""What Istio itself says of an object: istiod's validation webhook on the way in, its analysis in the status
afterwards.

istiod analyses 1 s to one interval after a change, and writes a status only where it has something to say or
to take back (istio@1.31:pkg/config/analysis/incluster/controller.go). So silence means consent, once analysis
had the time for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gitmesh.model.base import parse_duration
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, decode, listed, mapping, text
from gitmesh.model.plan import Live
from gitmesh.model.report import MeshStatus, Verdict
from gitmesh_istio.kinds import RESOURCES, TRUE

ANALYSIS = "analysisInterval"
"""Mesh.settings: how often istiod analyses at most, in milliseconds; absent where it does not."""
VALIDATION = "validation"
"""Mesh.settings: `Fail` where no object of our kinds gets in without istiod's consent; absent where one may.
"""
INTERVALS = 2
_DEFAULT_INTERVAL = 10_000
"""istio@1.31:pilot/pkg/features/experimental.go: the default, also in place of what is shorter than a second.
"""
_SHORTEST_INTERVAL = 1000
_LEVELS = {"ERROR": Verdict.REJECTED, "WARNING": Verdict.WARNED}
_SHOWN = 5
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
"""A code or reason as Kubernetes' conventions have them; anything else is prose."""
_REFUSING = frozenset({"ZtunnelAccepted", "WaypointAccepted"})
"""Conditions by which the data planes of ambient answer, beside the analysis."""
_CONTROLLER, _ROUTING = "istio.io/", frozenset({"Accepted", "ResolvedRefs"})
"""Whose answers about a route count, and the conditions by which it refuses one."""


def verdict(live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
    """What the status says of the newest generation. Messages about an older one say nothing: istiod has yet
    to answer.
    """
    status = mapping(decode(live.status)) if live.status else {}
    said = sorted({*_messages(status, live), *_conditions(status, live), *_parents(status, live)})
    # The worst first: an object with an error and a warning is rejected.
    for answer in (Verdict.REJECTED, Verdict.WARNED):
        reasons = dict.fromkeys(reason for level, reason, _ in said if level is answer)
        texts = [text for level, _, text in said if level is answer]
        if texts:
            return MeshStatus(
                verdict=answer, reason="; ".join(filter(None, reasons)), text="; ".join(texts[:_SHOWN])
            )
    return MeshStatus(silence=_silence(live, meshes))


def _messages(status: Mapping[str, object], live: Live) -> Iterable[tuple[Verdict, str, str]]:
    """(level, code, words) of each message of the analysis."""
    if not _is_current(status, live):
        return
    for message in listed(status.get("validationMessages")):
        answer = _LEVELS.get(str(message.get("level", "")).upper())
        if answer is not None:
            yield answer, *_code_and_text(message)


def _conditions(status: Mapping[str, object], live: Live) -> Iterable[tuple[Verdict, str, str]]:
    """(level, type and reason, words) of each condition by which a data plane refuses."""
    for condition in listed(status.get("conditions")):
        kind, reason = str(condition.get("type", "")), str(condition.get("reason", ""))
        if kind in _REFUSING and condition.get("status") == "False" and _is_current(condition, live):
            answer = Verdict.WARNED if reason == "PartiallyInvalid" else Verdict.REJECTED
            fact = f"{kind} is False: {reason}" if _WORD.match(reason) else f"{kind} is False"
            yield answer, fact, f"{kind} is False: {reason} {condition.get('message', '')}".strip()


def _parents(status: Mapping[str, object], live: Live) -> Iterable[tuple[Verdict, str, str]]:
    """(level, type and reason, words) of each condition by which istiod refuses a route for a parent."""
    for parent in listed(status.get("parents")):
        # Other implementations of the Gateway API may answer for the same route, about their own gateways.
        if not str(parent.get("controllerName", "")).startswith(_CONTROLLER):
            continue
        for condition in listed(parent.get("conditions")):
            kind, reason = str(condition.get("type", "")), str(condition.get("reason", ""))
            refuses = kind in _ROUTING and condition.get("status") == "False"
            if refuses and _is_current(condition, live):
                fact = f"{kind} is False: {reason}" if _WORD.match(reason) else f"{kind} is False"
                words = f"{kind} is False: {reason} {condition.get('message', '')}".strip()
                yield Verdict.REJECTED, fact, words


def _is_current(said: Mapping[str, object], live: Live) -> bool:
    """Whether it is about this generation; what names none is. Protobuf's JSON prints the number as text."""
    generation = str(said.get("observedGeneration") or live.generation)
    return generation == str(live.generation)


def _code_and_text(message: Mapping[str, object]) -> tuple[str, str]:
    """`IST0101 ReferencedResourceNotFound`, and the same with the link: the status has no more words than
    these.
    """
    kind = message.get("type")
    names = (
        [str(kind[part]) for part in ("code", "name") if kind.get(part)] if isinstance(kind, Mapping) else []
    )
    text = ", ".join(part for part in (" ".join(names), str(message.get("documentationUrl") or "")) if part)
    return " ".join(filter(_WORD.match, names)), text


def _silence(live: Live, meshes: Sequence[Mesh]) -> float | None:
    """Seconds of silence that are consent, by the slowest of the revisions; None where one of them would not
    object.
    """
    settings = [mesh.settings for mesh in meshes if mesh.translator == "istio"]
    intervals = [one.get(ANALYSIS, "") for one in settings if one.get(VALIDATION) == "Fail"]
    if (
        not live.generation
        or not settings
        # One revision without a binding webhook or analysis would let an error pass in silence.
        or len(intervals) < len(settings)
        or not all(map(str.isdecimal, intervals))
    ):
        return None
    return INTERVALS * max(map(int, intervals)) / 1000


def analysis(environment: Mapping[str, str]) -> dict[str, str]:
    """The setting ANALYSIS by an istiod's environment."""
    if environment.get("PILOT_ENABLE_ANALYSIS") not in TRUE:
        return {}
    try:
        interval = parse_duration(environment.get("PILOT_ANALYSIS_INTERVAL"))
    except ValueError:
        interval = _DEFAULT_INTERVAL
    return {ANALYSIS: str(interval if interval >= _SHORTEST_INTERVAL else _DEFAULT_INTERVAL)}


def validation(validators: Iterable[Body]) -> dict[str, str]:
    """The setting VALIDATION by the cluster's ValidatingWebhookConfigurations.

    istiod turns Ignore into Fail when it answers for the first time
    (istio@1.31:pkg/webhooks/validation/controller), so with Fail everything that was accepted was answered
    for. Selectors that leave out objects without Istio's labels leave out ours.
    """
    webhooks = [
        webhook for body in validators for webhook in listed(body.get("webhooks")) if _is_binding(webhook)
    ]
    rules = [rule for webhook in webhooks for rule in listed(webhook.get("rules"))]
    covered = all(
        any(_covers(rule, resource.group, resource.plural) for rule in rules) for resource in RESOURCES
    )
    return {VALIDATION: "Fail"} if covered else {}


def _is_binding(webhook: Mapping[str, object]) -> bool:
    """Whether it is one of Istio's (`validation.istio.io`, `rev.validation.istio.io`) and no object of ours
    gets past it.
    """
    name = str(webhook.get("name", ""))
    return (
        (name == "validation.istio.io" or name.endswith(".validation.istio.io"))
        and webhook.get("failurePolicy", "Fail") == "Fail"
        and not webhook.get("namespaceSelector")
        and not webhook.get("matchConditions")
        and _takes_unlabelled(webhook.get("objectSelector"))
    )


def _takes_unlabelled(selector: object) -> bool:
    """Whether a selector takes objects without any label of Istio's."""
    if not isinstance(selector, Mapping):
        return selector is None
    wanted = listed(selector.get("matchExpressions"))
    return not selector.get("matchLabels") and all(
        # Both hold for an object that does not have the label (apimachinery, labels.Requirement), as ours
        # do not.
        one.get("operator") in ("DoesNotExist", "NotIn") and str(one.get("key")).startswith("istio.io/")
        for one in wanted
    )


def _covers(rule: Mapping[str, object], group: str, plural: str) -> bool:
    """Whether creations and updates of a kind come by."""
    given = (rule.get(part) for part in ("apiGroups", "resources", "operations"))
    groups, resources, operations = (
        frozenset(filter(None, map(text, one))) if isinstance(one, list) else frozenset() for one in given
    )
    return (
        ("*" in groups or group in groups)
        and ("*" in resources or "*/*" in resources or plural in resources)
        and ("*" in operations or {"CREATE", "UPDATE"} <= operations)
    )
