"""One cluster in one cycle: observe, diff, guard against fights, apply, remember. Called by pipeline for each cluster.

Only the ports touch the world here; a ClusterError leaves this function and becomes that cluster's result.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.manifests import SECURITY
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.plan import Action, Change, Live, Observed, Outcome, Plan
from gitmesh.model.report import ClusterResult, State
from gitmesh.planning.diff import diff
from gitmesh.planning.guard import Consent, vanished
from gitmesh.planning.leaving import unfinished
from gitmesh.planning.ledgers import intend, rebuilt, record
from gitmesh.planning.ownership import behind, blame
from gitmesh.planning.verdicts import Evidence, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.manifests import Build
    from gitmesh.ports import Cluster, Translator

Written: TypeAlias = "tuple[tuple[float, ObjectKey, Live | None], ...]"
"""(when, object, what it was before: None where it was not there)."""
FIGHT_HEAT = 5.0
"""Corrections in about a minute after which an object is left alone (reliability K21)."""


class Cycle(Struct, frozen=True, kw_only=True):
    """What a cycle brings to each cluster. `clock` is monotonic, in seconds, and `now` what it said when the cycle came to the
    clusters; `apply` is false for a mere plan.

    `meshes` are those of every managed cluster, for the ledgers to remember.
    """

    translators: Mapping[str, Translator]
    accepted: Mapping[str, str]
    consent: Consent
    apply: bool
    now: float
    clock: Callable[[], float]
    meshes: Mapping[str, tuple[Mesh, ...]] = {}


def converge(
    cluster: Cluster, facts: ClusterFacts, built: Build, stored: Stored, cycle: Cycle, memo: MutableMapping[Any, Any]
) -> tuple[ClusterResult, tuple[Diagnostic, ...]]:
    """Bring one cluster to its build, or say what that would take. Raises ClusterError."""
    observed, said = _observe(cluster, facts, stored.ledger, cycle)
    built = _keep_back(built, observed, facts, stored, cycle, memo)
    plan = _plan(cluster, built, observed, stored, cycle, memo)
    writing = cycle.apply and cluster.enforce
    if cycle.apply and not cluster.enforce and plan.writes:
        said.append(
            finding("GM509", f"cluster {cluster.name} is only observed: {len(plan.writes)} writes were left out", cluster=cluster.name)
        )
    outcomes: tuple[Outcome, ...] = ()
    ledger = stored.ledger
    if writing:
        plan, fights = _without_fights(plan, cycle.now, memo)
        said += fights
        outcomes, ledger = _carry_out(cluster, plan, observed, built, stored, cycle, facts.uid, memo)
        _warm(plan, outcomes, cycle.now, memo)
        _remember(cluster, outcomes, observed, cycle, memo)
    said += [diagnostic for outcome in outcomes for diagnostic in _reactions(outcome, plan)]
    evidence = Evidence(built=built, observed=observed, plan=plan, outcomes=outcomes, ledger=ledger)
    found = verdicts(evidence, cycle.translators, cluster.clock, memo)
    # A review is about what would be written, not about what the mesh thinks of what is there.
    diagnostics = (*plan.diagnostics, *said, *(found.findings if cycle.apply else ()))
    result = ClusterResult(
        name=cluster.name,
        state=_state(plan, outcomes, built, diagnostics, applied=writing),
        facts=facts,
        build=built,
        plan=plan,
        outcomes=outcomes,
        observe_only=not cluster.enforce,
        ledger=ledger,
        verdicts=found.of,
    )
    return result, diagnostics


def kinds_of(facts: ClusterFacts, translators: Mapping[str, Translator]) -> tuple[ApiKind, ...]:
    """The kinds that translators write, as the cluster serves them, or as they say where that is unknown."""
    written = sorted((kind for t in translators.values() for kind in t.resources), key=lambda kind: (kind.group, kind.kind))
    return tuple(facts.kind_index.get((kind.group, kind.kind), kind) for kind in written)


def _observe(cluster: Cluster, facts: ClusterFacts, ledger: Ledger, cycle: Cycle) -> tuple[Observed, list[Diagnostic]]:
    kinds = kinds_of(facts, cycle.translators)
    observed = cluster.observe(kinds)
    if not vanished(observed, ledger):
        return observed, []
    # All gone at once is more likely a wrong answer than a wish: only a second reading is believed (K11).
    observed = cluster.observe(kinds)
    if not vanished(observed, ledger):
        return observed, []
    text = f"all {len(ledger.entries)} objects of ours are gone from cluster {cluster.name}; they are created again"
    return observed, [finding("GM409", text, cluster=cluster.name, severity=Severity.WARNING)]


def _keep_back(
    built: Build, observed: Observed, facts: ClusterFacts, stored: Stored, cycle: Cycle, memo: MutableMapping[Any, Any]
) -> Build:
    """The build without what a policy would withdraw that names something absent; the same value again while nothing moved."""
    if not built.pending:
        return built
    from gitmesh.planning.keeping import keep_back  # imported late: most builds have no such policy

    inputs = (built, observed, facts)
    found = memo.get("kept back")
    if found is None or any(old is not new for old, new in zip(found[0], inputs, strict=True)):
        found = memo["kept back"] = (inputs, keep_back(built, observed, facts, cycle.translators, stored.ledger.instance))
    kept: Build = found[1]
    return kept


def _plan(cluster: Cluster, built: Build, observed: Observed, stored: Stored, cycle: Cycle, memo: MutableMapping[Any, Any]) -> Plan:
    """The plan; the last one again while none of its inputs moved."""
    written = _written(cluster, cycle.now, memo)
    inputs = (built, observed, stored.ledger, written)
    found = memo.get("plan")
    if found and all(old is new for old, new in zip(found[0], inputs, strict=True)) and found[1] == cycle.consent and not found[2].writes:
        kept: Plan = found[2]
        return kept
    before: dict[ObjectKey, list[Live | None]] = {}
    for _, key, live in reversed(written):
        before.setdefault(key, []).append(live)
    plan = cluster.predict(diff(built, observed, stored, cycle.translators, cycle.consent, memo, before))
    memo["plan"] = (inputs, cycle.consent, plan)
    return plan


def _carry_out(
    cluster: Cluster,
    plan: Plan,
    observed: Observed,
    built: Build,
    stored: Stored,
    cycle: Cycle,
    uid: str,
    memo: MutableMapping[Any, Any],
) -> tuple[tuple[Outcome, ...], Ledger]:
    """Intents, writes, truth: in this order, so that a kill at any step loses nothing."""
    settled = (plan, stored.ledger, cycle.accepted, cycle.meshes)
    if not plan.writes and memo.get("settled") == settled and memo["settled"][1] is stored.ledger:
        return (), stored.ledger
    ledger, version = rebuilt(stored, observed), stored.version
    outcomes: tuple[Outcome, ...] = ()
    if plan.writes:
        ledger = intend(ledger, plan)
        if ledger is not stored.ledger:
            version = cluster.save(ledger, version)
        outcomes = cluster.apply(plan)
    after = replace(record(ledger, plan, outcomes, observed, built, cycle.accepted, uid), meshes=cycle.meshes)
    if after == stored.ledger and version == stored.version and version and not stored.corrupt:
        memo["settled"] = settled
        return outcomes, stored.ledger
    cluster.save(after, version)
    return outcomes, after


def _without_fights(plan: Plan, now: float, memo: MutableMapping[Any, Any]) -> tuple[Plan, list[Diagnostic]]:
    """Leave alone what somebody else keeps changing back: heat rises by one a correction and fades by the minute."""
    said: list[Diagnostic] = []
    kept: list[Change] = []
    for change in plan.changes:
        if not (change.writes and change.drift):
            kept.append(change)
            continue
        heat = _heat(change.key, now, memo)
        if heat < FIGHT_HEAT:
            kept.append(change)
            continue
        rivals = ", ".join(sorted({field.manager for field in change.fields if field.manager})) or "somebody"
        text = f"{change.key} in {plan.cluster} is changed back again and again by {rivals}; it is left alone for now"
        severity = Severity.ERROR if change.phase in SECURITY else None
        said.append(finding("GM404", text, cluster=plan.cluster, severity=severity, **blame(change.policies, change.origins)))
        kept.append(replace(change, action=Action.HELD, body=None, note="a fight"))
    return (replace(plan, changes=tuple(kept)) if said else plan), said


def _heat(key: ObjectKey, now: float, memo: MutableMapping[Any, Any]) -> float:
    heat, since = memo.get("heat", {}).get(key, (0.0, now))
    faded: float = heat * exp((since - now) / 60)
    return faded


def _warm(plan: Plan, outcomes: Sequence[Outcome], now: float, memo: MutableMapping[Any, Any]) -> None:
    """Count the corrections that were made; one that the cluster refused is no fight."""
    healed = {change.key for change in plan.changes if change.writes and change.drift} & {o.key for o in outcomes if o.ok}
    heats = memo.setdefault("heat", {})
    heats.update({key: (_heat(key, now, memo) + 1, now) for key in healed})


def _remember(cluster: Cluster, outcomes: Sequence[Outcome], observed: Observed, cycle: Cycle, memo: MutableMapping[Any, Any]) -> None:
    """Keep what was where we wrote, for as long as a proxy may work by it; also where something was perhaps written."""
    keys = sorted({outcome.key for outcome in outcomes})
    if keys:
        done = cycle.clock()
        memo["written"] = (*_written(cluster, cycle.now, memo), *((done, key, observed.live.get(key)) for key in keys))


def _written(cluster: Cluster, now: float, memo: MutableMapping[Any, Any]) -> Written:
    """What was written over so lately that a proxy may not know, oldest first; the same tuple again while that is the same."""
    known: Written = memo.get("written", ())
    if any(now - at >= cluster.settle for at, _, _ in known):
        known = memo["written"] = tuple(row for row in known if now - row[0] < cluster.settle)
    return known


def _reactions(outcome: Outcome, plan: Plan) -> list[Diagnostic]:
    """Findings on what the cluster refused, and on its warnings, at the line of the policy behind the object."""
    change = next((c for c in plan.changes if c.key == outcome.key), None)
    where = behind(change) if change else {}
    if outcome.pending and change:
        return [unfinished(outcome, change, plan.cluster)]
    # What was said of a write that was taken is in the ledger, from where it is told for as long as it is true.
    warnings = outcome.warnings if outcome.action is Action.DELETE else ()
    said = [finding("GM510", f"{outcome.key} in {plan.cluster}: {warning}", cluster=plan.cluster, **where) for warning in warnings]
    if not outcome.ok:
        text, code = f"{outcome.action} of {outcome.key} in {plan.cluster} failed: {outcome.message}", outcome.code or "GM505"
        more: dict[str, Any] = {"severity": Severity.ERROR, "hint": outcome.hint, "detail": outcome.detail}
        said.append(finding(code, text, cluster=plan.cluster, **more, **where))
    return said


def _state(plan: Plan, outcomes: Sequence[Outcome], built: Build, diagnostics: Sequence[Diagnostic], *, applied: bool) -> State:
    """The worst that is true of the cluster."""
    if any(not outcome.ok and not outcome.pending for outcome in outcomes):
        return State.FAILED
    if plan.prune_held or built.held or any(c.action in (Action.CONFLICT, Action.HELD) for c in plan.changes):
        return State.HELD
    if any(change.staged for change in plan.changes) or any(outcome.pending for outcome in outcomes):
        return State.PENDING
    if plan.writes and not applied:
        return State.DRIFTED
    return State.FAILED if any(d.is_error for d in diagnostics) else State.SYNCED
