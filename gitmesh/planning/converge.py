"""One cluster in one cycle: observe, diff, guard against fights, apply, remember. Called by pipeline for each
cluster.

Only the ports touch the world here; a ClusterError leaves this function and becomes that cluster's result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.ledger import Stored
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import WITHDRAWING, Live, Observed, Outcome, Plan
from gitmesh.model.report import ClusterResult, State, worst
from gitmesh.planning.adapting import adapted_to
from gitmesh.planning.diff import diff
from gitmesh.planning.elsewhere import ALONE, Asking, Elsewhere
from gitmesh.planning.fights import heals
from gitmesh.planning.lately import remember_writes, written_over
from gitmesh.planning.leaving import unfinished
from gitmesh.planning.ledgers import intend, rebuilt, record
from gitmesh.planning.observing import observed_of
from gitmesh.planning.ownership import behind
from gitmesh.planning.readings import ask_again, by_name, unvouched
from gitmesh.planning.remembering import holds_of
from gitmesh.planning.verdicts import TAKEN_WITH_WARNING, Evidence, brief, verdicts
from gitmesh.status.states import write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build
    from gitmesh.planning.adapted import Adapted
    from gitmesh.planning.guard import Consent
    from gitmesh.planning.revisions import Revisions
    from gitmesh.ports import Cluster, Translator


class Cycle(Struct, frozen=True, kw_only=True):
    """What a cycle brings to each cluster. `clock` is monotonic, in seconds, and `now` what it said when the
    cycle came to the clusters; `wall` is in seconds since the epoch; `apply` is false for a mere plan.

    `meshes` are those of every managed cluster, for the ledgers to remember. `holding` are the findings so
    far that stand for holds. `observed` is by cluster what was live when its facts were read; where it is not
    given it is read now. `elsewhere` is what the clusters are to each other.
    """

    translators: Mapping[str, Translator]
    revisions: Revisions
    consent: Consent
    apply: bool
    now: float
    clock: Callable[[], float]
    wall: int = 0
    meshes: Mapping[str, tuple[Mesh, ...]] = {}
    holding: tuple[Diagnostic, ...] = ()
    observed: Mapping[str, Observed] = {}
    elsewhere: Elsewhere = ALONE


def converge(
    cluster: Cluster,
    facts: ClusterFacts,
    built: Build,
    stored: Stored,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> tuple[ClusterResult, tuple[Diagnostic, ...]]:
    """Bring one cluster to its build, or say what that would take. Raises ClusterError."""
    observed, said = observed_of(cluster, facts, stored.ledger, cycle, memo)
    observed, adapted, plan = _confirmed(cluster, facts, built, observed, stored, cycle, memo)
    built = adapted.built
    said += adapted.diagnostics
    cycle = replace(cycle, holding=(*cycle.holding, *(one for one in adapted.diagnostics if one.hold)))
    writing = cycle.apply and cluster.enforce
    if cycle.apply and not cluster.enforce and plan.writes:
        said.append(
            finding(
                "GM509",
                f"cluster {cluster.name} is only observed: {len(plan.writes)} writes were left out",
                cluster=cluster.name,
            )
        )
    outcomes: tuple[Outcome, ...] = ()
    ledger = _held(_knowing(stored.ledger, facts, cycle), facts, plan, cycle)
    if writing:
        outcomes, ledger = _carry_out(cluster, plan, observed, built, stored, facts, cycle, memo)
        remember_writes(cluster, outcomes, observed, cycle, memo)
    said += [diagnostic for outcome in outcomes for diagnostic in _reactions(outcome, plan)]
    evidence = Evidence(built=built, observed=observed, plan=plan, outcomes=outcomes, ledger=ledger)
    found = verdicts(evidence, cycle.translators, cluster.clock, memo)
    # A review is about what would be written, not about what the mesh thinks of what is there.
    diagnostics = (*plan.diagnostics, *said, *(found.findings if cycle.apply else ()))
    result = ClusterResult(
        name=cluster.name,
        state=State.SYNCED,
        facts=facts,
        build=built,
        plan=plan,
        outcomes=outcomes,
        observe_only=not cluster.enforce,
        ledger=ledger,
        verdicts=found.of,
    )
    return replace(result, state=_state(result, plan, built, applied=writing)), diagnostics


def _knowing(ledger: Ledger, facts: ClusterFacts, cycle: Cycle) -> Ledger:
    """The ledger with what this cycle read: what the next one is compared with."""
    return replace(ledger, meshes=cycle.meshes, kinds=frozenset(facts.seen))


def _held(ledger: Ledger, facts: ClusterFacts, plan: Plan, cycle: Cycle) -> Ledger:
    """The ledger with the holds of this cycle: of the sources, of the facts, and of the plan."""
    mine = [
        one for one in (*cycle.holding, *plan.diagnostics) if one.hold and one.cluster in ("", facts.cluster)
    ]
    approved = {**cycle.revisions.approved, **{one.hold: one.text for one in facts.caveats if one.approved}}
    return replace(ledger, holds=holds_of(mine, approved, ledger.holds, cycle.wall))


def _confirmed(
    cluster: Cluster,
    facts: ClusterFacts,
    built: Build,
    observed: Observed,
    stored: Stored,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> tuple[Observed, Adapted, Plan]:
    """The build as it must be beside a reading, the plan to it, and that reading: where the plan would leave
    something as it is that the ledger does not vouch for, with what the cluster says of it by name."""

    def planned(reading: Observed) -> tuple[Observed, Adapted, Plan]:
        adapted = adapted_to(built, reading, facts, stored, cycle, memo)
        return reading, adapted, _plan(cluster, adapted.built, reading, stored, cycle, memo)

    _, adapted, plan = first = planned(observed)
    doubted = unvouched(plan, adapted.built, observed, stored.ledger)
    confirmed = by_name(cluster, observed, doubted, stored.ledger, memo, "doubted")
    return first if confirmed is observed else planned(confirmed)


def _plan(
    cluster: Cluster,
    built: Build,
    observed: Observed,
    stored: Stored,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> Plan:
    """The plan; the last one again while none of its inputs moved."""
    written = written_over(cluster, cycle.now, memo)
    inputs = (built, observed, stored.ledger, written)
    found = memo.get("plan")
    if (
        found
        and all(old is new for old, new in zip(found[0], inputs, strict=True))
        and found[1] == cycle.consent
        and all(cycle.elsewhere.answer(*asked) is answer for asked, answer in found[3].items())
        and not found[2].writes
    ):
        kept: Plan = found[2]
        return kept
    before: dict[ObjectKey, list[Live | None]] = {}
    for _, key, live in reversed(written):
        before.setdefault(key, []).append(live)
    asking = Asking(cycle.elsewhere)
    plan = diff(built, observed, stored, cycle.translators, cycle.consent, memo, before, asking)
    plan = cluster.predict(plan)
    memo["plan"] = (inputs, cycle.consent, plan, asking.answers)
    return plan


def _carry_out(
    cluster: Cluster,
    plan: Plan,
    observed: Observed,
    built: Build,
    stored: Stored,
    facts: ClusterFacts,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> tuple[tuple[Outcome, ...], Ledger]:
    """Intents, writes, truth: in this order, so that a kill at any step loses nothing.

    The ledger is saved before any write, also where no intent changes it: only that proves that the plan was
    made by the ledger as it is, and not by one of before.
    """
    accepted, homes = cycle.revisions.accepted, cycle.revisions.homes
    settled = (
        plan,
        stored.ledger,
        accepted,
        cycle.meshes,
        facts.seen,
        cycle.holding,
        cycle.revisions.approved,
    )
    if not plan.writes and memo.get("settled") == settled and memo["settled"][1] is stored.ledger:
        return (), stored.ledger
    saved, ledger = stored, rebuilt(stored, observed)
    outcomes: tuple[Outcome, ...] = ()
    if plan.writes:
        ledger = intend(ledger, plan, built)
        saved = Stored(ledger=ledger, version=cluster.save(ledger, stored.version))
        ask_again(memo)
        outcomes = cluster.apply(plan)
    absent = cycle.revisions.absent
    recorded = record(ledger, plan, outcomes, observed, built, accepted, homes, facts.uid, memo, absent)
    after = replace(
        _held(_knowing(recorded, facts, cycle), facts, plan, cycle),
        heals=heals(plan, outcomes, stored.ledger.heals),
    )
    if after != saved.ledger or not saved.version or saved.corrupt:
        cluster.save(after, saved.version)
        return outcomes, after
    if not plan.writes:
        memo["settled"] = settled
    return outcomes, saved.ledger


def _reactions(outcome: Outcome, plan: Plan) -> list[Diagnostic]:
    """Findings on what the cluster refused, and on its warnings, at the line of the policy behind the
    object.
    """
    change = next((c for c in plan.changes if c.key == outcome.key), None)
    where = behind(change) if change else {}
    if outcome.pending and change:
        return [unfinished(outcome, change, plan.cluster)]
    # What was said of a write that was taken is in the ledger, from where it is told for as long as it is
    # true.
    words = "; ".join(outcome.warnings) if outcome.action in WITHDRAWING else ""
    text = f"{outcome.key} in {plan.cluster}: {TAKEN_WITH_WARNING}"
    said = [finding("GM510", text, cluster=plan.cluster, detail=brief(words), **where)] if words else []
    if not outcome.ok:
        text, code = (
            f"{outcome.action} of {outcome.key} in {plan.cluster} failed: {outcome.message}",
            outcome.code or "GM505",
        )
        more: dict[str, Any] = {"severity": Severity.ERROR, "hint": outcome.hint, "detail": outcome.detail}
        said.append(finding(code, text, cluster=plan.cluster, **more, **where))
    return said


def _state(result: ClusterResult, plan: Plan, built: Build, *, applied: bool) -> State:
    """The worst that plan and outcomes say of the cluster; what findings of any step say of it comes on top
    (`status.bearing`)."""
    outcomes = result.outcomes
    if any(not outcome.ok and not outcome.pending for outcome in outcomes):
        return State.FAILED
    if (
        plan.prune_held
        or built.holds
        or built.doubtful
        or built.waiting
        or any(change.is_left for change in plan.changes)
    ):
        return State.HELD
    if any(change.staged for change in plan.changes) or any(outcome.pending for outcome in outcomes):
        return State.PENDING
    if plan.writes and not applied:
        return worst(write_state(change) for change in plan.writes)
    return State.SYNCED
